//! The kinds of parlor's own lines, as they are read.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::Value;
use super::{Fields, Unknown, VERSION};
use crate::error::{Error, Result};
use crate::limit::{MESSAGE_BYTES, MESSAGE_CALLS, MESSAGE_ITEM_BYTES};
use crate::record::{MessageType, Reason, Role, TurnState, Usage, check_label, check_name, check_time_limit};
use crate::time::{Duration, Timestamp};

/// Images that a message can have: each counts so many bytes.
const IMAGES: usize = MESSAGE_BYTES / MESSAGE_ITEM_BYTES;
/// Artifacts that a message can have.
const ARTIFACTS: usize = MESSAGE_BYTES / size_of::<Uuid>();

/// The first line.
pub(crate) struct HeaderForm {
    /// Records of those that are counted.
    pub(crate) records: u64,
}

/// A workspace or an agent.
pub(crate) struct ScopeForm {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// Of an agent.
    pub(crate) label: Option<String>,
    pub(crate) created_at: u64,
}

/// What a session is, and where it stands.
pub(crate) struct SessionForm {
    pub(crate) id: Uuid,
    pub(crate) key: String,
    pub(crate) label: Option<String>,
    pub(crate) chat_type: Option<String>,
    pub(crate) last_channel: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) created_at: u64,
    pub(crate) fingerprint: Option<[u8; 16]>,
    /// A session, and the id and the number of its last message that was copied.
    pub(crate) forked: Option<(Uuid, Uuid, u32)>,
    pub(crate) threads: u32,
    pub(crate) turns: u32,
    pub(crate) messages: u32,
    pub(crate) changes: u64,
    pub(crate) last_ts: u64,
    pub(crate) last_created_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) epoch: u64,
    pub(crate) failed: bool,
    pub(crate) usage: Usage,
    pub(crate) mark: Option<(u32, String)>,
}

/// A thread.
pub(crate) struct ThreadForm {
    pub(crate) number: u32,
    pub(crate) id: Uuid,
    pub(crate) created_at: u64,
}

/// A turn.
pub(crate) struct TurnForm {
    pub(crate) number: u32,
    pub(crate) id: Uuid,
    pub(crate) thread: Uuid,
    pub(crate) thread_number: u32,
    pub(crate) message: Uuid,
    pub(crate) message_number: u32,
    pub(crate) state: TurnState,
    pub(crate) reason: Option<Reason>,
    pub(crate) detail: Option<String>,
    pub(crate) final_message: Option<Uuid>,
    pub(crate) messages: u32,
    pub(crate) attempt: u32,
    pub(crate) chain: u32,
    pub(crate) usage: Usage,
    pub(crate) user_params: Option<String>,
    pub(crate) profile: Option<String>,
    /// In nanoseconds.
    pub(crate) time_limit: Option<u64>,
    pub(crate) created_at: u64,
    pub(crate) started_at: Option<u64>,
    pub(crate) ended_at: u64,
}

/// A message.
pub(crate) struct MessageForm {
    pub(crate) number: u32,
    pub(crate) id: Uuid,
    pub(crate) thread: Option<Uuid>,
    pub(crate) thread_number: u32,
    pub(crate) turn: Option<Uuid>,
    pub(crate) role: Role,
    pub(crate) kind: MessageType,
    pub(crate) text: Option<String>,
    pub(crate) blocks: Option<String>,
    pub(crate) calls: Vec<CallForm>,
    pub(crate) tool_call_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) images: Vec<ImageForm>,
    pub(crate) artifacts: Vec<[u8; 16]>,
    pub(crate) metadata: Option<String>,
    pub(crate) synthetic: bool,
    pub(crate) deleted: bool,
    pub(crate) fingerprint: Option<[u8; 16]>,
    pub(crate) ts: u64,
    pub(crate) created_at: u64,
}

/// A tool call, as model APIs write it.
pub(crate) struct CallForm {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// An image.
pub(crate) struct ImageForm {
    pub(crate) media_type: Option<String>,
    pub(crate) data: Vec<u8>,
}

/// An event of the change feed.
pub(crate) struct ChangeForm {
    pub(crate) number: u64,
    pub(crate) what: String,
    pub(crate) of: u32,
    pub(crate) id: Option<Uuid>,
    pub(crate) state: Option<TurnState>,
    pub(crate) line: u64,
}

/// The last line: what there was, and what was left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EndForm {
    /// Workspaces, agents, sessions, threads, turns, messages, changes.
    pub(crate) counts: [u64; 7],
    pub(crate) ended: u64,
    pub(crate) outbox: u64,
    pub(crate) archives: u64,
    pub(crate) keys: u64,
}

impl EndForm {
    /// What is counted, in its order.
    pub(crate) const COUNTED: [&str; 7] =
        ["workspaces", "agents", "sessions", "threads", "turns", "messages", "changes"];
}

