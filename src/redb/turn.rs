//! Verbs that start turns, write in their name and read them. How they end: `ending`.

use super::codec::{
    self, ChangeRow, ClaimRow, HeadRow, HookRow, Id, MessageRow, NumberRow, TurnRow, json_text, state_byte,
};
use super::draft::{self, Draft, Incoming};
use super::ending::{self, End};
use super::message::{check_idle, check_ids, ids, named_thread, reused};
use super::tables::{Table, claims, rows, sessions};
use super::view::{self, Read};
use super::write_set::WriteSet;
use super::{message, place, queue};
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{SessionId, Stamp, TurnId};
use crate::limit::TURN_MESSAGES;
use crate::page::PageAt;
use crate::record::{Message, MessageType, NewMessage, NewTurn, Reason, Role, Turn, TurnState, Usage};
use crate::store::{
    Claim, Damaged, Emit, Listed, Outcome, Policy, Runner, SessionRef, Submit, Submitted, next_in_chain,
};

/// The ids of a turn that starts, and how far down a chain it is.
pub(super) struct Ids {
    message: Id,
    thread: Id,
    turn: Id,
    chain: u32,
}

impl Ids {
    /// The caller's id of the message, or the stamp's ids from `base` on.
    pub(super) fn of(new: &NewTurn, stamp: Stamp, base: u32, chain: u32) -> Self {
        Ids {
            message: new.message.id.map_or_else(|| stamp.uuid(base), |id| *id.as_uuid()).into_bytes(),
            thread: stamp.uuid(base + 1).into_bytes(),
            turn: stamp.uuid(base + 2).into_bytes(),
            chain,
        }
    }
}

/// Writes a user's message and starts a turn that answers it.
pub(super) fn submit(view: &dyn Read, op: &Submit) -> Result<(WriteSet, Submitted)> {
    let (mut draft, sender) = match op.sender {
        None => (Draft::open(view, op.at, op.stamp)?, None),
        Some(claim) => {
            let (draft, number) = hold(view, op.at, claim, op.stamp)?;
            let chain = Stored::get(view, draft.place.number, number)?.row()?.chain;
            (draft, Some(chain))
        }
    };
    if let Some(id) = op.new.message.id
        && let Some(number) = place::number(view, draft.place.number, rows::Kind::MessageId, id.as_uuid().as_bytes())?
    {
        let fingerprint = codec::of_send(&op.new)?;
        let same = message::row(view, draft.place.number, number, |row| Ok(row.fingerprint == Some(fingerprint)))?;
        if !same {
            return Err(reused(id));
        }
        return Ok((WriteSet::default(), original(view, draft.place.number, op.at.session, number)?));
    }
    op.runner.behaviour.check()?;
    named_thread(&draft, op.new.thread)?;
    if op.policy == Policy::FollowUp && draft.head.messages == 0 {
        return Err(Error::new(
            ErrorKind::BadRequest,
            format!("session {} never had a message; a follow-up needs one to follow", op.at.session),
        ));
    }
    if op.policy == Policy::Reject {
        check_idle(&draft.head, op.at.session)?;
    }
    let chain = next_in_chain(sender)?;
    let (ids, profile) = (Ids::of(&op.new, op.stamp, 0, chain), session_profile(&draft)?);
    let mut promoted = None;
    if op.policy == Policy::Enqueue && (draft.head.running, draft.head.queued) != (0, 0) {
        if draft.head.running == 0 {
            promoted = queue::promote(&mut draft, Some(op.runner), &mut 3)?.map(Box::new);
        }
        // Whatever waits may turn out to be damaged: then nothing is in the way.
        if draft.head.running != 0 {
            let queued = queue::enqueue(&mut draft, &op.new, &op.queue, ids, profile.as_deref())?;
            return Ok((draft.seal()?, Submitted { promoted, ..queued }));
        }
    }
    let interrupted = match draft.head.running {
        0 => None,
        number => Some(make_way(&mut draft, number, op.policy)?),
    };
    let submitted = start(&mut draft, &op.new, op.runner, ids, profile.as_deref())?;
    Ok((draft.seal()?, Submitted { interrupted, ..submitted }))
}

/// Ends the running turn for the one that comes.
fn make_way(draft: &mut Draft<'_>, number: u32, policy: Policy) -> Result<TurnId> {
    let mut end = End::open(draft, number, 3)?;
    let reason = if policy == Policy::Rollback {
        end.roll_back(draft)?;
        Reason::Rollback
    } else {
        Reason::FollowUp
    };
    end.outcome(draft, &Outcome::Interrupted(reason), None)?;
    Ok(end.turn_id())
}

