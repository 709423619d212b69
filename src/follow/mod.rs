//! Following the change feed of a session.

mod live;

pub use live::{Delta, Live, LiveFeed};

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

use crate::bell::{Event, Registration};
use crate::error::{Error, ErrorKind, Result};
use crate::grant::{Act, Pass};
use crate::id::SessionId;
use crate::limit::FOLLOW_BATCH;
use crate::record::{Change, ChangeKind};
use crate::shared::{Phase, Shared};
use crate::store::SessionRef;
use crate::sync::{Arc, Context, Poll, Waker};
use crate::tail::{Bookmark, Tail};
use crate::time::Duration;
use crate::wait::block;

/// Every event of a session after a number, in order, each exactly once, those that are yet to
/// come among them. Made by [`Session::follow`](crate::Session::follow).
///
/// It is an [`Iterator`] whose `next` sleeps until there is an event. [`try_next`](Self::try_next)
/// takes what is there, [`next_timeout`](Self::next_timeout) gives up after a time, and
/// [`poll_next`](Self::poll_next) is for tasks; with the feature `stream` it is also a
/// `futures_core::Stream`. An event tells what happened to which message or turn; what that looks
/// like now is read from the session.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use parlor::{ChangeKind, Engine, NewSession, TurnState};
///
/// let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
/// let session = engine.workspace("acme")?.agent("echo")?.create_session(NewSession::default())?;
/// session.send("hello")?;
///
/// let mut said = Vec::new();
/// for change in session.follow(0) {
///     match change?.kind {
///         ChangeKind::Message(id) => said.push(session.message(id)?.text()),
///         ChangeKind::Turn(_, TurnState::Completed) => break,
///         _ => {}
///     }
/// }
/// assert_eq!(said, ["hello", "hello"]);
/// # engine.close()
/// # }
/// ```
///
/// # Resuming
///
/// Events are numbered for good, so a follower that keeps the number it reached goes on from there
/// after any restart, however much was written meanwhile:
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("a.parlor");
/// # use parlor::{Engine, NewSession};
/// # let engine = Engine::builder(&path).open()?;
/// # let session = engine.workspace("acme")?.agent("echo")?.create_session(NewSession::default().key("one"))?;
/// let mut follow = session.follow(0);
/// follow.try_next().expect("the session was made")?;
/// let reached = follow.reached();
/// session.append(["one more"])?;
/// engine.close()?;
///
/// # let engine = Engine::builder(&path).open()?;
/// # let session = engine.workspace("acme")?.agent("echo")?.session_by_key("one")?;
/// let mut follow = session.follow(reached);
/// assert_eq!(follow.try_next().expect("the append")?.number, 2);
/// assert!(follow.try_next().is_none(), "nothing more for now");
/// # engine.close()
/// # }
/// ```
///
/// # The end
///
/// It ends (`None`) after the engine closed, having delivered what was committed before. One that is
/// more than [`FOLLOW_BATCH`] events behind when the engine closes delivers at least so many, and
/// then says [`Closed`](ErrorKind::Closed) before it ends: the rest is to be had after opening again.
/// One that was made after the engine closed says so at once.
///
/// # Errors
///
/// Of a session that was deleted, [`NotFound`](ErrorKind::NotFound) is the last item but for the end, also where one
/// was made again with its id. Of one that was archived, [`Archived`](ChangeKind::Archived) is the last item; a follower that is more than
/// [`FOLLOW_BATCH`] events behind then is told at least so many, and then `NotFound`. Restored, it can be followed on from where
/// this one was. A damaged event is an item that is [`Corrupt`](ErrorKind::Corrupt) and names it; the events after it
/// follow. Any other error is the last item but for the end.
///
/// # Cost
///
/// It reads at most [`FOLLOW_BATCH`] events at once, each time from a snapshot of its own, and holds
/// none between, so it may be kept for as long as one likes. While it waits it costs no thread of
/// its own and asks for nothing: each commit to the session wakes it, after the commit.
///
/// With the feature `stream`, and an extension trait such as `StreamExt` in scope, a method
/// that both traits have is to be called by its path: `StreamExt::next(&mut follow).await`.
pub struct Follow {
    shared: Arc<Shared>,
    pass: Pass,
    /// What that is checked for.
    act: Act,
    /// How far it has read, so that the end of the engine finds it there.
    bookmark: Bookmark,
    /// The number of the last event that was delivered.
    position: u64,
    /// What was read and not delivered yet, each with the position it leads to.
    read: VecDeque<(u64, Result<Change>)>,
    source: Source,
    /// The least that wakes it.
    wanted: Event,
    /// Where this follower, as a task, is to be woken.
    waiting: Option<Registration>,
}

