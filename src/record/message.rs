//! Messages: what they are made of, and the input that makes one.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Json, Ts};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{MessageId, SessionId, ThreadId, TurnId};
use crate::limit;
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

    /// As the documents write it.
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

/// What a message is in its turn (`type` in the documents).
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

    /// As the documents write it.
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
    /// What it is in its turn (`type` in the documents).
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
    /// The text of the content, or nothing: see [`Content::text`].
    pub fn text(&self) -> String {
        self.content.as_ref().map(Content::text).unwrap_or_default()
    }
}

/// The input that makes a message. Made from a string, or step by step:
///
/// ```
/// use parlor::{NewMessage, Role};
///
/// let short: NewMessage = "hello".into();
/// let long = NewMessage::text("hello").role(Role::System).name("setup");
/// assert_eq!(short.role, None); // the operation's own: `user` in a send, `assistant` from an agent
/// assert_eq!(long.role, Some(Role::System));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct NewMessage {
    /// Who speaks; by default `user` in `send` and `append`, `assistant` from an agent.
    pub role: Option<Role>,
    /// What it is; by default `tool_call` for tool results and messages with tool calls,
    /// `final_message` for an agent's answer, else `message`.
    pub kind: Option<MessageType>,
    /// What it says.
    pub content: Option<Content>,
    /// The tool calls it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// On a tool's result: the call it answers. At most [`limit::TOOL_NAME_BYTES`] bytes.
    pub tool_call_id: Option<String>,
    /// The tool's or the speaker's name. At most [`limit::TOOL_NAME_BYTES`] bytes.
    pub name: Option<String>,
    /// Images that come with it.
    pub images: Vec<Image>,
    /// Artifacts it refers to.
    pub artifact_ids: Vec<Uuid>,
    /// Free JSON.
    pub metadata: Option<Json>,
    /// An id of the caller's, where a retry must be safe.
    pub id: Option<MessageId>,
    /// A lower bound for the message's `ts`; below 2^52 − 2^40 µs.
    pub ts: Option<Ts>,
}

impl NewMessage {
    /// A message that says this text.
    pub fn text(text: impl Into<String>) -> Self {
        NewMessage { content: Some(Content::Text(text.into())), ..Self::default() }
    }

    /// A message of content blocks: a JSON array, kept exactly as given.
    pub fn blocks(blocks: impl Into<Json>) -> Self {
        NewMessage { content: Some(Content::Blocks(blocks.into())), ..Self::default() }
    }

    /// An assistant's message that calls tools and says nothing.
    pub fn calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        NewMessage { role: Some(Role::Assistant), tool_calls: calls.into_iter().collect(), ..Self::default() }
    }

    /// The result of a tool call.
    pub fn result(call: &ToolCall, content: impl Into<Content>) -> Self {
        NewMessage {
            role: Some(Role::Tool),
            content: Some(content.into()),
            tool_call_id: Some(call.id.clone()),
            name: Some(call.name.clone()),
            ..Self::default()
        }
    }

    /// Who speaks.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// What it is (`type` in the documents).
    #[must_use]
    pub fn kind(mut self, kind: MessageType) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The tool's or the speaker's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The tool calls it asks for.
    #[must_use]
    pub fn tool_calls(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls = calls.into_iter().collect();
        self
    }

    /// One more image.
    #[must_use]
    pub fn image(mut self, image: Image) -> Self {
        self.images.push(image);
        self
    }

    /// The artifacts it refers to.
    #[must_use]
    pub fn artifacts(mut self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.artifact_ids = ids.into_iter().collect();
        self
    }

    /// Free JSON.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Json>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// An id of the caller's, where a retry must be safe.
    #[must_use]
    pub fn id(mut self, id: impl Into<MessageId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// A lower bound for its `ts`.
    #[must_use]
    pub fn ts(mut self, ts: Ts) -> Self {
        self.ts = Some(ts);
        self
    }

    /// The role, where the operation's own is `default`.
    pub fn role_or(&self, default: Role) -> Role {
        self.role.unwrap_or(default)
    }

    /// The type: as given, else by what the message carries.
    pub fn kind_or_default(&self, role: Role) -> MessageType {
        self.kind.unwrap_or(if role == Role::Tool || !self.tool_calls.is_empty() {
            MessageType::ToolCall
        } else {
            MessageType::Message
        })
    }

    /// Bytes of all it carries; each tool call and each image counts 16 beside what is in it,
    /// so that a great many empty ones have a size too.
    pub fn size(&self) -> usize {
        const ITEM_BYTES: usize = 16;
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let calls = self.tool_calls.iter().map(|c| c.id.len() + c.kind.len() + c.name.len() + c.arguments.len());
        let images = self.images.iter().map(|i| i.data.len() + length(&i.media_type));
        self.content.as_ref().map_or(0, Content::len)
            + calls.map(|bytes| bytes + ITEM_BYTES).sum::<usize>()
            + images.map(|bytes| bytes + ITEM_BYTES).sum::<usize>()
            + self.artifact_ids.len() * size_of::<Uuid>()
            + self.metadata.as_ref().map_or(0, |json| json.as_str().len())
            + length(&self.tool_call_id)
            + length(&self.name)
    }

    /// Checks every bound of a message.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) or [`TooLarge`](ErrorKind::TooLarge), naming the field,
    /// its value and the bound.
    pub fn check(&self) -> Result<()> {
        let size = self.size();
        if size > limit::MESSAGE_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("message has {size} bytes; it may have at most {} (MESSAGE_BYTES)", limit::MESSAGE_BYTES),
            ));
        }
        if let Some(Content::Blocks(json)) = &self.content
            && !json.as_str().starts_with('[')
        {
            return Err(Error::invalid("content blocks are not a JSON array"));
        }
        let calls = self
            .tool_calls
            .iter()
            .flat_map(|c| [("tool call id", &c.id), ("tool call type", &c.kind), ("tool call name", &c.name)]);
        let names = [("tool_call_id", &self.tool_call_id), ("name", &self.name)];
        for (what, text) in calls.chain(names.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?)))) {
            if text.len() > limit::TOOL_NAME_BYTES {
                return Err(Error::invalid(format!(
                    "{what} has {} bytes; it may have at most {}",
                    text.len(),
                    limit::TOOL_NAME_BYTES
                )));
            }
        }
        if let Some(ts) = self.ts
            && ts.as_micros() >= limit::CALLER_TS_MICROS
        {
            return Err(Error::invalid(format!(
                "ts is {} microseconds; it must be below {} (2^52 - 2^40)",
                ts.as_micros(),
                limit::CALLER_TS_MICROS
            )));
        }
        if self.id.is_some_and(|id| id.as_uuid().is_nil()) {
            return Err(Error::invalid("message id is the nil UUID"));
        }
        Ok(())
    }
}

impl From<&str> for NewMessage {
    fn from(text: &str) -> Self {
        NewMessage::text(text)
    }
}

impl From<String> for NewMessage {
    fn from(text: String) -> Self {
        NewMessage::text(text)
    }
}
