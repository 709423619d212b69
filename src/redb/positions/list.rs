//! One list: the numbers of the messages of a class, in the session or in a thread.

use std::ops::{Bound, ControlFlow};

use super::Class;
use super::directory::{Directory, Sums};
use crate::error::{Error, Result};
use crate::page::Direction;
use crate::redb::codec::{self, BlockRow, DirectoryRow};
use crate::redb::tables::{Table, rows};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;

/// Which list: of a thread's number (0: the session's own), of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Which {
    pub(super) session: u32,
    pub(super) thread: u32,
    pub(super) class: Class,
}

impl Which {
    pub(super) fn read_directory(self, view: &dyn Read) -> Result<Directory> {
        let key = rows::directory(self.session, self.thread, self.class.byte());
        let directory = view.row(Table::Rows, &key, |value| {
            codec::decode::<DirectoryRow<'_>>(Table::Rows, &key, value).map(|row| Directory::of(&row))
        })?;
        Ok(directory.unwrap_or_default())
    }

    pub(super) fn write_directory(self, writes: &mut WriteSet, directory: &Directory) -> Result<()> {
        writes.put(Table::Rows, rows::directory(self.session, self.thread, self.class.byte()), &directory.row())
    }

    /// A block of positions; empty where there is none.
    pub(super) fn read_block(self, view: &dyn Read, block: usize) -> Result<Vec<u32>> {
        let key = self.block_key(block)?;
        let positions = view.row(Table::Rows, &key, |value| {
            let row: BlockRow<'_> = codec::decode(Table::Rows, &key, value)?;
            Ok(row.packed.as_chunks().0.iter().map(|position| u32::from_le_bytes(*position)).collect())
        })?;
        Ok(positions.unwrap_or_default())
    }

    pub(super) fn write_block(self, writes: &mut WriteSet, block: usize, positions: &[u32]) -> Result<()> {
        let packed: Vec<u8> = positions.iter().flat_map(|position| position.to_le_bytes()).collect();
        writes.put(Table::Rows, self.block_key(block)?, &BlockRow { packed: &packed })
    }

    /// Removes the blocks from this one on.
    pub(super) fn remove_blocks(self, view: &dyn Read, writes: &mut WriteSet, from: usize) -> Result<()> {
        let (from, to) = (self.block_key(from)?, rows::block(self.session, self.thread, self.class.byte(), u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        view.scan(Table::Rows, between, Direction::Asc, &mut |key, _| {
            writes.remove(Table::Rows, key);
            Ok(ControlFlow::Continue(()))
        })
    }

    fn block_key(self, block: usize) -> Result<Vec<u8>> {
        let block = u32::try_from(block).map_err(|_| Error::corrupt("a list has more blocks than there can be"))?;
        Ok(rows::block(self.session, self.thread, self.class.byte(), block))
    }
}

/// A list as it is read.
pub(in crate::redb) struct List<'v> {
    view: &'v dyn Read,
    which: Which,
    directory: Directory,
    sums: Sums,
    /// The open block.
    open: Vec<u32>,
    /// The closed block read last, and its number.
    read: Option<(usize, Vec<u32>)>,
}

impl<'v> List<'v> {
    /// Opens the list of a class, in the session (thread 0) or a thread of it.
    pub(in crate::redb) fn open(view: &'v dyn Read, session: u32, thread: u32, class: Class) -> Result<Self> {
        let which = Which { session, thread, class };
        let directory = which.read_directory(view)?;
        let open = which.read_block(view, directory.len())?;
        Ok(List { view, which, sums: directory.sums(), directory, open, read: None })
    }

    /// How many positions it has.
    pub(in crate::redb) fn total(&self) -> u64 {
        self.sums.total() + self.open.len() as u64
    }

    /// How many blocks there are, the open one included.
    pub(super) fn blocks(&self) -> usize {
        self.directory.len() + 1
    }

    /// How many positions stand in the blocks before this one.
    pub(super) fn before(&self, block: usize) -> u64 {
        if block > self.directory.len() { self.total() } else { self.sums.before(&self.directory, block) }
    }

    /// The last position.
    pub(in crate::redb) fn last(&mut self) -> Result<Option<u32>> {
        if let Some(last) = self.open.last() {
            return Ok(Some(*last));
        }
        // The blocks before the open one may all have been emptied by deletions.
        for block in (0..self.directory.len()).rev() {
            if self.directory.count(block) > 0 {
                return Ok(self.block(block)?.last().copied());
            }
        }
        Ok(None)
    }

    /// The positions of a block.
    pub(super) fn block(&mut self, block: usize) -> Result<&[u32]> {
        if block >= self.directory.len() {
            return Ok(if block == self.directory.len() { &self.open } else { &[] });
        }
        if self.read.as_ref().is_none_or(|(read, _)| *read != block) {
            let positions = self.which.read_block(self.view, block)?;
            if positions.len() as u64 != self.directory.count(block) {
                return Err(Error::corrupt(format!(
                    "block {block} of a list has {} positions, its directory says {}",
                    positions.len(),
                    self.directory.count(block)
                )));
            }
            self.read = Some((block, positions));
        }
        Ok(self.read.as_ref().map_or(&[], |(_, positions)| positions))
    }

    /// Appends the positions of these ranks, in order; fewer where there are no more.
    pub(super) fn range(&mut self, from: u64, count: usize, found: &mut Vec<u32>) -> Result<()> {
        // The last block that begins at or below the first rank; one that was emptied begins where the next does.
        let (mut low, mut high) = (0, self.directory.len());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.before(middle) <= from {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        let (mut block, mut skip) = (low, usize::try_from(from - self.before(low)).unwrap_or(usize::MAX));
        while found.len() < count && block < self.blocks() {
            let positions = self.block(block)?;
            let rest = positions.get(skip..).unwrap_or_default();
            found.extend(rest.iter().take(count - found.len()));
            (block, skip) = (block + 1, 0);
        }
        Ok(())
    }

    /// The positions of a block, to keep. The list reads it again where it is asked for it again.
    pub(super) fn take_block(&mut self, block: usize) -> Result<Vec<u32>> {
        if block == self.directory.len() {
            return Ok(self.open.clone());
        }
        self.block(block)?;
        Ok(self.read.take().map(|(_, positions)| positions).unwrap_or_default())
    }

    /// The block in which the first position at or above a number is to be sought.
    pub(super) fn block_of(&self, number: u32) -> usize {
        let closed = self.directory.len();
        if self.open.first().is_some_and(|first| *first <= number) {
            return closed;
        }
        self.directory.begun(number).saturating_sub(1)
    }

    /// How many positions lie below a number.
    pub(in crate::redb) fn rank(&mut self, number: u32) -> Result<u64> {
        let block = self.block_of(number);
        let within = self.block(block)?.partition_point(|position| *position < number);
        Ok(self.before(block) + within as u64)
    }
}
