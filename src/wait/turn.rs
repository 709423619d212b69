//! The handle of a turn.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::block;
use crate::bell::{Event, Registration};
use crate::error::{Error, ErrorKind, Result};
use crate::grant::{Act, Pass};
use crate::here;
use crate::id::{MessageId, SessionId, ThreadId, TurnId};
use crate::record::{Message, Turn, TurnState};
use crate::shared::{Phase, Shared};
use crate::store::SessionRef;
use crate::sync::{Arc, Context, Poll, Waker};
use crate::time::Duration;

/// A turn to wait for: on this thread, or as a [`Future`] on any executor.
///
/// No result travels in it: it knows which turn it is and reads the store, so it is cheap, can
/// be cloned, and can be made again from its id ([`Session::turn`](crate::Session::turn)), also
/// in another process after a restart. Dropping it cancels nothing.
///
/// Every end of the turn is `Ok`: see [`TurnReport`].
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use parlor::{Engine, NewSession, TurnState};
///
/// let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
/// let session = engine.workspace("acme")?.agent("echo")?.create_session(NewSession::default())?;
///
/// let turn = session.send("one")?;
/// assert_eq!(turn.wait()?.text(), "one");
/// // The same turn, from its id, as a future.
/// let report = pollster::block_on(session.turn(turn.id())?)?;
/// assert_eq!(report.state(), TurnState::Completed);
/// # engine.close()
/// # }
/// ```
pub struct TurnHandle {
    shared: Arc<Shared>,
    pass: Pass,
    ender: Arc<dyn EndsTurns>,
    at: SessionRef,
    turn: TurnId,
    thread: ThreadId,
    message: MessageId,
    /// Where this handle, as a future, is to be woken.
    waiting: Option<Registration>,
}

/// Who ends turns before their agents do: what runs them.
pub(crate) trait EndsTurns: Send + Sync {
    /// Ends this turn as *interrupted*, unless it has ended, and answers with it.
    fn end(self: Arc<Self>, at: SessionRef, turn: TurnId) -> Result<Turn>;
}

/// How far a turn has come.
enum Progress {
    Running(Box<Turn>),
    Ended(Box<TurnReport>),
}

impl TurnHandle {
    pub(crate) fn new(shared: Arc<Shared>, ender: Arc<dyn EndsTurns>, at: SessionRef, turn: &Turn) -> Self {
        let (turn, thread, message) = (turn.id, turn.thread_id, turn.message_id);
        TurnHandle { shared, pass: Pass::TRUSTED, ender, at, turn, thread, message, waiting: None }
    }

    /// The same, for who carries this.
    pub(crate) fn held_by(self, pass: &Pass) -> Self {
        TurnHandle { pass: pass.of_session(self.at), ..self }
    }

    /// The turn's id (`task_id` in document A).
    pub fn id(&self) -> TurnId {
        self.turn
    }

    /// The session it runs in.
    pub fn session_id(&self) -> SessionId {
        self.at.session
    }

    /// The thread it answers in.
    pub fn thread_id(&self) -> ThreadId {
        self.thread
    }

    /// The message that started it.
    pub fn message_id(&self) -> MessageId {
        self.message
    }

    /// The turn as it stands now.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed) after the engine closed, [`Corrupt`](ErrorKind::Corrupt) or
    /// [`Storage`](ErrorKind::Storage) when it cannot be read.
    pub fn get(&self) -> Result<Turn> {
        let store = self.shared.open()?;
        self.shared.check(&self.pass, Act::TurnHandle)?;
        store.turn(self.at, self.turn)
    }

    /// Ends this turn, and never the one that comes after it: as *interrupted* with the reason `request` while it is running,
    /// where the one that waits next starts in the same commit; with the reason `cancelled` while it waits. One that has ended
    /// stays as it is. Answers with the turn as it ended.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) when the session was deleted, [`Closed`](ErrorKind::Closed) after the engine closed.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// use parlor::TurnState;
    ///
    /// let turn = session.send("hello")?;
    /// turn.wait()?;
    /// // Somebody clicks too late: nothing happens to this turn, nor to the next one.
    /// let next = session.send("again")?;
    /// assert_eq!(turn.interrupt()?.state, TurnState::Completed);
    /// assert_eq!(next.wait()?.state(), TurnState::Completed);
    /// # engine.close()
    /// # }
    /// ```
    pub fn interrupt(&self) -> Result<Turn> {
        self.shared.open()?;
        self.shared.check(&self.pass, Act::TurnHandleInterrupt)?;
        Arc::clone(&self.ender).end(self.at, self.turn)
    }

