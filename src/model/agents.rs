//! The verbs of workspaces and agents.

use super::{State, page_of};
use crate::error::{Error, Result};
use crate::id::AgentId;
use crate::page::PageAt;
use crate::record::{AgentRecord, WorkspaceRecord};
use crate::store::{AgentsQuery, CreateAgent, DeleteAgent, LabelAgent, Listed};

impl State {
    pub(super) fn workspaces(&self, page: PageAt) -> Listed<WorkspaceRecord> {
        let mut all = self.workspaces.clone();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        page_of(all, page)
    }

    pub(super) fn create_agent(&mut self, op: CreateAgent) -> Result<AgentRecord> {
        self.workspace(op.workspace)?;
        let id = op.new.id.unwrap_or(AgentId::from_uuid(op.stamp.uuid(0)));
        if let Ok(found) = self.agent(op.workspace, id) {
            if op.new.id.is_some() && found.name == op.new.name {
                return Ok(found.clone());
            }
            return Err(Error::conflict(format!("agent id {id} was used before with another name")));
        }
        if self.agent_named(op.workspace, &op.new.name)?.is_some() {
            return Err(Error::conflict(format!("agent name {:?} is taken", op.new.name)));
        }
        let made = AgentRecord {
            id,
            workspace_id: op.workspace,
            name: op.new.name,
            label: op.new.label,
            created_at: op.stamp.at,
        };
        self.agents.push(made.clone());
        Ok(made)
    }

    pub(super) fn agents(&self, op: &AgentsQuery) -> Result<Listed<AgentRecord>> {
        self.workspace(op.workspace)?;
        let mut all: Vec<_> = self.agents.iter().filter(|agent| agent.workspace_id == op.workspace).cloned().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(page_of(all, op.page))
    }

    pub(super) fn label_agent(&mut self, op: LabelAgent) -> Result<AgentRecord> {
        self.workspace(op.workspace)?;
        self.agent(op.workspace, op.agent)?;
        let named = |agent: &&mut AgentRecord| agent.workspace_id == op.workspace && agent.id == op.agent;
        let agent = self.agents.iter_mut().find(named);
        let agent = agent.ok_or_else(|| Error::not_found(format_args!("agent {}", op.agent)))?;
        agent.label = op.label;
        Ok(agent.clone())
    }

    pub(super) fn delete_agent(&mut self, op: &DeleteAgent) -> Result<()> {
        self.workspace(op.workspace)?;
        self.agent(op.workspace, op.agent)?;
        let (workspace, agent) = (op.workspace, op.agent);
        let mut its = self.sessions.iter().filter(|session| session.base.workspace_id == workspace);
        its.try_for_each(|session| if session.base.agent_id == agent { session.check_idle() } else { Ok(()) })?;
        self.archives.retain(|archived| (archived.record.workspace_id, archived.record.agent_id) != (workspace, agent));
        self.sessions.retain(|session| (session.base.workspace_id, session.base.agent_id) != (workspace, agent));
        self.keys.retain(|key| (key.record.workspace_id, key.record.agent_id) != (workspace, Some(agent)));
        self.agents.retain(|other| (other.workspace_id, other.id) != (workspace, agent));
        Ok(())
    }
}
