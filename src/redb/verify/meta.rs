//! The rows of the file as a whole: its format, the counters, the remnants of what went, and what waits.

use std::ops::{Bound, ControlFlow};

use super::scopes::number;
use super::{Check, Of, scan};
use crate::error::Result;
use crate::page::Direction;
use crate::redb::codec::{self, CounterRow, NumberRow, RemnantRow};
use crate::redb::remnant::Remnant;
use crate::redb::tables::{Table, archives, meta, names};

impl Check<'_> {
    /// How many workspaces, agents and sessions were made, as far as that can be read.
    pub(super) fn counted(&self) -> Result<Option<CounterRow>> {
        Ok(self.plain::<CounterRow>(Table::Meta, meta::COUNTERS)?.map(Option::unwrap_or_default))
    }

    /// The number of the last archive that was begun.
    pub(super) fn begun(&self) -> Result<Option<u32>> {
        let row = self.plain::<NumberRow>(Table::Meta, meta::ARCHIVES)?;
        Ok(row.map(|row| row.map_or(0, |row| row.number)))
    }

    pub(super) fn meta(&mut self) -> Result<()> {
        if self.view.get(Table::Meta, meta::FORMAT)?.is_none() {
            self.breach(&[Table::Meta], Of::Row(meta::FORMAT), "the format is missing");
        }
        if let Some(counted) = self.counted()? {
            let left = counted.sessions.checked_sub(counted.removed);
            let live = self.sessions.len().saturating_sub(self.hidden_sessions);
            if left.is_none_or(|left| left as usize != live) {
                let text = format_args!("{live} sessions, where {counted:?} are counted");
                self.breach(&[Table::Meta, Table::Sessions], Of::Row(meta::COUNTERS), text);
            }
            if let Some(last) = self.sessions.last().copied().filter(|last| *last > counted.sessions) {
                let text = format_args!("{counted:?} were made, and there is session {last}");
                self.breach(&[Table::Meta, Table::Sessions], Of::Row(meta::COUNTERS), text);
            }
        }
        self.waiting()?;
        let sessions = self.counted()?.map_or(u32::MAX, |counted| counted.sessions);
        let archives = self.begun()?.unwrap_or(u32::MAX);
        if let Some(key) = self.last(Table::Archives, &archives::row(0), &archives::row(u32::MAX))?
            && number(&key, 1) > archives
        {
            let text = format_args!("{archives} were begun, and there is archive {}", number(&key, 1));
            self.breach(&[Table::Meta, Table::Archives], Of::Row(meta::ARCHIVES), text);
        }
        if let Some(key) = self.last(Table::Names, &names::scope(0), &names::scope(u32::MAX))?
            && self.counted()?.is_some_and(|counted| number(&key, 1) > counted.scopes)
        {
            let text = format_args!("fewer were made than scope {}, which is there", number(&key, 1));
            self.breach(&[Table::Meta, Table::Names], Of::Row(meta::COUNTERS), text);
        }
        self.remnants(Remnant::Session, sessions)?;
        self.remnants(Remnant::Archived, sessions)?;
        self.remnants(Remnant::Archive, archives)
    }

    /// The last key of a table between two.
    fn last(&self, table: Table, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut last = None;
        let between = (Bound::Included(from), Bound::Included(to));
        self.view.scan(table, between, Direction::Desc, &mut |key, _| {
            last = Some(key.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }

    /// Every remnant of a kind is that of what was made and is there no more.
    fn remnants(&mut self, kind: fn(u32) -> Remnant, made: u32) -> Result<()> {
        let (from, to) = (kind(0).key(), kind(u32::MAX).key());
        scan(self.view, Table::Meta, (&from, &to), &mut |key, value| {
            if codec::decode::<RemnantRow>(Table::Meta, key, value).is_err() {
                return Ok(());
            }
            let number = meta::remnant_of(key).unwrap_or_default();
            if number == 0 || number > made || kind(number).is_there(self.view)? {
                let of = match kind(number) {
                    Remnant::Session(session) | Remnant::Archived(session) => Of::Session(session),
                    Remnant::Archive(archive) => Of::Archive(archive),
                };
                self.breach(&[Table::Meta], of, "its remnant is not that of anything that went");
            }
            Ok(())
        })
    }
}
