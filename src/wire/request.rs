//! What clients ask for, as it comes: bodies to deserialize.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::chat::Call;
use crate::error::{Error, Result};
use crate::limit;
use crate::record::{Content, Image, Json, NewMessage, NewTurn, Role, SessionUpdate, ToolCall, Webhook};

/// A message to a session: `{ "content": "hello" }` is enough. Fields that are not known are passed over.
///
/// From document C.
///
/// ```
/// let body = r#"{ "content": "hello", "user_params": { "plan": "free" } }"#;
/// let request: parlor::wire::MessageRequest = serde_json::from_str(body).unwrap();
/// let turn = request.into_turn()?;
/// assert_eq!(turn.user_params.unwrap().as_str(), r#"{ "plan": "free" }"#);
/// # Ok::<(), parlor::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MessageRequest {
    /// What it says: text or content blocks, or null.
    pub content: Option<Content>,
    /// Who speaks; the user where it is not said.
    pub role: Option<Role>,
    /// Handed to the agent, or null.
    pub user_params: Option<Json>,
    /// Where to announce the end of its turn, or null.
    pub webhook: Option<WebhookRequest>,
    /// The tool calls it asks for, or null.
    pub tool_calls: Option<Vec<Call>>,
    /// The call that it answers, or null.
    pub tool_call_id: Option<String>,
    /// The tool's or the speaker's name, or null.
    pub name: Option<String>,
    /// An image in base64, as it is or as a `data:` URL, or null.
    pub base64_image: Option<String>,
}

/// The webhook of a [`MessageRequest`].
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct WebhookRequest {
    /// Where to.
    pub url: String,
    /// What the announcement shows as its bearer token, or null.
    #[serde(default)]
    pub token: Option<String>,
    /// What the announcement is signed with, or null.
    #[serde(default)]
    pub secret: Option<String>,
    /// Whether the turn's messages go along.
    #[serde(default)]
    pub include_messages: bool,
}

impl std::fmt::Debug for WebhookRequest {
    /// Without token and secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

impl MessageRequest {
    /// What [`Session::send`](crate::Session::send) takes.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an image that is no base64,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for one over a message's bound.
    pub fn into_turn(self) -> Result<NewTurn> {
        let message = NewMessage {
            content: self.content,
            role: self.role,
            tool_calls: self.tool_calls.unwrap_or_default().into_iter().map(ToolCall::from).collect(),
            tool_call_id: self.tool_call_id,
            name: self.name,
            images: self.base64_image.as_deref().map(image).transpose()?.into_iter().collect(),
            ..NewMessage::default()
        };
        let webhook = self.webhook.map(|webhook| {
            let WebhookRequest { url, token, secret, include_messages } = webhook;
            Webhook { url, token, secret, include_messages }
        });
        Ok(NewTurn { user_params: self.user_params, webhook, ..NewTurn::from(message) })
    }
}

/// An image as it comes: base64, as it is or as a `data:` URL.
fn image(text: &str) -> Result<Image> {
    let wrong = |what: &str| Error::invalid(format!("base64_image is {what}"));
    let (media_type, encoded) = match text.strip_prefix("data:") {
        None => (None, text),
        Some(url) => {
            let (head, data) = url.split_once(',').ok_or_else(|| wrong("a data URL without data"))?;
            let media_type = head.strip_suffix(";base64").ok_or_else(|| wrong("a data URL without base64"))?;
            (Some(media_type.to_owned()).filter(|media_type| !media_type.is_empty()), data)
        }
    };
    let most = limit::MESSAGE_BYTES;
    if encoded.len() / 4 * 3 > most + 2 {
        let text = format!("base64_image has {} characters, more than a message of {most} bytes", encoded.len());
        return Err(Error::new(crate::error::ErrorKind::TooLarge, text));
    }
    let data = STANDARD.decode(encoded).map_err(|error| wrong("no base64").with_source(error))?;
    Ok(Image { media_type, data })
}

/// Which messages of a session are asked for. [`limit`](Self::limit) is for [`Session::history`](crate::Session::history).
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoryRequest {
    /// The session's key.
    pub session_key: String,
    /// How many, 1 to 1,000; as many where it is not said.
    #[serde(default = "most_history")]
    pub limit: u32,
}

fn most_history() -> u32 {
    limit::HISTORY_LIMIT_MAX
}

/// A session's new name. A label that is null or absent clears the one it has.
///
/// From document B.
///
/// ```
/// let request: parlor::wire::RenameRequest = serde_json::from_str(r#"{ "key": "telegram:42" }"#).unwrap();
/// assert_eq!(request.update().label, Some(None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RenameRequest {
    /// The session's key.
    pub key: String,
    /// At most 255 characters, or null.
    #[serde(default)]
    pub label: Option<String>,
}

impl RenameRequest {
    /// What [`Session::update`](crate::Session::update) takes.
    pub fn update(self) -> SessionUpdate {
        SessionUpdate { label: Some(self.label), ..SessionUpdate::default() }
    }
}

/// A session to be archived or deleted.
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct KeyRequest {
    /// The session's key.
    pub key: String,
}

/// An archive to be restored, or deleted, which takes no label.
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ArchiveRequest {
    /// What the archive is called.
    pub filename: String,
    /// The session's new label, at most 255 characters; the one it had where it is not said.
    #[serde(default)]
    pub label: Option<String>,
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Given {
            id: String,
            #[serde(rename = "type", default = "function")]
            kind: String,
            function: GivenFunction,
        }
        #[derive(Deserialize)]
        struct GivenFunction {
            name: String,
            #[serde(default)]
            arguments: String,
        }
        fn function() -> String {
            "function".to_owned()
        }
        let Given { id, kind, function } = Given::deserialize(deserializer)?;
        let function = super::Function { name: function.name, arguments: function.arguments };
        Ok(Call { id, kind, function })
    }
}

impl From<Call> for ToolCall {
    fn from(call: Call) -> Self {
        let Call { id, kind, function } = call;
        ToolCall { id, kind, name: function.name, arguments: function.arguments }
    }
}