impl HeaderForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let version: u32 = fields.need("parlor")?;
        if version != VERSION {
            return Err(Error::other_format(format_args!("line {}: the export", fields.line()), version, VERSION));
        }
        let (_, _) = (fields.need::<String>("whole")?, time(&mut fields, "exported_at_micros")?);
        let header = HeaderForm { records: fields.need("records")? };
        fields.rest(unknown);
        Ok(header)
    }
}

impl ScopeForm {
    pub(crate) fn workspace(fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        Self::read(fields, unknown, |_| Ok(None))
    }

    pub(crate) fn agent(fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        Self::read(fields, unknown, |fields| fields.may("label"))
    }

    fn read(
        mut fields: Fields<'_>,
        unknown: &mut Unknown,
        label: impl FnOnce(&mut Fields<'_>) -> Result<Option<String>>,
    ) -> Result<Self> {
        let (id, name, created_at) =
            (fields.need("id")?, fields.need::<String>("name")?, time(&mut fields, "created_at_micros")?);
        check_name("name", &name).map_err(|error| super::at(fields.line(), error))?;
        let label = label(&mut fields)?;
        check_label(label.as_deref()).map_err(|error| super::at(fields.line(), error))?;
        fields.rest(unknown);
        Ok(ScopeForm { id, name, label, created_at })
    }
}

impl SessionForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let f = &mut fields;
        let form = SessionForm {
            id: f.need("id")?,
            key: f.need("key")?,
            label: f.may("label")?,
            chat_type: f.may("chat_type")?,
            last_channel: f.may("last_channel")?,
            origin: f.json("origin", "origin_json")?,
            metadata: f.json("metadata", "metadata_json")?,
            profile: f.json("profile", "profile_json")?,
            created_at: time(f, "created_at_micros")?,
            fingerprint: f.may("fingerprint")?,
            forked: f.object(("forked_from", "forked_from."), unknown, |from| {
                Ok((from.need("session")?, from.need("message")?, from.need("message_number")?))
            })?,
            threads: f.need("threads")?,
            turns: f.need("turns")?,
            messages: f.need("messages")?,
            changes: f.need("changes")?,
            last_ts: f.may("last_ts_micros")?.unwrap_or_default(),
            last_created_at: maybe_time(f, "last_created_at_micros")?.unwrap_or_default(),
            updated_at: time(f, "updated_at_micros")?,
            epoch: f.need("epoch")?,
            failed: f.may("failed")?.unwrap_or_default(),
            usage: usage(f, unknown)?,
            mark: f.object(("context_mark", "context_mark."), unknown, |mark| {
                Ok((mark.need("message_number")?, mark.need("summary")?))
            })?,
        };
        fields.rest(unknown);
        Ok(form)
    }
}

impl ThreadForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let (number, id) = (fields.need("number")?, fields.need("id")?);
        let form = ThreadForm { number, id, created_at: time(&mut fields, "created_at_micros")? };
        fields.rest(unknown);
        Ok(form)
    }
}

impl TurnForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let f = &mut fields;
        let form = TurnForm {
            number: f.need("number")?,
            id: f.need("id")?,
            thread: f.need("thread")?,
            thread_number: f.need("thread_number")?,
            message: f.need("message")?,
            message_number: f.need("message_number")?,
            state: f.need("state")?,
            reason: f.may("reason")?,
            detail: f.may("detail")?,
            final_message: f.may("final_message")?,
            messages: f.need("messages")?,
            attempt: f.need("attempt")?,
            chain: f.may("chain")?.unwrap_or_default(),
            usage: usage(f, unknown)?,
            user_params: f.json("user_params", "user_params_json")?,
            profile: f.json("profile", "profile_json")?,
            time_limit: time_limit(f)?,
            created_at: time(f, "created_at_micros")?,
            started_at: maybe_time(f, "started_at_micros")?,
            ended_at: time(f, "ended_at_micros")?,
        };
        fields.rest(unknown);
        Ok(form)
    }
}

impl MessageForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let f = &mut fields;
        let (text, blocks) = content(f)?;
        let form = MessageForm {
            number: f.need("number")?,
            id: f.need("id")?,
            thread: f.may("thread")?,
            thread_number: f.may("thread_number")?.unwrap_or_default(),
            turn: f.may("turn")?,
            role: f.need("role")?,
            kind: f.need("type")?,
            text,
            blocks,
            calls: calls(f, unknown)?,
            tool_call_id: f.may("tool_call_id")?,
            name: f.may("name")?,
            images: f.objects(("images", "images."), IMAGES, unknown, |image, _| {
                Ok(ImageForm { media_type: image.may("media_type")?, data: image.need("data")? })
            })?,
            artifacts: artifacts(f)?,
            metadata: f.json("metadata", "metadata_json")?,
            synthetic: f.may("synthetic")?.unwrap_or_default(),
            deleted: f.may("deleted")?.unwrap_or_default(),
            fingerprint: f.may("fingerprint")?,
            ts: f.need("ts_micros")?,
            created_at: time(f, "created_at_micros")?,
        };
        fields.rest(unknown);
        Ok(form)
    }
}

