//! A workspace.

use std::fmt;

use super::{AgentHandle, Door, PageQuery, Session};
use crate::error::Result;
use crate::grant::Act;
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::page::{Page, SessionsCursor};
use crate::record::{AgentRecord, NewAgent, SessionRecord, WorkspaceRecord, check_name};
use crate::store::{AgentsQuery, CreateAgent, EnsureAgent, SessionRef, Store};
use crate::sync::Arc;
use crate::watch::Watch;

/// A workspace: the wall between tenants. What stands in another one is *not found* here.
///
/// A cheap handle, made by [`Engine::workspace`](crate::Engine::workspace). After the engine
/// closed, every operation is [`Closed`](crate::ErrorKind::Closed).
#[derive(Clone)]
pub struct Workspace {
    pub(super) core: Door,
    record: Arc<WorkspaceRecord>,
}

impl Workspace {
    pub(crate) fn new(core: Door, record: WorkspaceRecord) -> Self {
        Workspace { core, record: Arc::new(record) }
    }

    /// Its id.
    pub fn id(&self) -> WorkspaceId {
        self.record.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The agent of this name, 1 to 255 characters, made when it is missing.
    ///
    /// Its sessions run turns where a behaviour is registered under the name
    /// ([`Builder::agent`](crate::Builder::agent)); everything else works without one.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn agent(&self, name: &str) -> Result<AgentHandle> {
        let store = self.core.store(Act::WorkspaceAgent)?;
        check_name("agent name", name)?;
        let op = EnsureAgent { stamp: self.core.shared.stamp(), workspace: self.id(), name: name.to_owned() };
        Ok(AgentHandle::new(self.core.clone(), store.ensure_agent(op)?))
    }

    /// The agent of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn find_agent(&self, name: &str) -> Result<Option<AgentHandle>> {
        let store = self.core.store(Act::WorkspaceFindAgent)?;
        check_name("agent name", name)?;
        let found = store.find_agent(self.id(), name)?;
        Ok(found.map(|record| AgentHandle::new(self.core.clone(), record)))
    }

    /// Makes an agent, with a label or an id of the caller's; [`agent`](Self::agent) is for who needs neither.
    ///
    /// With an id a retry is safe: the second call answers with the first one's agent, whatever its label is by then.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a field out of bounds,
    /// [`Conflict`](crate::ErrorKind::Conflict) when another agent of the workspace has the name, or the id was used
    /// before with another one.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// use parlor::NewAgent;
    ///
    /// let acme = engine.workspace("acme")?;
    /// let agent = acme.create_agent(NewAgent::new("greeter").label("Says hello"))?;
    /// assert_eq!(acme.agents(())?.items, [agent.record().clone()]);
    /// assert!(acme.create_agent("greeter").unwrap_err().is_conflict());
    /// # engine.close()
    /// # }
    /// ```
    pub fn create_agent(&self, new: impl Into<NewAgent>) -> Result<AgentHandle> {
        let new = new.into();
        let (store, _admission) = self.core.writing(Act::WorkspaceCreateAgent)?;
        new.check()?;
        let op = CreateAgent { stamp: self.core.shared.stamp(), workspace: self.id(), new };
        Ok(AgentHandle::new(self.core.clone(), store.create_agent(op)?))
    }

    /// The agent of this id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the workspace has no such agent.
    pub fn agent_by_id(&self, id: AgentId) -> Result<AgentHandle> {
        let record = self.core.store(Act::WorkspaceAgentById)?.agent(self.id(), id)?;
        Ok(AgentHandle::new(self.core.clone(), record))
    }

    /// The agents of the workspace, in the order of their names: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn agents(&self, query: impl Into<PageQuery>) -> Result<Page<AgentRecord>> {
        let store = self.core.store(Act::WorkspaceAgents)?;
        let page = query.into().at()?;
        let listed = store.agents(AgentsQuery { workspace: self.id(), page })?;
        Ok(Page::new(page, listed.total, listed.items, listed.damaged))
    }

    /// A session of the workspace, of any of its agents.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the workspace has no such session.
    pub fn session(&self, id: SessionId) -> Result<Session> {
        let record =
            self.core.store(Act::WorkspaceSession)?.session(SessionRef { workspace: self.id(), session: id })?;
        Ok(Session::new(self.core.clone(), &record))
    }

    /// The sessions of the workspace, newest activity first: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn sessions(&self, query: impl Into<PageQuery>) -> Result<Page<SessionRecord>> {
        let store = self.core.store(Act::WorkspaceSessions)?;
        list(store, self.id(), None, query.into())
    }

    /// The sessions of the workspace that change from now on, as they do: see [`Watch`].
    pub fn watch(&self) -> Watch {
        Watch::new(self.core.shared(), self.core.pass(), self.id(), None)
    }
}

/// A page of the sessions of an agent, or of the whole workspace.
pub(super) fn list(
    store: &dyn Store,
    workspace: WorkspaceId,
    agent: Option<AgentId>,
    query: PageQuery,
) -> Result<Page<SessionRecord>> {
    let query = query.of_sessions(workspace, agent)?;
    let page = query.page;
    let listed = store.sessions(query)?;
    let next = listed.last.map(|last| SessionsCursor::new(workspace, agent, last));
    Ok(Page { next, ..Page::new(page, listed.total, listed.items, listed.damaged) })
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workspace").field(&self.record).finish()
    }
}
