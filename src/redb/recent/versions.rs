//! What a key held after each of some groups.

use crate::sync::Arc;

/// A value, or that there is none any more.
pub(in crate::redb) type Value = Option<Arc<[u8]>>;

/// What a key held from a group on.
#[derive(Debug)]
struct Version {
    group: u64,
    value: Value,
}

/// The last value of a key, and those before it that somebody may still read.
#[derive(Debug)]
pub(super) struct Versions {
    newest: Version,
    /// Their groups rise.
    older: Vec<Version>,
}

impl Versions {
    pub(super) fn new(group: u64, value: Value) -> Self {
        Versions { newest: Version { group, value }, older: Vec::new() }
    }

    /// What the key holds from this group on, which is the last one. Nobody reads states before the `oldest` group.
    pub(super) fn push(&mut self, group: u64, value: Value, oldest: u64) {
        if self.newest.group == group {
            self.newest.value = value;
            return;
        }
        let before = std::mem::replace(&mut self.newest, Version { group, value });
        if before.group <= oldest {
            self.older.clear();
        } else {
            let unread = self.older.partition_point(|version| version.group <= oldest).saturating_sub(1);
            self.older.drain(..unread);
        }
        self.older.push(before);
    }

    /// What it held after a group; none where it was not written until then.
    pub(super) fn at(&self, group: u64) -> Option<&Value> {
        if self.newest.group <= group {
            return Some(&self.newest.value);
        }
        self.older.iter().rev().find(|version| version.group <= group).map(|version| &version.value)
    }

    /// What it holds in the end.
    pub(super) fn last(&self) -> &Value {
        &self.newest.value
    }

    /// Takes back what the last group wrote. Whether anything is left.
    pub(super) fn undo(&mut self, group: u64) -> bool {
        if self.newest.group != group {
            return true;
        }
        match self.older.pop() {
            Some(before) => {
                self.newest = before;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(byte: u8) -> Value {
        Some(Arc::from([byte]))
    }

    fn at(versions: &Versions, group: u64) -> Option<Option<u8>> {
        versions.at(group).map(|value| value.as_deref().map(|value| value[0]))
    }

    #[test]
    fn a_reader_sees_what_stood_there_after_its_group() {
        let mut versions = Versions::new(3, value(3));
        versions.push(5, None, 0);
        versions.push(8, value(8), 0);
        let seen = [2, 3, 4, 5, 7, 8, 9].map(|group| at(&versions, group));
        assert_eq!(seen, [None, Some(Some(3)), Some(Some(3)), Some(None), Some(None), Some(Some(8)), Some(Some(8))]);
    }

    #[test]
    fn what_nobody_reads_any_more_goes_and_the_rest_stays() {
        let mut versions = Versions::new(1, value(1));
        (2..=9).for_each(|group| versions.push(group, value(group as u8), 0));
        versions.push(10, value(10), 6);
        assert_eq!([6, 7, 8, 9, 10].map(|group| at(&versions, group)), [6, 7, 8, 9, 10].map(|n| Some(Some(n))));
        assert_eq!(at(&versions, 5), None);
        versions.push(12, value(12), 10);
        assert_eq!((versions.older.len(), at(&versions, 11), at(&versions, 12)), (1, Some(Some(10)), Some(Some(12))));
    }

    #[test]
    fn a_group_is_taken_back_whole() {
        let mut versions = Versions::new(1, value(1));
        versions.push(2, value(2), 1);
        versions.push(2, None, 1);
        assert!(versions.undo(2));
        assert_eq!(at(&versions, 2), Some(Some(1)));
        assert!(!versions.undo(1), "nothing is left");
    }
}
