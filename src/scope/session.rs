//! A session and its threads.

use std::fmt;

use super::{Core, Door, Listing, PageQuery};
use crate::agent::{checked_batch, history};
use crate::bell::Event;
use crate::error::{Error, Result};
use crate::executor::Submission;
use crate::follow::{Follow, LiveFeed};
use crate::grant::Act;
use crate::id::{AgentId, MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::limit;
use crate::page::{Form, MessageQuery, Page};
use crate::record::{Change, Message, NewMessage, NewTurn, SessionRecord, SessionUpdate, ThreadRecord, Turn};
use crate::store::{Append, DeleteMessage, DeleteSession, Policy, Purge, SessionRef, Store, UpdateSession};
use crate::sync::Arc;
use crate::wait::{Idle, TurnHandle};

/// A session: one conversation of one agent.
///
/// A cheap handle. After the engine closed, every operation is [`Closed`](crate::ErrorKind::Closed).
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use parlor::page::{Direction, MessageQuery};
/// use parlor::{Engine, NewMessage, NewSession, Role};
///
/// let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
/// let session = engine.workspace("acme")?.agent("echo")?.create_session(NewSession::default())?;
/// session.append([NewMessage::text("Be brief.").role(Role::System)])?;
/// session.send("hello")?.wait()?;
///
/// let texts = |messages: Vec<parlor::Message>| messages.iter().map(|m| m.text()).collect::<Vec<_>>();
/// assert_eq!(texts(session.history(1000)?), ["Be brief.", "hello", "hello"]);
/// // A listing shows what the assistant said, unless it is asked for more.
/// let page = session.messages((50, Direction::Desc)).page()?;
/// assert_eq!((page.meta.total, texts(page.items)), (1, vec!["hello".to_owned()]));
/// let users = session.messages(MessageQuery::default().roles(Role::User)).page()?;
/// assert_eq!(users.meta.total, 1);
/// # engine.close()
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    pub(super) core: Door,
    pub(super) at: SessionRef,
    pub(super) agent: AgentId,
    pub(super) agent_name: Arc<str>,
}

impl Session {
    pub(crate) fn new(core: Door, record: &SessionRecord) -> Self {
        let at = SessionRef { workspace: record.workspace_id, session: record.id };
        Session { core: core.of_session(at), at, agent: record.agent_id, agent_name: record.agent_name.as_str().into() }
    }

    /// Its id (`chat_id` in document A).
    pub fn id(&self) -> SessionId {
        self.at.session
    }

    /// The workspace it belongs to.
    pub fn workspace_id(&self) -> WorkspaceId {
        self.at.workspace
    }

    /// The agent it belongs to.
    pub fn agent_id(&self) -> AgentId {
        self.agent
    }

    /// The name of that agent.
    pub fn agent_name(&self) -> &str {
        &self.agent_name
    }

    /// The session as it stands now.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`Storage`](crate::ErrorKind::Storage) when it cannot be read.
    pub fn get(&self) -> Result<SessionRecord> {
        self.core.store(Act::SessionGet)?.session(self.at)
    }

    /// Changes what the session says of itself, also while a turn is running or waits; answers with the session as it
    /// stands then. Where nothing of it would change, nothing is written and no event is told.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// use parlor::SessionUpdate;
    ///
    /// let pinned = serde_json::json!({ "pinned": true });
    /// let now = session.update(SessionUpdate::default().last_channel("telegram").metadata(pinned))?;
    /// assert_eq!(now.last_channel.as_deref(), Some("telegram"));
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a field out of bounds,
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted.
    pub fn update(&self, update: SessionUpdate) -> Result<SessionRecord> {
        self.change(Act::SessionUpdate, update)
    }

    fn change(&self, act: Act, update: SessionUpdate) -> Result<SessionRecord> {
        self.core.check(act)?;
        update.check()?;
        let (store, _admission) = self.core.writing(act)?;
        let now = store.update_session(UpdateSession { stamp: self.core.shared.stamp(), at: self.at, update })?;
        self.core.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(now)
    }

