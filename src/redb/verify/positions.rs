//! Recounts what listings find pages and totals by.

use super::messages::Seen;
use super::{Check, Of, Session, scan};
use crate::error::Result;
use crate::redb::codec::{self, BlockRow, DirectoryRow, MessageRow};
use crate::redb::positions::{Class, Times};
use crate::redb::tables::{Table, rows};

/// A list as its blocks come.
#[derive(Default)]
struct List {
    thread: u32,
    class: u8,
    /// Of each block how many positions it has, the first of them, and the last of all before it.
    blocks: Vec<(usize, Option<u32>, u32)>,
    last: u32,
}

/// How many positions the lists have, and how many of them are to have a directory.
#[derive(Default)]
struct Found {
    of_session: u64,
    of_threads: u64,
    directories: u64,
}

impl Check<'_> {
    /// The times have one entry a message, the lists every message that is shown, and the directories count them.
    pub(super) fn positions(&mut self, session: &Session, seen: &Seen) -> Result<()> {
        self.times(session)?;
        let number = session.number;
        let (from, to) = (rows::block(number, 0, 0, 0), rows::block(number, u32::MAX, u8::MAX, u32::MAX));
        let (mut found, mut list) = (Found::default(), None::<List>);
        let mut times = Times::new(self.view, number, session.head.messages);
        scan(self.view, Table::Rows, (&from, &to), &mut |key, value| {
            let (Some((thread, class)), Some(block)) = (rows::list(key), key.last_chunk()) else { return Ok(()) };
            let of = (thread, class);
            if list.as_ref().is_none_or(|list| (list.thread, list.class) != of) {
                if thread > session.head.threads || class >= Class::COUNT {
                    self.breach_in(number, format_args!("there is no list {of:?} (thread, class)"));
                }
                let ended = list.replace(List { thread, class, ..List::default() });
                self.list_ends(number, ended, &mut found)?;
            }
            let Some(list) = &mut list else { return Ok(()) };
            let due = list.blocks.len();
            if u32::from_be_bytes(*block) as usize != due {
                let text =
                    format_args!("block {} of list {of:?} stands where {due} is due", u32::from_be_bytes(*block));
                self.breach_in(number, text);
            }
            let read = codec::decode::<BlockRow<'_>>(Table::Rows, key, value);
            let Some(row) = self.unless_damaged(read)? else {
                list.blocks.push((0, None, list.last));
                return Ok(());
            };
            self.block(session, list, row.packed, &mut times, &mut found)
        })?;
        self.list_ends(number, list, &mut found)?;
        self.directories(number, &found)?;
        let stands = (found.of_session, found.of_threads);
        if seen.damaged == 0 && stands != (seen.shown, seen.in_threads) {
            let text = format_args!(
                "the lists (thread, class) have {stands:?} positions of the session and of threads, for {} messages that are \
                 shown, {} of them in threads",
                seen.shown, seen.in_threads
            );
            self.breach_in(number, text);
        }
        Ok(())
    }

    /// The blocks of times are dense, and full but for the last.
    fn times(&mut self, session: &Session) -> Result<()> {
        let (number, messages) = (session.number, session.head.messages as usize);
        let per_block = self.view.block() as usize;
        let (from, to) =
            (rows::numbered(number, rows::Kind::Times, 0), rows::numbered(number, rows::Kind::Times, u32::MAX));
        let mut next = 0_usize;
        scan(self.view, Table::Rows, (&from, &to), &mut |key, value| {
            let block = rows::number(key).unwrap_or_default() as usize;
            let due = messages.saturating_sub(block.saturating_mul(per_block)).min(per_block);
            if block != next {
                self.breach_in(number, format_args!("block {block} of the times stands where {next} is due"));
            }
            next = block + 1;
            let read = codec::decode::<BlockRow<'_>>(Table::Rows, key, value);
            if let Some(row) = self.unless_damaged(read)?
                && (row.packed.len() != 8 * due || due == 0)
            {
                let text =
                    format_args!("block {block} of the times has {} bytes, {due} entries are due", row.packed.len());
                self.breach_in(number, text);
            }
            Ok(())
        })?;
        let due = messages.div_ceil(per_block);
        if next != due {
            self.breach_in(number, format_args!("{next} blocks of times, where {due} are due"));
        }
        Ok(())
    }

    /// The positions of a block rise, and are those of messages that are shown, of the list's class and thread.
    fn block(
        &mut self,
        session: &Session,
        list: &mut List,
        packed: &[u8],
        times: &mut Times<'_>,
        found: &mut Found,
    ) -> Result<()> {
        let number = session.number;
        let (packed, cut) = packed.as_chunks();
        let positions: Vec<u32> = packed.iter().map(|position| u32::from_le_bytes(*position)).collect();
        let of = (list.thread, list.class);
        let before = list.last;
        let mut wrong = !cut.is_empty() || positions.len() > self.view.block() as usize;
        for position in &positions {
            let entry = self.unless_damaged(times.entry(*position))?;
            let is_due = entry.is_some_and(|entry| !entry.is_deleted() && entry.class().byte() == list.class);
            wrong |= *position <= list.last || *position > session.head.messages || !is_due;
            list.last = list.last.max(*position);
        }
        if !wrong && list.thread != 0 {
            self.view.messages(number, &positions, &mut |message, value| {
                let key = rows::numbered(number, rows::Kind::Message, message);
                let value = value?;
                let read = value.map(|value| codec::decode::<MessageRow<'_>>(Table::Rows, &key, value));
                wrong |= read.is_none_or(|read| read.is_ok_and(|row| row.thread_number != list.thread));
                Ok(())
            })?;
        }
        if wrong {
            let block = list.blocks.len();
            self.breach_in(number, format_args!("block {block} of list {of:?} has positions that are not its own"));
        }
        let count = positions.len() as u64;
        if list.thread == 0 {
            found.of_session += count;
        } else {
            found.of_threads += count;
        }
        list.blocks.push((positions.len(), positions.first().copied(), before));
        Ok(())
    }

    /// The directory of a list tells of its closed blocks: how many positions each has, and where it begins.
    fn list_ends(&mut self, session: u32, list: Option<List>, found: &mut Found) -> Result<()> {
        let Some(List { thread, class, blocks, .. }) = list else { return Ok(()) };
        let closed = blocks.split_last().map_or(&[][..], |(_, closed)| closed);
        found.directories += u64::from(!closed.is_empty());
        let key = rows::directory(session, thread, class);
        let read = self.view.row(Table::Rows, &key, |value| {
            let row: DirectoryRow<'_> = codec::decode(Table::Rows, &key, value)?;
            let (counts, firsts) = (row.counts.as_chunks(), row.firsts.as_chunks());
            let numbers = counts.0.iter().map(|count| usize::from(u16::from_le_bytes(*count)));
            let begins = firsts.0.iter().map(|first| u32::from_le_bytes(*first));
            let lengths = (counts.0.len(), firsts.0.len(), counts.1.len() + firsts.1.len());
            let mut said = numbers.zip(begins);
            // A first number lies above all positions before its block and not above those in it.
            let is_so = |(count, first, before): &(usize, Option<u32>, u32)| {
                said.next().is_some_and(|(said, begin)| {
                    said == *count && begin > *before && first.is_none_or(|first| begin <= first)
                })
            };
            Ok(lengths == (closed.len(), closed.len(), 0) && closed.iter().all(is_so))
        });
        if self.unless_damaged(read)?.is_some_and(|is_right| !is_right.unwrap_or(closed.is_empty())) {
            self.breach_in(session, format_args!("the directory of list {:?} miscounts", (thread, class)));
        }
        Ok(())
    }

    /// No directory is of a list that has no closed block, but an empty one: a list that was made again has that.
    fn directories(&mut self, session: u32, found: &Found) -> Result<()> {
        let (from, to) = (rows::directory(session, 0, 0), rows::directory(session, u32::MAX, u8::MAX));
        let mut directories = 0;
        scan(self.view, Table::Rows, (&from, &to), &mut |key, value| {
            let row = codec::decode::<DirectoryRow<'_>>(Table::Rows, key, value);
            directories += u64::from(row.map_or(true, |row| !row.counts.is_empty() || !row.firsts.is_empty()));
            Ok(())
        })?;
        if directories != found.directories {
            let text = format_args!("{directories} directories for {} lists with closed blocks", found.directories);
            self.breach(&[Table::Rows], Of::Session(session), text);
        }
        Ok(())
    }
}
