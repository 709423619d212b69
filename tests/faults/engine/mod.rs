//! The engine as its users have it: senders with every policy, agents, followers, readers of pages, archives, forks,
//! streams, lines, access keys, backups and compaction, all at once, on a disk that loses power or fails.

mod facts;
pub mod images;
mod law;
mod lives;
mod operator;
mod people;
pub mod points;
mod there;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use parlor::testkit::SimulatedDisk;
use parlor::{Builder, Durability, Engine, Error, NewSession, Session};

use self::facts::{Facts, Floor, Promise, WORKSPACE};
use self::operator::Operator;
use self::people::{Sender, Waiters, Waits, Went};
use crate::suite::random::Random;

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Disks as a power loss left them, each opened and compared.
    pub images: u64,
    /// Of those, after a second power loss, while the first was recovered from.
    pub twice: u64,
    /// Of those, with agents that ran what was left to run; and turns that were run again then.
    pub gone_on: u64,
    pub again: u64,
    /// Of those, of an engine that acknowledges before it syncs, and of one that lets others read.
    pub deferred: u64,
    pub shared: u64,
    /// Operations that failed, each in a run of its own; of those, where somebody was told.
    pub points: u64,
    pub told: u64,
    /// What was acknowledged or read.
    pub facts: u64,
    /// What was done, and what was refused as it may be.
    pub done: BTreeMap<&'static str, u64>,
    pub refused: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.images += other.images;
        self.twice += other.twice;
        self.gone_on += other.gone_on;
        self.again += other.again;
        self.deferred += other.deferred;
        self.shared += other.shared;
        self.points += other.points;
        self.told += other.told;
        self.facts += other.facts;
        for (sum, added) in [(&mut self.done, other.done), (&mut self.refused, other.refused)] {
            added.into_iter().for_each(|(what, count)| *sum.entry(what).or_default() += count);
        }
    }

    fn of(facts: &Facts) -> Self {
        let [done, refused] = facts.acts();
        Counts { facts: facts.count() as u64, done, refused, ..Counts::default() }
    }
}

/// All that people do, and what is refused them now and then as it may be. (Cancelling comes too late most times.)
const DONE: [&str; 35] = [
    "append",
    "archive",
    "back up",
    "compact",
    "create",
    "delete",
    "delete an agent",
    "delete an archive",
    "enqueue",
    "export an archive",
    "export lines",
    "follow",
    "follow up",
    "fork",
    "import an archive",
    "import lines",
    "interrupt",
    "label an agent",
    "make a key",
    "message",
    "page",
    "purge",
    "rename",
    "replace a key",
    "restore",
    "retain",
    "revoke a key",
    "send",
    "send and interrupt",
    "send and roll back",
    "stop",
    "tool call",
    "usage",
    "wait",
    "write",
];
const REFUSED: [&str; 4] = ["append", "cancel", "follow up", "send"];

/// What was never done, and what was never refused.
pub fn missed(counts: &Counts) -> Vec<&'static str> {
    let done = DONE.into_iter().filter(|what| !counts.done.contains_key(what));
    done.chain(REFUSED.into_iter().filter(|what| !counts.refused.contains_key(what))).collect()
}

/// How the engine of a seed is opened.
#[derive(Debug, Clone, Copy)]
struct Mode {
    durability: Durability,
    is_shared: bool,
    /// How often a turn is run in all.
    attempts: u32,
}

impl Mode {
    fn of_seed(seed: u64) -> Self {
        let deferred = Durability::Deferred(Duration::from_millis(1 + seed / 4 % 20));
        let durability = if seed % 4 == 3 { deferred } else { Durability::Sync };
        Mode { durability, is_shared: seed % 4 == 1, attempts: 1 + (seed % 2) as u32 }
    }

    /// What an acknowledgement promises of a disk that loses power.
    fn promise(self) -> Promise {
        if self.durability == Durability::Sync { Promise::OnDisk } else { Promise::InOrder }
    }

