//! Following a session and what its agent is just saying.

use std::fmt;
use std::iter::FusedIterator;

use super::Follow;
use crate::bell::Event;
use crate::error::Result;
use crate::grant::{Act, Pass};
use crate::id::{SessionId, TurnId};
use crate::live::{Piece, Place};
use crate::record::{Change, ChangeKind, TurnState};
use crate::shared::Shared;
use crate::store::SessionRef;
use crate::sync::{Arc, Context, Poll, Waker};
use crate::time::Duration;
use crate::wait::block;

/// What a [`LiveFeed`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Live {
    /// An event of the session's.
    Change(Change),
    /// Text of an agent's that is not written yet.
    Delta(Delta),
}

/// Text that an agent has streamed with [`TurnContext::delta`](crate::TurnContext::delta): a piece of a message that
/// it has yet to write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delta {
    /// The turn.
    pub turn_id: TurnId,
    /// How many bytes of the text come before this piece: 0 where a new text begins, which takes the place of
    /// what was shown of an earlier one.
    pub offset: u64,
    /// How many bytes before `offset` this follower was not told, because it was too slow: the text is longer than
    /// [`DELTA_BYTES`](crate::limit::DELTA_BYTES), and its beginning is kept no more. The message will have it.
    pub missed: u64,
    /// The piece: all that came since the last one.
    pub text: String,
}

/// Every event of a session after a number, as [`Follow`] tells them, and between them the text that its agent
/// streams, as it comes. Made by [`Session::stream`](crate::Session::stream).
///
/// Deltas are never stored and have no number; what counts is the message that they become. From a text, who joins
/// late is told what was said so far, in one piece, and then the rest: nothing twice, and nothing left out. Deltas come
/// after the events that were committed before their text began, and never after the message that the text became or the
/// end of its turn. So a text is over when the next message of the turn, or its end, is told; what was not read of it by
/// then is not told any more.
///
/// A follower holds no text: the engine keeps one for each turn that streams, at most
/// [`DELTA_BYTES`](crate::limit::DELTA_BYTES) of it. A slow follower gets larger pieces, and is told what it
/// [missed](Delta::missed) once it is further behind than that.
///
/// It is waited for as [`Follow`] is: on a thread, up to a time, not at all, or by a task.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// use parlor::{ChangeKind, Engine, Live, NewMessage, NewSession, TurnState};
///
/// let engine = Engine::in_memory()
///     .agent_fn("poet", |turn| {
///         let mut text = String::new();
///         for word in ["roses ", "are ", "red"] {
///             turn.delta(word)?;
///             text.push_str(word);
///         }
///         Ok(NewMessage::text(text))
///     })
///     .open()?;
/// let session = engine.workspace("acme")?.agent("poet")?.create_session(NewSession::default())?;
/// let mut live = session.stream(0);
/// session.send("a poem")?;
///
/// let mut shown = String::new();
/// for item in live {
///     match item? {
///         Live::Delta(delta) => {
///             shown.truncate(delta.offset as usize); // 0 where a new text begins
///             shown.push_str(&delta.text);
///         }
///         // What counts is the message.
///         Live::Change(change) => match change.kind {
///             ChangeKind::Message(id) => shown = session.message(id)?.text(),
///             ChangeKind::Turn(_, TurnState::Completed) => break,
///             _ => {}
///         },
///         _ => {}
///     }
/// }
/// assert_eq!(shown, "roses are red");
/// # engine.close()
/// # }
/// ```
///
/// # Errors
///
/// Those of [`Follow`].
pub struct LiveFeed {
    shared: Arc<Shared>,
    at: SessionRef,
    follow: Follow,
    place: Place,
    /// The turn whose start was told last.
    running: Option<TurnId>,
    /// The turn whose end was told last, those that only waited not counted.
    ended: Option<TurnId>,
}

impl LiveFeed {
    pub(crate) fn new(shared: &Arc<Shared>, pass: &Pass, at: SessionRef, after: u64) -> Self {
        let follow = Follow::woken_by(shared, (pass, Act::LiveFeed), at, after, Event::Streamed);
        LiveFeed { shared: Arc::clone(shared), at, follow, place: Place::default(), running: None, ended: None }
    }

    /// The session it follows.
    pub fn session_id(&self) -> SessionId {
        self.at.session
    }

    /// The number of the last event it told: see [`Follow::reached`]. Deltas have none.
    pub fn reached(&self) -> u64 {
        self.follow.reached()
    }

    /// Whether it has ended: nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.follow.is_ended()
    }

    /// What is there now: see [`Follow::try_next`].
    pub fn try_next(&mut self) -> Option<Result<Live>> {
        match self.progress(None) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// The next item, for which it sleeps up to this time: see [`Follow::next_timeout`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<Live>> {
        let shared = Arc::clone(&self.shared);
        block(&shared, Some(timeout), |waker| self.progress(Some(waker))).flatten()
    }

    /// The next item, for a task that is woken when there may be one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Live>>> {
        self.progress(Some(cx.waker()))
    }

    fn progress(&mut self, waker: Option<&Waker>) -> Poll<Option<Result<Live>>> {
        if let Some(delta) = self.delta() {
            return Poll::Ready(Some(Ok(Live::Delta(delta))));
        }
        let Poll::Ready(item) = self.follow.progress(waker) else {
            // It has registered the waker: what came since the first look is seen here.
            return self.delta().map_or(Poll::Pending, |delta| Poll::Ready(Some(Ok(Live::Delta(delta)))));
        };
        if let Some(Ok(Change { kind: ChangeKind::Turn(turn, state), .. })) = &item {
            match state {
                TurnState::Queued => {}
                TurnState::Running => self.running = Some(*turn),
                _ if self.running.is_none_or(|running| running == *turn) => self.ended = Some(*turn),
                _ => {}
            }
        }
        Poll::Ready(item.map(|change| change.map(Live::Change)))
    }

    fn delta(&mut self) -> Option<Delta> {
        // The follower below says why.
        if !self.follow.is_ended() && !self.follow.check() {
            return None;
        }
        let read = self.shared.texts.read(self.at, self.follow.reached(), self.ended, &mut self.place);
        read.map(|Piece { turn, offset, missed, text }| Delta { turn_id: turn, offset, missed, text })
    }
}

impl Iterator for LiveFeed {
    type Item = Result<Live>;

    /// Sleeps until there is something. None when the engine closed and all was told.
    fn next(&mut self) -> Option<Self::Item> {
        let shared = Arc::clone(&self.shared);
        block(&shared, None, |waker| self.progress(Some(waker))).flatten()
    }
}

impl FusedIterator for LiveFeed {}

#[cfg(feature = "stream")]
impl futures_core::Stream for LiveFeed {
    type Item = Result<Live>;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().progress(Some(cx.waker()))
    }
}

impl fmt::Debug for LiveFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveFeed").field("follow", &self.follow).finish_non_exhaustive()
    }
}
