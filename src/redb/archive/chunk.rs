//! The chunks of an archive: parts of one stream, each compressed, with a checksum that binds it to its archive and its place.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, Result};
use crate::limit::ARCHIVE_CHUNK_BYTES;
use crate::redb::codec::{ChunkRow, Id};

/// A chunk as it is to be written.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: u32,
    checksum: u64,
    packed: Vec<u8>,
}

impl Chunk {
    pub(super) fn row(&self) -> ChunkRow<'_> {
        ChunkRow { bytes: self.bytes, checksum: self.checksum, packed: &self.packed }
    }

    /// About what it takes.
    pub(super) fn size(&self) -> usize {
        self.packed.len()
    }
}

/// Cuts a stream into chunks.
pub(super) struct Cutter {
    archive: Id,
    /// What is in no chunk yet.
    pub(super) stream: Vec<u8>,
    chunks: u32,
    bytes: u64,
    whole: Xxh3,
}

/// What all chunks of an archive are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) chunks: u32,
    pub(super) bytes: u64,
    pub(super) checksum: u64,
}

impl Cutter {
    /// For an archive of this id.
    pub(super) fn new(archive: Id) -> Self {
        Cutter { archive, stream: Vec::new(), chunks: 0, bytes: 0, whole: Xxh3::new() }
    }

    /// The next chunk, of at most so many bytes before it is compressed, with its number; none where there is nothing left.
    pub(super) fn cut(&mut self, most: usize) -> Result<Option<(u32, Chunk)>> {
        let most = most.clamp(1, ARCHIVE_CHUNK_BYTES).min(self.stream.len());
        let Some(part) = self.stream.get(..most).filter(|part| !part.is_empty()) else { return Ok(None) };
        let number = self.chunks;
        let more = number.checked_add(1);
        self.chunks = more.ok_or_else(|| Error::invalid("an archive has more chunks than there can be"))?;
        self.whole.update(part);
        self.bytes += part.len() as u64;
        let packed = lz4_flex::block::compress(part);
        // It is no longer than the bound.
        let bytes = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let checksum = checksum(&self.archive, number, bytes, &packed);
        self.stream.drain(..most);
        Ok(Some((number, Chunk { bytes, checksum, packed })))
    }

    /// What it was, all of it.
    pub(super) fn whole(&self) -> Whole {
        Whole { chunks: self.chunks, bytes: self.bytes, checksum: self.whole.digest() }
    }
}

/// Of what is stored of a chunk, for this place of this archive alone.
fn checksum(archive: &Id, number: u32, bytes: u32, packed: &[u8]) -> u64 {
    let place = [&archive[..], &number.to_le_bytes()].concat();
    let mut sum = Xxh3::with_seed(xxh3_64(&place));
    sum.update(&bytes.to_le_bytes());
    sum.update(packed);
    sum.digest()
}

/// What a chunk says, in its place. It takes no more memory than a chunk may have, whatever the row says.
pub(in crate::redb) fn open(archive: &Id, number: u32, row: &ChunkRow<'_>) -> Result<Vec<u8>> {
    let wrong = |why: &str| Error::corrupt(format!("chunk {number} of an archive {why}"));
    if checksum(archive, number, row.bytes, row.packed) != row.checksum {
        return Err(wrong("fails its checksum"));
    }
    let bytes = row.bytes as usize;
    if bytes == 0 || bytes > ARCHIVE_CHUNK_BYTES {
        return Err(Error::corrupt(format!(
            "chunk {number} of an archive has {bytes} bytes; it may have 1 to {ARCHIVE_CHUNK_BYTES} (ARCHIVE_CHUNK_BYTES)"
        )));
    }
    let mut stream = vec![0; bytes];
    match lz4_flex::block::decompress_into(row.packed, &mut stream) {
        Ok(written) if written == bytes => Ok(stream),
        Ok(_) => Err(wrong("is shorter than it says")),
        Err(error) => Err(wrong("cannot be decompressed").with_source(error)),
    }
}

/// Chunks that were opened one after the other.
#[derive(Default)]
pub(in crate::redb) struct Opened {
    bytes: u64,
    whole: Xxh3,
}

impl Opened {
    /// The next one said this.
    pub(in crate::redb) fn add(&mut self, stream: &[u8]) {
        self.bytes += stream.len() as u64;
        self.whole.update(stream);
    }

    /// There are no more of them than this.
    pub(super) fn check_within(&self, bytes: u64) -> Result<()> {
        if self.bytes <= bytes {
            return Ok(());
        }
        Err(Error::corrupt(format!("an archive has more than the {bytes} bytes that it says")))
    }

    /// All together they are what the archive says.
    pub(in crate::redb) fn check(&self, bytes: u64, checksum: u64) -> Result<()> {
        if (self.bytes, self.whole.digest()) == (bytes, checksum) {
            return Ok(());
        }
        Err(Error::corrupt("the chunks of an archive are not all that it had"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHIVE: Id = [7; 16];

    fn cut(stream: &[u8], most: usize) -> (Vec<Chunk>, Whole) {
        let mut cutter = Cutter::new(ARCHIVE);
        cutter.stream.extend_from_slice(stream);
        let mut chunks = Vec::new();
        while let Some((number, chunk)) = cutter.cut(most).expect("a chunk") {
            assert_eq!(number as usize, chunks.len());
            chunks.push(chunk);
        }
        (chunks, cutter.whole())
    }

    #[test]
    fn what_was_cut_comes_back() {
        let stream: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for most in [1000, 99_999, usize::MAX] {
            let (chunks, whole) = cut(&stream, most);
            assert_eq!((whole.bytes, whole.chunks as usize), (stream.len() as u64, chunks.len()));
            let (mut opened, mut again) = (Opened::default(), Vec::new());
            for (number, chunk) in (0..).zip(&chunks) {
                let part = open(&ARCHIVE, number, &chunk.row()).expect("it is sound");
                opened.add(&part);
                again.extend(part);
            }
            assert!(again == stream);
            assert!(opened.check(whole.bytes, whole.checksum).is_ok());
            assert!(opened.check(whole.bytes + 1, whole.checksum).is_err());
        }
    }

    #[test]
    fn a_chunk_in_another_place_or_of_another_archive_is_corrupt() {
        let (chunks, _) = cut(&[1; 300], 100);
        let row = chunks[1].row();
        assert!(open(&ARCHIVE, 1, &row).is_ok());
        for (archive, number, row) in [
            (ARCHIVE, 0, row),
            ([8; 16], 1, row),
            (ARCHIVE, 1, ChunkRow { bytes: 101, ..row }),
            (ARCHIVE, 1, ChunkRow { packed: &row.packed[..3], ..row }),
        ] {
            let error = open(&archive, number, &row).expect_err("it is not what was written there");
            assert!(error.to_string().contains("fails its checksum"), "{error}");
        }
    }

    #[test]
    fn a_length_that_lies_is_refused_before_memory_is_taken() {
        let packed = lz4_flex::block::compress(&[0; 5000]);
        for (bytes, why) in [(u32::MAX, "may have"), (0, "may have"), (4999, "decompressed"), (5001, "shorter")] {
            let row = ChunkRow { bytes, checksum: checksum(&ARCHIVE, 0, bytes, &packed), packed: &packed };
            let error = open(&ARCHIVE, 0, &row).expect_err("it lies");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
