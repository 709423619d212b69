//! A state of the store: what the file has, and over it what is in memory alone.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow, RangeBounds};

use redb::{Cursor, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageError};

use super::body::Bodies;
use super::fault;
use super::place::{Age, Places};
use super::recent::{Key, Recent, Value};
use super::tables::{Table, rows};
use super::view::{Around, Each, EachNumbered, Guard, Read, Stage};
use crate::error::Result;
use crate::page::Direction;
use crate::sync::{Arc, OnceLock};

/// A row so few numbers away is stepped to, one further away is looked up: a step costs a fifth of a look-up.
const NEAR: u32 = 5;

/// Rows in memory are taken this many at a time.
const AHEAD: usize = 32;

type Bytes = &'static [u8];

/// The tables of one commit of the file.
pub(super) struct Base {
    tables: [ReadOnlyTable<Bytes, Bytes>; Table::ALL.len()],
}

impl Base {
    /// Opens the tables of a read transaction.
    pub(super) fn of(transaction: &ReadTransaction) -> Result<Self> {
        let open = |table: Table| transaction.open_table(table.definition()).map_err(fault::table);
        let [a, b, c, d, e, f, g] = Table::ALL;
        Ok(Base { tables: [open(a)?, open(b)?, open(c)?, open(d)?, open(e)?, open(f)?, open(g)?] })
    }

    /// The last commit of a database.
    pub(super) fn last(database: &Database) -> Result<Self> {
        Self::of(&database.begin_read().map_err(fault::transaction)?)
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many tables as `Table` has values")]
    fn table(&self, table: Table) -> &ReadOnlyTable<Bytes, Bytes> {
        &self.tables[table.index()]
    }
}

/// What a state is read from.
#[derive(Clone)]
pub(super) struct Layers {
    pub(super) base: Arc<Base>,
    /// What is newer than the file; the newest first.
    pub(super) recent: Vec<Arc<Recent>>,
    pub(super) around: Around,
}

impl Layers {
    /// What the file has and nothing else.
    pub(super) fn of(base: Base, around: Around) -> Self {
        Layers { base: Arc::new(base), recent: Vec::new(), around }
    }
}

/// The state after a group. It does not change, whatever is written.
pub(super) struct Snapshot {
    layers: Layers,
    group: u64,
    stage: Stage,
    /// Read when it is first asked for.
    age: OnceLock<Option<Age>>,
}

impl Snapshot {
    /// What the layers have up to a group.
    pub(super) fn new(layers: Layers, group: u64, stage: Stage) -> Self {
        Snapshot { layers, group, stage, age: OnceLock::new() }
    }

    /// Its age, where it was asked for.
    pub(super) fn known_age(&self) -> Option<Age> {
        self.age.get().copied().flatten()
    }

    /// Its age is known.
    pub(super) fn has_age(&self, age: Age) {
        // Whoever was faster found the same.
        let _ = self.age.set(Some(age));
    }

    /// What a key holds by what is in memory; none where that does not say.
    fn in_memory(&self, table: Table, key: &[u8]) -> Option<Value> {
        self.layers.recent.iter().find_map(|recent| recent.get(table, key, self.group))
    }

    /// Where a removal that has a key ends, among the so many newest.
    fn removed_to(&self, newest: usize, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.layers.recent.iter().take(newest).find_map(|recent| recent.removed_to(table, key, self.group))
    }

    /// The first of the keys between two that memory may know of.
    fn first_in_memory(&self, table: Table, session: u32, from: &[u8], to: &[u8]) -> Option<Key> {
        let between = (Bound::Included(from), Bound::Included(to));
        let first = |recent: &Arc<Recent>| {
            if recent.removes_of(table, session) {
                return Some(Key::from(from));
            }
            let first = recent.between(table, between, Direction::Asc, self.group, 1).into_iter().next();
            first.map(|(key, _)| key)
        };
        self.layers.recent.iter().filter_map(first).min()
    }
}

impl Read for Snapshot {
    fn block(&self) -> u32 {
        self.layers.around.block
    }

