//! Verbs of sessions: create, get, list, update.

use std::ops::{Bound, ControlFlow};

use uuid::Uuid;

use super::codec::{self, CountRow, HeadRow, Id, ListedRow, NumberRow, SessionRow};
use super::draft::Draft;
use super::hidden::{self, Hidden};
use super::load::is_archived;
use super::place::{self, Place};
use super::tables::{Table, activity, meta, names, sessions};
use super::view::{Read, Stage};
use super::write_set::WriteSet;
use super::{scope, turn, view};
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::page::{Direction, SessionPlace};
use crate::record::{ForkedFrom, Json, SessionRecord, SessionStatus, Usage};
use crate::store::{CreateSession, Created, Damaged, Listed, SessionRef, SessionsQuery, UpdateSession};
use crate::sync::Arc;
use crate::time::Timestamp;

/// Makes a session, and starts its first turn where there is one.
pub(super) fn create(view: &dyn Read, op: &CreateSession) -> Result<(WriteSet, Created)> {
    let workspace = place::workspace(view, op.workspace)?;
    let agent = place::agent(view, workspace, op.agent)?;
    let fingerprint = match op.new.id {
        Some(_) => Some(codec::of_create(&op.new, op.first.as_ref().map(|(new, _)| new))?),
        None => None,
    };
    let session = op.new.id.unwrap_or_else(|| op.stamp.uuid(0).into());
    let mut writes = WriteSet::default();
    if let Some(number) = hidden::holder(view, workspace, session)? {
        let place = Place { number, workspace, agent, session };
        return replay(view, op, place, fingerprint).map(|created| (writes, created));
    }
    if op.new.id.is_some() {
        if is_archived(view, workspace, session)? {
            return Err(Error::conflict(format!("session id {session} is that of an archived session")));
        }
        hidden::dislodge(view, workspace, session, op.stamp.at, &mut writes)?;
    }
    make(view, op, Place { number: 0, workspace, agent, session }, fingerprint, writes)
}

/// Makes a session whose id is free, in a place that has no number yet.
fn make(
    view: &dyn Read,
    op: &CreateSession,
    place: Place,
    fingerprint: Option<Id>,
    mut writes: WriteSet,
) -> Result<(WriteSet, Created)> {
    let Place { workspace, agent, session, .. } = place;
    let id = session.as_uuid().as_bytes();
    if let Some((_, runner)) = &op.first {
        runner.behaviour.check()?;
    }
    let key = op.new.key.clone().unwrap_or_else(|| session.to_string());
    if place::named(view, &names::session_key(agent, &key))?.is_some() {
        return Err(Error::conflict(format!("session key {key:?} is in use by another session of the agent")));
    }
    let mut counters = scope::counters(view)?;
    let number = scope::next_number(&mut counters.sessions, "sessions")?;
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    writes.put(Table::Names, names::session_id(workspace, id), &NumberRow { number })?;
    writes.put(Table::Names, names::session_key(agent, &key), &NumberRow { number })?;
    for scope in [workspace, agent] {
        let sessions = count(view, scope)? + u64::from(!is_planted(Bug::CountForgotten));
        writes.put(Table::Names, names::count(scope), &CountRow { sessions })?;
    }
    let mut draft = Draft::new(view, Place { number, ..place }, op.stamp, writes);
    let agent_name = write_body(&mut draft, op, &key, fingerprint)?;
    draft.change(codec::ChangeRow { kind: codec::CHANGE_CREATED, number: 0, id: None, state: 0 })?;
    let first = match &op.first {
        Some((new, runner)) => {
            let profile = op.new.profile.as_ref().map(Json::as_str);
            Some(turn::start(&mut draft, new, *runner, turn::Ids::of(new, op.stamp, 1, 0), profile)?)
        }
        None => None,
    };
    let head = HeadRow { updated_at: draft.now(), ..draft.head };
    let row = body_row(op, draft.place, &key, &agent_name, fingerprint);
    let record = record(op.workspace, session, &row, &ListedRow::of(number, &head), head.updated_at);
    Ok((draft.seal()?, Created { session: record, first, replayed: false }))
}

/// How many live sessions a workspace or an agent has. Where the count is damaged, they are counted.
pub(super) fn count(view: &dyn Read, scope: u32) -> Result<u64> {
    match view.plain::<CountRow>(Table::Names, &names::count(scope)) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
        counted => return Ok(counted?.unwrap_or_default().sessions),
    }
    let (from, to) = activity::bounds(scope);
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    let (mut sessions, hidden) = (0, Hidden::of(view)?);
    view.scan(Table::Activity, between, Direction::Asc, &mut |key, value| {
        sessions += u64::from(!is_hidden(view, &hidden, key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sessions)
}

fn body_row<'a>(
    op: &'a CreateSession,
    place: Place,
    key: &'a str,
    agent_name: &'a str,
    fingerprint: Option<Id>,
) -> SessionRow<'a> {
    let json = |json: &'a Option<Json>| json.as_ref().map(Json::as_str);
    SessionRow {
        id: *place.session.as_uuid().as_bytes(),
        workspace: place.workspace,
        agent: place.agent,
        agent_id: *op.agent.as_uuid().as_bytes(),
        agent_name,
        key,
        label: op.new.label.as_deref(),
        chat_type: op.new.chat_type.as_deref(),
        last_channel: op.new.last_channel.as_deref(),
        origin: json(&op.new.origin),
        metadata: json(&op.new.metadata),
        profile: json(&op.new.profile),
        created_at: op.stamp.at.as_micros(),
        fingerprint,
        forked: None,
    }
}

