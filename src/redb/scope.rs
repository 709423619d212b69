//! Verbs of workspaces and agents.

use super::codec::{self, CounterRow, Id, NumberRow, ScopeRow};
use super::tables::{Table, meta, names};
use super::view::Read;
use super::write_set::WriteSet;
use super::{place, view};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, WorkspaceId};
use crate::record::{AgentRecord, WorkspaceRecord};
use crate::store::{EnsureAgent, EnsureWorkspace};
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
fn scope<T>(view: &dyn Read, number: u32, read: impl Fn(&ScopeRow<'_>) -> T) -> Result<T> {
    let key = names::scope(number);
    view.row(Table::Names, &key, |value| codec::decode(Table::Names, &key, value).map(|row| read(&row)))?
        .ok_or_else(|| view::missing("workspace or agent", &key))
}

fn workspace_record(view: &dyn Read, number: u32) -> Result<WorkspaceRecord> {
    scope(view, number, |row| WorkspaceRecord {
        id: WorkspaceId::from_uuid(uuid::Uuid::from_bytes(row.id)),
        name: row.name.to_owned(),
        created_at: Timestamp::from_micros(row.created_at),
    })
}

fn agent_record(view: &dyn Read, workspace: WorkspaceId, number: u32) -> Result<AgentRecord> {
    scope(view, number, |row| AgentRecord {
        id: AgentId::from_uuid(uuid::Uuid::from_bytes(row.id)),
        workspace_id: workspace,
        name: row.name.to_owned(),
        created_at: Timestamp::from_micros(row.created_at),
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
    let writes = make(view, by, &ScopeRow { id: *id.as_bytes(), name: &op.name, created_at: op.stamp.at.as_micros() })?;
    Ok((writes, WorkspaceRecord { id: id.into(), name: op.name.clone(), created_at: op.stamp.at }))
}

/// The agent of this name, made when it is missing.
pub(super) fn ensure_agent(view: &dyn Read, op: &EnsureAgent) -> Result<(WriteSet, AgentRecord)> {
    if let Some(found) = find_agent(view, op.workspace, &op.name)? {
        return Ok((WriteSet::default(), found));
    }
    let within = place::workspace(view, op.workspace)?;
    let id = op.stamp.uuid(0);
    let by = [names::agent_name(within, &op.name), names::agent_id(within, id.as_bytes())];
    let writes = make(view, by, &ScopeRow { id: *id.as_bytes(), name: &op.name, created_at: op.stamp.at.as_micros() })?;
    let record =
        AgentRecord { id: id.into(), workspace_id: op.workspace, name: op.name.clone(), created_at: op.stamp.at };
    Ok((writes, record))
}

/// Writes a workspace or an agent that is found by two keys.
pub(super) fn make(view: &dyn Read, by: [Vec<u8>; 2], row: &ScopeRow<'_>) -> Result<WriteSet> {
    let mut writes = WriteSet::default();
    let mut counters = counters(view)?;
    let number = next_number(&mut counters.scopes, "workspaces and agents")?;
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    for key in by {
        writes.put(Table::Names, key, &NumberRow { number })?;
    }
    writes.put(Table::Names, names::scope(number), row)?;
    Ok(writes)
}
