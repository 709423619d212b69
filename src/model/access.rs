//! The verbs of access keys.

use std::cmp::Reverse;

use super::{State, page_of};
use crate::error::{Error, ErrorKind, Result};
use crate::id::KeyId;
use crate::limit::WORKSPACE_KEYS;
use crate::record::KeyRecord;
use crate::store::{CreateKey, KeysQuery, Listed, Opens, RevokeKey, StoredKey};

impl State {
    pub(super) fn create_key(&mut self, op: CreateKey) -> Result<KeyRecord> {
        self.workspace(op.workspace)?;
        if let Opens::Agent(agent, _) = op.opens {
            self.agent(op.workspace, agent)?;
        }
        let of_workspace = |key: &&StoredKey| key.record.workspace_id == op.workspace;
        let id = KeyId::from_uuid(op.stamp.uuid(0));
        if self.keys.iter().any(|key| key.record.id == id) {
            return Err(Error::conflict(format!("access key {id} is there already")));
        }
        if op.opens == Opens::Workspace && self.keys.iter().filter(of_workspace).any(|key| key.record.is_master()) {
            return Err(Error::conflict(format!("workspace {} has a master key already", op.workspace)));
        }
        if op.opens == Opens::WorkspaceAnew {
            self.keys.retain(|key| key.record.workspace_id != op.workspace);
        }
        let keys = self.keys.iter().filter(of_workspace).count() as u64;
        if keys >= WORKSPACE_KEYS {
            let text = format!("workspace has {keys} access keys; it may have at most {WORKSPACE_KEYS}");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let mut record = KeyRecord::new(id, op.workspace, op.stamp.at);
        if let Opens::Agent(agent, scopes) = op.opens {
            (record.agent_id, record.scopes) = (Some(agent), scopes);
        }
        (record.label, record.expires_at) = (op.new.label, op.new.expires_at);
        self.keys.push(StoredKey { record: record.clone(), hash: op.hash });
        Ok(record)
    }

    pub(super) fn keys(&self, op: &KeysQuery) -> Result<Listed<KeyRecord>> {
        self.workspace(op.workspace)?;
        if let Some(agent) = op.agent {
            self.agent(op.workspace, agent)?;
        }
        let all = self.keys.iter().map(|key| &key.record).filter(|key| key.workspace_id == op.workspace);
        let mut keys: Vec<_> = all.filter(|key| op.agent.is_none() || key.agent_id == op.agent).cloned().collect();
        keys.sort_by_key(|key| Reverse(key.id));
        Ok(page_of(keys, op.page))
    }

    pub(super) fn revoke_key(&mut self, op: &RevokeKey) -> Result<()> {
        self.workspace(op.workspace)?;
        let known = |key: &StoredKey| key.record.workspace_id == op.workspace && key.record.id == op.key;
        if !self.keys.iter().any(known) {
            return Err(Error::not_found(format_args!("access key {}", op.key)));
        }
        self.keys.retain(|key| !known(key));
        Ok(())
    }
}
