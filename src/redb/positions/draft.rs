//! The positions of a session under change: each block is read and written once an operation.

use std::collections::{BTreeMap, btree_map};

use super::directory::Directory;
use super::list::Which;
use super::times::{Entry, place, read_block, write_block};
use super::{Class, rebuild};
use crate::bug::{Bug, is_planted};
use crate::error::{Error, Result};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;

/// See the [module](self).
pub(in crate::redb) struct PositionsDraft<'v> {
    view: &'v dyn Read,
    session: u32,
    /// How many messages the view has.
    messages: u32,
    times: BTreeMap<u32, Vec<Entry>>,
    lists: BTreeMap<Which, ListDraft>,
}

struct ListDraft {
    directory: Directory,
    directory_changed: Changed,
    blocks: BTreeMap<usize, Vec<u32>>,
    /// Blocks from this one on are none of the list's any more.
    cut: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    No,
    Yes,
}

impl<'v> PositionsDraft<'v> {
    pub(in crate::redb) fn new(view: &'v dyn Read, session: u32, messages: u32) -> Self {
        PositionsDraft { view, session, messages, times: BTreeMap::new(), lists: BTreeMap::new() }
    }

    fn times(&mut self, block: u32) -> Result<&mut Vec<Entry>> {
        let new = match self.times.entry(block) {
            btree_map::Entry::Occupied(known) => return Ok(known.into_mut()),
            btree_map::Entry::Vacant(new) => new,
        };
        Ok(new.insert(match rebuild::unless_damaged(read_block(self.view, self.session, block))? {
            Some(entries) => entries,
            None => rebuild::times_block(self.view, self.session, block, self.messages)?,
        }))
    }

    /// Changes a list. One that is damaged is made again first; damage shows before anything changed.
    fn change(&mut self, which: Which, change: impl Fn(&mut ListDraft, &dyn Read) -> Result<()>) -> Result<()> {
        let view = self.view;
        if let btree_map::Entry::Vacant(new) = self.lists.entry(which)
            // No list of so few messages has a full block, and a look-up for nothing costs as much as any.
            && let Some(directory) = match self.messages <= view.block() {
                true => Some(Directory::default()),
                false => rebuild::unless_damaged(which.read_directory(view))?,
            }
        {
            new.insert(ListDraft { directory, directory_changed: Changed::No, blocks: BTreeMap::new(), cut: None });
        }
        if let Some(list) = self.lists.get_mut(&which)
            && rebuild::unless_damaged(change(list, view))?.is_some()
        {
            return Ok(());
        }
        let (directory, blocks) = rebuild::list(view, which, self.messages)?;
        let cut = Some(blocks.len());
        let blocks = blocks.into_iter().enumerate().collect();
        let mut list = ListDraft { directory, directory_changed: Changed::Yes, blocks, cut };
        change(&mut list, view)?;
        self.lists.insert(which, list);
        Ok(())
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
        for which in self.lists_of(entry.class(), thread) {
            self.change(which, |list, view| list.push(view, which, number))?;
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
        let thread = if is_planted(Bug::DeletionForgotten) { 0 } else { thread };
        for which in self.lists_of(class, thread) {
            self.change(which, |list, view| list.delete(view, which, number))?;
        }
        Ok(())
    }

    /// Whether a message is soft-deleted, as it stands in the draft.
    pub(in crate::redb) fn is_deleted(&self, number: u32) -> Result<bool> {
        let (block, index) = place(number, self.view.block());
        let entry = match self.times.get(&block) {
            Some(entries) => entries.get(index).copied(),
            None => read_block(self.view, self.session, block)?.get(index).copied(),
        };
        let entry = entry.ok_or_else(|| Error::corrupt(format!("message {number} has no entry in the times")))?;
        Ok(entry.is_deleted())
    }

    /// Writes what changed.
    pub(in crate::redb) fn write(self, writes: &mut WriteSet) -> Result<()> {
        for (block, entries) in &self.times {
            write_block(writes, self.session, *block, entries)?;
        }
        for (which, list) in &self.lists {
            if let Some(cut) = list.cut {
                which.remove_blocks(self.view, writes, cut)?;
            }
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
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(new) => new.insert(which.read_block(view, block)?),
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
