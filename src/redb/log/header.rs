//! The first block of the file: what log this is, and how large.
//!
//! ```text
//! 0    "parlorlg" | version u32 | segment bytes u32 | segments u32
//!      | the database's id (16) | the log's id (16) | after u64
//! 504  checksum of the 504 bytes before it
//! ```
//!
//! The first sector is never written again. Whatever the version, the first twelve bytes and the checksum of
//! the first sector stay as they are.

use std::path::Path;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::options::{BLOCK_BYTES, Options, Origin};
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"parlorlg";

/// The format that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

/// What a disk writes wholly or not at all.
const SECTOR_BYTES: usize = 512;

/// What the header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) origin: Origin,
    pub(super) options: Options,
}

impl Header {
    /// Where a segment begins, counted from 0. It is also the length of a log of that many.
    pub(super) fn segment_at(&self, index: u32) -> u64 {
        u64::from(BLOCK_BYTES) + u64::from(index) * u64::from(self.options.segment_bytes)
    }

    /// The first block of the file.
    pub(super) fn block(&self) -> Vec<u8> {
        let Header { origin, options } = self;
        let fields: [&[u8]; 7] = [
            MAGIC,
            &VERSION.to_le_bytes(),
            &options.segment_bytes.to_le_bytes(),
            &options.segments.to_le_bytes(),
            origin.database.as_bytes(),
            origin.log.as_bytes(),
            &origin.after.to_le_bytes(),
        ];
        let mut block = fields.concat();
        block.resize(SECTOR_BYTES - size_of::<u64>(), 0);
        block.extend(xxh3_64(&block).to_le_bytes());
        block.resize(BLOCK_BYTES as usize, 0);
        block
    }

    /// Reads the first block of the file at `path`.
    pub(super) fn read(block: &[u8], path: &Path) -> Result<Header> {
        let damaged = || Error::corrupt(format!("{} is damaged, or no log of parlor's: its header", path.display()));
        let sealed = block.get(..SECTOR_BYTES).and_then(|sector| sector.split_last_chunk());
        let (sealed, checksum) = sealed.ok_or_else(damaged)?;
        let mut fields = sealed.strip_prefix(MAGIC).ok_or_else(damaged)?;
        if xxh3_64(sealed) != u64::from_le_bytes(*checksum) {
            return Err(damaged());
        }
        let version = field(&mut fields).map(u32::from_le_bytes).ok_or_else(damaged)?;
        if version != VERSION {
            return Err(Error::other_format(path.display(), version, VERSION));
        }
        let header = Self::fields(fields).ok_or_else(damaged)?;
        header.options.check().map_err(|error| damaged().with_source(error))?;
        Ok(header)
    }

    fn fields(mut fields: &[u8]) -> Option<Header> {
        let options = Options {
            segment_bytes: u32::from_le_bytes(field(&mut fields)?),
            segments: u32::from_le_bytes(field(&mut fields)?),
        };
        let origin = Origin {
            database: Uuid::from_bytes(field(&mut fields)?),
            log: Uuid::from_bytes(field(&mut fields)?),
            after: u64::from_le_bytes(field(&mut fields)?),
        };
        Some(Header { origin, options })
    }
}

/// Takes a field off the front.
fn field<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*field)
}
