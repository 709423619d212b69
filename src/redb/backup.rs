//! A copy of a state as a file of its own, made while others go on writing.
//!
//! Rows are copied, not pages: the copy has no free pages, is whole or not there, and opens without the log of the file it was
//! made from. It is a file of its own, with an id of its own. What waits in it is paused, for it may
//! be run and announced elsewhere.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use redb::Database;

use super::codec::{GroupRow, PausedRow};
use super::file::{self, Made, Options};
use super::put::{self, Kept};
use super::recent::{Recent, Touched};
use super::tables::{Table, meta};
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{Error, ErrorKind, Result};
use crate::limit::BACKUP_STEP_BYTES;
use crate::page::Direction;
use crate::time::Timestamp;

/// Copies a state into a file that is not there yet.
pub(super) fn make(view: &dyn Read, path: &Path, at: Timestamp) -> Result<()> {
    let taken = || Error::new(ErrorKind::Conflict, format!("{} is there already", path.display()));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(_) => return Err(taken()),
        Err(error) => return Err(super::fault::file(path.display(), error)),
    }
    let fill = |database: &Database| Copy::into(database).all(view, at);
    match file::make(path, Options::default(), fill)? {
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
}

impl<'d> Copy<'d> {
    fn into(database: &'d Database) -> Self {
        Copy { database, writes: WriteSet::default(), bytes: 0, groups: 0 }
    }

    fn all(mut self, view: &dyn Read, at: Timestamp) -> Result<()> {
        for table in Table::ALL {
            view.scan(table, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, value| {
                // The copy has its own.
                if table != Table::Meta || ![meta::FORMAT, meta::GROUP].contains(&key) {
                    self.bytes += key.len() + value.len();
                    self.writes.put_value(table, key.to_vec(), value.to_vec());
                }
                if self.bytes >= BACKUP_STEP_BYTES {
                    self.put(Kept::InMemory)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        self.writes.put(Table::Meta, meta::PAUSED, &PausedRow { since: at.as_micros() })?;
        self.put(Kept::Durably)
    }

    fn put(&mut self, kept: Kept) -> Result<()> {
        (self.bytes, self.groups) = (0, self.groups + 1);
        let recent = Recent::default();
        recent.apply(self.groups, std::mem::take(&mut self.writes), self.groups, &mut Touched::default());
        put::put(self.database, &[&recent], GroupRow { number: self.groups, log: None }, kept)
    }
}
