//! The end of a turn: its last messages, terminal state, outbox row and claim in one commit.

use std::collections::BTreeMap;

use super::codec::{self, ChangeRow, HeadRow, HookRow, Id, OutboxRow, TurnRow, reason_byte, role_byte, state_byte};
use super::draft::{Draft, Incoming};
use super::positions::{Entry, Times, unless_damaged};
use super::queue::{self, Queued};
use super::tables::{Table, claims, outbox, rows};
use super::turn::{Stored, check_unused, consume, hold, of_turn};
use super::view::Read;
use super::write_set::WriteSet;
use super::{message, place, scope};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TurnId;
use crate::limit::REASON_BYTES;
use crate::record::{Content, MessageType, NewMessage, Reason, Role, ToolCall, Turn, TurnState, Usage};
use crate::store::{Cancel, Finish, Finished, Interrupt, Outcome, Stop, Stopped};
use crate::time::Timestamp;

/// Ends a running turn in the name of its claim, and promotes the next.
pub(super) fn finish(view: &dyn Read, op: &Finish) -> Result<(WriteSet, Finished)> {
    let (mut draft, number) = hold(view, op.at, op.claim, op.stamp)?;
    let mut end = End::open(&draft, number, 0)?;
    end.usage = op.usage;
    let turn = end.outcome(&mut draft, &op.outcome, op.started_at)?;
    let next = queue::promote(&mut draft, op.next, &mut end.next_id)?.map(Box::new);
    Ok((draft.seal()?, Finished { turn, next }))
}

/// Ends the running turn, if there is one and no other is meant, and promotes the next.
pub(super) fn interrupt(view: &dyn Read, op: &Interrupt) -> Result<(WriteSet, Option<Finished>)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let meant = op.turn.map(|turn| number_of(&draft, turn)).transpose()?;
    if draft.head.running == 0 || meant.is_some_and(|number| number != draft.head.running) {
        return Ok((WriteSet::default(), None));
    }
    let mut end = End::open(&draft, draft.head.running, 0)?;
    let turn = end.outcome(&mut draft, &Outcome::Interrupted(op.reason), None)?;
    let next = queue::promote(&mut draft, op.next, &mut end.next_id)?.map(Box::new);
    Ok((draft.seal()?, Some(Finished { turn, next })))
}

/// Ends the running turn and all that wait.
pub(super) fn stop(view: &dyn Read, op: &Stop) -> Result<(WriteSet, Stopped)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let (mut stopped, mut next_id) = (Stopped::default(), 0);
    if (draft.head.running, draft.head.queued) == (0, 0) {
        return Ok((WriteSet::default(), stopped));
    }
    if draft.head.running != 0 {
        let mut end = End::open(&draft, draft.head.running, next_id)?;
        stopped.turn = Some(end.outcome(&mut draft, &Outcome::Interrupted(op.reason), None)?);
        next_id = end.next_id;
    }
    for queued in Queued::all(view, draft.place.number)? {
        let mut end = match End::open(&draft, queued.number, next_id) {
            Ok(end) if end.is_queued()? => end,
            // What is damaged stays as it is, `verify` names it; nobody waits for it any longer.
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            _ => {
                queued.leave(&mut draft);
                continue;
            }
        };
        stopped.cancelled.push(end.outcome(&mut draft, &Outcome::Interrupted(Reason::Cancelled), None)?);
        next_id = end.next_id;
    }
    Ok((draft.seal()?, stopped))
}

/// Ends a turn that waits.
pub(super) fn cancel(view: &dyn Read, op: &Cancel) -> Result<(WriteSet, Turn)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let number = number_of(&draft, op.turn)?;
    let mut end = End::open(&draft, number, 0)?;
    if !end.is_queued()? {
        let state = codec::state_of(end.stored.row()?.state)?.as_str();
        return Err(Error::conflict(format!("turn {} is {state}; only a queued one can be cancelled", op.turn)));
    }
    let turn = end.outcome(&mut draft, &Outcome::Interrupted(Reason::Cancelled), None)?;
    Ok((draft.seal()?, turn))
}

fn number_of(draft: &Draft<'_>, turn: TurnId) -> Result<u32> {
    let number = place::number(draft.view, draft.place.number, rows::Kind::TurnId, turn.as_uuid().as_bytes())?;
    number.ok_or_else(|| Error::not_found(format_args!("turn {turn}")))
}

