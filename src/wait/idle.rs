//! A session that is to become idle.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::block;
use crate::bell::{Event, Registration};
use crate::error::{Error, Result};
use crate::grant::{Act, Pass};
use crate::here;
use crate::id::SessionId;
use crate::record::{SessionRecord, SessionStatus};
use crate::shared::{Phase, Shared};
use crate::store::SessionRef;
use crate::sync::{Arc, Context, Poll, Waker};
use crate::tail::Bookmark;
use crate::time::Duration;

/// A session to wait for until it is idle, with no turn running and none waiting: on this thread, or as a [`Future`] on
/// any executor. Made by [`Session::idle`](crate::Session::idle).
///
/// It is over whenever the session is idle at a moment when it looks; by the time its answer is read, somebody
/// else may have sent. Dropping it changes nothing.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let engine = parlor::Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
/// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
/// use parlor::SessionStatus;
///
/// session.send("hello")?;
/// assert_eq!(session.idle().wait()?.status, SessionStatus::Idle);
/// assert_eq!(session.history(10)?.len(), 2);
/// // The same as a future.
/// pollster::block_on(session.idle())?;
/// # engine.close()
/// # }
/// ```
pub struct Idle {
    shared: Arc<Shared>,
    pass: Pass,
    /// Tells when the session was deleted: one of its id is another one.
    bookmark: Arc<Bookmark>,
    /// Where this one, as a future, is to be woken.
    waiting: Option<Registration>,
}

impl Idle {
    pub(crate) fn new(shared: &Arc<Shared>, pass: &Pass, at: SessionRef) -> Self {
        // What it reads is the session's state, of which a tail keeps nothing.
        let bookmark = Arc::new(shared.tails.bookmark(at, u64::MAX));
        Idle { shared: Arc::clone(shared), pass: pass.clone(), bookmark, waiting: None }
    }

    /// The session.
    pub fn session_id(&self) -> SessionId {
        self.bookmark.at().session
    }

    /// The session as it stands now: [`Running`](SessionStatus::Running), or idle.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted, [`Closed`](crate::ErrorKind::Closed)
    /// after the engine closed, the error of the storage when it cannot be read.
    pub fn get(&self) -> Result<SessionRecord> {
        self.read(self.shared.phase())
    }

    /// Sleeps until the session is idle, and answers with it.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get); [`WouldDeadlock`](crate::ErrorKind::WouldDeadlock), at once, on the thread of
    /// the session's own agent.
    pub fn wait(&self) -> Result<SessionRecord> {
        self.block(None)
    }

    /// Sleeps until the session is idle or this time has passed. One that is then still running is no error: the
    /// record says [`Running`](SessionStatus::Running).
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<SessionRecord> {
        self.block(Some(timeout))
    }

    fn block(&self, timeout: Option<Duration>) -> Result<SessionRecord> {
        let mut place = None;
        let idle = block(&self.shared, timeout, |waker| {
            place = Some(self.register(waker));
            self.look()
        });
        idle.unwrap_or_else(|| self.get())
    }

    fn register(&self, waker: &Waker) -> Registration {
        self.shared.bell.register(self.bookmark.at(), Event::Ended, waker.clone())
    }

    /// Reads how the session stands; whoever is to be woken is registered by now.
    fn look(&self) -> Poll<Result<SessionRecord>> {
        // The phase is read before the session: an engine that was closed by then ends no turn after it.
        let read = self.read(self.shared.phase());
        match read {
            Ok(session) if session.status == SessionStatus::Running => match here::check_wait(self.bookmark.at()) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            answer => Poll::Ready(answer),
        }
    }

    fn read(&self, phase: Phase) -> Result<SessionRecord> {
        self.shared.check(&self.pass, Act::Idle)?;
        let read = self.shared.store().session(self.bookmark.at());
        // Looked at after the read, which may be that of a session made in its place.
        if self.bookmark.is_gone() {
            return Err(Error::not_found(format_args!("session {}", self.session_id())));
        }
        let session = read?;
        if phase == Phase::Closed && session.status == SessionStatus::Running {
            return Err(Error::closed());
        }
        Ok(session)
    }
}

impl Future for Idle {
    type Output = Result<SessionRecord>;

    /// Ready when the session is idle; as [`wait`](Idle::wait) otherwise.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let idle = self.get_mut();
        idle.waiting = Some(idle.register(cx.waker()));
        let answer = idle.look();
        if answer.is_ready() {
            idle.waiting = None;
        }
        answer
    }
}

impl Clone for Idle {
    fn clone(&self) -> Self {
        let (shared, bookmark) = (Arc::clone(&self.shared), Arc::clone(&self.bookmark));
        Idle { shared, pass: self.pass.clone(), bookmark, waiting: None }
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("session", &self.session_id()).finish_non_exhaustive()
    }
}
