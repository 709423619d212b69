//! Lines as rows, and what of them can only be said of one line.

use super::print::CHANGES;
use crate::error::{Error, Result};
use crate::lines::{ChangeForm, MessageForm, SessionForm, ThreadForm, TurnForm, at};
use crate::redb::codec::{
    BodyRow, CHANGE_TURN, CallRow, ChangeRow, ForkRow, HeadRow, ImageRow, MarkRow, MessageRow, SessionRow, ThreadRow,
    TurnRow, kind_byte, reason_byte, role_byte, state_byte, usage_row,
};
use crate::redb::load::{Kept, Record, Step};

/// A line below a session, and the session's own.
pub(super) enum Line {
    Session(Box<SessionForm>),
    Thread(ThreadForm),
    Turn(Box<TurnForm>),
    Message(Box<MessageForm>),
    Change(ChangeRow),
}

impl Line {
    /// Hands its records on.
    pub(super) fn push(&self, step: &mut Step<'_>) -> Result<()> {
        match self {
            Line::Session(form) => {
                step.push(&Record::Session(session(form)))?;
                step.push(&Record::Head(head(form)))?;
                match &form.mark {
                    Some((message, summary)) => step.push(&Record::Mark(MarkRow { message: *message, summary })),
                    None => Ok(()),
                }
            }
            Line::Thread(form) => {
                let row = ThreadRow { id: form.id.into_bytes(), created_at: form.created_at };
                step.push(&Record::Thread(row))
            }
            Line::Turn(form) => step.push(&Record::Turn(turn(form))),
            Line::Message(form) => {
                let kept = if form.deleted { Kept::Deleted } else { Kept::Shown };
                step.push(&Record::Message(message(form), kept))
            }
            Line::Change(row) => step.push(&Record::Change(*row)),
        }
    }
}

fn session(form: &SessionForm) -> SessionRow<'_> {
    SessionRow {
        id: form.id.into_bytes(),
        workspace: 0,
        agent: 0,
        agent_id: [0; 16],
        agent_name: "",
        key: &form.key,
        label: form.label.as_deref(),
        chat_type: form.chat_type.as_deref(),
        last_channel: form.last_channel.as_deref(),
        origin: form.origin.as_deref(),
        metadata: form.metadata.as_deref(),
        profile: form.profile.as_deref(),
        created_at: form.created_at,
        fingerprint: form.fingerprint,
        forked: form.forked.map(|(session, message, number)| ForkRow {
            session: session.into_bytes(),
            message: message.into_bytes(),
            number,
        }),
    }
}

fn head(form: &SessionForm) -> HeadRow {
    HeadRow {
        messages: form.messages,
        threads: form.threads,
        turns: form.turns,
        changes: form.changes,
        last_ts: form.last_ts,
        last_created_at: form.last_created_at,
        updated_at: form.updated_at,
        epoch: form.epoch,
        running: 0,
        running_id: None,
        failed: form.failed,
        queued: 0,
        queued_bytes: 0,
        usage: usage_row(form.usage),
        mark: form.mark.as_ref().map_or(0, |(message, _)| *message),
        body: 0,
    }
}

fn turn(form: &TurnForm) -> TurnRow<'_> {
    TurnRow {
        id: form.id.into_bytes(),
        thread: form.thread.into_bytes(),
        thread_number: form.thread_number,
        message: form.message.into_bytes(),
        message_number: form.message_number,
        state: state_byte(form.state),
        reason: form.reason.map_or(0, reason_byte),
        detail: form.detail.as_deref(),
        final_message: form.final_message.map(|id| id.into_bytes()),
        messages: form.messages,
        attempt: form.attempt,
        chain: form.chain,
        usage: usage_row(form.usage),
        user_params: form.user_params.as_deref(),
        profile: form.profile.as_deref(),
        time_limit: form.time_limit,
        webhook: None,
        created_at: form.created_at,
        started_at: form.started_at,
        ended_at: Some(form.ended_at),
    }
}

fn message(form: &MessageForm) -> MessageRow<'_> {
    let (content_form, content) = match (&form.text, &form.blocks) {
        (Some(text), _) => (1, text.as_str()),
        (None, Some(blocks)) => (2, blocks.as_str()),
        (None, None) => (0, ""),
    };
    let calls = form.calls.iter().map(|call| CallRow {
        id: &call.id,
        kind: &call.kind,
        name: &call.name,
        arguments: &call.arguments,
    });
    let images =
        form.images.iter().map(|image| ImageRow { media_type: image.media_type.as_deref(), data: &image.data });
    MessageRow {
        id: form.id.into_bytes(),
        thread: form.thread.map(|id| id.into_bytes()),
        thread_number: form.thread_number,
        turn: form.turn.map(|id| id.into_bytes()),
        role: role_byte(form.role),
        kind: kind_byte(form.kind),
        synthetic: form.synthetic,
        ts: form.ts,
        created_at: form.created_at,
        fingerprint: form.fingerprint,
        body: BodyRow {
            form: content_form,
            content,
            calls: calls.collect(),
            tool_call_id: form.tool_call_id.as_deref(),
            name: form.name.as_deref(),
            images: images.collect(),
            artifacts: form.artifacts.clone(),
            metadata: form.metadata.as_deref(),
        },
    }
}

/// An event.
pub(super) fn change(form: &ChangeForm) -> Result<ChangeRow> {
    let kind = CHANGES.iter().find(|(_, what)| *what == form.what).map(|(kind, _)| *kind);
    let kind = kind.ok_or_else(|| {
        let known = CHANGES.map(|(_, what)| what).join(", ");
        at(form.line, Error::unreadable("what", &form.what, format_args!("one of {known}")))
    })?;
    if form.state.is_some() != (kind == CHANGE_TURN) {
        return Err(at(
            form.line,
            Error::invalid("state is there or missing; it must be there for a turn, and else not"),
        ));
    }
    let (number, id) = (form.of, form.id.map(|id| id.into_bytes()));
    Ok(ChangeRow { kind, number, id, state: form.state.map_or(0, state_byte) })
}
