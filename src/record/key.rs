//! Access keys: what is known of them, and what they reach.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use super::Secret;
use super::session::check_chars;
use crate::error::{Error, Result};
use crate::id::{AgentId, KeyId, WorkspaceId};
use crate::limit;
use crate::time::Timestamp;

/// What an agent key may do with its agent: a set that always has [`READ`](Scopes::READ).
///
/// ```
/// use parlor::Scopes;
///
/// let scopes = Scopes::CHAT | Scopes::MANAGE;
/// assert!(scopes.contains(Scopes::CHAT) && scopes.contains(Scopes::READ));
/// assert_eq!(scopes.names().collect::<Vec<_>>(), ["agent:read", "chat", "agent:manage"]);
/// assert_eq!("chat".parse::<Scopes>()?, Scopes::CHAT);
/// # Ok::<(), parlor::Error>(())
/// ```
///
/// From document B.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// `agent:read`: the agent's record.
    pub const READ: Scopes = Scopes(1);
    /// `chat`: create sessions, send to them by any policy, read messages and turns, wait, interrupt.
    pub const CHAT: Scopes = Scopes(1 | 2);
    /// `agent:manage`: create, find, list, change, write to, fork, archive and delete the agent's sessions, read their history, and do all that is
    /// done with its archives.
    pub const MANAGE: Scopes = Scopes(1 | 4);
    /// All of them.
    pub const ALL: Scopes = Scopes(1 | 2 | 4);

    const NAMES: [(&'static str, Scopes); 3] =
        [("agent:read", Scopes::READ), ("chat", Scopes::CHAT), ("agent:manage", Scopes::MANAGE)];

    /// Whether all of these are among them.
    pub const fn contains(self, scopes: Scopes) -> bool {
        self.0 & scopes.0 == scopes.0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, scope)| self.contains(*scope)).map(|(name, _)| name)
    }

    /// The scopes as bits, for a store: `agent:read` 1, `chat` 2, `agent:manage` 4.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The scopes of these bits.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for bits that no scopes have.
    pub fn from_bits(bits: u8) -> Result<Self> {
        if bits & 1 == 1 && bits & !Scopes::ALL.0 == 0 {
            return Ok(Scopes(bits));
        }
        Err(Error::invalid(format!(
            "scopes are {bits:#b}; their lowest bit must be set, and none but the lowest three"
        )))
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Scopes::READ
    }
}

impl BitOr for Scopes {
    type Output = Scopes;

    fn bitor(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }
}

impl FromStr for Scopes {
    type Err = Error;

    /// One scope by its name.
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        let known = "agent:read, chat or agent:manage";
        found.map(|(_, scope)| scope).ok_or_else(|| Error::unreadable("scope", text, known))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What is known of an access key: all but its secret.
///
/// From document B.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// The workspace it opens, or whose agent it opens.
    pub workspace_id: WorkspaceId,
    /// The agent it opens; none for a master key, which opens the whole workspace.
    pub agent_id: Option<AgentId>,
    /// What it may do; all scopes for a master key.
    pub scopes: Scopes,
    /// Its label, if any.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing, if ever.
    pub expires_at: Option<Timestamp>,
}

impl KeyRecord {
    /// A master key that never expires, for a store of your own to fill in.
    pub fn new(id: KeyId, workspace_id: WorkspaceId, created_at: Timestamp) -> Self {
        KeyRecord { id, workspace_id, agent_id: None, scopes: Scopes::ALL, label: None, created_at, expires_at: None }
    }

    /// Whether it opens a whole workspace.
    pub fn is_master(&self) -> bool {
        self.agent_id.is_none()
    }

    /// Whether it opens nothing any more at this time.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// The input that makes an access key. Everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewKey {
    /// At most 255 characters.
    pub label: Option<String>,
    /// From when on it opens nothing; by default it never expires.
    pub expires_at: Option<Timestamp>,
}

impl NewKey {
    /// Its label: at most 255 characters.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// From this time of the engine's clock on it opens nothing.
    #[must_use]
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the field, its value and the bound.
    pub fn check(&self) -> Result<()> {
        match &self.label {
            Some(label) => check_chars("access key label", label, 0, limit::LABEL_CHARS),
            None => Ok(()),
        }
    }
}

/// An access key that was just made: what is known of it, and its secret, which is to be had this once.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedKey {
    /// What is known of it.
    pub record: KeyRecord,
    /// What opens: to be handed to who is to have it.
    pub secret: Secret,
}

impl IssuedKey {
    pub(crate) fn new(record: KeyRecord, secret: Secret) -> Self {
        IssuedKey { record, secret }
    }
}
