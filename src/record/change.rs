//! The change feed: one dense number per event of a session.

use crate::id::{MessageId, TurnId};
use crate::record::TurnState;

/// One event of a session. The events of one operation are consecutive and appear together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its place in the session's feed, from 1 without gaps.
    pub number: u64,
    /// What happened.
    pub kind: ChangeKind,
}

impl Change {
    /// For a store of your own.
    pub const fn new(number: u64, kind: ChangeKind) -> Self {
        Change { number, kind }
    }
}

/// What an event of the change feed tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The session was made.
    Created,
    /// A message was written.
    Message(MessageId),
    /// A message was soft-deleted.
    Deleted(MessageId),
    /// What a soft-deleted message said was erased.
    Purged(MessageId),
    /// A turn came into this state.
    Turn(TurnId, TurnState),
    /// Its transcript begins with the message of this number from now on; with the first where there is none.
    ContextMark(Option<u32>),
    /// The session was archived. It is the last event until the session is restored.
    Archived,
    /// The session was restored from its archive.
    Restored,
    /// What the session says of itself changed: its label, or another field of [`SessionUpdate`](super::SessionUpdate).
    Updated,
}
