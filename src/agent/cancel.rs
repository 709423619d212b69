//! How an agent learns that it is to stop.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::bell::wake_all;
use crate::shared::Shared;
use crate::sync::{Arc, AtomicU8, Context, Mutex, OnceLock, Ordering, Poll, Waker};
use crate::time::{Duration, Timestamp};
use crate::wait::block;

/// Why an agent is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// Its turn is over: something else ended it.
    Over = 1,
    /// It has run for as long as it may.
    TimeLimit = 2,
    /// The engine closes.
    Closing = 3,
}

/// What the executor and a running agent share: how the agent learns that it is to stop, and
/// when it started.
#[derive(Default)]
pub(crate) struct Token {
    /// 0 until it is told.
    cause: AtomicU8,
    started: OnceLock<Timestamp>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Token {
    /// Tells the agent to stop, where it was not told before. Who waits for it is yet to be
    /// [woken](Self::wake): a waker is the user's code, and the caller holds a lock.
    pub(crate) fn trip(&self, cause: Cause) {
        // The first cause stands.
        let _ = self.cause.compare_exchange(0, cause as u8, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Wakes who waits for the agent to be told. The caller holds no lock.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut self.waiting.lock().wakers);
        wake_all(wakers.into_values().collect());
    }

    /// Why the agent is to stop, if it is.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.cause.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Cause::Over),
            2 => Some(Cause::TimeLimit),
            _ => Some(Cause::Closing),
        }
    }

    pub(crate) fn is_tripped(&self) -> bool {
        self.cause().is_some()
    }

    /// Keeps the time the agent started, the first one given.
    pub(crate) fn start(&self, now: Timestamp) -> Timestamp {
        *self.started.get_or_init(|| now)
    }

    pub(crate) fn started_at(&self) -> Option<Timestamp> {
        self.started.get().copied()
    }
}

/// Tells the agent of one turn that it is to stop, because the turn was interrupted, has run for as long as it may,
/// or the engine closes. Made by [`TurnContext::cancel_token`](crate::TurnContext::cancel_token).
///
/// It can be polled ([`is_cancelled`](Self::is_cancelled)), waited for on a thread, and awaited on any
/// executor, beside what the agent really waits for. It is cheap, can be cloned and sent to other threads, and may
/// outlive the turn. Of a turn that ends by itself it is never told.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let (begun, begins) = std::sync::mpsc::channel();
/// # let begun = std::sync::Mutex::new(begun);
/// use parlor::{Engine, NewSession, TurnState};
///
/// let engine = Engine::builder(dir.path().join("a.parlor"))
///     .agent_fn("patient", move |turn| {
/// #       begun.lock().unwrap().send(()).unwrap();
///         turn.cancel_token().wait(); // or: turn.cancel_token().await
///         turn.check()?;
///         Ok(())
///     })
///     .open()?;
/// let session = engine.workspace("acme")?.agent("patient")?.create_session(NewSession::default())?;
/// let turn = session.send("hello")?;
/// # begins.recv().unwrap();
/// engine.close()?; // which ends the turn, and waits for its agent
/// assert_eq!(turn.wait()?.state(), TurnState::Interrupted);
/// # Ok(())
/// # }
/// ```
pub struct CancelToken {
    shared: Arc<Shared>,
    token: Arc<Token>,
    /// Where this one, as a future, is to be woken.
    place: Option<u64>,
}

impl CancelToken {
    pub(super) fn new(shared: &Arc<Shared>, token: &Arc<Token>) -> Self {
        CancelToken { shared: Arc::clone(shared), token: Arc::clone(token), place: None }
    }

    /// Whether the agent is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_tripped()
    }

    /// Sleeps until the agent is to stop: for ever, where its turn ends by itself.
    pub fn wait(&self) {
        let mut own = self.clone();
        let _ = block(&self.shared, None, |waker| own.progress(waker));
    }

    /// Sleeps until the agent is to stop or this time has passed, and says whether it is.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let mut own = self.clone();
        block(&self.shared, Some(timeout), |waker| own.progress(waker)).is_some()
    }

    /// Registers the waker, then looks.
    fn progress(&mut self, waker: &Waker) -> Poll<()> {
        let before = {
            let mut waiting = self.token.waiting.lock();
            let place = *self.place.get_or_insert_with(|| {
                waiting.next += 1;
                waiting.next
            });
            waiting.wakers.insert(place, waker.clone())
        };
        drop(before);
        if !self.token.is_tripped() {
            return Poll::Pending;
        }
        self.leave();
        Poll::Ready(())
    }

    /// Gives up the place among those to wake.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        // Its drop runs outside the lock.
        let gone = self.token.waiting.lock().wakers.remove(&place);
        drop(gone);
    }
}

impl Future for CancelToken {
    type Output = ();

    /// Ready when the agent is to stop.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().progress(cx.waker())
    }
}

impl Clone for CancelToken {
    fn clone(&self) -> Self {
        CancelToken::new(&self.shared, &self.token)
    }
}

impl Drop for CancelToken {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("is_cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
