//! Archives as they are found and listed, and deleting one.

use std::ops::{Bound, ControlFlow};

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::page::{Damaged, Direction};
use crate::record::ArchiveRecord;
use crate::redb::codec::{self, ArchiveRow, ArchivedRow, CountRow, Id, NumberRow};
use crate::redb::hidden::{self, Hidden};
use crate::redb::remnant::Remnant;
use crate::redb::tables::{Table, archives};
use crate::redb::view::{self, Each, Read};
use crate::redb::write_set::WriteSet;
use crate::redb::{place, scope};
use crate::store::{ArchiveRef, ArchivesQuery, DeleteArchive, Listed};
use crate::time::Timestamp;

/// An archive that is there.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::redb) struct Standing {
    pub(in crate::redb) number: u32,
    pub(in crate::redb) id: Id,
    pub(in crate::redb) workspace: u32,
    pub(in crate::redb) agent: u32,
    /// The number that its session had.
    pub(in crate::redb) session: u32,
    pub(in crate::redb) chunks: u32,
    pub(in crate::redb) bytes: u64,
    pub(in crate::redb) records: u64,
    pub(in crate::redb) checksum: u64,
    pub(in crate::redb) record: ArchiveRecord,
}

/// How many archives a workspace or an agent has.
fn count(view: &dyn Read, scope: u32) -> Result<u64> {
    let counted = view.plain::<CountRow>(Table::Archives, &archives::count(scope))?;
    Ok(counted.unwrap_or_default().sessions)
}

/// Takes the archives of an agent that is deleted out of what is counted.
pub(in crate::redb) fn uncount(view: &dyn Read, [workspace, agent]: [u32; 2], writes: &mut WriteSet) -> Result<()> {
    let its = count(view, agent)?;
    if its > 0 {
        let sessions = count(view, workspace)?.saturating_sub(its);
        writes.put(Table::Archives, archives::count(workspace), &CountRow { sessions })?;
    }
    writes.remove(Table::Archives, archives::count(agent));
    Ok(())
}

/// The archive of a row that stands under a key.
fn standing(view: &dyn Read, workspace: WorkspaceId, number: u32, key: &[u8], value: &[u8]) -> Result<Standing> {
    let row: ArchiveRow<'_> = codec::decode(Table::Archives, key, value)?;
    let agent = AgentId::from_uuid(Uuid::from_bytes(scope::id(view, row.agent)?));
    Ok(Standing {
        number,
        id: row.id,
        workspace: row.workspace,
        agent: row.agent,
        session: row.number,
        chunks: row.chunks,
        bytes: row.bytes,
        records: row.records,
        checksum: row.checksum,
        record: record(&row, workspace, agent),
    })
}

pub(super) fn record(row: &ArchiveRow<'_>, workspace: WorkspaceId, agent: AgentId) -> ArchiveRecord {
    ArchiveRecord {
        filename: row.filename.to_owned(),
        workspace_id: workspace,
        agent_id: agent,
        session_id: SessionId::from_uuid(Uuid::from_bytes(row.session)),
        key: row.key.to_owned(),
        label: row.label.map(str::to_owned),
        messages: row.messages,
        turns: row.turns,
        last_change: row.changes,
        usage: codec::usage_of(row.usage),
        created_at: Timestamp::from_micros(row.created_at),
        archived_at: Timestamp::from_micros(row.archived_at),
    }
}

/// The numbers of an archive's agent and its own, by its name.
fn named(view: &dyn Read, at: &ArchiveRef) -> Result<(u32, u32)> {
    let within = place::workspace(view, at.workspace)?;
    let agent = place::agent(view, within, at.agent)?;
    let found = view.plain::<NumberRow>(Table::Archives, &archives::filename(agent, &at.filename))?;
    let found = found.ok_or_else(|| Error::not_found(format_args!("archive {:?}", at.filename)))?;
    Ok((agent, found.number))
}