fn session_profile(draft: &Draft<'_>) -> Result<Option<String>> {
    let key = sessions::body(draft.place.number);
    let profile = draft.view.row(Table::Sessions, &key, |value| {
        let row: codec::SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        Ok(row.profile.map(str::to_owned))
    })?;
    profile.ok_or_else(|| view::missing("session", &key))
}

/// Starts a turn in a session where none is running: thread, message, turn, claim.
pub(super) fn start(
    draft: &mut Draft<'_>,
    new: &NewTurn,
    runner: Runner,
    ids: Ids,
    session_profile: Option<&str>,
) -> Result<Submitted> {
    let id = ids.turn;
    let Accepted { message, turn, number } = accept(draft, new, ids, TurnState::Running, session_profile)?;
    let claim = Some(queue::give(draft, number, id, runner)?);
    Ok(Submitted { message, turn, claim, interrupted: None, promoted: None, replayed: false })
}

/// A turn that was written, and the message it is to answer.
pub(super) struct Accepted {
    pub(super) message: Message,
    pub(super) turn: Turn,
    pub(super) number: u32,
}

/// Writes a message and the turn that answers it, which is to be given a claim unless it waits.
pub(super) fn accept(
    draft: &mut Draft<'_>,
    new: &NewTurn,
    ids: Ids,
    state: TurnState,
    session_profile: Option<&str>,
) -> Result<Accepted> {
    let thread = match named_thread(draft, new.thread)? {
        Some(thread) => thread,
        None => draft.thread(ids.thread)?,
    };
    let number = draft::next(&mut draft.head.turns, "turns")?;
    let role = new.message.role_or(Role::User);
    let message = draft.message(&Incoming {
        new: &new.message,
        id: ids.message,
        role,
        kind: new.message.kind_or_default(role),
        thread: Some(thread),
        turn: Some((number, ids.turn)),
        synthetic: false,
        fingerprint: new.message.id.map(|_| codec::of_send(new)).transpose()?,
    })?;
    let row = TurnRow {
        id: ids.turn,
        thread: thread.1,
        thread_number: thread.0,
        message: ids.message,
        message_number: message.number,
        state: state_byte(state),
        reason: 0,
        detail: None,
        final_message: None,
        messages: 0,
        attempt: 1,
        chain: ids.chain,
        usage: None,
        user_params: json_text(new.user_params.as_ref()),
        profile: json_text(new.profile.as_ref()).or(session_profile),
        time_limit: new.time_limit.map(codec::nanos),
        webhook: new.webhook.as_ref().map(HookRow::of),
        created_at: draft.now(),
        started_at: None,
        ended_at: None,
    };
    let session = draft.place.number;
    draft.writes.put(Table::Rows, rows::numbered(session, rows::Kind::Turn, number), &row)?;
    draft.index(rows::Kind::TurnId, &ids.turn, number)?;
    draft.change(ChangeRow { kind: codec::CHANGE_TURN, number, id: Some(row.id), state: row.state })?;
    let turn = row.record(draft.place.session, number)?;
    Ok(Accepted { message, turn, number })
}

/// What an earlier submit wrote, by the number of its message.
pub(super) fn original(view: &dyn Read, session: u32, id: SessionId, number: u32) -> Result<Submitted> {
    let (message, turn) = message::row(view, session, number, |row: &MessageRow<'_>| {
        let turn = row.turn.ok_or_else(|| Error::corrupt(format!("message {number} lost its turn")))?;
        Ok((row.record(id, number)?, turn))
    })?;
    let turn = by_id(view, session, id, codec::turn_id(turn))?;
    Ok(Submitted { message, turn, claim: None, interrupted: None, promoted: None, replayed: true })
}

/// Opens the session of a claim for change, where the claim still holds.
pub(super) fn hold<'v>(view: &'v dyn Read, at: SessionRef, claim: Claim, stamp: Stamp) -> Result<(Draft<'v>, u32)> {
    let draft = Draft::open(view, at, stamp)?;
    let held: Option<ClaimRow> = view.plain(Table::Claims, &claims::of(draft.place.number))?;
    let (turn, owner) = (*claim.turn.as_uuid().as_bytes(), *claim.owner.as_uuid().as_bytes());
    match held {
        Some(held) if (held.turn, held.owner, held.epoch) == (turn, owner, claim.epoch) => Ok((draft, held.number)),
        Some(held) if is_planted(Bug::FenceOpen) => Ok((draft, held.number)),
        _ => Err(Error::new(ErrorKind::Fenced, format!("turn {} no longer owns its session", claim.turn))),
    }
}

