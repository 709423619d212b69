//! What every record of a session must hold for itself, and all of them together.

use std::fmt::Display;

use super::{Feed, Seen, Trust};
use crate::error::{Error, Result};
use crate::limit::{REASON_BYTES, SESSION_ROWS, TS_MICROS_MAX, TURN_JSON_BYTES};
use crate::record::{Content, ContextMark, Json, NewMessage, NewSession, TurnState, check_json};
use crate::redb::codec::{self, HeadRow, MessageRow, SessionRow, TurnRow};
use crate::time::Timestamp;

/// What a session that is loaded is refused with.
pub(super) fn corrupt(what: impl Display) -> Error {
    Error::corrupt(format!("a session that is loaded is wrong: {what}"))
}

/// A refusal of the door's, of what should have passed it.
fn refused(what: impl Display, error: Error) -> Error {
    Error::corrupt(format!("a session that is loaded is wrong: {what}: {error}")).with_source(error)
}

/// JSON, which strangers may not have checked.
fn json(text: Option<&str>, trust: Trust) -> Result<Option<Json>> {
    Ok(match (text, trust) {
        (None, _) => None,
        (Some(text), Trust::Ours) => Some(Json::stored(text.to_owned())),
        (Some(text), Trust::Strangers) => Some(Json::parse(text)?),
    })
}

/// What a creation would say of the session.
pub(super) fn session(row: &SessionRow<'_>, trust: Trust) -> Result<NewSession> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let new = || {
        let new = NewSession {
            id: None,
            key: Some(row.key.to_owned()),
            label: text(row.label),
            chat_type: text(row.chat_type),
            last_channel: text(row.last_channel),
            origin: json(row.origin, trust)?,
            metadata: json(row.metadata, trust)?,
            profile: json(row.profile, trust)?,
        };
        if trust == Trust::Strangers {
            new.check()?;
        }
        Ok(new)
    };
    let new = new().map_err(|error| refused("what it is", error))?;
    if row.id == codec::Id::default() {
        return Err(corrupt("its id is none"));
    }
    Ok(new)
}

/// Where a session may stand that is nobody's yet.
pub(super) fn head(row: &HeadRow, created_at: u64) -> Result<()> {
    if row.running != 0 || row.running_id.is_some() || row.queued != 0 || row.queued_bytes != 0 {
        return Err(corrupt("it is busy"));
    }
    if created_at > row.updated_at || row.updated_at > Timestamp::MAX.as_micros() {
        return Err(corrupt("its times"));
    }
    Ok(())
}

/// A turn that has ended.
pub(super) fn turn(row: &TurnRow<'_>, number: u32, updated_at: u64, trust: Trust) -> Result<()> {
    let wrong = |what: &str| corrupt(format_args!("turn {number}: {what}"));
    let record = row.record(crate::id::SessionId::from_uuid(uuid::Uuid::nil()), number);
    let record = record.map_err(|error| refused(format_args!("turn {number}"), error))?;
    if !record.state.is_terminal() || row.webhook.is_some() {
        return Err(wrong("it has not ended"));
    }
    let ended_at = row.ended_at.ok_or_else(|| wrong("it has no end"))?;
    if row.created_at > ended_at || ended_at > updated_at || row.started_at.is_some_and(|at| at > updated_at) {
        return Err(wrong("its times"));
    }
    if trust == Trust::Ours {
        return Ok(());
    }
    if let Some(what) = self::turn_breach(row) {
        return Err(wrong(what));
    }
    if row.detail.is_some_and(|detail| detail.len() > REASON_BYTES) {
        return Err(wrong("its detail is too long"));
    }
    for (what, text) in [("user_params", row.user_params), ("profile", row.profile)] {
        json(text, trust)
            .and_then(|json| check_json(what, json.as_ref(), TURN_JSON_BYTES))
            .map_err(|error| refused(format_args!("turn {number}"), error))?;
    }
    Ok(())
}

