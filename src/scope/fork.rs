//! A new session out of an old one.

use std::ops::ControlFlow;

use super::Session;
use crate::bell::Event;
use crate::error::Result;
use crate::grant::Act;
use crate::id::MessageId;
use crate::progress::Progress;
use crate::record::NewSession;
use crate::store::{ForkSession, SessionRef};

impl Session {
    /// Makes a new session of the same agent with the messages of this one up to one of them, that one included: to try
    /// another way from there.
    ///
    /// The two share nothing that can change. Copied are the messages that are not soft-deleted, with all that they say and
    /// carry, their `ts` and `created_at`, in threads where they stood in some, and the context mark. They have ids of
    /// their own and stand in no turn; [`forked_from`](crate::SessionRecord::forked_from) says where they come from. Label and the rest are the new
    /// session's own. With an id of the caller's a retry is safe. This session may be running meanwhile.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// use parlor::NewSession;
    ///
    /// let said = session.append(["I am Ada.", "I like tea.", "I like coffee."])?;
    /// let other = session.fork(said[1].id, NewSession::default().label("Tea"))?;
    /// other.append(["I like it green."])?;
    /// assert_eq!((other.history(10)?.len(), session.history(10)?.len()), (3, 3));
    /// assert_eq!(other.get()?.forked_from.unwrap().session, session.id());
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session has no such message, or it was soft-deleted.
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a field out of bounds,
    /// [`Conflict`](crate::ErrorKind::Conflict) when another session of the agent has the key, or the id was used before with other
    /// inputs. [`Corrupt`](crate::ErrorKind::Corrupt) when one of the messages cannot be read.
    pub fn fork(&self, message: MessageId, new: NewSession) -> Result<Session> {
        self.fork_by(Act::SessionFork, message, new, |_| ControlFlow::Continue(()))
    }

    /// As [`fork`](Self::fork), and this is called after each step: a break cancels it, and nothing was made.
    ///
    /// # Errors
    ///
    /// Those of [`fork`](Self::fork); [`Cancelled`](crate::ErrorKind::Cancelled) after a break.
    pub fn fork_with(
        &self,
        message: MessageId,
        new: NewSession,
        on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Session> {
        self.fork_by(Act::SessionForkWith, message, new, on)
    }

    fn fork_by(
        &self,
        act: Act,
        message: MessageId,
        new: NewSession,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Session> {
        let core = &self.core;
        core.check(act)?;
        new.check()?;
        let op = ForkSession { stamp: core.shared.stamp(), at: self.at, message, new };
        let id = op.new.id.unwrap_or_else(|| op.stamp.uuid(0).into());
        let at = SessionRef { session: id, ..self.at };
        let (store, _admission) = core.writing(act)?;
        // It takes part as who makes a session only while nothing of the caller's runs: a deletion waits for those.
        let mut entered = Ok(None);
        let forked = core.long(act, &mut on, |on| {
            store.fork_session(op, &mut |progress: Progress| {
                let went = on(progress);
                if !progress.is_last() || went.is_break() {
                    return went;
                }
                entered = core.executor.admit_creation(at).map(Some);
                if entered.is_ok() { went } else { ControlFlow::Break(()) }
            })
        });
        let _entered = entered?;
        let record = forked?;
        core.shared.bell.ring(at, self.agent, Event::Written);
        Ok(Session::new(core.clone(), &record))
    }
}
