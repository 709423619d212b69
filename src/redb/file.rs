//! The file: made whole or not at all, recognized before it is trusted.
//!
//! A kill during redb's own `create` leaves a file that never opens again. So a new file is made
//! under a temporary name, closed and synced, and then given its own name without replacing
//! (a hard link, which fails where the name is taken); then the directory is synced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, Durability, ReadableDatabase};
use uuid::Uuid;

use super::fault;
use super::overlay::Overlay;
use super::tables::{FORMAT_VERSION, Table, meta};
use crate::error::{Error, ErrorKind, Result};

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Bytes of redb's page cache.
    pub(crate) cache_bytes: usize,
    /// How far the file is trusted.
    pub(crate) trust: Trust,
    /// Entries in a block of positions: [`BLOCK`](super::BLOCK), and less where a test wants many blocks.
    pub(crate) block: u32,
}

/// How far a file is trusted when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// One that was closed cleanly is taken as it is; one that was not is recovered.
    Clean,
    /// Every page is verified first.
    Verify,
}

/// Opens the file, and makes it when it is missing.
pub(super) fn open(path: &Path, options: Options) -> Result<Database> {
    // A name that others make at the same time is theirs, a name that they remove is ours again.
    for _ in 0..16 {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => return open_existing(path, file, options),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The link's own name is taken, so nothing can be made under it.
                if path.is_symlink() {
                    return Err(fault::file(path.display(), error));
                }
                create(path, options)?;
            }
            Err(error) => return Err(fault::file(path.display(), error)),
        }
    }
    Err(Error::new(ErrorKind::Storage, format!("{} is made and removed by others all the time", path.display())))
}

fn builder(options: Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes).set_check_integrity_on_open(options.trust == Trust::Verify);
    builder
}

/// The beginning of every redb file.
const MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

fn open_existing(path: &Path, mut file: File, options: Options) -> Result<Database> {
    use std::io::Read as _;

    let not_ours = || Error::corrupt(format!("{} is no parlor file", path.display()));
    let mut magic = [0; MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) if magic == MAGIC => {}
        Ok(()) => return Err(not_ours()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(not_ours()),
        Err(error) => return Err(fault::file(path.display(), error)),
    }
    check_format_untouched(path, options)?;
    fault::guarded_opening(path, || {
        let backend = FileBackend::new(file).map_err(|error| fault::database(path, error))?;
        let database = builder(options).create_with_backend(backend).map_err(|error| fault::database(path, error))?;
        let transaction = database.begin_read().map_err(fault::transaction)?;
        check_format(path, &transaction)?;
        Ok(database)
    })
}

/// Reads the format through a handle that cannot write, so that a newer file is refused untouched.
/// One that was not closed cleanly is recovered in memory for it; it will be again, on disk.
fn check_format_untouched(path: &Path, options: Options) -> Result<()> {
    fault::guarded_opening(path, || match builder(options).open_read_only(path) {
        Ok(database) => check_format(path, &database.begin_read().map_err(fault::transaction)?),
        Err(DatabaseError::RepairAborted) => {
            let file = File::open(path).map_err(|error| fault::file(path.display(), error))?;
            let overlay = Overlay::new(file).map_err(|error| fault::file(path.display(), error))?;
            let opened = builder(options).create_with_backend(overlay);
            let database = opened.map_err(|error| fault::database(path, error))?;
            check_format(path, &database.begin_read().map_err(fault::transaction)?)
        }
        // Opening it for writing says what is wrong, and who has it.
        Err(_) => Ok(()),
    })
}

/// The format row: it has a form of its own, so that every version can read every other's.
struct Format;

impl Format {
    const NAME: &[u8; 8] = b"parlor\0\0";

    fn row(file: Uuid) -> Vec<u8> {
        [&Self::NAME[..], &FORMAT_VERSION.to_be_bytes(), file.as_bytes()].concat()
    }

    fn version(row: &[u8]) -> Option<u32> {
        let (version, _file) = row.strip_prefix(Self::NAME)?.split_first_chunk::<4>()?;
        Some(u32::from_be_bytes(*version))
    }
}

fn check_format(path: &Path, transaction: &redb::ReadTransaction) -> Result<()> {
    let not_ours = || Error::corrupt(format!("{} is a redb file, but no parlor file", path.display()));
    let table = transaction.open_table(Table::Meta.definition()).map_err(|error| not_ours().with_source(error))?;
    let row = table.get(meta::FORMAT).map_err(fault::storage)?.ok_or_else(not_ours)?;
    match Format::version(row.value()).ok_or_else(not_ours)? {
        FORMAT_VERSION => Ok(()),
        version if version > FORMAT_VERSION => Err(Error::new(
            ErrorKind::NewerFormat,
            format!("{} has format {version}; this library reads up to {FORMAT_VERSION}", path.display()),
        )),
        _ => Err(not_ours()),
    }
}

fn create(path: &Path, options: Options) -> Result<()> {
    let failed = |error| fault::file(path.display(), error);
    let temporary = temporary_name(path).map_err(failed)?;
    let made = create_at(&temporary, options).and_then(|()| match fs::hard_link(&temporary, path) {
        // Another one was faster: its file is the file.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(failed),
    });
    let removed = fs::remove_file(&temporary);
    made?;
    removed.map_err(failed)?;
    sync_directory(path).map_err(failed)
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut name = name.to_os_string();
    name.push(format!(".{}.new", Uuid::new_v4().simple()));
    Ok(path.with_file_name(name))
}

fn create_at(temporary: &Path, options: Options) -> Result<()> {
    let failed = |error| fault::file(temporary.display(), error);
    let mut open = OpenOptions::new();
    open.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let file = open.open(temporary).map_err(failed)?;
    let backend = FileBackend::new(file).map_err(|error| fault::database(temporary, error))?;
    let database = builder(options).create_with_backend(backend).map_err(|error| fault::database(temporary, error))?;
    let mut transaction = database.begin_write().map_err(fault::transaction)?;
    durable(&mut transaction)?;
    for table in Table::ALL {
        let mut opened = transaction.open_table(table.definition()).map_err(fault::table)?;
        if table == Table::Meta {
            let row = Format::row(Uuid::new_v4());
            opened.insert(meta::FORMAT, row.as_slice()).map_err(fault::storage)?;
        }
    }
    transaction.commit().map_err(fault::commit)?;
    database.close().map_err(|error| fault::database(temporary, error))?;
    File::open(temporary).and_then(|file| file.sync_all()).map_err(failed)
}

/// Every commit of ours is two-phase: after a failed sync, a one-phase commit can lose the file.
pub(super) fn durable(transaction: &mut redb::WriteTransaction) -> Result<()> {
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| Error::new(ErrorKind::Storage, format!("storage: {error}")).with_source(error))?;
    transaction.set_two_phase_commit(true);
    Ok(())
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file, and its entries are durable on their own.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
