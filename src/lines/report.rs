//! What an export and an import have done, and how an import is asked for.

use std::collections::BTreeMap;

/// What an export wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Workspaces.
    pub workspaces: u64,
    /// Agents.
    pub agents: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Threads.
    pub threads: u64,
    /// Turns.
    pub turns: u64,
    /// Messages, the soft-deleted ones included.
    pub messages: u64,
    /// Events of the change feeds.
    pub changes: u64,
    /// Turns that were running or waited: in the lines they have ended.
    pub ended: u64,
    /// Announcements that wait or are dead: they are left out.
    pub outbox_left_out: u64,
    /// Archives: they are left out.
    pub archives_left_out: u64,
    /// Access keys: they are left out.
    pub access_keys_left_out: u64,
    /// Bytes of all lines.
    pub bytes: u64,
}

/// What an import took in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Lines that were read, or messages of a list.
    pub lines: u64,
    /// Workspaces that were made.
    pub workspaces_made: u64,
    /// Agents that were made.
    pub agents_made: u64,
    /// Sessions that came in.
    pub sessions: u64,
    /// Sessions that were left out, because one of their id or key was there.
    pub sessions_skipped: u64,
    /// Threads of the sessions that came in.
    pub threads: u64,
    /// Their turns.
    pub turns: u64,
    /// Their messages, the soft-deleted ones included.
    pub messages: u64,
    /// Their events.
    pub changes: u64,
    /// Turns that were running or waited when they were exported, and have ended in the lines.
    pub ended: u64,
    /// Announcements that the export left out.
    pub outbox_left_out: u64,
    /// Archives that the export left out.
    pub archives_left_out: u64,
    /// Access keys that the export left out.
    pub access_keys_left_out: u64,
    /// What is not known: how often each field of this name, or each kind of line (`line: kind`), was left out. At most
    /// [`limit::LINES_UNKNOWN`](crate::limit::LINES_UNKNOWN) names; those beyond are counted together, as `…`.
    pub unknown: BTreeMap<String, u64>,
}

/// What an import does with a session whose id or key is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConflict {
    /// The import ends there as a *conflict*. The sessions before it have come in.
    #[default]
    Stop,
    /// The session is left out, and counted.
    Skip,
}

/// How an import is asked for.
///
/// ```
/// use parlor::{ImportOptions, OnConflict};
///
/// let options = ImportOptions::default().on_conflict(OnConflict::Skip);
/// assert_eq!(options.on_conflict, OnConflict::Skip);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportOptions {
    /// What becomes of a session that is there already; by default the import stops.
    pub on_conflict: OnConflict,
    /// The key of the session that a list of messages becomes: 1 to 255 characters, by default its id's text. Lines have
    /// keys of their own.
    pub key: Option<String>,
}

impl ImportOptions {
    /// What becomes of a session that is there already.
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// The key of the session that a list of messages becomes.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}