/// What is wrong with a turn, as far as its own row tells.
pub(in crate::redb) fn turn_breach(row: &TurnRow<'_>) -> Option<&'static str> {
    let Ok(state) = codec::state_of(row.state) else { return Some("it is in an unknown state") };
    let (ended, completed) = (state.is_terminal(), state == TurnState::Completed);
    let waits = state == TurnState::Queued;
    let wrong = [
        (row.ended_at.is_some() != ended, "it has an end that does not fit its state"),
        ((row.reason != 0) != (ended && !completed), "it has a reason that does not fit its state"),
        (row.final_message.is_some() && !completed, "it has a final message, and did not complete"),
        (row.webhook.is_some() && ended, "it has ended, and its webhook is not in the outbox"),
        (row.attempt == 0, "it is in no attempt"),
        (waits && (row.started_at.is_some() || row.messages > 0), "it waits, and has written something"),
        (waits && row.attempt != 1, "it waits to run again"),
        (row.started_at.is_some_and(|at| at < row.created_at), "it started before it was accepted"),
        (row.ended_at.is_some_and(|at| at < row.started_at.unwrap_or(row.created_at)), "it ended before it began"),
    ];
    wrong.into_iter().find_map(|(is_wrong, what)| is_wrong.then_some(what))
}

/// A message.
pub(super) fn message(row: &MessageRow<'_>, number: u32, updated_at: u64, trust: Trust) -> Result<()> {
    // Room is left for every message that may yet come: each takes one more.
    let most = TS_MICROS_MAX.saturating_sub(SESSION_ROWS.saturating_sub(number).into());
    if row.ts > most || row.created_at > updated_at {
        return Err(corrupt(format_args!("message {number}: its times")));
    }
    if trust == Trust::Ours {
        return Ok(());
    }
    door(row, number).map_err(|error| refused(format_args!("message {number}"), error))
}

/// What a message has to hold where it comes in.
fn door(row: &MessageRow<'_>, number: u32) -> Result<()> {
    let record = row.record(crate::id::SessionId::from_uuid(uuid::Uuid::nil()), number)?;
    let content = match record.content {
        Some(Content::Blocks(json)) => Some(Content::Blocks(Json::parse(json.as_str())?)),
        content => content,
    };
    json(row.body.metadata, Trust::Strangers)?;
    let new = NewMessage {
        content,
        tool_calls: record.tool_calls,
        tool_call_id: record.tool_call_id,
        name: record.name,
        images: record.images,
        artifact_ids: record.artifact_ids,
        metadata: record.metadata,
        ..NewMessage::default()
    };
    new.check()
}

/// What came is what was said to come.
pub(super) fn whole(seen: &Seen, head: &HeadRow, mark: Option<&ContextMark>) -> Result<()> {
    let [finals_due, finals] = seen.finals;
    let [written, deleted, running, ended] = seen.events;
    let counts = [
        ("threads", head.threads.into(), seen.threads.into()),
        ("turns", head.turns.into(), seen.turns.into()),
        ("messages", head.messages.into(), seen.messages.into()),
        ("events", head.changes, seen.changes),
        ("the ts of the last message", head.last_ts, seen.last_ts),
        ("the time of the last message", head.last_created_at, seen.last_created_at),
        ("final messages of turns", finals_due.into(), finals.into()),
        ("events of messages", head.messages.into(), written.into()),
        ("events of deletions", seen.deleted.into(), deleted.into()),
        ("events of turns that ended", head.turns.into(), ended.into()),
        // Every claim is told of.
        ("the epoch", head.epoch, running.into()),
        ("the context mark", head.mark.into(), mark.map_or(0, |mark| mark.message).into()),
        ("the context mark by the events", head.mark.into(), seen.mark.into()),
        ("whether the last turn failed", head.failed.into(), seen.failed.into()),
    ];
    for (what, said, came) in counts {
        if said != came {
            return Err(corrupt(format_args!("{what}: {said} where {came} is so")));
        }
    }
    if codec::usage_of(head.usage) != seen.usage.unwrap_or_default() {
        return Err(corrupt("its usage is not that of its turns"));
    }
    match seen.due {
        Some((turn, _, _)) => Err(corrupt(format_args!("turn {turn} has no message"))),
        None => Ok(()),
    }
}

/// What strangers brought is what their turns and events say of it.
pub(super) fn strangers(seen: &Seen) -> Result<()> {
    if let Some((turn, missing)) = seen.written.missing().next() {
        return Err(corrupt(format_args!("turn {turn} counts {missing} messages more than it has")));
    }
    let Feed { running, ref queued, again, .. } = seen.feed;
    if running != 0 || !queued.is_empty() {
        return Err(corrupt("its events leave it busy"));
    }
    if again != seen.again {
        return Err(corrupt(format_args!("its turns ran again {} times, {again} by its events", seen.again)));
    }
    Ok(())
}
