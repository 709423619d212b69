//! A house: a workspace in which one client alone writes, with its agents, their access keys and a few sessions. What an
//! operation on an agent or a key does, it does to the house as a whole.

use parlor::id::{AgentId, KeyId, MessageId, SessionId, WorkspaceId};
use parlor::store::{
    AgentsQuery, Append, CreateAgent, CreateKey, CreateSession, DeleteAgent, EnsureWorkspace, KeysQuery, LabelAgent,
    Opens, RevokeKey, SessionRef, Store, StoredKey,
};
use parlor::testkit::ModelStore;
use parlor::{AgentRecord, NewAgent, NewKey, NewMessage, NewSession, Result, Scopes, WorkspaceRecord};
use uuid::Uuid;

use super::client::Client;
use super::op::Op;
use super::state::{self, Announced, State};

/// All that can be read of one.
#[derive(Debug, Clone, PartialEq)]
pub struct House {
    workspace: WorkspaceRecord,
    agents: Vec<AgentRecord>,
    keys: Vec<StoredKey>,
    sessions: Vec<State>,
}

/// Where a house is: no session has that id.
pub fn place(workspace: WorkspaceId) -> SessionRef {
    SessionRef { workspace, session: SessionId::from_uuid(Uuid::nil()) }
}

/// Whether a house is there.
pub fn is_house(at: SessionRef) -> bool {
    at.session.as_uuid().is_nil()
}

impl House {
    /// None where there is no such workspace.
    pub fn of(store: &dyn Store, id: WorkspaceId, announced: &Announced) -> Result<Option<Self>> {
        let workspace = match store.workspace(id) {
            Err(error) if error.is_not_found() => return Ok(None),
            workspace => workspace?,
        };
        let agents = state::pages(|page| store.agents(AgentsQuery { workspace: id, page }).map(|listed| listed.items))?;
        let query = |page| KeysQuery { workspace: id, agent: None, page };
        let listed = state::pages(|page| store.keys(query(page)).map(|listed| listed.items))?;
        let mut keys = Vec::new();
        for key in listed {
            // One that is listed and not found is not what any house ever had.
            keys.extend(store.key(key.id)?.filter(|stored| stored.record == key));
        }
        let mut sessions = Vec::new();
        for session in state::sessions(store, id)? {
            let at = SessionRef { workspace: id, session: session.id };
            sessions.extend(State::beside(store, at, announced)?);
        }
        Ok(Some(House { workspace, agents, keys, sessions }))
    }
}

/// What a client knows of its house.
#[derive(Default)]
pub struct Home {
    workspace: Option<WorkspaceId>,
    agents: Vec<AgentId>,
    keys: Vec<KeyId>,
    /// One of them is an agent's.
    has_agent_keys: bool,
    sessions: Vec<SessionRef>,
}

impl Home {
    /// Whether a master key that is replaced closes other keys as well.
    pub fn has_agent_keys(&self) -> bool {
        self.has_agent_keys
    }

    /// What it is now, as the model has it.
    pub fn learn(&mut self, model: &ModelStore, workspace: WorkspaceId) {
        let house = Announced::of(model).and_then(|announced| House::of(model, workspace, &announced));
        let house = house.expect("the model can be read");
        let Some(House { agents, keys, sessions, .. }) = house else { return };
        self.workspace = Some(workspace);
        self.agents = agents.iter().map(|agent| agent.id).collect();
        self.keys = keys.iter().map(|key| key.record.id).collect();
        self.has_agent_keys = keys.iter().any(|key| !key.record.is_master());
        let records = sessions.iter().filter_map(|state| state.record.as_ref());
        self.sessions = records.map(|record| SessionRef { workspace, session: record.id }).collect();
    }
}

impl Client {
    /// Something to its house.
    pub(super) fn draw_at_home(&mut self) -> Op {
        let stamp = self.stamp();
        let Some(workspace) = self.home.workspace else {
            return Op::Found(EnsureWorkspace { stamp, name: format!("house {}", self.id()) });
        };
        if self.home.has_agent_keys() && self.random.one_in(6) {
            return Op::ReplaceKey(self.key(workspace, Opens::WorkspaceAnew));
        }
        let what = if self.home.agents.is_empty() { 0 } else { self.random.below(16) };
        let agent = self.random.pick(&self.home.agents).unwrap_or(AgentId::from_uuid(Uuid::nil()));
        let key = self.random.pick(&self.home.keys);
        match (what, key) {
            (0 | 1, _) => {
                // A name that is taken is refused.
                let name = format!("agent {}", self.random.below(4));
                let new = NewAgent::new(name).id(AgentId::from_uuid(self.id())).label("made");
                Op::CreateAgent(CreateAgent { stamp, workspace, new })
            }
            (2, _) => {
                Op::LabelAgent(LabelAgent { stamp, workspace, agent, label: Some(self.random.next().to_string()) })
            }
            (3, _) => Op::DeleteAgent(DeleteAgent { stamp, workspace, agent }),
            // One that has a master key is refused another.
            (4, _) => Op::CreateKey(self.key(workspace, Opens::Workspace)),
            (5, _) => Op::ReplaceKey(self.key(workspace, Opens::WorkspaceAnew)),
            (6..=8, _) => Op::CreateKey(self.key(workspace, Opens::Agent(agent, Scopes::CHAT))),
            (9 | 10, Some(key)) => Op::RevokeKey(RevokeKey { stamp, workspace, key }),
            (11..=13, _) if !self.home.sessions.is_empty() => {
                let at = self.random.pick(&self.home.sessions).unwrap_or(place(workspace));
                let messages = (0..1 + self.random.below(8)).map(|_| self.line()).collect();
                Op::Inscribe(Append { stamp, at, thread: None, messages })
            }
            _ => {
                let new = NewSession::default().id(SessionId::from_uuid(self.id()));
                Op::Furnish(Box::new(CreateSession { stamp, workspace, agent, new, first: None }))
            }
        }
    }

    fn key(&mut self, workspace: WorkspaceId, opens: Opens) -> CreateKey {
        let new = NewKey::default().label(self.random.below(100).to_string());
        let hash = [self.random.next() as u8; 32];
        CreateKey { stamp: self.stamp(), workspace, opens, new, hash }
    }

    fn line(&mut self) -> NewMessage {
        NewMessage::text(self.random.next().to_string()).id(MessageId::from_uuid(self.id()))
    }
}
