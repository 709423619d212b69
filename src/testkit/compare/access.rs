//! Agents and access keys: their operations as values, and how they are drawn.

use super::op::{Answer, Op};
use super::world::World;
use crate::error::Result;
use crate::id::{AgentId, KeyId, WorkspaceId};
use crate::page::PageAt;
use crate::record::{AgentRecord, KeyRecord, NewAgent, NewKey, Scopes, WorkspaceRecord};
use crate::store::{
    AgentsQuery, CreateAgent, CreateKey, DeleteAgent, KeysQuery, LabelAgent, Listed, Opens, RevokeKey, Store, StoredKey,
};
use crate::time::Timestamp;

/// An operation on agents or access keys.
#[derive(Debug, Clone)]
pub(super) enum ScopeOp {
    Workspace(WorkspaceId),
    Workspaces(PageAt),
    CreateAgent(CreateAgent),
    Agent(WorkspaceId, AgentId),
    Agents(AgentsQuery),
    LabelAgent(LabelAgent),
    DeleteAgent(DeleteAgent),
    CreateKey(CreateKey),
    Key(KeyId),
    Keys(KeysQuery),
    RevokeKey(RevokeKey),
}

/// What it answered.
#[derive(Debug, PartialEq)]
pub(super) enum ScopeAnswer {
    Workspace(WorkspaceRecord),
    Workspaces(Listed<WorkspaceRecord>),
    Agent(AgentRecord),
    Agents(Listed<AgentRecord>),
    Key(KeyRecord),
    Found(Option<StoredKey>),
    Keys(Listed<KeyRecord>),
    Gone,
}

pub(super) fn apply(store: &dyn Store, op: ScopeOp) -> Result<ScopeAnswer> {
    Ok(match op {
        ScopeOp::Workspace(id) => ScopeAnswer::Workspace(store.workspace(id)?),
        ScopeOp::Workspaces(page) => ScopeAnswer::Workspaces(store.workspaces(page)?),
        ScopeOp::CreateAgent(op) => ScopeAnswer::Agent(store.create_agent(op)?),
        ScopeOp::Agent(workspace, id) => ScopeAnswer::Agent(store.agent(workspace, id)?),
        ScopeOp::Agents(query) => ScopeAnswer::Agents(store.agents(query)?),
        ScopeOp::LabelAgent(op) => ScopeAnswer::Agent(store.label_agent(op)?),
        ScopeOp::DeleteAgent(op) => {
            store.delete_agent(op)?;
            ScopeAnswer::Gone
        }
        ScopeOp::CreateKey(op) => ScopeAnswer::Key(store.create_key(op)?),
        ScopeOp::Key(id) => ScopeAnswer::Found(store.key(id)?),
        ScopeOp::Keys(query) => ScopeAnswer::Keys(store.keys(query)?),
        ScopeOp::RevokeKey(op) => {
            store.revoke_key(op)?;
            ScopeAnswer::Gone
        }
    })
}

impl World {
    pub(super) fn draw_scope(&mut self) -> Op {
        let (workspace, agent) = self.agent();
        let (page, of) = (self.page(), self.rng.percent(50).then_some(agent));
        Op::Scope(Box::new(match self.rng.below(20) {
            0 => ScopeOp::Workspace(workspace),
            1 => ScopeOp::Workspaces(page),
            2..5 => ScopeOp::CreateAgent(CreateAgent { stamp: self.stamp(), workspace, new: self.new_agent(agent) }),
            5 => ScopeOp::Agent(workspace, agent),
            6 => ScopeOp::Agents(AgentsQuery { workspace, page }),
            7 => ScopeOp::LabelAgent(LabelAgent { stamp: self.stamp(), workspace, agent, label: self.agent_label() }),
            8..11 => ScopeOp::DeleteAgent(DeleteAgent { stamp: self.stamp(), workspace, agent }),
            11..15 => ScopeOp::CreateKey(self.new_access_key(workspace, agent)),
            15 | 16 => ScopeOp::Key(self.access_key()),
            17 => ScopeOp::Keys(KeysQuery { workspace, agent: of, page }),
            _ => ScopeOp::RevokeKey(RevokeKey { stamp: self.stamp(), workspace, key: self.access_key() }),
        }))
    }

    fn agent_label(&mut self) -> Option<String> {
        self.rng.percent(70).then(|| self.rng.one(["x", "y", ""]).into())
    }

    fn new_agent(&mut self, known: AgentId) -> NewAgent {
        let mut new = NewAgent::new(self.rng.one(["greeter", "booker", "greeter\0", "äb"]));
        new.label = self.agent_label();
        new.id = match self.rng.below(4) {
            0 => Some(known),
            1 => Some(AgentId::from_uuid(self.shared_id())),
            _ => None,
        };
        new
    }

    fn new_access_key(&mut self, workspace: WorkspaceId, agent: AgentId) -> CreateKey {
        let scopes = self.rng.one([Scopes::READ, Scopes::CHAT, Scopes::MANAGE, Scopes::ALL]);
        let opens = match self.rng.below(10) {
            0..2 => Opens::Workspace,
            2 => Opens::WorkspaceAnew,
            _ => Opens::Agent(agent, scopes),
        };
        let expires_at = self.rng.percent(20).then(|| Timestamp::from_micros(self.rng.below(1 << 52)));
        let new = NewKey { label: self.agent_label(), expires_at };
        let hash = [self.rng.one([0, 1, 255]); 32];
        CreateKey { stamp: self.stamp(), workspace, opens, new, hash }
    }

    fn access_key(&mut self) -> KeyId {
        match self.rng.pick(&self.keys).copied() {
            Some(key) if self.rng.percent(90) => key,
            _ => KeyId::from_uuid(self.fresh()),
        }
    }

    pub(super) fn learn_scope(&mut self, op: &Op, answer: &Answer) {
        let (Op::Scope(op), Answer::Scope(answer)) = (op, answer) else { return };
        match (&**op, &**answer) {
            (ScopeOp::CreateAgent(_), ScopeAnswer::Agent(made))
                if !self.agents.contains(&(made.workspace_id, made.id)) =>
            {
                self.agents.push((made.workspace_id, made.id));
            }
            (ScopeOp::DeleteAgent(gone), _) => {
                let is_its =
                    |known: &super::world::Known| known.at.workspace == gone.workspace && known.agent == gone.agent;
                self.gone.extend(self.sessions.iter().filter(|known| is_its(known)).map(|known| known.at));
                self.sessions.retain(|known| !is_its(known));
                self.learn_agent_gone(gone.workspace, gone.agent);
                // It stays among those that are drawn now and then, until there are others enough.
                if self.agents.len() > 2 {
                    self.agents.retain(|agent| *agent != (gone.workspace, gone.agent));
                }
            }
            (ScopeOp::CreateKey(_), ScopeAnswer::Key(made)) => self.keys.push(made.id),
            _ => {}
        }
    }
}
