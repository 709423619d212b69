//! The end of a turn: its last messages, terminal state, outbox row and claim in one commit.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::codec::{self, ChangeRow, ClaimRow, HeadRow, Id, OutboxRow, TurnRow, reason_byte, role_byte, state_byte};
use super::draft::{Draft, Incoming};
use super::place::Place;
use super::positions::{Entry, Times};
use super::tables::{Table, claims, outbox, sessions};
use super::turn::{Stored, check_unused, hold, of_turn};
use super::view::Read;
use super::write_set::WriteSet;
use super::{message, scope, view};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SessionId, TurnId};
use crate::limit::REASON_BYTES;
use crate::page::Direction;
use crate::record::{Content, MessageType, NewMessage, Reason, Role, ToolCall, Turn};
use crate::store::{EndOrphans, Finish, Outcome};
use crate::time::Timestamp;

/// Ends a running turn in the name of its claim.
pub(super) fn finish(view: &dyn Read, op: &Finish) -> Result<(WriteSet, Turn)> {
    let (mut draft, number) = hold(view, op.at, op.claim, op.stamp)?;
    let mut end = End::open(&draft, number, 0)?;
    let turn = end.outcome(&mut draft, &op.outcome, op.started_at)?;
    Ok((draft.seal()?, turn))
}

