//! From names and ids to dense numbers. Every way to a session starts with its workspace.

use std::collections::HashMap;

use super::codec::{self, Id, NumberRow, SessionRow};
use super::positions::{Times, told};
use super::tables::{Table, names, rows, sessions};
use super::view::{self, Read, Stage};
use crate::error::{Error, Result};
use crate::id::{AgentId, MessageId, SessionId, ThreadId, WorkspaceId};
use crate::limit::PLACES_KEPT;
use crate::store::SessionRef;
use crate::sync::RwLock;

/// Where a session stands: its number, and those of the scopes it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) number: u32,
    pub(super) workspace: u32,
    pub(super) agent: u32,
    pub(super) session: SessionId,
}

/// The number under a key of the names.
pub(super) fn named(view: &dyn Read, key: &[u8]) -> Result<Option<u32>> {
    Ok(view.plain::<NumberRow>(Table::Names, key)?.map(|row| row.number))
}

/// A workspace's number.
pub(super) fn workspace(view: &dyn Read, id: WorkspaceId) -> Result<u32> {
    named(view, &names::workspace_id(id.as_uuid().as_bytes()))?
        .ok_or_else(|| Error::not_found(format_args!("workspace {id}")))
}

/// An agent's number in a workspace.
pub(super) fn agent(view: &dyn Read, workspace: u32, id: AgentId) -> Result<u32> {
    named(view, &names::agent_id(workspace, id.as_uuid().as_bytes()))?
        .ok_or_else(|| Error::not_found(format_args!("agent {id}")))
}

/// A session's number in a workspace.
pub(super) fn session(view: &dyn Read, at: SessionRef) -> Result<u32> {
    Ok(find(view, at)?.number)
}

/// A session's place.
pub(super) fn find(view: &dyn Read, at: SessionRef) -> Result<Place> {
    if let Some(place) = view.places().0.read().get(&at) {
        return Ok(*place);
    }
    let workspace = workspace(view, at.workspace)?;
    let number = named(view, &names::session_id(workspace, at.session.as_uuid().as_bytes()))?
        .ok_or_else(|| Error::not_found(format_args!("session {}", at.session)))?;
    let key = sessions::body(number);
    let scopes = view.row(Table::Sessions, &key, |value| {
        let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        Ok((row.workspace, row.agent))
    })?;
    let (workspace, agent) = scopes.ok_or_else(|| view::missing("session", &key))?;
    let place = Place { number, workspace, agent, session: at.session };
    // What is not committed yet may never be.
    if view.stage() == Stage::Published {
        view.places().keep(at, place);
    }
    Ok(place)
}

/// The places of sessions that were found before: a place never changes, and finding it costs as
/// much as the rest of a small read.
#[derive(Debug, Default)]
pub(super) struct Places(RwLock<HashMap<SessionRef, Place>>);

impl Places {
    fn keep(&self, at: SessionRef, place: Place) {
        let mut places = self.0.write();
        if places.len() >= PLACES_KEPT {
            places.clear();
        }
        places.insert(at, place);
    }
}

/// The number of what has this id in a session.
pub(super) fn number(view: &dyn Read, session: u32, kind: rows::Kind, id: &Id) -> Result<Option<u32>> {
    Ok(view.plain::<NumberRow>(Table::Rows, &rows::by_id(session, kind, id))?.map(|row| row.number))
}

/// A thread's number in its session.
pub(super) fn thread(view: &dyn Read, session: u32, id: ThreadId) -> Result<u32> {
    number(view, session, rows::Kind::ThreadId, id.as_uuid().as_bytes())?
        .ok_or_else(|| Error::not_found(format_args!("thread {id}")))
}

/// A message's number in its session; a soft-deleted one is not found.
pub(super) fn message(view: &dyn Read, session: u32, id: MessageId) -> Result<u32> {
    let not_found = || Error::not_found(format_args!("message {id}"));
    let number = number(view, session, rows::Kind::MessageId, id.as_uuid().as_bytes())?.ok_or_else(not_found)?;
    match told(view, session, &mut Times::new(view, session, number), number)? {
        Some(entry) if !entry.is_deleted() => Ok(number),
        Some(_) => Err(not_found()),
        None => Err(Error::corrupt(format!("whether message {id} was deleted cannot be told"))),
    }
}
