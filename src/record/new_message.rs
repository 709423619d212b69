//! The input that makes a message, and its bounds.

use uuid::Uuid;

use super::{Content, Image, Json, MessageType, Role, ToolCall, Ts};
use crate::error::{Error, ErrorKind, Result};
use crate::id::MessageId;
use crate::limit;

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

    /// What it is (`type` in JSON).
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

    /// Bytes of all it carries; each tool call and each image counts [`limit::MESSAGE_ITEM_BYTES`]
    /// beside what is in it, so that a great many empty ones have a size too.
    pub fn size(&self) -> usize {
        let texts = [&self.tool_call_id, &self.name];
        let ids = self.artifact_ids.len();
        super::message::carried(
            self.content.as_ref(),
            &self.tool_calls,
            &self.images,
            ids,
            self.metadata.as_ref(),
            texts,
        )
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
        if self.tool_calls.len() > limit::MESSAGE_CALLS {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "message has {} tool calls; it may have at most {} (MESSAGE_CALLS)",
                    self.tool_calls.len(),
                    limit::MESSAGE_CALLS
                ),
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
