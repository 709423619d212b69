//! Writing into the file what is in memory alone, in one commit: sorted, the last state of each row, and in packs the rows
//! that share a value ([`pack`]).

use std::cell::RefCell;
use std::ops::Bound;

use redb::{Database, ReadableTable, WriteTransaction};

use super::codec::{self, GroupRow};
use super::fault;
use super::file::{durable, set};
use super::pack::{self, Open, Place, Went};
use super::recent::Recent;
use super::tables::{Table, meta, of_session};
use crate::error::Result;

/// How a commit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// For good.
    Durably,
    /// As long as the process lives.
    InMemory,
}

/// Puts into the file what was written since, the oldest first, and how far the file has come, in one commit.
pub(super) fn put(database: &Database, recent: &[&Recent], row: GroupRow, kept: Kept) -> Result<()> {
    let mut transaction = database.begin_write().map_err(fault::transaction)?;
    let written = fault::guarded_writing(|| {
        match kept {
            Kept::Durably => durable(&mut transaction)?,
            Kept::InMemory => set(&mut transaction, redb::Durability::None)?,
        }
        let mut tables = Tables::open(&transaction)?;
        recent.iter().try_for_each(|recent| {
            let tables = RefCell::new(&mut tables);
            recent.each(
                |table, session, to| tables.borrow_mut().remove_of_session(table, session, to),
                |table, key, value| tables.borrow_mut().set(table, key, value),
            )
        })?;
        tables.close_pack()?;
        let value = codec::encode(Table::Meta, meta::GROUP, &row)?;
        tables.set(Table::Meta, meta::GROUP, Some(&value))
    });
    match written {
        Ok(()) => fault::committing(|| transaction.commit().map_err(fault::commit)),
        Err(error) => {
            // Explicitly: a transaction dropped by an unwinding thread marks the file for repair. Where that fails too, it is for
            // the same reason, and says less of it.
            let _ = transaction.abort();
            Err(error)
        }
    }
}

type Bytes = &'static [u8];

/// The tables of an open write transaction.
struct Tables<'t> {
    tables: [redb::Table<'t, Bytes, Bytes>; Table::ALL.len()],
    /// The pack that was written to last, and where the next one of its kind begins.
    open: Option<(Open, Option<Vec<u8>>)>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self> {
        let open = |table: Table| transaction.open_table(table.definition()).map_err(fault::table);
        let [a, b, c, d, e, f, g, h] = Table::ALL;
        let tables = [open(a)?, open(b)?, open(c)?, open(d)?, open(e)?, open(f)?, open(g)?, open(h)?];
        Ok(Tables { tables, open: None })
    }

    #[expect(clippy::indexing_slicing, reason = "there are as many tables as `Table` has values")]
    fn table(&mut self, table: Table) -> &mut redb::Table<'t, Bytes, Bytes> {
        &mut self.tables[table.index()]
    }

    fn set(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        match Place::of(table, key) {
            Some(place) => self.set_in_pack(place, key, value),
            None => self.set_alone(table, key, value),
        }
    }

    fn set_alone(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        match value {
            Some(value) => self.table(table).insert(key, value).map(drop),
            None => self.table(table).remove(key).map(drop),
        }
        .map_err(fault::storage)
    }

    fn set_in_pack(&mut self, place: Place<'_>, key: &[u8], row: Option<&[u8]>) -> Result<()> {
        let is_of_open = |(_, next): &(Open, Option<Vec<u8>>)| next.as_deref().is_none_or(|next| key < next);
        if let Some((open, _)) = self.open.as_mut().filter(|open| is_of_open(open))
            && open.set(place, row) == Went::In
        {
            return Ok(());
        }
        self.close_pack()?;
        let (before, next) = self.around(place, key)?;
        if let Some((first, pack)) = before {
            let mut open = Open::there(&first, &pack);
            if open.set(place, row) == Went::In {
                self.open = Some((open, next));
                return Ok(());
            }
        }
        self.open = row.map(|row| (Open::new(key, row), next));
        Ok(())
    }

    /// The pack in which a row may stand, and where the next of its kind begins.
    #[expect(clippy::type_complexity, reason = "a row and a key, said once")]
    fn around(&mut self, place: Place<'_>, key: &[u8]) -> Result<(Option<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>)> {
        let rows = self.table(Table::Rows);
        let mut cursor = rows.upper_bound(Bound::Included(key)).map_err(fault::storage)?;
        let before = match cursor.prev().map_err(fault::storage)? {
            Some((first, pack)) => {
                cursor.next().map_err(fault::storage)?;
                place.after(first.value()).map(|_| (first.value().to_vec(), pack.value().to_vec()))
            }
            None => None,
        };
        let next = cursor.next().map_err(fault::storage)?;
        let next =
            next.filter(|(next, _)| Place::of(Table::Rows, next.value()).is_some_and(|n| n.prefix == place.prefix));
        Ok((before, next.map(|(next, _)| next.value().to_vec())))
    }

    /// Writes the pack that was written to last.
    fn close_pack(&mut self) -> Result<()> {
        let Some((open, _)) = self.open.take() else { return Ok(()) };
        let value = Some(open.bytes.as_slice()).filter(|_| !open.is_empty());
        self.set_alone(Table::Rows, &open.key, value)
    }

    fn remove_of_session(&mut self, table: Table, session: u32, to: &[u8]) -> Result<()> {
        self.close_pack()?;
        let mut rest = None;
        if let Some(last) = Place::of(table, to) {
            let (before, _) = self.around(last, to)?;
            rest = before.and_then(|(first, pack)| pack::behind(&first, &pack, last));
        }
        let (from, _) = of_session(session);
        self.table(table).retain_in(&from[..]..=to, |_, _| false).map_err(fault::storage)?;
        match rest {
            Some((key, pack)) => self.set_alone(table, &key, Some(&pack)),
            None => Ok(()),
        }
    }
}
