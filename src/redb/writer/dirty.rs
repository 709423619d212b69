//! How much a checkpoint would have to write, about.

use std::collections::HashSet;

use crate::limit::{CHECKPOINT_GROUPS, CHECKPOINT_PAGES, CHECKPOINT_PAUSE_MS};
use crate::redb::log::record_bytes;
use crate::redb::tables::Table;
use crate::redb::write_set::WriteSet;
use crate::time::Duration;

/// Its rows, its head, where it stood in two listings, and what leads to them.
const PAGES_A_SESSION: usize = 6;
const PAGE_BYTES: usize = 4096;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Dirty {
    /// The sessions that were changed, by their numbers.
    sessions: HashSet<[u8; 4]>,
    groups: u32,
    bytes: usize,
    /// How many pages may be dirty before a checkpoint: as many as the disk writes within the pause.
    most_pages: usize,
    /// Bytes of a segment of the log.
    segment: usize,
}

impl Dirty {
    /// Nothing is dirty; the log has segments of so many bytes.
    pub(super) fn new(segment: usize) -> Self {
        Dirty { sessions: HashSet::new(), groups: 0, bytes: 0, most_pages: CHECKPOINT_PAGES, segment }
    }

    /// Whether the log has room for a record with so many bytes of body, whatever part of a segment the ones before it have left.
    pub(super) fn leaves_room_for(&self, body: usize) -> bool {
        let record = record_bytes(body);
        record <= self.segment / 4 && self.bytes + record <= self.segment / 4 * 3
    }

    /// What a group is about to change.
    pub(super) fn note(&mut self, writes: &WriteSet) {
        writes.each_key(|table, key| {
            if let (Table::Rows | Table::Sessions, Some(session)) = (table, key.first_chunk()) {
                self.sessions.insert(*session);
            }
        });
    }

    /// A group was logged, in a record with so many bytes of body.
    pub(super) fn logged(&mut self, body: usize) {
        self.groups = self.groups.saturating_add(1);
        self.bytes = self.bytes.saturating_add(record_bytes(body));
    }

    /// Whether anything is dirty.
    pub(super) fn is_any(&self) -> bool {
        self.groups > 0
    }

    /// About how many pages: what a session's first change touches, and what is new, on pages that are half full.
    fn pages(&self) -> usize {
        self.sessions.len() * PAGES_A_SESSION + self.bytes / (PAGE_BYTES / 2)
    }

    /// Whether it is time for a checkpoint.
    pub(super) fn is_due(&self) -> bool {
        self.pages() >= self.most_pages || self.groups >= CHECKPOINT_GROUPS || self.bytes >= self.segment / 2
    }

    /// Everything was made durable.
    pub(super) fn clean(&mut self) {
        self.sessions.clear();
        self.groups = 0;
        self.bytes = 0;
    }

    /// A checkpoint of what is dirty took so long: the next is to take no longer than it may, and need not
    /// be shorter.
    pub(super) fn took(&mut self, pause: Duration) {
        let pages = self.pages();
        if pages < CHECKPOINT_PAGES / 4 {
            return;
        }
        let within =
            pages as f64 * Duration::from_millis(CHECKPOINT_PAUSE_MS).as_secs_f64() / pause.as_secs_f64().max(1e-6);
        // No further than half the way at once: one slow sync says little.
        let aim = (self.most_pages as f64 + within) / 2.0;
        self.most_pages = (aim as usize).clamp(CHECKPOINT_PAGES / 2, CHECKPOINT_PAGES * 4);
    }
}
