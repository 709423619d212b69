//! An agent and its sessions.

use std::fmt;

use super::workspace::list;
use super::{Core, Door, PageQuery, Session};
use crate::bell::Event;
use crate::error::{Error, Result};
use crate::grant::Act;
use crate::id::{AgentId, SessionId};
use crate::page::Page;
use crate::record::{AgentRecord, NewSession, NewTurn, SessionRecord, check_label};
use crate::store::{CreateSession, Created, DeleteAgent, LabelAgent, SessionRef};
use crate::sync::Arc;
use crate::wait::TurnHandle;
use crate::watch::Watch;

/// An agent of a workspace, and the door to its sessions.
///
/// A cheap handle, made by [`Workspace::agent`](crate::Workspace::agent). After the engine closed,
/// every operation is [`Closed`](crate::ErrorKind::Closed).
#[derive(Clone)]
pub struct AgentHandle {
    pub(super) core: Door,
    pub(super) record: Arc<AgentRecord>,
}

impl AgentHandle {
    pub(crate) fn new(core: Door, record: AgentRecord) -> Self {
        AgentHandle { core, record: Arc::new(record) }
    }

    /// Its id.
    pub fn id(&self) -> AgentId {
        self.record.id
    }

    /// Its name, under which its behaviour is registered.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The whole record, as it was when this handle was made.
    pub fn record(&self) -> &AgentRecord {
        &self.record
    }

    /// The agent as it stands now.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when it was deleted.
    pub fn get(&self) -> Result<AgentRecord> {
        self.core.store(Act::AgentGet)?.agent(self.record.workspace_id, self.record.id)
    }