    /// Changes its label, at most 255 characters; none clears it. From document B.
    ///
    /// # Errors
    ///
    /// Those of [`update`](Self::update).
    pub fn rename(&self, label: Option<&str>) -> Result<SessionRecord> {
        let update = SessionUpdate { label: Some(label.map(str::to_owned)), ..SessionUpdate::default() };
        self.change(Act::SessionRename, update)
    }

    /// Writes messages without a turn, in one commit: a system prompt, seeded history, an import.
    /// 1 to [`limit::BATCH_MESSAGES`] at a time; the role is `user` where a message names none.
    ///
    /// With ids of the caller's a retry is safe: the second call answers with the first one's messages.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) while a turn is running or waits, or when an id was used before with other
    /// content. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a message out of bounds or none at all,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for one too large or too many.
    pub fn append<I>(&self, messages: I) -> Result<Vec<Message>>
    where
        I: IntoIterator,
        I::Item: Into<NewMessage>,
    {
        self.write(Act::SessionAppend, None, messages)
    }

    /// Writes messages without a turn into a thread of the session, as [`append`](Self::append) does.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append); [`NotFound`](crate::ErrorKind::NotFound) when the session has no such
    /// thread.
    pub fn append_to<I>(&self, thread: ThreadId, messages: I) -> Result<Vec<Message>>
    where
        I: IntoIterator,
        I::Item: Into<NewMessage>,
    {
        self.write(Act::SessionAppendTo, Some(thread), messages)
    }

    fn write<I>(&self, act: Act, thread: Option<ThreadId>, messages: I) -> Result<Vec<Message>>
    where
        I: IntoIterator,
        I::Item: Into<NewMessage>,
    {
        self.core.check(act)?;
        // What makes the messages is the user's code: nothing waits for it.
        let messages = checked_batch(messages)?;
        let (store, _admission) = self.core.writing(act)?;
        let written = store.append(Append { stamp: self.core.shared.stamp(), at: self.at, thread, messages })?;
        self.core.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(written)
    }

