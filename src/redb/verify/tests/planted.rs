//! Rows in memory, read as a store's are, into which breaches are planted.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, RangeBounds};

use super::form;
use crate::error::Result;
use crate::page::Direction;
use crate::redb::body::Bodies;
use crate::redb::codec::{self, ArchivedRow, ListedRow, NumberRow, SessionRow};
use crate::redb::place::{Age, Places};
use crate::redb::remnant::Remnant;
use crate::redb::tables::{Table, meta, rows, session_of};
use crate::redb::verify;
use crate::redb::view::{Each, EachNumbered, Guard, Read, Stage};
use crate::redb::write_set::{Write, WriteSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Row {
    /// What its form is called.
    pub(super) fn what(&self) -> &'static str {
        form(self.table, &self.key).map_or("none", |form| form.what)
    }

    /// The same row under another key, whose checksum is right there.
    pub(super) fn under(&self, key: Vec<u8>) -> Row {
        let value = match self.what() {
            "format" => self.value.clone(),
            _ => codec::resealed(self.table, &key, &self.value),
        };
        Row { table: self.table, key, value }
    }

    /// What a breach of this row is to name beside its table: one of these.
    pub(super) fn things(&self) -> Vec<String> {
        let numbers: Vec<u32> = (0..self.key.len()).filter_map(|at| number_at(&self.key, at)).collect();
        let nth = |at: usize| numbers.get(at).copied().unwrap_or_default();
        let index = || codec::decode::<NumberRow>(self.table, &self.key, &self.value).map_or(0, |row| row.number);
        let thing = match (self.table, self.what()) {
            (Table::Sessions | Table::Rows | Table::Claims | Table::Outbox, _) => format!("session {}", nth(0)),
            (_, "remnant" | "remnant of an archived session" | "queued turn") => format!("session {}", nth(1)),
            (_, "listed session") => {
                let row = codec::decode::<ListedRow>(self.table, &self.key, &self.value);
                format!("session {}", row.map_or(0, |row| row.number))
            }
            (_, "session by key" | "session by id") => format!("session {}", index()),
            (
                _,
                "workspace or agent" | "session count" | "archive count" | "count of agents" | "label"
                | "deleted agent",
            ) => {
                format!("scope {}", nth(1))
            }
            (_, "access key" | "listed access key") => {
                format!("access key {}", codec::hex(&self.key[self.key.len() - 16..]))
            }
            (_, "workspace by name" | "workspace by id" | "agent by name" | "agent by id") => {
                format!("scope {}", index())
            }
            (_, "archive" | "chunk" | "remnant of an archive") => format!("archive {}", nth(1)),
            (_, "listed archive") => format!("archive {}", nth(13)),
            (_, "archive by filename") => format!("archive {}", index()),
            (_, "archived session") => {
                let row = codec::decode::<ArchivedRow>(self.table, &self.key, &self.value);
                format!("archive {}", row.map_or(0, |row| row.archive))
            }
            _ => String::new(),
        };
        // The last one is for what is of nothing but the file.
        let row = codec::hex(&self.key);
        [thing, row].into_iter().filter(|thing| !thing.is_empty()).map(|thing| format!(": {thing}: ")).collect()
    }
}

fn number_at(key: &[u8], at: usize) -> Option<u32> {
    key.get(at..)?.first_chunk().map(|number| u32::from_be_bytes(*number))
}

/// Tables in memory.
pub(super) struct Planted {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
    block: u32,
    places: Places,
    bodies: Bodies,
}

impl Planted {
    /// All that a state has.
    pub(super) fn of(view: &dyn Read) -> Self {
        let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for table in Table::ALL {
            let rows = tables.entry(table).or_default();
            let all = (Bound::Unbounded, Bound::Unbounded);
            let read = view.scan(table, all, Direction::Asc, &mut |key, value| {
                rows.insert(key.to_vec(), value.to_vec());
                Ok(ControlFlow::Continue(()))
            });
            read.expect("it is read");
        }
        Planted { tables, block: view.block(), places: Places::default(), bodies: Bodies::default() }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |table: Table, (key, value): (&Vec<u8>, &Vec<u8>)| {
            let (key, value) = (key.clone(), value.clone());
            Row { table, key, value }
        };
        self.tables.iter().flat_map(|(table, rows)| rows.iter().map(|at| row(*table, at))).collect()
    }

