//! What the log needs of the file system, and the real one.
//!
//! A trait, so that a disk that fails and loses what was not synced can take its place in a test.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use super::direct::Direct;
#[cfg(not(unix))]
use crate::sync::Mutex;

/// The place of a log: its name beside the database, and a temporary one, under which a new one is made.
pub(in crate::redb) trait Disk: fmt::Debug + Send + Sync {
    /// The name of the log, for messages.
    fn path(&self) -> &Path;

    /// Opens the log; none where there is none.
    fn open(&self) -> io::Result<Option<Box<dyn DiskFile>>>;

    /// Makes an empty file under the temporary name, in place of what a crash left there.
    fn create(&self) -> io::Result<Box<dyn DiskFile>>;

    /// Gives the file under the temporary name the name of the log, in place of the log that has it.
    fn publish(&self) -> io::Result<()>;

    /// Removes the file under the temporary name, if there is one.
    fn discard(&self) -> io::Result<()>;

    /// Removes the log.
    fn remove(&self) -> io::Result<()>;

    /// Makes durable which names there are.
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file.
pub(in crate::redb) trait DiskFile: fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Makes it longer, by zeros, or shorter: the file of a simulated disk needs it, a log does not.
    #[cfg(any(test, feature = "testkit"))]
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reads as many bytes as `out` has, or fails.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of these bytes, or fails; then a part of them may be written. What stands behind them in the same 512
    /// bytes may become zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes zeros from one place to another.
    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        self.write_zeros_by(ZEROS_BYTES, from, to)
    }

    /// The same, so many at a time.
    fn write_zeros_by(&self, piece: usize, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; piece];
        let mut at = from;
        while at < to {
            let count = usize::try_from(to - at).unwrap_or(piece).min(piece);
            self.write_at(at, zeros.get(..count).unwrap_or_default())?;
            at += count as u64;
        }
        Ok(())
    }

    /// Makes durable what was written, and the length.
    fn sync_data(&self) -> io::Result<()>;
}

/// Zeros that are written at a time through the system's cache: a page of it. Of larger pieces some systems make larger
/// pages, and write all of one at every sync of a few hundred bytes in it (measured: 80 KiB instead of 5).
const ZEROS_BYTES: usize = 1 << 12;

/// Files beside a database.
#[derive(Debug)]
pub(in crate::redb) struct FileDisk {
    log: PathBuf,
    temporary: PathBuf,
}

impl FileDisk {
    /// The place of the log of the database at this path, which must exist: links are followed, so that a
    /// database has one log whatever name it is opened by.
    ///
    /// # Errors
    ///
    /// The path cannot be resolved, or names no file.
    pub(in crate::redb) fn beside(database: &Path) -> io::Result<Self> {
        let database = fs::canonicalize(database)?;
        let name = database
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path of the database names no file"))?;
        let with = |ending: &str| {
            let mut name = name.to_os_string();
            name.push(ending);
            database.with_file_name(name)
        };
        Ok(FileDisk { log: with("-log"), temporary: with("-log.new") })
    }
}

impl Disk for FileDisk {
    fn path(&self) -> &Path {
        &self.log
    }

    fn open(&self) -> io::Result<Option<Box<dyn DiskFile>>> {
        match OpenOptions::new().read(true).write(true).open(&self.log) {
            Ok(file) => Ok(Some(Box::new(OpenFile::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self) -> io::Result<Box<dyn DiskFile>> {
        self.discard()?;
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let mut file = OpenFile::new(open.open(&self.temporary)?);
        file.write_directly(&self.temporary);
        Ok(Box::new(file))
    }

    fn publish(&self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.log)
    }

    fn discard(&self) -> io::Result<()> {
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.log)
    }

    #[cfg(unix)]
    fn sync_directory(&self) -> io::Result<()> {
        // The path is absolute, so the log has a directory.
        self.log.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    /// Elsewhere a directory cannot be opened as a file, and its entries are durable on their own.
    #[cfg(not(unix))]
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Zeros that are written at a time past the cache, where each write waits for the disk.
#[cfg(target_os = "linux")]
const DIRECT_ZEROS_BYTES: usize = 1 << 20;

#[derive(Debug)]
struct OpenFile {
    file: File,
    #[cfg(target_os = "linux")]
    direct: Option<Direct>,
    /// Held between moving the file's one position and using it.
    #[cfg(not(unix))]
    position: Mutex<()>,
}

impl OpenFile {
    fn new(file: File) -> Self {
        OpenFile {
            file,
            #[cfg(target_os = "linux")]
            direct: None,
            #[cfg(not(unix))]
            position: Mutex::new(()),
        }
    }

    /// Writes past the system's cache from now on, where that can be done.
    #[cfg(target_os = "linux")]
    fn write_directly(&mut self, path: &Path) {
        self.direct = Direct::open(path);
    }

    #[cfg(not(target_os = "linux"))]
    fn write_directly(&mut self, _path: &Path) {}
}

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(any(test, feature = "testkit"))]
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, out, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        use std::io::{Read as _, Seek as _};

        let _position = self.position.lock();
        (&self.file).seek(io::SeekFrom::Start(offset))?;
        (&self.file).read_exact(out)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(written) = self.direct.as_ref().and_then(|direct| direct.write_at(offset, bytes)) {
            return written;
        }
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        use std::io::{Seek as _, Write as _};

        let _position = self.position.lock();
        (&self.file).seek(io::SeekFrom::Start(offset))?;
        (&self.file).write_all(bytes)
    }

    #[cfg(target_os = "linux")]
    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let piece = if self.direct.is_some() { DIRECT_ZEROS_BYTES } else { ZEROS_BYTES };
        self.write_zeros_by(piece, from, to)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
