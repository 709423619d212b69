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
