//! A workspace.

use std::fmt;

use super::{AgentHandle, Core, PageQuery, Session};
use crate::error::Result;
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::page::Page;
use crate::record::check_name;
use crate::record::{SessionRecord, WorkspaceRecord};
use crate::store::{EnsureAgent, SessionRef, SessionsQuery};
use crate::sync::Arc;
use crate::watch::Watch;

/// A workspace: the wall between tenants. What stands in another one is *not found* here.
///
/// A cheap handle, made by [`Engine::workspace`](crate::Engine::workspace). After the engine
/// closed, every operation is [`Closed`](crate::ErrorKind::Closed).
#[derive(Clone)]
pub struct Workspace {
    pub(super) core: Arc<Core>,
    record: Arc<WorkspaceRecord>,
}

impl Workspace {
    pub(crate) fn new(core: Arc<Core>, record: WorkspaceRecord) -> Self {
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
        let store = self.core.store()?;
        check_name("agent name", name)?;
        let op = EnsureAgent { stamp: self.core.shared.stamp(), workspace: self.id(), name: name.to_owned() };
        Ok(AgentHandle::new(Arc::clone(&self.core), store.ensure_agent(op)?))
    }

    /// The agent of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn find_agent(&self, name: &str) -> Result<Option<AgentHandle>> {
        let store = self.core.store()?;
        check_name("agent name", name)?;
        let found = store.find_agent(self.id(), name)?;
        Ok(found.map(|record| AgentHandle::new(Arc::clone(&self.core), record)))
    }

    /// A session of the workspace, of any of its agents.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the workspace has no such session.
    pub fn session(&self, id: SessionId) -> Result<Session> {
        let record = self.core.store()?.session(SessionRef { workspace: self.id(), session: id })?;
        Ok(Session::new(Arc::clone(&self.core), &record))
    }

    /// The sessions of the workspace, newest activity first: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn sessions(&self, query: impl Into<PageQuery>) -> Result<Page<SessionRecord>> {
        list(&self.core, self.id(), None, query.into())
    }

    /// The sessions of the workspace that change from now on, as they do: see [`Watch`].
    pub fn watch(&self) -> Watch {
        Watch::new(&self.core.shared, self.id(), None)
    }
}

/// A page of the sessions of an agent, or of the whole workspace.
pub(super) fn list(
    core: &Core,
    workspace: WorkspaceId,
    agent: Option<AgentId>,
    query: PageQuery,
) -> Result<Page<SessionRecord>> {
    let store = core.store()?;
    let page = query.at()?;
    let listed = store.sessions(SessionsQuery { workspace, agent, page })?;
    Ok(Page::new(page, listed.total, listed.items, listed.damaged))
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workspace").field(&self.record).finish()
    }
}