    /// Writes a user's message and starts a turn that answers it. Both are on disk when it
    /// returns; a busy session refuses.
    ///
    /// With an id of the caller's on the message a retry is safe: it answers with the first
    /// call's turn and starts nothing.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) while a turn is running or waits, or when the id was used before with other
    /// inputs; the session's own agent, on its thread, has its turn [enqueued](Self::enqueue) instead, and is
    /// [`Fenced`](crate::ErrorKind::Fenced) once it was interrupted. [`NoBehaviour`](crate::ErrorKind::NoBehaviour) when none is registered under the agent's name.
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) or [`TooLarge`](crate::ErrorKind::TooLarge) for a value
    /// out of bounds, [`NotFound`](crate::ErrorKind::NotFound) for a thread that is not the session's.
    ///
    /// From document C.
    pub fn send(&self, turn: impl Into<NewTurn>) -> Result<TurnHandle> {
        self.submit(Act::SessionSend, turn.into(), Policy::Reject)
    }

    /// As [`send`](Self::send), but a busy session is interrupted: the commit that accepts the new
    /// message ends the running turn, and its agent can write no more. The new turn's agent
    /// starts when the old one has returned.
    ///
    /// # Errors
    ///
    /// [`BadRequest`](crate::ErrorKind::BadRequest) when the session never had a message; else those of
    /// [`send`](Self::send), but never *conflict* for being busy.
    ///
    /// From document A.
    pub fn follow_up(&self, turn: impl Into<NewTurn>) -> Result<TurnHandle> {
        self.submit(Act::SessionFollowUp, turn.into(), Policy::FollowUp)
    }

    pub(super) fn submit(&self, act: Act, new: NewTurn, policy: Policy) -> Result<TurnHandle> {
        self.core.check(act)?;
        let (core, agent) = (&self.core, self.core.behaviour(&self.agent_name));
        let to = Submission { at: self.at, agent_id: self.agent, agent, policy };
        let submitted = core.executor.submit(to, new);
        let handle = submitted.map_err(|error| Core::explained(error, &self.agent_name))?;
        Ok(handle.held_by(core.pass()))
    }

    /// Deletes the session and all that it holds, for good. Its key and its id may be used again.
    ///
    /// From then on all of it is *not found*, by every handle that was made before: messages, threads and turns,
    /// for who waits, and for who follows; a [watch](crate::Watch) tells that it is gone, and its ends that wait to
    /// be announced are dropped. It takes one short commit however long the session is: what is left in the file
    /// is cleared away afterwards, beside other work, in steps of at most [`limit::REMNANT_ROWS`] rows.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) while a turn is running or waits ([`stop`](Self::stop) it first), [`NotFound`](crate::ErrorKind::NotFound)
    /// when it was deleted before.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// # let agent = engine.workspace("acme")?.agent("greeter")?;
    /// use parlor::NewSession;
    ///
    /// let session = agent.create_session(NewSession::default().key("telegram:42"))?;
    /// session.append(["hello"])?;
    /// session.delete()?;
    /// assert!(session.history(1).unwrap_err().is_not_found());
    /// let anew = agent.create_session(NewSession::default().key("telegram:42"))?;
    /// assert_eq!(anew.history(1)?, []);
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// From document B.
    pub fn delete(&self) -> Result<()> {
        let (core, store) = (&self.core, self.core.store(Act::SessionDelete)?);
        let op = DeleteSession { stamp: core.shared.stamp(), at: self.at, only_at: None };
        core.delete_session(store, op, self.agent)
    }

    /// The messages of the session that match: see [`MessageQuery`]. Nothing is read before
    /// [`page`](Listing::page) or [`iter`](Listing::iter).
    pub fn messages(&self, query: impl Into<MessageQuery>) -> Listing {
        Listing::new(self.core.clone(), self.at, Form::Session(self.at.session), query.into())
    }

    /// The newest `limit` messages, 1 to 1,000, oldest first, of all roles and types.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a limit out of bounds,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when one of the messages is damaged: [`messages`](Self::messages) shows
    /// the others.
    ///
    /// From document B.
    pub fn history(&self, limit: u32) -> Result<Vec<Message>> {
        history(self.core.store(Act::SessionHistory)?, self.at, limit)
    }

    /// A message of the session.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when it has no such message, or it was soft-deleted.
    pub fn message(&self, id: MessageId) -> Result<Message> {
        self.core.store(Act::SessionMessage)?.message(self.at, id)
    }

    /// Soft-deletes a message: it is hidden everywhere, and its number is kept.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session has no such message, or it was deleted before.
    pub fn delete_message(&self, id: MessageId) -> Result<()> {
        let (store, _admission) = self.core.writing(Act::SessionDeleteMessage)?;
        let stamp = self.core.shared.stamp();
        store.delete_message(DeleteMessage { stamp, at: self.at, message: id })?;
        self.core.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(())
    }

    /// Erases what a soft-deleted message says and carries, for good. Its number and its id stay used: a repeat of the call that
    /// wrote it is still known as one. The feed tells of it. Where nothing is left to erase nothing happens.
    ///
    /// The bytes are in no copy, archive or export that is made from then on. In the log they stand until its next
    /// checkpoint, and in free pages of the file until those are used again or given back by
    /// [`compact`](crate::Engine::compact).
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session has no such message,
    /// [`Conflict`](crate::ErrorKind::Conflict) when it was not [deleted](Self::delete_message).
    pub fn purge_message(&self, id: MessageId) -> Result<()> {
        self.purge_by(Act::SessionPurgeMessage, Some(id)).map(drop)
    }

    /// Erases what all soft-deleted messages say and carry: see [`purge_message`](Self::purge_message). Answers how many were
    /// erased. Of a long session it takes several commits, between which others go on.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// let said = session.append(["My number is 555-0100.", "Hello!"])?;
    /// session.delete_message(said[0].id)?;
    /// assert_eq!((session.purge()?, session.purge()?), (1, 0));
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted or archived,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when one of the messages cannot be read; all others are erased.
    pub fn purge(&self) -> Result<u64> {
        self.purge_by(Act::SessionPurge, None)
    }

    fn purge_by(&self, act: Act, message: Option<MessageId>) -> Result<u64> {
        let (store, _admission) = self.core.writing(act)?;
        let purged = store.purge(Purge { stamp: self.core.shared.stamp(), at: self.at, message });
        // Of many steps some may have been done before one failed.
        if !matches!(purged, Ok(0)) {
            self.core.shared.bell.ring(self.at, self.agent, Event::Written);
        }
        purged
    }

    /// A thread of the session.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when it has no such thread.
    pub fn thread(&self, id: ThreadId) -> Result<Thread> {
        let record = self.core.store(Act::SessionThread)?.thread(self.at, id)?;
        Ok(Thread { core: self.core.clone(), at: self.at, record })
    }

    /// The handle of a turn, made again from its id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session has no such turn.
    pub fn turn(&self, id: TurnId) -> Result<TurnHandle> {
        let turn = self.core.store(Act::SessionTurn)?.turn(self.at, id)?;
        let (shared, executor) = (Arc::clone(self.core.shared()), &self.core.executor);
        Ok(TurnHandle::new(shared, executor.ends_turns(), self.at, &turn).held_by(self.core.pass()))
    }

    /// The session to wait for until it is idle: see [`Idle`].
    pub fn idle(&self) -> Idle {
        Idle::new(self.core.shared(), self.core.pass(), self.at)
    }

    /// The turns of the session, newest first: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn turns(&self, query: impl Into<PageQuery>) -> Result<Page<Turn>> {
        let store = self.core.store(Act::SessionTurns)?;
        let page = query.into().at()?;
        let listed = store.turns(self.at, page)?;
        Ok(Page::new(page, listed.total, listed.items, listed.damaged))
    }

    /// The events of the session after this number, oldest first, at most `limit`, 1 to 1,000.
    /// Events are numbered from 1; `after` 0 begins at the first.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a limit out of bounds.
    pub fn changes(&self, after: u64, limit: u32) -> Result<Vec<Change>> {
        let store = self.core.store(Act::SessionChanges)?;
        let most = limit::CHANGES_LIMIT_MAX;
        if !(1..=most).contains(&limit) {
            return Err(Error::invalid(format!("limit is {limit}; it must be 1 to {most}")));
        }
        store.changes(self.at, after, limit)
    }

    /// The events of the session after this number, oldest first, and those that are yet to
    /// come: see [`Follow`]. Nothing is read before it is asked for one.
    pub fn follow(&self, after: u64) -> Follow {
        Follow::new(self.core.shared(), self.core.pass(), self.at, after)
    }

    /// The same events, and between them what the agent is just saying: see [`LiveFeed`].
    pub fn stream(&self, after: u64) -> LiveFeed {
        LiveFeed::new(self.core.shared(), self.core.pass(), self.at, after)
    }
}

