//! Turns, what waits of them, the claim of the one that runs, and what they consumed.

use std::collections::BTreeSet;

use super::{Check, Of, Session};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::{MessageType, TurnState, Usage};
use crate::redb::codec::{self, ClaimRow, Id, MessageRow, TurnRow, kind_byte, state_byte};
use crate::redb::load::turn_breach;
use crate::redb::place;
use crate::redb::tables::{Table, claims, rows};

/// What a turn is held to of a message.
struct OfMessage {
    id: Id,
    turn: Option<Id>,
    kind: u8,
}

impl Check<'_> {
    /// Answers with how often turns ran again; nothing where one is damaged.
    pub(super) fn turns(&mut self, session: &Session) -> Result<Option<u64>> {
        let (number, head) = (session.number, &session.head);
        let [running, queued] = [TurnState::Running, TurnState::Queued].map(state_byte);
        let (mut waiting, mut consumed) = (BTreeSet::new(), Some(Usage::ZERO));
        let (mut again, mut last) = (Some(0), 0);
        self.dense(number, rows::Kind::Turn, head.turns, |check, turn, key, value| {
            let read = codec::decode::<TurnRow<'_>>(Table::Rows, key, value);
            let Some(row) = check.unless_damaged(read)? else {
                again = None;
                return Ok(());
            };
            check.id(number, rows::Kind::TurnId, &row.id, turn)?;
            consumed = consumed.and_then(|sum| sum.checked_add(codec::usage_of(row.usage)));
            again = again.map(|again: u64| again + u64::from(row.attempt.saturating_sub(1)));
            if row.state == queued {
                waiting.insert(turn);
            }
            if (row.state == running) != (head.running == turn) {
                let text = format_args!("turn {turn} is in state {}, the head has {} running", row.state, head.running);
                check.breach(&[Table::Rows, Table::Sessions], Of::Session(number), text);
            }
            let record = row.record(SessionId::from_uuid(uuid::Uuid::nil()), turn);
            if let Some(what) = record.err().map(|error| error.to_string()).or(turn_breach(&row).map(str::to_owned)) {
                check.breach_in(number, format_args!("turn {turn}: {what}"));
            }
            if row.created_at.max(row.ended_at.unwrap_or_default()).max(row.started_at.unwrap_or_default())
                > head.updated_at
            {
                check.breach_in(number, format_args!("turn {turn} is out of its time"));
            }
            if row.message_number <= last {
                check.breach_in(number, format_args!("turn {turn} began before the one before it"));
            }
            last = row.message_number;
            check.messages_of(number, turn, &row)
        })?;
        if again.is_some() {
            self.queue(session, &waiting)?;
            self.usage(session, consumed);
        }
        if head.running > head.turns {
            let text = format_args!("turn {} of {} is running", head.running, head.turns);
            self.breach(&[Table::Sessions], Of::Session(number), text);
        }
        self.indexed(number, rows::Kind::TurnId, head.turns, |check, turn| {
            let key = rows::numbered(number, rows::Kind::Turn, turn);
            check.view.row(Table::Rows, &key, |value| {
                codec::decode::<TurnRow<'_>>(Table::Rows, &key, value).map(|row| row.id)
            })
        })?;
        Ok(again)
    }

    /// The messages that a turn names are its own, and its thread is there.
    fn messages_of(&mut self, session: u32, turn: u32, row: &TurnRow<'_>) -> Result<()> {
        if !self.is_thread(session, (row.thread_number, row.thread))? {
            let text = format_args!("turn {turn} is in thread {}, which is another", row.thread_number);
            self.breach_in(session, text);
        }
        let first = self.unless_damaged(self.message(session, row.message_number))?;
        let is_its = |first: &OfMessage| (first.id, first.turn) == (row.message, Some(row.id));
        if first.is_some_and(|first| !first.as_ref().is_some_and(is_its)) {
            let text = format_args!("turn {turn} was started by message {}, which is another", row.message_number);
            self.breach_in(session, text);
        }
        let Some(id) = row.final_message else { return Ok(()) };
        let last = match self.unless_damaged(place::number(self.view, session, rows::Kind::MessageId, &id))? {
            Some(Some(number)) => self.unless_damaged(self.message(session, number))?,
            Some(None) => Some(None),
            None => None,
        };
        let is_its = |last: &OfMessage| {
            (last.id, last.turn, last.kind) == (id, Some(row.id), kind_byte(MessageType::FinalMessage))
        };
        if last.is_some_and(|last| !last.as_ref().is_some_and(is_its)) {
            let text = format_args!("turn {turn} has a final message {} that is none", codec::hex(&id));
            self.breach_in(session, text);
        }
        Ok(())
    }

    fn message(&self, session: u32, number: u32) -> Result<Option<OfMessage>> {
        let key = rows::numbered(session, rows::Kind::Message, number);
        self.view.row(Table::Rows, &key, |value| {
            let row: MessageRow<'_> = codec::decode(Table::Rows, &key, value)?;
            Ok(OfMessage { id: row.id, turn: row.turn, kind: row.kind })
        })
    }

    /// A running turn has its claim, an idle session none.
    pub(super) fn running(&mut self, session: &Session) -> Result<()> {
        let head = &session.head;
        let Some(claim) = self.plain::<ClaimRow>(Table::Claims, &claims::of(session.number))? else { return Ok(()) };
        let held = claim.map(|claim| (claim.number, claim.turn, claim.epoch));
        let due = head.running_id.map(|id| (head.running, id, head.epoch));
        if held != due {
            let text = "the claim and the running turn are not each other's";
            self.breach(&[Table::Claims, Table::Sessions], Of::Session(session.number), text);
        }
        Ok(())
    }
}