/// Writes messages of a running turn.
pub(super) fn emit(view: &dyn Read, op: &Emit) -> Result<(WriteSet, Vec<Message>)> {
    let (mut draft, number) = hold(view, op.at, op.claim, op.stamp)?;
    check_ids(&op.messages)?;
    for new in &op.messages {
        if new.kind_or_default(new.role_or(Role::Assistant)) == MessageType::FinalMessage {
            return Err(Error::invalid("type is final_message; a running turn writes message or tool_call"));
        }
    }
    check_unused(&draft, &op.messages)?;
    let stored = Stored::get(view, draft.place.number, number)?;
    let mut row = stored.row()?;
    let count = u32::try_from(op.messages.len()).unwrap_or(u32::MAX);
    let most = row.messages.saturating_add(count);
    if most > TURN_MESSAGES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("turn would have {most} messages; it may write at most {TURN_MESSAGES} (TURN_MESSAGES)"),
        ));
    }
    let mut written = Vec::with_capacity(op.messages.len());
    for (new, id) in op.messages.iter().zip(ids(&op.messages, op.stamp)) {
        let role = new.role_or(Role::Assistant);
        let kind = new.kind_or_default(role);
        let incoming = of_turn(&row, number, Incoming { role, kind, ..ending::incoming(new, id) });
        written.push(draft.message(&incoming)?);
    }
    row.messages = most;
    consume(&mut draft.head, &mut row, op.usage)?;
    row.started_at.get_or_insert(draft.started_at(op.started_at, row.created_at));
    draft.writes.put(Table::Rows, stored.key.as_slice(), &row)?;
    Ok((draft.seal()?, written))
}

/// Adds up what was consumed, in the turn and in its session.
pub(super) fn consume(head: &mut HeadRow, row: &mut TurnRow<'_>, usage: Usage) -> Result<()> {
    for sum in [&mut head.usage, &mut row.usage] {
        let more = codec::usage_of(*sum).checked_add(usage).ok_or_else(|| {
            Error::new(ErrorKind::TooLarge, "the usage of the turn, or of its session, would be over 2^64 - 1")
        })?;
        *sum = codec::usage_row(more);
    }
    Ok(())
}

/// Refuses ids of the caller's that the session already has.
pub(super) fn check_unused(draft: &Draft<'_>, messages: &[NewMessage]) -> Result<()> {
    for id in messages.iter().filter_map(|new| new.id) {
        if draft.has_message(id.as_uuid().as_bytes())? {
            return Err(reused(id));
        }
    }
    Ok(())
}

/// A message of a turn.
pub(super) fn of_turn<'a>(row: &TurnRow<'_>, number: u32, incoming: Incoming<'a>) -> Incoming<'a> {
    Incoming { thread: Some((row.thread_number, row.thread)), turn: Some((number, row.id)), ..incoming }
}

/// A turn's row, copied out of its page so that it can be changed.
pub(super) struct Stored {
    pub(super) key: [u8; 9],
    value: Vec<u8>,
}

impl Stored {
    pub(super) fn get(view: &dyn Read, session: u32, number: u32) -> Result<Self> {
        let key = rows::numbered(session, rows::Kind::Turn, number);
        let value = view.row(Table::Rows, &key, |value| Ok(value.to_vec()))?;
        Ok(Stored { value: value.ok_or_else(|| view::missing("turn", &key))?, key })
    }

    pub(super) fn row(&self) -> Result<TurnRow<'_>> {
        codec::decode(Table::Rows, &self.key, &self.value)
    }
}

fn by_number(view: &dyn Read, session: u32, id: SessionId, number: u32) -> Result<Turn> {
    Stored::get(view, session, number)?.row()?.record(id, number)
}

fn by_id(view: &dyn Read, session: u32, id: SessionId, turn: TurnId) -> Result<Turn> {
    let row: Option<NumberRow> =
        view.plain(Table::Rows, &rows::by_id(session, rows::Kind::TurnId, turn.as_uuid().as_bytes()))?;
    let row = row.ok_or_else(|| Error::not_found(format_args!("turn {turn}")))?;
    by_number(view, session, id, row.number)
}

/// A turn by its id.
pub(super) fn get(view: &dyn Read, at: SessionRef, turn: TurnId) -> Result<Turn> {
    by_id(view, place::session(view, at)?, at.session, turn)
}

/// The turns of a session, newest first. They are numbered without gaps, so a page is arithmetic.
pub(super) fn list(view: &dyn Read, at: SessionRef, page: PageAt) -> Result<Listed<Turn>> {
    let session = place::session(view, at)?;
    let head: codec::HeadRow = view.expected(Table::Sessions, &sessions::head(session))?;
    let total = u64::from(head.turns);
    let mut listed = Listed { items: Vec::new(), total, damaged: Vec::new(), last: None };
    let newest = total.saturating_sub(page.offset());
    let oldest = newest.saturating_sub(u64::from(page.limit));
    for number in (oldest..newest).rev() {
        let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let read = by_number(view, session, at.session, number);
        view::sort(read, &mut listed.items, &mut listed.damaged, |error| Damaged::new(Some(number), None, error))?;
    }
    Ok(listed)
}