/// A turn at its end.
pub(super) struct End {
    stored: Stored,
    id: Id,
    number: u32,
    /// The stamp's next id for a message.
    pub(super) next_id: u32,
    /// What it consumed since its last write.
    usage: Usage,
    messages: Messages,
}

/// What became of a turn's messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Messages {
    Kept,
    /// All of them: no call of theirs is open.
    Deleted,
}

impl End {
    /// Reads the turn of this number, which is running or waits.
    pub(super) fn open(draft: &Draft<'_>, number: u32, next_id: u32) -> Result<Self> {
        let stored = Stored::get(draft.view, draft.place.number, number)?;
        let id = stored.row()?.id;
        Ok(End { stored, id, number, next_id, usage: Usage::ZERO, messages: Messages::Kept })
    }

    pub(super) fn turn_id(&self) -> TurnId {
        codec::turn_id(self.id)
    }

    /// Whether it waits.
    pub(super) fn is_queued(&self) -> Result<bool> {
        Ok(self.stored.row()?.state == state_byte(TurnState::Queued))
    }

    /// Soft-deletes all messages of the turn, the one that started it among them. One that cannot be read is not known
    /// to be the turn's, and stays.
    pub(super) fn roll_back(&mut self, draft: &mut Draft<'_>) -> Result<()> {
        let (view, session) = (draft.view, draft.place.number);
        let mut times = Times::new(view, session, draft.head.messages);
        self.messages = Messages::Deleted;
        for number in self.stored.row()?.message_number..=draft.head.messages {
            if unless_damaged(times.entry(number))?.is_some_and(Entry::is_deleted) {
                continue;
            }
            match message::row(view, session, number, |row| Ok((row.id, row.turn, row.thread_number))) {
                Ok((id, turn, thread)) if turn == Some(self.id) => {
                    draft.positions.delete(number, thread)?;
                    draft.change(ChangeRow { kind: codec::CHANGE_DELETED, number, id: Some(id), state: 0 })?;
                }
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                _ => {}
            }
        }
        Ok(())
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
        let waited = row.state == state_byte(TurnState::Queued);
        consume(&mut draft.head, &mut row, self.usage)?;
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
            // One that waited has written nothing.
            let last = if waited { row.message_number } else { draft.head.messages };
            let calls = match self.messages {
                Messages::Deleted => Vec::new(),
                Messages::Kept => open_calls(draft.view, draft.place.number, row.id, row.message_number, last)?,
            };
            for call in calls {
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
        let hook = row.webhook.take();
        draft.writes.put(Table::Rows, self.stored.key.as_slice(), &row)?;
        draft.head.failed = matches!(outcome, Outcome::Failed(..));
        if waited {
            Queued::of(draft.view, draft.place.number, number)?.leave(draft);
        } else {
            draft.writes.remove(Table::Claims, claims::of(draft.place.number));
            draft.head = HeadRow { running: 0, running_id: None, ..draft.head };
        }
        draft.change(ChangeRow { kind: codec::CHANGE_TURN, number, id: Some(row.id), state: row.state })?;
        if let Some(hook) = hook {
            announce(draft, &row, hook)?;
        }
        row.record(draft.place.session, number)
    }
}

/// Puts the end of a turn into the outbox, under the number of the event that told of it.
fn announce(draft: &mut Draft<'_>, row: &TurnRow<'_>, hook: HookRow<'_>) -> Result<()> {
    let workspace = scope::id(draft.view, draft.place.workspace)?;
    let session = *draft.place.session.as_uuid().as_bytes();
    let announced = OutboxRow {
        workspace,
        session,
        turn: row.id,
        state: row.state,
        hook,
        attempts: 0,
        due_at: None,
        failed_at: None,
        error: None,
        lacks: 0,
    };
    draft.writes.put(Table::Outbox, outbox::at(draft.place.number, draft.head.changes), &announced)
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
pub(super) fn open_calls(view: &dyn Read, session: u32, turn: Id, from: u32, to: u32) -> Result<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    let mut times = Times::new(view, session, to);
    for number in from..=to {
        if unless_damaged(times.entry(number))?.is_some_and(Entry::is_deleted) {
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
pub(super) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
