//! A new file: made whole or not at all.
//!
//! A kill during redb's own `create` leaves a file that never opens again. So a new file is made
//! under a temporary name, closed and synced, and then given its own name without replacing
//! (a hard link, which fails where the name is taken); then the directory is synced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};
use uuid::Uuid;

use super::fault;
use super::file::{self, Options};
use crate::error::Result;

/// Where a file is made. A trait, so that a disk that fails and loses what was not synced can take its place in a test.
pub(super) trait Site {
    type Storage: StorageBackend;

    /// The file's own name, for messages.
    fn path(&self) -> &Path;

    /// Makes an empty file under the temporary name.
    fn create(&self) -> Result<Self::Storage>;

    /// Makes durable what stands in it.
    fn sync(&self) -> io::Result<()>;

    /// Gives it its own name too, which nobody else may have.
    fn link(&self) -> io::Result<()>;

    /// Takes the temporary name away.
    fn unlink(&self) -> io::Result<()>;

    /// Makes durable which names there are.
    fn sync_directory(&self) -> io::Result<()>;
}

/// Whether a file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    New,
    /// There is one of its name.
    Taken,
}

/// Makes a file, with what `fill` writes into it.
pub(super) fn make(path: &Path, options: Options, fill: impl FnOnce(&Database) -> Result<()>) -> Result<Made> {
    let temporary = temporary_name(path).map_err(|error| fault::file(path.display(), error))?;
    make_at(&Directory { path, temporary }, options, fill)
}

/// The same, somewhere.
pub(super) fn make_at(site: &impl Site, options: Options, fill: impl FnOnce(&Database) -> Result<()>) -> Result<Made> {
    let failed = |error| fault::file(site.path().display(), error);
    let made = fill_in(site, options, fill).and_then(|()| match site.link() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Taken),
        linked => linked.map_err(failed).map(|()| Made::New),
    });
    let removed = site.unlink();
    let made = made?;
    removed.map_err(failed)?;
    site.sync_directory().map_err(failed)?;
    Ok(made)
}

/// A file under its temporary name, closed and synced.
fn fill_in(site: &impl Site, options: Options, fill: impl FnOnce(&Database) -> Result<()>) -> Result<()> {
    let path = site.path();
    let opened = file::builder(options).create_with_backend(site.create()?);
    let database = opened.map_err(|error| fault::database(path, error))?;
    file::make_tables(&database)?;
    fill(&database)?;
    database.close().map_err(|error| fault::database(path, error))?;
    site.sync().map_err(|error| fault::file(path.display(), error))
}

/// Beside others of a directory.
struct Directory<'p> {
    path: &'p Path,
    /// Nobody else's.
    temporary: PathBuf,
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut name = name.to_os_string();
    name.push(format!(".{}.new", Uuid::new_v4().simple()));
    Ok(path.with_file_name(name))
}

impl Site for Directory<'_> {
    type Storage = FileBackend;

    fn path(&self) -> &Path {
        self.path
    }

    fn create(&self) -> Result<FileBackend> {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open.open(&self.temporary).map_err(|error| fault::file(self.temporary.display(), error))?;
        FileBackend::new(file).map_err(|error| fault::database(&self.temporary, error))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.temporary)?.sync_all()
    }

    fn link(&self) -> io::Result<()> {
        fs::hard_link(&self.temporary, self.path)
    }

    fn unlink(&self) -> io::Result<()> {
        fs::remove_file(&self.temporary)
    }

    #[cfg(unix)]
    fn sync_directory(&self) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }

    /// Elsewhere a directory cannot be opened as a file, and its entries are durable on their own.
    #[cfg(not(unix))]
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::error::ErrorKind;

    /// A directory in which no file gets its name.
    struct Refuses {
        why: io::ErrorKind,
        is_left: Cell<bool>,
    }

    impl Site for Refuses {
        type Storage = InMemoryBackend;

        fn path(&self) -> &Path {
            Path::new("a.parlor")
        }

        fn create(&self) -> Result<InMemoryBackend> {
            self.is_left.set(true);
            Ok(InMemoryBackend::new())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn link(&self) -> io::Result<()> {
            Err(self.why.into())
        }

        fn unlink(&self) -> io::Result<()> {
            self.is_left.set(false);
            Ok(())
        }

        fn sync_directory(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_name_that_is_taken_and_one_that_cannot_be_given_are_told_apart() {
        let made = |why| {
            let site = Refuses { why, is_left: Cell::new(false) };
            let made = make_at(&site, Options::default(), |_| Ok(()));
            assert!(!site.is_left.get(), "the temporary name is left");
            made.map_err(|error| (error.kind(), error.to_string().contains("a.parlor")))
        };
        assert_eq!(made(io::ErrorKind::AlreadyExists), Ok(Made::Taken));
        assert_eq!(made(io::ErrorKind::Unsupported), Err((ErrorKind::Storage, true)));
        assert_eq!(made(io::ErrorKind::StorageFull), Err((ErrorKind::NoSpace, true)));
    }

    #[test]
    fn a_name_without_a_directory_is_one_of_the_working_directory() {
        for path in ["a.parlor", "./a.parlor"] {
            let path = Path::new(path);
            Directory { path, temporary: path.with_extension("new") }.sync_directory().expect("it is there");
        }
    }
}
