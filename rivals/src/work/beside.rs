//! Two readers beside a durable writer: neither is to wait for the other.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::append;
use crate::line::{Better, Line};
use crate::measure::{Appends, Contender, StopOnDrop, all, interleaved};
use crate::peer::{Filter, Reader, Result, Wanted, Way, Writer};
use crate::rng::Rng;
use crate::run::{Member, Run, SAMPLE, Set};

const READERS: u64 = 2;

/// Pages and appends a second, of one kind and in one turn.
pub fn readers_beside_a_writer(run: &mut Run<'_>, set: &Set) -> Result {
    let [pages, appended] = ["2 readers beside a durable writer: pages", "2 readers beside a durable writer: appends"];
    if !run.wants(pages) && !run.wants(appended) {
        return Ok(());
    }
    let appends = Appends { sessions: append::SESSIONS, pool: &run.single };
    let mut contenders = Vec::new();
    for Member { kind, peer, acknowledged } in &set.members {
        let mut readers = (0..READERS).map(|_| peer.reader()).collect::<Result<Vec<_>>>()?;
        let (mut writer, appends) = (peer.writer(Way::Connection)?, &appends);
        contenders.push(Contender::new(kind.name(), move |time| {
            beside(time, &mut readers, &mut *writer, appends, acknowledged)
        }));
    }
    let measured = interleaved(run.size.writing(), &mut run.rng, contenders)?;
    let workload = format!(
        "newest page of a quarter, {} sessions of 1,000 at random; one writer, {}",
        SAMPLE.len(),
        append::over_sessions(set)
    );
    let line = |work: &str, unit, which: usize| {
        let values = measured.iter().map(|(name, values)| (name.clone(), values[which]));
        Line::new(work, unit, Better::More).on(workload.clone(), set.cache.words()).measured(values)
    };
    let (pages, appended) = (line(pages, "pages/s", 0), line(appended, "msg/s", 1));
    run.push(pages.times_sqlite(4.0, 5.0))?;
    run.push(appended.times_sqlite(0.85, 1.3))
}

fn beside(
    time: Duration,
    readers: &mut [Box<dyn Reader + Send + '_>],
    writer: &mut dyn Writer,
    appends: &Appends<'_>,
    acknowledged: &AtomicU64,
) -> Result<[f64; 2]> {
    let (stop, pages) = (AtomicBool::new(false), AtomicU64::new(0));
    let (began, before) = (Instant::now(), acknowledged.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        let reading: Vec<_> = (0..)
            .zip(readers)
            .map(|(nth, reader)| {
                let (stop, pages) = (&stop, &pages);
                scope.spawn(move || {
                    let mut choice = Rng::new(nth);
                    while !stop.load(Ordering::Relaxed) {
                        let session = SAMPLE.start + choice.below(SAMPLE.len() as u64) as u32;
                        black_box(reader.page(session, Filter::session(Wanted::Quarter), 1)?);
                        pages.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        let written = {
            let _stop = StopOnDrop(&stop);
            let mut choice = Rng::new(READERS);
            let mut written = Ok(());
            while written.is_ok() && began.elapsed() < time {
                written = appends.one(&mut choice, writer, acknowledged);
            }
            written
        };
        all(reading.into_iter().map(std::thread::ScopedJoinHandle::join)).and(written)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let appended = acknowledged.load(Ordering::Relaxed) - before;
    Ok([pages.load(Ordering::Relaxed) as f64 / seconds, appended as f64 / seconds])
}
