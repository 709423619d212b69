//! The default store: one redb file. The only place that names redb.
//!
//! A verb (`session`, `message`, `timeline`, `turn`, `queue`, `ending`, `orphan`, `mark`, `outbox`, `remnant`, `feed`, `scope`) reads a view and answers, and a writing one returns a write set. The writer applies it; readers read the published snapshot.

mod archive;
mod attached;
mod backup;
mod base;
mod body;
mod cleaning;
mod codec;
mod draft;
mod ending;
mod fault;
mod feed;
mod file;
mod fork;
#[cfg(feature = "testkit")]
#[allow(clippy::panic, reason = "a check reports by panicking")]
mod keys;
mod lines;
mod load;
mod log;
mod look;
mod mark;
mod message;
mod orphan;
mod outbox;
mod overlay;
mod pack;
mod pages;
mod place;
mod positions;
mod put;
mod queue;
mod recent;
mod recovery;
mod remnant;
mod replay;
mod scope;
mod session;
#[cfg(feature = "testkit")]
mod simulated;
mod snapshot;
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

use std::io;
use std::path::{Path, PathBuf};

use self::attached::Attached;
use self::cleaning::{Cleaning, Left};
use self::view::Read;
use self::write_set::WriteSet;
use self::writer::{Job, Keeping, Shared, Task, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::limit::{REASON_BYTES, SESSION_JSON_BYTES, WRITER_QUEUE};
use crate::page::{Matching, PageAt};
use crate::progress::OnProgress;
use crate::record::{
    AgentRecord, ArchiveRecord, Change, ContextMark, Message, NewMessage, SessionRecord, ThreadRecord, Turn,
    WebhookRow, WorkspaceRecord,
};
use crate::store::{
    Append, ArchiveRef, ArchiveSession, ArchivesQuery, Cancel, CreateSession, Created, DeleteArchive, DeleteMessage,
    DeleteSession, Emit, EndOrphans, EnsureAgent, EnsureWorkspace, Finish, Finished, ForkSession, ImportArchive,
    Interrupt, Listed, Matched, OutboxDelivered, OutboxFailed, OutboxPage, OutboxQuery, Outcome, Promote, Recovered,
    Redrive, RestoreArchive, SessionRef, SessionsQuery, SetContextMark, Started, Stop, Stopped, Store, Submit,
    Submitted, UpdateSession, Waiting,
};
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

impl Store for RedbStore {
    fn ensure_workspace(&self, op: EnsureWorkspace) -> Result<WorkspaceRecord> {
        match self.find_workspace(&op.name)? {
            Some(found) => Ok(found),
            None => self.write(512, move |view| scope::ensure_workspace(view, &op)),
        }
    }

    fn find_workspace(&self, name: &str) -> Result<Option<WorkspaceRecord>> {
        self.read(|view| scope::find_workspace(view, name))
    }

    fn ensure_agent(&self, op: EnsureAgent) -> Result<AgentRecord> {
        match self.find_agent(op.workspace, &op.name)? {
            Some(found) => Ok(found),
            None => self.write(512, move |view| scope::ensure_agent(view, &op)),
        }
    }

    fn find_agent(&self, workspace: WorkspaceId, name: &str) -> Result<Option<AgentRecord>> {
        self.read(|view| scope::find_agent(view, workspace, name))
    }

    fn create_session(&self, op: CreateSession) -> Result<Created> {
        let bytes = 4096 + op.first.as_ref().map_or(0, |(new, _)| new.message.size());
        self.write(bytes, move |view| session::create(view, &op))
    }

    fn session(&self, at: SessionRef) -> Result<SessionRecord> {
        self.read(|view| session::get(view, at))
    }

    fn session_by_key(&self, workspace: WorkspaceId, agent: AgentId, key: &str) -> Result<SessionRecord> {
        self.read(|view| session::by_key(view, workspace, agent, key))
    }

    fn sessions(&self, op: SessionsQuery) -> Result<Listed<SessionRecord>> {
        self.read(|view| session::list(view, &op))
    }

    fn update_session(&self, op: UpdateSession) -> Result<SessionRecord> {
        self.write(SESSION_JSON_BYTES, move |view| session::update(view, &op))
    }

    fn fork_session(&self, op: ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        fork::fork(self, &op, on)
    }

    fn delete_session(&self, op: DeleteSession) -> Result<()> {
        self.write_leaving(move |view| remnant::delete(view, &op))
    }

    fn archive_session(&self, op: ArchiveSession, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        archive::archive(self, op, on)
    }

    fn archives(&self, op: ArchivesQuery) -> Result<Listed<ArchiveRecord>> {
        self.read(|view| archive::list(view, &op))
    }

    fn archive(&self, at: &ArchiveRef) -> Result<ArchiveRecord> {
        self.read(|view| archive::get(view, at))
    }

    fn restore_archive(&self, op: RestoreArchive, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        archive::restore(self, op, on)
    }

    fn export_archive(&self, at: &ArchiveRef, to: &mut dyn io::Write, on: &mut OnProgress<'_>) -> Result<()> {
        archive::export(self, at, to, on)
    }

    fn import_archive(
        &self,
        op: ImportArchive,
        from: &mut dyn io::Read,
        on: &mut OnProgress<'_>,
    ) -> Result<ArchiveRecord> {
        archive::import(self, &op, from, on)
    }

    fn delete_archive(&self, op: DeleteArchive) -> Result<()> {
        self.write_leaving(move |view| archive::delete(view, &op))
    }

    fn thread(&self, at: SessionRef, thread: ThreadId) -> Result<ThreadRecord> {
        self.read(|view| timeline::thread(view, at, thread))
    }

    fn append(&self, op: Append) -> Result<Vec<Message>> {
        self.write(size(&op.messages), move |view| message::append(view, &op))
    }

    fn submit(&self, op: Submit) -> Result<Submitted> {
        self.write(2048 + op.new.message.size(), move |view| turn::submit(view, &op))
    }

    fn emit(&self, op: Emit) -> Result<Vec<Message>> {
        self.write(size(&op.messages), move |view| turn::emit(view, &op))
    }

    fn finish(&self, op: Finish) -> Result<Finished> {
        let answer = match &op.outcome {
            Outcome::Completed(Some(answer)) => answer.size(),
            _ => 0,
        };
        self.write(2048 + answer, move |view| ending::finish(view, &op))
    }

    fn interrupt(&self, op: Interrupt) -> Result<Option<Finished>> {
        self.write(2048, move |view| ending::interrupt(view, &op))
    }

    fn stop(&self, op: Stop) -> Result<Stopped> {
        self.write(4096, move |view| ending::stop(view, &op))
    }

    fn cancel(&self, op: Cancel) -> Result<Turn> {
        self.write(2048, move |view| ending::cancel(view, &op))
    }

    fn promote(&self, op: Promote) -> Result<Vec<Started>> {
        self.write(1 << 16, move |view| queue::promote_all(view, &op))
    }

    fn waiting(&self) -> Result<Waiting> {
        self.read(queue::waiting_in_all)
    }

    fn delete_message(&self, op: DeleteMessage) -> Result<()> {
        self.write(512, move |view| message::delete(view, &op))
    }

    fn message(&self, at: SessionRef, message: MessageId) -> Result<Message> {
        self.read(|view| message::get(view, at, message))
    }

    fn messages(&self, at: SessionRef, matching: Matching) -> Result<Matched> {
        self.read(|view| timeline::list(view, at, &matching))
    }

    fn turn(&self, at: SessionRef, turn: TurnId) -> Result<Turn> {
        self.read(|view| turn::get(view, at, turn))
    }

    fn turns(&self, at: SessionRef, page: PageAt) -> Result<Listed<Turn>> {
        self.read(|view| turn::list(view, at, page))
    }

    fn changes(&self, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>> {
        self.read(|view| feed::changes(view, at, after, limit))
    }

    fn end_orphans(&self, op: EndOrphans) -> Result<Recovered> {
        self.write(1 << 16, move |view| orphan::recover(view, &op))
    }

    fn set_context_mark(&self, op: SetContextMark) -> Result<()> {
        let summary = op.mark.as_ref().map_or(0, |mark| mark.summary.len());
        self.write(1024 + summary, move |view| mark::set(view, &op))
    }

    fn context_mark(&self, at: SessionRef) -> Result<Option<ContextMark>> {
        self.read(|view| mark::get(view, at))
    }

    fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>> {
        self.read(|view| outbox::pending(view, limit))
    }

    fn outbox_page(&self, op: OutboxQuery) -> Result<OutboxPage> {
        self.read(|view| outbox::page(view, &op))
    }

    fn outbox_head(&self, at: SessionRef) -> Result<Option<WebhookRow>> {
        self.read(|view| outbox::head(view, at))
    }

    fn outbox_delivered(&self, op: OutboxDelivered) -> Result<()> {
        self.write(512, move |view| outbox::delivered(view, &op))
    }

    fn outbox_failed(&self, op: OutboxFailed) -> Result<WebhookRow> {
        self.write(4096 + REASON_BYTES, move |view| outbox::failed(view, &op))
    }

    fn redrive(&self, op: Redrive) -> Result<u32> {
        self.write(1 << 16, move |view| outbox::redrive(view, &op))
    }

    fn verify(&self) -> Result<Vec<String>> {
        self.read(verify::all)
    }

    fn sync(&self) -> Result<()> {
        self.check_process()?;
        match &self.file {
            Open::ToWrite(file) => {
                file.shared.snapshot()?;
                if file.shared.defers() { writer::sync_now(&file.shared) } else { Ok(()) }
            }
            // What is read there is on disk.
            Open::ToRead(_) => Ok(()),
        }
    }

    fn close(&self) -> Result<()> {
        // Closing writes to the file, and its locks may be held for good by threads that a fork does
        // not have. What a fork drops is leaked with the writer thread's share of it.
        self.check_process()?;
        match &self.file {
            Open::ToWrite(file) => {
                let tasks = file.tasks.lock().take().ok_or_else(Error::closed)?;
                drop(tasks);
                file.shared.close()
            }
            Open::ToRead(file) => file.close(),
        }
    }
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
