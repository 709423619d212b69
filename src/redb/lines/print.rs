//! Rows as lines: see docs/format.md for each field.

use crate::error::{Error, Result};
use crate::lines::Printer;
use crate::redb::codec::{
    self, CHANGE_ARCHIVED, CHANGE_CREATED, CHANGE_DELETED, CHANGE_MARK, CHANGE_MESSAGE, CHANGE_PURGED, CHANGE_RESTORED,
    CHANGE_TURN, CHANGE_UPDATED, ChangeRow, ForkRow, HeadRow, MarkRow, MessageRow, SessionRow, ThreadRow, TurnRow,
    UsageRow, kind_of, reason_of, role_of, state_of,
};
use crate::redb::load::Kept;

/// The kinds of events and their names.
pub(super) const CHANGES: [(u8, &str); 9] = [
    (CHANGE_CREATED, "created"),
    (CHANGE_MESSAGE, "message"),
    (CHANGE_DELETED, "deleted"),
    (CHANGE_PURGED, "purged"),
    (CHANGE_TURN, "turn"),
    (CHANGE_MARK, "context_mark"),
    (CHANGE_UPDATED, "updated"),
    (CHANGE_ARCHIVED, "archived"),
    (CHANGE_RESTORED, "restored"),
];

/// What a session is. Where it stands follows in the same line.
pub(super) fn session(to: &mut Printer, row: &SessionRow<'_>) {
    to.line("session").id("id", row.id).text("key", row.key);
    let texts = [("label", row.label), ("chat_type", row.chat_type), ("last_channel", row.last_channel)];
    for (name, text) in texts {
        to.maybe_text(name, text);
    }
    to.maybe_json("origin", "origin_json", row.origin)
        .maybe_json("metadata", "metadata_json", row.metadata)
        .maybe_json("profile", "profile_json", row.profile)
        .number("created_at_micros", row.created_at)
        .maybe_hex("fingerprint", row.fingerprint);
    if let Some(ForkRow { session, message, number }) = row.forked {
        to.object("forked_from", |to| {
            to.id("session", session).id("message", message).number("message_number", number);
        });
    }
}

/// Where it stands.
pub(super) fn head(to: &mut Printer, row: &HeadRow) {
    to.number("threads", row.threads)
        .number("turns", row.turns)
        .number("messages", row.messages)
        .number("changes", row.changes)
        .maybe_number("last_ts_micros", (row.messages > 0).then_some(row.last_ts))
        .maybe_number("last_created_at_micros", (row.messages > 0).then_some(row.last_created_at))
        .number("updated_at_micros", row.updated_at)
        .number("epoch", row.epoch)
        .when("failed", row.failed.then_some(()));
    usage(to, row.usage);
}

/// Its context mark, in the same line too.
pub(super) fn mark(to: &mut Printer, row: &MarkRow<'_>) {
    to.object("context_mark", |to| {
        to.number("message_number", row.message).text("summary", row.summary);
    });
}

fn usage(to: &mut Printer, usage: Option<UsageRow>) {
    if let Some(UsageRow { input, output, cached, reasoning, cost_micros }) = usage {
        to.object("usage", |to| {
            to.number("input", input)
                .number("output", output)
                .number("cached", cached)
                .number("reasoning", reasoning)
                .number("cost_micros", cost_micros);
        });
    }
}

pub(super) fn thread(to: &mut Printer, number: u32, row: &ThreadRow) {
    to.line("thread").number("number", number).id("id", row.id).number("created_at_micros", row.created_at);
}

pub(super) fn turn(to: &mut Printer, number: u32, row: &TurnRow<'_>) -> Result<()> {
    let reason = if row.reason == 0 { None } else { Some(reason_of(row.reason)?.as_str()) };
    to.line("turn")
        .number("number", number)
        .id("id", row.id)
        .id("thread", row.thread)
        .number("thread_number", row.thread_number)
        .id("message", row.message)
        .number("message_number", row.message_number)
        .text("state", state_of(row.state)?.as_str())
        .maybe_text("reason", reason)
        .maybe_text("detail", row.detail)
        .maybe_id("final_message", row.final_message)
        .number("messages", row.messages)
        .number("attempt", row.attempt)
        .maybe_number("chain", (row.chain > 0).then_some(row.chain.into()));
    usage(to, row.usage);
    to.maybe_json("user_params", "user_params_json", row.user_params)
        .maybe_json("profile", "profile_json", row.profile)
        .maybe_number("time_limit_nanos", row.time_limit)
        .number("created_at_micros", row.created_at)
        .maybe_number("started_at_micros", row.started_at)
        .maybe_number("ended_at_micros", row.ended_at);
    Ok(())
}

pub(super) fn message(to: &mut Printer, number: u32, row: &MessageRow<'_>, kept: Kept) -> Result<()> {
    let body = &row.body;
    to.line("message").number("number", number).id("id", row.id);
    if let Some(thread) = row.thread {
        to.id("thread", thread).number("thread_number", row.thread_number);
    }
    to.maybe_id("turn", row.turn).text("role", role_of(row.role)?.as_str()).text("type", kind_of(row.kind)?.as_str());
    match body.form {
        0 => {}
        1 => {
            to.text("content", body.content);
        }
        2 => {
            to.maybe_json("content", "content_json", Some(body.content));
        }
        form => return Err(Error::corrupt(format!("content of message {number} has the unknown form {form}"))),
    }
    to.objects("tool_calls", &body.calls, |to, call| {
        to.text("id", call.id).text("type", call.kind).object("function", |to| {
            to.text("name", call.name).text("arguments", call.arguments);
        });
    });
    to.maybe_text("tool_call_id", body.tool_call_id).maybe_text("name", body.name);
    to.objects("images", &body.images, |to, image| {
        to.maybe_text("media_type", image.media_type).base64("data", image.data);
    });
    to.ids("artifact_ids", &body.artifacts)
        .maybe_json("metadata", "metadata_json", body.metadata)
        .when("synthetic", row.synthetic.then_some(()))
        .when("deleted", (kept == Kept::Deleted).then_some(()))
        .maybe_hex("fingerprint", row.fingerprint)
        .number("ts_micros", row.ts)
        .number("created_at_micros", row.created_at);
    Ok(())
}

pub(super) fn change(to: &mut Printer, number: u64, row: &ChangeRow) -> Result<()> {
    let what = CHANGES.iter().find(|(kind, _)| *kind == row.kind).map(|(_, what)| *what);
    let what = what.ok_or_else(|| Error::corrupt(format!("event {number} has the unknown kind {}", row.kind)))?;
    let state = if row.kind == CHANGE_TURN { Some(codec::state_of(row.state)?.as_str()) } else { None };
    to.line("change")
        .number("number", number)
        .text("what", what)
        .maybe_number("of", (row.number > 0).then_some(row.number.into()))
        .maybe_id("id", row.id)
        .maybe_text("state", state);
    Ok(())
}
