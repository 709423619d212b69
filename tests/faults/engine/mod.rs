//! The engine as its users have it: senders with every policy, agents, followers, readers of pages, archives, forks,
//! streams, lines, backups and compaction, all at once, on a disk that loses power or fails.

mod facts;
mod people;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use parlor::testkit::{Failure, Loss, SimulatedDisk, Touch, Watcher};
use parlor::{Builder, Engine, Error, ErrorKind, NewSession, Session};

use self::facts::{Facts, Floor, WORKSPACE};
use self::people::Operator;
use crate::suite::random::Random;

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Disks as a power loss left them, each opened and compared.
    pub images: u64,
    /// Of those, after a second power loss, while the first was recovered from.
    pub twice: u64,
    /// Operations that failed, each in a run of its own.
    pub points: u64,
    /// What was acknowledged or read.
    pub facts: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.images += other.images;
        self.twice += other.twice;
        self.points += other.points;
        self.facts += other.facts;
    }
}

/// A moment at which the power may fail.
struct Cut {
    number: u64,
    next: Touch,
    floor: Floor,
    disk: SimulatedDisk,
}

/// Takes a copy of the disk before some of its changes.
struct Cutter {
    seed: u64,
    every: u64,
    facts: Arc<Facts>,
    changes: AtomicU64,
    cuts: SyncSender<Cut>,
}

impl Watcher for Cutter {
    fn before(&self, disk: &SimulatedDisk, next: Touch) {
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        if !Random::of(self.seed, number).one_in(self.every) {
            return;
        }
        let mut floor = self.facts.floor();
        let disk = disk.copy();
        self.facts.widen(&mut floor);
        // Nobody takes it any more once something was found.
        let _ = self.cuts.send(Cut { number, next, floor, disk });
    }
}

fn builder() -> Builder {
    Engine::builder("a simulated disk").workers(4)
}

/// An engine with the behaviour of the agents on it.
fn open(disk: &SimulatedDisk, facts: &Arc<Facts>) -> parlor::Result<Engine> {
    let facts = Arc::clone(facts);
    builder().agent_fn("worker", move |turn| people::agent(turn, &facts)).open_on(disk)
}

/// How long people work on a disk.
#[derive(Clone, Copy)]
struct Effort {
    steps: u64,
    /// Who waits for turns never comes back where the storage fails and no turn ends.
    waits: bool,
}

/// Everybody works on an engine, which is closed then. What failed.
fn live(engine: Engine, facts: &Facts, random: &mut Random, effort: Effort) -> Vec<Error> {
    let sessions = match sessions(&engine, 1 + random.below(3)) {
        Ok(sessions) => sessions,
        Err(error) => return vec![error],
    };
    let seeds = [random.next(), random.next(), random.next()];
    thread::scope(|scope| {
        let follow = |session| scope.spawn(move || people::follow(session, facts));
        let followers: Vec<_> = sessions.iter().map(follow).collect();
        let mut went = work(&engine, &sessions, facts, seeds, effort);
        // Followers end with the engine.
        went.push(engine.close());
        for follower in followers {
            follower.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        went.into_iter().filter_map(Result::err).collect()
    })
}

/// Senders and the operator do what they do, and somebody reads meanwhile.
fn work(engine: &Engine, sessions: &[Session], facts: &Facts, seeds: [u64; 3], effort: Effort) -> Vec<people::Went> {
    let (directory, stop) = (tempfile::tempdir().expect("a directory"), AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| people::read(sessions, facts, &stop, &mut Random::new(seeds[0])));
        let senders = sessions.iter().zip(0..).map(|(session, number)| {
            let mut random = Random::of(seeds[1], number);
            scope.spawn(move || people::send(session, facts, &mut random, effort.steps, effort.waits))
        });
        let mut working: Vec<_> = senders.collect();
        working.push(scope.spawn(|| {
            let random = Random::new(seeds[2]);
            Operator { engine, facts, random, directory: directory.path() }.work(effort.steps / 3)
        }));
        let went: Vec<_> = working.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::SeqCst);
        reader.join().unwrap_or_else(|panic| resume_unwind(panic));
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

/// Plays the script of a seed, and tries what a power loss leaves at about one of `every` changes of the disk, in
/// `losses` ways each.
///
/// # Panics
///
/// When what a power loss left is not what must be there.
pub fn play(seed: u64, every: u64, losses: u64) -> Counts {
    let (cuts, queue) = sync_channel(4);
    let queue = Arc::new(Mutex::new(queue));
    let facts = Arc::new(Facts::default());
    let cutter = Cutter { seed, every, facts: Arc::clone(&facts), changes: AtomicU64::new(0), cuts };
    thread::scope(|scope| {
        let checkers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, facts) = (Arc::clone(&queue), Arc::clone(&facts));
                scope.spawn(move || check_all(seed, losses, &queue, &facts))
            })
            .collect();
        drop(queue);
        // The cutter, and with it the queue's other end, ends with the script.
        script(seed, &facts, SimulatedDisk::new().watched(cutter));
        let mut counts = Counts { facts: facts.count() as u64, ..Counts::default() };
        for checker in checkers {
            counts.add(checker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        counts
    })
}

