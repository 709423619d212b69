//! Listing messages and threads: filtering reads the slots, and only what is returned is decoded.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, SlotRow, ThreadRow, kind_of, role_of};
use super::tables::{Table, rows};
use super::view::Read;
use super::{message, place, view};
use crate::error::Result;
use crate::id::ThreadId;
use crate::page::{Direction, Matching};
use crate::record::ThreadRecord;
use crate::store::{Damaged, Matched, SessionRef};

/// Calls `each` for every readable slot of a session from a message number on; a damaged one
/// leaves its message out of listings, and `verify` names it.
pub(super) fn slots(
    view: &dyn Read,
    session: u32,
    from: u32,
    direction: Direction,
    mut each: impl FnMut(u32, &SlotRow) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let from = rows::numbered(session, rows::Kind::Slot, from);
    let to = rows::numbered(session, rows::Kind::Slot, u32::MAX);
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    view.scan(Table::Rows, between, direction, &mut |key, value| {
        let slot = codec::decode::<SlotRow>(Table::Rows, key, value);
        match (rows::number(key), slot) {
            (Some(number), Ok(slot)) => each(number, &slot),
            _ => Ok(ControlFlow::Continue(())),
        }
    })
}

/// Whether a message is one that a listing asks for.
fn matches(matching: &Matching, thread: Option<u32>, slot: &SlotRow) -> bool {
    !slot.deleted
        && slot.ts > matching.gts.as_micros()
        && thread.is_none_or(|thread| thread == slot.thread)
        && kind_of(slot.kind).is_ok_and(|kind| matching.types.contains(kind))
        && role_of(slot.role).is_ok_and(|role| matching.roles.contains(role))
}

/// The messages of a session that match.
pub(super) fn list(view: &dyn Read, at: SessionRef, matching: &Matching) -> Result<Matched> {
    let session = place::session(view, at)?;
    let thread = matching.thread.map(|id| place::thread(view, session, id)).transpose()?;
    let mut matched = Matched { items: Vec::new(), total: 0, newest: None, damaged: Vec::new() };
    let mut before = matching.offset;
    let mut shown = Vec::new();
    slots(view, session, 0, matching.direction, |number, slot| {
        if !matches(matching, thread, slot) {
            return Ok(ControlFlow::Continue(()));
        }
        matched.total += 1;
        matched.newest = matched.newest.max(slot.ts().ok());
        let past = matching.past.is_none_or(|past| match matching.direction {
            Direction::Asc => number > past,
            Direction::Desc => number < past,
        });
        match (past, before) {
            (true, 0) if shown.len() < matching.limit as usize => shown.push((number, slot.ts().ok())),
            (true, 1..) => before -= 1,
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (number, ts) in shown {
        let read = message::read(view, session, at.session, number);
        view::sort(read, &mut matched.items, &mut matched.damaged, |error| Damaged::new(Some(number), ts, error))?;
    }
    Ok(matched)
}

/// A thread of a session.
pub(super) fn thread(view: &dyn Read, at: SessionRef, id: ThreadId) -> Result<ThreadRecord> {
    let session = place::session(view, at)?;
    let number = place::thread(view, session, id)?;
    let row: ThreadRow = view.expected(Table::Rows, &rows::numbered(session, rows::Kind::Thread, number))?;
    Ok(row.record(at.session, number))
}
