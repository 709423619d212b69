//! The file: recognized before it is trusted, and recovered before anyone reads or writes it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, ReadableDatabase, ReadableTableMetadata, StorageBackend, StorageError, TableError};
use uuid::Uuid;

use super::checked::Checked;
use super::codec::{self, GroupRow};
use super::log::{Disk, FileDisk};
use super::making;
use super::tables::{FORMAT_VERSION, Table, meta};
use super::writer::{Durability, Keeping};
use super::{attached, fault, look, recovery};
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{CACHE_BYTES_DEFAULT, CHECKPOINT_GROUPS, LOG_SEGMENT_BYTES};
use crate::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Bytes of redb's page cache.
    pub(crate) cache_bytes: usize,
    /// How far the file is trusted.
    pub(crate) trust: Trust,
    /// Entries in a block of positions: [`BLOCK`](super::BLOCK), and less where a test wants many blocks.
    pub(crate) block: u32,
    /// What becomes of a file whose log is gone.
    pub(crate) log_loss: LogLoss,
    /// Bytes of a segment of the log: [`LOG_SEGMENT_BYTES`], and less where a test wants many checkpoints.
    pub(crate) segment_bytes: u32,
    /// Groups after which there is a checkpoint: [`CHECKPOINT_GROUPS`], and less where a test wants them all the time.
    pub(crate) checkpoint_groups: u32,
    /// When a write is acknowledged.
    pub(crate) durability: Durability,
    /// Who else may have the file open.
    pub(crate) sharing: Sharing,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            cache_bytes: CACHE_BYTES_DEFAULT,
            trust: Trust::Clean,
            block: super::BLOCK,
            log_loss: LogLoss::Refuse,
            segment_bytes: LOG_SEGMENT_BYTES,
            checkpoint_groups: CHECKPOINT_GROUPS,
            durability: Durability::Sync,
            sharing: Sharing::Nobody,
        }
    }
}

/// Who else may have a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Nobody,
    /// Other processes read it. They read the file alone, so it has no log, and every group is a durable commit.
    Readers,
}

/// What becomes of a file that was not closed, and whose log is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLoss {
    /// It is refused, untouched.
    Refuse,
    /// It is opened as it is, without the writes that only the log had.
    Accept,
}

/// An open file, and what it says of itself.
pub(super) struct Opened {
    pub(super) database: Database,
    /// The last group in it.
    pub(super) group: u64,
    pub(super) keeping: Keeping,
}

/// How far a file is trusted when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// One that was closed cleanly is taken as it is; one that was not is recovered.
    Clean,
    /// Every page is verified first.
    Verify,
}

/// Opens the file, and makes it when it is missing. What only its log has is in the file then.
pub(super) fn open(path: &Path, options: Options) -> Result<Opened> {
    // A name that others make at the same time is theirs, a name that they remove is ours again.
    for _ in 0..16 {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => return open_existing(path, file, options),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The link's own name is taken, so nothing can be made under it.
                if path.is_symlink() {
                    return Err(fault::file(path.display(), error));
                }
                // Where another one was faster, its file is the file.
                making::make(path, options, |_| Ok(()))?;
            }
            Err(error) => return Err(fault::file(path.display(), error)),
        }
    }
    Err(Error::new(ErrorKind::Storage, format!("{} is made and removed by others all the time", path.display())))
}

/// A file in memory, which is gone when it is closed.
pub(super) fn in_memory_alone(options: Options) -> Result<Opened> {
    let name = Path::new("memory");
    let backend = InMemoryBackend::new();
    let database = builder(options).create_with_backend(backend).map_err(|error| fault::database(name, error))?;
    make_tables(&database)?;
    Ok(Opened { database, group: 0, keeping: Keeping::Memory })
}

pub(super) fn builder(options: Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes).set_check_integrity_on_open(options.trust == Trust::Verify);
    builder
}

/// The same for a file that others may have open, as far as they may.
fn builder_of(options: Options) -> Builder {
    let mut builder = builder(options);
    if options.sharing == Sharing::Readers {
        attached::share(&mut builder);
    }
    builder
}

/// The beginning of every redb file.
const MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

/// Refuses what redb would take for a file of its own to be made, or something else altogether.
fn check_magic(path: &Path, mut file: &File) -> Result<()> {
    use std::io::Read as _;

    let not_ours = || Error::corrupt(format!("{} is no parlor file", path.display()));
    let mut magic = [0; MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) if magic == MAGIC => Ok(()),
        Ok(()) => Err(not_ours()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(not_ours()),
        Err(error) => Err(fault::file(path.display(), error)),
    }
}

/// Opens a file that others may be writing, for reading alone, and refuses what is no file of redb's.
pub(super) fn check_for_reading(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(path.display()),
        _ => fault::file(path.display(), error),
    })?;
    check_magic(path, &file)
}

