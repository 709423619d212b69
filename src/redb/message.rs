//! Verbs of messages: append without a turn, soft-delete, get.

use std::collections::BTreeSet;

use super::codec::{self, ChangeRow, HeadRow, Id, MessageRow};
use super::draft::{Draft, Incoming, Within};
use super::place;
use super::tables::{Table, rows};
use super::view::{self, Read};
use super::write_set::WriteSet;
use crate::error::{Error, Result};
use crate::id::{MessageId, SessionId, Stamp, ThreadId};
use crate::record::{Message, NewMessage, Role};
use crate::store::{Append, DeleteMessage, SessionRef};

/// A message by its number.
pub(super) fn read(view: &dyn Read, session: u32, id: SessionId, number: u32) -> Result<Message> {
    row(view, session, number, |row| row.record(id, number))
}

/// Calls `each` with the messages of these numbers, which rise.
pub(super) fn each(
    view: &dyn Read,
    session: u32,
    id: SessionId,
    numbers: &[u32],
    mut each: impl FnMut(u32, Result<Message>) -> Result<()>,
) -> Result<()> {
    view.messages(session, numbers, &mut |number, value| {
        let key = rows::numbered(session, rows::Kind::Message, number);
        let row = value.and_then(|value| {
            codec::decode::<MessageRow<'_>>(Table::Rows, &key, value.ok_or_else(|| view::missing("message", &key))?)
        });
        each(number, row.and_then(|row| row.record(id, number)))
    })
}

/// What `read` takes from a message's row.
pub(super) fn row<T>(
    view: &dyn Read,
    session: u32,
    number: u32,
    read: impl FnOnce(&MessageRow<'_>) -> Result<T>,
) -> Result<T> {
    let key = rows::numbered(session, rows::Kind::Message, number);
    view.row(Table::Rows, &key, |value| read(&codec::decode(Table::Rows, &key, value)?))?
        .ok_or_else(|| view::missing("message", &key))
}

/// A message by its id.
pub(super) fn get(view: &dyn Read, at: SessionRef, id: MessageId) -> Result<Message> {
    let session = place::session(view, at)?;
    let number = place::message(view, session, id)?;
    read(view, session, at.session, number)
}

/// Soft-deletes a message.
pub(super) fn delete(view: &dyn Read, op: &DeleteMessage) -> Result<(WriteSet, ())> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let number = place::message(view, draft.place.number, op.message)?;
    let thread = row(view, draft.place.number, number, |row| Ok(row.thread_number))?;
    draft.positions.delete(number, thread)?;
    let id = Some(*op.message.as_uuid().as_bytes());
    draft.change(ChangeRow { kind: codec::CHANGE_DELETED, number, id, state: 0 })?;
    Ok((draft.seal()?, ()))
}

/// Writes messages without a turn.
pub(super) fn append(view: &dyn Read, op: &Append) -> Result<(WriteSet, Vec<Message>)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    check_ids(&op.messages)?;
    if let Some(originals) = originals(&draft, op)? {
        return Ok((WriteSet::default(), originals));
    }
    let thread = named_thread(&draft, op.thread)?;
    check_idle(&draft.head, op.at.session)?;
    let mut written = Vec::with_capacity(op.messages.len());
    for (new, id) in op.messages.iter().zip(ids(&op.messages, op.stamp)) {
        let role = new.role_or(Role::User);
        written.push(draft.message(&Incoming {
            new,
            id,
            role,
            kind: new.kind_or_default(role),
            thread,
            turn: None,
            synthetic: false,
            fingerprint: new.id.map(|_| codec::of_append(new, op.thread)).transpose()?,
        })?);
    }
    Ok((draft.seal()?, written))
}

/// The ids of a batch: the caller's where there is one, else the stamp's of that place.
pub(super) fn ids(messages: &[NewMessage], stamp: Stamp) -> impl Iterator<Item = Id> {
    let id = move |(n, new): (u32, &NewMessage)| new.id.map_or_else(|| stamp.uuid(n), |id| *id.as_uuid());
    (0..).zip(messages).map(id).map(uuid::Uuid::into_bytes)
}

/// Refuses a batch that has the same id twice.
pub(super) fn check_ids(messages: &[NewMessage]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match messages.iter().filter_map(|new| new.id).find(|id| !seen.insert(*id)) {
        Some(id) => Err(Error::invalid(format!("message id {id} stands twice in one batch"))),
        None => Ok(()),
    }
}

/// Refuses a session whose latest event has another number than who asks has seen.
pub(super) fn check_at(head: &HeadRow, session: SessionId, only_at: Option<u64>) -> Result<()> {
    match only_at {
        Some(seen) if seen != head.changes => {
            Err(Error::conflict(format!("session {session} changed: its latest event is {}, not {seen}", head.changes)))
        }
        _ => Ok(()),
    }
}

/// Refuses a session in which a turn is running or waits.
pub(super) fn check_idle(head: &HeadRow, session: SessionId) -> Result<()> {
    match (head.running, head.queued) {
        (0, 0) => Ok(()),
        (0, _) => Err(Error::conflict(format!("session {session} is busy: a turn is queued"))),
        _ => Err(Error::conflict(format!("session {session} is busy: a turn is running"))),
    }
}

/// What the reuse of an id is refused with.
pub(super) fn reused(id: MessageId) -> Error {
    Error::conflict(format!("message id {id} was used before in the session with other content"))
}

/// The thread that a caller names, of this session.
pub(super) fn named_thread(draft: &Draft<'_>, thread: Option<ThreadId>) -> Result<Within> {
    let Some(id) = thread else { return Ok(None) };
    Ok(Some((place::thread(draft.view, draft.place.number, id)?, *id.as_uuid().as_bytes())))
}

/// The messages of an earlier append with the same ids: all of the batch, or none of it.
fn originals(draft: &Draft<'_>, op: &Append) -> Result<Option<Vec<Message>>> {
    let session = draft.place.number;
    let mut known = Vec::new();
    for new in &op.messages {
        let Some(id) = new.id else { continue };
        let found = place::number(draft.view, session, rows::Kind::MessageId, id.as_uuid().as_bytes())?;
        known.extend(found.map(|number| (id, new, number)));
    }
    let Some((first, _, _)) = known.first() else { return Ok(None) };
    if known.len() < op.messages.len() {
        return Err(reused(*first));
    }
    let mut originals = Vec::with_capacity(known.len());
    for (id, new, number) in known {
        let fingerprint = codec::of_append(new, op.thread)?;
        originals.push(row(draft.view, session, number, |row| match row.fingerprint {
            Some(stored) if stored == fingerprint => row.record(op.at.session, number),
            _ => Err(reused(id)),
        })?);
    }
    Ok(Some(originals))
}