/// What comes after that which was read.
enum Source {
    /// What the store has.
    Store,
    /// Nothing but this error, and then the end.
    End(Option<Error>),
}

impl Follow {
    pub(crate) fn new(shared: &Arc<Shared>, pass: &Pass, at: SessionRef, after: u64) -> Self {
        Self::woken_by(shared, (pass, Act::Follow), at, after, Event::Written)
    }

    /// One that is also woken by less than what it tells.
    fn woken_by(shared: &Arc<Shared>, (pass, act): (&Pass, Act), at: SessionRef, after: u64, wanted: Event) -> Self {
        Follow {
            shared: Arc::clone(shared),
            pass: pass.clone(),
            act,
            bookmark: shared.tails.bookmark(at, after),
            position: after,
            read: VecDeque::new(),
            source: Source::Store,
            wanted,
            waiting: None,
        }
    }

    /// The session it follows.
    pub fn session_id(&self) -> SessionId {
        self.bookmark.at().session
    }

    /// The number it reached: that of the last event it delivered, whole or damaged; at first the
    /// one it was made with. [`Session::follow`](crate::Session::follow) goes on from it.
    pub fn reached(&self) -> u64 {
        self.position
    }

    /// Whether it has ended: nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.read.is_empty() && matches!(self.source, Source::End(None))
    }

    /// The next event if it is there now. None where there is none yet, or no more:
    /// [`is_ended`](Self::is_ended) tells which.
    pub fn try_next(&mut self) -> Option<Result<Change>> {
        match self.progress(None) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// The next event, for which it sleeps up to this time. None where none came by then, or no more
    /// will: [`is_ended`](Self::is_ended) tells which. A time-out is no error, and loses nothing.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<Change>> {
        let shared = Arc::clone(&self.shared);
        block(&shared, Some(timeout), |waker| self.progress(Some(waker))).flatten()
    }

    /// The next event, for a task that is woken when there may be one.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// # let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// use std::future::poll_fn;
    ///
    /// let mut follow = session.follow(0);
    /// let first = pollster::block_on(poll_fn(|cx| follow.poll_next(cx)));
    /// assert_eq!(first.expect("the session was made")?.number, 1);
    /// # engine.close()
    /// # }
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Change>>> {
        self.progress(Some(cx.waker()))
    }

    /// The next item, from what was read or what the store has. Where there is none, it has
    /// registered the waker first and read then.
    fn progress(&mut self, waker: Option<&Waker>) -> Poll<Option<Result<Change>>> {
        loop {
            if !self.is_ended() {
                self.check();
            }
            if let Some((position, item)) = self.read.pop_front() {
                self.position = position;
                return Poll::Ready(Some(item));
            }
            if let Source::End(last) = &mut self.source {
                return Poll::Ready(last.take().map(Err));
            }
            let place = waker.map(|waker| self.shared.bell.register(self.bookmark.at(), self.wanted, waker.clone()));
            // Who revokes what it carries after this look wakes it.
            if !self.look() && self.check() {
                self.waiting = place.or(self.waiting.take());
                return Poll::Pending;
            }
            self.waiting = None;
        }
    }

    /// Whether it may go on. Where not, that is its last item, and what was read is told to nobody.
    fn check(&mut self) -> bool {
        let checked = self.shared.check(&self.pass, self.act);
        let may = checked.is_ok();
        if let Err(error) = checked {
            self.read.clear();
            self.source = Source::End(Some(error));
        }
        may
    }

    /// Reads on from the position, all that was read being delivered. False where there is nothing yet.
    fn look(&mut self) -> bool {
        // The phase is read before the feed: of an engine that was closed by then, no event comes after it.
        let phase = self.shared.phase();
        let read = self.shared.store().changes(self.bookmark.at(), self.position, FOLLOW_BATCH);
        // Looked at after the read, and before what was told by then.
        let may_be_archived = self.bookmark.is_being_archived();
        // Looked at after the read, which may be that of a session made in its place.
        if self.bookmark.is_gone() {
            self.source = Source::End(Some(Error::not_found(format_args!("session {}", self.session_id()))));
            return true;
        }
        if let Some((tail, event)) = self.bookmark.archived() {
            self.take_archived(tail, event);
            return true;
        }
        match read {
            Ok(events) if !events.is_empty() => self.take(events),
            Ok(_) if phase == Phase::Closed => self.source = Source::End(None),
            Ok(_) => return false,
            Err(error) => match error.kind() {
                // Who archives it rings once it has told.
                ErrorKind::NotFound if may_be_archived => return false,
                ErrorKind::Closed => self.take_tail(error),
                ErrorKind::Corrupt => self.pass(error),
                _ => self.source = Source::End(Some(error)),
            },
        }
        true
    }

    /// Takes in the events after the position. Their numbers have no gaps, so one that is not
    /// there was lost.
    fn take(&mut self, events: Vec<Change>) {
        self.read = VecDeque::with_capacity(events.len());
        let mut last = self.position;
        for event in events {
            let next = last.saturating_add(1);
            if event.number > next {
                let text = format!("session {}: events {next} to {} are missing", self.session_id(), event.number - 1);
                self.read.push_back((event.number - 1, Err(Error::corrupt(text))));
            }
            last = event.number;
            self.read.push_back((last, Ok(event)));
        }
        self.bookmark.turn_to(last);
    }

    /// The event after the position is damaged: it is told, and passed.
    fn pass(&mut self, error: Error) {
        let next = self.position.saturating_add(1);
        // Past the last event, it is not an event that is damaged but the way to it, or a stray row.
        match self.shared.store().session(self.bookmark.at()) {
            Ok(session) if session.last_change > self.position => {
                let text = format!("session {}: event {next} cannot be read: {error}", self.session_id());
                self.read.push_back((next, Err(Error::corrupt(text))));
                self.bookmark.turn_to(next);
            }
            _ => self.source = Source::End(Some(error)),
        }
    }

    /// The session was archived by this event: takes in what was kept for this follower, and that event, which is the last.
    fn take_archived(&mut self, tail: Tail, event: u64) {
        let (position, last) = (self.position, Change::new(event, ChangeKind::Archived));
        // It may have read on since the tail was kept.
        let reached = tail.events.last().map_or(position, |event| event.number.max(position));
        let is_whole = tail.whole || reached.saturating_add(1) >= event;
        let last = Some(last).filter(|last| is_whole && last.number > position);
        let late = || Error::not_found(format_args!("session {}, which was archived,", self.session_id()));
        self.source = Source::End((!is_whole).then(late));
        self.take(tail.events.into_iter().chain(last).filter(|event| event.number > position).collect());
    }

    /// The store is closed: takes in what was kept for this follower.
    fn take_tail(&mut self, closed: Error) {
        let tail = self.bookmark.tail().cloned().unwrap_or_default();
        self.source = Source::End((!tail.whole).then_some(closed));
        let position = self.position;
        self.take(tail.events.into_iter().filter(|event| event.number > position).collect());
    }
}

impl Iterator for Follow {
    type Item = Result<Change>;

    /// Sleeps until there is an event. None when the engine closed and all was delivered.
    fn next(&mut self) -> Option<Self::Item> {
        let shared = Arc::clone(&self.shared);
        block(&shared, None, |waker| self.progress(Some(waker))).flatten()
    }
}

impl FusedIterator for Follow {}

#[cfg(feature = "stream")]
impl futures_core::Stream for Follow {
    type Item = Result<Change>;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().progress(Some(cx.waker()))
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("at", &self.bookmark.at())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
