//! What is done to the file as a whole: a backup, compaction, its numbers.

use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use redb::ReadableTableMetadata;

use super::codec::{self, HeadRow};
use super::log::{Disk as _, FileDisk};
use super::snapshot::Snapshot;
use super::tables::{Table, meta, names, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use super::{Open, RedbStore, backup, fault};
use crate::error::Result;
use crate::page::Direction;
use crate::progress::OnProgress;
use crate::sync::Arc;
use crate::time::Timestamp;

/// The file of an engine in numbers, made by [`Engine::file_stats`](crate::Engine::file_stats): of one state, what is in
/// memory and in the log alone included, but where it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStats {
    /// Workspaces.
    pub workspaces: u64,
    /// Agents of all workspaces.
    pub agents: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Their messages, the soft-deleted ones included.
    pub messages: u64,
    /// Their turns.
    pub turns: u64,
    /// Sessions that cannot be read, and are not in the other counts.
    pub damaged: u64,
    /// The tables of the file, as of the last checkpoint.
    pub tables: Vec<TableStats>,
    /// Bytes of the file, those of free pages included; 0 in memory.
    pub file_bytes: u64,
    /// Bytes of the log beside it; 0 where there is none.
    pub log_bytes: u64,
    /// Bytes of rows in memory that the file has yet to get.
    pub recent_bytes: u64,
    /// How many groups of writes are newer than the oldest state that somebody reads, such as a backup: the file cannot use
    /// again what was freed since.
    pub oldest_reader: u64,
}

/// A table of the file in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Its name: see docs/format.md.
    pub name: &'static str,
    /// Its values. Messages and events share theirs.
    pub values: u64,
    /// Bytes of keys and values.
    pub stored_bytes: u64,
    /// Bytes of its pages, in use.
    pub page_bytes: u64,
}

impl RedbStore {
    /// Copies the state as it is now into a file that is not there yet.
    pub(crate) fn backup(&self, path: &Path, at: Timestamp, on: &mut OnProgress<'_>) -> Result<()> {
        backup::make(&*self.held()?, path, at, on)
    }

    /// Whether nothing that waits is to be run or announced.
    pub(crate) fn is_paused(&self) -> Result<bool> {
        self.read(|view| Ok(view.get(Table::Meta, meta::PAUSED)?.is_some()))
    }

    /// What waits may be run and announced.
    pub(crate) fn resume(&self) -> Result<()> {
        self.write(64, |_| {
            let mut writes = WriteSet::default();
            writes.remove(Table::Meta, meta::PAUSED);
            Ok((writes, ()))
        })
    }

    /// Gives back the space of free pages.
    pub(crate) fn compact(&self) -> Result<()> {
        self.written()?.shared.compact()
    }

    /// The file in numbers.
    pub(crate) fn file_stats(&self) -> Result<FileStats> {
        self.check_process()?;
        let (state, oldest_reader) = match &self.file {
            Open::ToWrite(file) => {
                let state = file.shared.snapshot()?;
                let oldest = file.shared.groups_since_oldest();
                (state, oldest)
            }
            Open::ToRead(file) => (Arc::new(file.snapshot()?), 0),
        };
        let bytes_of = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let stats = FileStats {
            file_bytes: self.path.as_deref().map_or(0, bytes_of),
            log_bytes: self
                .path
                .as_deref()
                .and_then(|path| FileDisk::beside(path).ok())
                .map_or(0, |log| bytes_of(log.path())),
            recent_bytes: state.recent_bytes() as u64,
            oldest_reader,
            ..FileStats::default()
        };
        fault::guarded(|| count(&state, stats))
    }
}

fn count(state: &Snapshot, mut stats: FileStats) -> Result<FileStats> {
    for (kind, count) in [(names::WORKSPACES, &mut stats.workspaces), (names::AGENTS, &mut stats.agents)] {
        let (from, to) = ([kind], [kind + 1]);
        let between = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
        state.scan(Table::Names, between, Direction::Asc, &mut |_, _| {
            *count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    state.scan(Table::Sessions, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, value| {
        if sessions::is_head(key) {
            match codec::decode::<HeadRow>(Table::Sessions, key, value) {
                Ok(head) => {
                    stats.sessions += 1;
                    stats.messages += u64::from(head.messages);
                    stats.turns += u64::from(head.turns);
                }
                Err(_) => stats.damaged += 1,
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for table in Table::ALL {
        let rows = state.base().table(table);
        let of = rows.stats().map_err(fault::storage)?;
        stats.tables.push(TableStats {
            name: table.name(),
            values: rows.len().map_err(fault::storage)?,
            stored_bytes: of.stored_bytes(),
            page_bytes: of.stored_bytes() + of.metadata_bytes() + of.fragmented_bytes(),
        });
    }
    Ok(stats)
}
