//! The times of a session: one entry a message, in blocks by number.

use super::Class;
use crate::bug::{Bug, is_planted};
use crate::error::{Error, Result};
use crate::limit::TS_MICROS_MAX;
use crate::redb::codec::{self, BlockRow};
use crate::redb::tables::{Table, rows};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;

const TS_BITS: u32 = 52;
const DELETED: u64 = 1 << 63;
const _: () = assert!(TS_MICROS_MAX < 1 << TS_BITS);

/// A message's `ts`, class and whether it was deleted: in 52, 4 and 1 of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) struct Entry(u64);

impl Entry {
    pub(in crate::redb) const fn new(ts: u64, class: Class) -> Self {
        Entry((class.0 as u64) << TS_BITS | ts)
    }

    pub(in crate::redb) const fn ts(self) -> u64 {
        self.0 & ((1 << TS_BITS) - 1)
    }

    pub(in crate::redb) const fn class(self) -> Class {
        Class((self.0 >> TS_BITS) as u8 & 0xf)
    }

    pub(in crate::redb) const fn is_deleted(self) -> bool {
        self.0 & DELETED != 0
    }

    #[must_use]
    pub(in crate::redb) const fn deleted(self) -> Self {
        Entry(self.0 | DELETED)
    }
}

/// A block as it is stored; empty where there is none yet.
pub(super) fn read_block(view: &dyn Read, session: u32, number: u32) -> Result<Vec<Entry>> {
    let key = rows::numbered(session, rows::Kind::Times, number);
    let entries = view.row(Table::Rows, &key, |value| {
        let row: BlockRow<'_> = codec::decode(Table::Rows, &key, value)?;
        Ok(row.packed.as_chunks().0.iter().map(|entry| Entry(u64::from_le_bytes(*entry))).collect())
    })?;
    Ok(entries.unwrap_or_default())
}

/// Writes a block.
pub(super) fn write_block(writes: &mut WriteSet, session: u32, number: u32, entries: &[Entry]) -> Result<()> {
    let packed: Vec<u8> = entries.iter().flat_map(|entry| entry.0.to_le_bytes()).collect();
    writes.put(Table::Rows, rows::numbered(session, rows::Kind::Times, number), &BlockRow { packed: &packed })
}

/// The block of a message, and its place in it.
pub(super) const fn place(number: u32, block: u32) -> (u32, usize) {
    let index = number.saturating_sub(1);
    (index / block, (index % block) as usize)
}

/// The times of a session, read block by block.
pub(in crate::redb) struct Times<'v> {
    view: &'v dyn Read,
    session: u32,
    /// How many messages there are.
    messages: u32,
    /// The block read last, and its number.
    read: Option<(u32, Vec<Entry>)>,
}

impl<'v> Times<'v> {
    pub(in crate::redb) fn new(view: &'v dyn Read, session: u32, messages: u32) -> Self {
        Times { view, session, messages, read: None }
    }

    /// The entries of a block.
    pub(in crate::redb) fn block(&mut self, number: u32) -> Result<&[Entry]> {
        if self.read.as_ref().is_none_or(|(read, _)| *read != number) {
            self.read = Some((number, read_block(self.view, self.session, number)?));
        }
        Ok(self.read.as_ref().map_or(&[], |(_, entries)| entries))
    }

    /// The entry of a message.
    pub(in crate::redb) fn entry(&mut self, number: u32) -> Result<Entry> {
        let (block, index) = place(number, self.view.block());
        let entry = self.block(block)?.get(index).copied();
        entry.ok_or_else(|| Error::corrupt(format!("message {number} has no entry in the times")))
    }

    /// The first message whose `ts` is greater, or the one after the last.
    pub(in crate::redb) fn first_after(&mut self, ts: u64) -> Result<u32> {
        let per_block = self.view.block();
        let (last, _) = place(self.messages, per_block);
        // Clients poll from near the end: the last block first, then bisection over the others.
        let (mut low, mut high) = (0, last);
        let mut middle = last;
        while low < high {
            if self.first_ts(middle)? <= ts {
                low = middle;
            } else {
                high = middle - 1;
            }
            middle = low + (high - low).div_ceil(2);
        }
        // Where the first block is the last, nobody has looked at it yet.
        self.first_ts(low)?;
        let entries = self.block(low)?;
        let within = entries.partition_point(|entry| entry.ts() <= ts);
        let within = within.saturating_sub(usize::from(is_planted(Bug::CursorOffByOne)));
        Ok((low * per_block).saturating_add(u32::try_from(within).unwrap_or(u32::MAX)).saturating_add(1))
    }

    fn first_ts(&mut self, block: u32) -> Result<u64> {
        let first = self.block(block)?.first().copied();
        first.map(Entry::ts).ok_or_else(|| Error::corrupt(format!("block {block} of the times is empty")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::redb::Options;
    use crate::redb::base::Base;
    use crate::redb::file::in_memory_alone;
    use crate::redb::snapshot::{Layers, Snapshot};
    use crate::redb::view::{Around, Stage};

    #[test]
    fn a_block_that_is_missing_is_damage_and_does_not_begin_with_the_first_message() {
        let opened = in_memory_alone(Options::default()).expect("a file in memory");
        let base = Base::last(&opened.database).expect("it is read");
        let view = Snapshot::new(Layers::of(base, Around::new(3)), 0, Stage::Published);
        for messages in [2, 9] {
            let first = Times::new(&view, 1, messages).first_after(7);
            assert!(first.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt), "{messages}: {first:?}");
        }
    }
}
