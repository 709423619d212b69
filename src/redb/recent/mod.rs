//! What was written and is not in the file yet: rows in memory, over those of the file.
//!
//! Groups put their writes here as they are logged; readers look here first, each in the state after its own group. A
//! checkpoint writes what stands here into the file, sorted and only the last of each key, while the next groups go to
//! another one.

mod versions;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

pub(super) use self::versions::Value;
use self::versions::Versions;
use super::tables::{self, Table};
use super::write_set::{Write, WriteSet};
use crate::page::Direction;
use crate::sync::{Arc, RwLock};

/// A key in memory.
pub(super) type Key = Arc<[u8]>;

/// About what a row takes in memory beside its key and value.
const ROW_BYTES: usize = 128;

/// The writes of consecutive groups. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Recent(RwLock<Rows>);

/// Removals of a session's rows, each with its group and the key up to which it went.
type Removals = Vec<(u64, Vec<u8>)>;

#[derive(Debug, Default)]
struct Rows {
    tables: [BTreeMap<Key, Versions>; Table::ALL.len()],
    /// Up to which key, included, a session's rows in a table were removed, and by which group; both rise. Rows that
    /// were written since stand in the tables.
    removed: BTreeMap<(Table, u32), Removals>,
    /// About how much memory it takes.
    bytes: usize,
}

/// What a group touched, to take it back by.
#[derive(Debug, Default)]
pub(super) struct Touched(Vec<(Table, Key)>, Vec<(Table, u32)>);

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty() && self.1.is_empty()
    }

    /// Whether it touched a table.
    pub(super) fn has(&self, table: Table) -> bool {
        self.0.iter().any(|(touched, _)| *touched == table) || self.1.iter().any(|(touched, _)| *touched == table)
    }
}

impl Recent {
    /// Takes in writes of a group, which is the last one. Nobody reads states before the `oldest` group.
    pub(super) fn apply(&self, group: u64, writes: WriteSet, oldest: u64, touched: &mut Touched) {
        let mut rows = self.0.write();
        for write in writes.into_writes() {
            match write {
                Write::Put { table, key, value, .. } => {
                    let key = rows.set(group, table, &key, Some(value.into()), oldest);
                    touched.0.push((table, key));
                }
                Write::Remove { table, key } => {
                    let key = rows.set(group, table, &key, None, oldest);
                    touched.0.push((table, key));
                }
                Write::RemoveOfSession { table, session, to } => {
                    for key in rows.keys(table, session, &to) {
                        let key = rows.set(group, table, &key, None, oldest);
                        touched.0.push((table, key));
                    }
                    let removals = rows.removed.entry((table, session)).or_default();
                    let to = match removals.last() {
                        Some((_, before)) if *before > to => before.clone(),
                        _ => to,
                    };
                    removals.push((group, to));
                    touched.1.push((table, session));
                }
            }
        }
    }

    /// Takes back all that the last group wrote.
    pub(super) fn undo(&self, group: u64, touched: Touched) {
        let mut rows = self.0.write();
        let Touched(keys, sessions) = touched;
        for (table, key) in keys {
            let Some(table) = rows.tables.get_mut(table.index()) else { continue };
            if table.get_mut(&key).is_some_and(|versions| !versions.undo(group)) {
                table.remove(&key);
            }
        }
        for session in sessions {
            if let Some(removed) = rows.removed.get_mut(&session) {
                removed.retain(|(by, _)| *by != group);
            }
        }
    }

    /// What a key held after a group; none where nothing here says.
    pub(super) fn get(&self, table: Table, key: &[u8], group: u64) -> Option<Value> {
        let rows = self.0.read();
        match rows.table(table).get(key).and_then(|versions| versions.at(group)) {
            Some(value) => Some(value.clone()),
            None => rows.removed_to(table, key, group).map(|_| None),
        }
    }

