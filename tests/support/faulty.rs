//! A store that fails where a test wants it to.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use super::Gate;
use parlor::id::{AgentId, KeyId, MessageId, ThreadId, TurnId, WorkspaceId};
use parlor::page::{Damaged, Matching, PageAt};
use parlor::store::{
    AgentsQuery, Append, ArchiveRef, ArchiveSession, ArchivesQuery, Cancel, CreateAgent, CreateKey, CreateSession,
    Created, DeleteAgent, DeleteArchive, DeleteMessage, DeleteSession, Emit, EndOrphans, EnsureAgent, EnsureWorkspace,
    Finish, Finished, ForkSession, ImportArchive, Interrupt, KeysQuery, LabelAgent, Listed, Matched, OutboxDelivered,
    OutboxFailed, OutboxPage, OutboxQuery, Promote, Purge, Recovered, Redrive, RestoreArchive, RevokeKey, SessionRef,
    SessionsQuery, SetContextMark, Started, Stop, Stopped, Store, StoredKey, Submit, Submitted, UpdateSession, Waiting,
};
use parlor::{
    AgentRecord, ArchiveRecord, Change, ContextMark, Error, ErrorKind, KeyRecord, Message, OnProgress, Result,
    SessionRecord, ThreadRecord, Turn, WebhookRow, WorkspaceRecord,
};

/// Passes every operation on, but for what it was told to spoil.
pub struct Faulty {
    inner: Arc<dyn Store>,
    spoiled: Mutex<Spoiled>,
}

#[derive(Default)]
struct Spoiled {
    finish: Option<ErrorKind>,
    panic: bool,
    sync: Option<ErrorKind>,
    syncs: usize,
    hold_submit: Option<Gate>,
    hold_turn: Option<Gate>,
    hold_read: Option<Gate>,
    read: Option<ErrorKind>,
    messages: Vec<u32>,
    before_archive: Option<Box<dyn FnOnce() + Send>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Faulty { inner, spoiled: Mutex::default() }
    }

    fn spoiled(&self) -> std::sync::MutexGuard<'_, Spoiled> {
        self.spoiled.lock().expect("nobody panics with it")
    }

    /// From now on no turn can be ended.
    pub fn fail_finish(&self, kind: ErrorKind) {
        self.spoiled().finish = Some(kind);
    }

    /// The next end of a turn panics.
    pub fn panic_once(&self) {
        self.spoiled().panic = true;
    }

    /// From now on nothing gets to the disk.
    pub fn fail_sync(&self, kind: ErrorKind) {
        self.spoiled().sync = Some(kind);
    }

    /// How often it was asked whether all is on the disk, since it was last healed.
    pub fn syncs(&self) -> usize {
        self.spoiled().syncs
    }

    /// The answer to the next submit is held at this gate: the store has accepted the turn, and
    /// its caller does not know yet.
    pub fn hold_answer(&self, gate: Gate) {
        self.spoiled().hold_submit = Some(gate);
    }

    /// The next one who reads a turn gets its answer at this gate.
    pub fn hold_turn(&self, gate: Gate) {
        self.spoiled().hold_turn = Some(gate);
    }

    /// The answer to the next read of a change feed is held at this gate: its reader knows nothing
    /// of what is written meanwhile.
    pub fn hold_read(&self, gate: Gate) {
        self.spoiled().hold_read = Some(gate);
    }

    /// From now on neither a session nor its change feed can be read.
    pub fn fail_read(&self, kind: ErrorKind) {
        self.spoiled().read = Some(kind);
    }

    fn check_read(&self) -> Result<()> {
        self.spoiled().read.map_or(Ok(()), |kind| Err(Error::new(kind, "the storage is broken")))
    }

    /// The next time a session is about to be archived, this is done first: what the engine keeps for those who follow is kept.
    pub fn before_archive(&self, what: impl FnOnce() + Send + 'static) {
        self.spoiled().before_archive = Some(Box::new(what));
    }

    /// From now on all is well again.
    pub fn heal(&self) {
        *self.spoiled() = Spoiled::default();
    }

    /// From now on the messages of these numbers cannot be read.
    pub fn damage(&self, numbers: impl IntoIterator<Item = u32>) {
        self.spoiled().messages.extend(numbers);
    }
}

