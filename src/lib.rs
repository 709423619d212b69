//! parlor keeps agent conversations inside the application that has them: sessions, threads,
//! messages and turns in one file, with the threads that run the agents. No server, no async
//! runtime, no account.
//!
//! # The words
//!
//! An [`Engine`] is an open file and the one owner of it. In the file, a [`Workspace`] is the wall
//! between tenants: nothing is reached across it. An [`AgentHandle`] stands for an agent of the workspace,
//! a name whose behaviour is an [`Agent`] of yours, registered when the engine opens. A [`Session`]
//! is one conversation of that agent. Sending to it writes a [`Message`], opens a [`Thread`] for it and
//! starts a turn: one run of the agent, held by a [`TurnHandle`], which ends exactly once as *completed*,
//! *interrupted* or *failed*.
//!
//! ```
//! use parlor::{Engine, NewSession};
//!
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("support.parlor");
//! let engine = Engine::builder(&path).agent_fn("greeter", |turn| Ok(format!("Hello, {}!", turn.input().text()))).open()?;
//! let session = engine.workspace("acme")?.agent("greeter")?.create_session(NewSession::default())?;
//! assert_eq!(session.send("Ada")?.wait()?.text(), "Hello, Ada!");
//! engine.close()
//! # }
//! ```
//!
//! What a call returns is on disk: a process may die at any moment after it. Every handle is cheap,
//! can be cloned and sent to other threads, and can be made again from its id.
//!
//! # Cookbook
//!
//! **Begin a conversation with what was said before.** [`Session::append`] writes without a turn:
//!
//! ```
//! # use parlor::{Engine, NewMessage, NewSession, Role};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("greeter", |_| Ok("Hi")).open()?;
//! # let agent = engine.workspace("acme")?.agent("greeter")?;
//! let session = agent.create_session(NewSession::default().key("telegram:42").label("Ada"))?;
//! session.append([NewMessage::text("Be brief.").role(Role::System)])?;
//! assert_eq!(agent.session_by_key("telegram:42")?.id(), session.id());
//! # engine.close()
//! # }
//! ```
//!
//! **Interrupt what is running.** A busy session refuses [`Session::send`]; [`Session::follow_up`] takes the running
//! turn's place instead, in the commit that accepts the new message. The old agent learns of it when it next
//! writes or asks:
//!
//! ```
//! # use std::sync::{Arc, Barrier};
//! # use parlor::{Engine, NewSession, TurnState};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let (begun, go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
//! # let gates = (begun.clone(), go.clone());
//! # let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("writer", move |turn| {
//! #     if turn.input().text() == "a novel" {
//! #         gates.0.wait();
//! #         gates.1.wait();
//! #     }
//! #     turn.check()?;
//! #     Ok("done")
//! # }).open()?;
//! # let session = engine.workspace("acme")?.agent("writer")?.create_session(NewSession::default())?;
//! let novel = session.send("a novel")?;
//! # begun.wait();
//! assert!(session.send("a poem").unwrap_err().is_conflict());
//! let poem = session.follow_up("a poem")?;
//! # go.wait();
//! assert_eq!(novel.wait()?.state(), TurnState::Interrupted);
//! assert_eq!(poem.wait()?.text(), "done");
//! # engine.close()
//! # }
//! ```
//!
//! **Use tools.** What an agent writes on its way is on disk when the call returns, and refused once the turn
//! was interrupted; `?` then leaves the agent. A call left open gets a result that says why:
//!
//! ```
//! # use parlor::{Engine, NewSession};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let engine = Engine::builder(dir.path().join("a.parlor"))
//!     .agent_fn("weather", |turn| {
//!         let call = turn.tool_call("forecast", r#"{"city": "Kyoto"}"#)?;
//!         turn.tool_result(&call, "rain")?;
//!         Ok("Take an umbrella.")
//!     })
//!     .open()?;
//! # let session = engine.workspace("acme")?.agent("weather")?.create_session(NewSession::default())?;
//! # session.send("Kyoto?")?.wait()?;
//! # assert_eq!(session.history(10)?.len(), 4);
//! # engine.close()
//! # }
//! ```
//!
//! **Retry safely.** With an id of yours, a call that is repeated answers with what the first one did:
//!
//! ```
//! # use parlor::{Engine, NewMessage, NewSession, id::MessageId};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("greeter", |_| Ok("Hi")).open()?;
//! # let session = engine.workspace("acme")?.agent("greeter")?.create_session(NewSession::default())?;
//! let hello = NewMessage::text("hello").id(uuid::Uuid::now_v7());
//! let turn = session.send(hello.clone())?;
//! assert_eq!(session.send(hello)?.id(), turn.id());
//! # turn.wait()?;
//! # engine.close()
//! # }
//! ```
//!
//! **Wait, on a thread or in a task.** [`TurnHandle::wait`] blocks, [`TurnHandle::wait_timeout`] gives up, and the
//! handle is a future for any executor. Dropping it cancels nothing:
//!
//! ```
//! # use parlor::{Engine, NewSession};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("greeter", |_| Ok("Hi")).open()?;
//! # let session = engine.workspace("acme")?.agent("greeter")?.create_session(NewSession::default())?;
//! # pollster::block_on(async {
//! let report = session.send("hello")?.await?;
//! assert_eq!(report.text(), "Hi");
//! # parlor::Result::Ok(())
//! # })?;
//! # engine.close()
//! # }
//! ```
//!
//! **Read what is new, once.** A page links to what comes after it, and the link loses nothing, however many
//! write and whatever the clock does; see [`page`]:
//!
//! ```
//! # use parlor::{Engine, NewSession, page::MessageQuery};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("greeter", |_| Ok("Hi")).open()?;
//! # let session = engine.workspace("acme")?.agent("greeter")?.create_session(NewSession::default())?;
//! let mut page = session.messages(MessageQuery::all()).page()?;
//! for text in ["hello", "again"] {
//!     session.send(text)?.wait()?;
//!     page = session.messages(page.new_messages.query).page()?;
//!     assert_eq!(page.items.len(), 2); // the question and its answer
//! }
//! # engine.close()
//! # }
//! ```
//!
//! **Hear what happens, as it happens.** [`Session::follow`] tells every event after a number, each once, and
//! waits for more; [`Workspace::watch`] tells which sessions changed. Both block, take a time-out, or are
//! polled by a task:
//!
//! ```
//! # use parlor::{ChangeKind, Engine, NewSession};
//! # fn main() -> parlor::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("greeter", |_| Ok("Hi")).open()?;
//! let workspace = engine.workspace("acme")?;
//! let mut watch = workspace.watch();
//! # let session = workspace.agent("greeter")?.create_session(NewSession::default())?;
//! session.send("hello")?;
//! let changed = watch.next().expect("the engine is open")?;
//! let mut follow = workspace.session(changed.session)?.follow(0);
//! assert_eq!(follow.next().expect("the engine is open")?.kind, ChangeKind::Created);
//! # engine.close()
//! # }
//! ```
//!
//! **Go on after a crash.** Opening the file ends what a dead process left running, once, as *failed*;
//! [`Engine::recovered`] names those turns. The users' messages are all there.
//!
//! **Answer an HTTP API.** [`wire`] has the JSON; [`Error::http`] the status.
//!
//! # Rules that hold everywhere
//!
//! * An [`Error`] means that nothing was written; [`ErrorKind::OutcomeUnknown`] alone excepted.
//! * A value out of bounds is refused with an error that names it; every bound is in [`limit`].
//! * Sizes of text are in characters (Unicode scalar values) where people write it, else in bytes.
//! * Wall time never decides an order. It comes from a [`Clock`] that a test can drive.
//! * Records and errors may gain fields and kinds: they are `#[non_exhaustive]`.
//!
//! Some items end with *From document A* (B, C): parlor follows three descriptions of hosted systems, and
//! differs where they lose something. A has sessions with threads, cursor polling and follow-ups; B manages an
//! agent's sessions by key; C runs turns in the background. Nobody needs to have read them.
//!
//! # Features
//!
//! Off by default are:
//!
//! * `stream`: [`Follow`] and [`Watch`] as `futures_core::Stream`.
//! * `tracing`: a span for each turn and for each write of the store, with the field names of OpenTelemetry's conventions for
//!   generative AI and for databases. No content, no secrets.
//! * `webhook`: `WebhookTransport`, which announces the ends of turns over HTTP.
//! * `testkit`: the reference store, the conformance suite for a
//!   [`Store`](store::Store) of your own, and what tests of them need.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::fn_params_excessive_bools))]