    fn places(&self) -> &Places {
        &self.layers.around.places
    }

    fn bodies(&self) -> &Bodies {
        &self.layers.around.bodies
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn age(&self) -> Option<Age> {
        match self.stage {
            Stage::Published => *self.age.get_or_init(|| Age::of(self).ok()),
            // The group may go on changing it.
            Stage::Open => Age::of(self).ok(),
        }
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
        if let Some(value) = self.in_memory(table, key) {
            return Ok(value.map(Guard::Memory));
        }
        Ok(self.layers.base.table(table).get(key).map_err(fault::storage)?.map(Guard::Page))
    }

    fn scan(
        &self,
        table: Table,
        between: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let ahead = |recent| Ahead::new(recent, table, between, direction, self.group);
        let mut recent: Vec<Ahead<'_>> = self.layers.recent.iter().map(|recent| ahead(recent)).collect();
        let mut pages = Pages::new(self.layers.base.table(table), between, direction)?;
        loop {
            // The next key, from the newest that has it.
            let heads = recent.iter().enumerate().filter_map(|(nth, ahead)| Some((nth, ahead.head()?)));
            let next =
                heads.reduce(|first, other| if comes_before(other.1, first.1, direction) { other } else { first });
            let from_page = match (next, pages.head()) {
                (None, None) => return Ok(()),
                (Some((_, key)), Some(page)) => comes_before(page, key, direction),
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let told = match next.filter(|_| !from_page) {
                None => {
                    if let Some(to) = pages.head().and_then(|key| self.removed_to(usize::MAX, table, key)) {
                        pages.skip(&to)?;
                        continue;
                    }
                    let Some((key, value)) = pages.take()? else { return Ok(()) };
                    each(key.value(), value.value())?
                }
                Some((nth, key)) => {
                    let key = Arc::clone(key);
                    let mut newest = None;
                    for ahead in recent.iter_mut().filter(|ahead| ahead.head() == Some(&key)) {
                        let value = ahead.take();
                        newest = newest.or(value);
                    }
                    if pages.head() == Some(&*key) {
                        pages.take()?;
                    }
                    match newest.flatten() {
                        Some(value) if self.removed_to(nth, table, &key).is_none() => each(&key, &value)?,
                        _ => ControlFlow::Continue(()),
                    }
                }
            };
            if told.is_break() {
                return Ok(());
            }
        }
    }

    fn numbered(&self, session: u32, kind: rows::Kind, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()> {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(()) };
        let [first, last] = [first, last].map(|number| rows::numbered(session, kind, *number));
        let newer = self.first_in_memory(Table::Rows, session, &first, &last);
        let mut walk = Walk { table: self.layers.base.table(Table::Rows), at: None };
        for number in numbers {
            let key = rows::numbered(session, kind, *number);
            if newer.as_ref().is_some_and(|newer| key[..] >= newer[..])
                && let Some(value) = self.in_memory(Table::Rows, &key)
            {
                each(*number, Ok(value.as_deref()))?;
                continue;
            }
            match walk.to(&key, *number).map_err(fault::storage) {
                Ok(Some(guard)) => each(*number, Ok(Some(guard.value())))?,
                Ok(None) => each(*number, Ok(None))?,
                Err(error) => each(*number, Err(error))?,
            }
        }
        Ok(())
    }
}

/// Whether a key comes before another in a direction.
fn comes_before(key: &[u8], other: &[u8], direction: Direction) -> bool {
    match direction {
        Direction::Asc => key < other,
        Direction::Desc => key > other,
    }
}

/// The rows in memory that come next.
struct Ahead<'s> {
    recent: &'s Recent,
    table: Table,
    between: (Bound<&'s [u8]>, Bound<&'s [u8]>),
    direction: Direction,
    group: u64,
    rows: VecDeque<(Key, Value)>,
    is_last: bool,
}

impl<'s> Ahead<'s> {
    fn new(
        recent: &'s Recent,
        table: Table,
        between: (Bound<&'s [u8]>, Bound<&'s [u8]>),
        direction: Direction,
        group: u64,
    ) -> Self {
        let rows = recent.between(table, between, direction, group, AHEAD);
        Ahead { recent, table, between, direction, group, is_last: rows.len() < AHEAD, rows: rows.into() }
    }

