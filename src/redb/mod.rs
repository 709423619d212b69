//! The default store: one redb file. The only place that names redb.
//!
//! A verb, such as those of `session`, reads a view and answers, and one that writes returns a write set. The writer applies it;
//! readers read the published snapshot.

mod access;
mod agent;
mod archive;
mod attached;
mod backup;
mod base;
mod body;
mod checked;
mod cleaning;
mod codec;
mod draft;
mod ending;
mod fault;
mod feed;
mod file;
mod fork;
mod hidden;
#[cfg(feature = "testkit")]
#[allow(clippy::panic, reason = "a check reports by panicking")]
mod keys;
mod lines;
mod load;
mod log;
mod look;
mod making;
mod mark;
mod message;
mod orphan;
mod outbox;
mod overlay;
mod pack;
mod pages;
mod place;
mod positions;
mod purge;
mod put;
mod queue;
mod reach;
mod recent;
mod recovery;
mod remnant;
mod replay;
mod scope;
mod session;
#[cfg(feature = "testkit")]
mod simulated;
mod snapshot;
mod store;
mod tables;
mod timeline;
mod turn;
mod verify;
mod view;
mod whole;
mod write_set;
mod writer;

#[cfg(feature = "testkit")]
pub(crate) use archive::{pack, unpack};
#[cfg(feature = "testkit")]
pub(crate) use codec::check_rows;
pub(crate) use file::{LogLoss, Options, Sharing, Trust};
#[cfg(feature = "testkit")]
pub(crate) use keys::check_order;
pub(crate) use positions::BLOCK;
#[cfg(feature = "testkit")]
pub use simulated::{Failure, Loss, SimulatedDisk, Touch, Watcher};
pub use whole::{FileStats, TableStats};
pub use writer::Durability;

use std::path::{Path, PathBuf};

