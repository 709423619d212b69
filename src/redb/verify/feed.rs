//! The change feed: it tells what became of the messages and the turns, of nothing else, and without a gap.

use super::messages::Seen;
use super::{Check, Of, Session, scan};
use crate::error::Result;
use crate::redb::codec::{self, BodyRow, CHANGE_TURN, ChangeRow, TurnRow, state_of};
use crate::redb::load::Feed;
use crate::redb::message;
use crate::redb::positions::Times;
use crate::redb::tables::{Table, rows};

impl Check<'_> {
    pub(super) fn feed(&mut self, session: &Session, seen: &Seen, again: Option<u64>) -> Result<()> {
        let (number, head) = (session.number, &session.head);
        let (from, to) = (rows::change(number, 0), rows::change(number, u64::MAX));
        let (mut next, mut feed, mut damaged) = (1, Feed::default(), false);
        let mut times = Times::new(self.view, number, head.messages);
        scan(self.view, Table::Rows, (&from, &to), &mut |key, value| {
            let event = key.last_chunk().map_or(0, |event| u64::from_be_bytes(*event));
            if event != next {
                self.breach_in(number, format_args!("event {event} stands where {next} is due"));
                damaged = true;
            }
            next = event.saturating_add(1);
            let Some(row) = self.unless_damaged(codec::decode::<ChangeRow>(Table::Rows, key, value))? else {
                damaged = true;
                return Ok(());
            };
            // What follows on an event that is missing or wrong may be right.
            if !damaged && let Err(what) = feed.next(&row) {
                self.breach_in(number, format_args!("event {event}: {what}"));
                damaged = true;
            }
            let begun = feed.accepted.filter(|_| !damaged).map(|_| feed.messages);
            self.event(number, event, (&row, begun), &mut times)
        })?;
        if next != head.changes.saturating_add(1) {
            let text = format_args!("{} events, the head counts {}", next - 1, head.changes);
            self.breach(&[Table::Rows, Table::Sessions], Of::Session(number), text);
        }
        if !damaged {
            self.told(session, seen, again, &feed);
        }
        Ok(())
    }

    /// An event tells of what has the id and the number that it says.
    /// Where it accepts a turn, so many messages were there.
    fn event(
        &mut self,
        session: u32,
        event: u64,
        (row, begun): (&ChangeRow, Option<u32>),
        times: &mut Times<'_>,
    ) -> Result<()> {
        let Some(id) = row.id else { return Ok(()) };
        if row.kind != CHANGE_TURN {
            self.id(session, rows::Kind::MessageId, &id, row.number)?;
            let is_deleted = self.unless_damaged(times.entry(row.number))?.is_none_or(|entry| entry.is_deleted());
            if row.kind == codec::CHANGE_DELETED && !is_deleted {
                let text =
                    format_args!("event {event} tells of the deletion of message {}, which is shown", row.number);
                self.breach_in(session, text);
            }
            if row.kind == codec::CHANGE_PURGED {
                self.erased(session, event, row.number)?;
            }
            return Ok(());
        }
        self.id(session, rows::Kind::TurnId, &id, row.number)?;
        let ends = state_of(row.state).is_ok_and(|state| state.is_terminal());
        let key = rows::numbered(session, rows::Kind::Turn, row.number);
        if !ends && begun.is_none() {
            return Ok(());
        }
        let read = self.view.row(Table::Rows, &key, |value| {
            codec::decode::<TurnRow<'_>>(Table::Rows, &key, value).map(|turn| (turn.state, turn.message_number))
        });
        let Some(Some((state, first))) = self.unless_damaged(read)? else { return Ok(()) };
        if begun.is_some_and(|messages| messages != first) {
            let text = format_args!("event {event} accepts turn {}, which began with message {first}", row.number);
            self.breach_in(session, text);
        }
        if ends && state != row.state {
            let text = format_args!("event {event} ends turn {} in state {}, it is in {state}", row.number, row.state);
            self.breach_in(session, text);
        }
        Ok(())
    }

    /// What an event says was erased says nothing.
    fn erased(&mut self, session: u32, event: u64, number: u32) -> Result<()> {
        let read = message::row(self.view, session, number, |row| Ok(row.body == BodyRow::default()));
        if self.unless_damaged(read)? == Some(false) {
            self.breach_in(
                session,
                format_args!("event {event} tells that message {number} was erased, which says something"),
            );
        }
        Ok(())
    }

    /// The feed as a whole tells what the head and the rows say.
    fn told(&mut self, session: &Session, seen: &Seen, again: Option<u64>, feed: &Feed) {
        let (number, head) = (session.number, &session.head);
        let told = [
            ("messages", u64::from(feed.messages), u64::from(head.messages)),
            ("turns", u64::from(feed.turns), u64::from(head.turns)),
            ("the running turn", u64::from(feed.running), u64::from(head.running)),
            ("waiting turns", feed.queued.len() as u64, u64::from(head.queued)),
            ("the epoch", feed.epoch, head.epoch),
            ("whether the last turn failed", u64::from(feed.failed), u64::from(head.failed)),
            ("the context mark", u64::from(feed.mark), u64::from(head.mark)),
            ("whether it is archived", u64::from(feed.archived), 0),
        ];
        for (what, told, stands) in told {
            if told != stands {
                let text = format_args!("{what}: {told} by the events, {stands} by the head");
                self.breach(&[Table::Rows, Table::Sessions], Of::Session(number), text);
            }
        }
        if seen.damaged == 0 && feed.deleted.len() as u64 != seen.deleted {
            let text =
                format_args!("{} deletions are told of, {} messages are deleted", feed.deleted.len(), seen.deleted);
            self.breach_in(number, text);
        }
        if again.is_some_and(|again| again != feed.again) {
            self.breach_in(number, format_args!("its turns ran again {again:?} times, {} by the events", feed.again));
        }
    }
}
