//! Reading the change feed.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, ChangeRow};
use super::place;
use super::tables::{Table, rows};
use super::view::Read;
use crate::error::{Error, Result};
use crate::page::Direction;
use crate::record::{Change, ChangeKind};
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
        (codec::CHANGE_PURGED, Some(id)) => ChangeKind::Purged(codec::message_id(id)),
        (codec::CHANGE_TURN, Some(id)) => ChangeKind::Turn(codec::turn_id(id), codec::state_of(row.state)?),
        (codec::CHANGE_MARK, None) => ChangeKind::ContextMark((row.number != 0).then_some(row.number)),
        (codec::CHANGE_ARCHIVED, None) => ChangeKind::Archived,
        (codec::CHANGE_RESTORED, None) => ChangeKind::Restored,
        (codec::CHANGE_UPDATED, None) => ChangeKind::Updated,
        (kind, _) => return Err(Error::corrupt(format!("event {number} has the unknown kind {kind}"))),
    };
    Ok(Change { number, kind })
}
