//! A file as a storage that cannot change it: what is written stands in memory, over it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use redb::StorageBackend;

use crate::sync::Mutex;

const BLOCK: u64 = 4096;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Overlay {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// How much of the file shows.
    shown: u64,
    len: u64,
    /// The blocks that were written, by their place.
    written: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Overlay { inner: Mutex::new(Inner { file, shown: len, len, written: BTreeMap::new() }) })
    }
}

impl Inner {
    /// A block as it stands now; zeros where there is nothing.
    fn block(&mut self, number: u64) -> io::Result<Vec<u8>> {
        if let Some(written) = self.written.get(&number) {
            return Ok(written.clone());
        }
        let mut block = Vec::new();
        let start = number * BLOCK;
        if start < self.shown {
            self.file.seek(SeekFrom::Start(start))?;
            (&self.file).take(BLOCK.min(self.shown - start)).read_to_end(&mut block)?;
        }
        block.resize(BLOCK as usize, 0);
        Ok(block)
    }

    /// Calls `each` for every part of a block that a range has: the block's number, where the part begins in
    /// it, and where in the range.
    fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            if done >= length {
                return None;
            }
            let at = offset + done as u64;
            let within = (at % BLOCK) as usize;
            let count = (BLOCK as usize - within).min(length - done);
            let part = (at / BLOCK, within, done..done + count);
            done += count;
            Some(part)
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.inner.lock();
        for (number, within, range) in Inner::parts(offset, out.len()) {
            let block = inner.block(number)?;
            let to = out.get_mut(range).unwrap_or_default();
            to.iter_mut().zip(block.iter().skip(within)).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.shown = inner.shown.min(len);
        inner.len = len;
        inner.written.split_off(&len.div_ceil(BLOCK));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.lock();
        for (number, within, range) in Inner::parts(offset, data.len()) {
            let mut block = inner.block(number)?;
            let from = data.get(range).unwrap_or_default();
            block.iter_mut().skip(within).zip(from).for_each(|(to, from)| *to = *from);
            inner.written.insert(number, block);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_written_shows_and_the_file_stays_as_it_is() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 10_000]).expect("it is written");
        let overlay = Overlay::new(file.try_clone().expect("a second handle")).expect("an overlay");
        overlay.write(4_000, &[1; 5_000]).expect("it is written over");
        overlay.set_len(12_000).expect("it grows");
        let mut read = vec![9; 12_000];
        overlay.read(0, &mut read).expect("it is read");
        let due = [vec![7; 4_000], vec![1; 5_000], vec![7; 1_000], vec![0; 2_000]].concat();
        assert!(read == due);
        overlay.set_len(4_500).expect("it shrinks");
        overlay.set_len(9_000).expect("it grows again");
        overlay.read(0, &mut read[..9_000]).expect("it is read");
        assert!(read[..4_096] == due[..4_096]);
        assert!(read[8_192..9_000].iter().all(|byte| *byte == 0), "what was cut off is gone");
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).expect("it seeks");
        file.read_to_end(&mut bytes).expect("it is read");
        assert!(bytes == [7; 10_000]);
    }
}
