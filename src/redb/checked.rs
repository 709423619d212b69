//! A storage beneath redb whose pages are held to their checksums when they are read first.
//!
//! redb writes a checksum of each page beside the page's number in the one that leads to it, and compares it only where it
//! repairs a file. A page that leads to another table, to itself or to nowhere makes it answer with what once was, go round
//! until the stack is full, or panic in a commit. Here every page of our tables is known by its checksum as soon as the page
//! that leads to it was read; one that is not what it was is damage ([`fault::of_damage`]).
//!
//! One kind of damage is let through: of a page of rows that is one still, and of which a row fails its own checksum. That
//! row is named as damaged, and its neighbours are read. Where every row is one that was written, here or in another table,
//! the page is another than it should be.
//!
//! What was written since the file was opened is not looked at again, nor is a page that was read before, though redb's cache
//! may have dropped it since.
//!
//! What is remembered grows with what is still unread beneath the pages that were read: some fifty bytes for a leaf of 4 KiB at
//! most. It is kept in parts, so that nobody waits for all of it to be moved where one has to grow.

use std::io;
use std::ops::Bound;

use redb::{BackendError, StorageBackend};

use super::pack::{self, Place, Step};
use super::pages::{self, Broken, Geometry, Root};
use super::tables::{Table, meta};
use super::{codec, fault, file};
use crate::sync::{HashMap, Mutex, OnceLock};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Checked<B> {
    storage: B,
    /// None until redb has the file and reads its header.
    due: OnceLock<Option<Due>>,
}

/// The pages that were not read yet, by where they begin.
#[derive(Debug)]
struct Due {
    geometry: Geometry,
    parts: [Mutex<HashMap<u64, Page>>; PARTS],
}

/// What a page is to be.
#[derive(Debug, Clone, Copy)]
struct Page {
    /// As much of its checksum as it takes.
    checksum: u64,
    table: Table,
}

const PARTS: usize = 16;

/// Room for so many pages of a part is kept though few are in it.
const ROOM: usize = 256;

impl<B: StorageBackend> Checked<B> {
    pub(super) fn new(storage: B) -> Self {
        Checked { storage, due: OnceLock::new() }
    }

    /// What is due once the file is this handle's own: before, somebody else may yet change it.
    fn begin(&self) -> io::Result<Option<Due>> {
        let tables = match pages::tables(self.storage.len()?, &|at, out| self.storage.read(at, out)) {
            Ok(tables) => tables,
            Err(Broken::Io(error)) => return Err(error),
            Err(Broken::Page(what)) => return Err(fault::of_damage(what)),
        };
        Ok(tables.map(|tables| {
            let due = Due { geometry: tables.geometry, parts: Default::default() };
            tables.roots.into_iter().for_each(|(table, root)| due.expect(table, root));
            due
        }))
    }
}

impl Due {
    fn part(&self, at: u64) -> &Mutex<HashMap<u64, Page>> {
        let [first, ..] = &self.parts;
        // Most pages begin one page behind another.
        self.parts.get((at >> 12) as usize % PARTS).unwrap_or(first)
    }

    fn expect(&self, table: Table, Root { page, checksum }: Root) {
        let at = self.geometry.place(page).0;
        self.part(at).lock().insert(at, Page { checksum: checksum as u64, table });
    }

    /// Holds a page to its checksum, and learns those of the pages that it leads to.
    fn check(&self, at: u64, page: &[u8]) -> io::Result<()> {
        let Some(Page { checksum, table }) = self.part(at).lock().get(&at).copied() else { return Ok(()) };
        let is_sound = pages::checksum_of_ours(page).is_some_and(|whole| whole as u64 == checksum);
        if !is_sound && !has_damaged_row(page) {
            let text = format!("the page at {at} of the table {} is not what it was", table.name());
            return Err(fault::of_damage(text));
        }
        if !pages::is_leaf(page) {
            pages::children(page).flatten().for_each(|child| self.expect(table, child));
        }
        self.forget(at);
        Ok(())
    }

    /// It was read, or is written anew.
    fn forget(&self, at: u64) {
        let mut part = self.part(at).lock();
        part.remove(&at);
        if part.capacity() > ROOM.max(8 * part.len()) {
            let room = 2 * part.len();
            part.shrink_to(room);
        }
    }
}

/// Whether it is a page of rows, and one of them was never written, neither to this table nor to another.
fn has_damaged_row(page: &[u8]) -> bool {
    let was_written = |key: &[u8], value: &[u8]| Table::ALL.into_iter().any(|table| is_whole(table, key, value));
    pages::rows(page).is_some_and(|rows| rows.iter().any(|(key, value)| !was_written(key, value)))
}

fn is_whole(table: Table, key: &[u8], value: &[u8]) -> bool {
    if table == Table::Meta && key == meta::FORMAT {
        return file::is_format(value);
    }
    let Some(place) = Place::of(table, key) else { return codec::is_sealed(table, key, value) };
    let mut step = Step::default();
    while let Some((row, next)) = pack::next(value, step) {
        let is_sealed = |row: &[u8]| row.is_empty() || codec::is_sealed(table, &place.key(step.nth), row);
        if !value.get(row).is_some_and(is_sealed) {
            return false;
        }
        step = next;
    }
    step.is_end(value)
}

impl<B: StorageBackend> StorageBackend for Checked<B> {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.storage.read(offset, out) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(fault::of_damage(format!(
                    "it ends before {}, where a page is to be",
                    offset + out.len() as u64
                )));
            }
            read => read?,
        }
        match self.due.get() {
            Some(Some(due)) => due.check(offset, out),
            None if offset == 0 => {
                let due = self.begin()?;
                // Whoever was first found the same.
                let _ = self.due.set(due);
                Ok(())
            }
            Some(None) | None => Ok(()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(Some(due)) = self.due.get() {
            due.forget(offset);
        }
        self.storage.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests;
