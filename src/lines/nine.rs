//! Lines of nine keys: a message each, sessions whole and one after the other.

use super::list::message_of;
use super::{Fields, Unknown};
use crate::error::Result;
use crate::record::{MessageType, NewMessage, Role};

/// A message of a session.
pub(crate) struct Nine {
    /// What the session is called.
    pub(crate) session: String,
    /// Its place there, from 0.
    pub(crate) seq: u64,
    pub(crate) message: NewMessage,
}

/// Whether they are those of such a line.
pub(crate) fn is_nine(fields: &Fields<'_>) -> bool {
    ["session", "seq", "role"].iter().all(|name| fields.has(name))
}

impl Nine {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let (session, seq): (String, u64) = (fields.need("session")?, fields.need("seq")?);
        let (role, kind) = (fields.need::<Role>("role")?, fields.need::<MessageType>("type")?);
        let ts = fields.may("ts")?;
        let message = NewMessage { ts, ..message_of(&mut fields, unknown)?.role(role).kind(kind) };
        let line = fields.line();
        message.check().map_err(|error| super::at(line, error))?;
        fields.rest(unknown);
        Ok(Nine { session, seq, message })
    }
}
