//! Watching which sessions of a scope change.

use std::fmt;
use std::iter::FusedIterator;

use crate::bell::{Heard, Scope, Watching};
use crate::error::{ErrorKind, Result};
use crate::grant::{Act, Pass};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::shared::Shared;
use crate::store::SessionRef;
use crate::sync::{Arc, Context, Poll, Waker};
use crate::tail::newest;
use crate::time::Duration;
use crate::wait::block;

/// A session that changed: see [`Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Watched {
    /// The session.
    pub session: SessionId,
    /// The number of its latest event when this was told; 0 when it was [gone](Self::is_gone).
    pub change: u64,
}

impl Watched {
    /// Whether it is there no more: it was deleted, and whoever reads it is told *not found*.
    pub fn is_gone(&self) -> bool {
        self.change == 0
    }
}

/// The sessions of a workspace or of an agent that change from its making on: what the session
/// list of an application needs. Made by [`Workspace::watch`](crate::Workspace::watch) and
/// [`AgentHandle::watch`](crate::AgentHandle::watch).
///
/// A session is told when it has changed since it was told last, once however often it changed, with the
/// number of its latest event. Those that changed first are told first. One that was deleted is told as
/// [gone](Watched::is_gone).
/// [`Session::changes`](crate::Session::changes) and [`Session::follow`](crate::Session::follow) tell
/// what the changes are.
///
/// It is an [`Iterator`] whose `next` sleeps until a session changes. [`try_next`](Self::try_next)
/// takes what is there, [`next_timeout`](Self::next_timeout) gives up after a time, and
/// [`poll_next`](Self::poll_next) is for tasks; with the feature `stream` it is also a
/// `futures_core::Stream`.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
/// use parlor::NewSession;
///
/// let workspace = engine.workspace("acme")?;
/// let mut watch = workspace.watch();
/// let session = workspace.agent("greeter")?.create_session(NewSession::default())?;
/// session.append(["one", "two"])?;
///
/// let watched = watch.next().expect("the engine is open")?;
/// assert_eq!((watched.session, watched.change), (session.id(), 3));
/// assert!(watch.try_next().is_none(), "told once");
/// # engine.close()
/// # }
/// ```
///
/// Where a write is under way, and where an earlier call was repeated, a session may be told again with the
/// number it was told with before; never with a lower one, unless it was deleted, or deleted and made again with
/// its id.
///
/// # The end
///
/// It ends (`None`) after the engine closed, having told what changed before.
///
/// # Errors
///
/// Where a session that changed cannot be read, the item is the error, and the others follow.
///
/// # Cost
///
/// It holds the id of each session that changed and was not told yet, and reads a session when it
/// is told. While it waits it costs no thread of its own and asks for nothing.
pub struct Watch {
    shared: Arc<Shared>,
    pass: Pass,
    /// Whether it was told that it may watch no more.
    refused: bool,
    watching: Watching,
}

impl Watch {
    pub(crate) fn new(shared: &Arc<Shared>, pass: &Pass, workspace: WorkspaceId, agent: Option<AgentId>) -> Self {
        let watching = shared.watch(Scope { workspace, agent });
        Watch { shared: Arc::clone(shared), pass: pass.clone(), refused: false, watching }
    }

    /// Whether it has ended: nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.refused || self.watching.is_over()
    }

    /// The next session that changed, if there is one now. None where there is none yet, or no
    /// more: [`is_ended`](Self::is_ended) tells which.
    pub fn try_next(&mut self) -> Option<Result<Watched>> {
        match self.progress(None) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// The next session that changes, for which it sleeps up to this time. None where none did by
    /// then, or none will any more: [`is_ended`](Self::is_ended) tells which. A time-out is no error,
    /// and loses nothing.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<Watched>> {
        let shared = Arc::clone(&self.shared);
        block(&shared, Some(timeout), |waker| self.progress(Some(waker))).flatten()
    }

    /// The next session that changes, for a task that is woken when there is one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Watched>>> {
        self.progress(Some(cx.waker()))
    }

    fn progress(&mut self, waker: Option<&Waker>) -> Poll<Option<Result<Watched>>> {
        if self.refused {
            return Poll::Ready(None);
        }
        let heard = self.watching.next(waker.cloned());
        // Looked at after that: who revokes what it carries later wakes it.
        let act = self.watching.scope().agent.map_or(Act::WorkspaceWatch, |_| Act::AgentWatch);
        if let Err(error) = self.shared.check(&self.pass, act) {
            self.refused = true;
            return Poll::Ready(Some(Err(error)));
        }
        match heard {
            Heard::Changed(session) => Poll::Ready(Some(self.look(session))),
            Heard::Nothing => Poll::Pending,
            Heard::Closed => Poll::Ready(None),
        }
    }

    /// The session as it stands now, or stood when the store closed.
    fn look(&self, session: SessionId) -> Result<Watched> {
        let at = SessionRef { workspace: self.watching.scope().workspace, session };
        let change = match newest(self.shared.store(), at) {
            Err(error) if error.kind() == ErrorKind::Closed => self.shared.tails.newest(at).ok_or(error)?,
            change => change?,
        };
        Ok(Watched { session, change })
    }
}

impl Iterator for Watch {
    type Item = Result<Watched>;

    /// Sleeps until a session changes. None when the engine closed and all was told.
    fn next(&mut self) -> Option<Self::Item> {
        let shared = Arc::clone(&self.shared);
        block(&shared, None, |waker| self.progress(Some(waker))).flatten()
    }
}

impl FusedIterator for Watch {}

#[cfg(feature = "stream")]
impl futures_core::Stream for Watch {
    type Item = Result<Watched>;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().progress(Some(cx.waker()))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.watching.scope()).finish()
    }
}
