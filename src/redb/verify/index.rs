//! Checks what names and ids lead to, and the counters of the file.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::Check;
use crate::error::Result;
use crate::page::Direction;
use crate::redb::access;
use crate::redb::codec::{self, HiddenRow, LabelRow, NumberRow, RemnantRow, ScopeCountRow, ScopeRow, SessionRow};
use crate::redb::remnant::is_live;
use crate::redb::scope::counters;
use crate::redb::tables::{Table, meta, names, sessions};

impl Check<'_> {
    /// Every row of the names leads to what has that name or id, and the counters have counted it.
    pub(super) fn names(&mut self, live: usize) -> Result<()> {
        let counted = match counters(self.view) {
            Ok(counted) => counted,
            Err(error) => {
                self.breaches.push(error.to_string());
                return Ok(());
            }
        };
        let left = counted.sessions.checked_sub(counted.removed);
        if left.is_none_or(|left| left as usize != live) {
            self.breaches.push(format!("{live} sessions, where {counted:?} are counted"));
        }
        let all = (Bound::Unbounded, Bound::Unbounded);
        self.view.scan(Table::Names, all, Direction::Asc, &mut |key, value| {
            let described = match key.first() {
                Some(1..=4) => self.scope_of(key, value, counted.scopes),
                Some(5 | 6) => self.session_of(key, value, counted.sessions),
                Some(7) => codec::decode::<ScopeRow<'_>>(Table::Names, key, value).map(|_| None),
                // The counts are recounted with the sessions.
                Some(8 | 9) => Ok(None),
                Some(10) => self.label(key, value),
                Some(11) => access::breach(self.view, key, value),
                Some(12) => self.access_key_of(key, value),
                _ => Ok(Some("is of no known form".to_owned())),
            };
            match described {
                Ok(None) => {}
                Ok(Some(breach)) => self.breaches.push(format!("names: {} {breach}", codec::hex(key))),
                Err(error) => self.breaches.push(format!("names: {error}")),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Every remnant can be read, and is that of a session that was made and is there no more.
    pub(super) fn remnants(&mut self) -> Result<()> {
        let (from, to) = (meta::remnant(0), meta::remnant(u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let made = counters(self.view).map_or(u32::MAX, |counted| counted.sessions);
        self.view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
            let session = meta::remnant_of(key).unwrap_or_default();
            if let Err(error) = codec::decode::<RemnantRow>(Table::Meta, key, value) {
                self.breaches.push(error.to_string());
            } else if session == 0 || session > made || is_live(self.view, session)? {
                self.breach(session, "its remnant is not that of a session that was deleted");
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// What is wrong with a row that leads to a workspace or an agent.
    fn scope_of(&self, key: &[u8], value: &[u8], counted: u32) -> Result<Option<String>> {
        let NumberRow { number } = codec::decode(Table::Names, key, value)?;
        if number == 0 || number > counted {
            return Ok(Some(format!("leads to scope {number} of {counted}")));
        }
        let scope = names::scope(number);
        let found = self.view.row(Table::Names, &scope, |value| {
            let row: ScopeRow<'_> = codec::decode(Table::Names, &scope, value)?;
            Ok((names::workspace_name(row.name), names::workspace_id(&row.id)))
        })?;
        // The same name or id stands at the end of a workspace's key and of an agent's.
        let right = found
            .is_some_and(|(name, id)| [name, id].iter().any(|due| due.get(1..).is_some_and(|due| key.ends_with(due))));
        Ok((!right).then(|| format!("leads to scope {number}, which has another name and id")))
    }

    /// What is wrong with the label of an agent.
    fn label(&self, key: &[u8], value: &[u8]) -> Result<Option<String>> {
        codec::decode::<LabelRow<'_>>(Table::Names, key, value)?;
        let agent = key.last_chunk().map_or(0, |number| u32::from_be_bytes(*number));
        let there = self.view.get(Table::Names, &names::scope(agent))?.is_some();
        Ok((!there).then(|| "is the label of an agent that is not there".to_owned()))
    }

    /// What is wrong with a row that says which access keys a workspace has: the key says the rest.
    fn access_key_of(&self, key: &[u8], value: &[u8]) -> Result<Option<String>> {
        codec::decode::<NumberRow>(Table::Names, key, value)?;
        let there = match key.last_chunk() {
            Some(id) => self.view.get(Table::Names, &names::access_key(id))?.is_some(),
            None => false,
        };
        Ok((!there).then(|| "is of an access key that is not there".to_owned()))
    }

    /// The counts of workspaces and agents are those of their names; deleted agents are not there.
    pub(super) fn scopes(&mut self) -> Result<()> {
        let mut due = BTreeMap::<u32, u64>::new();
        let all = (Bound::Unbounded, Bound::Excluded(&[4][..]));
        self.view.scan(Table::Names, all, Direction::Asc, &mut |key, _| {
            let within = match key {
                [1, ..] => Some(0),
                [3, rest @ ..] => rest.first_chunk().map(|number| u32::from_be_bytes(*number)),
                _ => None,
            };
            within.into_iter().for_each(|within| *due.entry(within).or_default() += 1);
            Ok(ControlFlow::Continue(()))
        })?;
        let (from, to) = (names::scopes(0), names::scopes(u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        self.view.scan(Table::Names, between, Direction::Asc, &mut |key, value| {
            let within = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
            let there = due.remove(&within).unwrap_or_default();
            match codec::decode::<ScopeCountRow>(Table::Names, key, value) {
                Ok(ScopeCountRow { scopes }) if scopes == there => {}
                Ok(ScopeCountRow { scopes }) => {
                    self.breaches.push(format!("scope {within}: {there} scopes in it, {scopes} counted"));
                }
                Err(error) => self.breaches.push(format!("scope {within}: {error}")),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for (within, there) in due {
            self.breaches.push(format!("scope {within}: {there} scopes in it, none counted"));
        }
        self.deleted_agents()
    }

    fn deleted_agents(&mut self) -> Result<()> {
        let made = counters(self.view).map_or(u32::MAX, |counted| counted.scopes);
        let (from, to) = (meta::hidden(0), meta::hidden(u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        self.view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
            let agent = meta::hidden_of(key).unwrap_or_default();
            let there = self.view.get(Table::Names, &names::scope(agent))?.is_some();
            if let Err(error) = codec::decode::<HiddenRow>(Table::Meta, key, value) {
                self.breaches.push(error.to_string());
            } else if agent == 0 || agent > made || there {
                self.breaches.push(format!("agent {agent} is said to be deleted, and was not"));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// What is wrong with a row that leads to a session.
    fn session_of(&self, key: &[u8], value: &[u8], counted: u32) -> Result<Option<String>> {
        let NumberRow { number } = codec::decode(Table::Names, key, value)?;
        if number == 0 || number > counted {
            return Ok(Some(format!("leads to session {number} of {counted}")));
        }
        let body = sessions::body(number);
        let due = self.view.row(Table::Sessions, &body, |value| {
            let row: SessionRow<'_> = codec::decode(Table::Sessions, &body, value)?;
            Ok([names::session_key(row.agent, row.key), names::session_id(row.workspace, &row.id)])
        })?;
        let right = due.is_some_and(|due| due.iter().any(|due| due == key));
        Ok((!right).then(|| format!("leads to session {number}, which has another key and id")))
    }
}
