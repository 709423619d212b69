//! An archive out into a stream.

use std::io::Write;

use super::chunk::{Opened, open};
use super::container::{Header, write_chunk};
use super::listing::{Standing, find};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{OnProgress, Progress};
use crate::redb::RedbStore;
use crate::redb::codec::{self, ChunkRow};
use crate::redb::tables::{Table, archives};
use crate::redb::view;
use crate::store::ArchiveRef;

/// Writes an archive into a stream, chunk by chunk.
pub(in crate::redb) fn export(
    store: &RedbStore,
    at: &ArchiveRef,
    to: &mut dyn Write,
    on: &mut OnProgress<'_>,
) -> Result<()> {
    let archive = store.read(|view| find(view, at))?;
    let header = Header {
        id: archive.id,
        chunks: archive.chunks,
        bytes: archive.bytes,
        records: archive.records,
        checksum: archive.checksum,
    };
    header.write(to)?;
    match chunks(store, &archive, to, on) {
        // They may be gone because it is.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Err(store.read(|view| find(view, at)).err().unwrap_or(error))
        }
        written => written,
    }
}

fn chunks(store: &RedbStore, archive: &Standing, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()> {
    let mut opened = Opened::default();
    for number in 0..archive.chunks {
        let key = archives::chunk(archive.number, number);
        let read = store.read(|view| {
            view.row(Table::Archives, &key, |value| {
                let row: ChunkRow<'_> = codec::decode(Table::Archives, &key, value)?;
                opened.add(&open(&archive.id, number, &row)?);
                Ok((row.bytes, row.checksum, row.packed.to_vec()))
            })
        })?;
        let (bytes, checksum, packed) = read.ok_or_else(|| view::missing("chunk of an archive", &key))?;
        write_chunk(to, &ChunkRow { bytes, checksum, packed: &packed })?;
        Progress::new(u64::from(number) + 1, archive.chunks.into()).tell(on)?;
    }
    opened.check(archive.bytes, archive.checksum)?;
    to.flush().map_err(|error| {
        Error::new(ErrorKind::Storage, format!("the stream cannot be written: {error}")).with_source(error)
    })
}
