//! An operation that writes, and what it answers.

use std::ops::ControlFlow;

use parlor::store::{
    Append, ArchiveSession, CreateSession, Created, DeleteMessage, DeleteSession, Emit, Finish, Finished, Interrupt,
    RestoreArchive, SessionRef, SetContextMark, Stop, Stopped, Store, Submit, Submitted, UpdateSession,
};
use parlor::{ArchiveRecord, Message, Progress, Result, SessionRecord};

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
        })
    }

    /// The session; of a creation the one that its answer names.
    pub fn at(&self) -> Option<SessionRef> {
        match self {
            Op::Create(_) => None,
            Op::Append(op) => Some(op.at),
            Op::Submit(op) => Some(op.at),
            Op::Emit(op) => Some(op.at),
            Op::Finish(op) => Some(op.at),
            Op::Interrupt(op) => Some(op.at),
            Op::Stop(op) => Some(op.at),
            Op::Mark(op) => Some(op.at),
            Op::Update(op) => Some(op.at),
            Op::Delete(op) => Some(op.at),
            Op::DeleteSession(op) => Some(op.at),
            Op::Archive(op) => Some(op.at),
            Op::Restore(_, at) => Some(*at),
        }
    }
}