    /// Sleeps until the turn ends, and reports how.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed) when the engine closed and the turn's end cannot be read any more; the error of
    /// the storage when the end could not be written, or not be read. [`WouldDeadlock`](ErrorKind::WouldDeadlock), at
    /// once, on the thread of the agent of the same session, which would keep the turn from ever ending;
    /// [`NotFound`](ErrorKind::NotFound) when the session was deleted.
    pub fn wait(&self) -> Result<TurnReport> {
        self.block(None)
    }

    /// Sleeps until the turn ends or this time has passed. A turn that is then still running is
    /// no error: the report says [`Running`](TurnState::Running), and the turn goes on.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<TurnReport> {
        self.block(Some(timeout))
    }

    fn block(&self, timeout: Option<Duration>) -> Result<TurnReport> {
        // A place of its own in the list of those to wake: others may wait on this handle too.
        let mut own = self.clone();
        if let Some(ended) = block(&self.shared, timeout, |waker| own.progress(waker)) {
            return ended;
        }
        match self.read(self.shared.phase())? {
            Progress::Ended(report) => Ok(*report),
            Progress::Running(turn) => Ok(TurnReport { turn: *turn, reply: None }),
        }
    }

    /// Registers the waker, then reads how far the turn has come.
    fn progress(&mut self, waker: &Waker) -> Poll<Result<TurnReport>> {
        self.waiting = Some(self.shared.bell.register(self.at, Event::Ended, waker.clone()));
        // The phase is read before the turn: an engine that was closed by then writes no end after it.
        let phase = self.shared.phase();
        let ended = match self.read(phase) {
            // Its agent's own thread would keep it from ever ending.
            Ok(Progress::Running(_)) => match here::check_wait(self.at) {
                Ok(()) => return Poll::Pending,
                Err(error) => Err(error),
            },
            Ok(Progress::Ended(report)) => Ok(*report),
            Err(error) => Err(error),
        };
        self.waiting = None;
        Poll::Ready(ended)
    }

    fn read(&self, phase: Phase) -> Result<Progress> {
        self.shared.check(&self.pass, Act::TurnHandle)?;
        let turn = match self.shared.store().turn(self.at, self.turn) {
            Err(error) if error.kind() == ErrorKind::Closed => {
                let (turn, reply) = self.shared.verdict(self.turn).unwrap_or(Err(error))?;
                return Ok(Progress::Ended(Box::new(TurnReport { turn, reply })));
            }
            answer => answer?,
        };
        if turn.state.is_terminal() {
            let reply = self.shared.reply_of(self.at, &turn)?;
            return Ok(Progress::Ended(Box::new(TurnReport { turn, reply })));
        }
        match self.shared.verdict(self.turn) {
            Some(Err(lost)) => Err(lost),
            _ if phase == Phase::Closed => Err(Error::closed()),
            _ => Ok(Progress::Running(Box::new(turn))),
        }
    }
}

impl Future for TurnHandle {
    type Output = Result<TurnReport>;

    /// Ready when the turn has ended; as [`wait`](TurnHandle::wait) otherwise.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().progress(cx.waker())
    }
}

impl Clone for TurnHandle {
    fn clone(&self) -> Self {
        let (shared, ender, pass) = (Arc::clone(&self.shared), Arc::clone(&self.ender), self.pass.clone());
        TurnHandle { shared, pass, ender, waiting: None, ..*self }
    }
}

impl fmt::Debug for TurnHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnHandle").field("turn", &self.turn).field("session", &self.at.session).finish()
    }
}

/// How a turn stands: ended, or still running after a time-out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TurnReport {
    /// The turn.
    pub turn: Turn,
    /// The message that ended it, if it completed with one that was not soft-deleted since.
    pub reply: Option<Message>,
}

impl TurnReport {
    /// The message that ended it, if any.
    pub fn reply(&self) -> Option<&Message> {
        self.reply.as_ref()
    }

    /// The text of the reply; empty where there is none.
    pub fn text(&self) -> String {
        self.reply.as_ref().map(Message::text).unwrap_or_default()
    }

    /// Where the turn is in its life.
    pub fn state(&self) -> TurnState {
        self.turn.state
    }
}
