//! Checks what names and ids lead to.

use std::collections::BTreeSet;

use super::{Check, Of, scan_all};
use crate::error::Result;
use crate::redb::codec::{self, Id, NumberRow, ScopeRow, SessionRow};
use crate::redb::tables::{Table, names, sessions};

/// A workspace or an agent.
struct Scope {
    id: Id,
    name: String,
}

impl Check<'_> {
    /// Every row of the names leads to what has that name or id, and every workspace and agent is found by both.
    pub(super) fn names(&mut self) -> Result<()> {
        let counted = self.counted()?.unwrap_or_default();
        let (mut scopes, mut found) = (0_u64, 0_u64);
        scan_all(self.view, Table::Names, &mut |key, value| match key.first() {
            Some(1 | 3) => self.scope_by(key, value),
            Some(2 | 4) => {
                found += 1;
                self.scope_by(key, value)
            }
            Some(5 | 6) => self.session_by(key, value),
            Some(7) => {
                scopes += 1;
                let scope = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
                if scope == 0 || scope > counted.scopes {
                    let text = format_args!("{counted:?} were made");
                    self.breach(&[Table::Names, Table::Meta], Of::Scope(scope), text);
                }
                Ok(())
            }
            _ => Ok(()),
        })?;
        if scopes == found { Ok(()) } else { self.unfound() }
    }

    /// The workspaces and agents that no id leads to.
    fn unfound(&mut self) -> Result<()> {
        let mut found = BTreeSet::new();
        scan_all(self.view, Table::Names, &mut |key, value| {
            match key.first() {
                Some(2 | 4) => {
                    let row = self.unless_damaged(codec::decode::<NumberRow>(Table::Names, key, value))?;
                    found.extend(row.map(|row| row.number));
                }
                Some(7) => {
                    let scope = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
                    if !found.contains(&scope) {
                        self.breach(&[Table::Names], Of::Scope(scope), "no id leads to it");
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// A workspace or an agent; none where it is not there, nothing where it is damaged.
    fn scope(&self, number: u32) -> Result<Option<Option<Scope>>> {
        let key = names::scope(number);
        self.unless_damaged(self.view.row(Table::Names, &key, |value| {
            let row: ScopeRow<'_> = codec::decode(Table::Names, &key, value)?;
            Ok(Scope { id: row.id, name: row.name.to_owned() })
        }))
    }

    /// The name of a workspace or an agent, where it is there; one that is damaged has none that is known.
    pub(super) fn scope_name(&self, number: u32) -> Result<Option<String>> {
        Ok(match self.scope(number)? {
            Some(scope) => scope.map(|scope| scope.name),
            None => Some(String::new()),
        })
    }

    /// The id of a workspace or an agent; nothing where that is damaged or not there.
    pub(super) fn scope_id(&self, number: u32) -> Result<Option<Id>> {
        Ok(self.scope(number)?.flatten().map(|scope| scope.id))
    }

    /// A row that leads to a workspace or an agent leads to the one that has this name or id, which is found by the other as well.
    fn scope_by(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let read = codec::decode::<NumberRow>(Table::Names, key, value);
        let Some(NumberRow { number }) = self.unless_damaged(read)? else { return Ok(()) };
        let Some(scope) = self.scope(number)? else { return Ok(()) };
        let Some(Scope { id, name }) = scope else {
            let text = format_args!("{} leads to it, and it is not there", codec::hex(key));
            self.breach(&[Table::Names], Of::Scope(number), text);
            return Ok(());
        };
        let within = super::scopes::number(key, 1);
        let due = match key.first() {
            Some(1 | 2) => [names::workspace_name(&name), names::workspace_id(&id)],
            _ => [names::agent_name(within, &name), names::agent_id(within, &id)],
        };
        if !due.iter().any(|due| due == key) {
            let text = format_args!("it leads to scope {number}, which has another name and id");
            self.breach(&[Table::Names], Of::Row(key), text);
        }
        for other in due.iter().filter(|due| *due != key) {
            self.leads_to(&[Table::Names], Of::Scope(number), Table::Names, other, number)?;
        }
        if matches!(key.first(), Some(3 | 4)) && !self.is_workspace(within)? {
            let text = format_args!("{} leads to an agent of it, and it is no workspace", codec::hex(key));
            self.breach(&[Table::Names], Of::Scope(within), text);
        }
        Ok(())
    }

    /// Whether this is the number of a workspace; of a damaged one it may be.
    pub(super) fn is_workspace(&self, number: u32) -> Result<bool> {
        let Some(scope) = self.scope(number)? else { return Ok(true) };
        let Some(scope) = scope else { return Ok(false) };
        let found = self.plain::<NumberRow>(Table::Names, &names::workspace_id(&scope.id))?;
        Ok(found.is_none_or(|row| row.is_some_and(|row| row.number == number)))
    }

    /// A row that leads to a session leads to the one that has this key or id.
    fn session_by(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let read = codec::decode::<NumberRow>(Table::Names, key, value);
        let Some(NumberRow { number }) = self.unless_damaged(read)? else { return Ok(()) };
        let body = sessions::body(number);
        let due = self.view.row(Table::Sessions, &body, |value| {
            let row: SessionRow<'_> = codec::decode(Table::Sessions, &body, value)?;
            Ok([names::session_key(row.agent, row.key), names::session_id(row.workspace, &row.id)])
        });
        let Some(due) = self.unless_damaged(due)? else { return Ok(()) };
        if !due.is_some_and(|due| due.iter().any(|due| due == key)) {
            let text = format_args!("{} leads to it, and it has another key and id", codec::hex(key));
            self.breach(&[Table::Names, Table::Sessions], Of::Session(number), text);
        }
        Ok(())
    }
}
