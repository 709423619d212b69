//! A record and how it is known to be one.
//!
//! ```text
//! checksum of the other 40 bytes of the head | checksum of the body | bytes of the body u64 | number u64
//! | number that was synced before it u64 | lap u64 | the body | zeros up to a multiple of 8
//! ```
//!
//! The checksums are seeded with the log's id and the place in the file, so that bytes of another log, or at
//! another place, are no record. The head has one of its own: so a record whose body is torn still says where
//! it stood and what it proved, and damaged bytes can be searched for the next one.

use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of a head.
pub(super) const HEAD_BYTES: usize = 6 * size_of::<u64>();

/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;

/// Bytes that a record with a body of this length takes.
pub(in crate::redb) fn record_bytes(body: usize) -> usize {
    body.saturating_add(HEAD_BYTES).checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX)
}

/// What makes the checksums of a log its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Salt(u64);

impl Salt {
    pub(super) fn of(log: Uuid) -> Self {
        Salt(xxh3_64(log.as_bytes()))
    }

    /// Of bytes that stand at `at` in the file.
    pub(super) fn checksum(self, at: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.0.wrapping_add(at))
    }
}

/// What a record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    /// This number, and all before it, were synced before the record was written.
    pub(super) proved: u64,
    /// How many segments had been begun when its own was, that one counted: 1 or more.
    pub(super) lap: u64,
}

impl Head {
    /// Writes the record of this head and body, which is to stand at `at`, in place of what `record` holds.
    pub(super) fn write(self, body: &[u8], at: u64, salt: Salt, record: &mut Vec<u8>) {
        let body_checksum = salt.checksum(at, body);
        let fields = [body_checksum, body.len() as u64, self.number, self.proved, self.lap].map(u64::to_le_bytes);
        record.clear();
        record.extend(salt.checksum(at, fields.as_flattened()).to_le_bytes());
        record.extend(fields.as_flattened());
        record.extend(body);
        record.resize(record.len().next_multiple_of(ALIGN), 0);
    }
}

/// A record whose head is sound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) head: Head,
    /// What stands where its body should.
    pub(super) stands: &'a [u8],
    body_checksum: u64,
    at: u64,
    salt: Salt,
}

impl<'a> Record<'a> {
    /// Reads the record that begins where `bytes` do, which is at `at` in the file; none where none begins, or
    /// where it would reach past the end of `bytes`.
    pub(super) fn read(bytes: &'a [u8], at: u64, salt: Salt) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let (checksum, fields) = head.split_first_chunk()?;
        let (numbers, _) = fields.as_chunks();
        let [body_checksum, length, number, proved, lap] = numbers else { return None };
        let [length, number, proved, lap] = [length, number, proved, lap].map(|number| u64::from_le_bytes(*number));
        // Cheap, and tells nearly all that is no head, zeros above all.
        if lap == 0 {
            return None;
        }
        let stands = rest.get(..usize::try_from(length).ok()?)?;
        let is_sound = salt.checksum(at, fields) == u64::from_le_bytes(*checksum);
        let body_checksum = u64::from_le_bytes(*body_checksum);
        is_sound.then_some(Record { head: Head { number, proved, lap }, stands, body_checksum, at, salt })
    }

    /// The body; none where it is torn.
    pub(super) fn body(&self) -> Option<&'a [u8]> {
        (self.salt.checksum(self.at, self.stands) == self.body_checksum).then_some(self.stands)
    }
}