/// An archive by its name.
pub(in crate::redb) fn find(view: &dyn Read, at: &ArchiveRef) -> Result<Standing> {
    let (_, number) = named(view, at)?;
    let key = archives::row(number);
    let read = view.row(Table::Archives, &key, |value| standing(view, at.workspace, number, &key, value))?;
    read.ok_or_else(|| view::missing("archive", &key))
}

/// An archive whose row cannot be read, as the listing of its agent has it.
fn find_listed(view: &dyn Read, at: &ArchiveRef) -> Result<Standing> {
    let (agent, number) = named(view, at)?;
    let mut found = Err(view::missing("archive in the listing", &archives::row(number)));
    each_listed(view, agent, Direction::Asc, &mut |key, value| {
        if archives::number_of_listed(key) != Some(number) {
            return Ok(ControlFlow::Continue(()));
        }
        found = standing(view, at.workspace, number, key, value);
        Ok(ControlFlow::Break(()))
    })?;
    found
}

/// Calls `each` with the rows of a listing.
fn each_listed(view: &dyn Read, scope: u32, direction: Direction, each: &mut Each<'_>) -> Result<()> {
    let (from, to) = archives::listed_bounds(scope);
    view.scan(Table::Archives, (Bound::Included(from.as_slice()), Bound::Included(to.as_slice())), direction, each)
}

/// What an archive is.
pub(in crate::redb) fn get(view: &dyn Read, at: &ArchiveRef) -> Result<ArchiveRecord> {
    Ok(find(view, at)?.record)
}

