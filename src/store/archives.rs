//! Inputs of the operations on archives.

use super::SessionRef;
use crate::id::{AgentId, SessionId, Stamp, WorkspaceId};
use crate::page::PageAt;

/// An archive, reached through its agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArchiveRef {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// What the archive is called.
    pub filename: String,
}

/// Input of [`Store::archive_session`](super::Store::archive_session).
///
/// The archive's `filename` is the session's id, a full stop and the stamp's id 0.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveSession {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// Only while this is the number of its latest event, else it is a *conflict*: what came meanwhile stays.
    pub only_at: Option<u64>,
}

impl ArchiveSession {
    /// What the archive is called.
    pub fn filename(&self) -> String {
        format!("{}.{}", self.at.session, self.stamp.uuid(0))
    }
}

/// Which ids an imported session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ImportIds {
    /// Its own: one that exists in the workspace, live or archived, is a *conflict*.
    #[default]
    Keep,
    /// The session a new one. Its messages, threads and turns keep theirs, which are unique within it alone.
    New,
}

/// Input of [`Store::import_archive`](super::Store::import_archive).
///
/// The archive's `filename` is the session's id, a full stop and the stamp's id 0; a new session id is the stamp's id 1.
#[derive(Debug, Clone, Copy)]
pub struct ImportArchive {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent that will have it.
    pub agent: AgentId,
    /// The session's ids.
    pub ids: ImportIds,
}

impl ImportArchive {
    /// What the archive of this session is called.
    pub fn filename(&self, session: SessionId) -> String {
        format!("{session}.{}", self.stamp.uuid(0))
    }
}

/// Input of [`Store::archives`](super::Store::archives).
#[derive(Debug, Clone, Copy)]
pub struct ArchivesQuery {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// One agent's, or the whole workspace's.
    pub agent: Option<AgentId>,
    /// Which page.
    pub page: PageAt,
}

/// Input of [`Store::restore_archive`](super::Store::restore_archive).
#[derive(Debug, Clone)]
pub struct RestoreArchive {
    /// When.
    pub stamp: Stamp,
    /// The archive.
    pub archive: ArchiveRef,
    /// A new label for the session; the one it had where there is none.
    pub label: Option<String>,
}

/// Input of [`Store::delete_archive`](super::Store::delete_archive).
#[derive(Debug, Clone)]
pub struct DeleteArchive {
    /// When.
    pub stamp: Stamp,
    /// The archive.
    pub archive: ArchiveRef,
}
