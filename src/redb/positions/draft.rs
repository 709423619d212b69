//! The positions of a session under change: each block is read and written once an operation.

use std::collections::BTreeMap;

use super::Class;
use super::directory::Directory;
use super::list::Which;
use super::times::{Entry, place, read_block, write_block};
use crate::bug::{Bug, is_planted};
use crate::error::{Error, Result};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;

/// See the [module](self).
pub(in crate::redb) struct PositionsDraft<'v> {
    view: &'v dyn Read,
    session: u32,
    times: BTreeMap<u32, Vec<Entry>>,
    lists: BTreeMap<Which, ListDraft>,
}

struct ListDraft {
    directory: Directory,
    directory_changed: Changed,
    blocks: BTreeMap<usize, Vec<u32>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    No,
    Yes,
}

impl<'v> PositionsDraft<'v> {
    pub(in crate::redb) fn new(view: &'v dyn Read, session: u32) -> Self {
        PositionsDraft { view, session, times: BTreeMap::new(), lists: BTreeMap::new() }
    }

    fn times(&mut self, block: u32) -> Result<&mut Vec<Entry>> {
        Ok(match self.times.entry(block) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(read_block(self.view, self.session, block)?),
        })
    }

    fn list(&mut self, which: Which) -> Result<&mut ListDraft> {
        Ok(match self.lists.entry(which) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(ListDraft {
                directory: which.read_directory(self.view)?,
                directory_changed: Changed::No,
                blocks: BTreeMap::new(),
            }),
        })
    }

    /// The lists a message stands in: the session's, and its thread's if it has one.
    fn lists_of(&self, class: Class, thread: u32) -> impl Iterator<Item = Which> + use<> {
        let session = self.session;
        let threads = [Some(0), (thread != 0).then_some(thread)];
        threads.into_iter().flatten().map(move |thread| Which { session, thread, class })
    }

    /// A new message: its number is the one after the last.
    pub(in crate::redb) fn push(&mut self, number: u32, entry: Entry, thread: u32) -> Result<()> {
        let (block, index) = place(number, self.view.block());
        let entries = self.times(block)?;
        if entries.len() != index {
            return Err(Error::corrupt(format!("the times have {} entries where {index} are due", entries.len())));
        }
        entries.push(entry);
        let view = self.view;
        for which in self.lists_of(entry.class(), thread) {
            self.list(which)?.push(view, which, number)?;
        }
        Ok(())
    }

    /// A message is soft-deleted.
    pub(in crate::redb) fn delete(&mut self, number: u32, thread: u32) -> Result<()> {
        let (block, index) = place(number, self.view.block());
        let entry = self.times(block)?.get_mut(index);
        let entry = entry.ok_or_else(|| Error::corrupt(format!("message {number} has no entry in the times")))?;
        *entry = entry.deleted();
        let class = entry.class();
        let view = self.view;
        let thread = if is_planted(Bug::DeletionForgotten) { 0 } else { thread };
        for which in self.lists_of(class, thread) {
            self.list(which)?.delete(view, which, number)?;
        }
        Ok(())
    }

    /// Writes what changed.
    pub(in crate::redb) fn write(self, writes: &mut WriteSet) -> Result<()> {
        for (block, entries) in &self.times {
            write_block(writes, self.session, *block, entries)?;
        }
        for (which, list) in &self.lists {
            if list.directory_changed == Changed::Yes {
                which.write_directory(writes, &list.directory)?;
            }
            for (block, positions) in &list.blocks {
                which.write_block(writes, *block, positions)?;
            }
        }
        Ok(())
    }
}

impl ListDraft {
    fn block(&mut self, view: &dyn Read, which: Which, block: usize) -> Result<&mut Vec<u32>> {
        Ok(match self.blocks.entry(block) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(which.read_block(view, block)?),
        })
    }

    fn push(&mut self, view: &dyn Read, which: Which, number: u32) -> Result<()> {
        let mut open = self.directory.len();
        let full = self.block(view, which, open)?;
        if full.len() >= view.block() as usize {
            let closed = full.clone();
            self.directory.close(&closed);
            self.directory_changed = Changed::Yes;
            open += 1;
        }
        self.block(view, which, open)?.push(number);
        Ok(())
    }

    fn delete(&mut self, view: &dyn Read, which: Which, number: u32) -> Result<()> {
        let open = self.directory.len();
        let in_open = self.block(view, which, open)?.first().is_some_and(|first| *first <= number);
        let block = if in_open { open } else { self.directory.begun(number).saturating_sub(1) };
        let positions = self.block(view, which, block)?;
        let at = positions.binary_search(&number);
        let at = at.map_err(|_| Error::corrupt(format!("message {number} is missing in its list")))?;
        positions.remove(at);
        if block < open {
            self.directory.shorten(block);
            self.directory_changed = Changed::Yes;
        }
        Ok(())
    }
}
