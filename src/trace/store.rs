//! A store whose writing operations are spans.

use std::io::{Read, Write};

use tracing::field::{Empty, debug, display};
use tracing::{Span, debug_span};

use crate::error::Result;
use crate::id::{AgentId, KeyId, MessageId, ThreadId, TurnId, WorkspaceId};
use crate::page::{Matching, PageAt};
use crate::progress::OnProgress;
use crate::record::{
    AgentRecord, ArchiveRecord, Change, ContextMark, KeyRecord, Message, SessionRecord, ThreadRecord, Turn, WebhookRow,
    WorkspaceRecord,
};
use crate::store::{
    AgentsQuery, Append, ArchiveRef, ArchiveSession, ArchivesQuery, Cancel, CreateAgent, CreateKey, CreateSession,
    Created, DeleteAgent, DeleteArchive, DeleteMessage, DeleteSession, Emit, EndOrphans, EnsureAgent, EnsureWorkspace,
    Finish, Finished, ForkSession, ImportArchive, Interrupt, KeysQuery, LabelAgent, Listed, Matched, OutboxDelivered,
    OutboxFailed, OutboxPage, OutboxQuery, Promote, Purge, Recovered, Redrive, RestoreArchive, RevokeKey, SessionRef,
    SessionsQuery, SetContextMark, Started, Stop, Stopped, Store, StoredKey, Submit, Submitted, UpdateSession, Waiting,
};
use crate::sync::Arc;

/// See the [module](self).
pub(super) struct Traced(pub(super) Arc<dyn Store>);

/// The span of an operation, to which what it is about is added.
struct Operation(Span);

impl Operation {
    fn new(name: &'static str) -> Self {
        Operation(debug_span!(
            "store",
            otel.name = name,
            otel.kind = "internal",
            db.system.name = "parlor",
            db.operation.name = name,
            db.operation.batch.size = Empty,
            gen_ai.agent.id = Empty,
            gen_ai.conversation.id = Empty,
            parlor.workspace.id = Empty,
            parlor.turn.id = Empty,
            error.type = Empty,
        ))
    }

    fn at(self, at: SessionRef) -> Self {
        self.0.record("gen_ai.conversation.id", display(at.session));
        self.of(at.workspace)
    }

    fn of(self, workspace: WorkspaceId) -> Self {
        self.0.record("parlor.workspace.id", display(workspace));
        self
    }

    fn agent(self, agent: AgentId) -> Self {
        self.0.record("gen_ai.agent.id", display(agent));
        self
    }

    fn turn(self, turn: impl Into<Option<TurnId>>) -> Self {
        if let Some(turn) = turn.into() {
            self.0.record("parlor.turn.id", display(turn));
        }
        self
    }

    /// How many messages it is to write, or rows to change.
    fn batch(self, size: usize) -> Self {
        self.0.record("db.operation.batch.size", size);
        self
    }

    /// Runs it. What it is refused with is named by its kind alone: a text may tell what was said.
    fn run<T>(self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        let answer = self.0.in_scope(operation);
        if let Err(error) = &answer {
            self.0.record("error.type", debug(error.kind()));
        }
        answer
    }
}

impl Store for Traced {
    fn ensure_workspace(&self, op: EnsureWorkspace) -> Result<WorkspaceRecord> {
        Operation::new("ensure_workspace").run(|| self.0.ensure_workspace(op))
    }

    fn find_workspace(&self, name: &str) -> Result<Option<WorkspaceRecord>> {
        self.0.find_workspace(name)
    }

    fn ensure_agent(&self, op: EnsureAgent) -> Result<AgentRecord> {
        Operation::new("ensure_agent").of(op.workspace).run(|| self.0.ensure_agent(op))
    }

    fn find_agent(&self, workspace: WorkspaceId, name: &str) -> Result<Option<AgentRecord>> {
        self.0.find_agent(workspace, name)
    }

    fn workspace(&self, id: WorkspaceId) -> Result<WorkspaceRecord> {
        self.0.workspace(id)
    }