impl Store for Faulty {
    fn finish(&self, op: Finish) -> Result<Finished> {
        let (kind, panic) = {
            let mut spoiled = self.spoiled();
            (spoiled.finish, std::mem::take(&mut spoiled.panic))
        };
        assert!(!panic, "the storage panics");
        match kind {
            Some(kind) => Err(Error::new(kind, "the storage is broken")),
            None => self.inner.finish(op),
        }
    }

    fn messages(&self, at: SessionRef, matching: Matching) -> Result<Matched> {
        let mut found = self.inner.messages(at, matching)?;
        let spoiled = self.spoiled();
        let (bad, good) = found.items.into_iter().partition(|message| spoiled.messages.contains(&message.number));
        found.items = good;
        let bad: Vec<Message> = bad;
        let damaged = bad.iter().map(|message| Damaged::new(Some(message.number), Some(message.ts), "it is damaged"));
        found.damaged = damaged.collect();
        Ok(found)
    }

    fn ensure_workspace(&self, op: EnsureWorkspace) -> Result<WorkspaceRecord> {
        self.inner.ensure_workspace(op)
    }

    fn find_workspace(&self, name: &str) -> Result<Option<WorkspaceRecord>> {
        self.inner.find_workspace(name)
    }

    fn ensure_agent(&self, op: EnsureAgent) -> Result<AgentRecord> {
        self.inner.ensure_agent(op)
    }

    fn find_agent(&self, workspace: WorkspaceId, name: &str) -> Result<Option<AgentRecord>> {
        self.inner.find_agent(workspace, name)
    }

    fn workspace(&self, id: WorkspaceId) -> Result<WorkspaceRecord> {
        self.inner.workspace(id)
    }

    fn workspaces(&self, page: PageAt) -> Result<Listed<WorkspaceRecord>> {
        self.inner.workspaces(page)
    }

    fn create_agent(&self, op: CreateAgent) -> Result<AgentRecord> {
        self.inner.create_agent(op)
    }

    fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<AgentRecord> {
        self.inner.agent(workspace, id)
    }

    fn agents(&self, op: AgentsQuery) -> Result<Listed<AgentRecord>> {
        self.inner.agents(op)
    }

    fn label_agent(&self, op: LabelAgent) -> Result<AgentRecord> {
        self.inner.label_agent(op)
    }

    fn delete_agent(&self, op: DeleteAgent) -> Result<()> {
        self.inner.delete_agent(op)
    }

    fn create_key(&self, op: CreateKey) -> Result<KeyRecord> {
        self.inner.create_key(op)
    }

    fn key(&self, id: KeyId) -> Result<Option<StoredKey>> {
        self.inner.key(id)
    }

    fn keys(&self, op: KeysQuery) -> Result<Listed<KeyRecord>> {
        self.inner.keys(op)
    }

    fn revoke_key(&self, op: RevokeKey) -> Result<()> {
        self.inner.revoke_key(op)
    }

    fn create_session(&self, op: CreateSession) -> Result<Created> {
        self.inner.create_session(op)
    }

    fn session(&self, at: SessionRef) -> Result<SessionRecord> {
        self.check_read()?;
        self.inner.session(at)
    }

    fn session_by_key(&self, workspace: WorkspaceId, agent: AgentId, key: &str) -> Result<SessionRecord> {
        self.inner.session_by_key(workspace, agent, key)
    }

    fn sessions(&self, op: SessionsQuery) -> Result<Listed<SessionRecord>> {
        self.inner.sessions(op)
    }

    fn update_session(&self, op: UpdateSession) -> Result<SessionRecord> {
        self.inner.update_session(op)
    }

    fn fork_session(&self, op: ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        self.inner.fork_session(op, on)
    }

    fn delete_session(&self, op: DeleteSession) -> Result<()> {
        self.inner.delete_session(op)
    }

    fn archive_session(&self, op: ArchiveSession, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        let mut before = self.spoiled().before_archive.take();
        self.inner.archive_session(op, &mut |progress| {
            let went = on(progress);
            if let Some(before) = before.take_if(|_| progress.is_last()) {
                before();
            }
            went
        })
    }

    fn archives(&self, op: ArchivesQuery) -> Result<Listed<ArchiveRecord>> {
        self.inner.archives(op)
    }

