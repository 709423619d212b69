//! Verbs of agents beside finding and making them by name: with an id, by id, label, list, delete.

use super::codec::{CountRow, HiddenRow, LabelRow, ScopeCountRow};
use super::tables::{Table, meta, names};
use super::view::Read;
use super::write_set::WriteSet;
use super::{access, archive, hidden, place, scope, session};
use crate::error::{Error, Result};
use crate::id::{AgentId, WorkspaceId};
use crate::page::PageAt;
use crate::record::{AgentRecord, WorkspaceRecord};
use crate::store::{AgentsQuery, CreateAgent, DeleteAgent, LabelAgent, Listed};

/// A workspace by its id.
pub(super) fn workspace(view: &dyn Read, id: WorkspaceId) -> Result<WorkspaceRecord> {
    scope::workspace_record(view, place::workspace(view, id)?)
}

/// All workspaces.
pub(super) fn workspaces(view: &dyn Read, page: PageAt) -> Result<Listed<WorkspaceRecord>> {
    scope::list(view, 0, page, |number| scope::workspace_record(view, number))
}

/// An agent by its id.
pub(super) fn get(view: &dyn Read, workspace: WorkspaceId, id: AgentId) -> Result<AgentRecord> {
    let within = place::workspace(view, workspace)?;
    scope::agent_record(view, workspace, place::agent(view, within, id)?)
}

/// The agents of a workspace.
pub(super) fn list(view: &dyn Read, op: &AgentsQuery) -> Result<Listed<AgentRecord>> {
    let within = place::workspace(view, op.workspace)?;
    scope::list(view, within, op.page, |number| scope::agent_record(view, op.workspace, number))
}

/// Makes an agent.
pub(super) fn create(view: &dyn Read, op: &CreateAgent) -> Result<(WriteSet, AgentRecord)> {
    let within = place::workspace(view, op.workspace)?;
    let id = op.new.id.map_or_else(|| op.stamp.uuid(0), |id| *id.as_uuid());
    if let Some(number) = place::named(view, &names::agent_id(within, id.as_bytes()))? {
        let found = scope::agent_record(view, op.workspace, number)?;
        if op.new.id.is_some() && found.name == op.new.name {
            return Ok((WriteSet::default(), found));
        }
        return Err(Error::conflict(format!("agent id {id} was used before for agent {:?}", found.name)));
    }
    if place::named(view, &names::agent_name(within, &op.new.name))?.is_some() {
        return Err(Error::conflict(format!("agent name {:?} is in use in the workspace", op.new.name)));
    }
    let (mut writes, number) = scope::make_agent(view, within, &op.new.name, id, op.stamp.at)?;
    if let Some(label) = &op.new.label {
        writes.put(Table::Names, names::label(number), &LabelRow { label })?;
    }
    let made = AgentRecord::new(id.into(), op.workspace, op.new.name.as_str(), op.stamp.at);
    Ok((writes, AgentRecord { label: op.new.label.clone(), ..made }))
}

/// Gives an agent another label.
pub(super) fn label(view: &dyn Read, op: &LabelAgent) -> Result<(WriteSet, AgentRecord)> {
    let within = place::workspace(view, op.workspace)?;
    let number = place::agent(view, within, op.agent)?;
    let record = AgentRecord { label: op.label.clone(), ..scope::agent_record(view, op.workspace, number)? };
    let mut writes = WriteSet::default();
    match &op.label {
        Some(label) => writes.put(Table::Names, names::label(number), &LabelRow { label })?,
        None => writes.remove(Table::Names, names::label(number)),
    }
    Ok((writes, record))
}

/// Hides an agent and all that it holds. However many sessions it has, this writes a few rows, and some for each of its access
/// keys; see [`hidden`].
pub(super) fn delete(view: &dyn Read, op: &DeleteAgent) -> Result<(WriteSet, ())> {
    let within = place::workspace(view, op.workspace)?;
    let number = place::agent(view, within, op.agent)?;
    if hidden::busy_session(view, number)?.is_some() {
        return Err(Error::conflict(format!("a session of agent {} is busy: stop it first", op.agent)));
    }
    let mut writes = WriteSet::default();
    archive::uncount(view, [within, number], &mut writes)?;
    // Its sessions go from the totals at once, and from what is remembered of places.
    let (its, all) = (session::count(view, number)?, session::count(view, within)?);
    let mut counters = scope::counters(view)?;
    let its_number = u32::try_from(its).unwrap_or(u32::MAX);
    counters.removed = counters.removed.saturating_add(its_number).min(counters.sessions);
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    writes.put(Table::Names, names::count(within), &CountRow { sessions: all.saturating_sub(its) })?;
    let scopes = scope::count(view, within)?.saturating_sub(1);
    writes.put(Table::Names, names::scopes(within), &ScopeCountRow { scopes })?;
    let name = scope::agent_name(view, number)?;
    for key in [
        names::agent_name(within, &name),
        names::agent_id(within, op.agent.as_uuid().as_bytes()),
        names::scope(number),
        names::label(number),
        names::count(number),
    ] {
        writes.remove(Table::Names, key);
    }
    access::revoke_all_of(view, within, number, &mut writes)?;
    writes.put(Table::Meta, meta::hidden(number), &HiddenRow { deleted_at: op.stamp.at.as_micros() })?;
    Ok((writes, ()))
}
