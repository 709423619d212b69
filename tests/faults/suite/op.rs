//! An operation that writes, and what it answers.

use std::ops::ControlFlow;

use parlor::id::WorkspaceId;
use parlor::store::{
    Append, ArchiveRef, ArchiveSession, Cancel, CreateAgent, CreateKey, CreateSession, Created, DeleteAgent,
    DeleteArchive, DeleteMessage, DeleteSession, Emit, EndOrphans, EnsureWorkspace, Finish, Finished, ForkSession,
    ImportArchive, Interrupt, LabelAgent, OutboxDelivered, OutboxFailed, Promote, Purge, Recovered, Redrive,
    RestoreArchive, RevokeKey, SessionRef, SetContextMark, Started, Stop, Stopped, Store, Submit, Submitted,
    UpdateSession,
};
use parlor::{
    AgentRecord, ArchiveRecord, KeyRecord, Message, Progress, Result, SessionRecord, Turn, WebhookRow, WorkspaceRecord,
};

use super::house;

#[derive(Debug, Clone)]
pub enum Op {
    Create(Box<CreateSession>),
    Append(Append),
    Submit(Box<Submit>),
    Emit(Emit),
    Finish(Box<Finish>),
    Interrupt(Interrupt),
    Stop(Stop),
    Mark(SetContextMark),
    Update(Box<UpdateSession>),
    Delete(DeleteMessage),
    DeleteSession(DeleteSession),
    Archive(ArchiveSession),
    /// What it gives back is this session.
    Restore(Box<RestoreArchive>, SessionRef),
    DeleteArchive(DeleteArchive, SessionRef),
    /// An archive as a stream, and in again as another session's.
    Import(ImportArchive, ArchiveRef),
    Fork(Box<ForkSession>),
    /// Of one message.
    Purge(Purge),
    Cancel(Cancel),
    Delivered(OutboxDelivered),
    Undelivered(OutboxFailed),
    Redrive(Redrive),
    /// Of one session of this workspace at most; so are the two below.
    EndOrphans(EndOrphans, WorkspaceId),
    RunAgain(EndOrphans, WorkspaceId),
    Promote(Promote),
    /// A house; the others below are done in it.
    Found(EnsureWorkspace),
    CreateAgent(CreateAgent),
    LabelAgent(LabelAgent),
    DeleteAgent(DeleteAgent),
    CreateKey(CreateKey),
    /// In the place of the master key.
    ReplaceKey(CreateKey),
    RevokeKey(RevokeKey),
    /// A session.
    Furnish(Box<CreateSession>),
    /// Messages.
    Inscribe(Append),
}

