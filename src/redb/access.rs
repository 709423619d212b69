//! Verbs of access keys. They are few in a workspace, by a bound, so their totals are counted when they are asked for.

use std::ops::{Bound, ControlFlow};

use uuid::Uuid;

use super::codec::{self, KeyRow, NumberRow};
use super::positions::unless_damaged;
use super::tables::{Table, names};
use super::view::{self, Read};
use super::write_set::WriteSet;
use super::{place, scope};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, KeyId, WorkspaceId};
use crate::limit::WORKSPACE_KEYS;
use crate::page::Direction;
use crate::record::{KeyRecord, Scopes};
use crate::store::{CreateKey, Damaged, KeysQuery, Listed, Opens, RevokeKey, StoredKey};
use crate::time::Timestamp;

/// Makes a key.
pub(super) fn create(view: &dyn Read, op: &CreateKey) -> Result<(WriteSet, KeyRecord)> {
    let workspace = place::workspace(view, op.workspace)?;
    let (agent, scopes) = match op.opens {
        Opens::Workspace | Opens::WorkspaceAnew => (0, Scopes::ALL),
        Opens::Agent(agent, scopes) => (place::agent(view, workspace, agent)?, scopes),
    };
    let id = *op.stamp.uuid(0).as_bytes();
    let conflict = |text| Err(Error::conflict(text));
    if view.get(Table::Names, &names::access_key(&id))?.is_some() {
        return conflict(format!("access key {} is there already", Uuid::from_bytes(id)));
    }
    let (mut writes, mut keys, mut masters) = (WriteSet::default(), 0, 0);
    each(view, workspace, |key, owner| {
        match op.opens {
            Opens::WorkspaceAnew => remove(&mut writes, workspace, key),
            Opens::Workspace | Opens::Agent(..) => keys += 1,
        }
        masters += u64::from(owner == Some(0));
        Ok(ControlFlow::Continue(()))
    })?;
    if op.opens == Opens::Workspace && masters > 0 {
        return conflict(format!("workspace {} has a master key already", op.workspace));
    }
    if keys >= WORKSPACE_KEYS {
        let text = format!("workspace {} has {keys} access keys; it may have at most {WORKSPACE_KEYS}", op.workspace);
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    let row = KeyRow {
        workspace: *op.workspace.as_uuid().as_bytes(),
        agent: match op.opens {
            Opens::Agent(agent, _) => Some(*agent.as_uuid().as_bytes()),
            Opens::Workspace | Opens::WorkspaceAnew => None,
        },
        workspace_number: workspace,
        agent_number: agent,
        scopes: scopes.bits(),
        hash: op.hash,
        label: op.new.label.as_deref(),
        created_at: op.stamp.at.as_micros(),
        expires_at: op.new.expires_at.map(Timestamp::as_micros),
    };
    writes.put(Table::Names, names::access_key(&id), &row)?;
    writes.put(Table::Names, names::access_key_of(workspace, &id), &NumberRow { number: agent })?;
    let record = record(id, &row)?;
    Ok((writes, record))
}

/// The key of this id.
pub(super) fn get(view: &dyn Read, id: KeyId) -> Result<Option<StoredKey>> {
    let id = *id.as_uuid().as_bytes();
    let key = names::access_key(&id);
    view.row(Table::Names, &key, |value| {
        let row: KeyRow<'_> = codec::decode(Table::Names, &key, value)?;
        Ok(StoredKey { record: record(id, &row)?, hash: row.hash })
    })
}

/// The keys of a workspace, or of an agent of it.
pub(super) fn list(view: &dyn Read, op: &KeysQuery) -> Result<Listed<KeyRecord>> {
    let workspace = place::workspace(view, op.workspace)?;
    let agent = op.agent.map(|agent| place::agent(view, workspace, agent)).transpose()?;
    let mut listed = Listed { items: Vec::new(), total: 0, damaged: Vec::new(), last: None };
    let (mut before, mut left) = (op.page.offset(), op.page.limit);
    each(view, workspace, |id, owner| {
        if agent.is_some() && owner != agent {
            return Ok(ControlFlow::Continue(()));
        }
        listed.total += 1;
        if before > 0 {
            before -= 1;
        } else if left > 0 {
            left -= 1;
            let read = get(view, KeyId::from_uuid(Uuid::from_bytes(*id)));
            let read = read.and_then(|key| key.ok_or_else(|| view::missing("access key", &names::access_key(id))));
            let read = read.map(|key| key.record);
            view::sort(read, &mut listed.items, &mut listed.damaged, |error| Damaged::new(None, None, error))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(listed)
}

/// How many keys there are of a workspace and its agents.
pub(super) fn count(view: &dyn Read, workspace: u32) -> Result<u64> {
    let mut keys = 0;
    each(view, workspace, |_, _| {
        keys += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// Revokes a key.
pub(super) fn revoke(view: &dyn Read, op: &RevokeKey) -> Result<(WriteSet, ())> {
    let workspace = place::workspace(view, op.workspace)?;
    let id = op.key.as_uuid().as_bytes();
    if view.get(Table::Names, &names::access_key_of(workspace, id))?.is_none() {
        return Err(Error::not_found(format_args!("access key {}", op.key)));
    }
    let mut writes = WriteSet::default();
    remove(&mut writes, workspace, id);
    Ok((writes, ()))
}

/// Revokes all keys of an agent.
pub(super) fn revoke_all_of(view: &dyn Read, workspace: u32, agent: u32, writes: &mut WriteSet) -> Result<()> {
    each(view, workspace, |id, owner| {
        if owner == Some(agent) {
            remove(writes, workspace, id);
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn remove(writes: &mut WriteSet, workspace: u32, id: &codec::Id) {
    writes.remove(Table::Names, names::access_key(id));
    writes.remove(Table::Names, names::access_key_of(workspace, id));
}

/// Calls `each` with the id of every key of a workspace, the newest first, and the number of its agent: 0 for a master key,
/// none where that cannot be read.
fn each(
    view: &dyn Read,
    workspace: u32,
    mut each: impl FnMut(&codec::Id, Option<u32>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let (from, to) = (names::access_key_of(workspace, &[0; 16]), names::access_key_of(workspace, &[0xff; 16]));
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    view.scan(Table::Names, between, Direction::Desc, &mut |key, value| match key.last_chunk() {
        Some(id) => {
            let owner = codec::decode::<NumberRow>(Table::Names, key, value);
            each(id, owner.ok().map(|row| row.number))
        }
        None => Ok(ControlFlow::Continue(())),
    })
}

fn record(id: codec::Id, row: &KeyRow<'_>) -> Result<KeyRecord> {
    let scopes = Scopes::from_bits(row.scopes).map_err(|error| Error::corrupt(format!("stored {error}")))?;
    let workspace = WorkspaceId::from_uuid(Uuid::from_bytes(row.workspace));
    let created_at = Timestamp::from_micros(row.created_at);
    Ok(KeyRecord {
        agent_id: row.agent.map(|agent| AgentId::from_uuid(Uuid::from_bytes(agent))),
        scopes,
        label: row.label.map(str::to_owned),
        expires_at: row.expires_at.map(Timestamp::from_micros),
        ..KeyRecord::new(KeyId::from_uuid(Uuid::from_bytes(id)), workspace, created_at)
    })
}

/// What is wrong with a key's row, as far as other rows tell.
pub(super) fn breach(view: &dyn Read, key: &[u8], value: &[u8]) -> Result<Option<String>> {
    let row: KeyRow<'_> = codec::decode(Table::Names, key, value)?;
    let Some(id) = key.last_chunk::<16>() else { return Ok(Some("is cut short".to_owned())) };
    record(*id, &row)?;
    let index = view.plain::<NumberRow>(Table::Names, &names::access_key_of(row.workspace_number, id))?;
    if index.map(|row| row.number) != Some(row.agent_number) {
        return Ok(Some("is an access key that its workspace does not list as it is".to_owned()));
    }
    let there = unless_damaged(scope::id(view, row.workspace_number))? == Some(row.workspace)
        && match row.agent {
            Some(agent) => {
                let number = place::named(view, &names::agent_id(row.workspace_number, &agent))?;
                number == Some(row.agent_number)
            }
            None => row.agent_number == 0 && row.scopes == Scopes::ALL.bits(),
        };
    Ok((!there).then(|| "is an access key of what is not there".to_owned()))
}
