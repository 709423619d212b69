//! Turns that wait: how many there are, who is next, and how one is promoted.
//!
//! A waiting turn has its row as every turn has, and another one that stands with those of all sessions, in the order
//! of sessions and turns. The session's head counts its own, and one row counts all.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, ChangeRow, ClaimRow, HeadRow, Id, QueuedRow, TurnRow, WaitingRow, state_byte};
use super::draft::Draft;
use super::ending::End;
use super::place::Place;
use super::tables::{Table, claims, meta, sessions};
use super::turn::{Ids, Stored, accept};
use super::view::{self, Read};
use super::write_set::WriteSet;
use super::{message, session};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::page::Direction;
use crate::record::{NewTurn, Reason, SessionRecord, TurnState};
use crate::store::{Behaviour, Claim, Outcome, Promote, QueueBounds, Runner, SessionRef, Started, Submitted, Waiting};
use crate::sync::Arc;

/// How much waits in a session.
pub(super) fn waiting(head: &HeadRow) -> Waiting {
    Waiting { turns: head.queued.into(), bytes: head.queued_bytes }
}

/// How much waits in all sessions. Where the count is damaged, it is counted.
pub(super) fn waiting_in_all(view: &dyn Read) -> Result<Waiting> {
    let row = match view.plain::<WaitingRow>(Table::Meta, meta::WAITING) {
        Err(error) if error.kind() == ErrorKind::Corrupt => counted(view)?,
        row => row?.unwrap_or_default(),
    };
    Ok(Waiting { turns: row.turns, bytes: row.bytes })
}

/// The waiting turns of all sessions, counted.
pub(super) fn counted(view: &dyn Read) -> Result<WaitingRow> {
    let (from, to) = (meta::queued(0, 0), meta::queued(u32::MAX, u32::MAX));
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    let mut all = WaitingRow::default();
    view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
        all.turns += 1;
        all.bytes = all.bytes.saturating_add(bytes_of(key, value));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// What a waiting turn counts; nothing where that cannot be read.
fn bytes_of(key: &[u8], value: &[u8]) -> u64 {
    codec::decode::<QueuedRow>(Table::Meta, key, value).map_or(0, |row| row.bytes)
}

/// How what waits in all sessions is changed by an operation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Change {
    before: Waiting,
    after: Waiting,
}

impl Change {
    /// What waited in one session, and what waits now.
    pub(super) fn add(&mut self, before: Waiting, after: Waiting) {
        let add = |sum: &mut Waiting, more: Waiting| {
            sum.turns = sum.turns.saturating_add(more.turns);
            sum.bytes = sum.bytes.saturating_add(more.bytes);
        };
        add(&mut self.before, before);
        add(&mut self.after, after);
    }

    /// Writes the count of all, where it changed.
    pub(super) fn write(self, view: &dyn Read, writes: &mut WriteSet) -> Result<()> {
        if self.before == self.after {
            return Ok(());
        }
        let all = waiting_in_all(view)?;
        let changed = |all: u64, before: u64, after: u64| all.saturating_sub(before).saturating_add(after);
        let row = WaitingRow {
            turns: changed(all.turns, self.before.turns, self.after.turns),
            bytes: changed(all.bytes, self.before.bytes, self.after.bytes),
        };
        writes.put(Table::Meta, meta::WAITING, &row)
    }
}

/// Writes a message and a turn that waits to answer it.
pub(super) fn enqueue(
    draft: &mut Draft<'_>,
    new: &NewTurn,
    bounds: &QueueBounds,
    ids: Ids,
    session_profile: Option<&str>,
) -> Result<Submitted> {
    let bytes = new.size() as u64;
    let (here, mut all) = (waiting(&draft.head), Change::default());
    all.add(draft.waited, here);
    let before = waiting_in_all(draft.view)?;
    let in_all = Waiting {
        turns: before.turns.saturating_sub(all.before.turns).saturating_add(all.after.turns),
        bytes: before.bytes.saturating_sub(all.before.bytes).saturating_add(all.after.bytes),
    };
    bounds.admit(bytes, here, in_all)?;
    let accepted = accept(draft, new, ids, TurnState::Queued, session_profile)?;
    draft.head.queued += 1;
    draft.head.queued_bytes = draft.head.queued_bytes.saturating_add(bytes);
    draft.writes.put(Table::Meta, meta::queued(draft.place.number, accepted.number), &QueuedRow { bytes })?;
    let (message, turn) = (accepted.message, accepted.turn);
    Ok(Submitted { message, turn, claim: None, interrupted: None, promoted: None, replayed: false })
}