fn script(seed: u64, facts: &Arc<Facts>, disk: SimulatedDisk) {
    let mut random = Random::of(seed, 1);
    for _ in 0..2 {
        let engine =
            open(&disk, facts).unwrap_or_else(|error| panic!("PARLOR_SEED={seed}: it does not open: {error:?}"));
        let effort = Effort { steps: 6 + random.below(12), waits: true };
        let failed = live(engine, facts, &mut random, effort);
        assert!(failed.is_empty(), "PARLOR_SEED={seed}: nothing fails, and somebody is told {failed:?}");
    }
}

fn check_all(seed: u64, losses: u64, queue: &Mutex<Receiver<Cut>>, facts: &Facts) -> Counts {
    let mut counts = Counts::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(cut) = next else { return counts };
        for number in 0..losses {
            let mut random = Random::of(seed ^ cut.number, number);
            let loss = Loss::of_seed(random.next());
            check_image(&cut, loss, facts, &mut random, &mut counts).unwrap_or_else(|failure| {
                panic!(
                    "PARLOR_SEED={seed}: the power fails at change {} of the disk, before {:?}, and {loss:?}: {failure}",
                    cut.number, cut.next
                )
            });
        }
    }
}

fn check_image(cut: &Cut, loss: Loss, facts: &Facts, random: &mut Random, counts: &mut Counts) -> Result<(), String> {
    let image = || cut.disk.after_power_loss(loss);
    let disk = image();
    check(&disk, facts, &cut.floor)?;
    counts.images += 1;
    if random.one_in(6) {
        (counts.images, counts.twice) = (counts.images + 1, counts.twice + 1);
        let (again, at) = (image(), random.below(disk.operations()));
        again.fail(at, Failure::Cut);
        drop(builder().open_on(&again));
        let loss = Loss::of_seed(random.next());
        let checked = check(&again.after_power_loss(loss), facts, &cut.floor);
        checked.map_err(|failure| format!("cut again at operation {at}, and {loss:?}: {failure}"))?;
    }
    Ok(())
}

/// Opens it where nothing that waits is run, and compares it.
fn check(disk: &SimulatedDisk, facts: &Facts, floor: &Floor) -> Result<(), String> {
    let engine = builder().open_on(disk).map_err(|error| format!("it does not open: {error:?}"))?;
    facts.check(&engine, floor)?;
    engine.close().map_err(|error| format!("it does not close: {error:?}"))
}

/// Plays the script of a seed with some operation of the disk failing in each run, about one of `every`.
///
/// # Panics
///
/// When an answer was not true, or the file does not open again.
pub fn play_points(seed: u64, every: u64) -> Counts {
    use std::io::ErrorKind::{Other, StorageFull};

    let hows = [
        Failure::Once(Other),
        Failure::Forever(Other),
        Failure::Short(Other),
        Failure::Once(StorageFull),
        Failure::Forever(StorageFull),
    ];
    let mut counts = Counts::default();
    let mut at = Random::of(seed, 2).below(every);
    loop {
        let mut random = Random::of(seed, at);
        let how = random.pick(&hows).unwrap_or(Failure::Cut);
        let name = format!("PARLOR_SEED={seed}: operation {at} fails as {how:?}");
        let (facts, disk) = (Arc::new(Facts::default()), SimulatedDisk::new());
        disk.fail(at, how);
        for _ in 0..2 {
            let effort = Effort { steps: 4 + random.below(6), waits: false };
            let failed = match open(&disk, &facts) {
                Ok(engine) => live(engine, &facts, &mut random, effort),
                Err(error) => vec![error],
            };
            let kinds = [ErrorKind::Storage, ErrorKind::NoSpace, ErrorKind::OutcomeUnknown, ErrorKind::Closed];
            let is_true = |error: &Error| disk.operations() > at && kinds.contains(&error.kind());
            assert!(failed.iter().all(is_true), "{name}: somebody is told {failed:?}");
            if !failed.is_empty() {
                break;
            }
        }
        if disk.operations() <= at {
            return counts;
        }
        disk.mend();
        let floor = facts.floor();
        let loss = Loss::of_seed(random.next());
        for (disk, what) in
            [(disk.after_power_loss(loss), format!("after {loss:?}")), (disk, "opened again".to_owned())]
        {
            check(&disk, &facts, &floor).unwrap_or_else(|failure| panic!("{name}: {what}: {failure}"));
        }
        counts.points += 1;
        counts.facts += facts.count() as u64;
        at += 1 + random.below(2 * every - 1);
    }
}
