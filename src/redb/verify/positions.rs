//! Recounts what listings find pages and totals by.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::Check;
use crate::error::Result;
use crate::page::Direction;
use crate::redb::codec::{self, BlockRow, DirectoryRow, HeadRow, MessageRow, kind_of, role_of};
use crate::redb::positions::{Class, Times};
use crate::redb::tables::{Table, rows};

/// The positions of every list, by thread and class.
#[derive(Default)]
pub(super) struct Lists(BTreeMap<(u32, u8), Vec<u32>>);

impl Check<'_> {
    /// A message agrees with its entry in the times; where it is not deleted, the lists are to have it.
    pub(super) fn entry(
        &mut self,
        session: u32,
        number: u32,
        row: &MessageRow<'_>,
        times: &mut Times<'_>,
        due: &mut Lists,
    ) -> Result<()> {
        let entry = match times.entry(number) {
            Ok(entry) => entry,
            Err(error) => {
                self.breach(session, error);
                return Ok(());
            }
        };
        let class = Class::of(role_of(row.role)?, kind_of(row.kind)?);
        if (entry.ts(), entry.class()) != (row.ts, class) {
            self.breach(session, format_args!("message {number} and its entry in the times differ"));
        }
        if !entry.is_deleted() {
            due.0.entry((0, class.byte())).or_default().push(number);
            if row.thread_number != 0 {
                due.0.entry((row.thread_number, class.byte())).or_default().push(number);
            }
        }
        Ok(())
    }

    /// The times have one entry a message, the lists what is due, and the directories count them.
    pub(super) fn positions(&mut self, session: u32, head: &HeadRow, due: &Lists) -> Result<()> {
        let blocks = head.messages.div_ceil(self.view.block());
        let mut found = 0;
        let (from, to) =
            (rows::numbered(session, rows::Kind::Times, 0), rows::numbered(session, rows::Kind::Times, u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let mut entries = 0;
        self.view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
            found += 1;
            entries += codec::decode::<BlockRow<'_>>(Table::Rows, key, value).map_or(0, |row| row.packed.len() / 8);
            Ok(ControlFlow::Continue(()))
        })?;
        if (found, entries) != (blocks, head.messages as usize) {
            self.breach(
                session,
                format_args!("{entries} entries in {found} blocks of times for {} messages", head.messages),
            );
        }
        let lists = self.lists(session)?;
        for (list, positions) in &due.0 {
            if lists.0.get(list) != Some(positions) {
                self.breach(session, format_args!("the list {list:?} (thread, class) is not that of its messages"));
            }
        }
        for (list, positions) in &lists.0 {
            if !positions.is_empty() && !due.0.contains_key(list) {
                self.breach(
                    session,
                    format_args!("the list {list:?} (thread, class) has messages that are not its own"),
                );
            }
        }
        Ok(())
    }

    /// All lists as their blocks have them; each closed block as its directory counts it.
    fn lists(&mut self, session: u32) -> Result<Lists> {
        let mut lists = Lists::default();
        let mut counts: BTreeMap<(u32, u8), Vec<usize>> = BTreeMap::new();
        let (from, to) = (rows::block(session, 0, 0, 0), rows::block(session, u32::MAX, u8::MAX, u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        self.view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
            let (Some(list), Ok(row)) = (rows::list(key), codec::decode::<BlockRow<'_>>(Table::Rows, key, value))
            else {
                self.breach(session, format_args!("a block at {} cannot be read", codec::hex(key)));
                return Ok(ControlFlow::Continue(()));
            };
            let positions = row.packed.as_chunks().0;
            counts.entry(list).or_default().push(positions.len());
            lists.0.entry(list).or_default().extend(positions.iter().map(|position| u32::from_le_bytes(*position)));
            Ok(ControlFlow::Continue(()))
        })?;
        for ((thread, class), counts) in counts {
            let key = rows::directory(session, thread, class);
            let counted = self.view.row(Table::Rows, &key, |value| {
                let row: DirectoryRow<'_> = codec::decode(Table::Rows, &key, value)?;
                Ok(row
                    .counts
                    .as_chunks()
                    .0
                    .iter()
                    .map(|count| usize::from(u16::from_le_bytes(*count)))
                    .collect::<Vec<_>>())
            });
            match counted {
                Ok(counted)
                    if counted.as_deref().unwrap_or_default()
                        == counts.split_last().map_or(&[][..], |(_, closed)| closed) => {}
                Ok(_) => self
                    .breach(session, format_args!("the directory of {:?} (thread, class) miscounts", (thread, class))),
                Err(error) => self.breach(session, error),
            }
        }
        Ok(lists)
    }
}
