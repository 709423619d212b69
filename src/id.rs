//! Ids: one newtype a thing, UUIDv7 where the engine makes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::sync::random;
use crate::time::Timestamp;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// From a UUID of the caller's.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                $name(uuid)
            }

            /// The UUID itself.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Uuid::try_parse(text).map($name).map_err(|source| {
                    Error::unreadable($what, text, "a UUID").with_source(source)
                })
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                $name(uuid)
            }
        }
    };
}

id!(
    /// A workspace: the wall between tenants.
    WorkspaceId, "workspace id"
);
id!(
    /// An agent of a workspace.
    AgentId, "agent id"
);
id!(
    /// A session: one conversation of one agent (`chat_id` in document A).
    SessionId, "session id"
);
id!(
    /// A thread: one exchange in a session (`chat_thread_id` in document A).
    ThreadId, "thread id"
);
id!(
    /// A message of a session.
    MessageId, "message id"
);
id!(
    /// A turn: one run of the agent (`task_id` in document A).
    TurnId, "turn id"
);
id!(
    /// An access key; no secret.
    KeyId, "access key id"
);
id!(
    /// The incarnation of a process that owns claims: made anew at every open.
    OwnerId, "owner id"
);

/// When an operation happens and what its ids are made of.
///
/// Every writing operation of a [`Store`](crate::store::Store) carries one, so a store needs
/// neither clock nor randomness: the same operations give the same rows in every store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The wall time of the operation.
    pub at: Timestamp,
    seed: u64,
}

impl Stamp {
    /// A stamp from a time and 61 random bits; the rest of the seed is not used.
    pub const fn new(at: Timestamp, seed: u64) -> Self {
        Stamp { at, seed }
    }

    /// A stamp of this time, with fresh randomness.
    pub fn random(at: Timestamp) -> Self {
        Stamp { at, seed: random() }
    }

    /// The `n`-th id of this operation: a UUIDv7 of its time, rising with every `n`.
    ///
    /// Ids of one operation differ always; those of two within a millisecond as their seeds do.
    ///
    /// ```
    /// use parlor::{Timestamp, id::Stamp};
    ///
    /// let stamp = Stamp::new(Timestamp::from_micros(1_777_573_302_000_000), 7);
    /// assert_eq!(stamp.uuid(0).get_version_num(), 7);
    /// assert!(stamp.uuid(0) < stamp.uuid(1));
    /// ```
    pub fn uuid(&self, n: u32) -> Uuid {
        // A UUIDv7 has 74 bits beside its time, in pieces of 12 and 62. The seed is the upper
        // 62 of them, its first bit 0 so that the count below, running over, has room to carry.
        let bits = (u128::from(self.seed & (u64::MAX >> 3)) << 12) + u128::from(n);
        let (high, low) = ((bits >> 62) as u16, bits as u64 & (u64::MAX >> 2));
        let mut random = [0; 10];
        random[..2].copy_from_slice(&high.to_be_bytes());
        random[2..].copy_from_slice(&low.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(self.at.as_millis(), &random).into_uuid()
    }
}
