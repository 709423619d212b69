//! parlor keeps agent conversations inside the application that has them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod agent;
mod bell;
mod engine;
pub mod error;
mod executor;
pub mod id;
pub mod limit;
#[cfg(feature = "testkit")]
mod model;
pub mod page;
pub mod record;
mod redb;
mod scope;
mod shared;
pub mod store;
mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
mod wait;
pub mod wire;

pub use agent::{Agent, AgentResult, Reply, TurnContext, agent_fn};
pub use engine::{Builder, Engine};
pub use error::{Error, ErrorKind, Result};
pub use record::{
    AgentRecord, Change, ChangeKind, Content, Image, Json, Message, MessageType, NewMessage, NewSession, NewTurn,
    Reason, Role, SessionRecord, SessionStatus, ThreadRecord, ToolCall, Ts, Turn, TurnState, Webhook, WebhookRow,
    WorkspaceRecord,
};
pub use scope::{AgentHandle, Listing, MessageIter, PageQuery, Session, Thread, Workspace};
pub use time::{Clock, SystemClock, Timestamp};
pub use wait::{TurnHandle, TurnReport};
