//! When the steps that clear away what is left of sessions and archives run: on the writer thread, each a group of its own.
//!
//! A step runs when nobody waits for the writer thread; what arrives meanwhile is served before the next one.
//! Where somebody always waits, a step runs all the same once the operations served since the last one may have
//! written as many rows as it takes away, so that what is left cannot grow for ever.

use std::collections::BTreeSet;

use super::positions::BLOCK;
use super::remnant::Remnant;
use super::view::Read;
use super::write_set::WriteSet;
use super::writer::{Job, Task};
use super::{fault, remnant};
use crate::limit::{REMNANT_ROWS, REMNANT_WAIT_BYTES};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, Receiver, TryRecvError};

/// Whether deleted sessions may have left something. Who deletes says so, while it has the writer.
///
/// What is being written below a remnant is held meanwhile: it is not what is left of anything, as long as who writes it
/// goes on.
#[derive(Clone, Default)]
pub(super) struct Left {
    any: Arc<AtomicBool>,
    held: Arc<Mutex<BTreeSet<Remnant>>>,
}

impl Left {
    /// There may be something.
    pub(super) fn note(&self) {
        self.any.store(true, Ordering::SeqCst);
    }

    fn is_any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// Nothing is, as far as is known.
    fn forget(&self) {
        self.any.store(false, Ordering::SeqCst);
    }

    /// Keeps what stands below a remnant from being cleared away, until what is returned is dropped. To be called while
    /// one has the writer, before the remnant is written.
    pub(super) fn hold(&self, remnant: Remnant) -> Held {
        self.held.lock().insert(remnant);
        Held { left: self.clone(), remnant }
    }

    /// Whether it is being written.
    pub(super) fn is_held(&self, remnant: Remnant) -> bool {
        self.held.lock().contains(&remnant)
    }
}

/// See [`Left::hold`].
pub(super) struct Held {
    left: Left,
    remnant: Remnant,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.left.held.lock().remove(&self.remnant);
        self.left.note();
    }
}

/// What the writer thread does next.
pub(super) enum Next {
    /// A step, as a group of its own.
    Step(Job),
    /// What somebody asks for.
    Task(Task),
    /// It waits until somebody asks for something, or nobody will any more.
    Wait,
}

/// See the [module](self).
pub(super) struct Cleaning {
    left: Left,
    /// Rows that a step takes away.
    rows: usize,
    /// About what was written since the last step, in bytes.
    served: usize,
}

impl Cleaning {
    /// Goes on with what processes that ended have left in a file, which is in this state.
    pub(super) fn of(view: &dyn Read) -> Self {
        let left = Left::default();
        // Where that cannot be read there may be something: damage there is no reason to refuse the file.
        if fault::guarded(|| remnant::is_any(view)).unwrap_or(true) {
            left.note();
        }
        // Small blocks of positions are a test's, and go with small steps.
        let rows = REMNANT_ROWS * view.block().min(BLOCK) as usize / BLOCK as usize;
        Cleaning { left, rows, served: 0 }
    }

    /// To say that something is left.
    pub(super) fn left(&self) -> Left {
        self.left.clone()
    }

    /// What has its turn. It waits for nothing.
    pub(super) fn next(&mut self, tasks: &Receiver<Task>) -> Next {
        if !self.left.is_any() {
            self.served = 0;
            return Next::Wait;
        }
        if self.served >= REMNANT_WAIT_BYTES {
            return Next::Step(self.step());
        }
        match tasks.try_recv() {
            Ok(task) => Next::Task(task),
            Err(TryRecvError::Empty) => Next::Step(self.step()),
            Err(TryRecvError::Disconnected) => Next::Wait,
        }
    }

    /// Takes account of a group that is about to be written.
    pub(super) fn served(&mut self, group: &[Job]) {
        self.served = group.iter().fold(self.served, |served, job| served.saturating_add(job.bytes));
    }

    /// The next step. It says itself whether it left anything: one that fails is not tried again and again, the
    /// next deletion, or opening, comes back to it.
    fn step(&mut self) -> Job {
        self.served = 0;
        self.left.forget();
        let (left, rows) = (self.left.clone(), self.rows);
        let (step, _) = Job::new(0, move |view| {
            let Some(writes) = remnant::step(view, rows, &|remnant| left.is_held(remnant))? else {
                return Ok((WriteSet::default(), ()));
            };
            left.note();
            Ok((writes, ()))
        });
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Sender, bounded};

    /// Something is left, for good.
    fn cleaning() -> (Cleaning, Sender<Task>, Receiver<Task>) {
        let left = Left::default();
        left.note();
        let (tasks, queue) = bounded(8);
        (Cleaning { left, rows: REMNANT_ROWS, served: 0 }, tasks, queue)
    }

    fn job(bytes: usize) -> Job {
        Job::new(bytes, |_| Ok((WriteSet::default(), ()))).0
    }

    /// What is next, in a letter. A step leaves something.
    fn next(cleaning: &mut Cleaning, queue: &Receiver<Task>) -> char {
        let next = cleaning.next(queue);
        match next {
            Next::Step(_) => {
                cleaning.left.note();
                's'
            }
            Next::Task(Task::Job(job)) => {
                cleaning.served(&[job]);
                'j'
            }
            Next::Task(Task::Look) => 'l',
            Next::Wait => 'w',
        }
    }

    #[test]
    fn what_arrives_during_a_step_is_served_before_the_next_one() {
        let (mut cleaning, tasks, queue) = cleaning();
        let mut turns = String::new();
        for arriving in [0, 1, 0, 2, 0, 0] {
            (0..arriving).for_each(|_| tasks.send(Task::Job(job(1))).expect("there is room"));
            turns.push(next(&mut cleaning, &queue));
        }
        assert_eq!(turns, "sjsjjs");
    }

    #[test]
    fn a_step_has_its_turn_though_somebody_always_waits() {
        let (mut cleaning, tasks, queue) = cleaning();
        let half = REMNANT_WAIT_BYTES / 2;
        for bytes in [half, half - 1, 1, 0, half, half, 0] {
            tasks.send(Task::Job(job(bytes))).expect("there is room");
        }
        let turns: String = (0..9).map(|_| next(&mut cleaning, &queue)).collect();
        assert_eq!(turns, "jjjsjjjsj");
    }

    #[test]
    fn a_step_that_finds_nothing_or_fails_is_the_last_until_there_is_a_reason() {
        let (mut cleaning, tasks, queue) = cleaning();
        assert!(matches!(cleaning.next(&queue), Next::Step(_)));
        assert_eq!(next(&mut cleaning, &queue), 'w', "it did not say that it left anything");
        cleaning.left.note();
        tasks.send(Task::Look).expect("there is room");
        assert_eq!([(); 2].map(|()| next(&mut cleaning, &queue)), ['l', 's']);
        drop(tasks);
        assert_eq!(next(&mut cleaning, &queue), 'w', "it is closed, and waiting tells so");
    }
}
