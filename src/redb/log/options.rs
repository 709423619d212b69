//! How large a log is, and what a new one is told of itself.

use uuid::Uuid;

use crate::error::{Error, Result};

/// Segments begin and end at multiples of this many bytes, as pages of a disk do.
pub(super) const BLOCK_BYTES: u32 = 4096;

/// Largest segment, in bytes: a reader holds one in memory.
const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// Most segments that may be asked for.
const SEGMENTS_MAX: u32 = 1024;

/// How large a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) struct Options {
    /// Bytes of a segment: a record must fit into one. A multiple of 4 KiB, at most 1 GiB.
    pub(in crate::redb) segment_bytes: u32,
    /// Segments, 1 to 1024: each is written with zeros when the log is made.
    pub(in crate::redb) segments: u32,
}

impl Options {
    pub(super) fn check(&self) -> Result<()> {
        let within = |name: &str, value: u32, (least, most): (u32, u32)| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::invalid(format!("{name} of a log is {value}; it must be {least} to {most}")))
        };
        within("segment_bytes", self.segment_bytes, (BLOCK_BYTES, SEGMENT_BYTES_MAX))?;
        within("segments", self.segments, (1, SEGMENTS_MAX))?;
        if self.segment_bytes.is_multiple_of(BLOCK_BYTES) {
            return Ok(());
        }
        let text = format!("segment_bytes of a log is {}; it must be a multiple of {BLOCK_BYTES}", self.segment_bytes);
        Err(Error::invalid(text))
    }
}

/// What a log is told of itself when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) struct Origin {
    /// The id of the database that it belongs to.
    pub(in crate::redb) database: Uuid,
    /// Its own id, of no other log.
    pub(in crate::redb) log: Uuid,
    /// The last number that the database has for good: the log begins after it.
    pub(in crate::redb) after: u64,
}
