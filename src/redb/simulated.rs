//! The default store on a disk that exists in memory: it fails where a test says, and shows what a power loss leaves.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::{BackendError, ReadableDatabase, StorageBackend};

use super::checked::Checked;
use super::file::{self, Opened};
use super::log::{Disk, DiskFile, Fault, How, Memory, Survives};
use super::making::{self, Site};
use super::{BLOCK, LogLoss, Options, RedbStore, Sharing, Trust, fault, look};
use crate::error::Result;
use crate::redb::Durability;
use crate::sync::Arc;

const FILE: &str = "a.parlor";
const FILE_NEW: &str = "a.parlor.new";
const LOG: &str = "a.parlor-log";

/// The smallest segments of a log in which checkpoints, laps and groups that are too large for it are frequent.
const SEGMENT_BYTES: u32 = 1 << 14;

/// A disk in memory with one store on it, its file and its log. Clones are the same disk.
///
/// It keeps apart what was written and what was synced. Every operation of file and log is counted, so that each
/// can be failed in turn. A store on it has small blocks of positions and a small log.
///
/// ```
/// use parlor::testkit::{Loss, SimulatedDisk};
/// use parlor::{Durability, id::Stamp, store::EnsureWorkspace};
///
/// let disk = SimulatedDisk::new();
/// let store = disk.open(Durability::Sync)?;
/// let stamp = Stamp::new(parlor::Timestamp::from_micros(1_777_573_302_000_000), 7);
/// store.ensure_workspace(EnsureWorkspace { stamp, name: "acme".into() })?;
///
/// let after = disk.after_power_loss(Loss::of_seed(1)).open(Durability::Sync)?;
/// assert!(after.find_workspace("acme")?.is_some());
/// # Ok::<(), parlor::Error>(())
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    memory: Memory,
    watcher: Option<Arc<dyn Watcher>>,
    /// Entries in a block of positions.
    block: u32,
}

/// Is told of every change of a simulated disk, on the thread that makes it and before it is made.
pub trait Watcher: Send + Sync + 'static {
    /// The disk as it is, which may be copied here, and what will be done.
    fn before(&self, disk: &SimulatedDisk, touch: Touch);
}

/// What is about to be done to a simulated disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Touch {
    /// Bytes or the length of the file change.
    FileWrite,
    /// The file is synced.
    FileSync,
    /// Bytes or the length of the log change.
    LogWrite,
    /// The log is synced.
    LogSync,
    /// A name is given or removed, or names are synced.
    Names,
}

/// How an operation of a simulated disk fails: with this kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It alone. A sync that fails leaves a part of what it should have made durable so that no later one does.
    Once(io::ErrorKind),
    /// It and every later one.
    Forever(io::ErrorKind),
    /// It alone; a write with a part of it written.
    Short(io::ErrorKind),
    /// The power fails: nothing more is done.
    Cut,
}

/// What a power loss leaves of changes that were not synced: of the file, of the log, and of the directory, each of a
/// kind of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    file: Survives,
    log: Survives,
    names: Survives,
}

impl Loss {
    /// How many kinds there are: nothing survives, everything, the first 4 KiB, all but those, all writes but one, a
    /// random part of the writes, a random part of their sectors, all before one of which a part survives.
    pub const KINDS: usize = 8;

    /// Kinds by their number, from 0, and from 0 again past the last; where they choose, they choose by the seed.
    pub fn new(file: usize, log: usize, names: usize, seed: u64) -> Self {
        let kind = |number: usize, seed| {
            Survives::all(seed).into_iter().nth(number % Self::KINDS).unwrap_or(Survives::Nothing)
        };
        Loss { file: kind(file, seed), log: kind(log, !seed), names: kind(names, seed.rotate_left(32)) }
    }

    /// Kinds that the seed chooses.
    pub fn of_seed(seed: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let kind = |shift: u32| usize::from((mixed >> shift) as u8 & 7);
        Self::new(kind(61), kind(58), kind(55), seed)
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { file, log, names } = self;
        write!(f, "of the file survives {file:?}, of the log {log:?}, of the names {names:?}")
    }
}

impl SimulatedDisk {
    /// Entries in a block of positions of a store on it: a few messages fill many.
    pub const BLOCK: u32 = 3;

