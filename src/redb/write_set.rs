//! What a verb wants written. It writes nothing itself, so a verb that fails half-way has
//! written nothing, and several verbs can share a commit (and, with a log, a record of it).

use redb::Table as RedbTable;

use super::codec::{self, Row};
use super::fault;
use super::tables::Table;
use super::view::View;
use crate::error::Result;

#[derive(Debug)]
enum Write {
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    Remove { table: Table, key: Vec<u8> },
}

/// Writes, in the order in which they are applied.
#[derive(Debug, Default)]
pub(super) struct WriteSet {
    writes: Vec<Write>,
}

impl WriteSet {
    /// Puts a row under a key, in place of what stands there.
    pub(super) fn put<'a, R: Row<'a>>(&mut self, table: Table, key: impl Into<Vec<u8>>, row: &R) -> Result<()> {
        let key = key.into();
        let value = codec::encode(table, &key, row)?;
        self.writes.push(Write::Put { table, key, value });
        Ok(())
    }

    /// Removes the row under a key.
    pub(super) fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Remove { table, key: key.into() });
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Appends the writes of another set.
    pub(super) fn extend(&mut self, other: WriteSet) {
        self.writes.extend(other.writes);
    }

    /// Writes it all into the open tables of a transaction.
    pub(super) fn apply(&self, view: &mut View<RedbTable<'_, &'static [u8], &'static [u8]>>) -> Result<()> {
        for write in &self.writes {
            match write {
                Write::Put { table, key, value } => {
                    view.table_mut(*table).insert(key.as_slice(), value.as_slice()).map_err(fault::storage)?;
                }
                Write::Remove { table, key } => {
                    view.table_mut(*table).remove(key.as_slice()).map_err(fault::storage)?;
                }
            }
        }
        Ok(())
    }
}
