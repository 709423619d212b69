//! From names and ids to dense numbers. Every way to a session starts with its workspace.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::codec::{self, CounterRow, Id, NumberRow, SessionRow};
use super::hidden;
use super::positions::{Times, told};
use super::scope;
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
    let age = view.age();
    if let Some(place) = age.and_then(|age| view.places().get(at, age)) {
        return Ok(place);
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
    if hidden::is(view, agent)? {
        return Err(Error::not_found(format_args!("session {}", at.session)));
    }
    let place = Place { number, workspace, agent, session: at.session };
    // What is not committed yet may never be.
    if let (Some(age), Stage::Published) = (age, view.stage()) {
        view.places().keep(at, place, age);
    }
    Ok(place)
}

/// How old a state of the file is, by the sessions that were made and removed until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age {
    made: u32,
    removed: u32,
}

impl Age {
    /// Of the state that a view shows.
    pub(super) fn of(view: &dyn Read) -> Result<Self> {
        let CounterRow { sessions: made, removed, .. } = scope::counters(view)?;
        Ok(Age { made, removed })
    }
}

/// The places of sessions that were found before: a place never changes, and finding it costs as
/// much as the rest of a small read.
///
/// They hold for the committed states between two removals of sessions, and no others. Between two removals none goes, so
/// a session that was found in one of these states is in all of them that were already given its number. A
/// view of a state before or after looks for itself; the first that finds something after a removal begins anew.
/// So whoever still reads an old state cannot bring back what was removed since.
#[derive(Debug, Default)]
pub(super) struct Places(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// How many sessions had been removed.
    removed: u32,
    places: HashMap<SessionRef, Place>,
}

impl Places {
    fn get(&self, at: SessionRef, age: Age) -> Option<Place> {
        let kept = self.0.read();
        let place = kept.places.get(&at).filter(|place| kept.removed == age.removed && place.number <= age.made);
        place.copied()
    }

    fn keep(&self, at: SessionRef, place: Place, age: Age) {
        let mut kept = self.0.write();
        match age.removed.cmp(&kept.removed) {
            Ordering::Less => return,
            Ordering::Equal if kept.places.len() < PLACES_KEPT => {}
            _ => kept.places.clear(),
        }
        kept.removed = age.removed;
        kept.places.insert(at, place);
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(session: u128) -> SessionRef {
        let id = Uuid::from_u128;
        SessionRef { workspace: WorkspaceId::from_uuid(id(1)), session: SessionId::from_uuid(id(session)) }
    }

    fn place(number: u32) -> Place {
        Place { number, workspace: 1, agent: 2, session: at(1).session }
    }

    #[test]
    fn what_is_found_in_a_state_is_kept_for_those_before_and_after_it_that_have_it() {
        let places = Places::default();
        places.keep(at(1), place(5), Age { made: 5, removed: 2 });
        let found = |made, removed| places.get(at(1), Age { made, removed }).map(|place| place.number);
        assert_eq!((found(5, 2), found(9, 2)), (Some(5), Some(5)));
        // Not made yet; and before and after a removal, which may have been its own.
        assert_eq!((found(4, 2), found(5, 1), found(5, 3)), (None, None, None));
    }

    #[test]
    fn what_is_kept_stays_until_there_is_too_much() {
        let (places, age) = (Places::default(), Age { made: u32::MAX, removed: 0 });
        let is_kept = |session: u32| places.get(at(session.into()), age).is_some();
        let most = u32::try_from(PLACES_KEPT).expect("it is small");
        (1..=most).for_each(|session| places.keep(at(session.into()), place(session), age));
        assert!(is_kept(1) && is_kept(most));
        places.keep(at((most + 1).into()), place(most + 1), age);
        assert_eq!((is_kept(1), is_kept(most + 1)), (false, true));
    }

    #[test]
    fn who_reads_an_old_state_brings_nothing_back() {
        let places = Places::default();
        let (old, new) = (Age { made: 5, removed: 0 }, Age { made: 6, removed: 1 });
        places.keep(at(1), place(5), old);
        // Deleted and made again under its id.
        places.keep(at(1), place(6), new);
        places.keep(at(1), place(5), old);
        places.keep(at(2), place(4), old);
        assert_eq!(places.get(at(1), new).map(|place| place.number), Some(6));
        assert_eq!([at(1), at(2)].map(|at| places.get(at, old).is_some()), [false, false]);
        assert!(places.get(at(2), new).is_none());
    }
}
