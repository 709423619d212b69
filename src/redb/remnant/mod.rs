//! Deleting and hiding a session: one commit hides it, and later ones clear away what is left of it.
//!
//! The first takes away all that leads to the session and leaves a row, the remnant, in its place. Nothing
//! below the session can be reached from then on, so the rest may take as long as it takes: step by step,
//! with other operations between, after a crash from the next opening on. The remnant goes last.
//!
//! What is written in many steps before it shows begins with a remnant, too, so that a crash leaves nothing of it.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use super::codec::{self, CountRow, HeadRow, RemnantRow};
use super::hidden::{self, Hidden};
use super::place::{self, Place};
use super::tables::{Table, activity, archives, claims, meta, names, of_session, session_of, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use super::{message, scope, session};
use crate::error::{ErrorKind, Result};
use crate::limit::REMNANT_BYTES;
use crate::page::Direction;
use crate::store::DeleteSession;
use crate::time::Timestamp;

/// Something of which some may be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remnant {
    /// A session that is not there: all of it goes.
    Session(u32),
    /// A session that was archived: what it has in the outbox stays.
    Archived(u32),
    /// The chunks of an archive that is not there.
    Archive(u32),
}

impl Remnant {
    pub(super) fn key(self) -> [u8; 5] {
        match self {
            Remnant::Session(session) => meta::remnant(session),
            Remnant::Archived(session) => meta::archived(session),
            Remnant::Archive(archive) => meta::chunks(archive),
        }
    }

    /// All that can be of a kind, given the least and the greatest.
    fn kinds() -> [fn(u32) -> Remnant; 3] {
        [Remnant::Session, Remnant::Archived, Remnant::Archive]
    }

    /// Whether it is there, as far as can be told, so that nothing below it is left over.
    pub(super) fn is_there(self, view: &dyn Read) -> Result<bool> {
        match self {
            Remnant::Session(session) | Remnant::Archived(session) => is_live(view, session),
            Remnant::Archive(archive) => Ok(view.get(Table::Archives, &archives::row(archive))?.is_some()),
        }
    }

    /// The first and the last key of what stands below it in a table; none where it clears nothing there.
    fn rows(self, table: Table) -> Option<(Vec<u8>, Vec<u8>)> {
        let of = |session| {
            let (from, to) = of_session(session);
            (from.to_vec(), to.to_vec())
        };
        match (self, table) {
            (Remnant::Session(session), Table::Outbox | Table::Rows) | (Remnant::Archived(session), Table::Rows) => {
                Some(of(session))
            }
            (Remnant::Archive(archive), Table::Archives) => {
                Some((archives::chunk(archive, 0), archives::chunk(archive, u32::MAX)))
            }
            _ => None,
        }
    }

    /// Writes it.
    pub(super) fn put(self, writes: &mut WriteSet, deleted_at: Timestamp) -> Result<()> {
        writes.put(Table::Meta, self.key(), &RemnantRow { deleted_at: deleted_at.as_micros() })
    }
}

/// Deletes a session.
pub(super) fn delete(view: &dyn Read, op: &DeleteSession) -> Result<(WriteSet, ())> {
    let place = place::find(view, op.at)?;
    let head: HeadRow = view.expected(Table::Sessions, &sessions::head(place.number))?;
    message::check_idle(&head, place.session)?;
    message::check_at(&head, place.session, op.only_at)?;
    let body = session::body(view, op.at, place.number, head.body)?;
    let mut writes = WriteSet::default();
    Remnant::Session(place.number).put(&mut writes, op.stamp.at)?;
    hide(view, place, &head, &body.key, &mut writes)?;
    Ok((writes, ()))
}

/// Takes away all that leads to a session, which stands so and has this key. Its remnant is to be written with it.
pub(super) fn hide(view: &dyn Read, place: Place, head: &HeadRow, key: &str, writes: &mut WriteSet) -> Result<()> {
    let mut counters = scope::counters(view)?;
    scope::next_number(&mut counters.removed, "sessions that were removed")?;
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    for scope in [place.workspace, place.agent] {
        let sessions = session::count(view, scope)?.saturating_sub(1);
        writes.put(Table::Names, names::count(scope), &CountRow { sessions })?;
    }
    take_away(place, key, head.updated_at, writes);
    Ok(())
}

/// Takes away all that leads to a session, which nothing counts any more.
pub(super) fn take_away(place: Place, key: &str, updated_at: u64, writes: &mut WriteSet) {
    let Place { number, workspace, agent, session } = place;
    let id = session.as_uuid().as_bytes();
    writes.remove(Table::Names, names::session_id(workspace, id));
    writes.remove(Table::Names, names::session_key(agent, key));
    for scope in [workspace, agent] {
        writes.remove(Table::Activity, activity::at(scope, updated_at, id));
    }
    for part in [sessions::body(number), sessions::head(number), sessions::mark(number)] {
        writes.remove(Table::Sessions, part);
    }
    writes.remove(Table::Claims, claims::of(number));
}

/// Calls `each` with every remnant of a kind, in order, until it breaks, and says whether it did. One that is damaged is left
/// out, since it may be another one's: `verify` names it.
fn each(
    view: &dyn Read,
    kind: fn(u32) -> Remnant,
    each: &mut dyn FnMut(Remnant) -> Result<ControlFlow<()>>,
) -> Result<bool> {
    let (from, to) = (kind(0).key(), kind(u32::MAX).key());
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    let mut went = ControlFlow::Continue(());
    view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
        let sound = codec::decode::<RemnantRow>(Table::Meta, key, value).is_ok();
        if let Some(number) = meta::remnant_of(key).filter(|_| sound) {
            went = each(kind(number))?;
        }
        Ok(went)
    })?;
    Ok(went.is_break())
}

