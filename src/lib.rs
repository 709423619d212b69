//! parlor keeps agent conversations inside the application that has them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod error;
pub mod id;
pub mod limit;
#[cfg(feature = "testkit")]
mod model;
pub mod page;
pub mod record;
pub mod store;
mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;

pub use error::{Error, ErrorKind, Result};
pub use record::{
    AgentRecord, Change, ChangeKind, Content, Image, Json, Message, MessageType, NewMessage, NewSession, NewTurn,
    Reason, Role, SessionRecord, SessionStatus, ThreadRecord, Ts, Turn, TurnState, Webhook, WebhookRow,
    WorkspaceRecord,
};
pub use time::{Clock, SystemClock, Timestamp};
