//! What an announcement says, read when it is delivered.

use serde::Serialize;

use super::Delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{MessageId, SessionId, TurnId};
use crate::limit::{DELIVERY_BYTES, HISTORY_LIMIT_MAX};
use crate::page::{Direction, Matching, Roles, Types};
use crate::record::{CallJson, Content, Json, Message, MessageType, Role, Ts, Turn, TurnState, WebhookRow};
use crate::shared::Shared;
use crate::store::{OutboxKey, SessionRef, Store};
use crate::time::Timestamp;

#[derive(Serialize)]
struct Payload<'a> {
    session_id: SessionId,
    turn_id: TurnId,
    status: TurnState,
    response: Option<String>,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Said<'a>>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    messages_omitted: bool,
}

#[derive(Serialize)]
struct Said<'a> {
    id: MessageId,
    role: Role,
    #[serde(rename = "type")]
    kind: MessageType,
    content: &'a Option<Content>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: &'a Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifact_ids: &'a [uuid::Uuid],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: &'a Option<Json>,
    created_at: Timestamp,
}

impl<'a> From<&'a Message> for Said<'a> {
    fn from(message: &'a Message) -> Self {
        Said {
            id: message.id,
            role: message.role,
            kind: message.kind,
            content: &message.content,
            tool_calls: message.tool_calls.iter().map(CallJson::from).collect(),
            tool_call_id: &message.tool_call_id,
            name: &message.name,
            artifact_ids: &message.artifact_ids,
            metadata: &message.metadata,
            created_at: message.created_at,
        }
    }
}

/// The announcement of a row.
///
/// That of an archived session goes without a response and messages. What is damaged keeps no end from being announced: then it says so in place of a response.
pub(super) fn compose(shared: &Shared, row: WebhookRow) -> Result<Delivery> {
    let at = SessionRef { workspace: row.workspace_id, session: row.session_id };
    let read = read(shared, at, &row).or_else(|error| match error.kind() {
        ErrorKind::Corrupt => Ok((None, Some(error.to_string()), None)),
        // Of an archived session there is no more to read; of a deleted one the row is gone, too.
        ErrorKind::NotFound if is_waiting(shared, at, &row) => Ok((None, None, None)),
        _ => Err(error),
    });
    let (response, error, messages) = read?;
    let omitted = row.webhook.include_messages && messages.is_none();
    let payload = Payload {
        session_id: row.session_id,
        turn_id: row.turn_id,
        status: row.status,
        response,
        error,
        messages: messages.as_ref().map(|messages| messages.iter().map(Said::from).collect()),
        messages_omitted: omitted,
    };
    let body = serde_json::to_string(&payload)
        .map_err(|error| Error::invalid("an announcement cannot be written as JSON").with_source(error))?;
    Ok(Delivery {
        workspace_id: row.workspace_id,
        session_id: row.session_id,
        turn_id: row.turn_id,
        status: row.status,
        attempt: row.attempts.saturating_add(1),
        at: shared.clock.now(),
        webhook: row.webhook,
        body,
    })
}

/// Whether the row is still the one to announce next.
fn is_waiting(shared: &Shared, at: SessionRef, row: &WebhookRow) -> bool {
    let head = shared.store().outbox_head(at);
    head.is_ok_and(|head| head.is_some_and(|head| OutboxKey::from(&head) == OutboxKey::from(row)))
}

type Told = (Option<String>, Option<String>, Option<Vec<Message>>);

fn read(shared: &Shared, at: SessionRef, row: &WebhookRow) -> Result<Told> {
    let turn = shared.store().turn(at, row.turn_id)?;
    let response = shared.reply_of(at, &turn)?.map(|reply| reply.text());
    let error = turn.reason.map(|reason| match &turn.detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_string(),
    });
    let messages = if row.webhook.include_messages { messages(shared.store(), at, &turn)? } else { None };
    Ok((response, error, messages))
}

/// The messages of a turn that are not deleted, in order; none where they are too large together.
fn messages(store: &dyn Store, at: SessionRef, turn: &Turn) -> Result<Option<Vec<Message>>> {
    let first = match store.message(at, turn.message_id) {
        Err(error) if error.is_not_found() => None,
        message => Some(message?.number.saturating_sub(1)),
    };
    let (mut past, mut bytes, mut all) = (first, 0_usize, Vec::new());
    loop {
        let matching = Matching {
            thread: Some(turn.thread_id),
            types: Types::ALL,
            roles: Roles::ALL,
            gts: Ts::ZERO,
            past,
            direction: Direction::Asc,
            offset: 0,
            limit: HISTORY_LIMIT_MAX,
        };
        let page = store.messages(at, matching)?.items;
        let full = page.len() >= HISTORY_LIMIT_MAX as usize;
        past = page.last().map(|last| last.number);
        for message in page.into_iter().filter(|message| message.turn_id == Some(turn.id)) {
            bytes = bytes.saturating_add(size(&message));
            if bytes > DELIVERY_BYTES {
                return Ok(None);
            }
            all.push(message);
        }
        // The one that started it is counted apart.
        if !full || all.len() > turn.messages as usize {
            return Ok(Some(all));
        }
    }
}

/// About what a message takes in the body.
fn size(message: &Message) -> usize {
    let content = message.content.as_ref().map_or(0, |content| match content {
        Content::Text(text) => text.len(),
        Content::Blocks(json) => json.as_str().len(),
    });
    let calls = message.tool_calls.iter().map(|call| 64 + call.name.len() + call.arguments.len()).sum::<usize>();
    256 + content + calls + message.metadata.as_ref().map_or(0, |json| json.as_str().len())
}
