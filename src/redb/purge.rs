//! Erasing what soft-deleted messages say.

use super::codec::{self, BodyRow, CHANGE_PURGED, ChangeRow, MessageRow};
use super::draft::Draft;
use super::positions::{Times, told};
use super::tables::{Table, rows};
use super::view::{self, Read};
use super::write_set::WriteSet;
use super::{RedbStore, place};
use crate::error::{Error, ErrorKind, Result};
use crate::id::MessageId;
use crate::limit::{PURGE_STEP_LOOKS, PURGE_STEP_MESSAGES};
use crate::store::Purge;

/// Erases one message, or all that are soft-deleted, step by step.
pub(super) fn run(store: &RedbStore, op: Purge) -> Result<u64> {
    if let Some(id) = op.message {
        return store.write(512, move |view| one(view, &op, id));
    }
    let (mut purged, mut next, mut damaged) = (0, Some((None, 1)), None);
    while let Some(from) = next {
        let step = store.write(1 << 16, move |view| some(view, &op, from))?;
        purged += step.purged;
        next = step.next;
        damaged = damaged.or(step.damaged);
    }
    damaged.map_or(Ok(purged), Err)
}

/// What a step did.
struct Step {
    purged: u64,
    /// The session's number, and the message that the next one begins with; none where nothing is left.
    next: Option<(Option<u32>, u32)>,
    /// The first message that cannot be read, and what is wrong with it. It hides no other.
    damaged: Option<Error>,
}

fn one(view: &dyn Read, op: &Purge, id: MessageId) -> Result<(WriteSet, u64)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let session = draft.place.number;
    let number = place::number(view, session, rows::Kind::MessageId, id.as_uuid().as_bytes())?;
    let number = number.ok_or_else(|| Error::not_found(format_args!("message {id}")))?;
    match told(view, session, &mut Times::new(view, session, draft.head.messages), number)? {
        Some(entry) if entry.is_deleted() => {}
        Some(_) => return Err(Error::conflict(format!("message {id} is not deleted: delete it first"))),
        None => return Err(Error::corrupt(format!("whether message {id} was deleted cannot be told"))),
    }
    let purged = u64::from(erase(&mut draft, number)?);
    Ok((if purged == 0 { WriteSet::default() } else { draft.seal()? }, purged))
}

/// Erases messages from this one on, until they are enough for a step. One of which it cannot be told whether it was deleted
/// stays.
fn some(view: &dyn Read, op: &Purge, (of, from): (Option<u32>, u32)) -> Result<(WriteSet, Step)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let (session, last) = (draft.place.number, draft.head.messages);
    if of.is_some_and(|of| of != session) {
        return Err(Error::conflict(format!("session {} was made anew while it was being purged", op.at.session)));
    }
    let mut times = Times::new(view, session, last);
    let mut step = Step { purged: 0, next: None, damaged: None };
    for number in from..=last {
        if step.purged >= PURGE_STEP_MESSAGES || number - from >= PURGE_STEP_LOOKS {
            step.next = Some((Some(session), number));
            break;
        }
        if told(view, session, &mut times, number)?.is_some_and(|entry| entry.is_deleted()) {
            match erase(&mut draft, number) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    step.damaged.get_or_insert(error);
                }
                erased => step.purged += u64::from(erased?),
            }
        }
    }
    Ok((if step.purged == 0 { WriteSet::default() } else { draft.seal()? }, step))
}

/// Erases a message, where there is something to erase.
fn erase(draft: &mut Draft<'_>, number: u32) -> Result<bool> {
    let key = rows::numbered(draft.place.number, rows::Kind::Message, number);
    let erased = draft.view.row(Table::Rows, &key, |value| {
        let row = codec::decode::<MessageRow<'_>>(Table::Rows, &key, value)?;
        let MessageRow { id, thread, thread_number, turn, role, kind, synthetic, ts, created_at, fingerprint, body } =
            row;
        if body == BodyRow::default() {
            return Ok(None);
        }
        let body = BodyRow::default();
        Ok(Some(MessageRow {
            id,
            thread,
            thread_number,
            turn,
            role,
            kind,
            synthetic,
            ts,
            created_at,
            fingerprint,
            body,
        }))
    })?;
    let Some(row) = erased.ok_or_else(|| view::missing("message", &key))? else { return Ok(false) };
    draft.writes.put(Table::Rows, key, &row)?;
    draft.change(ChangeRow { kind: CHANGE_PURGED, number, id: Some(row.id), state: 0 })?;
    Ok(true)
}
