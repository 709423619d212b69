//! What verbs read from: the tables of a snapshot, or of the open write transaction, alike.

use std::cmp::Ordering;
use std::ops::{Bound, ControlFlow, RangeBounds};

use redb::{AccessGuard, Cursor, ReadTransaction, ReadableTable, StorageError};

use super::body::Bodies;
use super::codec::{self, Row};
use super::fault;
use super::place::{Age, Places};
use super::tables::{Table, rows};
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Damaged, Direction};
use crate::sync::{Arc, OnceLock};

/// A value as it stands in its page.
pub(super) type Guard<'a> = AccessGuard<'a, &'static [u8]>;

/// Called for each row of a scan with its key and its value, until it breaks.
pub(super) type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Called for each of some numbered rows with its number and its value, or nothing where there is no row.
pub(super) type EachNumbered<'a> = dyn FnMut(u32, Result<Option<&[u8]>>) -> Result<()> + 'a;

/// A row so few numbers away is stepped to, one further away is looked up: a step costs a fifth of a look-up.
const NEAR: u32 = 5;

/// What a verb may do: read.
pub(super) trait Read {
    /// Entries in a block of positions.
    fn block(&self) -> u32;

    /// The places that were found before.
    fn places(&self) -> &Places;

    /// The sessions that were read before.
    fn bodies(&self) -> &Bodies;

    /// What of it is committed.
    fn stage(&self) -> Stage;

    /// How old the state is; none where that cannot be read.
    fn age(&self) -> Option<Age>;

    /// The value under a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>>;

    /// Calls `each` for the rows between two keys, in a direction.
    fn scan(
        &self,
        table: Table,
        between: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<()>;

    /// Calls `each` for the rows of a session that have these numbers, which rise.
    fn numbered(&self, session: u32, kind: rows::Kind, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()>;
}

/// What a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A committed state.
    Published,
    /// A transaction that may still be aborted.
    Open,
}

/// What all views of a file share.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) block: u32,
    pub(super) places: Arc<Places>,
    pub(super) bodies: Arc<Bodies>,
}

impl Around {
    /// Of a file with so many entries in a block of positions.
    pub(super) fn new(block: u32) -> Self {
        Around { block, places: Arc::default(), bodies: Arc::default() }
    }
}

/// All tables, opened.
pub(super) struct View<T> {
    tables: [T; Table::ALL.len()],
    around: Around,
    stage: Stage,
    /// Read when it is first asked for.
    age: OnceLock<Option<Age>>,
}

impl<T> View<T> {
    /// Opens every table with `open`.
    pub(super) fn open(around: Around, stage: Stage, mut open: impl FnMut(Table) -> Result<T>) -> Result<Self> {
        let [a, b, c, d, e, f, g] = Table::ALL;
        let tables = [open(a)?, open(b)?, open(c)?, open(d)?, open(e)?, open(f)?, open(g)?];
        Ok(View { tables, around, stage, age: OnceLock::new() })
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many tables as `Table` has values")]
    fn table(&self, table: Table) -> &T {
        &self.tables[table.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many tables as `Table` has values")]
    pub(super) fn table_mut(&mut self, table: Table) -> &mut T {
        if table == Table::Meta {
            self.age.take();
        }
        &mut self.tables[table.index()]
    }
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Read for View<T> {
    fn block(&self) -> u32 {
        self.around.block
    }

    fn places(&self) -> &Places {
        &self.around.places
    }

    fn bodies(&self) -> &Bodies {
        &self.around.bodies
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn age(&self) -> Option<Age> {
        *self.age.get_or_init(|| Age::of(self).ok())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
        self.table(table).get(key).map_err(fault::storage)
    }

    fn scan(
        &self,
        table: Table,
        between: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let (table, (from, to)) = (self.table(table), between);
        let cursor = match direction {
            Direction::Asc => table.lower_bound(from),
            Direction::Desc => table.upper_bound(to),
        };
        let mut cursor = cursor.map_err(fault::storage)?;
        loop {
            let next = match direction {
                Direction::Asc => cursor.next(),
                Direction::Desc => cursor.prev(),
            };
            let Some((key, value)) = next.map_err(fault::storage)? else { return Ok(()) };
            if !(from, to).contains(key.value()) || each(key.value(), value.value())?.is_break() {
                return Ok(());
            }
        }
    }

    fn numbered(&self, session: u32, kind: rows::Kind, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()> {
        let mut walk = Walk { table: self.table(Table::Rows), at: None };
        for number in numbers {
            let found = walk.to(&rows::numbered(session, kind, *number), *number).map_err(fault::storage);
            match found {
                Ok(Some(guard)) => each(*number, Ok(Some(guard.value())))?,
                Ok(None) => each(*number, Ok(None))?,
                Err(error) => each(*number, Err(error))?,
            }
        }
        Ok(())
    }
}

type Bytes = &'static [u8];

/// A way through a table from one numbered row to the next.
struct Walk<'t, T> {
    table: &'t T,
    /// Where it stands: past the row of this number.
    at: Option<(Cursor<'t, Bytes, Bytes>, u32)>,
}

impl<'t, T: ReadableTable<Bytes, Bytes>> Walk<'t, T> {
    /// The row under a key, which is that of a number.
    fn to(&mut self, key: &[u8], number: u32) -> Result<Option<Guard<'t>>, StorageError> {
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

/// The tables of one committed state. Immutable, shared by all readers until the next is published.
pub(super) type Snapshot = View<redb::ReadOnlyTable<&'static [u8], &'static [u8]>>;

/// Opens the tables of a read transaction.
pub(super) fn snapshot(around: Around, transaction: &ReadTransaction) -> Result<Snapshot> {
    View::open(around, Stage::Published, |table| transaction.open_table(table.definition()).map_err(fault::table))
}

impl dyn Read + '_ {
    /// Reads the row under a key and hands it to `read`; none where there is no row.
    ///
    /// The row borrows from redb's page, so it cannot outlive the call.
    pub(super) fn row<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl for<'r> FnOnce(&'r [u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.get(table, key)? {
            Some(guard) => read(guard.value()).map(Some),
            None => Ok(None),
        }
    }

    /// A row that borrows nothing; none where there is none.
    pub(super) fn plain<R: for<'r> Row<'r>>(&self, table: Table, key: &[u8]) -> Result<Option<R>> {
        self.row(table, key, |value| codec::decode::<R>(table, key, value))
    }

    /// A row that borrows nothing and must be there, because another row says so.
    pub(super) fn expected<R: for<'r> Row<'r>>(&self, table: Table, key: &[u8]) -> Result<R> {
        self.plain(table, key)?.ok_or_else(|| missing(<R as Row<'_>>::WHAT, key))
    }
}

/// A row that another one names is not there.
pub(super) fn missing(what: &str, key: &[u8]) -> Error {
    Error::corrupt(format!("{what} at {} is missing", codec::hex(key)))
}

/// Puts what was read among the items, or a *corrupt* among the damaged; other errors pass.
pub(super) fn sort<T>(
    read: Result<T>,
    items: &mut Vec<T>,
    damaged: &mut Vec<Damaged>,
    describe: impl FnOnce(String) -> Damaged,
) -> Result<()> {
    match read {
        Ok(item) => items.push(item),
        Err(error) if error.kind() == ErrorKind::Corrupt => damaged.push(describe(error.to_string())),
        Err(error) => return Err(error),
    }
    Ok(())
}
