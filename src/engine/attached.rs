//! Engines beside the one that writes: many processes read a file that one of them writes.

use super::builder::Place;
use super::{Builder, Engine};
use crate::bell::Scope;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::poll::{Polls, Source};
use crate::redb::{RedbStore, Sharing};
use crate::shared::Shared;
use crate::store::Store;
use crate::sync::{Arc, Receiver, Sender, Silence, ThreadBuilder, bounded, receive_within};
use crate::time::Duration;

impl Builder {
    /// Lets other processes [attach](Self::attach) to the file while this engine writes it.
    ///
    /// They read the file alone, so it has no log: every group of writes is a commit of the file, which writes some
    /// hundred KiB and syncs twice, where a record of the log is a few hundred bytes and one sync. One process writes
    /// all the same; a second one gets [`AlreadyOpen`](crate::ErrorKind::AlreadyOpen), and so does one that opens the
    /// file without this while anybody is attached. Writes are always [`Durability::Sync`](crate::Durability::Sync).
    ///
    /// It needs locks on ranges of a file, which Linux, the systems of Apple and Windows have; elsewhere opening is
    /// [`Storage`](crate::ErrorKind::Storage).
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.parlor");
    /// use parlor::{Engine, ErrorKind};
    ///
    /// let engine = Engine::builder(&path).shared_readers().open()?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    ///
    /// // In another process:
    /// let reader = Engine::builder(&path).attach()?;
    /// let read = reader.workspace("acme")?.session(session.id())?;
    /// session.append(["hello"])?;
    /// assert_eq!(read.history(1)?[0].text(), "hello");
    /// assert_eq!(read.append(["no"]).unwrap_err().kind(), ErrorKind::Forbidden);
    /// reader.close()?;
    /// # engine.close()
    /// # }
    /// ```
    pub fn shared_readers(mut self) -> Self {
        self.file.sharing = Sharing::Readers;
        self
    }

    /// How often an [attached](Self::attach) engine looks for what its followers and watches wait for: 1 ms to 60 s
    /// ([`POLL_MS_MIN`](crate::limit::POLL_MS_MIN), [`POLL_MS_MAX`](crate::limit::POLL_MS_MAX)), by default 100 ms.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_every = interval;
        self
    }

    /// Attaches to a file that another process may be writing, which opened it with
    /// [`shared_readers`](Self::shared_readers): the engine only reads. Of the options, those of the cache, the clock,
    /// [`poll_every`](Self::poll_every) and [`wait_for_lock`](Self::wait_for_lock) have a say.
    ///
    /// Every read takes the newest commit, which no crash takes back. The process that writes may close the file, die and
    /// open it again meanwhile. Every write is [`Forbidden`](crate::ErrorKind::Forbidden), a workspace or an agent that
    /// would have to be made too; no agent runs here, and nothing of a process that died is ended.
    ///
    /// Followers and watches poll. A look reads one row where nothing was written; where something was,
    /// each follower reads on, and for a watch the listing of its scope is read, a row for each session, of which some 30
    /// bytes are kept. A follower of a session that is deleted and made again with its id between two looks may not
    /// notice.
    ///
    /// # Errors
    ///
    /// [`OpenForWritingOnce`](crate::ErrorKind::OpenForWritingOnce) when the file was not closed and nobody has
    /// recovered it. [`AlreadyOpen`](crate::ErrorKind::AlreadyOpen) when another process has it for itself alone.
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no file, else those of [`open`](Self::open).
    pub fn attach(self) -> Result<Engine> {
        self.check()?;
        let path = match &self.place {
            Place::File(path) => path,
            Place::Memory => return Err(Error::invalid("an engine in memory has no file to attach to")),
        };
        let store = Arc::new(self.wait(|| RedbStore::attach(path, self.file))?);
        let polls = Polls::new(Arc::clone(&store) as Arc<dyn Source>);
        let shared = Arc::new(Shared::polled(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&self.clock), polls));
        let (polling, stop) = bounded(1);
        let (polled, every) = (Arc::clone(&shared), self.poll_every);
        let thread = ThreadBuilder::new().name("parlor-poll".into()).spawn(move || poll(&polled, every, &stop));
        thread.map_err(|error| {
            Error::new(ErrorKind::Storage, "the thread parlor-poll cannot start").with_source(error)
        })?;
        Ok(self.over(shared, Vec::new(), Some(Polling(polling)), Some(store)))
    }
}

/// Keeps the thread that polls alive.
pub(super) struct Polling(#[expect(dead_code, reason = "the thread ends when it is dropped")] Sender<()>);

/// The thread's whole life: it ends with the engine.
fn poll(shared: &Shared, every: Duration, stop: &Receiver<()>) {
    while let Err(Silence::TimedOut) = receive_within(stop, every) {
        shared.poll();
    }
}

impl Source for RedbStore {
    fn group(&self) -> Result<u64> {
        self.group_in_file()
    }

    fn active(&self, scope: Scope) -> Result<Vec<(SessionId, u64)>> {
        RedbStore::active(self, scope.workspace, scope.agent)
    }
}
