//! A state of the store: what the file has, and over it what is in memory alone.

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};

use super::base::{Base, Pages, Walk};
use super::body::Bodies;
use super::place::{Age, Places};
use super::recent::{Key, Recent, Value};
use super::tables::{Table, rows};
use super::view::{Around, Each, EachNumbered, Guard, Read, Stage};
use crate::error::Result;
use crate::page::Direction;
use crate::sync::{Arc, OnceLock};

/// Rows in memory are taken this many at a time.
const AHEAD: usize = 32;

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

    /// What the file has.
    pub(super) fn base(&self) -> &Base {
        &self.layers.base
    }

    /// About how much memory the rows take that the file has yet to get.
    pub(super) fn recent_bytes(&self) -> usize {
        self.layers.recent.iter().map(|recent| recent.bytes()).sum()
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
            Stage::Published => match self.age.get() {
                Some(age) => *age,
                // Read without holding up others who ask: they read the same.
                None => {
                    let age = Age::of(self).ok();
                    *self.age.get_or_init(|| age)
                }
            },
            // The group may go on changing it.
            Stage::Open => Age::of(self).ok(),
        }
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
        if let Some(value) = self.in_memory(table, key) {
            return Ok(value.map(Guard::Memory));
        }
        self.layers.base.get(table, key)
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
        let mut pages = Pages::new(&self.layers.base, table, between, direction)?;
        // What is removed from now on is of later states. Most tables never have any.
        let removes = self.layers.recent.iter().any(|recent| recent.removes(table));
        let removed_to = |newest, key: &[u8]| if removes { self.removed_to(newest, table, key) } else { None };
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
                    if let Some(to) = pages.head().and_then(|key| removed_to(usize::MAX, key)) {
                        pages.skip(&to)?;
                        continue;
                    }
                    let Some(row) = pages.take()? else { return Ok(()) };
                    each(row.key(), row.value())?
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
                        Some(value) if removed_to(nth, &key).is_none() => each(&key, &value)?,
                        _ => ControlFlow::Continue(()),
                    }
                }
            };
            if told.is_break() {
                return Ok(());
            }
        }
    }

    fn messages(&self, session: u32, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()> {
        let kind = rows::Kind::Message;
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(()) };
        let [first, last] = [first, last].map(|number| rows::numbered(session, kind, *number));
        let newer = self.first_in_memory(Table::Rows, session, &first, &last);
        let mut walk = Walk::of(self.layers.base.table(Table::Rows));
        for number in numbers {
            let key = rows::numbered(session, kind, *number);
            if newer.as_ref().is_some_and(|newer| key[..] >= newer[..])
                && let Some(value) = self.in_memory(Table::Rows, &key)
            {
                each(*number, Ok(value.as_deref()))?;
                continue;
            }
            match walk.to(&key) {
                Ok(value) => each(*number, Ok(value))?,
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

#[cfg(test)]
mod tests;