/// Writes what the session is; returns the name of its agent.
fn write_body(draft: &mut Draft<'_>, op: &CreateSession, key: &str, fingerprint: Option<Id>) -> Result<String> {
    let agent_name = scope::agent_name(draft.view, draft.place.agent)?;
    let row = body_row(op, draft.place, key, &agent_name, fingerprint);
    draft.writes.put(Table::Sessions, sessions::body(draft.place.number), &row)?;
    Ok(agent_name)
}

/// The original of a create whose id is known already.
fn replay(view: &dyn Read, op: &CreateSession, place: Place, fingerprint: Option<Id>) -> Result<Created> {
    let key = sessions::body(place.number);
    let original = view.row(Table::Sessions, &key, |value| {
        let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        Ok(row.fingerprint.filter(|_| row.agent == place.agent))
    })?;
    if fingerprint.is_none() || original.flatten() != fingerprint {
        return Err(Error::conflict(format!("session id {} was used before with other content", place.session)));
    }
    let first = match op.first {
        // It was written by the session's first commit.
        Some(_) => Some(turn::original(view, place.number, place.session, 1)?),
        None => None,
    };
    let at = SessionRef { workspace: op.workspace, session: place.session };
    Ok(Created { session: get(view, at)?, first, replayed: true })
}

/// Changes what a session says of itself.
pub(super) fn update(view: &dyn Read, op: &UpdateSession) -> Result<(WriteSet, SessionRecord)> {
    let mut draft = Draft::open(view, op.at, op.stamp)?;
    let number = draft.place.number;
    let before = body(view, op.at, number, draft.head.body)?;
    let after = op.update.clone().apply(SessionRecord::clone(&before));
    if after == *before {
        return Ok((WriteSet::default(), standing(after, &ListedRow::of(number, &draft.head), draft.head.updated_at)));
    }
    let key = sessions::body(number);
    let json = |json: &Option<Json>| json.as_ref().map(|json| json.as_str().to_owned());
    let [origin, metadata, profile] = [&after.origin, &after.metadata, &after.profile].map(json);
    let written = view.row(Table::Sessions, &key, |value| {
        let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        let row = SessionRow {
            label: after.label.as_deref(),
            chat_type: after.chat_type.as_deref(),
            last_channel: after.last_channel.as_deref(),
            origin: origin.as_deref(),
            metadata: metadata.as_deref(),
            profile: profile.as_deref(),
            ..row
        };
        draft.writes.put(Table::Sessions, key, &row)
    })?;
    written.ok_or_else(|| view::missing("session", &key))?;
    draft.head.body = draft.head.body.wrapping_add(1);
    draft.change(codec::ChangeRow { kind: codec::CHANGE_UPDATED, number: 0, id: None, state: 0 })?;
    let (listed, now) = (ListedRow::of(number, &draft.head), draft.now());
    Ok((draft.seal()?, standing(after, &listed, now)))
}

/// A session by its id.
pub(super) fn get(view: &dyn Read, at: SessionRef) -> Result<SessionRecord> {
    read(view, at, place::session(view, at)?)
}

