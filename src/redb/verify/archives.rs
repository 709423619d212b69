//! Archives: what they are found by, what they are counted as, and that they can be read.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::Check;
use crate::error::{Error, Result};
use crate::page::Direction;
use crate::redb::archive::{Opened, open};
use crate::redb::codec::{self, ArchiveRow, ArchivedRow, ChunkRow, CountRow, Id, NumberRow, RemnantRow};
use crate::redb::load::{Record, Unread};
use crate::redb::remnant::{self, Remnant};
use crate::redb::scope;
use crate::redb::tables::{Table, archives, meta, names};

/// What verification keeps of an archive that is there.
#[derive(Debug)]
struct Kept {
    /// The keys that lead to it, each with the row that is due there.
    filename: Vec<u8>,
    session: Vec<u8>,
    listed: [Vec<u8>; 2],
    row: Vec<u8>,
}

impl Check<'_> {
    /// Every archive leads to itself, can be read, and is counted; nothing leads to none.
    pub(super) fn archives(&mut self) -> Result<()> {
        let (mut all, mut counted, mut keys) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let unbounded = (Bound::Unbounded, Bound::Unbounded);
        self.view.scan(Table::Archives, unbounded, Direction::Asc, &mut |key, value| {
            match key.first() {
                Some(0) => match codec::decode::<ArchiveRow<'_>>(Table::Archives, key, value) {
                    Ok(row) => {
                        let number = key.last_chunk().map_or(0, |number| u32::from_be_bytes(*number));
                        all.insert(number, kept(number, &row)?);
                        self.archived.push(row.number);
                        // Of an agent that was deleted it is left over.
                        if !self.hidden.has_agent(row.agent) {
                            [row.workspace, row.agent]
                                .iter()
                                .for_each(|scope| *counted.entry(*scope).or_default() += 1);
                        }
                    }
                    Err(error) => self.breaches.push(error.to_string()),
                },
                Some(1) => {}
                Some(2..=5) => keys.push(key.to_vec()),
                _ => self.breaches.push(format!("archives has a key {} of no known form", codec::hex(key))),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.archived.sort_unstable();
        for (number, kept) in &all {
            if let Err(error) = self.archive(*number, kept) {
                self.breach_of(*number, error);
            }
        }
        for key in keys {
            self.leads_to_archive(&key, &all, &mut counted)?;
        }
        for (scope, archives) in counted {
            self.breaches.push(format!("scope {scope}: {archives} archives, none counted"));
        }
        self.chunks(&all)?;
        self.archive_remnants()
    }

    fn breach_of(&mut self, archive: u32, what: impl std::fmt::Display) {
        self.breaches.push(format!("archive {archive}: {what}"));
    }

    /// What leads to an archive is there, and its chunks are what it says.
    fn archive(&mut self, number: u32, kept: &Kept) -> Result<()> {
        let made = self.view.plain::<NumberRow>(Table::Meta, meta::ARCHIVES)?.map_or(0, |row| row.number);
        if number == 0 || number > made {
            self.breach_of(number, format_args!("{made} were begun"));
        }
        for key in [&kept.filename, &kept.session, &kept.listed[0], &kept.listed[1]] {
            if self.view.get(Table::Archives, key)?.is_none() {
                self.breach_of(number, format_args!("nothing stands at {}", codec::hex(key)));
            }
        }
        let row: ArchiveRow<'_> = codec::decode_body(&kept.row)?;
        if self.view.get(Table::Names, &names::session_id(row.workspace, &row.session))?.is_some() {
            self.breach_of(number, "its session is there as well");
        }
        if remnant::is_live(self.view, row.number)? {
            self.breach_of(number, format_args!("the number {} of its session is that of a live one", row.number));
        }
        self.contents(number, &row)
    }

    /// Every chunk can be read; all together are what the archive says, and begin with its session.
    fn contents(&mut self, number: u32, row: &ArchiveRow<'_>) -> Result<()> {
        let (mut opened, mut unread, mut records, mut id) = (Opened::default(), Unread::default(), 0_u64, None);
        for chunk in 0..row.chunks {
            let key = archives::chunk(number, chunk);
            let stream = self.view.row(Table::Archives, &key, |value| {
                open(&row.id, chunk, &codec::decode::<ChunkRow<'_>>(Table::Archives, &key, value)?)
            })?;
            let stream = stream.ok_or_else(|| Error::corrupt(format!("chunk {chunk} of {} is missing", row.chunks)))?;
            opened.add(&stream);
            unread.feed(&stream);
            while let Some(record) = unread.next()? {
                match record {
                    Record::Session(row) => id = Some(row.id),
                    Record::Head(_) | Record::Mark(_) => {}
                    _ => records += 1,
                }
            }
        }
        opened.check(row.bytes, row.checksum)?;
        if (id, records) != (Some(row.session), row.records) || !unread.is_empty() {
            self.breach_of(number, format_args!("{records} records of {id:?}, where it says {row:?}"));
        }
        Ok(())
    }

    /// A row that leads to an archive leads to one that is there and found by it, or counts those that are.
    fn leads_to_archive(
        &mut self,
        key: &[u8],
        all: &BTreeMap<u32, Kept>,
        counted: &mut BTreeMap<u32, u64>,
    ) -> Result<()> {
        let is_right = match (key.first(), self.view.get(Table::Archives, key)?) {
            (_, None) => return Ok(()),
            (Some(3), Some(value)) => {
                let scope = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
                let due = counted.remove(&scope).unwrap_or_default();
                codec::decode::<CountRow>(Table::Archives, key, value.value()).map(|row| row.sessions == due)
            }
            (Some(2), Some(value)) => {
                let kept = archives::number_of_listed(key).and_then(|number| all.get(&number));
                codec::body::<ArchiveRow<'_>>(Table::Archives, key, value.value())
                    .map(|row| kept.is_some_and(|kept| kept.listed.iter().any(|due| due == key) && kept.row == row))
            }
            (Some(4), Some(value)) => codec::decode::<NumberRow>(Table::Archives, key, value.value())
                .map(|row| all.get(&row.number).is_some_and(|kept| kept.filename == key)),
            (_, Some(value)) => codec::decode::<ArchivedRow>(Table::Archives, key, value.value()).map(|row| match all
                .get(&row.archive)
            {
                Some(kept) => {
                    let due = codec::decode_body::<ArchiveRow<'_>>(&kept.row).map(|row| row.number);
                    kept.session == key && due.is_ok_and(|due| due == row.session)
                }
                None => false,
            }),
        };
        match is_right {
            Ok(true) => {}
            Ok(false) => self.breaches.push(format!("archives: {} does not say what is so", codec::hex(key))),
            Err(error) => self.breaches.push(error.to_string()),
        }
        Ok(())
    }

    /// No chunk stands where none is due, but what is left of an archive with a remnant.
    fn chunks(&mut self, all: &BTreeMap<u32, Kept>) -> Result<()> {
        let left = remnant::all_of(self.view, Remnant::Archive)?;
        let (from, to) = (archives::chunk(0, 0), archives::chunk(u32::MAX, u32::MAX));
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        self.view.scan(Table::Archives, between, Direction::Asc, &mut |key, _| {
            let known = archives::chunk_of(key).is_some_and(|(archive, chunk)| {
                let due = all.get(&archive).and_then(|kept| codec::decode_body::<ArchiveRow<'_>>(&kept.row).ok());
                due.is_some_and(|row| chunk < row.chunks) || left.binary_search(&archive).is_ok()
            });
            if !known {
                self.breaches.push(format!("archives has a chunk {} of no archive", codec::hex(key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The remnants of archives, and those of archived sessions, can be read, and are of what is not there.
    fn archive_remnants(&mut self) -> Result<()> {
        let made = self.view.plain::<NumberRow>(Table::Meta, meta::ARCHIVES)?.map_or(0, |row| row.number);
        let sessions = scope::counters(self.view).map_or(u32::MAX, |counted| counted.sessions);
        for (kind, made) in [(Remnant::Archive as fn(u32) -> Remnant, made), (Remnant::Archived, sessions)] {
            let (from, to) = (kind(0).key(), kind(u32::MAX).key());
            let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
            self.view.scan(Table::Meta, between, Direction::Asc, &mut |key, value| {
                let number = meta::remnant_of(key).unwrap_or_default();
                if let Err(error) = codec::decode::<RemnantRow>(Table::Meta, key, value) {
                    self.breaches.push(error.to_string());
                } else if number == 0 || number > made || kind(number).is_there(self.view)? {
                    self.breaches.push(format!("{:?} is the remnant of nothing that went", kind(number)));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }
}

fn kept(number: u32, row: &ArchiveRow<'_>) -> Result<Kept> {
    let session: &Id = &row.session;
    Ok(Kept {
        filename: archives::filename(row.agent, row.filename),
        session: archives::session(row.workspace, session),
        listed: [row.workspace, row.agent].map(|scope| archives::listed(scope, row.archived_at, number)),
        row: codec::encode_body(row)?,
    })
}
