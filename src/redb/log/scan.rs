//! Finding the records of a segment, also behind damaged ones.

use super::record::{ALIGN, HEAD_BYTES, Head, Record, Salt, record_bytes};

/// How often over the bytes of a segment are read as bodies that then prove torn. A crash leaves few that
/// overlap; a file made to keep its reader busy could have a hundred thousand.
const TORN_TIMES: usize = 16;

/// What was found where a record stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) head: Head,
    /// None where it is torn.
    pub(super) body: Option<&'a [u8]>,
}

/// The records of a segment, in the order of their places.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    segment: &'a [u8],
    /// Where the segment begins in the file.
    start: u64,
    salt: Salt,
    /// Where the search goes on, from the segment's beginning.
    at: usize,
    /// How many more bytes of torn bodies are read.
    torn_left: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(segment: &'a [u8], start: u64, salt: Salt) -> Self {
        Scan { segment, start, salt, at: 0, torn_left: segment.len().saturating_mul(TORN_TIMES) }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        loop {
            let bytes = self.segment.get(self.at..).filter(|bytes| bytes.len() >= HEAD_BYTES)?;
            let Some(record) = Record::read(bytes, self.start + self.at as u64, self.salt) else {
                self.at += ALIGN;
                continue;
            };
            let length = record.stands.len();
            let body = if length <= self.torn_left { record.body() } else { None };
            if body.is_some() {
                // Nothing was written over it, so no record begins within.
                self.at = self.at.saturating_add(record_bytes(length));
            } else {
                // It may be of an earlier lap, with newer records where its body was.
                self.torn_left = self.torn_left.saturating_sub(length);
                self.at += ALIGN;
            }
            return Some(Found { head: record.head, body });
        }
    }
}
