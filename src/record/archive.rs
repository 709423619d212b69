//! An archive: a whole session out of the live tables.

use super::Usage;
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::time::Timestamp;

/// An archive of an agent: a session moved out of the live tables, to be restored or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveRecord {
    /// What it is called, made by the engine and unique among all archives that ever were. It is no path of a file.
    pub filename: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The agent that had the session, and will have it again.
    pub agent_id: AgentId,
    /// The session, which is *not found* while it is archived.
    pub session_id: SessionId,
    /// The session's key, which another session may have meanwhile.
    pub key: String,
    /// The session's label.
    pub label: Option<String>,
    /// How many messages it has, the soft-deleted ones included.
    pub messages: u32,
    /// How many turns it has.
    pub turns: u32,
    /// The number of the session's last event, which tells of the archiving.
    pub last_change: u64,
    /// What its turns have consumed.
    pub usage: Usage,
    /// When the session was made.
    pub created_at: Timestamp,
    /// When it was archived.
    pub archived_at: Timestamp,
}