fn open_existing(path: &Path, file: File, options: Options) -> Result<Opened> {
    check_magic(path, &file)?;
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::beside(path).map_err(|error| fault::file(path.display(), error))?);
    look::untouched(path, &disk, options)?;
    open_over(path, || FileBackend::new(file).map_err(|error| fault::database(path, error)), disk, options)
}

/// Opens a file for good, once it was looked at.
pub(super) fn open_over<B: StorageBackend>(
    path: &Path,
    storage: impl FnOnce() -> Result<B>,
    disk: Arc<dyn Disk>,
    options: Options,
) -> Result<Opened> {
    fault::guarded_opening(path, || {
        let database = builder_of(options).create_with_backend(Checked::new(storage()?));
        let database = database.map_err(|error| fault::database(path, error))?;
        let said = Said::by(path, &database.begin_read().map_err(fault::transaction)?)?;
        let left = recovery::left_behind(path, &disk, &said, options.log_loss)?;
        let group = recovery::recover(&database, &disk, &said, left)?;
        let Options { segment_bytes, checkpoint_groups, durability, .. } = options;
        let keeping = match options.sharing {
            Sharing::Nobody => Keeping::Log { disk, file: said.id, segment_bytes, checkpoint_groups, durability },
            Sharing::Readers => Keeping::File,
        };
        Ok(Opened { database, group, keeping })
    })
}

/// What a file says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// Its id, which its log names.
    pub(super) id: Uuid,
    pub(super) group: GroupRow,
}

impl Said {
    pub(super) fn by(path: &Path, transaction: &redb::ReadTransaction) -> Result<Self> {
        let not_ours = || Error::corrupt(format!("{} is a redb file, but no parlor file", path.display()));
        let table = transaction.open_table(Table::Meta.definition()).map_err(|error| match error {
            // The disk failed, which says nothing of the file.
            TableError::Storage(StorageError::Io(source)) => fault::file(path.display(), source),
            error => not_ours().with_source(error),
        })?;
        let row = table.get(meta::FORMAT).map_err(fault::storage)?.ok_or_else(not_ours)?;
        let id = match Format::read(row.value()).ok_or_else(not_ours)? {
            (FORMAT_VERSION, id) => id.ok_or_else(not_ours)?,
            (version, _) => return Err(Error::other_format(path.display(), version, FORMAT_VERSION)),
        };
        let group = match table.get(meta::GROUP).map_err(fault::storage)? {
            Some(row) => codec::decode(Table::Meta, meta::GROUP, row.value())?,
            // It is written beside everything else.
            None if table.len().map_err(fault::storage)? > 1 => {
                return Err(Error::corrupt(format!(
                    "{} is damaged: it does not say how far it has come",
                    path.display()
                )));
            }
            None => GroupRow::default(),
        };
        Ok(Said { id, group })
    }
}

/// The format row: it has a form of its own, so that every version can read every other's.
struct Format;

impl Format {
    const NAME: &[u8; 8] = b"parlor\0\0";

    fn row(file: Uuid) -> Vec<u8> {
        [&Self::NAME[..], &FORMAT_VERSION.to_be_bytes(), file.as_bytes()].concat()
    }

    /// Its version, and the file's id as far as this version knows where it stands.
    fn read(row: &[u8]) -> Option<(u32, Option<Uuid>)> {
        let (version, file) = row.strip_prefix(Self::NAME)?.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*version), Uuid::from_slice(file).ok()))
    }
}

/// Whether the format row is that of a file of this library's.
pub(super) fn is_format(row: &[u8]) -> bool {
    matches!(Format::read(row), Some((FORMAT_VERSION, Some(_))))
}

/// Makes the tables of a new file.
pub(super) fn make_tables(database: &Database) -> Result<()> {
    let mut transaction = database.begin_write().map_err(fault::transaction)?;
    durable(&mut transaction)?;
    for table in Table::ALL {
        let mut opened = transaction.open_table(table.definition()).map_err(fault::table)?;
        if table == Table::Meta {
            let row = Format::row(Uuid::new_v4());
            opened.insert(meta::FORMAT, row.as_slice()).map_err(fault::storage)?;
        }
    }
    transaction.commit().map_err(fault::commit)
}

/// Every durable commit is two-phase: after a failed sync, a one-phase commit can lose the file. And it says where the
/// free pages are, so that a crash after it does not make the next opening read the whole file.
pub(super) fn durable(transaction: &mut redb::WriteTransaction) -> Result<()> {
    if is_planted(Bug::FileUnsynced) {
        return set(transaction, redb::Durability::None);
    }
    set(transaction, redb::Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(())
}

pub(super) fn set(transaction: &mut redb::WriteTransaction, durability: redb::Durability) -> Result<()> {
    transaction
        .set_durability(durability)
        .map_err(|error| Error::new(ErrorKind::Storage, format!("storage: {error}")).with_source(error))
}
