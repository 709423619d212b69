//! Workspaces, agents, sessions and threads.

use serde::{Deserialize, Serialize};

use super::{Json, Usage};
use crate::error::{Error, Result};
use crate::id::{AgentId, MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::limit;
use crate::time::Timestamp;

/// A workspace: the wall between tenants. Everything belongs to one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkspaceRecord {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name, unique in the file.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl WorkspaceRecord {
    /// For a store of your own.
    pub fn new(id: WorkspaceId, name: impl Into<String>, created_at: Timestamp) -> Self {
        WorkspaceRecord { id, name: name.into(), created_at }
    }
}

/// An agent of a workspace: an id and the name its behaviour is registered under.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentRecord {
    /// Its id.
    pub id: AgentId,
    /// The workspace it belongs to.
    pub workspace_id: WorkspaceId,
    /// The name its behaviour is bound to; unique in the workspace, never changed.
    pub name: String,
    /// Its label, if any.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl AgentRecord {
    /// One without a label, for a store of your own to fill in.
    pub fn new(id: AgentId, workspace_id: WorkspaceId, name: impl Into<String>, created_at: Timestamp) -> Self {
        AgentRecord { id, workspace_id, name: name.into(), label: None, created_at }
    }
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionStatus {
    /// No turn is running or waiting.
    Idle,
    /// A turn is running or waiting.
    Running,
    /// Idle, and the turn that ended last failed; it accepts sends all the same.
    Error,
}

/// One conversation of one agent.
///
/// From documents A and B.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionRecord {
    /// Its id (`chat_id` in document A).
    pub id: SessionId,
    /// The workspace it belongs to.
    pub workspace_id: WorkspaceId,
    /// The agent it belongs to.
    pub agent_id: AgentId,
    /// The name of that agent.
    pub agent_name: String,
    /// Its key, unique among the agent's live sessions; by default the id's text.
    pub key: String,
    /// Its label, if any.
    pub label: Option<String>,
    /// What kind of chat it is, in the application's words.
    pub chat_type: Option<String>,
    /// The channel it was last used from, in the application's words.
    pub last_channel: Option<String>,
    /// Where it comes from: free JSON.
    pub origin: Option<Json>,
    /// Free JSON.
    pub metadata: Option<Json>,
    /// The profile its turns run with, unless a send brings its own: free JSON.
    pub profile: Option<Json>,
    /// What it is doing.
    pub status: SessionStatus,
    /// The running turn, if any.
    pub running_turn: Option<TurnId>,
    /// How many turns wait for the ones before them.
    pub queued_turns: u32,
    /// What all its turns have consumed.
    pub usage: Usage,
    /// Where its transcript begins, if that was set: the number of its [`ContextMark`](super::ContextMark).
    pub context_mark: Option<u32>,
    /// How many messages it ever had, the soft-deleted ones included: the number of its last message.
    pub last_message: u32,
    /// The number of its latest event in the change feed.
    pub last_change: u64,
    /// What it was forked from, if it was.
    pub forked_from: Option<ForkedFrom>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed; never goes back.
    pub updated_at: Timestamp,
}

/// What a session was forked from. Either may be gone by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ForkedFrom {
    /// The session.
    pub session: SessionId,
    /// Its last message that was copied.
    pub message: MessageId,
    /// The number of that message there.
    pub number: u32,
}

impl SessionRecord {
    /// An idle session without messages or changes, keyed by its id, for a store of your own to fill in.
    pub fn new(
        id: SessionId,
        workspace_id: WorkspaceId,
        agent_id: AgentId,
        agent_name: impl Into<String>,
        created_at: Timestamp,
    ) -> Self {
        SessionRecord {
            id,
            workspace_id,
            agent_id,
            agent_name: agent_name.into(),
            key: id.to_string(),
            label: None,
            chat_type: None,
            last_channel: None,
            origin: None,
            metadata: None,
            profile: None,
            status: SessionStatus::Idle,
            running_turn: None,
            queued_turns: 0,
            usage: Usage::ZERO,
            context_mark: None,
            last_message: 0,
            last_change: 0,
            forked_from: None,
            created_at,
            updated_at: created_at,
        }
    }
}

