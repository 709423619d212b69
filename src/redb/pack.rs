//! Rows of a session that are numbered without gaps and never move, messages and events, share values of the file: a *pack*
//! holds as many as fill a page, under the key of the first. redb leaves pages half empty where a session grows
//! in the midst of its table; a value that fills a page leaves nothing, and a page of messages is a tenth as many look-ups.
//!
//! ```text
//! [length u16 (65,535: length u32 follows; 0: no row), the row as it would stand alone] for each number from the first on
//! ```
//!
//! Only the file has packs: in memory, and in the log, rows stand for themselves. A row keeps its own checksum, so
//! that a damaged one hides no other. Where a length is damaged, what follows it in its pack is missing.

use std::ops::Range;

use super::tables::{Table, rows::Kind};

/// Bytes of a value that fills a page of redb's alone, with its key.
pub(super) const BYTES: usize = 4096 - 4 - 2 * size_of::<u32>() - 13;

/// A length that does not fit stands behind this.
const LONG: u16 = u16::MAX;

/// What a key begins with: the session and the kind.
const PREFIX: usize = 5;

/// The place of a row that shares a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'k> {
    pub(super) prefix: &'k [u8],
    pub(super) number: u64,
    /// Bytes of the number in a key.
    width: usize,
}

impl<'k> Place<'k> {
    /// Of a key; none where its row stands alone.
    pub(super) fn of(table: Table, key: &'k [u8]) -> Option<Self> {
        if table != Table::Rows {
            return None;
        }
        let (prefix, number) = key.split_at_checked(PREFIX)?;
        let kind = *prefix.last()?;
        let number = match number.len() {
            4 if kind == Kind::Message as u8 => u64::from(u32::from_be_bytes(number.try_into().ok()?)),
            8 if kind == Kind::Change as u8 => u64::from_be_bytes(number.try_into().ok()?),
            _ => return None,
        };
        Some(Place { prefix, number, width: key.len() - PREFIX })
    }

    /// The key of the row that is so many after this one.
    pub(super) fn key(self, after: u64) -> Vec<u8> {
        let number = self.number.saturating_add(after).to_be_bytes();
        let (_, number) = number.split_at(number.len() - self.width);
        [self.prefix, number].concat()
    }

    /// How many rows it stands after the one whose key this is; none where that is no row before it of the same kind.
    pub(super) fn after(self, key: &[u8]) -> Option<u64> {
        let first = Place::of(Table::Rows, key).filter(|first| first.prefix == self.prefix)?;
        self.number.checked_sub(first.number)
    }
}

/// Where the next row of a pack begins, and which it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    pub(super) nth: u64,
    at: usize,
}

impl Step {
    /// Whether nothing follows.
    pub(super) fn is_end(self, pack: &[u8]) -> bool {
        self.at == pack.len()
    }
}

/// The next row, and the one after it; none at the end. No row has an empty range.
pub(super) fn next(pack: &[u8], step: Step) -> Option<(Range<usize>, Step)> {
    let (length, rest) = pack.get(step.at..)?.split_first_chunk::<2>()?;
    let (length, begin) = match u16::from_le_bytes(*length) {
        LONG => (u32::from_le_bytes(*rest.first_chunk()?), step.at + 6),
        length => (u32::from(length), step.at + 2),
    };
    let end = begin.checked_add(usize::try_from(length).ok()?)?;
    (end <= pack.len()).then_some((begin..end, Step { nth: step.nth + 1, at: end }))
}

/// Where the row of this number stands, counted from 0, seen from a row before it or itself; none where there is none.
pub(super) fn find(pack: &[u8], mut from: Step, nth: u64) -> Option<(Range<usize>, Step)> {
    loop {
        let (row, step) = next(pack, from)?;
        if from.nth == nth {
            return Some((row, step));
        }
        from = step;
    }
}

/// How many rows it has, those included that are none.
fn count(pack: &[u8]) -> u64 {
    let mut step = Step::default();
    while let Some((_, after)) = next(pack, step) {
        step = after;
    }
    step.nth
}

