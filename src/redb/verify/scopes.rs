//! What belongs to workspaces and agents: labels, access keys, how many agents there are, and agents that were deleted.

use std::collections::BTreeMap;

use super::{Check, Of, scan, scan_all};
use crate::error::Result;
use crate::redb::access;
use crate::redb::codec::{self, HiddenRow, KeyRow, NumberRow, ScopeCountRow};
use crate::redb::tables::{Table, meta, names};

impl Check<'_> {
    pub(super) fn scopes(&mut self) -> Result<()> {
        // Of workspaces by their numbers, and of 0 the workspaces.
        let mut agents = BTreeMap::<u32, u64>::new();
        scan_all(self.view, Table::Names, &mut |key, value| {
            let of = |at: usize| number(key, at);
            match key.first() {
                Some(1) => *agents.entry(0).or_default() += 1,
                Some(3) => *agents.entry(of(1)).or_default() += 1,
                Some(9) => return self.scope_count(of(1), agents.remove(&of(1)).unwrap_or_default(), key, value),
                Some(10) => return self.label(of(1)),
                Some(11) => return self.access_key(key, value),
                Some(12) => return self.access_key_of(of(1), key, value),
                _ => {}
            }
            Ok(())
        })?;
        for (within, there) in agents {
            self.breach(&[Table::Names], Of::Scope(within), format_args!("{there} scopes in it, none counted"));
        }
        self.deleted_agents()
    }

    /// The count of workspaces or agents is that of their names, which have come.
    fn scope_count(&mut self, within: u32, there: u64, key: &[u8], value: &[u8]) -> Result<()> {
        let read = codec::decode::<ScopeCountRow>(Table::Names, key, value);
        let Some(ScopeCountRow { scopes }) = self.unless_damaged(read)? else { return Ok(()) };
        if scopes != there || (within != 0 && !self.is_workspace(within)?) {
            self.breach(&[Table::Names], Of::Scope(within), format_args!("{there} scopes in it, {scopes} counted"));
        }
        Ok(())
    }

    /// A label is that of an agent that is there.
    fn label(&mut self, agent: u32) -> Result<()> {
        if self.scope_name(agent)?.is_none() || self.is_workspace(agent)? {
            self.breach(&[Table::Names], Of::Scope(agent), "it has a label, and is no agent");
        }
        Ok(())
    }

    /// An access key opens what is there, and its workspace lists it as it is.
    fn access_key(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let sound = codec::decode::<KeyRow<'_>>(Table::Names, key, value).is_ok();
        let Some(id) = key.last_chunk().filter(|_| sound) else { return Ok(()) };
        let what = match self.unless_damaged(access::breach(self.view, key, value))? {
            Some(None) => return Ok(()),
            Some(Some(what)) => what,
            None => "it says what no key says".to_owned(),
        };
        self.breach(&[Table::Names], Of::Key(id), what);
        Ok(())
    }

    /// A workspace lists an access key that opens it, and says of which agent it is.
    fn access_key_of(&mut self, workspace: u32, key: &[u8], value: &[u8]) -> Result<()> {
        let read = codec::decode::<NumberRow>(Table::Names, key, value);
        let (Some(row), Some(id)) = (self.unless_damaged(read)?, key.last_chunk()) else { return Ok(()) };
        let stored = names::access_key(id);
        let read = self.view.row(Table::Names, &stored, |value| {
            let row: KeyRow<'_> = codec::decode(Table::Names, &stored, value)?;
            Ok((row.workspace_number, row.agent_number))
        });
        if self.unless_damaged(read)?.is_some_and(|opens| opens != Some((workspace, row.number))) {
            let text = format_args!("{} lists it, and it is not there or opens something else", codec::hex(key));
            self.breach(&[Table::Names], Of::Key(id), text);
        }
        Ok(())
    }

    /// An agent that was deleted was made, and is not there.
    fn deleted_agents(&mut self) -> Result<()> {
        let made = self.counted()?.map_or(u32::MAX, |counted| counted.scopes);
        let (from, to) = (meta::hidden(0), meta::hidden(u32::MAX));
        scan(self.view, Table::Meta, (&from, &to), &mut |key, value| {
            let agent = meta::hidden_of(key).unwrap_or_default();
            let sound = codec::decode::<HiddenRow>(Table::Meta, key, value).is_ok();
            if sound && (agent == 0 || agent > made || self.scope_name(agent)?.is_some()) {
                self.breach(&[Table::Meta, Table::Names], Of::Scope(agent), "it is said to be deleted, and was not");
            }
            Ok(())
        })
    }
}

/// The number at a place in a key.
pub(super) fn number(key: &[u8], at: usize) -> u32 {
    key.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_be_bytes(*number))
}
