//! The operations of a [`Store`] as values, so that two stores can be given the same one.

use std::ops::ControlFlow;

use super::super::snapshot::outbox_pages;
use super::access::{self, ScopeAnswer, ScopeOp};
use crate::error::Result;
use crate::id::{AgentId, MessageId, ThreadId, TurnId, WorkspaceId};
use crate::page::{Matching, PageAt};
use crate::progress::Progress;
use crate::record::{
    AgentRecord, ArchiveRecord, Change, ContextMark, Message, SessionRecord, ThreadRecord, Turn, WebhookRow,
    WorkspaceRecord,
};
use crate::store::{
    Append, ArchiveRef, ArchiveSession, ArchivesQuery, Cancel, CreateSession, Created, DeleteArchive, DeleteMessage,
    DeleteSession, Emit, EndOrphans, EnsureAgent, EnsureWorkspace, Finish, Finished, ForkSession, Interrupt, Listed,
    Matched, OutboxDelivered, OutboxFailed, OutboxRows, Promote, Purge, Recovered, Redrive, RestoreArchive, SessionRef,
    SessionsQuery, SetContextMark, Started, Stop, Stopped, Store, Submit, Submitted, UpdateSession,
};

/// One operation with its input.
#[derive(Debug, Clone)]
pub(super) enum Op {
    EnsureWorkspace(EnsureWorkspace),
    FindWorkspace(String),
    EnsureAgent(EnsureAgent),
    FindAgent(WorkspaceId, String),
    CreateSession(Box<CreateSession>),
    Session(SessionRef),
    SessionByKey(WorkspaceId, AgentId, String),
    Sessions(SessionsQuery),
    UpdateSession(Box<UpdateSession>),
    ForkSession(Box<ForkSession>),
    DeleteSession(DeleteSession),
    ArchiveSession(ArchiveSession),
    Archives(ArchivesQuery),
    Archive(ArchiveRef),
    RestoreArchive(RestoreArchive),
    DeleteArchive(DeleteArchive),
    Thread(SessionRef, ThreadId),
    Append(Append),
    Submit(Box<Submit>),
    Emit(Emit),
    Finish(Finish),
    Interrupt(Interrupt),
    Stop(Stop),
    Cancel(Cancel),
    Promote(Promote),
    SetContextMark(SetContextMark),
    ContextMark(SessionRef),
    DeleteMessage(DeleteMessage),
    Purge(Purge),
    Message(SessionRef, MessageId),
    Messages(SessionRef, Matching),
    Turn(SessionRef, TurnId),
    Turns(SessionRef, PageAt),
    Changes(SessionRef, u64, u32),
    EndOrphans(EndOrphans),
    Outbox(u32),
    /// All pages, of so many rows.
    OutboxPages(OutboxRows, u32),
    OutboxHead(SessionRef),
    OutboxDelivered(OutboxDelivered),
    OutboxFailed(OutboxFailed),
    Redrive(Redrive),
    Scope(Box<ScopeOp>),
}

