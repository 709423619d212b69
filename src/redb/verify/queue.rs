//! What waits, and what is counted of it; usage and context marks.

use std::collections::BTreeSet;

use super::{Check, Of, Session, scan};
use crate::error::Result;
use crate::record::Usage;
use crate::redb::codec::{self, MarkRow, QueuedRow, WaitingRow};
use crate::redb::queue;
use crate::redb::tables::{Table, meta, sessions};

impl Check<'_> {
    /// The turns of a session that wait are those that stand in the queue, and the head counts them.
    pub(super) fn queue(&mut self, session: &Session, waiting: &BTreeSet<u32>) -> Result<()> {
        let (number, head) = (session.number, &session.head);
        let (from, to) = (meta::queued(number, 0), meta::queued(number, u32::MAX));
        let (mut queued, mut bytes) = (BTreeSet::new(), Some(0_u64));
        scan(self.view, Table::Meta, (&from, &to), &mut |key, value| {
            queued.extend(meta::queued_of(key).map(|(_, turn)| turn));
            let row = self.unless_damaged(codec::decode::<QueuedRow>(Table::Meta, key, value))?;
            bytes = row.and_then(|row| bytes?.checked_add(row.bytes));
            Ok(())
        })?;
        let of = Of::Session(number);
        if queued != *waiting {
            let text = format_args!("turns {queued:?} stand in the queue, turns {waiting:?} wait");
            self.breach(&[Table::Meta, Table::Rows], of, text);
        }
        if (queued.len(), bytes.unwrap_or(head.queued_bytes)) != (head.queued as usize, head.queued_bytes) {
            let (turns, counted, due) = (head.queued, head.queued_bytes, queued.len());
            let text = format_args!("{due} turns wait with {bytes:?} bytes, the head counts {turns} with {counted}");
            self.breach(&[Table::Meta, Table::Sessions], of, text);
        }
        Ok(())
    }

    /// The count of all that waits, and the sessions it waits in.
    pub(super) fn waiting(&mut self) -> Result<()> {
        let due = queue::counted(self.view)?;
        if let Some(row) = self.plain::<WaitingRow>(Table::Meta, meta::WAITING)?
            && row.unwrap_or_default() != due
        {
            let text = format_args!("{due:?} is due of what waits, {row:?} stands");
            self.breach(&[Table::Meta], Of::Row(meta::WAITING), text);
        }
        let (from, to) = (meta::queued(0, 0), meta::queued(u32::MAX, u32::MAX));
        scan(self.view, Table::Meta, (&from, &to), &mut |key, _| {
            let Some((session, turn)) = meta::queued_of(key) else { return Ok(()) };
            if self.sessions.binary_search(&session).is_err() {
                let text = format_args!("turn {turn} waits below no session");
                self.breach(&[Table::Meta], Of::Session(session), text);
            }
            Ok(())
        })
    }

    /// The usage of a session is that of its turns.
    pub(super) fn usage(&mut self, session: &Session, consumed: Option<Usage>) {
        let stands = codec::usage_of(session.head.usage);
        if consumed != Some(stands) {
            let text = format_args!("the head has {stands:?}, its turns have consumed {consumed:?}");
            self.breach(&[Table::Sessions, Table::Rows], Of::Session(session.number), text);
        }
    }

    /// The context mark is the one that the head names, and within the session.
    pub(super) fn mark(&mut self, session: &Session) -> Result<()> {
        let (number, head) = (session.number, &session.head);
        let key = sessions::mark(number);
        let read = self.view.row(Table::Sessions, &key, |value| {
            Ok(codec::decode::<MarkRow<'_>>(Table::Sessions, &key, value)?.message)
        });
        let Some(mark) = self.unless_damaged(read)? else { return Ok(()) };
        let is_there = mark.is_some() == (head.mark != 0);
        if !is_there || mark.unwrap_or_default() != head.mark || head.mark > head.messages.saturating_add(1) {
            let text = format_args!("the context mark is {mark:?}, the head has {}", head.mark);
            self.breach(&[Table::Sessions], Of::Session(number), text);
        }
        Ok(())
    }
}
