//! What the file has: the tables of one commit, each row for itself, though some share a value ([`pack`]).

use std::collections::VecDeque;
use std::ops::{Bound, Range, RangeBounds};

use redb::{AccessGuard, Cursor, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};

use super::fault;
use super::pack::{self, Place, Step};
use super::tables::Table;
use super::view::Guard;
use crate::error::Result;
use crate::page::Direction;
use crate::sync::Arc;

type Bytes = &'static [u8];

/// The tables of one commit of the file.
pub(super) struct Base {
    tables: [ReadOnlyTable<Bytes, Bytes>; Table::ALL.len()],
}

impl Base {
    /// Opens the tables of a read transaction.
    pub(super) fn of(transaction: &ReadTransaction) -> Result<Self> {
        let open = |table: Table| transaction.open_table(table.definition()).map_err(fault::table);
        let [a, b, c, d, e, f, g, h] = Table::ALL;
        Ok(Base { tables: [open(a)?, open(b)?, open(c)?, open(d)?, open(e)?, open(f)?, open(g)?, open(h)?] })
    }

    /// The last commit of a database.
    pub(super) fn last(database: &Database) -> Result<Self> {
        Self::of(&database.begin_read().map_err(fault::transaction)?)
    }

    /// The value under a key.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
        let rows = self.table(table);
        let Some(place) = Place::of(table, key) else {
            return Ok(rows.get(key).map_err(fault::storage)?.map(Guard::Page));
        };
        let mut cursor = rows.upper_bound(Bound::Included(key)).map_err(fault::storage)?;
        let Some((first, pack)) = cursor.prev().map_err(fault::storage)? else { return Ok(None) };
        let row = place.after(first.value()).and_then(|nth| pack::find(pack.value(), Step::default(), nth));
        Ok(row.filter(|(row, _)| !row.is_empty()).map(|(row, _)| Guard::Part(pack, row)))
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many tables as `Table` has values")]
    pub(super) fn table(&self, table: Table) -> &ReadOnlyTable<Bytes, Bytes> {
        &self.tables[table.index()]
    }
}

/// A row where it stands in the file.
pub(super) enum Row<'t> {
    Alone(AccessGuard<'t, Bytes>, AccessGuard<'t, Bytes>),
    Packed(Vec<u8>, Arc<AccessGuard<'t, Bytes>>, Range<usize>),
}

impl Row<'_> {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Row::Alone(key, _) => key.value(),
            Row::Packed(key, _, _) => key,
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        match self {
            Row::Alone(_, value) => value.value(),
            Row::Packed(_, pack, range) => pack.value().get(range.clone()).unwrap_or_default(),
        }
    }
}

/// The rows between two keys, in a direction.
pub(super) struct Pages<'t> {
    rows: &'t ReadOnlyTable<Bytes, Bytes>,
    table: Table,
    cursor: Cursor<'t, Bytes, Bytes>,
    between: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    direction: Direction,
    /// The next ones; none once there are no more.
    next: VecDeque<Row<'t>>,
}

impl<'t> Pages<'t> {
    pub(super) fn new(
        base: &'t Base,
        table: Table,
        between: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Result<Self> {
        let rows = base.table(table);
        let cursor = match direction {
            Direction::Asc => from_first(rows, table, between.0)?,
            Direction::Desc => rows.upper_bound(between.1).map_err(fault::storage)?,
        };
        let between = (between.0.map(<[u8]>::to_vec), between.1.map(<[u8]>::to_vec));
        let mut pages = Pages { rows, table, cursor, between, direction, next: VecDeque::new() };
        pages.fill()?;
        Ok(pages)
    }

    /// The key of the next row.
    pub(super) fn head(&self) -> Option<&[u8]> {
        self.next.front().map(Row::key)
    }

    /// The next row.
    pub(super) fn take(&mut self) -> Result<Option<Row<'t>>> {
        let row = self.next.pop_front();
        if self.next.is_empty() && row.is_some() {
            self.fill()?;
        }
        Ok(row)
    }