/// What an operation answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Workspace(WorkspaceRecord),
    FoundWorkspace(Option<WorkspaceRecord>),
    Agent(AgentRecord),
    FoundAgent(Option<AgentRecord>),
    Created(Box<Created>),
    Session(Box<SessionRecord>),
    Forked(Box<SessionRecord>),
    Sessions(Listed<SessionRecord>),
    Archived(Box<ArchiveRecord>),
    Archives(Listed<ArchiveRecord>),
    Archive(Box<ArchiveRecord>),
    Restored(Box<SessionRecord>),
    Thread(ThreadRecord),
    Written(Vec<Message>),
    Submitted(Box<Submitted>),
    Turn(Box<Turn>),
    Finished(Box<Finished>),
    Interrupted(Box<Option<Finished>>),
    Stopped(Box<Stopped>),
    Cancelled(Box<Turn>),
    Promoted(Vec<Started>),
    Marked,
    ContextMark(Option<ContextMark>),
    Deleted,
    Purged(u64),
    Message(Box<Message>),
    Matched(Matched),
    Turns(Listed<Turn>),
    Changes(Vec<Change>),
    Recovered(Recovered),
    Outbox(Vec<WebhookRow>),
    OutboxPages(Vec<Vec<WebhookRow>>),
    OutboxHead(Option<Box<WebhookRow>>),
    OutboxDelivered,
    OutboxFailed(Box<WebhookRow>),
    Redriven(u32),
    Scope(Box<ScopeAnswer>),
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Does it.
pub(super) fn apply(store: &dyn Store, op: &Op) -> Result<Answer> {
    Ok(match op.clone() {
        Op::EnsureWorkspace(op) => Answer::Workspace(store.ensure_workspace(op)?),
        Op::FindWorkspace(name) => Answer::FoundWorkspace(store.find_workspace(&name)?),
        Op::EnsureAgent(op) => Answer::Agent(store.ensure_agent(op)?),
        Op::FindAgent(workspace, name) => Answer::FoundAgent(store.find_agent(workspace, &name)?),
        Op::CreateSession(op) => Answer::Created(Box::new(store.create_session(*op)?)),
        Op::Session(at) => Answer::Session(Box::new(store.session(at)?)),
        Op::SessionByKey(workspace, agent, key) => {
            Answer::Session(Box::new(store.session_by_key(workspace, agent, &key)?))
        }
        Op::Sessions(query) => Answer::Sessions(store.sessions(query)?),
        Op::UpdateSession(op) => Answer::Session(Box::new(store.update_session(*op)?)),
        Op::ForkSession(op) => Answer::Forked(Box::new(store.fork_session(*op, &mut go_on)?)),
        Op::DeleteSession(op) => {
            store.delete_session(op)?;
            Answer::Deleted
        }
        Op::ArchiveSession(op) => Answer::Archived(Box::new(store.archive_session(op, &mut go_on)?)),
        Op::Archives(query) => Answer::Archives(store.archives(query)?),
        Op::Archive(at) => Answer::Archive(Box::new(store.archive(&at)?)),
        Op::RestoreArchive(op) => Answer::Restored(Box::new(store.restore_archive(op, &mut go_on)?)),
        Op::DeleteArchive(op) => {
            store.delete_archive(op)?;
            Answer::Deleted
        }
        Op::Thread(at, thread) => Answer::Thread(store.thread(at, thread)?),
        Op::Append(op) => Answer::Written(store.append(op)?),
        Op::Submit(op) => Answer::Submitted(Box::new(store.submit(*op)?)),
        Op::Emit(op) => Answer::Written(store.emit(op)?),
        Op::Finish(op) => Answer::Finished(Box::new(store.finish(op)?)),
        Op::Interrupt(op) => Answer::Interrupted(Box::new(store.interrupt(op)?)),
        Op::Stop(op) => Answer::Stopped(Box::new(store.stop(op)?)),
        Op::Cancel(op) => Answer::Cancelled(Box::new(store.cancel(op)?)),
        Op::Promote(op) => Answer::Promoted(store.promote(op)?),
        Op::SetContextMark(op) => {
            store.set_context_mark(op)?;
            Answer::Marked
        }
        Op::ContextMark(at) => Answer::ContextMark(store.context_mark(at)?),
        Op::DeleteMessage(op) => {
            store.delete_message(op)?;
            Answer::Deleted
        }
        Op::Purge(op) => Answer::Purged(store.purge(op)?),
        Op::Message(at, message) => Answer::Message(Box::new(store.message(at, message)?)),
        Op::Messages(at, matching) => Answer::Matched(store.messages(at, matching)?),
        Op::Turn(at, turn) => Answer::Turn(Box::new(store.turn(at, turn)?)),
        Op::Turns(at, page) => Answer::Turns(store.turns(at, page)?),
        Op::Changes(at, after, limit) => Answer::Changes(store.changes(at, after, limit)?),
        Op::EndOrphans(op) => Answer::Recovered(store.end_orphans(op)?),
        Op::Outbox(limit) => Answer::Outbox(store.outbox(limit)?),
        Op::OutboxPages(rows, limit) => Answer::OutboxPages(outbox_pages(store, rows, limit)?),
        Op::OutboxHead(at) => Answer::OutboxHead(store.outbox_head(at)?.map(Box::new)),
        Op::OutboxDelivered(op) => {
            store.outbox_delivered(op)?;
            Answer::OutboxDelivered
        }
        Op::OutboxFailed(op) => Answer::OutboxFailed(Box::new(store.outbox_failed(op)?)),
        Op::Redrive(op) => Answer::Redriven(store.redrive(op)?),
        Op::Scope(op) => Answer::Scope(Box::new(access::apply(store, *op)?)),
    })
}
