//! Workspaces and agents of an import: found by their names, or made with their ids where those are free.

use uuid::Uuid;

use crate::error::Result;
use crate::id::{AgentId, Stamp, WorkspaceId};
use crate::lines::ScopeForm;
use crate::redb::codec::{LabelRow, ScopeRow};
use crate::redb::tables::{Table, names};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::redb::{place, scope};

/// Whether it was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Now,
    Before,
}

/// The workspace of this name.
pub(super) fn workspace(view: &dyn Read, form: &ScopeForm, stamp: Stamp) -> Result<(WriteSet, (WorkspaceId, Made))> {
    if let Some(found) = scope::find_workspace(view, &form.name)? {
        return Ok((WriteSet::default(), (found.id, Made::Before)));
    }
    let id = free(view, form.id, stamp, |id| names::workspace_id(id.as_bytes()))?;
    let by = [names::workspace_name(&form.name), names::workspace_id(id.as_bytes())];
    let (writes, _) = scope::make(view, by, 0, &row(form, id))?;
    Ok((writes, (id.into(), Made::Now)))
}

/// The agent of this name in a workspace.
pub(super) fn agent(
    view: &dyn Read,
    workspace: WorkspaceId,
    form: &ScopeForm,
    stamp: Stamp,
) -> Result<(WriteSet, (AgentId, Made))> {
    if let Some(found) = scope::find_agent(view, workspace, &form.name)? {
        return Ok((WriteSet::default(), (found.id, Made::Before)));
    }
    let within = place::workspace(view, workspace)?;
    let id = free(view, form.id, stamp, |id| names::agent_id(within, id.as_bytes()))?;
    let by = [names::agent_name(within, &form.name), names::agent_id(within, id.as_bytes())];
    let (mut writes, number) = scope::make(view, by, within, &row(form, id))?;
    if let Some(label) = &form.label {
        writes.put(Table::Names, names::label(number), &LabelRow { label })?;
    }
    Ok((writes, (id.into(), Made::Now)))
}

/// The id, where it is one and nothing has it; else another one.
fn free(view: &dyn Read, id: Uuid, stamp: Stamp, key: impl Fn(&Uuid) -> Vec<u8>) -> Result<Uuid> {
    let is_free = !id.is_nil() && place::named(view, &key(&id))?.is_none();
    Ok(if is_free { id } else { stamp.uuid(0) })
}

fn row(form: &ScopeForm, id: Uuid) -> ScopeRow<'_> {
    ScopeRow { id: id.into_bytes(), name: &form.name, created_at: form.created_at }
}
