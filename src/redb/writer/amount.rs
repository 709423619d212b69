//! How much the file lacks: what a checkpoint would write, and what opening would replay.

use super::Keeping;
use crate::limit::CHECKPOINT_BYTES;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Amount {
    groups: u32,
    /// Bytes of the records in the log.
    logged: usize,
}

impl Amount {
    /// A group was written, in a record of so many bytes.
    pub(super) fn add(&mut self, record: usize) {
        self.groups = self.groups.saturating_add(1);
        self.logged = self.logged.saturating_add(record);
    }

    /// Whether there is anything.
    pub(super) fn is_any(&self) -> bool {
        self.groups > 0
    }

    /// Whether it is time for a checkpoint, where it takes so many bytes of memory.
    pub(super) fn is_due(&self, memory: usize, keeping: &Keeping) -> bool {
        self.groups >= keeping.checkpoint_groups()
            || memory >= CHECKPOINT_BYTES
            || self.logged >= keeping.segment_bytes()
    }
}
