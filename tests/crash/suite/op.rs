//! An operation that writes, and what it answers.

use parlor::store::{
    Append, CreateSession, Created, DeleteMessage, DeleteSession, Emit, Finish, Finished, Interrupt, SessionRef,
    SetContextMark, Stop, Stopped, Store, Submit, Submitted, UpdateSession,
};
use parlor::{Message, Result, SessionRecord};

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
        }
    }
}
