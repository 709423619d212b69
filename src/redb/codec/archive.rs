//! The rows of archives.

use bincode::{BorrowDecode, Encode};

use super::{Id, Row, Unreadable, Unwritable, UsageRow, from_bincode, to_bincode};
use crate::error::Result;

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ArchiveRow<'a> {
    /// What its chunks are bound to.
    pub id: Id,
    pub workspace: u32,
    pub agent: u32,
    /// The session's id.
    pub session: Id,
    /// The number that the session had: what it has in the outbox stands under it.
    pub number: u32,
    pub filename: &'a str,
    pub key: &'a str,
    pub label: Option<&'a str>,
    pub messages: u32,
    pub turns: u32,
    pub changes: u64,
    pub usage: Option<UsageRow>,
    pub created_at: u64,
    pub archived_at: u64,
    /// Its chunks, and what they are before they are compressed: bytes, and records, and the checksum of it all.
    pub chunks: u32,
    pub bytes: u64,
    pub records: u64,
    pub checksum: u64,
}

impl<'a> Row<'a> for ArchiveRow<'a> {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "archive";

    fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
        to_bincode(self, payload)
    }

    fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        from_bincode(payload)
    }
}

/// Where a session is that is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ArchivedRow {
    pub archive: u32,
    /// The number that the session had.
    pub session: u32,
}

impl<'a> Row<'a> for ArchivedRow {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "archived session";

    fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
        to_bincode(self, payload)
    }

    fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        from_bincode(payload)
    }
}

/// A part of an archive, compressed.
///
/// ```text
/// bytes before it was compressed u32 | checksum u64 | compressed bytes
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) struct ChunkRow<'a> {
    pub bytes: u32,
    pub checksum: u64,
    pub packed: &'a [u8],
}

impl<'a> Row<'a> for ChunkRow<'a> {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "chunk of an archive";

    fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
        payload.extend(self.bytes.to_le_bytes());
        payload.extend(self.checksum.to_le_bytes());
        payload.extend(self.packed);
        Ok(())
    }

    fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        let (bytes, rest) = payload.split_first_chunk().ok_or(Unreadable::Cut)?;
        let (checksum, packed) = rest.split_first_chunk().ok_or(Unreadable::Cut)?;
        Ok(ChunkRow { bytes: u32::from_le_bytes(*bytes), checksum: u64::from_le_bytes(*checksum), packed })
    }
}