    pub(super) fn has(&self, table: Table, key: &[u8]) -> bool {
        self.tables[&table].contains_key(key)
    }

    pub(super) fn remove(&mut self, row: &Row) {
        self.tables.entry(row.table).or_default().remove(&row.key);
    }

    pub(super) fn put(&mut self, row: &Row) {
        self.tables.entry(row.table).or_default().insert(row.key.clone(), row.value.clone());
    }

    /// Whether a row is what is left of what went: nothing is held to it.
    pub(super) fn is_left(&self, row: &Row) -> bool {
        let has = |remnant: Remnant| self.has(Table::Meta, &remnant.key());
        match (row.table, row.what(), session_of(&row.key)) {
            (Table::Rows, _, Some(session)) => has(Remnant::Session(session)) || has(Remnant::Archived(session)),
            (Table::Outbox, _, Some(session)) => has(Remnant::Session(session)),
            (_, "session", _) => {
                let session: SessionRow<'_> = codec::decode(row.table, &row.key, &row.value).expect("it is sound");
                self.has(Table::Meta, &meta::hidden(session.agent))
            }
            (_, "chunk", _) => has(Remnant::Archive(number_at(&row.key, 1).unwrap_or_default())),
            _ => false,
        }
    }

    /// Puts a row of this kind.
    pub(super) fn put_row<'a, R: codec::Row<'a>>(&mut self, table: Table, key: impl Into<Vec<u8>>, row: &R) {
        let key = key.into();
        let value = codec::encode(table, &key, row).expect("it encodes");
        self.put(&Row { table, key, value });
    }

    /// What a verb writes.
    pub(super) fn apply(&mut self, writes: WriteSet) {
        for write in writes.into_writes() {
            match write {
                Write::Put { table, key, value, .. } => self.put(&Row { table, key, value }),
                Write::Remove { table, key } => self.remove(&Row { table, key, value: Vec::new() }),
                Write::RemoveOfSession { table, session, to } => {
                    let is_kept = |key: &Vec<u8>| session_of(key) != Some(session) || *key > to;
                    self.tables.entry(table).or_default().retain(|key, _| is_kept(key));
                }
            }
        }
    }

    pub(super) fn breaches(&self) -> Vec<String> {
        verify::all(self).expect("a breach is none of the disk's")
    }

    /// Whether a breach names a table and one of some things.
    pub(super) fn names(&self, table: Table, things: &[String]) -> bool {
        let is_named = |breach: &String| {
            let tables = breach.split_once(": ").map_or("", |(tables, _)| tables);
            tables.split(" and ").any(|named| named == table.name())
                && things.iter().any(|thing| breach.contains(thing.as_str()))
        };
        self.breaches().iter().any(is_named)
    }
}

impl Read for Planted {
    fn block(&self) -> u32 {
        self.block
    }

    fn places(&self) -> &Places {
        &self.places
    }

    fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    fn stage(&self) -> Stage {
        Stage::Open
    }

    fn age(&self) -> Option<Age> {
        None
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
        Ok(self.tables[&table].get(key).map(|value| Guard::Memory(value.as_slice().into())))
    }

    fn scan(
        &self,
        table: Table,
        between: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let all = self.tables[&table].iter().filter(|(key, _)| RangeBounds::<[u8]>::contains(&between, key.as_slice()));
        let rows: Vec<_> = match direction {
            Direction::Asc => all.collect(),
            Direction::Desc => all.rev().collect(),
        };
        for (key, value) in rows {
            if each(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn messages(&self, session: u32, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()> {
        for number in numbers {
            let key = rows::numbered(session, rows::Kind::Message, *number);
            each(*number, Ok(self.tables[&Table::Rows].get(key.as_slice()).map(Vec::as_slice)))?;
        }
        Ok(())
    }
}
