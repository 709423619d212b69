//! Archives of strangers, so that a fuzzer can hold the import to its promise: what stands in a stream may be anything, and
//! its checksums right.

use super::chunk::{Cutter, open};
use super::container::{Header, read_chunk, write_chunk};
use crate::error::Result;
use crate::redb::load::{Record, Unread};

/// What the chunks of an archive's stream say, one after the other.
pub(crate) fn unpack(mut stream: &[u8]) -> Result<Vec<u8>> {
    let header = Header::read(&mut stream)?;
    let (mut records, mut packed) = (Vec::new(), Vec::new());
    for number in 0..header.chunks {
        records.extend(read_chunk(&mut stream, &mut packed, |row| open(&header.id, number, row))?);
    }
    Ok(records)
}

/// A stream whose chunks of at most so many bytes say this, all of whose checksums and counts are right.
pub(crate) fn pack(records: &[u8], most: usize) -> Result<Vec<u8>> {
    let id = [7; 16];
    let (mut cutter, mut chunks) = (Cutter::new(id), Vec::new());
    cutter.stream.extend_from_slice(records);
    while let Some((_, chunk)) = cutter.cut(most)? {
        write_chunk(&mut chunks, &chunk.row())?;
    }
    let whole = cutter.whole();
    let header =
        Header { id, chunks: whole.chunks, bytes: whole.bytes, records: count(records), checksum: whole.checksum };
    let mut stream = Vec::new();
    header.write(&mut stream)?;
    stream.extend(chunks);
    Ok(stream)
}

/// How many of the records are counted, up to the first that is none.
fn count(records: &[u8]) -> u64 {
    let (mut unread, mut counted) = (Unread::default(), 0);
    unread.feed(records);
    while let Ok(Some(record)) = unread.next() {
        counted += u64::from(!matches!(record, Record::Session(_) | Record::Head(_) | Record::Mark(_)));
    }
    counted
}
