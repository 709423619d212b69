//! Archives: a session out of the live tables, and back.

use std::fmt;
use std::io::{Read, Write};
use std::ops::ControlFlow;

use super::{AgentHandle, Core, Door, PageQuery, Session};
use crate::bell::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::grant::Act;
use crate::id::AgentId;
use crate::page::Page;
use crate::progress::{OnProgress, Progress};
use crate::record::{ArchiveRecord, NewSession};
use crate::shared::Phase;
use crate::store::{
    ArchiveRef, ArchiveSession, ArchivesQuery, DeleteArchive, ImportArchive, ImportIds, RestoreArchive, SessionRef,
    Store,
};
use crate::sync::Arc;

/// An archive of an agent: a session moved out of the live tables.
///
/// A cheap handle, made by [`Session::archive`] and [`AgentHandle::archive`]. It keeps the record as it was read; an archive
/// that was restored or deleted since is *not found*.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
/// use parlor::NewSession;
///
/// let agent = engine.workspace("acme")?.agent("greeter")?;
/// let session = agent.create_session(NewSession::default().key("telegram:42"))?;
/// session.append(["hello", "who is there?"])?;
///
/// let archive = session.archive()?;
/// assert!(session.history(10).unwrap_err().is_not_found());
/// assert_eq!(agent.archives(())?.items, [archive.record().clone()]);
///
/// let session = agent.archive(archive.filename())?.restore()?;
/// assert_eq!(session.history(10)?.len(), 2);
/// assert_eq!(agent.archives(())?.meta.total, 0);
/// # engine.close()
/// # }
/// ```
///
/// From document B.
#[derive(Clone)]
pub struct Archive {
    core: Door,
    record: Arc<ArchiveRecord>,
}

impl Session {
    /// Moves the session, with all that it holds, into an archive of its agent.
    ///
    /// From then on it is *not found*, its key is free, and a follower is told [`Archived`](crate::ChangeKind::Archived) and
    /// ends. It takes the longer the more messages there are; others go on meanwhile, in this session too.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) while a turn is running or waits ([`stop`](Self::stop) it first), and when the session
    /// changed meanwhile: that change stands. [`NotFound`](ErrorKind::NotFound) when it was deleted or archived before,
    /// [`Corrupt`](ErrorKind::Corrupt) when a part of it cannot be read: then it stays as it is.
    ///
    /// From document B.
    pub fn archive(&self) -> Result<Archive> {
        self.archive_by(Act::SessionArchive, |_| ControlFlow::Continue(()))
    }

