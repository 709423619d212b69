//! Inputs of the operations on messages.

use super::SessionRef;
use crate::id::{MessageId, Stamp, ThreadId};
use crate::record::NewMessage;

/// Input of [`Store::append`](super::Store::append). Without a caller's, the `n`-th message's id is the stamp's id `n`.
#[derive(Debug, Clone)]
pub struct Append {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// A thread of it for all of them.
    pub thread: Option<ThreadId>,
    /// The messages: at least one.
    pub messages: Vec<NewMessage>,
}

/// Input of [`Store::delete_message`](super::Store::delete_message).
#[derive(Debug, Clone, Copy)]
pub struct DeleteMessage {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The message.
    pub message: MessageId,
}

/// Input of [`Store::purge`](super::Store::purge).
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// One message of it; with none, all that are soft-deleted.
    pub message: Option<MessageId>,
}