fn push(pack: &mut Vec<u8>, row: &[u8]) {
    match u16::try_from(row.len()) {
        Ok(length) if length < LONG => pack.extend(length.to_le_bytes()),
        _ => {
            pack.extend(LONG.to_le_bytes());
            // A row has 24 MiB at most.
            pack.extend(u32::try_from(row.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
    pack.extend(row);
}

/// A pack under change.
#[derive(Debug)]
pub(super) struct Open {
    /// The key of its first row.
    pub(super) key: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    count: u64,
}

/// What became of a row that was to go into a pack.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Went {
    In,
    /// It is not one of this pack, and none follows that it could be.
    Beyond,
}

impl Open {
    /// One of one row.
    pub(super) fn new(key: &[u8], row: &[u8]) -> Self {
        let mut bytes = Vec::new();
        push(&mut bytes, row);
        Open { key: key.to_vec(), bytes, count: 1 }
    }

    /// One that is there.
    pub(super) fn there(key: &[u8], bytes: &[u8]) -> Self {
        Open { key: key.to_vec(), bytes: bytes.to_vec(), count: count(bytes) }
    }

    /// Puts a row at its place, or nothing there.
    pub(super) fn set(&mut self, place: Place<'_>, row: Option<&[u8]>) -> Went {
        let Some(nth) = place.after(&self.key) else { return Went::Beyond };
        if nth < self.count {
            self.replace(nth, row.unwrap_or_default());
            return Went::In;
        }
        match row {
            Some(row) if nth == self.count && self.bytes.len() + row.len() + 2 <= BYTES => {
                push(&mut self.bytes, row);
                self.count += 1;
                Went::In
            }
            Some(_) => Went::Beyond,
            // There is nothing to remove.
            None => Went::In,
        }
    }

    fn replace(&mut self, nth: u64, row: &[u8]) {
        let mut before = Step::default();
        if nth > 0
            && let Some((_, step)) = find(&self.bytes, before, nth - 1)
        {
            before = step;
        }
        let Some((_, after)) = next(&self.bytes, before) else { return };
        let mut replaced = Vec::new();
        push(&mut replaced, row);
        self.bytes.splice(before.at..after.at, replaced);
    }

    /// Whether no row is left.
    pub(super) fn is_empty(&self) -> bool {
        let mut step = Step::default();
        while let Some((row, after)) = next(&self.bytes, step) {
            if !row.is_empty() {
                return false;
            }
            step = after;
        }
        true
    }
}

/// What of a pack stands behind a row: its key and its bytes; none where nothing does.
pub(super) fn behind(key: &[u8], pack: &[u8], last: Place<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, after) = find(pack, Step::default(), last.after(key)?)?;
    let rest = pack.get(after.at..).filter(|rest| !rest.is_empty())?;
    Some((last.key(1), rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::redb::tables::rows;

    fn key(number: u32) -> [u8; 9] {
        rows::numbered(7, Kind::Message, number)
    }

    fn all(pack: &[u8]) -> Vec<Vec<u8>> {
        let (mut all, mut step) = (Vec::new(), Step::default());
        while let Some((row, after)) = next(pack, step) {
            all.push(pack[row].to_vec());
            step = after;
        }
        all
    }

    #[test]
    fn rows_go_in_until_the_page_is_full_and_large_ones_stand_alone() {
        let row = vec![1; 500];
        let mut open = Open::new(&key(1), &row);
        let mut number = 2;
        while open.set(Place::of(Table::Rows, &key(number)).expect("a place"), Some(&row)) == Went::In {
            number += 1;
        }
        assert_eq!((number, all(&open.bytes).len(), open.bytes.len()), (9, 8, 8 * 502));
        let large = Open::new(&key(1), &vec![3; 100_000]);
        assert_eq!(all(&large.bytes), [vec![3; 100_000]]);
    }

    #[test]
    fn a_row_is_replaced_or_taken_away_and_the_others_stay() {
        let mut open = Open::new(&key(5), &[1]);
        for number in 6..9 {
            open.set(Place::of(Table::Rows, &key(number)).expect("a place"), Some(&[number as u8; 3]));
        }
        open.set(Place::of(Table::Rows, &key(6)).expect("a place"), Some(&[9; 70_000]));
        open.set(Place::of(Table::Rows, &key(5)).expect("a place"), None);
        assert_eq!(all(&open.bytes), [vec![], vec![9; 70_000], vec![7; 3], vec![8; 3]]);
        assert_eq!(open.set(Place::of(Table::Rows, &key(4)).expect("a place"), Some(&[4])), Went::Beyond);
        assert_eq!(open.set(Place::of(Table::Rows, &key(10)).expect("a place"), Some(&[4])), Went::Beyond);
        let last = key(7);
        let (rest_key, rest) =
            behind(&open.key, &open.bytes, Place::of(Table::Rows, &last).expect("a place")).expect("one");
        assert_eq!((rest_key.as_slice(), all(&rest)), (&key(8)[..], vec![vec![8; 3]]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_go_on_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..300), nth in 0..400_u64) {
            let open = Open::there(&key(1), &bytes);
            prop_assert!(open.count <= 150);
            find(&bytes, Step::default(), nth);
            let mut changed = Open::there(&key(1), &bytes);
            changed.set(Place::of(Table::Rows, &key(1 + nth as u32)).expect("a place"), Some(&[1, 2, 3]));
            changed.is_empty();
        }
    }
}
