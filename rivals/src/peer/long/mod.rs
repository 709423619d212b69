//! What is done to one long session as a whole, while another one is written to.

mod parlor;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sqlite::{self, Variant};
use super::{Kind, Result};
use crate::corpus::Draft;

/// Something that is done to the session of number 0, or to all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Out of the live tables, compressed.
    Archive,
    /// An archive as a stream into a file.
    ExportArchive,
    /// And from there into a file of its own.
    ImportArchive,
    /// Back into the live tables.
    Restore,
    /// Everything as lines of JSON.
    ExportLines,
    /// And from there into a file of its own.
    ImportLines,
    /// For good.
    Delete,
}

impl Operation {
    /// All, in an order in which each finds what it needs.
    pub const ALL: [Operation; 7] = [
        Operation::Archive,
        Operation::ExportArchive,
        Operation::ImportArchive,
        Operation::Restore,
        Operation::ExportLines,
        Operation::ImportLines,
        Operation::Delete,
    ];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Operation::Archive => "an archive",
            Operation::ExportArchive => "an archive's export",
            Operation::ImportArchive => "an archive's import",
            Operation::Restore => "a restore",
            Operation::ExportLines => "an export",
            Operation::ImportLines => "an import",
            Operation::Delete => "a deletion",
        }
    }

    /// The operation of these words.
    pub fn from_words(words: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.words() == words)
    }

    /// Whether what it makes goes into a file of its own.
    pub const fn is_import(self) -> bool {
        matches!(self, Operation::ImportArchive | Operation::ImportLines)
    }

    /// Whether SQLite does the same, with rows of its own in steps of its own.
    pub const fn has_counterpart(self) -> bool {
        matches!(self, Operation::Archive | Operation::Restore | Operation::Delete)
    }

    /// Whether it leaves rows that are cleared away when it shows already.
    pub const fn leaves(self) -> bool {
        matches!(self, Operation::Archive | Operation::ImportArchive | Operation::Restore | Operation::Delete)
    }

    /// Whether the session is there afterwards.
    pub const fn shows(self) -> bool {
        matches!(self, Operation::Restore | Operation::ExportLines | Operation::ImportLines)
    }
}

/// The peers that do it.
pub const KINDS: [Kind; 3] = [Kind::Parlor, Kind::Sqlite, Kind::SqlitePos];

/// A store with a long session. Everyone works in steps, so that others can write in between.
pub trait Long: Sync {
    /// Does it. When it returns it shows, and is durable; rows that nothing leads to any more may be left.
    fn run(&self, operation: Operation) -> Result;

    /// Takes away what is left, where nobody else does.
    fn clear(&self) -> Result;

    /// Waits until nothing is left; nobody writes meanwhile.
    fn settle(&self) -> Result;

    /// Appends to another session, durably.
    fn append(&self, drafts: &Arc<[Draft]>) -> Result;

    /// How many messages the long session has, where it is there.
    fn messages(&self) -> Result<Option<u64>>;
}

/// Opens what a directory has, with each peer's default cache.
pub fn open(kind: Kind, directory: &Path) -> Result<Box<dyn Long>> {
    std::fs::create_dir_all(directory)?;
    Ok(match kind {
        Kind::Parlor => Box::new(parlor::Whole::open(directory)?),
        Kind::Sqlite => Box::new(sqlite::Whole::open(directory, Variant::Plain)?),
        Kind::SqlitePos => Box::new(sqlite::Whole::open(directory, Variant::Positions)?),
        Kind::Lmdb | Kind::Fjall => return Err(format!("{} does no such thing", kind.name()).into()),
    })
}

/// Where a stream is between its export and its import: beside the directory.
fn stream(directory: &Path, name: &str) -> PathBuf {
    directory.with_file_name(name)
}
