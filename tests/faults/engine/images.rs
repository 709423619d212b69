//! The power fails beneath an engine at work, before any change of its disk.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use parlor::SessionStatus;
use parlor::testkit::{Failure, Loss, SimulatedDisk, Touch, Watcher};

use super::facts::{Facts, Floor, Promise, WORKSPACE};
use super::{Counts, Mode, builder, caught, check, keep, live};
use crate::suite::random::Random;

/// Longer than any turn takes.
const LONG: Duration = Duration::from_secs(600);

/// Which cuts are tried: about one of so many, or the one of this number; and in how many ways the power fails at each.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    pub every: u64,
    pub only: Option<u64>,
    pub losses: u64,
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
    which: Cuts,
    promise: Promise,
    facts: Arc<Facts>,
    changes: AtomicU64,
    cuts: SyncSender<Cut>,
}

impl Watcher for Cutter {
    fn before(&self, disk: &SimulatedDisk, next: Touch) {
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        let is_one = match self.which.only {
            Some(only) => number == only,
            None => Random::of(self.seed, number).one_in(self.which.every),
        };
        if !is_one {
            return;
        }
        let mut floor = self.facts.floor(self.promise);
        let disk = disk.copy();
        self.facts.widen(&mut floor);
        // Nobody takes it any more once something was found.
        let _ = self.cuts.send(Cut { number, next, floor, disk });
    }
}

/// Plays the script of a seed, and tries what a power loss leaves at these moments.
///
/// # Panics
///
/// When what a power loss left is not what must be there.
pub fn play(seed: u64, which: Cuts) -> Counts {
    let (cuts, queue) = sync_channel(4);
    let queue = Arc::new(Mutex::new(queue));
    let (facts, mode) = (Arc::new(Facts::default()), Mode::of_seed(seed));
    let (changes, promise) = (AtomicU64::new(0), mode.promise());
    let cutter = Cutter { seed, which, promise, facts: Arc::clone(&facts), changes, cuts };
    thread::scope(|scope| {
        let checkers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, facts) = (Arc::clone(&queue), Arc::clone(&facts));
                let script = Script { seed, losses: which.losses, mode, facts };
                scope.spawn(move || script.check_all(&queue))
            })
            .collect();
        drop(queue);
        // The cutter, and with it the queue's other end, ends with the script.
        script(seed, mode, &facts, SimulatedDisk::new().watched(cutter));
        let mut counts = Counts::of(&facts);
        for checker in checkers {
            counts.add(checker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        counts
    })
}

fn script(seed: u64, mode: Mode, facts: &Arc<Facts>, disk: SimulatedDisk) {
    let mut random = Random::of(seed, 1);
    for _ in 0..2 {
        let engine = mode.open(&disk, facts);
        let engine = engine.unwrap_or_else(|error| panic!("PARLOR_SEED={seed}: it does not open: {error:?}"));
        let steps = 6 + random.below(12);
        let failed = live(engine, facts, &mut random, steps, None);
        assert!(failed.is_empty(), "PARLOR_SEED={seed}: nothing fails, and somebody is told {failed:?}");
        facts.settle();
    }
}

/// A script, of whose disks copies are checked.
struct Script {
    seed: u64,
    losses: u64,
    mode: Mode,
    facts: Arc<Facts>,
}

/// What is wrong, and with which disk, as it was before it was opened.
type Failed = (String, SimulatedDisk);

impl Script {
    fn check_all(&self, queue: &Mutex<Receiver<Cut>>) -> Counts {
        let mut counts = Counts::default();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(cut) = next else { return counts };
            for number in 0..self.losses {
                let mut random = Random::of(self.seed ^ cut.number, number);
                let loss = Loss::of_seed(random.next());
                self.check_image(&cut, loss, &mut random, &mut counts).unwrap_or_else(|(failure, disk)| {
                    let name = format!("engine-{}-{}", self.seed, cut.number);
                    let kept = keep(&name, &[("cut", &cut.disk), ("lost", &disk)]);
                    panic!(
                        "PARLOR_SEED={} PARLOR_AT={}: the power fails before {:?}, and {loss:?}: {failure}\nits files are \
                         in {}",
                        self.seed,
                        cut.number,
                        cut.next,
                        kept.display()
                    )
                });
            }
        }
    }

    fn check_image(&self, cut: &Cut, loss: Loss, random: &mut Random, counts: &mut Counts) -> Result<(), Failed> {
        let image = || cut.disk.after_power_loss(loss);
        let opening = check(&image(), &self.facts, &cut.floor).map_err(|failure| (failure, image()))?;
        counts.images += 1;
        counts.deferred += u64::from(self.mode.promise() == Promise::InOrder);
        counts.shared += u64::from(self.mode.is_shared);
        if random.one_in(8) {
            counts.gone_on += 1;
            counts.again += self.go_on(&image(), &cut.floor).map_err(|failure| (failure, image()))?;
        }
        if random.one_in(6) {
            let (again, at) = (image(), random.below(opening));
            again.fail(at, Failure::Cut);
            drop(builder().open_on(&again));
            let loss = Loss::of_seed(random.next());
            let image = || again.after_power_loss(loss);
            check(&image(), &self.facts, &cut.floor)
                .map_err(|failure| (format!("cut again at operation {at}, and {loss:?}: {failure}"), image()))?;
            if again.operations() > at {
                (counts.images, counts.twice) = (counts.images + 1, counts.twice + 1);
            }
        }
        Ok(())
    }

    /// What was left to run is run, and all that must be there is there still, with what was added. How many turns were run again.
    fn go_on(&self, disk: &SimulatedDisk, floor: &Floor) -> Result<u64, String> {
        // Agents may do once more what they did when that was lost.
        let (added, floor) = (Arc::new(Facts::default()), floor.due());
        let again = caught(|| {
            let engine = self.mode.open(disk, &added).map_err(|error| format!("it does not go on: {error:?}"))?;
            let mut again = 0;
            for session in sessions(&engine).map_err(|error| format!("it is not read: {error:?}"))? {
                let failed = |error| format!("session {} does not go on: {error:?}", session.id());
                let record = session.idle().wait_timeout(LONG).map_err(failed)?;
                if record.status == SessionStatus::Running {
                    return Err(format!("it never ends: {record:?}"));
                }
                let turns = session.turns(100).map_err(failed)?.items;
                again += turns.iter().filter(|turn| turn.attempt > 1).count() as u64;
            }
            self.facts.check(&engine, &floor)?;
            engine.close().map_err(|error| format!("it does not close: {error:?}"))?;
            Ok(again)
        });
        let again = again.map_err(|failure| format!("going on: {failure}"))?;
        for facts in [&self.facts, &added] {
            let floor = if Arc::ptr_eq(facts, &added) { added.floor(Promise::OnDisk) } else { floor };
            check(disk, facts, &floor).map_err(|failure| format!("going on, closed and opened: {failure}"))?;
        }
        Ok(again)
    }
}

/// The sessions that are sent to, as far as they were made.
fn sessions(engine: &parlor::Engine) -> parlor::Result<Vec<parlor::Session>> {
    let Some(workspace) = engine.find_workspace(WORKSPACE)? else { return Ok(Vec::new()) };
    let Some(agent) = workspace.find_agent("worker")? else { return Ok(Vec::new()) };
    agent.sessions(100)?.items.iter().map(|record| agent.session(record.id)).collect()
}