    /// An empty one.
    pub fn new() -> Self {
        Self::of(Memory::default())
    }

    fn of(memory: Memory) -> Self {
        SimulatedDisk { memory, watcher: None, block: Self::BLOCK }
    }

    /// The same disk, on which a store has the blocks of positions that one has in a real file: for files that go from one to
    /// the other.
    #[must_use]
    pub fn in_real_blocks(&self) -> Self {
        SimulatedDisk { block: BLOCK, ..self.clone() }
    }

    /// One with these files on it for good, by the names that [`files`](Self::files) has for them.
    pub fn holding(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self::of(Memory::holding(files))
    }

    /// The same disk, whose changes through this handle a watcher is told of.
    #[must_use]
    pub fn watched(&self, watcher: impl Watcher) -> Self {
        SimulatedDisk { watcher: Some(Arc::new(watcher)), ..self.clone() }
    }

    /// Opens the store on it, which is made when it is missing. One at a time: nothing locks it.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::open`](crate::Builder::open).
    pub fn open(&self, durability: Durability) -> Result<Arc<dyn crate::store::Store>> {
        self.open_as(Options { durability, ..Options::default() })
    }

    /// Opens it as [`Builder::verify_on_open`](crate::Builder::verify_on_open) does.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::open`](crate::Builder::open).
    pub fn open_verified(&self, durability: Durability) -> Result<Arc<dyn crate::store::Store>> {
        self.open_as(Options { durability, trust: Trust::Verify, ..Options::default() })
    }

    /// Opens it as [`Builder::accept_log_loss`](crate::Builder::accept_log_loss) does.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::open`](crate::Builder::open).
    pub fn open_without_log(&self, durability: Durability) -> Result<Arc<dyn crate::store::Store>> {
        self.open_as(Options { durability, log_loss: LogLoss::Accept, ..Options::default() })
    }

    /// Opens it as [`Builder::shared_readers`](crate::Builder::shared_readers) does: without a log.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::open`](crate::Builder::open).
    pub fn open_for_readers(&self) -> Result<Arc<dyn crate::store::Store>> {
        self.open_as(Options { sharing: Sharing::Readers, ..Options::default() })
    }

    fn open_as(&self, options: Options) -> Result<Arc<dyn crate::store::Store>> {
        Ok(Arc::new(self.store(options)?))
    }

    /// The store as it is.
    pub(crate) fn store(&self, options: Options) -> Result<RedbStore> {
        options.durability.check()?;
        let options = Options { cache_bytes: 1 << 20, block: self.block, segment_bytes: SEGMENT_BYTES, ..options };
        RedbStore::over(Path::new(FILE), self.opened(options)?, options)
    }

    fn opened(&self, options: Options) -> Result<Opened> {
        let path = Path::new(FILE);
        let failed = |error| fault::file(path.display(), error);
        let mut found = self.memory.open(FILE).map_err(failed)?;
        if found.is_none() {
            making::make_at(self, options, |_| Ok(()))?;
            found = self.memory.open(FILE).map_err(failed)?;
        }
        let found = found.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let disk: Arc<dyn Disk> = Arc::new(WatchedLog { log: self.memory.log(LOG), on: self.clone() });
        // What stands in the file is looked at as the real one is: through a copy that keeps changes to itself.
        let content = self.memory.content(FILE).unwrap_or_default();
        fault::guarded_opening(path, || {
            let copy = Self::holding([(FILE.to_owned(), content)]);
            let found =
                copy.memory.open(FILE).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            let opened = file::builder(options).create_with_backend(Checked::new(copy.storage(found)));
            let database = opened.map_err(|error| fault::database(path, error))?;
            look::at(path, &disk, &database.begin_read().map_err(fault::transaction)?, options)
        })?;
        file::open_over(path, || Ok(self.storage(found)), disk, options)
    }

    fn storage(&self, file: Box<dyn DiskFile>) -> Storage {
        Storage(WatchedFile { file, write: Touch::FileWrite, sync: Touch::FileSync, on: self.clone() })
    }

    /// How many operations there were, reads counted too.
    pub fn operations(&self) -> u64 {
        self.memory.operations()
    }