    fn head(&self) -> Option<&Key> {
        self.rows.front().map(|(key, _)| key)
    }

    fn take(&mut self) -> Option<Value> {
        let (key, value) = self.rows.pop_front()?;
        if self.rows.is_empty() && !self.is_last {
            let (from, to) = self.between;
            let between = match self.direction {
                Direction::Asc => (Bound::Excluded(&*key), to),
                Direction::Desc => (from, Bound::Excluded(&*key)),
            };
            let rows = self.recent.between(self.table, between, self.direction, self.group, AHEAD);
            self.is_last = rows.len() < AHEAD;
            self.rows = rows.into();
        }
        Some(value)
    }
}

type Row<'t> = (redb::AccessGuard<'t, Bytes>, redb::AccessGuard<'t, Bytes>);

/// The rows of the file that come next.
struct Pages<'t, 'b> {
    table: &'t ReadOnlyTable<Bytes, Bytes>,
    cursor: Cursor<'t, Bytes, Bytes>,
    between: (Bound<&'b [u8]>, Bound<&'b [u8]>),
    direction: Direction,
    next: Option<Row<'t>>,
}

impl<'t, 'b> Pages<'t, 'b> {
    fn new(
        table: &'t ReadOnlyTable<Bytes, Bytes>,
        between: (Bound<&'b [u8]>, Bound<&'b [u8]>),
        direction: Direction,
    ) -> Result<Self> {
        let cursor = match direction {
            Direction::Asc => table.lower_bound(between.0),
            Direction::Desc => table.upper_bound(between.1),
        };
        let mut pages = Pages { table, cursor: cursor.map_err(fault::storage)?, between, direction, next: None };
        pages.take()?;
        Ok(pages)
    }

    fn head(&self) -> Option<&[u8]> {
        self.next.as_ref().map(|(key, _)| key.value())
    }

    /// The next row.
    fn take(&mut self) -> Result<Option<Row<'t>>> {
        let next = match self.direction {
            Direction::Asc => self.cursor.next(),
            Direction::Desc => self.cursor.prev(),
        };
        let (from, to) = self.between;
        let next =
            next.map_err(fault::storage)?.filter(|(key, _)| RangeBounds::<[u8]>::contains(&(from, to), key.value()));
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Goes past what a removal has that has the next row and ends here: a removal begins where its session does.
    fn skip(&mut self, to: &[u8]) -> Result<()> {
        let from = to.first_chunk::<4>().map_or(&[][..], |session| session.as_slice());
        let cursor = match self.direction {
            Direction::Asc => self.table.lower_bound(Bound::Excluded(to)),
            Direction::Desc => self.table.upper_bound(Bound::Excluded(from)),
        };
        self.cursor = cursor.map_err(fault::storage)?;
        self.take()?;
        Ok(())
    }
}

/// A way through a table from one numbered row to the next.
struct Walk<'t> {
    table: &'t ReadOnlyTable<Bytes, Bytes>,
    /// Where it stands: past the row of this number.
    at: Option<(Cursor<'t, Bytes, Bytes>, u32)>,
}

impl<'t> Walk<'t> {
    /// The row under a key, which is that of a number.
    fn to(&mut self, key: &[u8], number: u32) -> Result<Option<redb::AccessGuard<'t, Bytes>>, StorageError> {
        // What fails or finds nothing leaves no place to go on from.
        let mut cursor = match self.at.take() {
            Some((cursor, at)) if at.abs_diff(number) <= NEAR => cursor,
            _ => self.table.lower_bound(Bound::Included(key))?,
        };
        loop {
            let Some((found, value)) = cursor.next()? else { return Ok(None) };
            match found.value().cmp(key) {
                Ordering::Equal => {
                    self.at = Some((cursor, number));
                    return Ok(Some(value));
                }
                Ordering::Greater => return Ok(None),
                Ordering::Less => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
