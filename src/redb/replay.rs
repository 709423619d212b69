//! What the log has and the file lacks, as one write set: for every key the last write of all.
//!
//! Replayed write by write, a removal of a range that the file has seen already would take rows that were
//! written after it. Folded, there is one state to arrive at, and arriving there twice changes nothing.

use std::collections::BTreeMap;

use super::codec::{Logged, patched};
use super::tables::Table;
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{Error, Result};

/// Writes of records so far.
pub(super) struct Replay<'v> {
    /// The file as it is.
    view: &'v dyn Read,
    /// The last value of each key; none where the last write removed it.
    rows: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    /// What was removed before that, both ends included.
    ranges: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

impl<'v> Replay<'v> {
    pub(super) fn over(view: &'v dyn Read) -> Self {
        Replay { view, rows: BTreeMap::new(), ranges: Vec::new() }
    }

    /// The writes of the next record.
    pub(super) fn record(&mut self, mut record: &[u8]) -> Result<()> {
        while let Some(logged) = Logged::next(&mut record)? {
            self.write(logged)?;
        }
        Ok(())
    }

    fn write(&mut self, logged: Logged<'_>) -> Result<()> {
        match logged {
            Logged::Put { table, key, value } => {
                self.rows.insert((known(table)?, key.to_vec()), Some(value.to_vec()));
            }
            Logged::Patch { table, key, old, new, changes } => {
                let key = (known(table)?, key.to_vec());
                let value = self.value(&key)?.and_then(|value| patched(&value, old, new, &changes));
                let value = value.ok_or_else(|| Error::corrupt("a record of the log changes what is not there"))?;
                self.rows.insert(key, Some(value));
            }
            Logged::Remove { table, key } => {
                self.rows.insert((known(table)?, key.to_vec()), None);
            }
            Logged::RemoveRange { table, from, to } => {
                let table = known(table)?;
                if from <= to {
                    let (from, to) = (from.to_vec(), to.to_vec());
                    self.rows.retain(|(other, key), _| *other != table || *key < from || *key > to);
                    self.ranges.push((table, from, to));
                }
            }
        }
        Ok(())
    }

    /// What stands under a key by now.
    fn value(&self, key: &(Table, Vec<u8>)) -> Result<Option<Vec<u8>>> {
        if let Some(written) = self.rows.get(key) {
            return Ok(written.clone());
        }
        let (table, key) = key;
        let removed = |(other, from, to): &(Table, Vec<u8>, Vec<u8>)| other == table && (from..=to).contains(&key);
        if self.ranges.iter().any(removed) {
            return Ok(None);
        }
        Ok(self.view.get(*table, key)?.map(|guard| guard.value().to_vec()))
    }

    /// All of it.
    pub(super) fn into_writes(self) -> WriteSet {
        let mut writes = WriteSet::default();
        for (table, from, to) in self.ranges {
            writes.remove_range(table, from, to);
        }
        for ((table, key), value) in self.rows {
            match value {
                Some(value) => writes.put_value(table, key, value),
                None => writes.remove(table, key),
            }
        }
        writes
    }
}

fn known(tag: u8) -> Result<Table> {
    Table::of_tag(tag).ok_or_else(|| Error::corrupt(format!("a record of the log names table {tag}, which is unknown")))
}