/// The numbers of the remnants of a kind, in order.
pub(super) fn all_of(view: &dyn Read, kind: fn(u32) -> Remnant) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    each(view, kind, &mut |remnant| {
        let (Remnant::Session(number) | Remnant::Archived(number) | Remnant::Archive(number)) = remnant;
        all.push(number);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// The sessions that are not there, and of which some may be left, in order.
pub(super) fn all(view: &dyn Read) -> Result<Vec<u32>> {
    all_of(view, Remnant::Session)
}

/// Whether there is anything to clear away.
pub(super) fn is_any(view: &dyn Read) -> Result<bool> {
    for kind in Remnant::kinds() {
        if each(view, kind, &mut |_| Ok(ControlFlow::Break(())))? {
            return Ok(true);
        }
    }
    Ok(!Hidden::of(view)?.is_none())
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

    /// Whether a row of the outbox, of this session, is of one of them.
    pub(super) fn has(&self, view: &dyn Read, session: u32, key: &[u8], value: &[u8]) -> Result<bool> {
        Ok(self.deleted.binary_search(&session).is_ok() || self.hidden.has_announced(view, session, key, value)?)
    }
}

/// The remnants of a state: what stands below them is not there, and a copy has none of it.
pub(super) struct Below(BTreeSet<Remnant>);

impl Below {
    pub(super) fn of(view: &dyn Read) -> Result<Self> {
        let mut all = BTreeSet::new();
        for kind in Remnant::kinds() {
            each(view, kind, &mut |remnant| {
                match remnant.is_there(view) {
                    // `verify` names it, and nothing is cleared away below it.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {}
                    is_there => all.extend((!is_there?).then_some(remnant)),
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(Below(all))
    }

    /// The last key of what stands below the remnant that this key of a table stands below; none where it stands below none.
    pub(super) fn end(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let number = |from: usize| key.get(from..from.saturating_add(4)).and_then(session_of);
        // The number of a session comes first, that of an archive behind what the row is.
        let kinds = [(0, Remnant::Session as fn(u32) -> Remnant), (0, Remnant::Archived), (1, Remnant::Archive)];
        let may = kinds.into_iter().filter_map(|(from, kind)| number(from).map(kind));
        let rows = may.filter(|remnant| self.0.contains(remnant)).filter_map(|remnant| remnant.rows(table));
        rows.into_iter().find(|(from, to)| (from.as_slice()..=to.as_slice()).contains(&key)).map(|(_, to)| to)
    }
}

/// The next step: takes away at most so many rows, at least one, of as much as that is. None where nothing is left
/// but what is held.
pub(super) fn step(view: &dyn Read, rows: usize, is_held: &dyn Fn(Remnant) -> bool) -> Result<Option<WriteSet>> {
    let mut step = Step { view, rows: rows.max(1), bytes: REMNANT_BYTES, writes: WriteSet::default() };
    for kind in Remnant::kinds() {
        let is_full = each(view, kind, &mut |remnant| {
            if is_held(remnant) {
                return Ok(ControlFlow::Continue(()));
            }
            match step.clear(remnant) {
                // What is damaged stays as it is, `verify` names it; the others are cleared all the same.
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(ControlFlow::Continue(())),
                cleared => cleared,
            }
        })?;
        if is_full {
            break;
        }
    }
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

    /// What is left, the remnant last. Breaks once the step is full.
    fn clear(&mut self, remnant: Remnant) -> Result<ControlFlow<()>> {
        // Not with any remnant: what is there keeps its rows.
        if remnant.is_there(self.view)? {
            return Ok(ControlFlow::Continue(()));
        }
        for table in [Table::Outbox, Table::Rows, Table::Archives] {
            if self.clear_table(table, remnant)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.writes.remove(Table::Meta, remnant.key());
        self.rows = self.rows.saturating_sub(1);
        Ok(if self.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The rows in a table. Breaks where not all of them can go.
    fn clear_table(&mut self, table: Table, remnant: Remnant) -> Result<ControlFlow<()>> {
        let Some((from, to)) = remnant.rows(table) else { return Ok(ControlFlow::Continue(())) };
        let view = self.view;
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let (mut last, mut cleared) = (Vec::new(), ControlFlow::Continue(()));
        view.scan(table, between, Direction::Asc, &mut |key, value| {
            if self.is_full() {
                cleared = ControlFlow::Break(());
                return Ok(cleared);
            }
            self.rows -= 1;
            self.bytes = self.bytes.saturating_sub(key.len() + value.len());
            match remnant {
                // They are few, and their keys do not begin with a session.
                Remnant::Archive(_) => self.writes.remove(table, key),
                Remnant::Session(_) | Remnant::Archived(_) => {
                    last.clear();
                    last.extend_from_slice(key);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if let (Remnant::Session(session) | Remnant::Archived(session), false) = (remnant, last.is_empty()) {
            self.writes.remove_of_session(table, session, last);
        }
        Ok(cleared)
    }
}

#[cfg(test)]
mod tests;
