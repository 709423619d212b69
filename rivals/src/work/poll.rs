//! Short reads of many sessions: polls, histories, the list of sessions.

use std::hint::black_box;

use super::reading;
use crate::line::{Better, Line};
use crate::peer::{Filter, Reader, Result, Wanted};
use crate::run::{Run, SAMPLE, Set};

const FILTER: Filter = Filter::session(Wanted::Quarter);

/// Polls with a cursor that is `behind` so many matching messages.
pub fn polls(run: &mut Run<'_>, set: &Set) -> Result {
    for (work, behind, least, aim) in [("poll, nothing new", 0, 6.0, 10.0), ("poll, one new", 1, 3.0, 5.0)] {
        if !run.wants(work) {
            continue;
        }
        let workload = format!("one type of one role, {} sessions of 1,000 at random; {}", SAMPLE.len(), set.words);
        let line = Line::new(work, "µs", Better::Less).on(workload, set.cache.words());
        let cursor = |reader: &mut dyn Reader, session| {
            let newest = reader.page(session, FILTER, 1)?.found()?.items;
            Ok((session, newest.get(behind).ok_or("a session is too short")?.ts))
        };
        let turns = run.size.reading();
        let line = reading(
            run,
            set,
            turns,
            line,
            |reader| SAMPLE.map(|session| cursor(reader, session)).collect::<Result<Vec<_>>>(),
            |reader, cursors, rng| {
                let (session, after) = cursors[rng.below(cursors.len() as u64) as usize];
                black_box(reader.poll(session, FILTER, after)?);
                Ok(())
            },
        )?;
        run.push(line.times_sqlite(least, aim))?;
    }
    Ok(())
}

/// The newest 1,000 messages of a session.
pub fn histories(run: &mut Run<'_>, set: &Set) -> Result {
    let work = "history of 1,000";
    if !run.wants(work) {
        return Ok(());
    }
    let workload = format!("{} sessions of 1,000 at random; {}", SAMPLE.len(), set.words);
    let line = Line::new(work, "µs", Better::Less).on(workload, set.cache.words());
    let turns = run.size.reading();
    let line = reading(
        run,
        set,
        turns,
        line,
        |_| Ok(()),
        |reader, (), rng| {
            black_box(reader.history(SAMPLE.start + rng.below(SAMPLE.len() as u64) as u32, 1000)?);
            Ok(())
        },
    )?;
    run.push(line.times_sqlite(1.4, 1.8))
}

/// The sessions of the newest activity, of all there are.
pub fn sessions(run: &mut Run<'_>, set: &Set) -> Result {
    let work = "50 newest of 100,000 sessions";
    if !run.wants(work) {
        return Ok(());
    }
    let line = Line::new(work, "µs", Better::Less).on(format!("exact total; {}", set.words), set.cache.words());
    let turns = run.size.reading();
    let line = reading(
        run,
        set,
        turns,
        line,
        |_| Ok(()),
        |reader, (), _| {
            black_box(reader.sessions()?);
            Ok(())
        },
    )?;
    run.push(line.times_sqlite(1.6, 2.2))
}
