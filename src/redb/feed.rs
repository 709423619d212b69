//! Reading the change feed and the outbox.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, ChangeRow, OutboxRow};
use super::tables::{Table, of_session, rows, session_of};
use super::view::Read;
use super::{place, remnant};
use crate::error::{Error, Result};
use crate::page::Direction;
use crate::record::{Change, ChangeKind, WebhookRow};
use crate::store::SessionRef;

/// The events of a session after a number, oldest first.
///
/// It ends before a damaged event; asked for from there on, it is *corrupt*. One who wants to go
/// on past it asks for those after its number.
pub(super) fn changes(view: &dyn Read, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>> {
    let session = place::session(view, at)?;
    let mut events = Vec::new();
    if limit == 0 {
        return Ok(events);
    }
    let (from, to) = (rows::change(session, after), rows::change(session, u64::MAX));
    let between = (Bound::Excluded(from.as_slice()), Bound::Included(to.as_slice()));
    view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
        match event(key, value) {
            Ok(event) => events.push(event),
            Err(_) if !events.is_empty() => return Ok(ControlFlow::Break(())),
            Err(error) => return Err(error),
        }
        let full = events.len() >= limit as usize;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(events)
}

fn event(key: &[u8], value: &[u8]) -> Result<Change> {
    let number = key.last_chunk().map(|number| u64::from_be_bytes(*number));
    let number = number.ok_or_else(|| Error::corrupt("a key of the feed is cut short"))?;
    let row: ChangeRow = codec::decode(Table::Rows, key, value)?;
    let kind = match (row.kind, row.id) {
        (codec::CHANGE_CREATED, None) => ChangeKind::Created,
        (codec::CHANGE_MESSAGE, Some(id)) => ChangeKind::Message(codec::message_id(id)),
        (codec::CHANGE_DELETED, Some(id)) => ChangeKind::Deleted(codec::message_id(id)),
        (codec::CHANGE_TURN, Some(id)) => ChangeKind::Turn(codec::turn_id(id), codec::state_of(row.state)?),
        (codec::CHANGE_MARK, None) => ChangeKind::ContextMark((row.number != 0).then_some(row.number)),
        (kind, _) => return Err(Error::corrupt(format!("event {number} has the unknown kind {kind}"))),
    };
    Ok(Change { number, kind })
}

/// The ends that wait to be announced.
///
/// A damaged row is left out: it names nobody to announce to, and `verify` names it.
pub(super) fn outbox(view: &dyn Read, limit: u32) -> Result<Vec<WebhookRow>> {
    let (mut waiting, deleted) = (Vec::new(), remnant::all(view)?);
    if limit == 0 {
        return Ok(waiting);
    }
    let mut from: Bound<[u8; 12]> = Bound::Unbounded;
    loop {
        let (between, mut passed) = ((from.as_ref().map(|key| &key[..]), Bound::Unbounded), None);
        view.scan(Table::Outbox, between, Direction::Asc, &mut |key, value| {
            passed = session_of(key).filter(|session| deleted.binary_search(session).is_ok());
            if passed.is_some() {
                return Ok(ControlFlow::Break(()));
            }
            if let Ok(row) = codec::decode::<OutboxRow<'_>>(Table::Outbox, key, value) {
                waiting.push(row.record()?);
            }
            let full = waiting.len() >= limit as usize;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        // What is left of a deleted session may be much: it is passed as a whole.
        match passed {
            Some(session) => from = Bound::Excluded(of_session(session).1),
            None => return Ok(waiting),
        }
    }
}