/// The first screen, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod agent;
mod bell;
mod bug;
mod delivery;
mod engine;
pub mod error;
mod executor;
mod follow;
mod grant;
mod here;
pub mod id;
pub mod limit;
mod lines;
mod live;
#[cfg(feature = "testkit")]
mod model;
pub mod page;
mod poll;
mod progress;
pub mod record;
mod redb;
mod scope;
mod shared;
pub mod store;
mod sync;
mod tail;
#[cfg(feature = "testkit")]
#[allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub mod testkit;
pub mod time;
mod trace;
pub mod transcript;
mod wait;
mod watch;
pub mod wire;

pub use agent::{Agent, AgentResult, CancelToken, Reply, TurnContext, agent_fn};
#[cfg(feature = "webhook")]
pub use delivery::{Addresses, Schemes, WebhookTransport};
pub use delivery::{Delivery, DeliveryError, DeliveryOptions, Transport};
pub use engine::{Builder, CloseReport, Durability, Engine, FileStats, Retention, RetentionReport, Stats, TableStats};
pub use error::{Error, ErrorKind, Result};
pub use executor::{Hook, TurnEnd};
pub use follow::{Delta, Follow, Live, LiveFeed};
pub use lines::{ExportReport, ImportOptions, ImportReport, OnConflict};
pub use progress::{OnProgress, Progress};
pub use record::{
    AgentRecord, ArchiveRecord, Change, ChangeKind, Content, ContextMark, ForkedFrom, Image, IssuedKey, Json,
    KeyRecord, Message, MessageType, NewAgent, NewKey, NewMessage, NewSession, NewTurn, Reason, Role, Scopes, Secret,
    SessionRecord, SessionStatus, SessionUpdate, ThreadRecord, ToolCall, Ts, Turn, TurnState, Usage, Webhook,
    WebhookRow, WebhookSecrets, WebhookState, WorkspaceRecord,
};
pub use scope::{Access, AgentHandle, Archive, Listing, MessageIter, PageQuery, Session, Thread, Workspace};
pub use store::{ImportIds, Policy, QueueBounds, Stopped, Waiting};
pub use time::{Clock, SystemClock, Timestamp};
pub use transcript::TranscriptMessage;
pub use wait::{Idle, TurnHandle, TurnReport};
pub use watch::{Watch, Watched};
