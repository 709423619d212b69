//! Access keys: the inputs and answers of the operations that make, find, list and revoke them.

use crate::id::{AgentId, KeyId, Stamp, WorkspaceId};
use crate::page::PageAt;
use crate::record::{KeyRecord, NewKey, Scopes, SecretHash};

/// What a new key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// The workspace. One that has a master key already is a *conflict*.
    Workspace,
    /// The workspace, in the place of its master key where it has one: that one and all agent keys of the workspace are
    /// revoked in the same commit.
    WorkspaceAnew,
    /// An agent of the workspace, for what these scopes allow.
    Agent(AgentId, Scopes),
}

/// Input of [`Store::create_key`](super::Store::create_key). The key's id is the stamp's id 0.
#[derive(Debug, Clone)]
pub struct CreateKey {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What it opens.
    pub opens: Opens,
    /// Label and expiry.
    pub new: NewKey,
    /// What is kept of its secret.
    pub hash: SecretHash,
}

/// Input of [`Store::keys`](super::Store::keys).
#[derive(Debug, Clone, Copy)]
pub struct KeysQuery {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// One agent's, or all of the workspace, the master key among them.
    pub agent: Option<AgentId>,
    /// Which page.
    pub page: PageAt,
}

/// Input of [`Store::revoke_key`](super::Store::revoke_key).
#[derive(Debug, Clone, Copy)]
pub struct RevokeKey {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The key.
    pub key: KeyId,
}

/// An access key as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// What is known of it.
    pub record: KeyRecord,
    /// What is kept of its secret.
    pub hash: SecretHash,
}
