//! Fingerprints of inputs: how a retry with the caller's id is told from other content.
//!
//! A fingerprint stands in the file for as long as its row does, so what it is made of is part
//! of the format: the bincode form of the tuples below, hashed to 128 bits.

use xxhash_rust::xxh3::xxh3_128;

use super::convert::{json_text, kind_byte, nanos, role_byte};
use super::{BodyRow, CONFIG, HookRow, Id};
use crate::error::{Error, Result};
use crate::id::{MessageId, SessionId, ThreadId};
use crate::record::{NewMessage, NewSession, NewTurn};

fn digest(inputs: impl bincode::Encode) -> Result<Id> {
    let bytes = bincode::encode_to_vec(inputs, CONFIG)
        .map_err(|source| Error::invalid("inputs cannot be encoded").with_source(source))?;
    Ok(xxh3_128(&bytes).to_le_bytes())
}

fn of_message(new: &NewMessage) -> impl bincode::Encode {
    let role = new.role.map_or(0, role_byte);
    let kind = new.kind.map_or(0, kind_byte);
    (role, kind, BodyRow::of(new), new.id.map(|id| *id.as_uuid().as_bytes()), new.ts.map(|ts| ts.as_micros()))
}

fn of_turn(new: &NewTurn) -> impl bincode::Encode {
    (
        of_message(&new.message),
        new.thread.map(|thread| *thread.as_uuid().as_bytes()),
        json_text(new.user_params.as_ref()),
        json_text(new.profile.as_ref()),
        new.webhook.as_ref().map(HookRow::of),
        new.time_limit.map(nanos),
    )
}

/// Of one message of an append.
pub(in crate::redb) fn of_append(new: &NewMessage, thread: Option<ThreadId>) -> Result<Id> {
    digest((1u8, of_message(new), thread.map(|thread| *thread.as_uuid().as_bytes())))
}

/// Of a send: every input but the policy.
pub(in crate::redb) fn of_send(new: &NewTurn) -> Result<Id> {
    digest((2u8, of_turn(new)))
}

fn of_session(new: &NewSession) -> impl bincode::Encode {
    let texts = [&new.key, &new.label, &new.chat_type, &new.last_channel].map(Option::as_deref);
    let jsons = [&new.origin, &new.metadata, &new.profile].map(|json| json_text(json.as_ref()));
    (texts, jsons)
}

/// Of a new session with its first turn, under an agent.
pub(in crate::redb) fn of_create(agent: u32, new: &NewSession, first: Option<&NewTurn>) -> Result<Id> {
    digest((3u8, agent, of_session(new), first.map(of_turn)))
}

/// Of a session with the messages of another one up to one of them.
pub(in crate::redb) fn of_fork(agent: u32, new: &NewSession, source: SessionId, message: MessageId) -> Result<Id> {
    let (source, message) = (*source.as_uuid().as_bytes(), *message.as_uuid().as_bytes());
    digest((4u8, agent, of_session(new), source, message))
}
