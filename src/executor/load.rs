//! How much waits for a worker, in turns and in bytes.

use crate::error::{Error, ErrorKind, Result};

/// Turns that were accepted and have not started, with what they hold in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) turns: usize,
    pub(crate) bytes: usize,
}

impl Load {
    /// One turn of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Load { turns: 1, bytes }
    }

    pub(super) fn add(&mut self, other: Load) {
        self.turns += other.turns;
        self.bytes += other.bytes;
    }

    pub(super) fn take(&mut self, other: Load) {
        self.turns -= other.turns;
        self.bytes -= other.bytes;
    }

    pub(super) fn and(mut self, other: Load) -> Load {
        self.add(other);
        self
    }

    /// Refuses where one more makes it too much.
    pub(super) fn check(self, more: Load, most: Load) -> Result<()> {
        let then = self.and(more);
        let text = if then.turns > most.turns {
            format!("{} turns wait for a worker; at most {} may wait", self.turns, most.turns)
        } else if then.bytes > most.bytes {
            format!(
                "{} bytes of turns wait for a worker; with {} more they are over {}",
                self.bytes, more.bytes, most.bytes
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Overloaded, text))
    }
}