impl Core {
    /// Deletes a session of this agent, and tells of it.
    pub(crate) fn delete_session(&self, store: &dyn Store, op: DeleteSession, agent: AgentId) -> Result<()> {
        let (shared, at) = (&self.shared, op.at);
        let deletion = self.executor.admit_deletion(at)?;
        store.delete_session(op)?;
        // Before one can be made in its place: who follows this one is not to follow that one.
        shared.tails.forget(at);
        let _admission = deletion.done();
        shared.bell.ring(at, agent, Event::Ended);
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("at", &self.at).field("agent_name", &self.agent_name).finish_non_exhaustive()
    }
}

/// A thread of a session: one message of the user's and all that the agent answered.
#[derive(Clone)]
pub struct Thread {
    core: Door,
    at: SessionRef,
    record: ThreadRecord,
}

impl Thread {
    /// Its id (`chat_thread_id` in document A).
    pub fn id(&self) -> ThreadId {
        self.record.id
    }

    /// The whole record.
    pub fn record(&self) -> &ThreadRecord {
        &self.record
    }

    /// The messages of the thread that match: see [`MessageQuery`], whose `thread` has no say here.
    pub fn messages(&self, query: impl Into<MessageQuery>) -> Listing {
        let form = Form::Thread(self.at.session, self.record.id);
        Listing::new(self.core.clone(), self.at, form, query.into())
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thread").field(&self.record).finish()
    }
}
