//! [`ModelStore`]: the reference store. Plain lists under one lock, obviously right and slow.
//!
//! It is the oracle that other stores are compared with, so every rule of [`Store`] stands here
//! once, in the plainest words: what can be counted is counted when it is asked for, and an
//! operation works on a copy of its session that takes the session's place when it succeeds, so
//! that an `Err` has written nothing wherever it comes from.
//!
//! Where several errors apply, this is the order: closed; the workspace, agent or session is not
//! found; the claim is fenced; the input is invalid; its id was used before; a thread that it
//! names is not found; it is a bad request; the session is busy or the key taken; a bound is passed.

mod access;
mod agents;
mod archive;
mod fork;
mod outbox;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod turn;
mod verify;

use crate::error::{Error, Result};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::page::PageAt;
use crate::record::{AgentRecord, WorkspaceRecord};
use crate::store::{Listed, SessionRef, StoredKey, Waiting};
use crate::sync::{Mutex, MutexGuard};

use archive::Archived;
use session::Session;

/// The reference [`Store`](crate::store::Store): in memory, without a file, and slow.
///
/// It is for tests: of code that is built on a store, and of other stores, which must answer as
/// it does. It grows with all it was ever given and does not outlive its value.
///
/// ```
/// use parlor::id::Stamp;
/// use parlor::store::{EnsureWorkspace, Store};
/// use parlor::testkit::ModelStore;
///
/// let store = ModelStore::new();
/// let stamp = Stamp::new(parlor::Timestamp::from_micros(1_777_573_302_000_000), 7);
/// let made = store.ensure_workspace(EnsureWorkspace { stamp, name: "acme".into() })?;
/// assert_eq!(store.find_workspace("acme")?, Some(made));
/// # Ok::<(), parlor::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ModelStore(Mutex<State>);

/// Everything there is, each list in the order of creation.
#[derive(Debug, Default)]
struct State {
    closed: bool,
    workspaces: Vec<WorkspaceRecord>,
    agents: Vec<AgentRecord>,
    keys: Vec<StoredKey>,
    sessions: Vec<Session>,
    /// Sessions that are archived, in the order in which they were.
    archives: Vec<Archived>,
    /// What was exported: its stream is its place here.
    exported: Vec<Archived>,
    /// How many sessions there ever were.
    made: u64,
}

impl ModelStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it again after a close, with all that was in it, as a file is.
    pub fn reopen(&self) {
        self.0.lock().closed = false;
    }

    fn open(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.0.lock();
        if state.closed { Err(Error::closed()) } else { Ok(state) }
    }

    /// Reads a session.
    fn read<T>(&self, at: SessionRef, verb: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
        let state = self.open()?;
        verb(state.session(at)?)
    }

    /// Changes a session, or leaves it as it was where the verb fails.
    fn change<T>(&self, at: SessionRef, verb: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        self.open()?.change(at, verb)
    }

    /// As [`change`](Self::change), of what it has in the outbox; also of an archived one.
    fn change_announcing<T>(&self, at: SessionRef, verb: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut state = self.open()?;
        let session = state.announcing_at(at)?;
        let mut copy = session.clone();
        let answer = verb(&mut copy)?;
        *session = copy;
        Ok(answer)
    }
}

impl State {
    fn change<T>(&mut self, at: SessionRef, verb: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let session = self.sessions.iter_mut().find(|session| session.is(at)).ok_or_else(|| no_session(at.session))?;
        let mut copy = session.clone();
        let answer = verb(&mut copy)?;
        *session = copy;
        Ok(answer)
    }

    fn workspace(&self, id: WorkspaceId) -> Result<&WorkspaceRecord> {
        let found = self.workspaces.iter().find(|workspace| workspace.id == id);
        found.ok_or_else(|| Error::not_found(format_args!("workspace {id}")))
    }

    fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<&AgentRecord> {
        let found = self.agents.iter().find(|agent| agent.workspace_id == workspace && agent.id == id);
        found.ok_or_else(|| Error::not_found(format_args!("agent {id}")))
    }

    fn agent_named(&self, workspace: WorkspaceId, name: &str) -> Result<Option<&AgentRecord>> {
        self.workspace(workspace)?;
        Ok(self.agents.iter().find(|agent| agent.workspace_id == workspace && agent.name == name))
    }

    fn session(&self, at: SessionRef) -> Result<&Session> {
        self.sessions.iter().find(|session| session.is(at)).ok_or_else(|| no_session(at.session))
    }

    fn session_with_key(&self, agent: &AgentRecord, key: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| {
            let base = &session.base;
            base.workspace_id == agent.workspace_id && base.agent_id == agent.id && base.key == key
        })
    }
}

/// How much waits in these sessions.
fn in_all<'a>(sessions: impl Iterator<Item = &'a Session>) -> Waiting {
    sessions
        .map(Session::waiting)
        .fold(Waiting::default(), |sum, each| Waiting { turns: sum.turns + each.turns, bytes: sum.bytes + each.bytes })
}

fn no_session(id: SessionId) -> Error {
    Error::not_found(format_args!("session {id}"))
}

/// A page of what is listed, and how much of it there is.
fn page_of<T>(all: Vec<T>, page: PageAt) -> Listed<T> {
    let total = all.len() as u64;
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    Listed {
        items: all.into_iter().skip(offset).take(page.limit as usize).collect(),
        total,
        damaged: Vec::new(),
        last: None,
    }
}
