//! Archives: what they are found by, and what they are counted as.

use std::collections::BTreeMap;

use super::{Check, Of, scan, scan_all};
use crate::error::Result;
use crate::redb::codec::{self, ArchiveRow, ArchivedRow, CountRow, NumberRow};
use crate::redb::remnant::{self, Remnant};
use crate::redb::tables::{Table, archives, names};

impl Check<'_> {
    /// Every archive leads to itself, can be read, and is counted; nothing leads to none.
    pub(super) fn archives(&mut self) -> Result<()> {
        let (from, to) = (archives::row(0), archives::row(u32::MAX));
        let (mut counted, begun) = (BTreeMap::<u32, u64>::new(), self.begun()?);
        scan(self.view, Table::Archives, (&from, &to), &mut |key, value| {
            let read = codec::decode::<ArchiveRow<'_>>(Table::Archives, key, value);
            let Some(row) = self.unless_damaged(read)? else { return Ok(()) };
            let number = key.last_chunk().map_or(0, |number| u32::from_be_bytes(*number));
            if begun.is_some_and(|begun| number == 0 || number > begun) {
                self.breach(&[Table::Archives, Table::Meta], Of::Archive(number), format_args!("{begun:?} were begun"));
            }
            self.archived.push((row.number, number));
            // Of an agent that was deleted it is left over.
            if !self.hidden.has_agent(row.agent) {
                [row.workspace, row.agent].iter().for_each(|scope| *counted.entry(*scope).or_default() += 1);
            }
            self.leads_to_it(number, &row)?;
            self.contents(number, &row)
        })?;
        self.archived.sort_unstable();
        let twice = self.archived.windows(2).find(|two| matches!(two, [(a, _), (b, _)] if a == b));
        if let Some(&[(session, first), (_, second)]) = twice {
            let text = format_args!("archives {first} and {second} are of the same");
            self.breach(&[Table::Archives], Of::Session(session), text);
        }
        self.archive_counts(counted)?;
        self.leads_to_archives()?;
        self.chunks()
    }

    /// What leads to an archive is there, and its session is not.
    fn leads_to_it(&mut self, number: u32, row: &ArchiveRow<'_>) -> Result<()> {
        let of = Of::Archive(number);
        let filename = archives::filename(row.agent, row.filename);
        self.leads_to(&[Table::Archives], of, Table::Archives, &filename, number)?;
        let session = archives::session(row.workspace, &row.session);
        let due = ArchivedRow { archive: number, session: row.number };
        match self.plain::<ArchivedRow>(Table::Archives, &session)? {
            Some(found) if found != Some(due) => {
                let text = format_args!("{found:?} stands at {}, {due:?} is due", codec::hex(&session));
                self.breach(&[Table::Archives], of, text);
            }
            _ => {}
        }
        for scope in [row.workspace, row.agent] {
            let listed = archives::listed(scope, row.archived_at, number);
            let read = self.view.row(Table::Archives, &listed, |value| {
                Ok(codec::decode::<ArchiveRow<'_>>(Table::Archives, &listed, value)? == *row)
            });
            if self.unless_damaged(read)?.is_some_and(|is_same| is_same != Some(true)) {
                let text = format_args!("the listing of scope {scope} does not say what it is");
                self.breach(&[Table::Archives], of, text);
            }
            if self.scope_name(scope)?.is_none() && !self.hidden.has_agent(scope) {
                let text = format_args!("it is of scope {scope}, which is not there, and is not said to be deleted");
                self.breach(&[Table::Archives, Table::Names, Table::Meta], of, text);
            }
        }
        if self.view.get(Table::Names, &names::session_id(row.workspace, &row.session))?.is_some() {
            self.breach(&[Table::Archives, Table::Names], of, "its session is there as well");
        }
        if remnant::is_live(self.view, row.number)? {
            let text = format_args!("the number {} of its session is that of a live one", row.number);
            self.breach(&[Table::Archives, Table::Sessions], of, text);
        }
        let made = self.counted()?.map_or(u32::MAX, |counted| counted.sessions);
        if row.number == 0 || row.number > made {
            let text = format_args!("the number {} of its session is that of none of {made}", row.number);
            self.breach(&[Table::Archives, Table::Meta], of, text);
        }
        Ok(())
    }

    /// The counts of archives are those of the archives there are.
    fn archive_counts(&mut self, mut counted: BTreeMap<u32, u64>) -> Result<()> {
        let (from, to) = (archives::count(0), archives::count(u32::MAX));
        scan(self.view, Table::Archives, (&from, &to), &mut |key, value| {
            let scope = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
            let due = counted.remove(&scope).unwrap_or_default();
            let read = codec::decode::<CountRow>(Table::Archives, key, value);
            let Some(row) = self.unless_damaged(read)? else { return Ok(()) };
            if row.sessions != due || self.scope_name(scope)?.is_none() {
                let text = format_args!("{due} archives, {} counted", row.sessions);
                self.breach(&[Table::Archives], Of::Scope(scope), text);
            }
            Ok(())
        })?;
        for (scope, archives) in counted {
            self.breach(&[Table::Archives], Of::Scope(scope), format_args!("{archives} archives, none counted"));
        }
        Ok(())
    }

    /// A row that leads to an archive leads to one that is there and is found by it.
    fn leads_to_archives(&mut self) -> Result<()> {
        scan_all(self.view, Table::Archives, &mut |key, value| {
            let number = match key.first() {
                Some(2) => {
                    self.unless_damaged(codec::decode::<ArchiveRow<'_>>(Table::Archives, key, value))?;
                    archives::number_of_listed(key)
                }
                Some(4) => {
                    self.unless_damaged(codec::decode::<NumberRow>(Table::Archives, key, value))?.map(|row| row.number)
                }
                Some(5) => self
                    .unless_damaged(codec::decode::<ArchivedRow>(Table::Archives, key, value))?
                    .map(|row| row.archive),
                _ => None,
            };
            let Some(number) = number else { return Ok(()) };
            let row = archives::row(number);
            let found = self.view.row(Table::Archives, &row, |value| {
                let row: ArchiveRow<'_> = codec::decode(Table::Archives, &row, value)?;
                Ok(match key.first() {
                    Some(2) => [row.workspace, row.agent]
                        .into_iter()
                        .any(|scope| archives::listed(scope, row.archived_at, number) == key),
                    Some(4) => archives::filename(row.agent, row.filename) == key,
                    _ => archives::session(row.workspace, &row.session) == key,
                })
            });
            if self.unless_damaged(found)?.is_some_and(|found| found != Some(true)) {
                let text = format_args!("{} leads to it, and it is not found by that", codec::hex(key));
                self.breach(&[Table::Archives], Of::Archive(number), text);
            }
            Ok(())
        })
    }

    /// No chunk stands where none is due, but what is left of an archive with a remnant.
    fn chunks(&mut self) -> Result<()> {
        let left = remnant::all_of(self.view, Remnant::Archive)?;
        let (from, to) = (archives::chunk(0, 0), archives::chunk(u32::MAX, u32::MAX));
        let mut last = None;
        scan(self.view, Table::Archives, (&from, &to), &mut |key, _| {
            let Some((archive, chunk)) = archives::chunk_of(key) else { return Ok(()) };
            let due = match last {
                Some((last, due)) if last == archive => due,
                _ => {
                    let row = archives::row(archive);
                    let due = self.view.row(Table::Archives, &row, |value| {
                        codec::decode::<ArchiveRow<'_>>(Table::Archives, &row, value).map(|row| row.chunks)
                    });
                    // Of one that is damaged all may be.
                    self.unless_damaged(due)?.map_or(u32::MAX, Option::unwrap_or_default)
                }
            };
            last = Some((archive, due));
            if chunk >= due && left.binary_search(&archive).is_err() {
                let text = format_args!("chunk {chunk} is none of its {due}, and no remnant says that some are left");
                self.breach(&[Table::Archives, Table::Meta], Of::Archive(archive), text);
            }
            Ok(())
        })
    }
}
