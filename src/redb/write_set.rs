//! What a verb wants written. It writes nothing itself, so a verb that fails half-way has
//! written nothing, and several verbs can share a commit and a record of the log.

use std::collections::BTreeSet;

use redb::Table as RedbTable;

use super::codec::{self, Logged, Row};
use super::fault;
use super::tables::Table;
use super::view::{Read, View};
use crate::error::Result;

/// The tables of an open write transaction.
pub(super) type OpenTables<'t> = View<RedbTable<'t, &'static [u8], &'static [u8]>>;

#[derive(Debug)]
enum Write {
    Put {
        table: Table,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Remove {
        table: Table,
        key: Vec<u8>,
    },
    /// From one key to another, both included.
    RemoveRange {
        table: Table,
        from: Vec<u8>,
        to: Vec<u8>,
    },
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
        self.put_value(table, key, value);
        Ok(())
    }

    /// Puts a value under a key as it is.
    pub(super) fn put_value(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write::Put { table, key, value });
    }

    /// Removes the row under a key.
    pub(super) fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Remove { table, key: key.into() });
    }

    /// Removes every row from one key to another, both included.
    pub(super) fn remove_range(&mut self, table: Table, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.writes.push(Write::RemoveRange { table, from: from.into(), to: to.into() });
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Calls `each` with every key that it names; of a range, with where it begins.
    pub(super) fn each_key(&self, mut each: impl FnMut(Table, &[u8])) {
        for write in &self.writes {
            match write {
                Write::Put { table, key, .. } | Write::Remove { table, key } => each(*table, key),
                Write::RemoveRange { table, from, .. } => each(*table, from),
            }
        }
    }

    /// Appends the writes of another set.
    pub(super) fn extend(&mut self, other: WriteSet) {
        self.writes.extend(other.writes);
    }

    /// Appends it all to a record of the log. `view` is what it will be applied to.
    pub(super) fn log(&self, view: &dyn Read, record: &mut Vec<u8>) -> Result<()> {
        // What the view has under a key is what a replay will have only until the set itself changes it.
        let mut changed = BTreeSet::new();
        for write in &self.writes {
            match write {
                Write::Put { table, key, value } => {
                    let unchanged = changed.insert((table.tag(), key.as_slice())) && !self.removes_ranges();
                    let patched = unchanged && value.len() >= Logged::WHOLE_BELOW;
                    let old = if patched { view.get(*table, key)? } else { None };
                    let old = old.as_ref().map(redb::AccessGuard::value);
                    Logged::put(table.tag(), key, old, value).write(record)?;
                }
                Write::Remove { table, key } => {
                    changed.insert((table.tag(), key));
                    Logged::Remove { table: table.tag(), key }.write(record)?;
                }
                Write::RemoveRange { table, from, to } => {
                    Logged::RemoveRange { table: table.tag(), from, to }.write(record)?;
                }
            }
        }
        Ok(())
    }

    fn removes_ranges(&self) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::RemoveRange { .. }))
    }

    /// Writes it all into the open tables of a transaction.
    pub(super) fn apply(&self, view: &mut OpenTables<'_>) -> Result<()> {
        for write in &self.writes {
            match write {
                Write::Put { table, key, value } => {
                    view.table_mut(*table).insert(key.as_slice(), value.as_slice()).map_err(fault::storage)?;
                }
                Write::Remove { table, key } => {
                    view.table_mut(*table).remove(key.as_slice()).map_err(fault::storage)?;
                }
                Write::RemoveRange { table, from, to } => {
                    let range = from.as_slice()..=to.as_slice();
                    view.table_mut(*table).retain_in(range, |_, _| false).map_err(fault::storage)?;
                }
            }
        }
        Ok(())
    }
}
