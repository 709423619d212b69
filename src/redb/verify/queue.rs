//! What waits, and what is counted of it; usage and context marks.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use super::super::codec::{self, HeadRow, MarkRow, QueuedRow, WaitingRow};
use super::super::queue;
use super::super::tables::{Table, meta, sessions};
use super::Check;
use crate::error::Result;
use crate::page::Direction;
use crate::record::Usage;

impl Check<'_> {
    /// The turns of a session that wait are those that stand in the queue, and the head counts them.
    pub(super) fn queue(&mut self, session: u32, head: &HeadRow, waiting: &BTreeSet<u32>) -> Result<()> {
        let (from, to) = (meta::queued(session, 0), meta::queued(session, u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let (mut queued, mut bytes) = (BTreeSet::new(), 0_u64);
        self.view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
            queued.extend(meta::queued_of(key).map(|(_, turn)| turn));
            match codec::decode::<QueuedRow>(Table::Meta, key, value) {
                Ok(row) => bytes = bytes.saturating_add(row.bytes),
                Err(error) => self.breach(session, error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if queued != *waiting {
            self.breach(session, format_args!("turns {queued:?} stand in the queue, turns {waiting:?} wait"));
        }
        if (queued.len(), bytes) != (head.queued as usize, head.queued_bytes) {
            let (turns, counted) = (head.queued, head.queued_bytes);
            let due = queued.len();
            self.breach(
                session,
                format_args!("{due} turns wait with {bytes} bytes, the head counts {turns} with {counted}"),
            );
        }
        Ok(())
    }

    /// The count of all that waits, and the sessions it waits in.
    pub(super) fn waiting(&mut self, live: &[u32]) -> Result<()> {
        let due = queue::counted(self.view)?;
        match self.view.plain::<WaitingRow>(Table::Meta, meta::WAITING) {
            Ok(row) if row.unwrap_or_default() == due => {}
            Ok(row) => self.breaches.push(format!("{due:?} is due of what waits, {row:?} stands")),
            Err(error) => self.breaches.push(error.to_string()),
        }
        let (from, to) = (meta::queued(0, 0), meta::queued(u32::MAX, u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        self.view.scan(Table::Meta, between, Direction::Asc, &mut |key, _| {
            if meta::queued_of(key).is_none_or(|(session, _)| live.binary_search(&session).is_err()) {
                self.breaches.push(format!("{} waits below no session", codec::hex(key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The usage of a session is that of its turns.
    pub(super) fn usage(&mut self, session: u32, head: &HeadRow, consumed: Option<Usage>) {
        let stands = codec::usage_of(head.usage);
        if consumed != Some(stands) {
            self.breach(session, format_args!("the head has {stands:?}, its turns have consumed {consumed:?}"));
        }
    }

    /// The context mark is the one that the head names, and within the session.
    pub(super) fn mark(&mut self, session: u32, head: &HeadRow) -> Result<()> {
        let key = sessions::mark(session);
        let read = self.view.row(Table::Sessions, &key, |value| {
            Ok(codec::decode::<MarkRow<'_>>(Table::Sessions, &key, value)?.message)
        });
        match read {
            Ok(mark) if mark.unwrap_or_default() == head.mark && head.mark <= head.messages.saturating_add(1) => {}
            Ok(mark) => self.breach(session, format_args!("the context mark is {mark:?}, the head has {}", head.mark)),
            Err(error) => self.breach(session, error),
        }
        Ok(())
    }
}