/// One exchange of a session: a message and all that the agent answered.
///
/// From document A (`chat_thread_id`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadRecord {
    /// Its id.
    pub id: ThreadId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// Its place among the session's threads, from 1 without gaps.
    pub number: u32,
    /// When it was opened.
    pub created_at: Timestamp,
}

impl ThreadRecord {
    /// For a store of your own.
    pub fn new(id: ThreadId, session_id: SessionId, number: u32, created_at: Timestamp) -> Self {
        ThreadRecord { id, session_id, number, created_at }
    }
}

/// The input that makes a session. Everything has a default.
///
/// ```
/// let new = parlor::NewSession::default().key("telegram:42").label("Trip to Kyoto");
/// assert_eq!(new.key.as_deref(), Some("telegram:42"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct NewSession {
    /// An id of the caller's, where a retry must be safe.
    pub id: Option<SessionId>,
    /// 1 to 255 characters; by default the id's text.
    pub key: Option<String>,
    /// At most 255 characters.
    pub label: Option<String>,
    /// At most 255 characters.
    pub chat_type: Option<String>,
    /// At most 255 characters.
    pub last_channel: Option<String>,
    /// At most 1 MiB of JSON.
    pub origin: Option<Json>,
    /// At most 1 MiB of JSON.
    pub metadata: Option<Json>,
    /// At most 1 MiB of JSON.
    pub profile: Option<Json>,
}

impl NewSession {
    /// An id of the caller's, where a retry must be safe.
    #[must_use]
    pub fn id(mut self, id: impl Into<SessionId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its key: 1 to 255 characters.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Its label: at most 255 characters.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What kind of chat it is: at most 255 characters.
    #[must_use]
    pub fn chat_type(mut self, chat_type: impl Into<String>) -> Self {
        self.chat_type = Some(chat_type.into());
        self
    }

    /// The channel it is used from: at most 255 characters.
    #[must_use]
    pub fn last_channel(mut self, channel: impl Into<String>) -> Self {
        self.last_channel = Some(channel.into());
        self
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Json>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Free JSON.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Json>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// The profile its turns run with.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<Json>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the field, its value and the bound.
    pub fn check(&self) -> Result<()> {
        if let Some(key) = &self.key {
            check_chars("session key", key, 1, limit::KEY_CHARS)?;
        }
        check_session_texts(self.label.as_ref(), self.chat_type.as_ref(), self.last_channel.as_ref())?;
        check_session_jsons(self.origin.as_ref(), self.metadata.as_ref(), self.profile.as_ref())?;
        if self.id.is_some_and(|id| id.as_uuid().is_nil()) {
            return Err(Error::invalid("session id is the nil UUID"));
        }
        Ok(())
    }
}

/// Checks what a session says of itself.
pub(super) fn check_session_texts(
    label: Option<&String>,
    chat_type: Option<&String>,
    last_channel: Option<&String>,
) -> Result<()> {
    let texts = [
        ("session label", label, limit::LABEL_CHARS),
        ("chat_type", chat_type, limit::CHANNEL_CHARS),
        ("last_channel", last_channel, limit::CHANNEL_CHARS),
    ];
    for (what, text, most) in texts {
        if let Some(text) = text {
            check_chars(what, text, 0, most)?;
        }
    }
    Ok(())
}

/// Checks the free JSON of a session.
pub(super) fn check_session_jsons(
    origin: Option<&Json>,
    metadata: Option<&Json>,
    profile: Option<&Json>,
) -> Result<()> {
    for (what, json) in [("origin", origin), ("metadata", metadata), ("profile", profile)] {
        check_json(what, json, limit::SESSION_JSON_BYTES)?;
    }
    Ok(())
}

/// Checks the name of a workspace or an agent: 1 to 255 characters.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    check_chars(what, name, 1, limit::NAME_CHARS)
}

pub(super) fn check_chars(what: &str, text: &str, least: usize, most: usize) -> Result<()> {
    let chars = text.chars().count();
    if (least..=most).contains(&chars) {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} has {chars} characters; it must have {least} to {most}")))
}

pub(crate) fn check_json(what: &str, json: Option<&Json>, most: usize) -> Result<()> {
    match json.map(|json| json.as_str().len()) {
        Some(bytes) if bytes > most => {
            Err(Error::invalid(format!("{what} has {bytes} bytes; it may have at most {most}")))
        }
        _ => Ok(()),
    }
}