/// A live session by its key.
pub(super) fn by_key(view: &dyn Read, workspace: WorkspaceId, agent: AgentId, key: &str) -> Result<SessionRecord> {
    let within = place::workspace(view, workspace)?;
    let owner = place::agent(view, within, agent)?;
    let number = place::named(view, &names::session_key(owner, key))?
        .ok_or_else(|| Error::not_found(format_args!("session with key {key:?}")))?;
    let stored = sessions::body(number);
    let id = view.row(Table::Sessions, &stored, |value| {
        Ok(codec::decode::<SessionRow<'_>>(Table::Sessions, &stored, value)?.id)
    })?;
    let id = id.ok_or_else(|| view::missing("session", &stored))?;
    read(view, SessionRef { workspace, session: SessionId::from_uuid(Uuid::from_bytes(id)) }, number)
}

fn read(view: &dyn Read, at: SessionRef, number: u32) -> Result<SessionRecord> {
    let head: HeadRow = view.expected(Table::Sessions, &sessions::head(number))?;
    let updated_at = head.updated_at;
    let unused = body(view, at, number, head.body)?;
    Ok(standing(SessionRecord::clone(&unused), &ListedRow::of(number, &head), updated_at))
}

/// What a session is, as a record that stands nowhere yet.
pub(super) fn body(view: &dyn Read, at: SessionRef, number: u32, rewritten: u32) -> Result<Arc<SessionRecord>> {
    if let Some(known) = view.bodies().get(number, rewritten) {
        return Ok(known);
    }
    let key = sessions::body(number);
    let found = view.row(Table::Sessions, &key, |value| {
        let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        Ok((Arc::new(unused(at.workspace, at.session, &row)), value.len()))
    })?;
    let (record, bytes) = found.ok_or_else(|| view::missing("session", &key))?;
    if view.stage() == Stage::Published {
        view.bodies().keep(number, rewritten, &record, bytes);
    }
    Ok(record)
}

/// A session as its row has it, where it stands now.
pub(super) fn record(
    workspace: WorkspaceId,
    session: SessionId,
    row: &SessionRow<'_>,
    listed: &ListedRow,
    updated_at: u64,
) -> SessionRecord {
    standing(unused(workspace, session, row), listed, updated_at)
}

/// A session before anything happened in it.
fn unused(workspace: WorkspaceId, session: SessionId, row: &SessionRow<'_>) -> SessionRecord {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let json = |text: Option<&str>| text.map(|text| Json::stored(text.to_owned()));
    SessionRecord {
        id: session,
        workspace_id: workspace,
        agent_id: AgentId::from_uuid(Uuid::from_bytes(row.agent_id)),
        agent_name: row.agent_name.to_owned(),
        key: row.key.to_owned(),
        label: text(row.label),
        chat_type: text(row.chat_type),
        last_channel: text(row.last_channel),
        origin: json(row.origin),
        metadata: json(row.metadata),
        profile: json(row.profile),
        status: SessionStatus::Idle,
        running_turn: None,
        queued_turns: 0,
        usage: Usage::ZERO,
        context_mark: None,
        last_message: 0,
        last_change: 0,
        forked_from: row.forked.map(|forked| ForkedFrom {
            session: SessionId::from_uuid(Uuid::from_bytes(forked.session)),
            message: codec::message_id(forked.message),
            number: forked.number,
        }),
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.created_at),
    }
}

/// A session where it stands now.
fn standing(unused: SessionRecord, listed: &ListedRow, updated_at: u64) -> SessionRecord {
    SessionRecord {
        status: match (listed.running_id.is_some() || listed.queued > 0, listed.failed) {
            (true, _) => SessionStatus::Running,
            (false, true) => SessionStatus::Error,
            (false, false) => SessionStatus::Idle,
        },
        running_turn: listed.running_id.map(codec::turn_id),
        queued_turns: listed.queued,
        usage: codec::usage_of(listed.usage),
        context_mark: (listed.mark != 0).then_some(listed.mark),
        last_message: listed.messages,
        last_change: listed.changes,
        updated_at: Timestamp::from_micros(updated_at),
        ..unused
    }
}

/// Whether a row of a listing is that of a session whose agent was deleted.
fn is_hidden(view: &dyn Read, hidden: &Hidden, key: &[u8], value: &[u8]) -> Result<bool> {
    if hidden.is_none() {
        return Ok(false);
    }
    let row = codec::decode::<ListedRow>(Table::Activity, key, value);
    row.map_or(Ok(false), |row| hidden.has(view, row.number))
}

/// The sessions of an agent or of the workspace, newest activity first.
pub(super) fn list(view: &dyn Read, op: &SessionsQuery) -> Result<Listed<SessionRecord>> {
    let workspace = place::workspace(view, op.workspace)?;
    let scope = match op.agent {
        Some(agent) => place::agent(view, workspace, agent)?,
        None => workspace,
    };
    let total = count(view, scope)?;
    let mut listed = Listed { items: Vec::new(), total, damaged: Vec::new(), last: None };
    let mut before = op.page.offset();
    if before >= total {
        return Ok(listed);
    }
    let (mut left, mut last) = (op.page.limit, None);
    let (from, to) = activity::bounds(scope);
    let after = op.after.map(|SessionPlace { updated_at, session }| {
        activity::at(scope, updated_at.as_micros(), session.as_uuid().as_bytes())
    });
    let newest = after.as_deref().map_or(Bound::Included(to.as_slice()), Bound::Excluded);
    let between = (Bound::Included(from.as_slice()), newest);
    let hidden = Hidden::of(view)?;
    view.scan(Table::Activity, between, Direction::Desc, &mut |key, value| {
        if is_hidden(view, &hidden, key, value)? {
            return Ok(ControlFlow::Continue(()));
        }
        if before > 0 {
            before -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        if left == 0 {
            listed.last = last;
            return Ok(ControlFlow::Break(()));
        }
        left -= 1;
        let place = activity::last(key);
        if let Ok((updated_at, session)) = place {
            last = Some(SessionPlace { updated_at: Timestamp::from_micros(updated_at), session });
        }
        let read = place.and_then(|(updated_at, session)| {
            let row: ListedRow = codec::decode(Table::Activity, key, value)?;
            let at = SessionRef { workspace: op.workspace, session };
            let unused = body(view, at, row.number, row.body)?;
            Ok(standing(SessionRecord::clone(&unused), &row, updated_at))
        });
        view::sort(read, &mut listed.items, &mut listed.damaged, |error| Damaged::new(None, None, error))?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(listed)
}
