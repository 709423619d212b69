//! Deleting a session: one commit hides it, and later ones clear away what is left of it.
//!
//! The first takes away all that leads to the session and leaves a row, the remnant, in its place. Nothing
//! below the session can be reached from then on, so the rest may take as long as it takes: step by step,
//! with other operations between, after a crash from the next opening on. The remnant goes last.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, CountRow, HeadRow, RemnantRow};
use super::hidden::{self, Hidden};
use super::place::{self, Place};
use super::tables::{Table, activity, claims, meta, names, of_session, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use super::{message, scope, session};
use crate::error::{ErrorKind, Result};
use crate::limit::REMNANT_BYTES;
use crate::page::Direction;
use crate::store::DeleteSession;

/// Hides a session.
pub(super) fn delete(view: &dyn Read, op: &DeleteSession) -> Result<(WriteSet, ())> {
    let place = place::find(view, op.at)?;
    let Place { number, workspace, agent, session } = place;
    let head: HeadRow = view.expected(Table::Sessions, &sessions::head(number))?;
    message::check_idle(&head, session)?;
    let body = session::body(view, op.at, number, head.body)?;
    let mut counters = scope::counters(view)?;
    scope::next_number(&mut counters.removed, "sessions that were removed")?;
    let mut writes = WriteSet::default();
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    for scope in [workspace, agent] {
        let sessions = session::count(view, scope)?.saturating_sub(1);
        writes.put(Table::Names, names::count(scope), &CountRow { sessions })?;
    }
    take_away(place, &body.key, head.updated_at, op.stamp.at.as_micros(), &mut writes)?;
    Ok((writes, ()))
}

/// Takes away all that leads to a session, and leaves a remnant. The counts are the caller's.
pub(super) fn take_away(
    place: Place,
    key: &str,
    updated_at: u64,
    deleted_at: u64,
    writes: &mut WriteSet,
) -> Result<()> {
    let Place { number, workspace, agent, session } = place;
    let id = session.as_uuid().as_bytes();
    writes.put(Table::Meta, meta::remnant(number), &RemnantRow { deleted_at })?;
    writes.remove(Table::Names, names::session_id(workspace, id));
    writes.remove(Table::Names, names::session_key(agent, key));
    for scope in [workspace, agent] {
        writes.remove(Table::Activity, activity::at(scope, updated_at, id));
    }
    for part in [sessions::body(number), sessions::head(number), sessions::mark(number)] {
        writes.remove(Table::Sessions, part);
    }
    writes.remove(Table::Claims, claims::of(number));
    Ok(())
}

/// Calls `each` with every deleted session of which some may be left, in order, until it breaks. One whose
/// remnant is damaged is left out, since it may be another one's: `verify` names it.
fn each(view: &dyn Read, mut each: impl FnMut(u32) -> Result<ControlFlow<()>>) -> Result<()> {
    let (from, to) = (meta::remnant(0), meta::remnant(u32::MAX));
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
        let sound = codec::decode::<RemnantRow>(Table::Meta, key, value).is_ok();
        match meta::remnant_of(key).filter(|_| sound) {
            Some(session) => each(session),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}

/// The deleted sessions of which some may be left, in order.
pub(super) fn all(view: &dyn Read) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    each(view, |session| {
        all.push(session);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// Whether there is anything to clear away.
pub(super) fn is_any(view: &dyn Read) -> Result<bool> {
    let mut any = !Hidden::of(view)?.is_none();
    each(view, |_| {
        any = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(any)
}

/// Whether the session is there, as far as can be told.
pub(super) fn is_live(view: &dyn Read, session: u32) -> Result<bool> {
    let there = |key: [u8; 5]| Ok(view.get(Table::Sessions, &key)?.is_some());
    Ok(there(sessions::body(session))? || there(sessions::head(session))?)
}

/// The sessions that are there no more, as far as rows of theirs may be met.
pub(super) struct Gone {
    deleted: Vec<u32>,
    hidden: Hidden,
}

impl Gone {
    pub(super) fn of(view: &dyn Read) -> Result<Self> {
        Ok(Gone { deleted: all(view)?, hidden: Hidden::of(view)? })
    }

    /// Whether the session is one of them.
    pub(super) fn has(&self, view: &dyn Read, session: u32) -> Result<bool> {
        Ok(self.deleted.binary_search(&session).is_ok() || self.hidden.has(view, session)?)
    }
}

/// The next step: takes away at most so many rows, at least one, of as many deleted sessions as that
/// is. None where nothing is left.
pub(super) fn step(view: &dyn Read, rows: usize) -> Result<Option<WriteSet>> {
    let mut step = Step { view, rows: rows.max(1), bytes: REMNANT_BYTES, writes: WriteSet::default() };
    each(view, |session| match step.clear(session) {
        // What is damaged stays as it is, `verify` names it; the others are cleared all the same.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(ControlFlow::Continue(())),
        cleared => cleared,
    })?;
    // What is left of deleted agents becomes deleted sessions only as far as those before are cleared away.
    hidden::clear(view, step.rows.div_ceil(hidden::ROWS_OF_SESSION), &mut step.writes)?;
    Ok(Some(step.writes).filter(|writes| !writes.is_empty()))
}

/// A step, and how much it may still take away.
struct Step<'v> {
    view: &'v dyn Read,
    rows: usize,
    bytes: usize,
    writes: WriteSet,
}

impl Step<'_> {
    fn is_full(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// What is left of a session, its remnant last. Breaks once the step is full.
    fn clear(&mut self, session: u32) -> Result<ControlFlow<()>> {
        // Not with any remnant: a session that is there keeps its rows.
        if is_live(self.view, session)? {
            return Ok(ControlFlow::Continue(()));
        }
        for table in [Table::Outbox, Table::Rows] {
            if self.clear_table(table, session)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.writes.remove(Table::Meta, meta::remnant(session));
        self.rows = self.rows.saturating_sub(1);
        Ok(if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The session's rows in a table. Breaks where not all of them can go.
    fn clear_table(&mut self, table: Table, session: u32) -> Result<ControlFlow<()>> {
        let (view, (from, to)) = (self.view, of_session(session));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let (mut last, mut cleared) = (Vec::new(), ControlFlow::Continue(()));
        view.scan(table, between, Direction::Asc, &mut |key, value| {
            if self.is_full() {
                cleared = ControlFlow::Break(());
                return Ok(cleared);
            }
            self.rows -= 1;
            self.bytes = self.bytes.saturating_sub(key.len() + value.len());
            last.clear();
            last.extend_from_slice(key);
            Ok(ControlFlow::Continue(()))
        })?;
        if !last.is_empty() {
            self.writes.remove_of_session(table, session, last);
        }
        Ok(cleared)
    }
}

#[cfg(test)]
mod tests;