    /// The rows between two keys as they were after a group, in a direction, at most `most`. What was removed
    /// stands there without a value.
    pub(super) fn between(
        &self,
        table: Table,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        group: u64,
        most: usize,
    ) -> Vec<(Key, Value)> {
        if is_empty(from, to) {
            return Vec::new();
        }
        let rows = self.0.read();
        let range = rows.table(table).range::<[u8], _>((from, to));
        let seen = |(key, versions): (&Key, &Versions)| Some((Arc::clone(key), versions.at(group)?.clone()));
        match direction {
            Direction::Asc => range.filter_map(seen).take(most).collect(),
            Direction::Desc => range.rev().filter_map(seen).take(most).collect(),
        }
    }

    /// Where a removal that has this key ends; none where no removal until the group has it.
    pub(super) fn removed_to(&self, table: Table, key: &[u8], group: u64) -> Option<Vec<u8>> {
        self.0.read().removed_to(table, key, group).map(<[u8]>::to_vec)
    }

    /// Whether rows of any session were removed as a whole.
    pub(super) fn removes(&self, table: Table) -> bool {
        let rows = self.0.read();
        rows.removed.range((table, 0)..=(table, u32::MAX)).next().is_some()
    }

    /// Whether rows of a session were removed as a whole.
    pub(super) fn removes_of(&self, table: Table, session: u32) -> bool {
        self.0.read().removed.contains_key(&(table, session))
    }

    /// Calls `removed` with what was removed of sessions, and `row` with the last state of each row in order; in this
    /// order they arrive at the same rows as the groups did.
    pub(super) fn each<E>(
        &self,
        mut removed: impl FnMut(Table, u32, &[u8]) -> Result<(), E>,
        mut row: impl FnMut(Table, &[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rows = self.0.read();
        for ((table, session), removals) in &rows.removed {
            if let Some((_, to)) = removals.last() {
                removed(*table, *session, to)?;
            }
        }
        for table in Table::ALL {
            for (key, versions) in rows.table(table) {
                row(table, key, versions.last().as_deref())?;
            }
        }
        Ok(())
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.read().bytes
    }
}

impl Rows {
    #[expect(clippy::indexing_slicing, reason = "there are as many tables as `Table` has values")]
    fn table(&self, table: Table) -> &BTreeMap<Key, Versions> {
        &self.tables[table.index()]
    }

    fn set(&mut self, group: u64, table: Table, key: &[u8], value: Value, oldest: u64) -> Key {
        let key = Key::from(key);
        let size = value.as_ref().map_or(0, |value| value.len());
        let Some(rows) = self.tables.get_mut(table.index()) else { return key };
        match rows.entry(Arc::clone(&key)) {
            Entry::Vacant(entry) => {
                entry.insert(Versions::new(group, value));
                self.bytes += ROW_BYTES + key.len() + size;
            }
            Entry::Occupied(mut entry) => {
                let before = entry.get().last().as_ref().map_or(0, |value| value.len());
                entry.get_mut().push(group, value, oldest);
                self.bytes = (self.bytes + size).saturating_sub(before);
            }
        }
        key
    }

    /// The keys of a session in a table up to one.
    fn keys(&self, table: Table, session: u32, to: &[u8]) -> Vec<Key> {
        let (from, _) = tables::of_session(session);
        let between = (Bound::Included(from.as_slice()), Bound::Included(to));
        if is_empty(between.0, between.1) {
            return Vec::new();
        }
        self.table(table).range::<[u8], _>(between).map(|(key, _)| Arc::clone(key)).collect()
    }

    fn removed_to(&self, table: Table, key: &[u8], group: u64) -> Option<&[u8]> {
        if self.removed.is_empty() {
            return None;
        }
        let removals = self.removed.get(&(table, tables::session_of(key)?))?;
        let until = removals.partition_point(|(by, _)| *by <= group);
        let (_, to) = removals.get(until.checked_sub(1)?)?;
        (key <= to.as_slice()).then_some(to)
    }
}

/// Whether nothing can stand between two keys.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        _ => false,
    }
}