    /// Reads on until there is a next row, or the end.
    fn fill(&mut self) -> Result<()> {
        while self.next.is_empty() {
            let next = match self.direction {
                Direction::Asc => self.cursor.next(),
                Direction::Desc => self.cursor.prev(),
            };
            let Some((key, value)) = next.map_err(fault::storage)? else { return Ok(()) };
            let is_last = self.is_past(key.value());
            match Place::of(self.table, key.value()) {
                Some(first) => self.unpack(first, key.value(), value),
                None if self.has(key.value()) => {
                    self.next.push_back(Row::Alone(key, value));
                }
                None => {}
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    fn has(&self, key: &[u8]) -> bool {
        let (from, to) = &self.between;
        RangeBounds::<[u8]>::contains(&(from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice)), key)
    }

    /// Whether nothing after a value of this key can be between the two.
    fn is_past(&self, key: &[u8]) -> bool {
        match (self.direction, &self.between) {
            (Direction::Asc, (_, Bound::Included(to))) => key > to.as_slice(),
            (Direction::Asc, (_, Bound::Excluded(to))) => key >= to.as_slice(),
            (Direction::Desc, (Bound::Included(from) | Bound::Excluded(from), _)) => key <= from.as_slice(),
            (Direction::Asc, (_, Bound::Unbounded)) | (Direction::Desc, (Bound::Unbounded, _)) => false,
        }
    }

    /// Takes the rows of a pack that are between the two.
    fn unpack(&mut self, first: Place<'_>, key: &[u8], pack: AccessGuard<'t, Bytes>) {
        let pack = Arc::new(pack);
        // Who follows a feed asks for the end of a pack: what is before needs no key.
        let from = match &self.between.0 {
            Bound::Included(from) | Bound::Excluded(from) => Place::of(self.table, from),
            Bound::Unbounded => None,
        };
        let least = from.and_then(|from| from.after(key)).unwrap_or(0);
        let mut step = Step::default();
        while let Some((row, after)) = pack::next(pack.value(), step) {
            let nth = std::mem::replace(&mut step, after).nth;
            if nth < least || row.is_empty() {
                continue;
            }
            let key = first.key(nth);
            if self.has(&key) {
                let row = Row::Packed(key, Arc::clone(&pack), row);
                match self.direction {
                    Direction::Asc => self.next.push_back(row),
                    Direction::Desc => self.next.push_front(row),
                }
            }
        }
    }

    /// Goes past what a removal has that has the next row and ends here: a removal begins where its session does.
    pub(super) fn skip(&mut self, to: &[u8]) -> Result<()> {
        let from = to.first_chunk::<4>().map_or(&[][..], |session| session.as_slice());
        self.next.clear();
        match self.direction {
            Direction::Asc => {
                self.between.0 = Bound::Excluded(to.to_vec());
                self.cursor = from_first(self.rows, self.table, Bound::Excluded(to))?;
            }
            Direction::Desc => {
                self.between.1 = Bound::Excluded(from.to_vec());
                self.cursor = self.rows.upper_bound(Bound::Excluded(from)).map_err(fault::storage)?;
            }
        }
        self.fill()
    }
}

/// Where the first row stands that is not before a bound, be it in a pack that begins before it.
fn from_first<'t>(
    rows: &'t ReadOnlyTable<Bytes, Bytes>,
    table: Table,
    from: Bound<&[u8]>,
) -> Result<Cursor<'t, Bytes, Bytes>> {
    if let Bound::Included(key) | Bound::Excluded(key) = from
        && let Some(place) = Place::of(table, key)
    {
        let mut cursor = rows.upper_bound(Bound::Included(key)).map_err(fault::storage)?;
        let before = cursor.prev().map_err(fault::storage)?;
        if before.is_some_and(|(first, _)| place.after(first.value()).is_some()) {
            return Ok(cursor);
        }
    }
    rows.lower_bound(from).map_err(fault::storage)
}

/// Where a walk stands: a cursor behind a pack, the pack's key, the pack, and past which of its rows.
type At<'t> = (Cursor<'t, Bytes, Bytes>, AccessGuard<'t, Bytes>, AccessGuard<'t, Bytes>, Step);

/// A way through packs from one row to a later one.
pub(super) struct Walk<'t> {
    rows: &'t ReadOnlyTable<Bytes, Bytes>,
    at: Option<At<'t>>,
}

impl<'t> Walk<'t> {
    pub(super) fn of(rows: &'t ReadOnlyTable<Bytes, Bytes>) -> Self {
        Walk { rows, at: None }
    }

    /// The row under a key, which is after those that were asked for before.
    pub(super) fn to(&mut self, key: &[u8]) -> Result<Option<&[u8]>> {
        let Some(place) = Place::of(Table::Rows, key) else { return Ok(None) };
        let mut found = None;
        // In the pack where it stands, in the next one, or wherever it is.
        for attempt in 0..3 {
            match (attempt, &mut self.at) {
                (1, Some((cursor, first, pack, step))) => {
                    let Some((next, value)) = cursor.next().map_err(fault::storage)? else { continue };
                    (*first, *pack, *step) = (next, value, Step::default());
                }
                (2, _) => {
                    let mut cursor = self.rows.upper_bound(Bound::Included(key)).map_err(fault::storage)?;
                    let Some((first, pack)) = cursor.prev().map_err(fault::storage)? else { return Ok(None) };
                    cursor.next().map_err(fault::storage)?;
                    self.at = Some((cursor, first, pack, Step::default()));
                }
                _ => {}
            }
            let Some((_, first, pack, step)) = &mut self.at else { continue };
            let row = place.after(first.value()).and_then(|nth| pack::find(pack.value(), *step, nth));
            if let Some((row, after)) = row {
                *step = after;
                found = Some(row);
                break;
            }
        }
        let pack = self.at.as_ref().map(|(_, _, pack, _)| pack.value());
        Ok(found.filter(|row| !row.is_empty()).and_then(|row| pack?.get(row)))
    }
}