use self::attached::Attached;
use self::cleaning::{Cleaning, Left};
use self::view::Read;
use self::write_set::WriteSet;
use self::writer::{Job, Keeping, Shared, Task, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::limit::WRITER_QUEUE;
use crate::record::NewMessage;
use crate::store::Store;
use crate::sync::{Arc, Mutex, Sender, ThreadBuilder, bounded, offer};

/// Notes that may wait for the thread of the file; a further one would say nothing new.
const LOOKS: usize = 4;

/// A store in one redb file.
pub(crate) struct RedbStore {
    file: Open,
    /// Where it is; none in memory.
    path: Option<PathBuf>,
    /// The process that opened the file: what a forked one writes says Ok and vanishes.
    process: u32,
}

/// How a file is open.
enum Open {
    ToWrite(Written),
    /// Another process may be writing it.
    ToRead(Attached),
}

/// A file that this process writes.
struct Written {
    shared: Arc<Shared>,
    /// To the writer thread, which ends when this is gone; none once closed.
    tasks: Mutex<Option<Sender<Task>>>,
    /// Whether the writer thread has deleted sessions to clear away.
    left: Left,
}

impl RedbStore {
    /// Opens the file, and makes it when it is missing.
    pub(crate) fn open(path: &Path, options: Options) -> Result<Self> {
        Self::over(path, file::open(path, options)?, options)
    }

    /// Opens a file that another process may be writing, to read it: see [`attached`].
    pub(crate) fn attach(path: &Path, options: Options) -> Result<Self> {
        let file = Open::ToRead(Attached::open(path, options)?);
        Ok(RedbStore { file, path: Some(path.to_owned()), process: std::process::id() })
    }

    /// The number of the last group that is in the file.
    pub(crate) fn group_in_file(&self) -> Result<u64> {
        self.read(attached::group)
    }

    /// Every session of a workspace or an agent with the number of its latest event; of one that cannot be read, the
    /// greatest number.
    pub(crate) fn active(&self, workspace: WorkspaceId, agent: Option<AgentId>) -> Result<Vec<(SessionId, u64)>> {
        self.read(|view| attached::active(view, workspace, agent))
    }

    /// A store over a file that is open.
    fn over(path: &Path, opened: file::Opened, options: Options) -> Result<Self> {
        let shared = Arc::new(Shared::new(opened, options.block)?);
        if options.trust == Trust::Verify {
            check_whole(path, &shared)?;
        }
        Self::start(shared, Some(path.to_owned()))
    }

    /// A store in memory alone.
    pub(crate) fn in_memory(options: Options) -> Result<Self> {
        Self::start(Arc::new(Shared::new(file::in_memory_alone(options)?, options.block)?), None)
    }

    fn start(shared: Arc<Shared>, path: Option<PathBuf>) -> Result<Self> {
        let (tasks, queue) = bounded(WRITER_QUEUE);
        let unsynced = match shared.keeping {
            Keeping::Log { durability: Durability::Deferred(within), .. } => {
                let (unsynced, notes) = bounded(1);
                let shared = Arc::clone(&shared);
                start("parlor-log", move || writer::run_syncs(&shared, within, &notes))?;
                Some(unsynced)
            }
            Keeping::Log { .. } | Keeping::File | Keeping::Memory => None,
        };
        let (looks, looked) = bounded(LOOKS);
        shared.connect(looks, unsynced);
        let files = Arc::clone(&shared);
        start("parlor-file", move || writer::run_checkpoints(&files, &looked))?;
        let cleaning = Cleaning::of(&*shared.snapshot()?);
        let (writers, left) = (Arc::clone(&shared), cleaning.left());
        start("parlor-writer", move || writer::run(&writers, &queue, cleaning))?;
        let file = Open::ToWrite(Written { shared, tasks: Mutex::new(Some(tasks)), left });
        Ok(RedbStore { file, path, process: std::process::id() })
    }

    fn check_process(&self) -> Result<()> {
        if std::process::id() == self.process {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Closed, format!("the file was opened by process {}, not by this fork", self.process)))
    }

    /// Runs a verb on the published snapshot.
    fn read<T>(&self, verb: impl FnOnce(&dyn Read) -> Result<T>) -> Result<T> {
        self.check_process()?;
        match &self.file {
            Open::ToWrite(file) => {
                let snapshot = file.shared.snapshot()?;
                fault::guarded(|| verb(&*snapshot))
            }
            Open::ToRead(file) => fault::guarded(|| verb(&file.snapshot()?)),
        }
    }

    /// The state as it is now, to be read by many calls.
    fn held(&self) -> Result<Arc<snapshot::Snapshot>> {
        self.check_process()?;
        match &self.file {
            Open::ToWrite(file) => file.shared.snapshot(),
            Open::ToRead(file) => file.snapshot().map(Arc::new),
        }
    }

    /// The file, where it can be written.
    fn written(&self) -> Result<&Written> {
        self.check_process()?;
        match &self.file {
            Open::ToWrite(file) => Ok(file),
            Open::ToRead(file) => Err(file.refusal()),
        }
    }

    /// Runs a verb on the writer thread, and waits until what it wrote is durable.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnOnce(&dyn Read) -> Result<(WriteSet, T)> + Send + 'static,
    ) -> Result<T> {
        let file = self.written()?;
        let tasks = file.tasks.lock().clone().ok_or_else(Error::closed)?;
        let (job, answer) = Job::new(bytes, verb);
        if let Err(job) = Writer::alone(&file.shared, job, &tasks) {
            tasks.send(Task::Job(job)).map_err(|_| Error::closed())?;
        }
        answer.recv().unwrap_or_else(|_| Err(Error::closed()))
    }

    /// As [`write`](Self::write), of a verb that leaves something to be cleared away.
    fn write_leaving(&self, verb: impl FnOnce(&dyn Read) -> Result<(WriteSet, ())> + Send + 'static) -> Result<()> {
        let left = self.written()?.left.clone();
        self.write(1024, move |view| {
            let written = verb(view)?;
            left.note();
            Ok(written)
        })?;
        self.look()
    }

    /// Has the writer thread look for what there is to clear away. A full queue looks after the next group anyway.
    fn look(&self) -> Result<()> {
        if let Some(tasks) = self.written()?.tasks.lock().clone() {
            offer(&tasks, Task::Look);
        }
        Ok(())
    }
}

fn start(name: &str, thread: impl FnOnce() + Send + 'static) -> Result<()> {
    ThreadBuilder::new()
        .name(name.into())
        .spawn(thread)
        .map(drop)
        .map_err(|error| Error::new(ErrorKind::Storage, format!("the thread {name} cannot start")).with_source(error))
}

/// Refuses a file in which anything does not hold.
fn check_whole(path: &Path, shared: &Shared) -> Result<()> {
    let published = shared.snapshot()?;
    let breaches = fault::guarded_opening(path, || verify::all(&*published))?;
    match breaches.first() {
        None => Ok(()),
        Some(first) => Err(Error::corrupt(format!(
            "{} has {} breaches of what must hold in it, the first: {first}",
            path.display(),
            breaches.len()
        ))),
    }
}

/// About what an operation writes.
fn size(messages: &[NewMessage]) -> usize {
    messages.iter().map(|message| message.size() + 512).sum()
}

impl Drop for RedbStore {
    /// Gives the file free at once. Waits for the commit under way, never for a thread.
    fn drop(&mut self) {
        // An error here has nobody to go to; `close` is there for who wants to know.
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests;