/// A turn's place in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    pub(super) number: u32,
    bytes: u64,
}

impl Queued {
    /// The first of a session that waits after this number.
    fn after(view: &dyn Read, session: u32, number: u32) -> Result<Option<Self>> {
        let (from, to) = (meta::queued(session, number), meta::queued(session, u32::MAX));
        let between = (Bound::Excluded(from.as_slice()), Bound::Included(to.as_slice()));
        let mut next = None;
        view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
            next = meta::queued_of(key).map(|(_, number)| Queued { number, bytes: bytes_of(key, value) });
            Ok(ControlFlow::Break(()))
        })?;
        Ok(next)
    }

    /// All that wait in a session, in order.
    pub(super) fn all(view: &dyn Read, session: u32) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        let mut last = 0;
        while let Some(next) = Queued::after(view, session, last)? {
            last = next.number;
            all.push(next);
        }
        Ok(all)
    }

    /// The place of a turn that waits.
    pub(super) fn of(view: &dyn Read, session: u32, number: u32) -> Result<Self> {
        let key = meta::queued(session, number);
        let bytes = view.row(Table::Meta, &key, |value| Ok(bytes_of(&key, value)))?;
        Ok(Queued { number, bytes: bytes.unwrap_or_default() })
    }

    /// It waits no longer.
    pub(super) fn leave(self, draft: &mut Draft<'_>) {
        draft.writes.remove(Table::Meta, meta::queued(draft.place.number, self.number));
        let head = &mut draft.head;
        head.queued = head.queued.saturating_sub(1);
        head.queued_bytes = if head.queued == 0 { 0 } else { head.queued_bytes.saturating_sub(self.bytes) };
    }
}

/// Gives the session to a turn: writes its claim.
pub(super) fn give(draft: &mut Draft<'_>, number: u32, turn: Id, runner: Runner) -> Result<Claim> {
    draft.head.epoch += 1;
    draft.head.running = number;
    draft.head.running_id = Some(turn);
    let lease = runner.lease.map(|lease| {
        let micros = u64::try_from(lease.as_micros()).unwrap_or(u64::MAX);
        draft.stamp.at.as_micros().saturating_add(micros)
    });
    let owner = *runner.owner.as_uuid().as_bytes();
    let row = ClaimRow { turn, number, owner, epoch: draft.head.epoch, lease };
    draft.writes.put(Table::Claims, claims::of(draft.place.number), &row)?;
    Ok(Claim { turn: codec::turn_id(turn), owner: runner.owner, epoch: draft.head.epoch })
}

/// What a session's turns are run by.
pub(super) struct Agent {
    at: SessionRef,
    record: Arc<SessionRecord>,
}

impl Agent {
    pub(super) fn of(draft: &Draft<'_>) -> Result<Self> {
        let at = draft.at()?;
        let record = session::body(draft.view, at, draft.place.number, draft.head.body)?;
        Ok(Agent { at, record })
    }

    pub(super) fn name(&self) -> &str {
        &self.record.agent_name
    }
}

/// A turn whose row says how it runs is running from now on: writes the row, tells it, and gives it the session. Where
/// something cannot be read, nothing is written.
pub(super) fn run(
    draft: &mut Draft<'_>,
    stored: &Stored,
    number: u32,
    row: &TurnRow<'_>,
    (agent, runner): (&Agent, Runner),
) -> Result<Started> {
    let session = draft.place.session;
    let turn = row.record(session, number)?;
    let message = message::read(draft.view, draft.place.number, session, row.message_number)?;
    draft.writes.put(Table::Rows, stored.key.as_slice(), row)?;
    draft.change(ChangeRow { kind: codec::CHANGE_TURN, number, id: Some(row.id), state: row.state })?;
    let claim = give(draft, number, row.id, runner)?;
    let (at, record) = (agent.at, &agent.record);
    Ok(Started { at, agent_id: record.agent_id, agent_name: record.agent_name.clone(), message, turn, claim })
}

