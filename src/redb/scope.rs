//! Verbs of workspaces and agents: to find, make and list them.

use std::ops::{Bound, ControlFlow};

use super::codec::{self, CounterRow, Id, LabelRow, NumberRow, ScopeCountRow, ScopeRow};
use super::tables::{Table, meta, names};
use super::view::Read;
use super::write_set::WriteSet;
use super::{place, view};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, WorkspaceId};
use crate::page::{Direction, PageAt};
use crate::record::{AgentRecord, WorkspaceRecord};
use crate::store::{Damaged, EnsureAgent, EnsureWorkspace, Listed};
use crate::time::Timestamp;

/// The counters of dense numbers.
pub(super) fn counters(view: &dyn Read) -> Result<CounterRow> {
    Ok(view.plain(Table::Meta, meta::COUNTERS)?.unwrap_or_default())
}

/// The next dense number of a kind.
pub(super) fn next_number(count: &mut u32, what: &str) -> Result<u32> {
    *count = count.checked_add(1).ok_or_else(|| {
        Error::new(ErrorKind::TooLarge, format!("the file has {count} {what}, the most there can be"))
    })?;
    Ok(*count)
}

/// The name, id and time of a workspace or an agent.
fn scope<T>(view: &dyn Read, number: u32, read: impl FnOnce(&ScopeRow<'_>) -> T) -> Result<T> {
    let key = names::scope(number);
    view.row(Table::Names, &key, |value| codec::decode(Table::Names, &key, value).map(|row| read(&row)))?
        .ok_or_else(|| view::missing("workspace or agent", &key))
}

pub(super) fn workspace_record(view: &dyn Read, number: u32) -> Result<WorkspaceRecord> {
    scope(view, number, |row| WorkspaceRecord {
        id: WorkspaceId::from_uuid(uuid::Uuid::from_bytes(row.id)),
        name: row.name.to_owned(),
        created_at: Timestamp::from_micros(row.created_at),
    })
}

pub(super) fn agent_record(view: &dyn Read, workspace: WorkspaceId, number: u32) -> Result<AgentRecord> {
    let key = names::label(number);
    let label = view.row(Table::Names, &key, |value| {
        Ok(codec::decode::<LabelRow<'_>>(Table::Names, &key, value)?.label.to_owned())
    })?;
    scope(view, number, |row| {
        let (id, created_at) = (uuid::Uuid::from_bytes(row.id), Timestamp::from_micros(row.created_at));
        let unlabelled = AgentRecord::new(AgentId::from_uuid(id), workspace, row.name, created_at);
        AgentRecord { label, ..unlabelled }
    })
}

/// The id of a workspace or an agent.
pub(super) fn id(view: &dyn Read, number: u32) -> Result<Id> {
    scope(view, number, |row| row.id)
}

/// The name of an agent.
pub(super) fn agent_name(view: &dyn Read, number: u32) -> Result<String> {
    scope(view, number, |row| row.name.to_owned())
}

/// The workspace of this name.
pub(super) fn find_workspace(view: &dyn Read, name: &str) -> Result<Option<WorkspaceRecord>> {
    place::named(view, &names::workspace_name(name))?.map(|number| workspace_record(view, number)).transpose()
}

/// The agent of this name.
pub(super) fn find_agent(view: &dyn Read, workspace: WorkspaceId, name: &str) -> Result<Option<AgentRecord>> {
    let within = place::workspace(view, workspace)?;
    let number = place::named(view, &names::agent_name(within, name))?;
    number.map(|number| agent_record(view, workspace, number)).transpose()
}

/// The workspace of this name, made when it is missing.
pub(super) fn ensure_workspace(view: &dyn Read, op: &EnsureWorkspace) -> Result<(WriteSet, WorkspaceRecord)> {
    if let Some(found) = find_workspace(view, &op.name)? {
        return Ok((WriteSet::default(), found));
    }
    let id = op.stamp.uuid(0);
    let by = [names::workspace_name(&op.name), names::workspace_id(id.as_bytes())];
    let row = ScopeRow { id: *id.as_bytes(), name: &op.name, created_at: op.stamp.at.as_micros() };
    let (writes, _) = make(view, by, 0, &row)?;
    Ok((writes, WorkspaceRecord { id: id.into(), name: op.name.clone(), created_at: op.stamp.at }))
}

/// The agent of this name, made when it is missing.
pub(super) fn ensure_agent(view: &dyn Read, op: &EnsureAgent) -> Result<(WriteSet, AgentRecord)> {
    if let Some(found) = find_agent(view, op.workspace, &op.name)? {
        return Ok((WriteSet::default(), found));
    }
    let within = place::workspace(view, op.workspace)?;
    let id = op.stamp.uuid(0);
    let (writes, _) = make_agent(view, within, &op.name, id, op.stamp.at)?;
    Ok((writes, AgentRecord::new(id.into(), op.workspace, op.name.as_str(), op.stamp.at)))
}

/// Makes an agent whose name and id are free. Answers with its number.
pub(super) fn make_agent(
    view: &dyn Read,
    within: u32,
    name: &str,
    id: uuid::Uuid,
    at: Timestamp,
) -> Result<(WriteSet, u32)> {
    let by = [names::agent_name(within, name), names::agent_id(within, id.as_bytes())];
    make(view, by, within, &ScopeRow { id: *id.as_bytes(), name, created_at: at.as_micros() })
}

/// Makes a workspace, or an agent within one, which is found by two keys. Answers with its number.
pub(super) fn make(view: &dyn Read, by: [Vec<u8>; 2], within: u32, row: &ScopeRow<'_>) -> Result<(WriteSet, u32)> {
    let mut writes = WriteSet::default();
    let mut counters = counters(view)?;
    let number = next_number(&mut counters.scopes, "workspaces and agents")?;
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    for key in by {
        writes.put(Table::Names, key, &NumberRow { number })?;
    }
    writes.put(Table::Names, names::scope(number), row)?;
    let scopes = count(view, within)?.saturating_add(1);
    writes.put(Table::Names, names::scopes(within), &ScopeCountRow { scopes })?;
    Ok((writes, number))
}

/// How many agents a workspace has; of 0, how many workspaces there are. Where the count is damaged, they are counted.
pub(super) fn count(view: &dyn Read, within: u32) -> Result<u64> {
    match view.plain::<ScopeCountRow>(Table::Names, &names::scopes(within)) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
        counted => return Ok(counted?.unwrap_or_default().scopes),
    }
    let mut scopes = 0;
    each(view, within, &mut |_| {
        scopes += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(scopes)
}

/// Calls `each` with the number of every agent of a workspace, or of every workspace, in the order of their names.
fn each(
    view: &dyn Read,
    within: u32,
    each: &mut dyn FnMut(Result<NumberRow>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (from, to) = names::named(Some(within).filter(|within| *within > 0));
    let between = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
    view.scan(Table::Names, between, Direction::Asc, &mut |key, value| each(codec::decode(Table::Names, key, value)))
}

/// A page of the agents of a workspace, or of all workspaces.
pub(super) fn list<T>(
    view: &dyn Read,
    within: u32,
    page: PageAt,
    read: impl Fn(u32) -> Result<T>,
) -> Result<Listed<T>> {
    let mut listed = Listed { items: Vec::new(), total: count(view, within)?, damaged: Vec::new(), last: None };
    let (mut before, mut left) = (page.offset(), page.limit);
    if before >= listed.total {
        return Ok(listed);
    }
    each(view, within, &mut |number| {
        if before > 0 {
            before -= 1;
            return Ok(ControlFlow::Continue(()));
        }
        if left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        left -= 1;
        let record = number.and_then(|row| read(row.number));
        view::sort(record, &mut listed.items, &mut listed.damaged, |error| Damaged::new(None, None, error))?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(listed)
}
