//! A copy of a state as a file of its own, made while others go on writing.
//!
//! Rows are copied, not pages: the copy has no free pages, and nothing of what was deleted and is yet to be cleared away; it is whole or not there, and opens without the log of the file it was
//! made from. It is a file of its own, with an id of its own. What waits in it is paused, for it may
//! be run and announced elsewhere.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use redb::Database;

use super::codec::{self, ArchiveRow, GroupRow, PausedRow};
use super::file::Options;
use super::making::{self, Made};
use super::put::{self, Kept};
use super::recent::{Recent, Touched};
use super::remnant::Below;
use super::tables::{Table, archives, meta, rows, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use super::{fault, load};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::BACKUP_STEP_BYTES;
use crate::page::Direction;
use crate::progress::{OnProgress, Progress};
use crate::time::Timestamp;

/// Copies a state into a file that is not there yet.
pub(super) fn make(view: &dyn Read, path: &Path, at: Timestamp, on: &mut OnProgress<'_>) -> Result<()> {
    let taken = || Error::new(ErrorKind::Conflict, format!("{} is there already", path.display()));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(_) => return Err(taken()),
        Err(error) => return Err(fault::file(path.display(), error)),
    }
    let total = fault::guarded(|| records(view))?;
    let fill = |database: &Database| Copy::into(database).all(view, at, total, on);
    match making::make(path, Options::default(), fill)? {
        Made::New => Ok(()),
        Made::Taken => Err(taken()),
    }
}

/// A copy under way.
struct Copy<'d> {
    database: &'d Database,
    /// What the file has yet to get.
    writes: WriteSet,
    bytes: usize,
    /// Groups so far.
    groups: u64,
    /// Records so far.
    done: u64,
}

/// How many records there are of those that are counted.
fn records(view: &dyn Read) -> Result<u64> {
    let mut records = 0_u64;
    let everything = (Bound::Unbounded, Bound::Unbounded);
    for table in [Table::Sessions, Table::Archives] {
        view.scan(table, everything, Direction::Asc, &mut |key, value| {
            records = records.saturating_add(records_of(table, key, value));
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(records)
}

/// How many records a row tells of. One that is damaged is copied as it is, and tells of none.
fn records_of(table: Table, key: &[u8], value: &[u8]) -> u64 {
    match table {
        Table::Sessions if sessions::is_head(key) => {
            codec::decode(table, key, value).map_or(0, |row| load::records(&row))
        }
        Table::Archives if archives::is_row(key) => {
            codec::decode::<ArchiveRow<'_>>(table, key, value).map_or(0, |row| row.records)
        }
        _ => 0,
    }
}

impl<'d> Copy<'d> {
    fn into(database: &'d Database) -> Self {
        Copy { database, writes: WriteSet::default(), bytes: 0, groups: 0, done: 0 }
    }

    fn all(mut self, view: &dyn Read, at: Timestamp, total: u64, on: &mut OnProgress<'_>) -> Result<()> {
        let below = fault::guarded(|| Below::of(view))?;
        for table in Table::ALL {
            let mut after = Some(Vec::new());
            while let Some(key) = after {
                after = fault::guarded(|| self.some(view, table, &key, &below))?;
                if after.is_some() && self.bytes >= BACKUP_STEP_BYTES {
                    self.put(Kept::InMemory)?;
                    Progress::new(self.done, total.max(self.done + 1)).tell(on)?;
                }
            }
        }
        self.writes.put(Table::Meta, meta::PAUSED, &PausedRow { since: at.as_micros() })?;
        Progress::new(total, total).tell(on)?;
        self.put(Kept::Durably)
    }

    /// Copies rows of a table after a key, until they are enough for a group or some are left out: then this answers with the key
    /// to go on after.
    fn some(&mut self, view: &dyn Read, table: Table, after: &[u8], below: &Below) -> Result<Option<Vec<u8>>> {
        let (mut last, rest) = (None, (Bound::Excluded(after), Bound::Unbounded));
        view.scan(table, rest, Direction::Asc, &mut |key, value| {
            last = below.end(table, key);
            if last.is_some() {
                return Ok(ControlFlow::Break(()));
            }
            self.done += match table {
                Table::Rows => u64::from(rows::is_record(key)),
                Table::Archives => records_of(table, key, value),
                _ => 0,
            };
            // The copy has its own.
            if table != Table::Meta || ![meta::FORMAT, meta::GROUP].contains(&key) {
                self.bytes += key.len() + value.len();
                self.writes.put_value(table, key.to_vec(), value.to_vec());
            }
            if self.bytes < BACKUP_STEP_BYTES {
                return Ok(ControlFlow::Continue(()));
            }
            last = Some(key.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }

    fn put(&mut self, kept: Kept) -> Result<()> {
        (self.bytes, self.groups) = (0, self.groups + 1);
        let recent = Recent::default();
        recent.apply(self.groups, std::mem::take(&mut self.writes), self.groups, &mut Touched::default());
        put::put(self.database, &[&recent], GroupRow { number: self.groups, log: None }, kept)
    }
}
