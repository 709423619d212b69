//! Verbs of the outbox: the ends that wait to be announced, and what became of each try.

use std::ops::{Bound, ControlFlow};

use super::archive;
use super::codec::{self, LACKS_SECRET, LACKS_TOKEN, OutboxRow};
use super::ending::cut;
use super::remnant::Gone;
use super::tables::{Table, of_session, outbox, session_of};
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{Error, Result};
use crate::limit::REASON_BYTES;
use crate::page::Direction;
use crate::record::{WebhookRow, WebhookState};
use crate::store::{
    OutboxDelivered, OutboxFailed, OutboxKey, OutboxPage, OutboxPlace, OutboxQuery, OutboxRows, Redrive, SessionRef,
};

/// The ends that wait to be announced.
///
/// A damaged row is left out: it names nobody to announce to, and `verify` names it.
pub(super) fn pending(view: &dyn Read, limit: u32) -> Result<Vec<WebhookRow>> {
    let mut waiting = Vec::new();
    let mut from = Some(Bound::Unbounded);
    let gone = Gone::of(view)?;
    while let Some(bound) = from.take().filter(|_| waiting.len() < limit as usize) {
        each_from(view, bound, &mut |session, number, row| {
            // What is left of a deleted session, and what is dead, may be much: it is passed as a whole.
            if row.state == WebhookState::Dead || gone.has(view, session, row.key, row.value)? {
                from = Some(Bound::Excluded(of_session(session).1.to_vec()));
                return Ok(ControlFlow::Break(()));
            }
            waiting.extend(row.record(number));
            Ok(up_to(limit as usize, waiting.len()))
        })?;
    }
    Ok(waiting)
}

/// The first pending row of a session.
pub(super) fn head(view: &dyn Read, at: SessionRef) -> Result<Option<WebhookRow>> {
    head_of(view, archive::announced(view, at)?)
}

fn head_of(view: &dyn Read, session: u32) -> Result<Option<WebhookRow>> {
    let mut head = None;
    each_of(view, session, WebhookState::Pending, &mut |_, number, row| {
        head = row.record(number);
        Ok(up_to(1, head.iter().count()))
    })?;
    Ok(head)
}

/// A page of rows.
pub(super) fn page(view: &dyn Read, op: &OutboxQuery) -> Result<OutboxPage> {
    let gone = Gone::of(view)?;
    let (mut rows, mut next) = (Vec::new(), None);
    let after = op.after.map(|place| (u32::try_from(place.session).unwrap_or(u32::MAX), place.number));
    let mut from = Some(match (op.rows, after) {
        (_, None) => Bound::Unbounded,
        (OutboxRows::Heads, Some((session, _))) => Bound::Excluded(of_session(session).1.to_vec()),
        (OutboxRows::Dead, Some((session, number))) => Bound::Excluded(outbox::dead(session, number)),
    });
    while let Some(bound) = from.take().filter(|_| rows.len() < op.limit as usize) {
        let mut found = None;
        each_from(view, bound, &mut |session, number, row| {
            let is_gone = gone.has(view, session, row.key, row.value)?;
            found = Some((session, number, row.state, row.record(number), is_gone));
            Ok(ControlFlow::Break(()))
        })?;
        let Some((session, number, state, row, is_gone)) = found else { break };
        let past = Bound::Excluded(of_session(session).1.to_vec());
        if is_gone {
            from = Some(past);
            continue;
        }
        let row = match op.rows {
            OutboxRows::Heads => {
                from = Some(past);
                head_of(view, session)?
            }
            OutboxRows::Dead if state == WebhookState::Dead => {
                from = Some(Bound::Excluded(outbox::dead(session, number)));
                row
            }
            OutboxRows::Dead => {
                from = Some(Bound::Included(outbox::dead(session, 0)));
                None
            }
        };
        if row.is_some() {
            next = Some(OutboxPlace { session: session.into(), number });
        }
        rows.extend(row);
    }
    // One that is not full is the last.
    let next = next.filter(|_| rows.len() >= op.limit as usize);
    Ok(OutboxPage { rows, next })
}

/// A row was announced.
pub(super) fn delivered(view: &dyn Read, op: &OutboxDelivered) -> Result<(WriteSet, ())> {
    let key = key_of(view, op.row)?;
    let mut writes = WriteSet::default();
    pending_row(view, &key, op.row, |_| {
        writes.remove(Table::Outbox, key.as_slice());
        Ok(())
    })?;
    Ok((writes, ()))
}

/// A row was tried in vain.
pub(super) fn failed(view: &dyn Read, op: &OutboxFailed) -> Result<(WriteSet, WebhookRow)> {
    let key = key_of(view, op.row)?;
    let mut writes = WriteSet::default();
    let record = pending_row(view, &key, op.row, |row| {
        let mut row: OutboxRow<'_> = row;
        row.attempts = row.attempts.saturating_add(1);
        row.failed_at = Some(op.stamp.at.as_micros());
        row.error = Some(cut(&op.error, REASON_BYTES));
        row.due_at = op.next.map(|at| at.as_micros());
        if op.next.is_some() {
            writes.put(Table::Outbox, key.as_slice(), &row)?;
            return row.record(op.row.number, WebhookState::Pending);
        }
        for (went, lacks) in [(row.hook.token.take(), LACKS_TOKEN), (row.hook.secret.take(), LACKS_SECRET)] {
            row.lacks |= went.map_or(0, |_| lacks);
        }
        let session = session_of(&key).ok_or_else(|| Error::corrupt("a key of the outbox is cut short"))?;
        writes.remove(Table::Outbox, key.as_slice());
        writes.put(Table::Outbox, outbox::dead(session, op.row.number), &row)?;
        row.record(op.row.number, WebhookState::Dead)
    })?;
    Ok((writes, record))
}