    /// From now on the operation of this number, from 0, fails.
    pub fn fail(&self, at: u64, how: Failure) {
        let how = match how {
            Failure::Once(kind) => How::Once(kind),
            Failure::Forever(kind) => How::Forever(kind),
            Failure::Short(kind) => How::Short(kind),
            Failure::Cut => How::Cut,
        };
        self.memory.fail(Some(Fault { at, how }));
    }

    /// From now on nothing fails.
    pub fn mend(&self) {
        self.memory.fail(None);
    }

    /// From now on file and log together have no more bytes than this.
    pub fn hold(&self, capacity: Option<u64>) {
        self.memory.hold(capacity);
    }

    /// Another disk with the same past, which goes its own way, watched by nobody.
    #[must_use]
    pub fn copy(&self) -> Self {
        SimulatedDisk { memory: self.memory.copy(), watcher: None, block: self.block }
    }

    /// The disk as it may be after a power loss.
    #[must_use]
    pub fn after_power_loss(&self, loss: Loss) -> Self {
        let memory = self.memory.after_power_loss(|name| match name {
            "" => loss.names,
            FILE | FILE_NEW => loss.file,
            _ => loss.log,
        });
        SimulatedDisk { memory, watcher: None, block: self.block }
    }

    /// The names of the files there are, and what they hold.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let named = self.memory.names().into_iter();
        named.filter_map(|name| self.memory.content(&name).map(|content| (name, content))).collect()
    }

    fn before(&self, touch: Touch) {
        if let Some(watcher) = &self.watcher {
            watcher.before(self, touch);
        }
    }
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDisk").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

/// A file whose changes are told.
#[derive(Debug)]
struct WatchedFile {
    file: Box<dyn DiskFile>,
    write: Touch,
    sync: Touch,
    on: SimulatedDisk,
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.on.before(self.write);
        self.file.set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.on.before(self.write);
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.on.before(self.sync);
        self.file.sync_data()
    }
}

impl Site for SimulatedDisk {
    type Storage = Storage;

    fn path(&self) -> &Path {
        Path::new(FILE)
    }

    fn create(&self) -> Result<Storage> {
        let failed = |error| fault::file(FILE_NEW, error);
        // Of an earlier attempt: the real ones have names that nobody has twice.
        match self.memory.remove(FILE_NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        self.before(Touch::Names);
        self.memory.create(FILE_NEW).map(|file| self.storage(file)).map_err(failed)
    }

    fn sync(&self) -> io::Result<()> {
        let made = self.memory.open(FILE_NEW)?.ok_or(io::ErrorKind::NotFound)?;
        self.before(Touch::FileSync);
        made.sync_data()
    }

    fn link(&self) -> io::Result<()> {
        self.before(Touch::Names);
        self.memory.link(FILE_NEW, FILE)
    }

    fn unlink(&self) -> io::Result<()> {
        self.before(Touch::Names);
        self.memory.remove(FILE_NEW)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.before(Touch::Names);
        self.memory.sync_directory()
    }
}

/// The file as redb wants it.
#[derive(Debug)]
pub(super) struct Storage(WatchedFile);

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }

    // Nobody else has it open, so who asks for a lock has it.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> std::result::Result<bool, BackendError> {
        Ok(false)
    }
}

/// The place of a log whose changes are told.
#[derive(Debug)]
struct WatchedLog {
    log: Arc<dyn Disk>,
    on: SimulatedDisk,
}

impl WatchedLog {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(WatchedFile { file, write: Touch::LogWrite, sync: Touch::LogSync, on: self.on.clone() })
    }

    fn named(&self) -> &dyn Disk {
        self.on.before(Touch::Names);
        &*self.log
    }
}

impl Disk for WatchedLog {
    fn path(&self) -> &Path {
        self.log.path()
    }

    fn open(&self) -> io::Result<Option<Box<dyn DiskFile>>> {
        Ok(self.log.open()?.map(|file| self.file(file)))
    }

    fn create(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.named().create()?))
    }

    fn publish(&self) -> io::Result<()> {
        self.named().publish()
    }

    fn discard(&self) -> io::Result<()> {
        self.named().discard()
    }

    fn remove(&self) -> io::Result<()> {
        self.named().remove()
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.named().sync_directory()
    }
}