#[derive(Debug, PartialEq)]
pub enum Answer {
    Created(Box<Created>),
    Written(Vec<Message>),
    Submitted(Box<Submitted>),
    Ended(Box<Option<Finished>>),
    Stopped(Box<Stopped>),
    Marked,
    Updated(Box<SessionRecord>),
    Deleted,
    Archived(Box<ArchiveRecord>),
    Restored(Box<SessionRecord>),
    Forked(Box<SessionRecord>),
    Cancelled(Box<Turn>),
    Row(Box<WebhookRow>),
    Driven(u32),
    Recovered(Box<Recovered>),
    Promoted(Vec<Started>),
    House(Box<WorkspaceRecord>),
    Agent(Box<AgentRecord>),
    Key(Box<KeyRecord>),
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Op {
    pub fn apply(&self, store: &dyn Store) -> Result<Answer> {
        Ok(match self.clone() {
            Op::Create(op) => Answer::Created(Box::new(store.create_session(*op)?)),
            Op::Append(op) => Answer::Written(store.append(op)?),
            Op::Submit(op) => Answer::Submitted(Box::new(store.submit(*op)?)),
            Op::Emit(op) => Answer::Written(store.emit(op)?),
            Op::Finish(op) => Answer::Ended(Box::new(Some(store.finish(*op)?))),
            Op::Interrupt(op) => Answer::Ended(Box::new(store.interrupt(op)?)),
            Op::Stop(op) => Answer::Stopped(Box::new(store.stop(op)?)),
            Op::Mark(op) => {
                store.set_context_mark(op)?;
                Answer::Marked
            }
            Op::Update(op) => Answer::Updated(Box::new(store.update_session(*op)?)),
            Op::Delete(op) => {
                store.delete_message(op)?;
                Answer::Deleted
            }
            Op::DeleteSession(op) => {
                store.delete_session(op)?;
                Answer::Deleted
            }
            Op::Archive(op) => Answer::Archived(Box::new(store.archive_session(op, &mut go_on)?)),
            Op::Restore(op, _) => Answer::Restored(Box::new(store.restore_archive(*op, &mut go_on)?)),
            Op::DeleteArchive(op, _) => {
                store.delete_archive(op)?;
                Answer::Deleted
            }
            Op::Import(op, archive) => {
                let mut stream = Vec::new();
                store.export_archive(&archive, &mut stream, &mut go_on)?;
                Answer::Archived(Box::new(store.import_archive(op, &mut &*stream, &mut go_on)?))
            }
            Op::Purge(op) => {
                store.purge(op)?;
                Answer::Deleted
            }
            Op::Fork(op) => Answer::Forked(Box::new(store.fork_session(*op, &mut go_on)?)),
            Op::Cancel(op) => Answer::Cancelled(Box::new(store.cancel(op)?)),
            Op::Delivered(op) => {
                store.outbox_delivered(op)?;
                Answer::Marked
            }
            Op::Undelivered(op) => Answer::Row(Box::new(store.outbox_failed(op)?)),
            Op::Redrive(op) => Answer::Driven(store.redrive(op)?),
            Op::EndOrphans(op, _) | Op::RunAgain(op, _) => Answer::Recovered(Box::new(store.end_orphans(op)?)),
            Op::Promote(op) => Answer::Promoted(store.promote(op)?),
            at_home => at_home.apply_at_home(store)?,
        })
    }

    fn apply_at_home(self, store: &dyn Store) -> Result<Answer> {
        Ok(match self {
            Op::Found(op) => Answer::House(Box::new(store.ensure_workspace(op)?)),
            Op::CreateAgent(op) => Answer::Agent(Box::new(store.create_agent(op)?)),
            Op::LabelAgent(op) => Answer::Agent(Box::new(store.label_agent(op)?)),
            Op::DeleteAgent(op) => {
                store.delete_agent(op)?;
                Answer::Deleted
            }
            Op::CreateKey(op) | Op::ReplaceKey(op) => Answer::Key(Box::new(store.create_key(op)?)),
            Op::RevokeKey(op) => {
                store.revoke_key(op)?;
                Answer::Deleted
            }
            Op::Furnish(op) => Answer::Created(Box::new(store.create_session(*op)?)),
            Op::Inscribe(op) => Answer::Written(store.append(op)?),
            other => panic!("{other:?} is not done in a house"),
        })
    }

    /// How many kinds there are, and replaced master keys that close agents' keys.
    pub const KINDS: usize = 34;

    /// What it is called.
    pub fn kind(&self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }

    /// The session, or the house; of what makes or finds a session, the one that its answer names. None where it finds none.
    pub fn at(&self, answer: &Answer) -> Option<SessionRef> {
        Some(match (self, answer) {
            (Op::EndOrphans(_, workspace) | Op::RunAgain(_, workspace), Answer::Recovered(recovered)) => {
                let ended = recovered.ended.first().map(|turn| turn.session_id);
                let again = recovered.again.first().map(|started| started.at.session);
                SessionRef { workspace: *workspace, session: ended.or(again)? }
            }
            (Op::Promote(_), Answer::Promoted(started)) => started.first()?.at,
            (Op::Found(_), Answer::House(workspace)) => house::place(workspace.id),
            (Op::CreateAgent(op), _) => house::place(op.workspace),
            (Op::LabelAgent(op), _) => house::place(op.workspace),
            (Op::DeleteAgent(op), _) => house::place(op.workspace),
            (Op::CreateKey(op) | Op::ReplaceKey(op), _) => house::place(op.workspace),
            (Op::RevokeKey(op), _) => house::place(op.workspace),
            (Op::Furnish(op), _) => house::place(op.workspace),
            (Op::Inscribe(op), _) => house::place(op.at.workspace),
            _ => self.session(answer),
        })
    }

    fn session(&self, answer: &Answer) -> SessionRef {
        match (self, answer) {
            (_, Answer::Created(created)) => at_of(&created.session),
            (_, Answer::Forked(record)) => at_of(record),
            (Op::Import(op, _), Answer::Archived(record)) => {
                SessionRef { workspace: op.workspace, session: record.session_id }
            }
            (Op::Append(op), _) => op.at,
            (Op::Submit(op), _) => op.at,
            (Op::Emit(op), _) => op.at,
            (Op::Finish(op), _) => op.at,
            (Op::Interrupt(op), _) => op.at,
            (Op::Stop(op), _) => op.at,
            (Op::Mark(op), _) => op.at,
            (Op::Update(op), _) => op.at,
            (Op::Delete(op), _) => op.at,
            (Op::DeleteSession(op), _) => op.at,
            (Op::Archive(op), _) => op.at,
            (Op::Restore(_, at) | Op::DeleteArchive(_, at), _) => *at,
            (Op::Purge(op), _) => op.at,
            (Op::Cancel(op), _) => op.at,
            (Op::Delivered(op), _) => op.row.at,
            (Op::Undelivered(op), _) => op.row.at,
            (Op::Redrive(op), _) => op.at,
            (_, answer) => panic!("{self:?} answers {answer:?}"),
        }
    }
}

fn at_of(record: &SessionRecord) -> SessionRef {
    SessionRef { workspace: record.workspace_id, session: record.id }
}