    fn archive(&self, at: &ArchiveRef) -> Result<ArchiveRecord> {
        self.inner.archive(at)
    }

    fn restore_archive(&self, op: RestoreArchive, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        self.inner.restore_archive(op, on)
    }

    fn export_archive(&self, at: &ArchiveRef, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()> {
        self.inner.export_archive(at, to, on)
    }

    fn import_archive(&self, op: ImportArchive, from: &mut dyn Read, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        self.inner.import_archive(op, from, on)
    }

    fn delete_archive(&self, op: DeleteArchive) -> Result<()> {
        self.inner.delete_archive(op)
    }

    fn thread(&self, at: SessionRef, thread: ThreadId) -> Result<ThreadRecord> {
        self.inner.thread(at, thread)
    }

    fn append(&self, op: Append) -> Result<Vec<Message>> {
        self.inner.append(op)
    }

    fn submit(&self, op: Submit) -> Result<Submitted> {
        let hold = self.spoiled().hold_submit.take();
        let submitted = self.inner.submit(op);
        if let Some(gate) = hold {
            gate.pass("submitted");
        }
        submitted
    }

    fn emit(&self, op: Emit) -> Result<Vec<Message>> {
        self.inner.emit(op)
    }

    fn delete_message(&self, op: DeleteMessage) -> Result<()> {
        self.inner.delete_message(op)
    }

    fn purge(&self, op: Purge) -> Result<u64> {
        self.inner.purge(op)
    }

    fn message(&self, at: SessionRef, message: MessageId) -> Result<Message> {
        self.inner.message(at, message)
    }

    fn turn(&self, at: SessionRef, turn: TurnId) -> Result<Turn> {
        let hold = self.spoiled().hold_turn.take();
        let read = self.inner.turn(at, turn);
        if let Some(gate) = hold {
            gate.pass("read");
        }
        read
    }

    fn turns(&self, at: SessionRef, page: PageAt) -> Result<Listed<Turn>> {
        self.inner.turns(at, page)
    }

    fn changes(&self, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>> {
        self.check_read()?;
        let read = self.inner.changes(at, after, limit);
        let hold = self.spoiled().hold_read.take();
        if let Some(gate) = hold {
            gate.pass("read");
        }
        read
    }

    fn interrupt(&self, op: Interrupt) -> Result<Option<Finished>> {
        self.inner.interrupt(op)
    }

    fn stop(&self, op: Stop) -> Result<Stopped> {
        self.inner.stop(op)
    }

    fn cancel(&self, op: Cancel) -> Result<Turn> {
        self.inner.cancel(op)
    }

    fn promote(&self, op: Promote) -> Result<Vec<Started>> {
        self.inner.promote(op)
    }

    fn end_orphans(&self, op: EndOrphans) -> Result<Recovered> {
        self.inner.end_orphans(op)
    }

    fn waiting(&self) -> Result<Waiting> {
        self.inner.waiting()
    }

    fn set_context_mark(&self, op: SetContextMark) -> Result<()> {
        self.inner.set_context_mark(op)
    }

    fn context_mark(&self, at: SessionRef) -> Result<Option<ContextMark>> {
        self.inner.context_mark(at)
    }

    fn sync(&self) -> Result<()> {
        let spoiled = {
            let mut spoiled = self.spoiled();
            spoiled.syncs += 1;
            spoiled.sync
        };
        spoiled.map_or_else(|| self.inner.sync(), |kind| Err(Error::new(kind, "the disk is broken")))
    }

    fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>> {
        self.inner.outbox(limit)
    }

    fn outbox_page(&self, op: OutboxQuery) -> Result<OutboxPage> {
        self.inner.outbox_page(op)
    }

    fn outbox_head(&self, at: SessionRef) -> Result<Option<WebhookRow>> {
        self.inner.outbox_head(at)
    }

    fn outbox_delivered(&self, op: OutboxDelivered) -> Result<()> {
        self.inner.outbox_delivered(op)
    }

    fn outbox_failed(&self, op: OutboxFailed) -> Result<WebhookRow> {
        self.inner.outbox_failed(op)
    }

    fn redrive(&self, op: Redrive) -> Result<u32> {
        self.inner.redrive(op)
    }

    fn verify(&self) -> Result<Vec<String>> {
        self.inner.verify()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}
