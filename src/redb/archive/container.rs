//! An archive as a stream of bytes that leaves the store.
//!
//! ```text
//! "parlorar" | version u32 (1) | the archive's id (16) | chunks u32 | bytes u64 | records u64 | checksum u64
//! | checksum of all that u64
//! then for each chunk: bytes u32 | length u32 | checksum u64 | its block, of that length
//! ```
//!
//! Numbers are little-endian. What of it is said before it comes is held to a bound before memory is taken for it.

use std::io::{Read, Write};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::limit::{ARCHIVE_BYTES, ARCHIVE_CHUNK_BYTES};
use crate::redb::codec::{ChunkRow, Id};

const MAGIC: [u8; 8] = *b"parlorar";
const VERSION: u32 = 1;
/// Bytes of the header that its checksum is made of.
const HEADER_BYTES: usize = 56;

/// What is said of an archive before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: Id,
    pub(super) chunks: u32,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) checksum: u64,
}

impl Header {
    pub(super) fn write(&self, to: &mut dyn Write) -> Result<()> {
        let Header { id, chunks, bytes, records, checksum } = self;
        let header = [
            &MAGIC[..],
            &VERSION.to_le_bytes(),
            id,
            &chunks.to_le_bytes(),
            &bytes.to_le_bytes(),
            &records.to_le_bytes(),
            &checksum.to_le_bytes(),
        ];
        let header = header.concat();
        write(to, &header)?;
        write(to, &xxh3_64(&header).to_le_bytes())
    }

    pub(super) fn read(from: &mut dyn Read) -> Result<Self> {
        let (magic, version) = (array(from)?, array(from)?);
        if magic != MAGIC {
            return Err(Error::corrupt("the stream is no archive"));
        }
        if u32::from_le_bytes(version) != VERSION {
            return Err(Error::other_format("the archive", u32::from_le_bytes(version), VERSION));
        }
        let rest: [u8; HEADER_BYTES - 12] = array(from)?;
        let sum = xxh3_64(&[&magic[..], &version, &rest].concat());
        if sum != u64::from_le_bytes(array(from)?) {
            return Err(Error::corrupt("the header of the archive fails its checksum"));
        }
        let mut rest = &rest[..];
        let header = Header {
            id: array(&mut rest)?,
            chunks: u32::from_le_bytes(array(&mut rest)?),
            bytes: u64::from_le_bytes(array(&mut rest)?),
            records: u64::from_le_bytes(array(&mut rest)?),
            checksum: u64::from_le_bytes(array(&mut rest)?),
        };
        if header.bytes > ARCHIVE_BYTES {
            let text =
                format!("the archive has {} bytes; it may have at most {ARCHIVE_BYTES} (ARCHIVE_BYTES)", header.bytes);
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(header)
    }
}

/// Writes a chunk.
pub(super) fn write_chunk(to: &mut dyn Write, row: &ChunkRow<'_>) -> Result<()> {
    // It was held to its bound when it was made.
    let length = u32::try_from(row.packed.len()).unwrap_or(u32::MAX);
    write(to, &row.bytes.to_le_bytes())?;
    write(to, &length.to_le_bytes())?;
    write(to, &row.checksum.to_le_bytes())?;
    write(to, row.packed)
}

/// Reads a chunk, the block into `packed`, and calls `opened` with it.
pub(super) fn read_chunk<T>(
    from: &mut dyn Read,
    packed: &mut Vec<u8>,
    opened: impl FnOnce(&ChunkRow<'_>) -> Result<T>,
) -> Result<T> {
    let (bytes, length) = (u32::from_le_bytes(array(from)?), u32::from_le_bytes(array(from)?));
    let checksum = u64::from_le_bytes(array(from)?);
    let most = lz4_flex::block::get_maximum_output_size(ARCHIVE_CHUNK_BYTES);
    if length as usize > most {
        return Err(Error::corrupt(format!("a chunk of the archive has {length} bytes; it may have at most {most}")));
    }
    packed.clear();
    packed.resize(length as usize, 0);
    read(from, packed)?;
    opened(&ChunkRow { bytes, checksum, packed })
}

fn array<const N: usize>(from: &mut dyn Read) -> Result<[u8; N]> {
    let mut array = [0; N];
    read(from, &mut array)?;
    Ok(array)
}

fn read(from: &mut dyn Read, to: &mut [u8]) -> Result<()> {
    from.read_exact(to).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::corrupt("the stream ends within the archive").with_source(error),
        _ => Error::new(ErrorKind::Storage, format!("the stream cannot be read: {error}")).with_source(error),
    })
}

fn write(to: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).map_err(|error| {
        Error::new(ErrorKind::Storage, format!("the stream cannot be written: {error}")).with_source(error)
    })
}