/// Ends turns that another owner left running.
pub(super) fn orphans(view: &dyn Read, op: &EndOrphans) -> Result<(WriteSet, Vec<Turn>)> {
    let mut writes = WriteSet::default();
    let mut ended = Vec::new();
    let mut next_id = 0;
    for session in left_running(view, *op.owner.as_uuid().as_bytes())? {
        if ended.len() >= op.limit as usize {
            break;
        }
        match end_orphan(view, op, session, &mut next_id) {
            Ok(Some((written, turn))) => {
                writes.extend(written);
                ended.push(turn);
            }
            // What is damaged stays as it is, `verify` names it; the others end all the same.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    Ok((writes, ended))
}

/// The sessions with a claim of another owner, or with one that cannot be read.
fn left_running(view: &dyn Read, owner: Id) -> Result<Vec<u32>> {
    let mut left = Vec::new();
    view.scan(Table::Claims, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, value| {
        let own = codec::decode::<ClaimRow>(Table::Claims, key, value).is_ok_and(|claim| claim.owner == owner);
        if let (Ok(session), false) = (key.try_into(), own) {
            left.push(u32::from_be_bytes(session));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(left)
}

fn end_orphan(view: &dyn Read, op: &EndOrphans, session: u32, next_id: &mut u32) -> Result<Option<(WriteSet, Turn)>> {
    let mut draft = Draft::open_place(view, place_of(view, session)?, op.stamp)?;
    if draft.head.running == 0 {
        return Ok(None);
    }
    let mut end = End::open(&draft, draft.head.running, *next_id)?;
    let turn = end.outcome(&mut draft, &Outcome::Failed(Reason::Crash, None), None)?;
    *next_id = end.next_id;
    Ok(Some((draft.seal()?, turn)))
}

/// A session's place by its number alone: what a claim leads to.
fn place_of(view: &dyn Read, number: u32) -> Result<Place> {
    let key = sessions::body(number);
    let place = view.row(Table::Sessions, &key, |value| {
        let row: codec::SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        let session = SessionId::from_uuid(uuid::Uuid::from_bytes(row.id));
        Ok(Place { number, workspace: row.workspace, agent: row.agent, session })
    })?;
    place.ok_or_else(|| view::missing("session", &key))
}

/// A turn at its end.
pub(super) struct End {
    stored: Stored,
    id: Id,
    number: u32,
    /// The stamp's next id for a message.
    next_id: u32,
}

impl End {
    /// Reads the turn of this number, which is running.
    pub(super) fn open(draft: &Draft<'_>, number: u32, next_id: u32) -> Result<Self> {
        let stored = Stored::get(draft.view, draft.place.number, number)?;
        let id = stored.row()?.id;
        Ok(End { stored, id, number, next_id })
    }

    pub(super) fn turn_id(&self) -> TurnId {
        codec::turn_id(self.id)
    }

    /// Writes how it ends.
    pub(super) fn outcome(
        &mut self,
        draft: &mut Draft<'_>,
        outcome: &Outcome,
        started_at: Option<Timestamp>,
    ) -> Result<Turn> {
        let mut row = self.stored.row()?;
        let number = self.number;
        let (reason, detail) = match outcome {
            Outcome::Completed(None) => (None, None),
            Outcome::Completed(Some(answer)) => {
                row.final_message = Some(write_answer(draft, &row, number, answer)?);
                row.messages += 1;
                (None, None)
            }
            Outcome::Interrupted(reason) => (Some(*reason), None),
            Outcome::Failed(reason, detail) => (Some(*reason), detail.as_deref()),
        };
        if let Some(reason) = reason {
            let last = draft.head.messages;
            for call in open_calls(draft.view, draft.place.number, row.id, row.message_number, last)? {
                write_result(draft, &row, number, &call, reason, self.next_id)?;
                self.next_id += 1;
                row.messages += 1;
            }
            row.reason = reason_byte(reason);
        }
        row.detail = detail.map(|detail| cut(detail, REASON_BYTES));
        row.state = state_byte(outcome.state());
        row.started_at = row.started_at.or(started_at.map(|at| draft.started_at(at, row.created_at)));
        row.ended_at = Some(draft.now());
        if let Some(hook) = row.webhook.take() {
            let workspace = scope::id(draft.view, draft.place.workspace)?;
            let announced = OutboxRow {
                workspace,
                session: *draft.place.session.as_uuid().as_bytes(),
                turn: row.id,
                state: row.state,
                hook,
            };
            draft.writes.put(Table::Outbox, outbox::at(draft.place.number, number), &announced)?;
        }
        draft.writes.put(Table::Rows, self.stored.key.as_slice(), &row)?;
        draft.writes.remove(Table::Claims, claims::of(draft.place.number));
        let failed = matches!(outcome, Outcome::Failed(..));
        draft.head = HeadRow { running: 0, running_id: None, failed, ..draft.head };
        draft.change(ChangeRow { kind: codec::CHANGE_TURN, number, id: Some(row.id), state: row.state })?;
        row.record(draft.place.session, number)
    }
}

/// A message of an agent's, before its turn is known.
pub(super) fn incoming(new: &NewMessage, id: Id) -> Incoming<'_> {
    Incoming {
        new,
        id,
        role: Role::Assistant,
        kind: MessageType::FinalMessage,
        thread: None,
        turn: None,
        synthetic: false,
        fingerprint: None,
    }
}

fn write_answer(draft: &mut Draft<'_>, row: &TurnRow<'_>, number: u32, answer: &NewMessage) -> Result<Id> {
    if let Some(role) = answer.role.filter(|role| *role != Role::Assistant) {
        return Err(Error::invalid(format!("role of the answer is {role}; it must be assistant")));
    }
    if let Some(kind) = answer.kind.filter(|kind| *kind != MessageType::FinalMessage) {
        return Err(Error::invalid(format!("type of the answer is {kind}; it must be final_message")));
    }
    let id = answer.id.map_or_else(|| draft.stamp.uuid(0), |id| *id.as_uuid()).into_bytes();
    check_unused(draft, std::slice::from_ref(answer))?;
    draft.message(&of_turn(row, number, incoming(answer, id)))?;
    Ok(id)
}

fn write_result(
    draft: &mut Draft<'_>,
    row: &TurnRow<'_>,
    number: u32,
    call: &ToolCall,
    reason: Reason,
    n: u32,
) -> Result<()> {
    let new = NewMessage::result(call, Content::Text(format!("interrupted: {reason}")));
    let id = draft.stamp.uuid(n).into_bytes();
    let incoming = Incoming { role: Role::Tool, kind: MessageType::ToolCall, synthetic: true, ..incoming(&new, id) };
    draft.message(&of_turn(row, number, incoming)).map(drop)
}

/// The calls of a turn that none of its messages answers, in order. A message that cannot be
/// read has no calls and answers none: its damage must not keep the turn from ending.
fn open_calls(view: &dyn Read, session: u32, turn: Id, from: u32, to: u32) -> Result<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    let mut times = Times::new(view, session, to);
    for number in from..=to {
        if times.entry(number).is_ok_and(Entry::is_deleted) {
            continue;
        }
        let read = message::row(view, session, number, |row| {
            if row.turn != Some(turn) {
                return Ok((Vec::new(), None));
            }
            let answered = row.body.tool_call_id.filter(|_| row.role == role_byte(Role::Tool));
            Ok((row.calls(), answered.map(str::to_owned)))
        });
        match read {
            Ok((asked, answered)) => {
                calls.extend(asked);
                if let Some(id) = answered {
                    *answers.entry(id).or_default() += 1;
                }
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    calls.retain(|call| match answers.get_mut(&call.id) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    Ok(calls)
}

/// The longest beginning of a text that has at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