    fn workspaces(&self, page: PageAt) -> Result<Listed<WorkspaceRecord>> {
        self.0.workspaces(page)
    }

    fn create_agent(&self, op: CreateAgent) -> Result<AgentRecord> {
        Operation::new("create_agent").of(op.workspace).run(|| self.0.create_agent(op))
    }

    fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<AgentRecord> {
        self.0.agent(workspace, id)
    }

    fn agents(&self, op: AgentsQuery) -> Result<Listed<AgentRecord>> {
        self.0.agents(op)
    }

    fn label_agent(&self, op: LabelAgent) -> Result<AgentRecord> {
        Operation::new("label_agent").of(op.workspace).agent(op.agent).run(|| self.0.label_agent(op))
    }

    fn delete_agent(&self, op: DeleteAgent) -> Result<()> {
        Operation::new("delete_agent").of(op.workspace).agent(op.agent).run(|| self.0.delete_agent(op))
    }

    fn create_key(&self, op: CreateKey) -> Result<KeyRecord> {
        Operation::new("create_key").of(op.workspace).run(|| self.0.create_key(op))
    }

    fn key(&self, id: KeyId) -> Result<Option<StoredKey>> {
        self.0.key(id)
    }

    fn keys(&self, op: KeysQuery) -> Result<Listed<KeyRecord>> {
        self.0.keys(op)
    }

    fn revoke_key(&self, op: RevokeKey) -> Result<()> {
        Operation::new("revoke_key").of(op.workspace).run(|| self.0.revoke_key(op))
    }

    fn create_session(&self, op: CreateSession) -> Result<Created> {
        let span = Operation::new("create_session").of(op.workspace).agent(op.agent);
        span.run(|| self.0.create_session(op))
    }

    fn session(&self, at: SessionRef) -> Result<SessionRecord> {
        self.0.session(at)
    }

    fn session_by_key(&self, workspace: WorkspaceId, agent: AgentId, key: &str) -> Result<SessionRecord> {
        self.0.session_by_key(workspace, agent, key)
    }

    fn sessions(&self, op: SessionsQuery) -> Result<Listed<SessionRecord>> {
        self.0.sessions(op)
    }

    fn update_session(&self, op: UpdateSession) -> Result<SessionRecord> {
        Operation::new("update_session").at(op.at).run(|| self.0.update_session(op))
    }

    fn fork_session(&self, op: ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        Operation::new("fork_session").at(op.at).run(|| self.0.fork_session(op, on))
    }

    fn delete_session(&self, op: DeleteSession) -> Result<()> {
        Operation::new("delete_session").at(op.at).run(|| self.0.delete_session(op))
    }

    fn archive_session(&self, op: ArchiveSession, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        Operation::new("archive_session").at(op.at).run(|| self.0.archive_session(op, on))
    }

    fn archives(&self, op: ArchivesQuery) -> Result<Listed<ArchiveRecord>> {
        self.0.archives(op)
    }

    fn archive(&self, at: &ArchiveRef) -> Result<ArchiveRecord> {
        self.0.archive(at)
    }

