//! How the turns of a busy session end in its lines: as they would where the file was copied and the process died.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::id::Stamp;
use crate::limit::CALLER_TS_MICROS;
use crate::record::{Content, MessageType, NewMessage, Reason, Role, ToolCall, TurnState};
use crate::redb::codec::{
    self, BodyRow, CHANGE_MESSAGE, CHANGE_TURN, ChangeRow, HeadRow, Id, MessageRow, TurnRow, kind_byte, reason_byte,
    role_byte, state_byte,
};
use crate::redb::ending::open_calls;
use crate::redb::queue::Queued;
use crate::redb::tables::{Table, rows};
use crate::redb::view::{self, Read};

/// The ends of a session's turns that had none.
#[derive(Debug)]
pub(super) struct Ending {
    /// Where the session stands after them.
    pub(super) head: HeadRow,
    now: u64,
    turns: BTreeMap<u32, Ended>,
    /// Announcements that they would have made.
    pub(super) announced: u64,
    /// The results of calls that stayed open.
    pub(super) results: Vec<OpenCall>,
    /// What tells of all that.
    pub(super) changes: Vec<ChangeRow>,
}

#[derive(Debug)]
struct Ended {
    state: TurnState,
    reason: Reason,
    results: u32,
}

/// A tool call that nothing answers, and where its result stands.
#[derive(Debug)]
pub(super) struct OpenCall {
    result: NewMessage,
    id: Id,
    thread: (u32, Id),
    turn: Id,
    ts: u64,
    created_at: u64,
}

impl Ending {
    /// Of a session that stands so. Ids are the stamp's from `next_id` on.
    pub(super) fn of(view: &dyn Read, session: u32, head: HeadRow, stamp: Stamp, next_id: &mut u32) -> Result<Self> {
        let idle = HeadRow { running: 0, running_id: None, queued: 0, queued_bytes: 0, ..head };
        let (now, announced) = (stamp.at.as_micros().max(head.updated_at), 0);
        let mut ending =
            Ending { head: idle, now, turns: BTreeMap::new(), announced, results: Vec::new(), changes: Vec::new() };
        if (head.running, head.queued) == (0, 0) {
            return Ok(ending);
        }
        ending.head.updated_at = now;
        let mut ended = Vec::new();
        if head.running != 0 {
            ended.push((head.running, TurnState::Failed, Reason::Crash));
        }
        for queued in Queued::all(view, session)? {
            ended.push((queued.number, TurnState::Interrupted, Reason::Cancelled));
        }
        for (number, state, reason) in ended {
            ending.end(view, session, (number, state, reason), stamp, next_id)?;
        }
        ending.head.changes += ending.changes.len() as u64;
        Ok(ending)
    }

    fn end(
        &mut self,
        view: &dyn Read,
        session: u32,
        (number, state, reason): (u32, TurnState, Reason),
        stamp: Stamp,
        next_id: &mut u32,
    ) -> Result<()> {
        let key = rows::numbered(session, rows::Kind::Turn, number);
        let read = view.row(Table::Rows, &key, |value| {
            let row: TurnRow<'_> = codec::decode(Table::Rows, &key, value)?;
            Ok((row.id, (row.thread_number, row.thread), row.message_number, row.webhook.is_some()))
        })?;
        let (turn, thread, first, announces) = read.ok_or_else(|| view::missing("turn", &key))?;
        // One that waited has written nothing.
        let last = if state == TurnState::Failed { self.head.messages } else { first };
        // What was added here is not in the view, and none of it is another turn's.
        let last = last.min(self.head.messages - self.results.len() as u32);
        let calls = open_calls(view, session, turn, first, last)?;
        let results = calls.len() as u32;
        for call in calls {
            let id = stamp.uuid(*next_id).into_bytes();
            *next_id += 1;
            self.result(&call, reason, id, thread, turn, stamp);
        }
        self.turns.insert(number, Ended { state, reason, results });
        self.announced += u64::from(announces);
        self.head.failed = state == TurnState::Failed;
        self.changes.push(ChangeRow { kind: CHANGE_TURN, number, id: Some(turn), state: state_byte(state) });
        Ok(())
    }

    fn result(&mut self, call: &ToolCall, reason: Reason, id: Id, thread: (u32, Id), turn: Id, stamp: Stamp) {
        let head = &mut self.head;
        head.messages += 1;
        head.last_ts = stamp.at.as_micros().min(CALLER_TS_MICROS - 1).max(head.last_ts + 1);
        head.last_created_at = stamp.at.as_micros().max(head.last_created_at);
        let (ts, created_at) = (head.last_ts, head.last_created_at);
        let result = NewMessage::result(call, Content::Text(format!("interrupted: {reason}")));
        self.results.push(OpenCall { result, id, thread, turn, ts, created_at });
        self.changes.push(ChangeRow { kind: CHANGE_MESSAGE, number: head.messages, id: Some(id), state: 0 });
    }

    /// How many turns end.
    pub(super) fn len(&self) -> u64 {
        self.turns.len() as u64
    }

    /// A turn as it stands in the lines.
    pub(super) fn turn<'a>(&self, number: u32, row: TurnRow<'a>) -> TurnRow<'a> {
        let Some(Ended { state, reason, results }) = self.turns.get(&number) else { return row };
        TurnRow {
            state: state_byte(*state),
            reason: reason_byte(*reason),
            messages: row.messages.saturating_add(*results),
            ended_at: Some(self.now),
            ..row
        }
    }
}

impl OpenCall {
    pub(super) fn row(&self) -> MessageRow<'_> {
        MessageRow {
            id: self.id,
            thread: Some(self.thread.1),
            thread_number: self.thread.0,
            turn: Some(self.turn),
            role: role_byte(Role::Tool),
            kind: kind_byte(MessageType::ToolCall),
            synthetic: true,
            ts: self.ts,
            created_at: self.created_at,
            fingerprint: None,
            body: BodyRow::of(&self.result),
        }
    }
}