/// Promotes the turn that waits next in a session where none is running.
///
/// What cannot be read keeps no other from its turn, nor the one before from its end: a turn whose message is damaged ends as
/// *failed*, one that is damaged itself stays as it is, and `verify` names it.
pub(super) fn promote(draft: &mut Draft<'_>, runner: Option<Runner>, next_id: &mut u32) -> Result<Option<Started>> {
    let runner = runner.filter(|runner| runner.behaviour == Behaviour::Registered);
    let Some(runner) = runner.filter(|_| draft.head.queued > 0) else { return Ok(None) };
    let agent = match Agent::of(draft) {
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
        agent => agent?,
    };
    let mut last = 0;
    while let Some(next) = Queued::after(draft.view, draft.place.number, last)? {
        last = next.number;
        match promote_one(draft, next, (&agent, runner)) {
            Ok(started) => return Ok(Some(started)),
            Err(error) if error.kind() == ErrorKind::Corrupt => pass_over(draft, next, &error, next_id)?,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn promote_one(draft: &mut Draft<'_>, next: Queued, by: (&Agent, Runner)) -> Result<Started> {
    let stored = Stored::get(draft.view, draft.place.number, next.number)?;
    let mut row = stored.row()?;
    if row.state != state_byte(TurnState::Queued) {
        return Err(Error::corrupt(format!("turn {} waits in state {}", next.number, row.state)));
    }
    row.state = state_byte(TurnState::Running);
    let started = run(draft, &stored, next.number, &row, by)?;
    next.leave(draft);
    Ok(started)
}

/// A turn that cannot run waits no longer.
fn pass_over(draft: &mut Draft<'_>, next: Queued, error: &Error, next_id: &mut u32) -> Result<()> {
    let mut end = match End::open(draft, next.number, *next_id) {
        Ok(end) if end.is_queued()? => end,
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        _ => {
            next.leave(draft);
            return Ok(());
        }
    };
    end.outcome(draft, &Outcome::Failed(Reason::Error, Some(error.to_string())), None)?;
    *next_id = end.next_id;
    Ok(())
}

/// Starts the first waiting turn of sessions in which none is running.
pub(super) fn promote_all(view: &dyn Read, op: &Promote) -> Result<(WriteSet, Vec<Started>)> {
    let (mut writes, mut change, mut next_id) = (WriteSet::default(), Change::default(), 0);
    let mut started = Vec::new();
    let mut last = 0;
    while started.len() < op.limit as usize
        && let Some(session) = waiting_after(view, last)?
    {
        last = session;
        match promote_in(view, op, session, &mut change, &mut next_id) {
            Ok((written, next)) => {
                writes.extend(written);
                started.extend(next);
            }
            // What is damaged stays as it is, `verify` names it; the others go on all the same.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    change.write(view, &mut writes)?;
    Ok((writes, started))
}

/// The next session after this one in which a turn waits.
fn waiting_after(view: &dyn Read, session: u32) -> Result<Option<u32>> {
    let (from, to) = (meta::queued(session, u32::MAX), meta::queued(u32::MAX, u32::MAX));
    let between = (Bound::Excluded(from.as_slice()), Bound::Included(to.as_slice()));
    let mut next = None;
    view.scan(Table::Meta, between, Direction::Asc, &mut |key, _| {
        next = meta::queued_of(key).map(|(session, _)| session);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(next)
}

fn promote_in(
    view: &dyn Read,
    op: &Promote,
    session: u32,
    change: &mut Change,
    next_id: &mut u32,
) -> Result<(WriteSet, Option<Started>)> {
    let mut draft = Draft::open_place(view, place_of(view, session)?, op.stamp)?;
    if draft.head.running != 0 {
        return Ok((WriteSet::default(), None));
    }
    let runner = op.runners.of(Agent::of(&draft)?.name());
    let mut id = *next_id;
    let started = promote(&mut draft, Some(runner), &mut id)?;
    if waiting(&draft.head) == draft.waited {
        return Ok((WriteSet::default(), None));
    }
    let writes = draft.seal_beside(change)?;
    *next_id = id;
    Ok((writes, started))
}

/// A session's place by its number alone: what a claim leads to, and a turn that waits.
pub(super) fn place_of(view: &dyn Read, number: u32) -> Result<Place> {
    let key = sessions::body(number);
    let place = view.row(Table::Sessions, &key, |value| {
        let row: codec::SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        let session = SessionId::from_uuid(uuid::Uuid::from_bytes(row.id));
        Ok(Place { number, workspace: row.workspace, agent: row.agent, session })
    })?;
    place.ok_or_else(|| view::missing("session", &key))
}

#[cfg(test)]
mod tests;
