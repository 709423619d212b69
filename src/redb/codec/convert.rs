//! Between records and rows: the bytes of every enum, and the borrowed forms.

use uuid::Uuid;

use super::{
    BodyRow, CallRow, HookRow, Id, ImageRow, LACKS_SECRET, LACKS_TOKEN, MessageRow, OutboxRow, ThreadRow, TurnRow,
    UsageRow,
};
use crate::error::{Error, Result};
use crate::id::{MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::record::{
    Content, Image, Json, Message, MessageType, NewMessage, Reason, Role, ThreadRecord, ToolCall, Ts, Turn, TurnState,
    Usage, Webhook, WebhookRow, WebhookState,
};
use crate::time::{Duration, Timestamp};

/// The bytes of an enum: one table for both ways.
macro_rules! bytes {
    ($encode:ident, $decode:ident, $type:ident, $what:literal, { $($variant:ident = $byte:literal),+ $(,)? }) => {
        pub(in crate::redb) const fn $encode(value: $type) -> u8 {
            match value {
                $($type::$variant => $byte,)+
            }
        }

        pub(in crate::redb) fn $decode(byte: u8) -> Result<$type> {
            match byte {
                $($byte => Ok($type::$variant),)+
                _ => Err(Error::corrupt(format!("{} has the unknown value {byte}", $what))),
            }
        }
    };
}

bytes!(role_byte, role_of, Role, "role", { User = 1, Assistant = 2, System = 3, Tool = 4 });
bytes!(kind_byte, kind_of, MessageType, "message type", { Message = 1, FinalMessage = 2, ToolCall = 3 });
bytes!(state_byte, state_of, TurnState, "turn state", {
    Running = 1, Completed = 2, Interrupted = 3, Failed = 4, Queued = 5,
});
bytes!(reason_byte, reason_of, Reason, "reason", {
    FollowUp = 1, Closed = 2, Error = 3, Panic = 4, Crash = 5, TimeLimit = 6, LostWorker = 7,
    Request = 8, Cancelled = 9, Rollback = 10,
});

fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn json(text: Option<&str>) -> Option<Json> {
    text.map(|text| Json::stored(text.to_owned()))
}

/// The text of free JSON.
pub(in crate::redb) fn json_text(json: Option<&Json>) -> Option<&str> {
    json.map(Json::as_str)
}

/// A stored `ts`; one past the bound is damage.
fn ts(micros: u64) -> Result<Ts> {
    Ts::from_micros(micros).map_err(|error| Error::corrupt(format!("stored {error}")))
}

impl<'a> BodyRow<'a> {
    pub(in crate::redb) fn of(new: &'a NewMessage) -> Self {
        let (form, content) = match &new.content {
            None => (0, ""),
            Some(Content::Text(text)) => (1, text.as_str()),
            Some(Content::Blocks(json)) => (2, json.as_str()),
        };
        let call = |c: &'a ToolCall| CallRow { id: &c.id, kind: &c.kind, name: &c.name, arguments: &c.arguments };
        let image = |i: &'a Image| ImageRow { media_type: i.media_type.as_deref(), data: &i.data };
        BodyRow {
            form,
            content,
            calls: new.tool_calls.iter().map(call).collect(),
            tool_call_id: new.tool_call_id.as_deref(),
            name: new.name.as_deref(),
            images: new.images.iter().map(image).collect(),
            artifacts: new.artifact_ids.iter().map(|id| *id.as_bytes()).collect(),
            metadata: json_text(new.metadata.as_ref()),
        }
    }

    fn content(&self) -> Result<Option<Content>> {
        Ok(match self.form {
            0 => None,
            1 => Some(Content::Text(self.content.to_owned())),
            2 => Some(Content::Blocks(Json::stored(self.content.to_owned()))),
            form => return Err(Error::corrupt(format!("content has the unknown form {form}"))),
        })
    }
}

impl MessageRow<'_> {
    #[inline]
    pub(in crate::redb) fn record(&self, session: SessionId, number: u32) -> Result<Message> {
        let body = &self.body;
        Ok(Message {
            id: message_id(self.id),
            session_id: session,
            thread_id: self.thread.map(thread_id),
            turn_id: self.turn.map(turn_id),
            number,
            role: role_of(self.role)?,
            kind: kind_of(self.kind)?,
            content: body.content()?,
            tool_calls: self.calls(),
            tool_call_id: text(body.tool_call_id),
            name: text(body.name),
            images: body
                .images
                .iter()
                .map(|image| Image { media_type: text(image.media_type), data: image.data.to_vec() })
                .collect(),
            artifact_ids: body.artifacts.iter().map(|id| Uuid::from_bytes(*id)).collect(),
            metadata: json(body.metadata),
            synthetic: self.synthetic,
            ts: ts(self.ts)?,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }

    pub(in crate::redb) fn calls(&self) -> Vec<ToolCall> {
        let call = |c: &CallRow<'_>| ToolCall {
            id: c.id.to_owned(),
            kind: c.kind.to_owned(),
            name: c.name.to_owned(),
            arguments: c.arguments.to_owned(),
        };
        self.body.calls.iter().map(call).collect()
    }
}

impl ThreadRow {
    pub(in crate::redb) fn record(&self, session: SessionId, number: u32) -> ThreadRecord {
        ThreadRecord {
            id: thread_id(self.id),
            session_id: session,
            number,
            created_at: Timestamp::from_micros(self.created_at),
        }
    }
}

impl TurnRow<'_> {
    pub(in crate::redb) fn record(&self, session: SessionId, number: u32) -> Result<Turn> {
        Ok(Turn {
            id: turn_id(self.id),
            session_id: session,
            thread_id: thread_id(self.thread),
            message_id: message_id(self.message),
            number,
            state: state_of(self.state)?,
            reason: if self.reason == 0 { None } else { Some(reason_of(self.reason)?) },
            detail: text(self.detail),
            final_message: self.final_message.map(message_id),
            messages: self.messages,
            attempt: self.attempt,
            chain: self.chain,
            usage: usage_of(self.usage),
            user_params: json(self.user_params),
            profile: json(self.profile),
            time_limit: self.time_limit.map(Duration::from_nanos),
            created_at: Timestamp::from_micros(self.created_at),
            started_at: self.started_at.map(Timestamp::from_micros),
            ended_at: self.ended_at.map(Timestamp::from_micros),
        })
    }
}

