//! What an application's session list and a model's next call need.

use serde::Serialize;

use crate::id::{MessageId, SessionId};
use crate::record::{self, ArchiveRecord, Content, Json, Role, SessionRecord, SessionStatus, ToolCall, Turn};
use crate::time::Timestamp;

/// A session in the list of an agent's. Its `sessionFile` is always absent.
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AgentSession {
    /// Its key.
    pub key: String,
    /// Its id.
    pub session_id: SessionId,
    /// Its label, or null.
    pub label: Option<String>,
    /// When it last changed, in milliseconds since the Unix epoch.
    pub updated_at: u64,
    /// What kind of chat it is; absent where that was not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_type: Option<String>,
    /// The channel it was last used from; absent where that was not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_channel: Option<String>,
    /// Where it comes from; absent where that was not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Json>,
}

impl AgentSession {
    /// One session of the list.
    pub fn new(session: &SessionRecord) -> Self {
        AgentSession {
            key: session.key.clone(),
            session_id: session.id,
            label: session.label.clone(),
            updated_at: session.updated_at.as_millis(),
            chat_type: session.chat_type.clone(),
            last_channel: session.last_channel.clone(),
            origin: session.origin.clone(),
        }
    }
}

/// A session in the list of an agent's archives. A client names it by its `filename` to restore or to delete it: see
/// [`ArchiveRequest`](super::ArchiveRequest).
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ArchivedSession {
    /// What the archive is called.
    pub filename: String,
    /// The session's label, or null.
    pub label: Option<String>,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// The session's id.
    pub session_id: SessionId,
}

impl ArchivedSession {
    /// One archive of the list.
    pub fn new(archive: &ArchiveRecord) -> Self {
        ArchivedSession {
            filename: archive.filename.clone(),
            label: archive.label.clone(),
            archived_at: archive.archived_at,
            session_id: archive.session_id,
        }
    }
}

/// A message in a session's history, its content exactly as given.
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HistoryItem {
    /// Its id.
    pub id: MessageId,
    /// Who speaks.
    pub role: Role,
    /// A string or an array of content blocks; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// When it was written, in milliseconds since the Unix epoch.
    pub timestamp: u64,
}

impl HistoryItem {
    /// One message of the history.
    pub fn new(message: &record::Message) -> Self {
        HistoryItem {
            id: message.id,
            role: message.role,
            content: message.content.clone(),
            timestamp: message.created_at.as_millis(),
        }
    }
}

/// A message as model APIs write it.
///
/// From document C.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// Its text, or null where it has no content.
    pub content: Option<String>,
    /// The tool calls it asks for; absent where it asks for none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Call>,
    /// The call that it answers; absent where it answers none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool's or the speaker's name; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A tool call in a [`ChatMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Call {
    /// The call's id.
    pub id: String,
    /// What is called: `function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one, and with what.
    pub function: Function,
}

/// What a [`Call`] calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Function {
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them.
    pub arguments: String,
}

impl ChatMessage {
    /// One message of the conversation.
    pub fn new(message: &record::Message) -> Self {
        ChatMessage {
            role: message.role,
            content: message.content.as_ref().map(Content::text),
            tool_calls: message.tool_calls.iter().map(Call::new).collect(),
            tool_call_id: message.tool_call_id.clone(),
            name: message.name.clone(),
        }
    }
}

impl Call {
    fn new(call: &ToolCall) -> Self {
        let function = Function { name: call.name.clone(), arguments: call.arguments.clone() };
        Call { id: call.id.clone(), kind: call.kind.clone(), function }
    }
}

/// The answer to a message that was accepted: its turn runs or waits, or did until a moment ago.
///
/// From document C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Accepted {
    /// The session.
    pub session_id: SessionId,
    /// Always `running`.
    pub status: SessionStatus,
}

impl Accepted {
    /// The answer for the turn that the message started.
    pub fn new(turn: &Turn) -> Self {
        Accepted { session_id: turn.session_id, status: SessionStatus::Running }
    }
}
