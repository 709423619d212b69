//! Durable appends: by one thread, by many, a hundred at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::corpus::Draft;
use crate::line::{Better, Line};
use crate::measure::{Appends, Contender, interleaved, latency};
use crate::peer::floor::{FloorFile, Room};
use crate::peer::group::{Direct, Group};
use crate::peer::{Kind, Result, Way, Writer};
use crate::plan::ACTIVE;
use crate::rng::Rng;
use crate::run::{Member, Run, Set};

/// The floor's files, and their names in the report: the preallocated one is the floor.
const FLOORS: [(Room, &str); 2] = [(Room::Preallocated, "floor"), (Room::Growing, "growing file")];

/// The sessions that are appended to.
pub const SESSIONS: std::ops::Range<u32> = 1..1 + ACTIVE;

/// One append after the other, of one message and of a hundred.
pub fn by_one_thread(run: &mut Run<'_>, set: &Set) -> Result {
    let work = "durable append, 1 thread";
    if run.wants(work) {
        let line = one_thread(run, set, work, &run.single.clone())?;
        run.push(line.times_sqlite(1.2, 1.6))?;
    }
    let work = "durable batch of 100, 1 thread";
    if run.wants(work) {
        let line = one_thread(run, set, work, &run.hundred.clone())?;
        run.push(line.times_sqlite(1.2, 2.0))?;
    }
    Ok(())
}

fn one_thread(run: &mut Run<'_>, set: &Set, work: &str, pool: &[Arc<[Draft]>]) -> Result<Line> {
    let (appends, of_floors) = (Appends { sessions: SESSIONS, pool }, AtomicU64::new(0));
    let mut contenders = Vec::new();
    for (room, name) in FLOORS {
        let file = FloorFile::create(&run.directory.join(format!("{work}, {name}")), room)?;
        contenders.push(by_one(name, Box::new(Direct(file)), &appends, &of_floors));
    }
    for Member { kind, peer, acknowledged } in &set.members {
        contenders.push(by_one(kind.name(), peer.writer(Way::Connection)?, &appends, acknowledged));
    }
    let measured = interleaved(run.size.writing(), &mut run.rng, contenders)?;
    let line = Line::new(work, "µs", Better::Less).on(over_sessions(set), set.cache.words());
    Ok(line.measured(measured.into_iter().map(|(name, [median])| (name, median))))
}

fn by_one<'a>(
    name: &str,
    mut writer: Box<dyn Writer + 'a>,
    appends: &'a Appends<'_>,
    done: &'a AtomicU64,
) -> Contender<'a> {
    let mut choice = Rng::new(0);
    Contender::new(name, move |time| Ok([latency(time, || appends.one(&mut choice, &mut *writer, done))?]))
}

/// The workload in words.
pub fn over_sessions(set: &Set) -> String {
    format!("over {} sessions at random; {}", SESSIONS.len(), set.words)
}

/// Appends by several threads at once: everyone through one thread that groups, and for eight threads
/// SQLite with eight connections too.
pub fn by_threads(run: &mut Run<'_>, set: &Set, threads: usize) -> Result {
    let work = format!("durable append, {threads} threads");
    if !run.wants(&work) {
        return Ok(());
    }
    let (appends, of_floors) = (Appends { sessions: SESSIONS, pool: &run.single }, AtomicU64::new(0));
    let mut contenders = Vec::new();
    for (room, name) in FLOORS {
        let file = FloorFile::create(&run.directory.join(format!("{work}, {name}")), room)?;
        let group = Group::start(file);
        let writers = (0..threads).map(|_| group.writer() as Box<dyn Writer + '_>).collect();
        contenders.push(by_many(name.to_owned(), writers, &appends, &of_floors));
    }
    for Member { kind, peer, acknowledged } in &set.members {
        let name = if *kind == Kind::Parlor { kind.name().to_owned() } else { format!("{}, grouped", kind.name()) };
        let writers = (0..threads).map(|_| peer.writer(Way::Grouped)).collect::<Result<_>>()?;
        contenders.push(by_many(name, writers, &appends, acknowledged));
        if threads == 8 && kind.is_sqlite() {
            let writers = (0..threads).map(|_| peer.writer(Way::Connection)).collect::<Result<_>>()?;
            contenders.push(by_many(format!("{}, 8 connections", kind.name()), writers, &appends, acknowledged));
        }
    }
    let measured = interleaved(run.size.writing(), &mut run.rng, contenders)?;
    let line = Line::new(work, "msg/s", Better::More).on(over_sessions(set), set.cache.words());
    let line = line.measured(measured.into_iter().map(|(name, [median])| (name, median)));
    let grouped = |name: &str| name.ends_with(", grouped");
    run.push(match threads {
        8 => {
            let line = line.times_better("SQLite grouped", grouped, 1.2, 1.6);
            line.times_better("eight connections", |name| name.ends_with(", 8 connections"), 4.5, 7.0)
        }
        _ => line.times_better("SQLite grouped", grouped, 1.3, 2.0),
    })
}

fn by_many<'a>(
    name: String,
    mut writers: Vec<Box<dyn Writer + 'a>>,
    appends: &'a Appends<'_>,
    done: &'a AtomicU64,
) -> Contender<'a> {
    Contender::new(name, move |time| Ok([appends.rate(time, 0, &mut writers, done)?]))
}
