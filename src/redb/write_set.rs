//! What a verb wants written. It writes nothing itself, so a verb that fails half-way has
//! written nothing, and several verbs can share a commit and a record of the log.

use std::collections::BTreeSet;

use super::codec::{self, Logged, Row};
use super::tables::{Table, of_session};
use super::view::Read;
use crate::error::Result;

/// One write.
#[derive(Debug)]
pub(super) enum Write {
    Put {
        table: Table,
        key: Vec<u8>,
        value: Vec<u8>,
        before: Before,
    },
    Remove {
        table: Table,
        key: Vec<u8>,
    },
    /// The rows of a session up to a key, included.
    RemoveOfSession {
        table: Table,
        session: u32,
        to: Vec<u8>,
    },
}

/// What stood under a key until it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// It is to be looked up.
    Unknown,
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

    /// Puts a row under a key under which nothing stands.
    pub(super) fn put_new<'a, R: Row<'a>>(&mut self, table: Table, key: impl Into<Vec<u8>>, row: &R) -> Result<()> {
        let key = key.into();
        let value = codec::encode(table, &key, row)?;
        self.put_new_value(table, key, value);
        Ok(())
    }

    /// Puts a value as it is under a key under which nothing stands.
    pub(super) fn put_new_value(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write::Put { table, key, value, before: Before::Nothing });
    }

    /// Puts a value under a key as it is.
    pub(super) fn put_value(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write::Put { table, key, value, before: Before::Unknown });
    }

    /// Removes the row under a key.
    pub(super) fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Remove { table, key: key.into() });
    }

    /// Removes the rows of a session up to a key, included, in a table whose keys begin with their session.
    pub(super) fn remove_of_session(&mut self, table: Table, session: u32, to: impl Into<Vec<u8>>) {
        self.writes.push(Write::RemoveOfSession { table, session, to: to.into() });
    }

    /// About how many bytes it writes.
    pub(super) fn size(&self) -> usize {
        let size = |write: &Write| match write {
            Write::Put { key, value, .. } => key.len() + value.len(),
            Write::Remove { key, .. } => key.len(),
            Write::RemoveOfSession { to, .. } => to.len(),
        };
        self.writes.iter().map(size).sum()
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The writes.
    pub(super) fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// How many writes there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.writes.len()
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
                Write::Put { table, key, value, before } => {
                    let unchanged = changed.insert((table.tag(), key.as_slice())) && !self.removes_of_sessions();
                    let patched = unchanged && *before == Before::Unknown && value.len() >= Logged::WHOLE_BELOW;
                    let old = if patched { view.get(*table, key)? } else { None };
                    let old = old.as_ref().map(|guard| guard.value());
                    Logged::put(table.tag(), key, old, value).write(record)?;
                }
                Write::Remove { table, key } => {
                    changed.insert((table.tag(), key));
                    Logged::Remove { table: table.tag(), key }.write(record)?;
                }
                Write::RemoveOfSession { table, session, to } => {
                    let (from, _) = of_session(*session);
                    Logged::RemoveRange { table: table.tag(), from: &from, to }.write(record)?;
                }
            }
        }
        Ok(())
    }

    fn removes_of_sessions(&self) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::RemoveOfSession { .. }))
    }
}
