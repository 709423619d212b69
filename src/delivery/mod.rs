//! Announcing the ends of turns: the [`Transport`] that a user gives, and the threads that take the rows of the outbox
//! to it.
//!
//! The rows are in the file. What is kept here says only when which session is to be looked at next; after a crash or a
//! close the next engine with a transport goes on from the file.

mod options;
mod payload;
mod schedule;
#[cfg(feature = "webhook")]
mod webhook;
mod worker;

pub use options::DeliveryOptions;
#[cfg(feature = "webhook")]
pub use webhook::{Addresses, Schemes, WebhookTransport};
pub(crate) use worker::Courier;
#[cfg(test)]
pub(crate) use worker::NO_THREADS;

use std::fmt;

use crate::id::{SessionId, TurnId, WorkspaceId};
use crate::record::{TurnState, Webhook};
use crate::time::Timestamp;

/// Takes announcements to where they are to go.
///
/// It is called on threads of the engine's, for one session at a time and in the order of its ends, for
/// several sessions at once. An `Ok` means that the announcement arrived. It may be asked to deliver the same one again,
/// after a crash or where the answer was lost: the receiver tells by the turn. A panic is a failure.
/// [`Engine::close`](crate::Engine::close) waits for it no longer than the grace period, so it should have a time limit.
///
/// A function is one:
///
/// ```
/// use std::sync::mpsc::channel;
///
/// use parlor::{Delivery, Engine, NewTurn, Webhook};
///
/// # fn main() -> parlor::Result<()> {
/// let (announced, announcements) = channel();
/// let engine = Engine::in_memory()
///     .agent_fn("echo", |turn| Ok(turn.input().text()))
///     .transport(move |delivery: &Delivery| {
///         announced.send(delivery.body.clone()).map_err(|_| "nobody listens".into())
///     })
///     .open()?;
/// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
/// let webhook = Webhook { url: "https://example.org".into(), token: None, secret: None, include_messages: false };
/// session.send(NewTurn::from("hello").webhook(webhook))?;
/// assert!(announcements.recv().unwrap().contains(r#""response":"hello""#));
/// # engine.close()
/// # }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Delivers it.
    ///
    /// # Errors
    ///
    /// Whatever kept it from arriving. It is tried again, as the [`DeliveryOptions`] say.
    fn deliver(&self, delivery: &Delivery) -> Result<(), DeliveryError>;
}

impl<F> Transport for F
where
    F: Fn(&Delivery) -> Result<(), DeliveryError> + Send + Sync + 'static,
{
    fn deliver(&self, delivery: &Delivery) -> Result<(), DeliveryError> {
        self(delivery)
    }
}

/// The end of a turn on its way.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// The workspace of the session.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The turn that ended. It names the announcement: all tries have the same.
    pub turn_id: TurnId,
    /// How it ended.
    pub status: TurnState,
    /// The how manieth try it is, from 1 on.
    pub attempt: u32,
    /// When it is tried.
    pub at: Timestamp,
    /// Where to.
    pub webhook: Webhook,
    /// What to say: JSON with `session_id`, `turn_id`, `status`, `response` (the text of the final message, or null),
    /// `error` (the reason, and what there is to say about it, or null) and, where they were asked for, `messages`: those of
    /// the turn, without their images. Over [`limit::DELIVERY_BYTES`](crate::limit::DELIVERY_BYTES) of messages there is
    /// `messages_omitted: true` in their place.
    pub body: String,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("session_id", &self.session_id)
            .field("turn_id", &self.turn_id)
            .field("status", &self.status)
            .field("attempt", &self.attempt)
            .field("webhook", &self.webhook)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

/// Why an announcement did not arrive. Its text is kept with the row, so it must tell no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryError {
    text: String,
    again: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Later,
    Never,
}

impl DeliveryError {
    /// A failure that may pass.
    pub fn new(text: impl Into<String>) -> Self {
        DeliveryError { text: text.into(), again: Again::Later }
    }

    /// One that trying again cannot change, such as an address that is none: the announcement is dead at once.
    pub fn permanent(text: impl Into<String>) -> Self {
        DeliveryError { text: text.into(), again: Again::Never }
    }

    /// Whether trying again cannot change it.
    pub fn is_permanent(&self) -> bool {
        self.again == Again::Never
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DeliveryError {}

impl From<&str> for DeliveryError {
    fn from(text: &str) -> Self {
        DeliveryError::new(text)
    }
}

impl From<String> for DeliveryError {
    fn from(text: String) -> Self {
        DeliveryError::new(text)
    }
}
