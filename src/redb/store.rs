//! The operations of the store: each is a verb, run on what is published or on the writer thread.

use std::io::{Read, Write};

use super::{
    Open, RedbStore, access, agent, archive, ending, feed, fork, mark, message, orphan, outbox, purge, queue, reach,
    remnant, scope, session, size, timeline, turn, writer,
};
use crate::error::{Error, Result};
use crate::id::{AgentId, KeyId, MessageId, ThreadId, TurnId, WorkspaceId};
use crate::limit::REASON_BYTES;
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
    OutboxFailed, OutboxPage, OutboxQuery, Outcome, Promote, Purge, Recovered, Redrive, RestoreArchive, RevokeKey,
    SessionRef, SessionsQuery, SetContextMark, Started, Stop, Stopped, Store, StoredKey, Submit, Submitted,
    UpdateSession, Waiting,
};

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

    fn workspace(&self, id: WorkspaceId) -> Result<WorkspaceRecord> {
        self.read(|view| agent::workspace(view, id))
    }

    fn workspaces(&self, page: PageAt) -> Result<Listed<WorkspaceRecord>> {
        self.read(|view| agent::workspaces(view, page))
    }

    fn create_agent(&self, op: CreateAgent) -> Result<AgentRecord> {
        self.write(512, move |view| agent::create(view, &op))
    }

    fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<AgentRecord> {
        self.read(|view| agent::get(view, workspace, id))
    }

    fn agents(&self, op: AgentsQuery) -> Result<Listed<AgentRecord>> {
        self.read(|view| agent::list(view, &op))
    }

    fn label_agent(&self, op: LabelAgent) -> Result<AgentRecord> {
        self.write(512, move |view| agent::label(view, &op))
    }

    fn delete_agent(&self, op: DeleteAgent) -> Result<()> {
        self.write_leaving(move |view| agent::delete(view, &op))
    }

    fn create_key(&self, op: CreateKey) -> Result<KeyRecord> {
        self.write(1024, move |view| access::create(view, &op))
    }

    fn key(&self, id: KeyId) -> Result<Option<StoredKey>> {
        self.read(|view| access::get(view, id))
    }

    fn keys(&self, op: KeysQuery) -> Result<Listed<KeyRecord>> {
        self.read(|view| access::list(view, &op))
    }

    fn revoke_key(&self, op: RevokeKey) -> Result<()> {
        self.write(512, move |view| access::revoke(view, &op))
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
        self.write(512 + op.update.size(), move |view| session::update(view, &op))
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

    fn export_archive(&self, at: &ArchiveRef, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()> {
        archive::export(self, at, to, on)
    }

    fn import_archive(&self, op: ImportArchive, from: &mut dyn Read, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
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

    fn purge(&self, op: Purge) -> Result<u64> {
        purge::run(self, op)
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
        self.read(reach::all)
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