    /// An engine with the behaviour of the agents on a disk.
    fn open(self, disk: &SimulatedDisk, facts: &Arc<Facts>) -> parlor::Result<Engine> {
        let facts = Arc::clone(facts);
        let builder = builder().durability(self.durability).attempts(self.attempts);
        let builder = if self.is_shared { builder.shared_readers() } else { builder };
        builder.agent_fn("worker", move |turn| people::agent(turn, &facts)).open_on(disk)
    }
}

fn builder() -> Builder {
    Engine::builder("a simulated disk").workers(4)
}

/// Everybody works on an engine, which is closed then. What failed.
fn live(engine: Engine, facts: &Facts, random: &mut Random, steps: u64, waiters: Option<Waiters>) -> Vec<Error> {
    let sessions = match sessions(&engine, 1 + random.below(3)) {
        Ok(sessions) => sessions,
        Err(error) => return vec![error],
    };
    let seeds = [random.next(), random.next(), random.next()];
    let waits = waiters.as_ref().map_or(Waits::Inline, Waits::Beside);
    let mut failed = thread::scope(|scope| {
        let follow = |session| scope.spawn(move || people::follow(session, facts));
        let followers: Vec<_> = sessions.iter().map(follow).collect();
        let mut went = work(&engine, &sessions, facts, seeds, (steps, waits));
        // Followers end with the engine.
        went.push(engine.close());
        let told = followers.into_iter().map(|follower| follower.join().unwrap_or_else(|panic| resume_unwind(panic)));
        let told: Vec<_> = told.flatten().collect();
        went.into_iter().filter_map(Result::err).chain(told).collect::<Vec<_>>()
    });
    failed.extend(waiters.into_iter().flat_map(|waiters| waiters.join(facts)));
    failed
}

/// Senders and the operator do what they do, and somebody reads meanwhile.
fn work(
    engine: &Engine,
    sessions: &[Session],
    facts: &Facts,
    seeds: [u64; 3],
    (steps, waits): (u64, Waits<'_>),
) -> Vec<Went> {
    let (directory, stop) = (tempfile::tempdir().expect("a directory"), AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| people::read(sessions, facts, &stop, &mut Random::new(seeds[0])));
        let senders = sessions.iter().zip(0..).map(|(session, number)| {
            let random = Random::of(seeds[1], number);
            scope.spawn(move || Sender::new(session, facts, random, waits)?.work(steps))
        });
        let mut working: Vec<_> = senders.collect();
        working.push(scope.spawn(|| {
            let random = Random::new(seeds[2]);
            Operator { engine, facts, random, directory: directory.path() }.work(steps / 3)
        }));
        let mut went: Vec<_> = working.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::SeqCst);
        went.push(reader.join());
        went.into_iter().map(|went| went.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// The sessions that are sent to.
fn sessions(engine: &Engine, count: u64) -> parlor::Result<Vec<Session>> {
    let agent = engine.workspace(WORKSPACE)?.agent("worker")?;
    let named = (0..count).map(|number| {
        let key = format!("session {number}");
        match agent.session_by_key(&key) {
            Err(error) if error.is_not_found() => agent.create_session(NewSession::default().key(key)),
            found => found,
        }
    });
    named.collect()
}

/// Opens a disk where nothing that waits is run, and compares it. How many operations the opening took.
fn check(disk: &SimulatedDisk, facts: &Facts, floor: &Floor) -> Result<u64, String> {
    caught(|| {
        let engine = builder().open_on(disk).map_err(|error| format!("it does not open: {error:?}"))?;
        let opening = disk.operations();
        facts.check(&engine, floor)?;
        engine.close().map_err(|error| format!("it does not close: {error:?}"))?;
        Ok(opening)
    })
}

/// A panic is a failure like others.
fn caught<T>(what: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let text = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"no text").to_string(),
    };
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| Err(format!("it panics: {}", text(panic))))
}

/// Keeps the files of disks on which something failed, each in a folder of its name.
fn keep(name: &str, disks: &[(&str, &SimulatedDisk)]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (disk, files) in disks.iter().map(|(name, disk)| (directory.join(name), disk.files())) {
        fs::create_dir_all(&disk).expect("a directory");
        files.iter().for_each(|(name, content)| fs::write(disk.join(name), content).expect("it is written"));
    }
    directory
}
