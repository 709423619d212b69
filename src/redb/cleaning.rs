//! When the steps that clear away deleted sessions run: on the writer thread, each a group of its own.
//!
//! A step runs when nobody waits for the writer; what arrives meanwhile is served before the next one. Where
//! somebody always waits, a step runs all the same once the operations served since the last one may have
//! written as many rows as it takes away, so that what is left cannot grow for ever.

use super::positions::BLOCK;
use super::remnant;
use super::write_set::WriteSet;
use super::writer::Job;
use crate::limit::{REMNANT_ROWS, REMNANT_WAIT_BYTES};
use crate::sync::{Arc, AtomicBool, Ordering, Receiver, TryRecvError};

/// Whether deleted sessions may have left something. Who deletes says so, on the writer thread.
#[derive(Clone, Default)]
pub(super) struct Left(Arc<AtomicBool>);

impl Left {
    /// There may be something.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_any(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Nothing is, as far as is known.
    fn forget(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
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
    /// For a file with so many entries in a block of positions: small blocks, which are a test's, go with small steps.
    pub(super) fn new(left: Left, block: u32) -> Self {
        let rows = REMNANT_ROWS * block.min(BLOCK) as usize / BLOCK as usize;
        Cleaning { left, rows, served: 0 }
    }

    /// Waits for the next job, and has `write` write steps while there is none. None when the last sender is gone.
    pub(super) fn next(&mut self, jobs: &Receiver<Job>, mut write: impl FnMut(Job)) -> Option<Job> {
        if self.served >= REMNANT_WAIT_BYTES {
            self.step(&mut write);
        }
        while self.left.is_any() {
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.step(&mut write),
            }
        }
        jobs.recv().ok()
    }

    /// Takes account of a group that writes about so many bytes.
    pub(super) fn served(&mut self, bytes: usize) {
        self.served = self.served.saturating_add(bytes);
    }

    fn step(&mut self, write: &mut impl FnMut(Job)) {
        self.served = 0;
        if !self.left.is_any() {
            return;
        }
        // A step that fails is not tried again and again: the next deletion, or opening, comes back to it.
        self.left.forget();
        let (left, rows) = (self.left.clone(), self.rows);
        let (job, _) = Job::new(0, move |view| {
            let Some(writes) = remnant::step(view, rows)? else { return Ok((WriteSet::default(), ())) };
            left.note();
            Ok((writes, ()))
        });
        write(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::bounded;

    fn job() -> Job {
        Job::new(0, |_| Ok((WriteSet::default(), ()))).0
    }

    fn cleaning() -> (Left, Cleaning) {
        let left = Left::default();
        left.note();
        (left.clone(), Cleaning::new(left, BLOCK))
    }

    #[test]
    fn what_arrives_during_a_step_is_served_before_the_next_one() {
        let (left, mut cleaning) = cleaning();
        let (sender, jobs) = bounded(2);
        let mut steps = 0;
        for _ in 0..3 {
            let next = cleaning.next(&jobs, |_| {
                steps += 1;
                left.note();
                sender.send(job()).expect("there is room");
            });
            assert!(next.is_some());
        }
        assert_eq!(steps, 3);
    }

    #[test]
    fn a_step_has_its_turn_though_somebody_always_waits() {
        let (left, mut cleaning) = cleaning();
        let (sender, jobs) = bounded(1);
        let mut steps = 0;
        let mut serve = |cleaning: &mut Cleaning, bytes| {
            sender.send(job()).expect("there is room");
            cleaning.next(&jobs, |_| {
                steps += 1;
                left.note();
            });
            cleaning.served(bytes);
            steps
        };
        let half = REMNANT_WAIT_BYTES / 2;
        let served = [half, half - 1, 1, 0, half, half, 0].map(|bytes| serve(&mut cleaning, bytes));
        assert_eq!(served, [0, 0, 0, 1, 1, 1, 2]);
    }

    #[test]
    fn a_step_that_finds_nothing_or_fails_is_the_last_until_there_is_a_reason() {
        let (left, mut cleaning) = cleaning();
        let (sender, jobs) = bounded(1);
        let mut steps = 0;
        // It is the step itself that says that there is more.
        let mut serve = |cleaning: &mut Cleaning| {
            cleaning.next(&jobs, |_| {
                steps += 1;
                sender.send(job()).expect("there is room");
            });
            steps
        };
        assert_eq!(serve(&mut cleaning), 1);
        left.note();
        assert_eq!(serve(&mut cleaning), 2);
        drop(sender);
        assert!(cleaning.next(&jobs, |_| panic!("nothing is left")).is_none());
        left.note();
        assert!(cleaning.next(&jobs, |_| panic!("it is closed")).is_none());
    }
}
