//! The longest waits of a writer.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::append;
use crate::line::{Better, Line};
use crate::measure::{Appends, quantile};
use crate::peer::{Result, Way, Writer};
use crate::rng::Rng;
use crate::run::{Member, Run, Set};

/// One append in so many is let through.
const QUANTILE: f64 = 0.999;

/// What a writer waits at the worst when nothing but it writes: for checkpoints, where there are any. What it waits for
/// beside others is measured with [what is done to a long session](super::long).
pub fn of_a_writer(run: &mut Run<'_>, set: &Set) -> Result {
    let work = "p99.9 wait of a writer, checkpoints included";
    if run.wants(work) {
        let (count, mut measured) = (run.size.samples(), Vec::new());
        let appends = Appends { sessions: append::SESSIONS, pool: &run.single };
        for Member { kind, peer, acknowledged } in &set.members {
            let mut waits = waits(&appends, &mut *peer.writer(Way::Connection)?, acknowledged, count)?;
            measured.push((kind.name().to_owned(), quantile(&mut waits, QUANTILE)));
        }
        let workload = format!("{count} appends by 1 thread, {}", append::over_sessions(set));
        let line = Line::new(work, "ms", Better::Less).on(workload, set.cache.words()).measured(measured);
        run.push(line.at_most(100.0, 30.0))?;
    }
    Ok(())
}

/// Milliseconds of so many appends, one after the other.
fn waits(appends: &Appends<'_>, writer: &mut dyn Writer, acknowledged: &AtomicU64, count: usize) -> Result<Vec<f64>> {
    let (mut choice, mut waits) = (Rng::new(0), Vec::with_capacity(count));
    while waits.len() < count {
        let began = Instant::now();
        appends.one(&mut choice, writer, acknowledged)?;
        waits.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(waits)
}