/// A time limit, as a row has it: the door lets in none that does not fit.
pub(in crate::redb) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What was consumed, as a row; none where that is nothing.
pub(in crate::redb) fn usage_row(usage: Usage) -> Option<UsageRow> {
    let Usage { input, output, cached, reasoning, cost_micros } = usage;
    (!usage.is_zero()).then_some(UsageRow { input, output, cached, reasoning, cost_micros })
}

/// What was consumed.
pub(in crate::redb) fn usage_of(row: Option<UsageRow>) -> Usage {
    row.map_or(Usage::ZERO, |UsageRow { input, output, cached, reasoning, cost_micros }| Usage {
        input,
        output,
        cached,
        reasoning,
        cost_micros,
    })
}

impl<'a> HookRow<'a> {
    pub(in crate::redb) fn of(hook: &'a Webhook) -> Self {
        HookRow {
            url: &hook.url,
            token: hook.token.as_deref(),
            secret: hook.secret.as_deref(),
            include_messages: hook.include_messages,
        }
    }

    pub(in crate::redb) fn record(&self) -> Webhook {
        Webhook {
            url: self.url.to_owned(),
            token: text(self.token),
            secret: text(self.secret),
            include_messages: self.include_messages,
        }
    }
}

impl OutboxRow<'_> {
    /// As it stands under the number of an event.
    pub(in crate::redb) fn record(&self, number: u64, state: WebhookState) -> Result<WebhookRow> {
        let workspace = WorkspaceId::from_uuid(Uuid::from_bytes(self.workspace));
        let session = SessionId::from_uuid(Uuid::from_bytes(self.session));
        let status = state_of(self.state)?;
        Ok(WebhookRow {
            state,
            attempts: self.attempts,
            due_at: self.due_at.map(Timestamp::from_micros),
            failed_at: self.failed_at.map(Timestamp::from_micros),
            error: text(self.error),
            lacks_token: self.lacks & LACKS_TOKEN != 0,
            lacks_secret: self.lacks & LACKS_SECRET != 0,
            ..WebhookRow::new(workspace, session, turn_id(self.turn), status, self.hook.record(), number)
        })
    }
}

pub(in crate::redb) fn message_id(id: Id) -> MessageId {
    MessageId::from_uuid(Uuid::from_bytes(id))
}

pub(in crate::redb) fn turn_id(id: Id) -> TurnId {
    TurnId::from_uuid(Uuid::from_bytes(id))
}

pub(in crate::redb) fn thread_id(id: Id) -> ThreadId {
    ThreadId::from_uuid(Uuid::from_bytes(id))
}