impl ChangeForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let f = &mut fields;
        let form = ChangeForm {
            number: f.need("number")?,
            what: f.need("what")?,
            of: f.may("of")?.unwrap_or_default(),
            id: f.may("id")?,
            state: f.may("state")?,
            line: f.line(),
        };
        fields.rest(unknown);
        Ok(form)
    }
}

impl EndForm {
    pub(crate) fn read(mut fields: Fields<'_>, unknown: &mut Unknown) -> Result<Self> {
        let f = &mut fields;
        let mut counts = [0; 7];
        for (count, name) in counts.iter_mut().zip(Self::COUNTED) {
            *count = f.need(name)?;
        }
        let form = EndForm {
            counts,
            ended: f.need("ended")?,
            outbox: f.need("outbox_left_out")?,
            archives: f.need("archives_left_out")?,
            keys: f.need("access_keys_left_out")?,
        };
        fields.rest(unknown);
        Ok(form)
    }
}

/// A time that there can be.
fn time(fields: &mut Fields<'_>, name: &'static str) -> Result<u64> {
    let micros: u64 = fields.need(name)?;
    checked_time(fields, name, micros)
}

fn maybe_time(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<u64>> {
    fields.may(name)?.map(|micros| checked_time(fields, name, micros)).transpose()
}

fn checked_time(fields: &Fields<'_>, name: &str, micros: u64) -> Result<u64> {
    let most = Timestamp::MAX.as_micros();
    if micros <= most {
        return Ok(micros);
    }
    Err(fields.refusal(name, &micros.to_string(), format_args!("at most {most} microseconds")))
}

fn time_limit(fields: &mut Fields<'_>) -> Result<Option<u64>> {
    let nanos = fields.may("time_limit_nanos")?;
    check_time_limit(nanos.map(Duration::from_nanos)).map_err(|error| super::at(fields.line(), error))?;
    Ok(nanos)
}

fn usage(fields: &mut Fields<'_>, unknown: &mut Unknown) -> Result<Usage> {
    let usage = fields.object(("usage", "usage."), unknown, |usage| {
        Ok(Usage {
            input: usage.may("input")?.unwrap_or_default(),
            output: usage.may("output")?.unwrap_or_default(),
            cached: usage.may("cached")?.unwrap_or_default(),
            reasoning: usage.may("reasoning")?.unwrap_or_default(),
            cost_micros: usage.may("cost_micros")?.unwrap_or_default(),
        })
    })?;
    Ok(usage.unwrap_or_default())
}

/// Text, or the JSON text of blocks.
pub(super) fn content(fields: &mut Fields<'_>) -> Result<(Option<String>, Option<String>)> {
    let content = fields.json("content", "content_json")?;
    match content.as_deref().map(|content| (content.as_bytes().first(), content)) {
        None => Ok((None, None)),
        Some((Some(b'"'), text)) => match serde_json::from_str(text) {
            Ok(text) => Ok((Some(text), None)),
            Err(_) => Err(fields.refusal("content", text, "a string")),
        },
        Some((Some(b'['), _)) => Ok((None, content)),
        Some((_, text)) => Err(fields.refusal("content", text, "a string or a list of blocks")),
    }
}

/// Tool calls in the form of model APIs.
pub(super) fn calls(fields: &mut Fields<'_>, unknown: &mut Unknown) -> Result<Vec<CallForm>> {
    fields.objects(("tool_calls", "tool_calls."), MESSAGE_CALLS, unknown, |call, unknown| {
        let (id, kind) = (call.need("id")?, call.need("type")?);
        let function = call.object(("function", "tool_calls.function."), unknown, |function| {
            Ok((function.need("name")?, function.need("arguments")?))
        })?;
        let line = call.line();
        let (name, arguments) = function.ok_or_else(|| {
            Error::invalid(format!("line {line}: tool_calls.function is missing; it must be an object"))
        })?;
        Ok(CallForm { id, kind, name, arguments })
    })
}

fn artifacts(fields: &mut Fields<'_>) -> Result<Vec<[u8; 16]>> {
    let ids = fields.list("artifact_ids", ARTIFACTS)?;
    let read = |raw: &&RawValue| match Uuid::read(raw) {
        Some(id) => Ok(id.into_bytes()),
        None => Err(fields.refusal("artifact_ids", raw.get(), "UUIDs")),
    };
    ids.iter().map(read).collect()
}
