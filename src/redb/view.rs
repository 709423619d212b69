//! What verbs read from: a state, that of a snapshot or the one that the next group is writing.

use std::ops::{Bound, ControlFlow, Range};

use redb::AccessGuard;

use super::body::Bodies;
use super::codec::{self, Row};
use super::place::{Age, Places};
use super::tables::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Damaged, Direction};
use crate::sync::Arc;

/// A value where it stands.
pub(super) enum Guard<'a> {
    /// In its page.
    Page(AccessGuard<'a, &'static [u8]>),
    /// In a value of its page that it shares.
    Part(AccessGuard<'a, &'static [u8]>, Range<usize>),
    /// In memory.
    Memory(Arc<[u8]>),
}

impl Guard<'_> {
    pub(super) fn value(&self) -> &[u8] {
        match self {
            Guard::Page(page) => page.value(),
            Guard::Part(page, part) => page.value().get(part.clone()).unwrap_or_default(),
            Guard::Memory(value) => value,
        }
    }
}

/// Called for each row of a scan with its key and its value, until it breaks.
pub(super) type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Called for each of some messages with its number and its value, or nothing where there is no row.
pub(super) type EachNumbered<'a> = dyn FnMut(u32, Result<Option<&[u8]>>) -> Result<()> + 'a;

/// What a verb may do: read.
pub(super) trait Read {
    /// Entries in a block of positions.
    fn block(&self) -> u32;

    /// The places that were found before.
    fn places(&self) -> &Places;

    /// The sessions that were read before.
    fn bodies(&self) -> &Bodies;

    /// What of it is published.
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

    /// Calls `each` for the messages of a session that have these numbers, which rise.
    fn messages(&self, session: u32, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()>;
}

/// What a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// All of it.
    Published,
    /// Not the writes of the last group.
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
