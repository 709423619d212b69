//! Agents that were deleted, and what is left of them.
//!
//! Deleting an agent takes away all that leads to it and leaves a row, by its number, in its place. Its sessions and archives stand
//! as they stood, but nothing finds them: whoever comes to one by the session's id looks whether its agent is hidden, and the
//! listings of the workspace, which have not lost their rows yet, leave out what is. That is asked only while a
//! hidden agent is there. Step by step each of them is then taken away as a deleted one is; the row of the agent goes last.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use uuid::Uuid;

use super::codec::{self, ArchiveRow, HeadRow, HiddenRow, ListedRow, OutboxRow, SessionRow};
use super::place::{self, Place};
use super::remnant::{self, Remnant};
use super::tables::{Table, activity, archives, meta, names, session_of, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use super::{archive, view};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::page::Direction;
use crate::time::Timestamp;

/// Rows that taking away a session writes; an archive takes fewer.
pub(super) const ROWS_OF_SESSION: usize = 9;

/// Whether the agent of this number was deleted.
pub(super) fn is(view: &dyn Read, agent: u32) -> Result<bool> {
    Ok(view.get(Table::Meta, &meta::hidden(agent))?.is_some())
}

/// The numbers of the agents that were deleted, and of which something may be left.
#[derive(Debug, Default)]
pub(super) struct Hidden(BTreeSet<u32>);

impl Hidden {
    pub(super) fn of(view: &dyn Read) -> Result<Self> {
        let (from, to) = (meta::hidden(0), meta::hidden(u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let mut agents = BTreeSet::new();
        view.scan(Table::Meta, between, Direction::Asc, &mut |key, _| {
            // One whose row is damaged is hidden all the same.
            agents.extend(meta::hidden_of(key));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Hidden(agents))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the session is one of theirs; one that cannot be read is taken for none.
    pub(super) fn has(&self, view: &dyn Read, session: u32) -> Result<bool> {
        if self.is_none() {
            return Ok(false);
        }
        match agent_of(view, session) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            agent => Ok(agent?.is_some_and(|agent| self.0.contains(&agent))),
        }
    }

    /// Whether a row of the outbox is of a session of theirs, or of one that is in an archive of theirs; one that cannot be
    /// read is taken for none.
    pub(super) fn has_announced(&self, view: &dyn Read, session: u32, key: &[u8], value: &[u8]) -> Result<bool> {
        if self.is_none() {
            return Ok(false);
        }
        if self.has(view, session)? {
            return Ok(true);
        }
        let archived = || {
            let row: OutboxRow<'_> = codec::decode(Table::Outbox, key, value)?;
            let workspace = place::workspace(view, Uuid::from_bytes(row.workspace).into())?;
            archive::standing_of(view, workspace, &row.session)
        };
        match archived() {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            archived => Ok(archived?.is_some_and(|(row, agent)| row.session == session && self.0.contains(&agent))),
        }
    }

    /// Whether an agent is one of them.
    pub(super) fn has_agent(&self, agent: u32) -> bool {
        self.0.contains(&agent)
    }
}

/// The agent's number of a session that has what it is.
fn agent_of(view: &dyn Read, session: u32) -> Result<Option<u32>> {
    let key = sessions::body(session);
    view.row(Table::Sessions, &key, |value| Ok(codec::decode::<SessionRow<'_>>(Table::Sessions, &key, value)?.agent))
}

/// Whether a session is one of an agent that was deleted.
pub(super) fn has(view: &dyn Read, session: u32) -> Result<bool> {
    agent_of(view, session)?.map_or(Ok(false), |agent| is(view, agent))
}

/// The number of the session that has this id in a workspace; none where only one of a deleted agent has it.
pub(super) fn holder(view: &dyn Read, workspace: u32, session: SessionId) -> Result<Option<u32>> {
    match place::named(view, &names::session_id(workspace, session.as_uuid().as_bytes()))? {
        Some(number) if !has(view, number)? => Ok(Some(number)),
        _ => Ok(None),
    }
}

/// Takes away the session, which no other agent has, and the archive that a deleted agent has of this id: one that is to be made
/// has it.
pub(super) fn dislodge(
    view: &dyn Read,
    workspace: u32,
    session: SessionId,
    now: Timestamp,
    writes: &mut WriteSet,
) -> Result<()> {
    let id = session.as_uuid().as_bytes();
    if let Some(number) = place::named(view, &names::session_id(workspace, id))? {
        let (place, key) = standing(view, number, session)?;
        let head: HeadRow = view.expected(Table::Sessions, &sessions::head(number))?;
        leave(place, &key, head.updated_at, now, writes)?;
    }
    match archive::standing_of(view, workspace, id)? {
        Some((row, agent)) if is(view, agent)? => archive::take_away(view, row.archive, now, writes),
        _ => Ok(()),
    }
}

/// A session of the agent in which a turn is running or waits. Only such sessions are looked at: there are no more of them
/// than turns at work, however many the agent has.
pub(super) fn busy_session(view: &dyn Read, agent: u32) -> Result<Option<u32>> {
    let (from, to) = (meta::queued(0, 0), meta::queued(u32::MAX, u32::MAX));
    let queued = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    let (mut last, mut busy) = (None, None);
    for (table, between) in [(Table::Claims, (Bound::Unbounded, Bound::Unbounded)), (Table::Meta, queued)] {
        view.scan(table, between, Direction::Asc, &mut |key, _| {
            let session = match table {
                Table::Claims => session_of(key),
                _ => meta::queued_of(key).map(|(session, _)| session),
            };
            if session == last {
                return Ok(ControlFlow::Continue(()));
            }
            last = session;
            let Some(session) = session else { return Ok(ControlFlow::Continue(())) };
            match agent_of(view, session) {
                Ok(Some(its)) if its == agent => {
                    busy = Some(session);
                    Ok(ControlFlow::Break(()))
                }
                // What cannot be read keeps no other from going.
                Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
                _ => Ok(ControlFlow::Continue(())),
            }
        })?;
        if busy.is_some() {
            break;
        }
    }
    Ok(busy)
}

/// Takes away sessions and archives of deleted agents, at most so many, the newest first, and what says that an agent was
/// deleted once it has none.
pub(super) fn clear(view: &dyn Read, most: usize, writes: &mut WriteSet) -> Result<()> {
    let mut left = most;
    for agent in Hidden::of(view)?.0 {
        let key = meta::hidden(agent);
        let row: HiddenRow = match view.expected(Table::Meta, &key) {
            Err(error) if error.kind() == ErrorKind::Corrupt => continue,
            row => row?,
        };
        let deleted_at = Timestamp::from_micros(row.deleted_at);
        let mut is_left = false;
        for (table, (from, to)) in
            [(Table::Activity, activity::bounds(agent)), (Table::Archives, archives::listed_bounds(agent))]
        {
            let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
            view.scan(table, between, Direction::Desc, &mut |key, value| {
                is_left = true;
                if left == 0 {
                    return Ok(ControlFlow::Break(()));
                }
                let cleared = match table {
                    Table::Activity => clear_session(view, agent, deleted_at, key, value, writes),
                    _ => clear_archive(agent, deleted_at, key, value, writes),
                };
                match cleared {
                    // `verify` names it; the others go all the same.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {}
                    cleared => {
                        cleared?;
                        left -= 1;
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if !is_left {
            writes.remove(Table::Meta, key);
        }
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Takes away the session of a row of the agent's listing.
fn clear_session(
    view: &dyn Read,
    agent: u32,
    deleted_at: Timestamp,
    listed: &[u8],
    value: &[u8],
    writes: &mut WriteSet,
) -> Result<()> {
    let (updated_at, session) = activity::last(listed)?;
    let number = codec::decode::<ListedRow>(Table::Activity, listed, value)?.number;
    let (place, key) = standing(view, number, session)?;
    if place.agent != agent {
        return Err(Error::corrupt(format!("the listing of agent {agent} has session {number} of another one")));
    }
    leave(place, &key, updated_at, deleted_at, writes)
}

/// Takes away the archive of a row of the agent's listing.
fn clear_archive(agent: u32, deleted_at: Timestamp, listed: &[u8], value: &[u8], writes: &mut WriteSet) -> Result<()> {
    let row: ArchiveRow<'_> = codec::decode(Table::Archives, listed, value)?;
    let number = archives::number_of_listed(listed).filter(|_| row.agent == agent);
    let number = number
        .ok_or_else(|| Error::corrupt(format!("the listing of agent {agent} has an archive of agent {}", row.agent)))?;
    archive::take_away_listed(number, &row, deleted_at, writes)
}

/// Takes away all that leads to a session, and leaves a remnant of it.
fn leave(place: Place, key: &str, updated_at: u64, deleted_at: Timestamp, writes: &mut WriteSet) -> Result<()> {
    remnant::take_away(place, key, updated_at, writes);
    Remnant::Session(place.number).put(writes, deleted_at)
}

/// Where a session stands, and its key.
fn standing(view: &dyn Read, number: u32, session: SessionId) -> Result<(Place, String)> {
    let key = sessions::body(number);
    let read = view.row(Table::Sessions, &key, |value| {
        let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        Ok((Place { number, workspace: row.workspace, agent: row.agent, session }, row.key.to_owned()))
    })?;
    read.ok_or_else(|| view::missing("session", &key))
}

#[cfg(test)]
mod tests;
