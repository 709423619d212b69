//! Lists of messages as model APIs take them.

use super::form::{calls, content};
use super::{Fields, Reader, Unknown};
use crate::error::{Error, Result};
use crate::limit::LINES_LIST_MESSAGES;
use crate::record::{Content, Json, MessageType, NewMessage, Role, ToolCall};

/// The messages of one conversation: all that is left to read, a list or an object with one in `messages`.
pub(crate) fn conversation(lines: &mut Reader<'_>, unknown: &mut Unknown) -> Result<Vec<NewMessage>> {
    let Some((line, _)) = lines.next()? else { return Err(Error::invalid("there are no messages")) };
    let text = lines.rest()?.trim();
    // A list is read as what an object has of this name.
    let wrapped;
    let text = if text.starts_with('[') {
        wrapped = format!("{{\"messages\":{text}}}");
        &*wrapped
    } else {
        text
    };
    let mut fields = Fields::of(line, text)?;
    let read = |message: &mut Fields<'_>, unknown: &mut Unknown| {
        let role: String = message.need("role")?;
        let role = match &*role {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "tool" => Role::Tool,
            // What newer models call it.
            "developer" => {
                unknown.add("role: developer");
                Role::System
            }
            _ => return Err(message.refusal("role", &role, "system, developer, user, assistant or tool")),
        };
        let read = message_of(message, unknown)?.role(role);
        let line = message.line();
        read.check().map_err(|error| super::at(line, error))?;
        Ok(read)
    };
    let mut messages = fields.objects(("messages", "messages."), LINES_LIST_MESSAGES, unknown, read)?;
    fields.rest(unknown);
    // Who answers last before somebody else speaks has answered.
    let mut ends = true;
    for message in messages.iter_mut().rev() {
        let role = message.role_or(Role::User);
        let says = role == Role::Assistant && message.tool_calls.is_empty();
        let kind = if says && ends { MessageType::FinalMessage } else { message.kind_or_default(role) };
        message.kind = Some(kind);
        ends = role == Role::User;
    }
    Ok(messages)
}

/// What a message says and carries.
pub(super) fn message_of(fields: &mut Fields<'_>, unknown: &mut Unknown) -> Result<NewMessage> {
    let (text, blocks) = content(fields)?;
    let calls = calls(fields, unknown)?.into_iter().map(|call| ToolCall {
        id: call.id,
        kind: call.kind,
        name: call.name,
        arguments: call.arguments,
    });
    Ok(NewMessage {
        content: text.map(Content::Text).or(blocks.map(|blocks| Content::Blocks(Json::stored(blocks)))),
        tool_calls: calls.collect(),
        tool_call_id: fields.may("tool_call_id")?,
        name: fields.may("name")?,
        ..NewMessage::default()
    })
}