/// Dead rows are pending again.
pub(super) fn redrive(view: &dyn Read, op: &Redrive) -> Result<(WriteSet, u32)> {
    let session = archive::announced(view, op.at)?;
    let (mut writes, mut driven) = (WriteSet::default(), 0);
    let most = op.turn.map_or(op.limit, |_| op.limit.min(1)) as usize;
    each_of(view, session, WebhookState::Dead, &mut |_, number, found| {
        let Some(record) = found.record(number) else { return Ok(ControlFlow::Continue(())) };
        if driven as usize >= most || op.turn.is_some_and(|turn| turn != record.turn_id) {
            return Ok(up_to(most, driven as usize));
        }
        let (token, secret) = op.credentials(&record)?;
        let mut row = found.row()?;
        (row.hook.token, row.hook.secret) = (token.as_deref(), secret.as_deref());
        (row.attempts, row.due_at, row.lacks) = (0, None, 0);
        writes.remove(Table::Outbox, outbox::dead(session, number));
        writes.put(Table::Outbox, outbox::at(session, number), &row)?;
        driven += 1;
        Ok(up_to(most, driven as usize))
    })?;
    match op.turn {
        Some(turn) if driven == 0 && op.limit > 0 => {
            Err(Error::not_found(format_args!("dead announcement of turn {turn}")))
        }
        _ => Ok((writes, driven)),
    }
}

/// Where a pending row stands.
fn key_of(view: &dyn Read, row: OutboxKey) -> Result<Vec<u8>> {
    Ok(outbox::at(archive::announced(view, row.at)?, row.number))
}

/// A pending row that must be there, and of this turn.
fn pending_row<T>(
    view: &dyn Read,
    key: &[u8],
    of: OutboxKey,
    read: impl FnOnce(OutboxRow<'_>) -> Result<T>,
) -> Result<T> {
    let gone = || Error::not_found(format_args!("pending announcement of turn {}", of.turn));
    let is_pending = outbox::of(key).is_some_and(|(_, _, state)| state == WebhookState::Pending);
    let found = view.row(Table::Outbox, key, |value| {
        let row: OutboxRow<'_> = codec::decode(Table::Outbox, key, value)?;
        if !is_pending || row.turn != *of.turn.as_uuid().as_bytes() {
            return Err(gone());
        }
        read(row)
    })?;
    found.ok_or_else(gone)
}

/// A row where it stands.
struct Standing<'r> {
    key: &'r [u8],
    value: &'r [u8],
    state: WebhookState,
}

impl<'r> Standing<'r> {
    fn row(&self) -> Result<OutboxRow<'r>> {
        codec::decode(Table::Outbox, self.key, self.value)
    }

    /// None where it cannot be read: it stops no other.
    fn record(&self, number: u64) -> Option<WebhookRow> {
        self.row().and_then(|row| row.record(number, self.state)).ok()
    }
}

/// Goes on until so many are reached.
fn up_to(most: usize, reached: usize) -> ControlFlow<()> {
    if reached < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Called with the session, the number and the row.
type Each<'a> = dyn FnMut(u32, u64, &Standing<'_>) -> Result<ControlFlow<()>> + 'a;

/// Calls `each` with the session, the number and the row of all from a key on.
fn each_from(view: &dyn Read, from: Bound<Vec<u8>>, each: &mut Each<'_>) -> Result<()> {
    let between = (from.as_ref().map(Vec::as_slice), Bound::Unbounded);
    view.scan(Table::Outbox, between, Direction::Asc, &mut |key, value| match outbox::of(key) {
        Some((session, number, state)) => each(session, number, &Standing { key, value, state }),
        None => Ok(ControlFlow::Continue(())),
    })
}

/// Calls `each` with the number and the row of all of a session in a state.
fn each_of(view: &dyn Read, session: u32, state: WebhookState, each: &mut Each<'_>) -> Result<()> {
    let (first, dead) = (outbox::at(session, 0), outbox::dead(session, 0));
    let last = of_session(session).1;
    let between = match state {
        WebhookState::Pending => (Bound::Included(first.as_slice()), Bound::Excluded(dead.as_slice())),
        WebhookState::Dead => (Bound::Included(dead.as_slice()), Bound::Included(last.as_slice())),
    };
    view.scan(Table::Outbox, between, Direction::Asc, &mut |key, value| match outbox::of(key) {
        Some((session, number, state)) => each(session, number, &Standing { key, value, state }),
        None => Ok(ControlFlow::Continue(())),
    })
}
