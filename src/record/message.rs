//! Messages as they stand in their session, and what they are made of.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Json, Ts};
use crate::id::{MessageId, SessionId, ThreadId, TurnId};
use crate::limit::MESSAGE_ITEM_BYTES;
use crate::time::Timestamp;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A person, or what stands for one.
    User,
    /// The agent.
    Assistant,
    /// Instructions to the agent.
    System,
    /// The result of a tool.
    Tool,
}

impl Role {
    /// All four, in the order of their bits in a [`Roles`](crate::page::Roles).
    pub const ALL: [Role; 4] = [Role::User, Role::Assistant, Role::System, Role::Tool];

    /// Its name, as queries and JSON write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System => "system",
            Role::Tool => "tool",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a message is in its turn (`type` in JSON).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Something said.
    Message,
    /// The answer that ended a turn.
    FinalMessage,
    /// A call of a tool, or its result.
    ToolCall,
}

impl MessageType {
    /// All three, in the order of their bits in a [`Types`](crate::page::Types).
    pub const ALL: [MessageType; 3] = [MessageType::Message, MessageType::FinalMessage, MessageType::ToolCall];

    /// Its name, as queries and JSON write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MessageType::Message => "message",
            MessageType::FinalMessage => "final_message",
            MessageType::ToolCall => "tool_call",
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a message says: a string, or a list of content blocks kept exactly as given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A JSON array of content blocks.
    Blocks(Json),
}

impl Content {
    /// The text: of blocks, their `text` fields joined by `\n`.
    ///
    /// ```
    /// use parlor::{Content, Json};
    ///
    /// let blocks = Json::parse(r#"[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]"#)?;
    /// assert_eq!(Content::Blocks(blocks).text(), "a\nb");
    /// # Ok::<(), parlor::Error>(())
    /// ```
    ///
    /// From document A, whose `message` field is a string.
    pub fn text(&self) -> String {
        #[derive(Deserialize)]
        struct Block {
            #[serde(default)]
            text: Option<String>,
        }
        match self {
            Content::Text(text) => text.clone(),
            Content::Blocks(json) => {
                // Block by block, so that one that cannot be read does not hide the text of the others.
                let blocks: Vec<&RawValue> = serde_json::from_str(json.as_str()).unwrap_or_default();
                let texts =
                    blocks.into_iter().filter_map(|block| serde_json::from_str::<Block>(block.get()).ok()?.text);
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Content::Text(text) => text.len(),
            Content::Blocks(json) => json.as_str().len(),
        }
    }
}

impl Serialize for Content {
    /// A JSON string, or the array of blocks as it was given.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Text(text) => serializer.serialize_str(text),
            Content::Blocks(json) => json.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    /// Through `serde_json` only: a string, or an array of blocks, whose text is kept as it stands there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let json = Json::deserialize(deserializer)?;
        match json.as_str().as_bytes().first() {
            Some(b'"') => serde_json::from_str(json.as_str()).map(Content::Text).map_err(D::Error::custom),
            Some(b'[') => Ok(Content::Blocks(json)),
            _ => Err(D::Error::custom("content is neither a string nor an array of blocks")),
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::Text(text)
    }
}

/// A call of a tool that the agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolCall {
    /// The call's id, which its result repeats as `tool_call_id`.
    pub id: String,
    /// What is called: `function` with today's model APIs.
    pub kind: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, and kept even when it is not.
    pub arguments: String,
}

impl ToolCall {
    /// A call of a function.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        ToolCall { id: id.into(), kind: "function".into(), name: name.into(), arguments: arguments.into() }
    }
}

/// An image that came with a message, stored in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// Its media type, such as `image/png`, where it is known.
    pub media_type: Option<String>,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({:?}, {} bytes)", self.media_type, self.data.len())
    }
}

/// A message as it stands in its session. Never changed once written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The thread it belongs to, if any.
    pub thread_id: Option<ThreadId>,
    /// The turn that wrote it or that it started, if any (`task_id` in document A).
    pub turn_id: Option<TurnId>,
    /// Its place in the session, from 1 without gaps: the order of commit.
    pub number: u32,
    /// Who speaks.
    pub role: Role,
    /// What it is in its turn (`type` in JSON).
    pub kind: MessageType,
    /// What it says, if anything.
    pub content: Option<Content>,
    /// The tool calls it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// On a tool's result: the call it answers.
    pub tool_call_id: Option<String>,
    /// On a tool's result: the tool; else the speaker's name, if any.
    pub name: Option<String>,
    /// The images that came with it.
    pub images: Vec<Image>,
    /// The artifacts it refers to.
    pub artifact_ids: Vec<Uuid>,
    /// Free JSON of the caller's.
    pub metadata: Option<Json>,
    /// Written by the engine in place of a tool that never answered.
    pub synthetic: bool,
    /// Its place on the session's cursor clock.
    pub ts: Ts,
    /// When it was written; within a session never earlier than the message before.
    pub created_at: Timestamp,
}

impl Message {
    /// A message without content, thread or turn, for a store of your own to fill in.
    pub fn new(
        id: MessageId,
        session_id: SessionId,
        number: u32,
        role: Role,
        kind: MessageType,
        ts: Ts,
        created_at: Timestamp,
    ) -> Self {
        Message {
            id,
            session_id,
            thread_id: None,
            turn_id: None,
            number,
            role,
            kind,
            content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
            images: Vec::new(),
            artifact_ids: Vec::new(),
            metadata: None,
            synthetic: false,
            ts,
            created_at,
        }
    }

    /// The text of the content, or nothing: see [`Content::text`].
    pub fn text(&self) -> String {
        self.content.as_ref().map(Content::text).unwrap_or_default()
    }

    /// Bytes of all it carries, as [`NewMessage::size`](super::NewMessage::size) counts them.
    pub fn size(&self) -> usize {
        let texts = [&self.tool_call_id, &self.name];
        let ids = self.artifact_ids.len();
        carried(self.content.as_ref(), &self.tool_calls, &self.images, ids, self.metadata.as_ref(), texts)
    }
}

/// Bytes of all that a message carries.
pub(super) fn carried(
    content: Option<&Content>,
    tool_calls: &[ToolCall],
    images: &[Image],
    artifact_ids: usize,
    metadata: Option<&Json>,
    texts: [&Option<String>; 2],
) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let calls = tool_calls.iter().map(|c| c.id.len() + c.kind.len() + c.name.len() + c.arguments.len());
    let images = images.iter().map(|i| i.data.len() + length(&i.media_type));
    content.map_or(0, Content::len)
        + calls.map(|bytes| bytes + MESSAGE_ITEM_BYTES).sum::<usize>()
        + images.map(|bytes| bytes + MESSAGE_ITEM_BYTES).sum::<usize>()
        + artifact_ids * size_of::<Uuid>()
        + metadata.map_or(0, |json| json.as_str().len())
        + texts.into_iter().map(length).sum::<usize>()
}
