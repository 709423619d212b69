//! The operations of the store: each is a verb, run under the one lock.

use std::cmp::Reverse;
use std::io::{Read, Write};

use super::{ModelStore, Session, archive, in_all, page_of};
use crate::error::{Error, Result};
use crate::id::{AgentId, KeyId, MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::page::{Matching, PageAt, SessionPlace};
use crate::progress::OnProgress;
use crate::record::{
    AgentRecord, ArchiveRecord, Change, ContextMark, KeyRecord, Message, Reason, SessionRecord, ThreadRecord, Turn,
    WebhookRow, WorkspaceRecord,
};
use crate::store::{
    AgentsQuery, Append, ArchiveRef, ArchiveSession, ArchivesQuery, Cancel, CreateAgent, CreateKey, CreateSession,
    Created, DeleteAgent, DeleteArchive, DeleteMessage, DeleteSession, Emit, EndOrphans, EnsureAgent, EnsureWorkspace,
    Finish, Finished, ForkSession, ImportArchive, Interrupt, KeysQuery, LabelAgent, Listed, Matched, OutboxDelivered,
    OutboxFailed, OutboxPage, OutboxQuery, Outcome, Promote, Purge, Recovered, Recovery, Redrive, RestoreArchive,
    RevokeKey, SessionRef, SessionsQuery, SetContextMark, Started, Stop, Stopped, Store, StoredKey, Submit, Submitted,
    UpdateSession, Waiting,
};

impl Store for ModelStore {
    fn ensure_workspace(&self, op: EnsureWorkspace) -> Result<WorkspaceRecord> {
        let mut state = self.open()?;
        if let Some(found) = state.workspaces.iter().find(|workspace| workspace.name == op.name) {
            return Ok(found.clone());
        }
        let made =
            WorkspaceRecord { id: WorkspaceId::from_uuid(op.stamp.uuid(0)), name: op.name, created_at: op.stamp.at };
        state.workspaces.push(made.clone());
        Ok(made)
    }

    fn find_workspace(&self, name: &str) -> Result<Option<WorkspaceRecord>> {
        let state = self.open()?;
        Ok(state.workspaces.iter().find(|workspace| workspace.name == name).cloned())
    }

    fn ensure_agent(&self, op: EnsureAgent) -> Result<AgentRecord> {
        let mut state = self.open()?;
        if let Some(found) = state.agent_named(op.workspace, &op.name)? {
            return Ok(found.clone());
        }
        let made = AgentRecord {
            id: AgentId::from_uuid(op.stamp.uuid(0)),
            workspace_id: op.workspace,
            name: op.name,
            label: None,
            created_at: op.stamp.at,
        };
        state.agents.push(made.clone());
        Ok(made)
    }

    fn find_agent(&self, workspace: WorkspaceId, name: &str) -> Result<Option<AgentRecord>> {
        let state = self.open()?;
        Ok(state.agent_named(workspace, name)?.cloned())
    }

    fn workspace(&self, id: WorkspaceId) -> Result<WorkspaceRecord> {
        self.open()?.workspace(id).cloned()
    }

    fn workspaces(&self, page: PageAt) -> Result<Listed<WorkspaceRecord>> {
        Ok(self.open()?.workspaces(page))
    }

    fn create_agent(&self, op: CreateAgent) -> Result<AgentRecord> {
        self.open()?.create_agent(op)
    }

    fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<AgentRecord> {
        let state = self.open()?;
        state.workspace(workspace)?;
        state.agent(workspace, id).cloned()
    }

    fn agents(&self, op: AgentsQuery) -> Result<Listed<AgentRecord>> {
        self.open()?.agents(&op)
    }

    fn label_agent(&self, op: LabelAgent) -> Result<AgentRecord> {
        self.open()?.label_agent(op)
    }

    fn delete_agent(&self, op: DeleteAgent) -> Result<()> {
        self.open()?.delete_agent(&op)
    }

    fn create_key(&self, op: CreateKey) -> Result<KeyRecord> {
        self.open()?.create_key(op)
    }

    fn key(&self, id: KeyId) -> Result<Option<StoredKey>> {
        Ok(self.open()?.keys.iter().find(|key| key.record.id == id).cloned())
    }

    fn keys(&self, op: KeysQuery) -> Result<Listed<KeyRecord>> {
        self.open()?.keys(&op)
    }

    fn revoke_key(&self, op: RevokeKey) -> Result<()> {
        self.open()?.revoke_key(&op)
    }

    fn create_session(&self, op: CreateSession) -> Result<Created> {
        let mut state = self.open()?;
        state.workspace(op.workspace)?;
        let agent = state.agent(op.workspace, op.agent)?.clone();
        let id = op.new.id.unwrap_or(SessionId::from_uuid(op.stamp.uuid(0)));
        if op.new.id.is_some()
            && let Ok(original) = state.session(SessionRef { workspace: op.workspace, session: id })
        {
            return original.created_before(&op);
        }
        if op.new.id.is_some() && state.is_archived(SessionRef { workspace: op.workspace, session: id }) {
            return Err(archive::taken(id));
        }
        if let Some((_, runner)) = &op.first {
            runner.behaviour.check()?;
        }
        let key = op.new.key.clone().unwrap_or_else(|| id.to_string());
        if let Some(other) = state.session_with_key(&agent, &key) {
            return Err(Error::conflict(format!(
                "session key {key:?} of agent {} is taken by session {}",
                agent.name, other.base.id
            )));
        }
        let (mut session, first) = Session::create(&op, &agent, id, key)?;
        state.made += 1;
        session.nth = state.made;
        let created = Created { session: session.record(), first, replayed: false };
        state.sessions.push(session);
        Ok(created)
    }

    fn session(&self, at: SessionRef) -> Result<SessionRecord> {
        self.read(at, |session| Ok(session.record()))
    }

    fn session_by_key(&self, workspace: WorkspaceId, agent: AgentId, key: &str) -> Result<SessionRecord> {
        let state = self.open()?;
        state.workspace(workspace)?;
        let agent = state.agent(workspace, agent)?;
        let found = state.session_with_key(agent, key);
        found.map(Session::record).ok_or_else(|| Error::not_found(format_args!("session with key {key:?}")))
    }

    fn sessions(&self, op: SessionsQuery) -> Result<Listed<SessionRecord>> {
        let state = self.open()?;
        state.workspace(op.workspace)?;
        if let Some(agent) = op.agent {
            state.agent(op.workspace, agent)?;
        }
        let all = state.sessions.iter().map(Session::record);
        let mut listed: Vec<SessionRecord> = all
            .filter(|session| session.workspace_id == op.workspace)
            .filter(|session| op.agent.is_none_or(|agent| session.agent_id == agent))
            .collect();
        let total = listed.len() as u64;
        listed.sort_by_key(|session| Reverse((session.updated_at, session.id)));
        if let Some(SessionPlace { updated_at, session: id }) = op.after {
            listed.retain(|session| (session.updated_at, session.id) < (updated_at, id));
        }
        let behind = op.page.offset().saturating_add(u64::from(op.page.limit)) < listed.len() as u64;
        let mut page = page_of(listed, op.page);
        page.total = total;
        page.last = page
            .items
            .last()
            .filter(|_| behind)
            .map(|last| SessionPlace { updated_at: last.updated_at, session: last.id });
        Ok(page)
    }

    fn update_session(&self, op: UpdateSession) -> Result<SessionRecord> {
        self.change(op.at, |session| Ok(session.update(&op)))
    }

    fn fork_session(&self, op: ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        self.fork(&op, on)
    }

    fn delete_session(&self, op: DeleteSession) -> Result<()> {
        let mut state = self.open()?;
        state.session(op.at)?.check_idle()?;
        state.session(op.at)?.check_at(op.only_at)?;
        state.sessions.retain(|session| !session.is(op.at));
        Ok(())
    }

    fn archive_session(&self, op: ArchiveSession, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        ModelStore::archive(self, &op, on)
    }

    fn archives(&self, op: ArchivesQuery) -> Result<Listed<ArchiveRecord>> {
        self.open()?.archives(&op)
    }

    fn archive(&self, at: &ArchiveRef) -> Result<ArchiveRecord> {
        Ok(self.open()?.find_archive(at)?.record.clone())
    }

    fn restore_archive(&self, op: RestoreArchive, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        self.restore(&op, on)
    }

    fn export_archive(&self, at: &ArchiveRef, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()> {
        self.export(at, to, on)
    }

    fn import_archive(&self, op: ImportArchive, from: &mut dyn Read, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        self.import(&op, from, on)
    }

    fn delete_archive(&self, op: DeleteArchive) -> Result<()> {
        self.open()?.delete_archive(&op)
    }

    fn thread(&self, at: SessionRef, thread: ThreadId) -> Result<ThreadRecord> {
        self.read(at, |session| session.thread(thread).cloned())
    }

    fn append(&self, op: Append) -> Result<Vec<Message>> {
        self.change(op.at, |session| session.append(&op))
    }

    fn submit(&self, op: Submit) -> Result<Submitted> {
        let mut state = self.open()?;
        let others = in_all(state.sessions.iter().filter(|session| !session.is(op.at)));
        state.change(op.at, |session| session.submit(&op, others))
    }

    fn waiting(&self) -> Result<Waiting> {
        Ok(in_all(self.open()?.sessions.iter()))
    }

    fn emit(&self, op: Emit) -> Result<Vec<Message>> {
        self.change(op.at, |session| session.emit(&op))
    }

    fn finish(&self, op: Finish) -> Result<Finished> {
        self.change(op.at, |session| session.finish(&op))
    }

    fn interrupt(&self, op: Interrupt) -> Result<Option<Finished>> {
        self.change(op.at, |session| session.interrupt(&op))
    }

    fn stop(&self, op: Stop) -> Result<Stopped> {
        self.change(op.at, |session| session.stop(&op))
    }

    fn cancel(&self, op: Cancel) -> Result<Turn> {
        self.change(op.at, |session| session.cancel(&op))
    }

    fn promote(&self, op: Promote) -> Result<Vec<Started>> {
        let mut state = self.open()?;
        let mut started = Vec::new();
        let mut sessions = state.sessions.clone();
        for session in &mut sessions {
            if started.len() >= op.limit as usize {
                break;
            }
            let runner = op.runners.of(&session.base.agent_name);
            let Some(next) = session.promote(runner)? else { continue };
            session.touch(op.stamp.at);
            started.push(next);
        }
        state.sessions = sessions;
        Ok(started)
    }

    fn delete_message(&self, op: DeleteMessage) -> Result<()> {
        self.change(op.at, |session| session.delete(&op))
    }

    fn purge(&self, op: Purge) -> Result<u64> {
        self.change(op.at, |session| session.purge(&op))
    }

    fn message(&self, at: SessionRef, message: MessageId) -> Result<Message> {
        self.read(at, |session| session.message(message).cloned())
    }

    fn messages(&self, at: SessionRef, matching: Matching) -> Result<Matched> {
        self.read(at, |session| session.matching(&matching))
    }

    fn turn(&self, at: SessionRef, turn: TurnId) -> Result<Turn> {
        self.read(at, |session| Ok(session.run(turn)?.turn.clone()))
    }

    fn turns(&self, at: SessionRef, page: PageAt) -> Result<Listed<Turn>> {
        self.read(at, |session| {
            let newest_first = session.runs.iter().rev().map(|run| run.turn.clone()).collect();
            Ok(page_of(newest_first, page))
        })
    }

    fn changes(&self, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>> {
        self.read(at, |session| {
            let later = session.changes.iter().filter(|change| change.number > after);
            Ok(later.take(limit as usize).copied().collect())
        })
    }

    fn end_orphans(&self, op: EndOrphans) -> Result<Recovered> {
        let mut state = self.open()?;
        let mut ids = (0..).map(|n| op.stamp.uuid(n));
        let mut recovered = Recovered::default();
        let mut sessions = state.sessions.clone();
        for session in &mut sessions {
            let orphan = session.running().filter(|run| run.claim.is_none_or(|claim| claim.owner != op.owner));
            let Some(turn) = orphan.map(|run| run.turn.clone()) else { continue };
            if recovered.len() >= op.limit as usize {
                break;
            }
            match &op.recovery {
                Recovery::RunAgain { attempts, runners }
                    if turn.attempt < *attempts && runners.agents.contains(&session.base.agent_name) =>
                {
                    recovered.again.push(session.run_again(op.stamp.at, turn.id, runners.owner)?);
                }
                _ => {
                    session.touch(op.stamp.at);
                    let outcome = Outcome::Failed(Reason::Crash, None);
                    recovered.ended.push(session.end(&op.stamp, &mut ids, turn.id, &outcome)?);
                }
            }
        }
        state.sessions = sessions;
        Ok(recovered)
    }

    fn set_context_mark(&self, op: SetContextMark) -> Result<()> {
        self.change(op.at, |session| session.set_mark(&op))
    }

    fn context_mark(&self, at: SessionRef) -> Result<Option<ContextMark>> {
        self.read(at, |session| Ok(session.mark.clone()))
    }

    fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>> {
        let state = self.open()?;
        let all = state.announcing();
        let rows = all.iter().flat_map(|session| session.pending());
        Ok(rows.take(limit as usize).cloned().collect())
    }

    fn outbox_page(&self, op: OutboxQuery) -> Result<OutboxPage> {
        Ok(self.open()?.outbox_page(&op))
    }

    fn outbox_head(&self, at: SessionRef) -> Result<Option<WebhookRow>> {
        Ok(self.open()?.announcing_at(at)?.pending().next().cloned())
    }

    fn outbox_delivered(&self, op: OutboxDelivered) -> Result<()> {
        self.change_announcing(op.row.at, |session| session.announced(&op))
    }

    fn outbox_failed(&self, op: OutboxFailed) -> Result<WebhookRow> {
        self.change_announcing(op.row.at, |session| session.not_announced(&op))
    }

    fn redrive(&self, op: Redrive) -> Result<u32> {
        self.change_announcing(op.at, |session| session.redrive(&op))
    }

    fn verify(&self) -> Result<Vec<String>> {
        Ok(self.open()?.breaches())
    }

    fn sync(&self) -> Result<()> {
        // It has no disk.
        self.open().map(drop)
    }

    fn close(&self) -> Result<()> {
        self.open()?.closed = true;
        Ok(())
    }
}
