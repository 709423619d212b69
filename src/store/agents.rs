//! Workspaces and agents: the inputs of the operations that make, label, list and delete agents.

use crate::id::{AgentId, Stamp, WorkspaceId};
use crate::page::PageAt;
use crate::record::NewAgent;

/// Input of [`Store::create_agent`](super::Store::create_agent). Without a caller's, the record's id is the stamp's id 0.
#[derive(Debug, Clone)]
pub struct CreateAgent {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub new: NewAgent,
}

/// Input of [`Store::agents`](super::Store::agents).
#[derive(Debug, Clone, Copy)]
pub struct AgentsQuery {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Which page.
    pub page: PageAt,
}

/// Input of [`Store::label_agent`](super::Store::label_agent).
#[derive(Debug, Clone)]
pub struct LabelAgent {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// Its label from now on: at most 255 characters, or none.
    pub label: Option<String>,
}

/// Input of [`Store::delete_agent`](super::Store::delete_agent).
#[derive(Debug, Clone, Copy)]
pub struct DeleteAgent {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
}