/// The archives of an agent or of the workspace, newest first.
pub(in crate::redb) fn list(view: &dyn Read, op: &ArchivesQuery) -> Result<Listed<ArchiveRecord>> {
    let workspace = place::workspace(view, op.workspace)?;
    let scope = match op.agent {
        Some(agent) => place::agent(view, workspace, agent)?,
        None => workspace,
    };
    let total = count(view, scope)?;
    let mut listed = Listed { items: Vec::new(), total, damaged: Vec::new(), last: None };
    let (mut before, mut left) = (op.page.offset(), op.page.limit);
    if before >= total {
        return Ok(listed);
    }
    let hidden = Hidden::of(view)?;
    each_listed(view, scope, Direction::Desc, &mut |key, value| {
        if !hidden.is_none() {
            // One that cannot be read is taken for none of theirs.
            let row = codec::decode::<ArchiveRow<'_>>(Table::Archives, key, value);
            if row.is_ok_and(|row| hidden.has_agent(row.agent)) {
                return Ok(ControlFlow::Continue(()));
            }
        }
        if before > 0 {
            before -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        if left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        left -= 1;
        let number = archives::number_of_listed(key).unwrap_or_default();
        let read = standing(view, op.workspace, number, key, value).map(|archive| archive.record);
        view::sort(read, &mut listed.items, &mut listed.damaged, |error| Damaged::new(None, None, error))?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(listed)
}

/// Lists an archive, and has it found.
pub(super) fn show(view: &dyn Read, row: &ArchiveRow<'_>, number: u32, writes: &mut WriteSet) -> Result<()> {
    writes.put(Table::Archives, archives::row(number), row)?;
    writes.put(Table::Archives, archives::filename(row.agent, row.filename), &NumberRow { number })?;
    let archived = ArchivedRow { archive: number, session: row.number };
    writes.put(Table::Archives, archives::session(row.workspace, &row.session), &archived)?;
    for scope in [row.workspace, row.agent] {
        writes.put(Table::Archives, archives::listed(scope, row.archived_at, number), row)?;
        let sessions = count(view, scope)? + 1;
        writes.put(Table::Archives, archives::count(scope), &CountRow { sessions })?;
    }
    Ok(())
}

/// Takes away all that leads to an archive. Its chunks are no one's from then on.
pub(super) fn hide(view: &dyn Read, archive: &Standing, now: Timestamp, writes: &mut WriteSet) -> Result<()> {
    let Standing { number, workspace, agent, ref record, .. } = *archive;
    Remnant::Archive(number).put(writes, now)?;
    let (session, archived_at) = (record.session_id.as_uuid().as_bytes(), record.archived_at.as_micros());
    for key in leads(number, [workspace, agent], session, &record.filename, archived_at) {
        writes.remove(Table::Archives, key);
    }
    for scope in [workspace, agent] {
        let sessions = count(view, scope)?.saturating_sub(1);
        writes.put(Table::Archives, archives::count(scope), &CountRow { sessions })?;
    }
    Ok(())
}

/// The keys that lead to an archive, its own among them.
fn leads(number: u32, scopes: [u32; 2], session: &Id, filename: &str, archived_at: u64) -> [Vec<u8>; 5] {
    let [workspace, agent] = scopes;
    [
        archives::row(number),
        archives::filename(agent, filename),
        archives::session(workspace, session),
        archives::listed(workspace, archived_at, number),
        archives::listed(agent, archived_at, number),
    ]
}

/// Takes away an archive of a deleted agent, which nothing counts any more, and what of its session waits in the outbox.
pub(in crate::redb) fn take_away_listed(
    number: u32,
    row: &ArchiveRow<'_>,
    now: Timestamp,
    writes: &mut WriteSet,
) -> Result<()> {
    for key in leads(number, [row.workspace, row.agent], &row.session, row.filename, row.archived_at) {
        writes.remove(Table::Archives, key);
    }
    Remnant::Archive(number).put(writes, now)?;
    Remnant::Session(row.number).put(writes, now)
}

/// The same of the archive of this number.
pub(in crate::redb) fn take_away(view: &dyn Read, number: u32, now: Timestamp, writes: &mut WriteSet) -> Result<()> {
    let key = archives::row(number);
    let taken = view.row(Table::Archives, &key, |value| {
        take_away_listed(number, &codec::decode(Table::Archives, &key, value)?, now, writes)
    })?;
    taken.ok_or_else(|| view::missing("archive", &key))
}

/// Deletes an archive.
pub(in crate::redb) fn delete(view: &dyn Read, op: &DeleteArchive) -> Result<(WriteSet, ())> {
    let archive = match find(view, &op.archive) {
        Err(error) if error.kind() == ErrorKind::Corrupt => find_listed(view, &op.archive).map_err(|_| error)?,
        found => found?,
    };
    let mut writes = WriteSet::default();
    hide(view, &archive, op.stamp.at, &mut writes)?;
    // What of its session waits in the outbox is no one's, too.
    Remnant::Session(archive.session).put(&mut writes, op.stamp.at)?;
    Ok((writes, ()))
}

/// What leads to the archive of the session of an id, and the number of its agent, which may have been deleted.
pub(in crate::redb) fn standing_of(
    view: &dyn Read,
    workspace: u32,
    session: &Id,
) -> Result<Option<(ArchivedRow, u32)>> {
    let Some(found) = view.plain::<ArchivedRow>(Table::Archives, &archives::session(workspace, session))? else {
        return Ok(None);
    };
    let key = archives::row(found.archive);
    let agent = view
        .row(Table::Archives, &key, |value| Ok(codec::decode::<ArchiveRow<'_>>(Table::Archives, &key, value)?.agent))?;
    Ok(Some((found, agent.ok_or_else(|| view::missing("archive", &key))?)))
}

/// The number that a session had which is archived; none where it is not, and where the archive's agent was deleted.
pub(in crate::redb) fn number_of(view: &dyn Read, workspace: u32, session: SessionId) -> Result<Option<u32>> {
    let id = session.as_uuid().as_bytes();
    match standing_of(view, workspace, id) {
        // Damage takes away no agent.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Ok(view.plain::<ArchivedRow>(Table::Archives, &archives::session(workspace, id))?.map(|row| row.session))
        }
        found => match found? {
            Some((row, agent)) if !hidden::is(view, agent)? => Ok(Some(row.session)),
            _ => Ok(None),
        },
    }
}
