//! Writing past the system's cache, in sectors: a sync then writes the sectors of a record and not the whole page of the
//! cache that they stand in (measured: 1 KiB an append instead of 5, and a tenth less time).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::sync::Mutex;

/// What is written at least, and where writes begin and end.
const SECTOR: usize = 512;

/// What memory is aligned to that is written from: what any disk asks for.
const ALIGN: usize = 4096;

/// A second handle of a file, for writing alone.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    buffer: Mutex<Buffer>,
}

/// What was written last.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The beginning of the sector in which the last write ended, and what was written of it.
    last: Option<(u64, Vec<u8>)>,
}

impl Direct {
    /// Opens a file a second time; none where its file system cannot write so.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::options().write(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
        Some(Direct { file, buffer: Mutex::default() })
    }

    /// Writes bytes behind those that were written before, or where a sector begins; what follows in the last sector
    /// becomes zeros. None where it cannot be written so, and nothing was.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Option<io::Result<()>> {
        let mut buffer = self.buffer.lock();
        let before = (offset % SECTOR as u64) as usize;
        let start = offset - before as u64;
        let prefix = match buffer.last.take() {
            _ if before == 0 => Vec::new(),
            Some((at, written)) if at == start && written.len() == before => written,
            _ => return None,
        };
        let length = (before + bytes.len()).next_multiple_of(SECTOR);
        buffer.bytes.clear();
        buffer.bytes.resize(length + ALIGN, 0);
        let aligned = buffer.bytes.as_ptr().align_offset(ALIGN);
        let out = buffer.bytes.get_mut(aligned..aligned.checked_add(length)?)?;
        for (to, from) in out.iter_mut().zip(prefix.iter().chain(bytes)) {
            *to = *from;
        }
        let ended = before + bytes.len();
        let written = self.file.write_all_at(out, start);
        let last_at = ended / SECTOR * SECTOR;
        let last = out.get(last_at..ended)?.to_vec();
        match written {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
            Ok(()) => {
                buffer.last = Some((start + last_at as u64, last));
                Some(Ok(()))
            }
            failed => Some(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_piece_by_piece_stands_there_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a");
        fs::write(&path, vec![9; 16 << 10]).expect("it is made");
        // Not every file system can.
        let Some(direct) = Direct::open(&path) else { return };
        let mut due = vec![9; 16 << 10];
        let mut at = 1024;
        for length in [1_usize, 510, 1, 1, 700, 324, 4096, 8, 512] {
            let piece: Vec<u8> = (0..length).map(|n| (n * 7 + at) as u8 % 200).collect();
            if direct.write_at(at as u64, &piece).is_none() {
                return;
            }
            due[at..at + length].copy_from_slice(&piece);
            at += length;
            due[at..at.next_multiple_of(SECTOR)].fill(0);
        }
        assert!(fs::read(&path).expect("it is read") == due);
        let kept = direct.buffer.lock().bytes.len();
        assert!(kept <= 2 * SECTOR + ALIGN, "{kept} bytes for the last write");
        assert!(direct.write_at(100, &[1]).is_none(), "it does not know what stands before it");
    }
}
