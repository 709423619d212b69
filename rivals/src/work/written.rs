//! What an append gives the disk to do, by the kernel's count, checkpoints included.

use std::sync::atomic::{AtomicU64, Ordering};

use super::append;
use crate::args::Size;
use crate::disk::{self, Written};
use crate::line::{Better, Line};
use crate::measure::Appends;
use crate::peer::floor::{FloorFile, Room};
use crate::peer::group::Direct;
use crate::peer::{Result, Way, Writer};
use crate::rng::Rng;
use crate::run::{Member, Run, Set};

/// Appends that are counted.
const fn appends(size: Size) -> u64 {
    match size {
        Size::Quick => 2_000,
        Size::Full => 10_000,
    }
}

/// Appends over a few sessions and over all of them. Everyone is closed before and after, so that
/// what a checkpoint writes later is counted too.
pub fn per_append(run: &mut Run<'_>, set: &mut Set) -> Result {
    let all = 0..set.plan.sessions.len() as u32;
    let few = append::SESSIONS;
    for (sessions, words, (most, aim)) in [(few, "100", (1.0 / 8.0, 1.0 / 16.0)), (all, "100,000", (0.5, 0.25))] {
        let work = format!("KiB written per append, over {words} sessions");
        if !run.wants(&work) {
            continue;
        }
        let [to_disk, to_calls, calls] = lines(run, set, &work, sessions)?;
        // The bar is about what the disk has to do.
        run.push(to_disk.part_of_sqlite(most, aim))?;
        run.push(to_calls)?;
        run.push(calls)?;
    }
    Ok(())
}

fn lines(run: &mut Run<'_>, set: &mut Set, work: &str, sessions: std::ops::Range<u32>) -> Result<[Line; 3]> {
    let count = appends(run.size);
    let workload = format!("{count} appends by 1 thread, by the kernel's count; {}", set.words);
    let new = |work: String, unit| Line::new(work, unit, Better::Less).on(workload.clone(), set.cache.words());
    let lines = [
        new(work.to_owned(), "KiB"),
        new(work.replace("KiB written", "KiB given to write calls"), "KiB"),
        new(work.replace("KiB written", "write calls"), "calls"),
    ];
    if let Err(error) = disk::written() {
        return Ok(lines.map(|line| line.skipped(error.to_string())));
    }
    let appends = Appends { sessions, pool: &run.single };
    let mut measured = Vec::new();
    let mut writer = Direct(FloorFile::create(&run.directory.join(work), Room::Preallocated)?);
    let before = disk::written()?;
    appended(&appends, count, &mut writer, &AtomicU64::new(0))?;
    measured.push(("floor", between(before, disk::written()?, count)));
    set.reopen(set.cache)?;
    for Member { kind, peer, acknowledged } in &mut set.members {
        let before = disk::written()?;
        appended(&appends, count, &mut *peer.writer(Way::Connection)?, acknowledged)?;
        peer.reopen(set.cache)?;
        measured.push((kind.name(), between(before, disk::written()?, count)));
    }
    let mut nth = 0;
    Ok(lines.map(|line| {
        nth += 1;
        line.measured(measured.iter().map(|(name, values)| ((*name).to_owned(), values[nth - 1])))
    }))
}

fn appended(appends: &Appends<'_>, count: u64, writer: &mut dyn Writer, done: &AtomicU64) -> Result {
    let (mut choice, until) = (Rng::new(0), done.load(Ordering::Relaxed) + count);
    while done.load(Ordering::Relaxed) < until {
        appends.one(&mut choice, writer, done)?;
    }
    Ok(())
}

/// KiB to the disk, KiB to write calls, write calls: of one append.
fn between(before: Written, after: Written, count: u64) -> [f64; 3] {
    let each = |before: u64, after: u64| (after - before) as f64 / count as f64;
    [
        each(before.to_disk, after.to_disk) / 1024.0,
        each(before.to_calls, after.to_calls) / 1024.0,
        each(before.calls, after.calls),
    ]
}
