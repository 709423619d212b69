//! What is stored and what is given: records with public fields, and their `New*` inputs.

mod agent;
mod archive;
mod call_json;
mod change;
mod json;
mod key;
mod mark;
mod message;
mod new_message;
mod secret;
mod session;
mod session_update;
mod ts;
mod turn;
mod usage;
mod webhook;

pub use agent::NewAgent;
pub(crate) use agent::check_label;
pub use archive::ArchiveRecord;
pub(crate) use call_json::CallJson;
pub use change::{Change, ChangeKind};
pub use json::Json;
pub use key::{IssuedKey, KeyRecord, NewKey, Scopes};
pub use mark::ContextMark;
pub use message::{Content, Image, Message, MessageType, Role, ToolCall};
pub use new_message::NewMessage;
#[cfg(feature = "testkit")]
pub(crate) use secret::check_secret;
pub(crate) use secret::{KeyKind, Presented};
pub use secret::{Secret, SecretHash};
pub use session::{AgentRecord, ForkedFrom, NewSession, SessionRecord, SessionStatus, ThreadRecord, WorkspaceRecord};
pub(crate) use session::{check_json, check_name};
pub use session_update::SessionUpdate;
pub use ts::Ts;
pub(crate) use turn::check_time_limit;
pub use turn::{NewTurn, Reason, Turn, TurnState};
pub use usage::Usage;
pub use webhook::{Webhook, WebhookRow, WebhookSecrets, WebhookState};