    /// As [`archive`](Self::archive), and this is called after each step: a break cancels it, and nothing has changed.
    ///
    /// # Errors
    ///
    /// Those of [`archive`](Self::archive); [`Cancelled`](ErrorKind::Cancelled) after a break.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// # let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// use std::ops::ControlFlow;
    ///
    /// let refused = session.archive_with(|progress| {
    ///     println!("{} of {}", progress.done, progress.total);
    ///     ControlFlow::Break(())
    /// });
    /// assert_eq!(refused.unwrap_err().kind(), parlor::ErrorKind::Cancelled);
    /// assert!(session.get().is_ok());
    /// # engine.close()
    /// # }
    /// ```
    pub fn archive_with(&self, on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Archive> {
        self.archive_by(Act::SessionArchiveWith, on)
    }

    fn archive_by(&self, act: Act, mut on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Archive> {
        let (core, at) = (&self.core, self.at);
        let (store, _admission) = core.writing(act)?;
        let op = ArchiveSession { stamp: core.shared.stamp(), at, only_at: None };
        let record = core.long(act, &mut on, |on| core.archive_session(store, op, self.agent, on))?;
        Ok(Archive { core: core.clone(), record: Arc::new(record) })
    }
}

impl AgentHandle {
    /// The archives of this agent, newest first: see [`PageQuery`]. An archive that cannot be read stands among the damaged.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a page or limit out of bounds.
    ///
    /// From document B.
    pub fn archives(&self, query: impl Into<PageQuery>) -> Result<Page<ArchiveRecord>> {
        let (store, page) = (self.core.store(Act::AgentArchives)?, query.into().at()?);
        let query = ArchivesQuery { workspace: self.record().workspace_id, agent: Some(self.id()), page };
        let listed = store.archives(query)?;
        Ok(Page::new(page, listed.total, listed.items, listed.damaged))
    }

    /// An archive of this agent, by its name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when the agent has no such archive.
    pub fn archive(&self, filename: &str) -> Result<Archive> {
        let (workspace, agent) = (self.record().workspace_id, self.id());
        let record = self.core.store(Act::AgentArchive)?.archive(&ArchiveRef {
            workspace,
            agent,
            filename: filename.to_owned(),
        })?;
        Ok(Archive { core: self.core.clone(), record: Arc::new(record) })
    }

    /// Makes an archive of this agent from a stream that [`Archive::export`] wrote, here or elsewhere, or that anybody made up: all of
    /// it is checked before anything shows, in the memory of a few chunks. It reads no further than the archive goes.
    ///
    /// What waits to be announced is not part of it. The archive has the label, the key and the times of its session.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) when the workspace has the session's id, live or archived, and
    /// [`ImportIds::New`] was not asked for; [`Corrupt`](ErrorKind::Corrupt) when the stream is no sound archive,
    /// [`NewerFormat`](ErrorKind::NewerFormat) when a newer version of the library wrote it, [`TooLarge`](ErrorKind::TooLarge)
    /// over [`limit::ARCHIVE_BYTES`](crate::limit::ARCHIVE_BYTES), [`Storage`](ErrorKind::Storage) when it cannot be read. Nothing has
    /// changed then.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// # let agent = engine.workspace("acme")?.agent("greeter")?;
    /// use parlor::{ImportIds, NewSession};
    ///
    /// let session = agent.create_session(NewSession::default().key("telegram:42"))?;
    /// session.append(["hello"])?;
    /// let mut stream = Vec::new();
    /// session.archive()?.export(&mut stream)?;
    ///
    /// let copy = agent.import_archive(&stream[..], ImportIds::New)?;
    /// assert_eq!(copy.restore()?.history(10)?[0].text(), "hello");
    /// // The original is still in its archive.
    /// assert!(agent.import_archive(&stream[..], ImportIds::Keep).unwrap_err().is_conflict());
    /// # engine.close()
    /// # }
    /// ```
    pub fn import_archive(&self, from: impl Read, ids: ImportIds) -> Result<Archive> {
        self.import_by(Act::AgentImportArchive, from, ids, |_| ControlFlow::Continue(()))
    }

    /// As [`import_archive`](Self::import_archive), and this is called after each step: a break cancels it, and nothing has
    /// changed. How much there is to do is what the stream says.
    ///
    /// # Errors
    ///
    /// Those of [`import_archive`](Self::import_archive); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn import_archive_with(
        &self,
        from: impl Read,
        ids: ImportIds,
        on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Archive> {
        self.import_by(Act::AgentImportArchiveWith, from, ids, on)
    }

    fn import_by(
        &self,
        act: Act,
        mut from: impl Read,
        ids: ImportIds,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Archive> {
        // A close need not wait for who sends the stream: it is asked after at each step.
        let (core, store) = (&self.core, self.core.store(act)?);
        let workspace = self.record().workspace_id;
        let op = ImportArchive { stamp: core.shared.stamp(), workspace, agent: self.id(), ids };
        let record = core.long(act, &mut on, |on| store.import_archive(op, &mut from, on))?;
        Ok(Archive { core: core.clone(), record: Arc::new(record) })
    }
}

impl Archive {
    /// What it is called.
    pub fn filename(&self) -> &str {
        &self.record.filename
    }

    /// The whole record.
    pub fn record(&self) -> &ArchiveRecord {
        &self.record
    }

    /// Gives back the session, with all that it held as it was: ids, order, `ts`, what was soft-deleted, usage, the numbers of
    /// its events. The archive is gone then.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) when another session of the agent has its key, [`Corrupt`](ErrorKind::Corrupt) when
    /// the archive is damaged, [`NotFound`](ErrorKind::NotFound) when it was restored or deleted before. Nothing has changed
    /// then.
    ///
    /// From document B.
    pub fn restore(&self) -> Result<Session> {
        self.restore_by(Act::ArchiveRestore, None, |_| ControlFlow::Continue(()))
    }

    /// As [`restore`](Self::restore), with a new label where one is given, and this is called after each step: a break cancels
    /// it, and nothing has changed.
    ///
    /// # Errors
    ///
    /// Those of [`restore`](Self::restore); [`InvalidArgument`](ErrorKind::InvalidArgument) for a label over 255 characters,
    /// [`Cancelled`](ErrorKind::Cancelled) after a break.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// # let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// use std::ops::ControlFlow;
    ///
    /// let session = session.archive()?.restore_with("From the archive", |_| ControlFlow::Continue(()))?;
    /// assert_eq!(session.get()?.label.as_deref(), Some("From the archive"));
    /// # engine.close()
    /// # }
    /// ```
    pub fn restore_with<'l>(
        &self,
        label: impl Into<Option<&'l str>>,
        on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Session> {
        self.restore_by(Act::ArchiveRestoreWith, label.into().map(str::to_owned), on)
    }

    fn restore_by(
        &self,
        act: Act,
        label: Option<String>,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Session> {
        self.core.check(act)?;
        NewSession { label: label.clone(), ..NewSession::default() }.check()?;
        let core = &self.core;
        let (store, _admission) = core.writing(act)?;
        let op = RestoreArchive { stamp: core.shared.stamp(), archive: self.reference(), label };
        let restored = core.long(act, &mut on, |on| store.restore_archive(op, on))?;
        core.shared.bell.ring(self.at(), self.record.agent_id, Event::Written);
        // What waits in the outbox may have been looked for in vain meanwhile.
        core.shared.bell.announce(self.at());
        Ok(Session::new(core.clone(), &restored))
    }

    /// Writes it into a stream, for [`AgentHandle::import_archive`], chunk by chunk. It stays as it is.
    ///
    /// # Errors
    ///
    /// [`Storage`](ErrorKind::Storage) when the stream cannot be written, [`Corrupt`](ErrorKind::Corrupt) when the archive is damaged,
    /// [`NotFound`](ErrorKind::NotFound) when it was restored or deleted before or meanwhile. What was written by then is no archive.
    pub fn export(&self, to: impl Write) -> Result<()> {
        self.export_by(Act::ArchiveExport, to, |_| ControlFlow::Continue(()))
    }

    /// As [`export`](Self::export), and this is called after each chunk: a break cancels it.
    ///
    /// # Errors
    ///
    /// Those of [`export`](Self::export); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn export_with(&self, to: impl Write, on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<()> {
        self.export_by(Act::ArchiveExportWith, to, on)
    }

    fn export_by(&self, act: Act, mut to: impl Write, mut on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<()> {
        let store = self.core.store(act)?;
        self.core.long(act, &mut on, |on| store.export_archive(&self.reference(), &mut to, on))
    }

    /// Deletes it for good, and its session with it, whose id is free then. A damaged one can be deleted, too.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when it was restored or deleted before.
    ///
    /// From document B.
    pub fn delete(&self) -> Result<()> {
        let (shared, store) = (&self.core.shared, self.core.store(Act::ArchiveDelete)?);
        let op = DeleteArchive { stamp: shared.stamp(), archive: self.reference() };
        // A session may be made in its place.
        let deletion = self.core.executor.admit_deletion(self.at())?;
        store.delete_archive(op)?;
        shared.tails.forget(self.at());
        let _admission = deletion.done();
        shared.bell.ring(self.at(), self.record.agent_id, Event::Ended);
        Ok(())
    }

    fn reference(&self) -> ArchiveRef {
        let ArchiveRecord { workspace_id: workspace, agent_id: agent, ref filename, .. } = *self.record;
        ArchiveRef { workspace, agent, filename: filename.clone() }
    }

    fn at(&self) -> SessionRef {
        SessionRef { workspace: self.record.workspace_id, session: self.record.session_id }
    }
}

impl Core {
    /// Archives a session of this agent, and tells of it.
    pub(crate) fn archive_session(
        &self,
        store: &dyn Store,
        op: ArchiveSession,
        agent: AgentId,
        on: &mut OnProgress<'_>,
    ) -> Result<ArchiveRecord> {
        let (shared, at) = (&self.shared, op.at);
        let mut archiving = None;
        let archived = store.archive_session(op, &mut |progress: Progress| {
            let went = on(progress);
            if progress.is_last() && went.is_continue() {
                archiving.get_or_insert_with(|| shared.tails.begin_archiving(at));
                // Nothing comes after it, or the archiving is refused.
                shared.tails.keep_of(store, at);
            }
            went
        });
        if let Ok(record) = &archived {
            shared.tails.archived(at, agent, record.last_change);
        }
        drop(archiving);
        let record = archived?;
        shared.bell.ring(at, agent, Event::Ended);
        Ok(record)
    }

    /// An operation of many steps, which a close need not wait for.
    pub(crate) fn long<T>(
        &self,
        on: &mut OnProgress<'_>,
        run: impl FnOnce(&mut OnProgress<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut closed = false;
        let answer = run(&mut |progress| {
            closed = self.shared.phase() != Phase::Open;
            if closed { ControlFlow::Break(()) } else { on(progress) }
        });
        match answer {
            Err(error) if closed && error.kind() == ErrorKind::Cancelled => Err(Error::closed()),
            answer => answer,
        }
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Archive").field(&self.record).finish()
    }
}