    /// Gives the agent a label of at most 255 characters, or with `None` takes it away. The name that its behaviour is bound
    /// to stays. Answers with the agent as it stands then.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a label out of bounds,
    /// [`NotFound`](crate::ErrorKind::NotFound) when the agent was deleted.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// let agent = engine.workspace("acme")?.agent("greeter")?;
    /// assert_eq!(agent.set_label("Says hello")?.label.as_deref(), Some("Says hello"));
    /// assert_eq!(agent.set_label(None)?.label, None);
    /// # engine.close()
    /// # }
    /// ```
    pub fn set_label<'l>(&self, label: impl Into<Option<&'l str>>) -> Result<AgentRecord> {
        let label = label.into();
        let (store, _admission) = self.core.writing(Act::AgentSetLabel)?;
        check_label(label)?;
        let stamp = self.core.shared.stamp();
        let AgentRecord { workspace_id: workspace, id: agent, .. } = *self.record;
        store.label_agent(LabelAgent { stamp, workspace, agent, label: label.map(str::to_owned) })
    }

    /// Deletes the agent and all that it holds, for good: its sessions, its archives and its access keys. Its name and its id may
    /// be used again, and so may the ids of its sessions.
    ///
    /// It takes one short commit however many there are. From then on the agent and all below it are *not found*, by
    /// every handle that was made before, and so for who waits or follows; who comes with a key of the agent is
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized). What is left in the file is cleared away afterwards, beside other
    /// work. While the commit is made, no turn begins or ends by a caller in the workspace, and no session is made there.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) while a turn of one of its sessions is running or waits.
    /// [`NotFound`](crate::ErrorKind::NotFound) when the agent was deleted before.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// let acme = engine.workspace("acme")?;
    /// let agent = acme.agent("greeter")?;
    /// let session = agent.create_session(Default::default())?;
    /// agent.delete()?;
    /// assert!(session.get().unwrap_err().is_not_found());
    /// assert_eq!((acme.find_agent("greeter")?.is_none(), acme.sessions(())?.meta.total), (true, 0));
    /// # engine.close()
    /// # }
    /// ```
    pub fn delete(&self) -> Result<()> {
        let (shared, store) = (self.core.shared(), self.core.store(Act::AgentDelete)?);
        let AgentRecord { workspace_id: workspace, id: agent, .. } = *self.record;
        let deletion = self.core.executor.admit_agent_deletion(workspace)?;
        store.delete_agent(DeleteAgent { stamp: shared.stamp(), workspace, agent })?;
        // Before a session can be made in the place of one that is gone.
        shared.tails.forget_gone(store, workspace, agent);
        let _admission = deletion.done(agent);
        // All who wait in it, and those who came with a key of it.
        shared.bell.wake_all();
        Ok(())
    }

    /// Makes a session.
    ///
    /// With an id of the caller's a retry is safe: the second call answers with the first one's
    /// session.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// use parlor::NewSession;
    ///
    /// let agent = engine.workspace("acme")?.agent("greeter")?;
    /// let session = agent.create_session(NewSession::default().key("telegram:42").label("Kyoto"))?;
    /// assert_eq!(agent.session_by_key("telegram:42")?.id(), session.id());
    /// assert!(agent.create_session(NewSession::default().key("telegram:42")).unwrap_err().is_conflict());
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a field out of bounds,
    /// [`Conflict`](crate::ErrorKind::Conflict) when another session of the agent has the key, or the id was used
    /// before with other inputs.
    pub fn create_session(&self, new: NewSession) -> Result<Session> {
        self.core.check(Act::AgentCreateSession)?;
        new.check()?;
        let op = self.operation(new, None);
        let (store, _admission) = self.core.making(Act::AgentCreateSession, place_of(&op))?;
        let created = store.create_session(op)?;
        self.ring(&created);
        Ok(Session::new(self.core.clone(), &created.session))
    }

    /// Makes a session and starts its first turn, in one commit. The turn names no thread: it
    /// opens the session's first.
    ///
    /// # Errors
    ///
    /// Those of [`create_session`](Self::create_session); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) or
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for a message out of bounds,
    /// [`NoBehaviour`](crate::ErrorKind::NoBehaviour) when none is registered under the agent's name.
    pub fn start_session(&self, new: NewSession, turn: impl Into<NewTurn>) -> Result<(Session, TurnHandle)> {
        let (core, turn) = (&self.core, turn.into());
        core.check(Act::AgentStartSession)?;
        new.check()?;
        turn.check()?;
        if let Some(thread) = turn.thread {
            return Err(Error::invalid(format!("the first turn of a session names thread {thread}; it opens its own")));
        }
        let op = self.operation(new, Some(turn));
        let started = core.executor.start_session(place_of(&op), op, core.behaviour(self.name()));
        let (created, handle) = started.map_err(|error| Core::explained(error, self.name()))?;
        self.ring(&created);
        Ok((Session::new(core.clone(), &created.session), handle.held_by(core.pass())))
    }

    /// Tells of a session that was made; the original of an earlier call is no news.
    fn ring(&self, created: &Created) {
        if !created.replayed {
            let at = SessionRef { workspace: self.record.workspace_id, session: created.session.id };
            self.core.shared.bell.ring(at, self.record.id, Event::Written);
        }
    }

    fn operation(&self, new: NewSession, first: Option<NewTurn>) -> CreateSession {
        let core = &self.core;
        CreateSession {
            stamp: core.shared.stamp(),
            workspace: self.record.workspace_id,
            agent: self.record.id,
            new,
            first: first.map(|turn| (turn, core.runner(self.name()))),
        }
    }

    /// A session of this agent.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the agent has no such session.
    pub fn session(&self, id: SessionId) -> Result<Session> {
        let at = SessionRef { workspace: self.record.workspace_id, session: id };
        let record = self.core.store(Act::AgentSession)?.session(at)?;
        if record.agent_id != self.record.id {
            return Err(Error::not_found(format_args!("session {id}")));
        }
        Ok(Session::new(self.core.clone(), &record))
    }

    /// A session of this agent, by its key.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when no live session of the agent has the key.
    pub fn session_by_key(&self, key: &str) -> Result<Session> {
        let store = self.core.store(Act::AgentSessionByKey)?;
        let record = store.session_by_key(self.record.workspace_id, self.record.id, key)?;
        Ok(Session::new(self.core.clone(), &record))
    }

    /// The sessions of this agent, newest activity first: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn sessions(&self, query: impl Into<PageQuery>) -> Result<Page<SessionRecord>> {
        let store = self.core.store(Act::AgentSessions)?;
        list(store, self.record.workspace_id, Some(self.record.id), query.into())
    }

    /// The sessions of this agent that change from now on, as they do: see [`Watch`].
    pub fn watch(&self) -> Watch {
        let AgentRecord { workspace_id, id, .. } = *self.record;
        Watch::new(self.core.shared(), self.core.pass(), workspace_id, Some(id))
    }
}

/// Where the session will be that a creation makes.
fn place_of(op: &CreateSession) -> SessionRef {
    SessionRef { workspace: op.workspace, session: op.new.id.unwrap_or_else(|| op.stamp.uuid(0).into()) }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgentHandle").field(&self.record).finish()
    }
}
