//! A write as it stands in a record of the log, in bincode's form: one after the other, to the end of the record.
//!
//! A value that was there before and changed little, such as a block of positions, is written as what changed
//! of it, so that an append of eight bytes does not put a kilobyte into the log.

use bincode::{BorrowDecode, Encode};

use super::{from_bincode_prefix, to_bincode};
use crate::error::{Error, Result};

/// Changes that lie so close together are one.
const APART: usize = 8;

/// What a record says of a key. Tables are their tags.
#[derive(Debug, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) enum Logged<'a> {
    /// The value under a key.
    Put { table: u8, key: &'a [u8], value: &'a [u8] },
    /// What changed of the value under a key: how long it was and is, and what stands where.
    Patch { table: u8, key: &'a [u8], old: u32, new: u32, changes: Vec<(u32, &'a [u8])> },
    /// Nothing stands under a key any more.
    Remove { table: u8, key: &'a [u8] },
    /// Nothing stands from one key to another, both included.
    RemoveRange { table: u8, from: &'a [u8], to: &'a [u8] },
}

impl<'a> Logged<'a> {
    /// A value shorter than this is written whole: saying what changed would take as much.
    pub(in crate::redb) const WHOLE_BELOW: usize = 96;

    /// The value under a key, where this one stood before.
    pub(in crate::redb) fn put(table: u8, key: &'a [u8], old: Option<&[u8]>, new: &'a [u8]) -> Self {
        let whole = Logged::Put { table, key, value: new };
        let Some(old) = old.filter(|_| new.len() >= Self::WHOLE_BELOW) else { return whole };
        let changes = changes(old, new);
        let said: usize = changes.iter().map(|(_, bytes)| bytes.len() + APART).sum();
        let lengths = (u32::try_from(old.len()), u32::try_from(new.len()));
        match lengths {
            (Ok(old), Ok(new_length)) if said < new.len() / 2 => {
                Logged::Patch { table, key, old, new: new_length, changes }
            }
            _ => whole,
        }
    }

    /// Appends it to a record.
    pub(in crate::redb) fn write(&self, record: &mut Vec<u8>) -> Result<()> {
        to_bincode(self, record).map_err(|why| Error::invalid("a write cannot be encoded").with_source(why))
    }

    /// Takes the next one off a record; none at its end.
    pub(in crate::redb) fn next(record: &mut &'a [u8]) -> Result<Option<Self>> {
        if record.is_empty() {
            return Ok(None);
        }
        let (logged, rest) = from_bincode_prefix(record)
            .map_err(|why| Error::corrupt("a record of the log cannot be decoded").with_source(why))?;
        *record = rest;
        Ok(Some(logged))
    }
}

/// What a value is after these changes; none where they do not fit it.
pub(in crate::redb) fn patched(old: &[u8], expected: u32, new: u32, changes: &[(u32, &[u8])]) -> Option<Vec<u8>> {
    let length = usize::try_from(new).ok()?;
    if old.len() != usize::try_from(expected).ok()? || length > super::VALUE_BYTES {
        return None;
    }
    let mut value = old.to_vec();
    value.resize(length, 0);
    for (at, bytes) in changes {
        let at = usize::try_from(*at).ok()?;
        value.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    }
    Some(value)
}

/// Where two values differ: in the second, with what stands there.
fn changes<'n>(old: &[u8], new: &'n [u8]) -> Vec<(u32, &'n [u8])> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut mark = |from: usize, to: usize| match ranges.last_mut() {
        Some((_, end)) if from <= *end + APART => *end = to,
        _ => ranges.push((from, to)),
    };
    let common = old.len().min(new.len());
    for (nth, (before, after)) in old.chunks(APART).zip(new.chunks(APART)).enumerate() {
        if before != after {
            let from = nth * APART;
            mark(from, (from + APART).min(common));
        }
    }
    if new.len() > common {
        mark(common, new.len());
    }
    let part = |(from, to): (usize, usize)| Some((u32::try_from(from).ok()?, new.get(from..to)?));
    ranges.into_iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(record: &[u8], old: &[u8]) -> Vec<u8> {
        let mut rest = record;
        let logged = Logged::next(&mut rest).expect("it decodes").expect("there is one");
        assert!(rest.is_empty());
        match logged {
            Logged::Put { value, .. } => value.to_vec(),
            Logged::Patch { old: expected, new, changes, .. } => {
                patched(old, expected, new, &changes).expect("it fits")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn eight_bytes_at_the_end_of_a_block_are_a_short_record() {
        let old: Vec<u8> = (0..1024_u32).map(|n| n as u8).collect();
        // A block ends with its checksum, which changes too.
        let new = [&old[..1020], &[1; 8], &[9; 4]].concat();
        let mut record = Vec::new();
        Logged::put(3, b"key", Some(&old), &new).write(&mut record).expect("it encodes");
        assert!(record.len() < 48, "{} bytes", record.len());
        assert_eq!(back(&record, &old), new);
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let old: Vec<u8> = (0..64).collect();
        assert!(changes(&old, &old).is_empty() && changes(&old, &old[..40]).is_empty());
        assert_eq!(changes(&old, &[&old[..], &[1, 2]].concat()), [(64, &[1, 2][..])]);
        let mut new = old.clone();
        (new[0], new[63]) = (9, 9);
        assert_eq!(changes(&old, &new).len(), 2, "what stands between them is not said again");
    }

    #[test]
    fn a_patch_of_another_value_does_not_fit() {
        assert_eq!(patched(&[1; 10], 11, 12, &[]), None);
        assert_eq!(patched(&[1; 10], 10, 12, &[(11, &[1, 2])]), None);
        assert_eq!(patched(&[1; 10], 10, u32::MAX, &[]), None);
        assert_eq!(patched(&[1; 2], 2, 3, &[(2, &[7])]), Some(vec![1, 1, 7]));
    }

    proptest! {
        #[test]
        fn a_value_comes_back_whatever_changed_of_it(
            old in proptest::collection::vec(0..4_u8, 0..400),
            new in proptest::collection::vec(0..4_u8, 0..400),
            shared in 0..400_usize,
        ) {
            let shared = shared.min(old.len());
            let new = [&old[..shared], &new[..]].concat();
            let mut record = Vec::new();
            Logged::put(1, b"k", Some(&old), &new).write(&mut record).expect("it encodes");
            prop_assert_eq!(back(&record, &old), new);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = Logged::next(&mut rest) {}
        }
    }
}