    fn export_archive(&self, at: &ArchiveRef, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()> {
        self.0.export_archive(at, to, on)
    }

    fn import_archive(&self, op: ImportArchive, from: &mut dyn Read, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        let span = Operation::new("import_archive").of(op.workspace).agent(op.agent);
        span.run(|| self.0.import_archive(op, from, on))
    }

    fn restore_archive(&self, op: RestoreArchive, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        let span = Operation::new("restore_archive").of(op.archive.workspace).agent(op.archive.agent);
        span.run(|| self.0.restore_archive(op, on))
    }

    fn delete_archive(&self, op: DeleteArchive) -> Result<()> {
        let span = Operation::new("delete_archive").of(op.archive.workspace).agent(op.archive.agent);
        span.run(|| self.0.delete_archive(op))
    }

    fn thread(&self, at: SessionRef, thread: ThreadId) -> Result<ThreadRecord> {
        self.0.thread(at, thread)
    }

    fn append(&self, op: Append) -> Result<Vec<Message>> {
        Operation::new("append").at(op.at).batch(op.messages.len()).run(|| self.0.append(op))
    }

    fn submit(&self, op: Submit) -> Result<Submitted> {
        Operation::new("submit").at(op.at).run(|| self.0.submit(op))
    }

    fn emit(&self, op: Emit) -> Result<Vec<Message>> {
        let span = Operation::new("emit").at(op.at).turn(op.claim.turn).batch(op.messages.len());
        span.run(|| self.0.emit(op))
    }

    fn finish(&self, op: Finish) -> Result<Finished> {
        Operation::new("finish").at(op.at).turn(op.claim.turn).run(|| self.0.finish(op))
    }

    fn interrupt(&self, op: Interrupt) -> Result<Option<Finished>> {
        Operation::new("interrupt").at(op.at).turn(op.turn).run(|| self.0.interrupt(op))
    }

    fn stop(&self, op: Stop) -> Result<Stopped> {
        Operation::new("stop").at(op.at).run(|| self.0.stop(op))
    }

    fn cancel(&self, op: Cancel) -> Result<Turn> {
        Operation::new("cancel").at(op.at).turn(op.turn).run(|| self.0.cancel(op))
    }

    fn promote(&self, op: Promote) -> Result<Vec<Started>> {
        Operation::new("promote").run(|| self.0.promote(op))
    }

    fn delete_message(&self, op: DeleteMessage) -> Result<()> {
        Operation::new("delete_message").at(op.at).run(|| self.0.delete_message(op))
    }

    fn purge(&self, op: Purge) -> Result<u64> {
        Operation::new("purge").at(op.at).run(|| self.0.purge(op))
    }

    fn message(&self, at: SessionRef, message: MessageId) -> Result<Message> {
        self.0.message(at, message)
    }

    fn messages(&self, at: SessionRef, matching: Matching) -> Result<Matched> {
        self.0.messages(at, matching)
    }

    fn waiting(&self) -> Result<Waiting> {
        self.0.waiting()
    }

    fn turn(&self, at: SessionRef, turn: TurnId) -> Result<Turn> {
        self.0.turn(at, turn)
    }

    fn turns(&self, at: SessionRef, page: PageAt) -> Result<Listed<Turn>> {
        self.0.turns(at, page)
    }

    fn changes(&self, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>> {
        self.0.changes(at, after, limit)
    }

    fn end_orphans(&self, op: EndOrphans) -> Result<Recovered> {
        Operation::new("end_orphans").run(|| self.0.end_orphans(op))
    }

    fn set_context_mark(&self, op: SetContextMark) -> Result<()> {
        let span = Operation::new("set_context_mark").at(op.at).turn(op.claim.map(|claim| claim.turn));
        span.run(|| self.0.set_context_mark(op))
    }

    fn context_mark(&self, at: SessionRef) -> Result<Option<ContextMark>> {
        self.0.context_mark(at)
    }

    fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>> {
        self.0.outbox(limit)
    }

    fn outbox_page(&self, op: OutboxQuery) -> Result<OutboxPage> {
        self.0.outbox_page(op)
    }

    fn outbox_head(&self, at: SessionRef) -> Result<Option<WebhookRow>> {
        self.0.outbox_head(at)
    }

    fn outbox_delivered(&self, op: OutboxDelivered) -> Result<()> {
        let span = Operation::new("outbox_delivered").at(op.row.at).turn(op.row.turn);
        span.run(|| self.0.outbox_delivered(op))
    }

    fn outbox_failed(&self, op: OutboxFailed) -> Result<WebhookRow> {
        Operation::new("outbox_failed").at(op.row.at).turn(op.row.turn).run(|| self.0.outbox_failed(op))
    }

    fn redrive(&self, op: Redrive) -> Result<u32> {
        Operation::new("redrive").at(op.at).turn(op.turn).run(|| self.0.redrive(op))
    }

    fn verify(&self) -> Result<Vec<String>> {
        self.0.verify()
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn close(&self) -> Result<()> {
        Operation::new("close").run(|| self.0.close())
    }
}
