//! What every peer can do: the one trait that the work is written against.

pub mod fjall;
pub mod floor;
pub mod group;
pub mod heed;
pub mod kv;
pub mod long;
pub mod parlor;
pub mod row;
pub mod sqlite;

use std::path::Path;
use std::sync::Arc;

use crate::corpus::{Class, Corpus, Draft};
use crate::plan::{Plan, Standing};

/// Any error of any peer: it ends the run.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// An answer of a peer.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// A message as a peer gives it back: all its fields, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in the session, from 1.
    pub number: u32,
    /// Its id.
    pub id: [u8; 16],
    /// Its role and type.
    pub class: Class,
    /// The number of its thread; 0 for none.
    pub thread: u32,
    /// The number of its turn; 0 for none.
    pub turn: u32,
    /// On a tool's result: the call it answers.
    pub tool_call_id: Option<String>,
    /// The tool's or the speaker's name.
    pub name: Option<String>,
    /// What few messages have, as JSON: tool calls, images, artifacts, metadata.
    pub more: Option<String>,
    /// Its place on the session's cursor clock.
    pub ts: u64,
    /// When it was written, in microseconds.
    pub created_at: u64,
    /// What it says.
    pub text: String,
}

/// A session as a peer lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: [u8; 16],
    /// Its key.
    pub key: String,
    /// Its label, if any.
    pub label: Option<String>,
    /// 0 for idle.
    pub status: u8,
    /// When it was made, in microseconds.
    pub created_at: u64,
    /// The number of its last message.
    pub last: u32,
    /// When it last changed, in microseconds.
    pub updated_at: u64,
}

/// Items, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// How many match.
    pub total: u64,
    /// Those that were asked for.
    pub items: Vec<T>,
}

/// What a peer answers with, as it makes it: turned into rows only where answers are compared, so
/// that no peer pays for another one's form.
pub trait Answer<T> {
    /// The same in the form of rows.
    fn found(&self) -> Result<Found<T>>;
}

impl<T: Clone> Answer<T> for Found<T> {
    fn found(&self) -> Result<Found<T>> {
        Ok(self.clone())
    }
}

/// An answer of any form.
pub type Answered<T> = Result<Box<dyn Answer<T>>>;

/// Which messages a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// One type of one role, a quarter of all.
    Quarter,
    /// What a listing shows where nothing is asked for: what the assistant says.
    Default,
    /// Every type and every role.
    All,
    /// One type of one role that one message in ten thousand has.
    Rare,
}

impl Wanted {
    /// All of them.
    pub const ALL: [Wanted; 4] = [Wanted::Quarter, Wanted::Default, Wanted::All, Wanted::Rare];

    /// The classes that match.
    pub const fn classes(self) -> &'static [Class] {
        match self {
            Wanted::Quarter => &[Class::Assistant],
            Wanted::Default => &[Class::Assistant, Class::Final],
            Wanted::All => &Class::ALL,
            Wanted::Rare => &[Class::System],
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Wanted::Quarter => "one type of one role, a quarter",
            Wanted::Default => "the default listing",
            Wanted::All => "all types and roles",
            Wanted::Rare => "one message in 10,000",
        }
    }
}

/// A listing of a session, or of its one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Which messages.
    pub wanted: Wanted,
    /// The session's, or the thread's.
    pub standing: Standing,
}

impl Filter {
    /// Of the whole session.
    pub const fn session(wanted: Wanted) -> Filter {
        Filter { wanted, standing: Standing::Loose }
    }

    /// Of the session's thread.
    pub const fn thread(wanted: Wanted) -> Filter {
        Filter { wanted, standing: Standing::Threaded }
    }
}

/// Items on a page.
pub const PAGE: u32 = 50;

/// Reads, on one thread. Every answer comes from one snapshot and owns its rows.
pub trait Reader {
    /// The page of this number, from 1, of 50, newest first, with the exact total.
    fn page(&mut self, session: u32, filter: Filter, page: u64) -> Answered<Row>;

    /// The first 50 messages whose `ts` is greater than `after`, oldest first, and how many there are.
    fn poll(&mut self, session: u32, filter: Filter, after: u64) -> Answered<Row>;

    /// The newest `limit` messages, oldest first, of all types and roles.
    fn history(&mut self, session: u32, limit: u32) -> Answered<Row>;

    /// The 50 sessions of the newest activity, newest first, and how many there are.
    fn sessions(&mut self) -> Answered<Listed>;

    /// How many of the first 1,000 events of a session's change feed tell of a message.
    fn messages_in_feed(&mut self, session: u32) -> Result<u32>;
}

/// Writes, on one thread.
pub trait Writer: Send {
    /// Writes messages of one session in one commit, which is durable when it returns.
    fn append(&mut self, session: u32, drafts: &Arc<[Draft]>) -> Result;
}

/// How a thread that writes comes to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With a connection of its own.
    Connection,
    /// Through one thread that writes for all, and commits what has queued as one group.
    Grouped,
}

/// Memory for pages of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// As much as the working set.
    Holds,
    /// What the peer takes where nothing is asked for.
    Default,
}

impl Cache {
    /// Bytes that hold every working set of a run.
    pub const HOLDS: usize = 4 << 30;

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Cache::Holds => "holds the working set",
            Cache::Default => "the peer's default",
        }
    }
}

/// Whether a peer keeps a change feed: one numbered event a message. parlor always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// It does not.
    Without,
    /// It does.
    With,
}

/// A store of conversations, open on its own directory.
pub trait Peer: Sync {
    /// Makes the sessions of a plan and writes their messages. Nothing was loaded before.
    fn load(&mut self, plan: &Plan, corpus: &Corpus) -> Result;

    /// A reader for one thread.
    fn reader(&self) -> Result<Box<dyn Reader + Send + '_>>;

    /// A writer for one thread. A peer that has one way only takes it for both.
    fn writer(&self, way: Way) -> Result<Box<dyn Writer + '_>>;

    /// Soft-deletes messages of a session, by number.
    fn delete(&mut self, session: u32, numbers: &[u32]) -> Result;

    /// Closes it, which moves all that was written to where it belongs, and opens it again.
    fn reopen(&mut self, cache: Cache) -> Result;
}

/// Which peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This engine, through its public API.
    Parlor,
    /// SQLite with the best indexes.
    Sqlite,
    /// SQLite with counters and dense positions kept by triggers.
    SqlitePos,
    /// LMDB, through heed.
    Lmdb,
    /// fjall.
    Fjall,
}

impl Kind {
    /// All peers; the first is the one that is measured.
    pub const ALL: [Kind; 5] = [Kind::Parlor, Kind::Sqlite, Kind::SqlitePos, Kind::Lmdb, Kind::Fjall];

    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Parlor => "parlor",
            Kind::Sqlite => "sqlite",
            Kind::SqlitePos => "sqlite+pos",
            Kind::Lmdb => "lmdb",
            Kind::Fjall => "fjall",
        }
    }

    /// Whether it is SQLite, in whatever variant.
    pub const fn is_sqlite(self) -> bool {
        matches!(self, Kind::Sqlite | Kind::SqlitePos)
    }

    /// The peer of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Opens the peer in a directory, which is made when it is missing.
    pub fn open(self, directory: &Path, cache: Cache, feed: Feed) -> Result<Box<dyn Peer>> {
        std::fs::create_dir_all(directory)?;
        Ok(match self {
            Kind::Parlor => Box::new(parlor::Parlor::open(directory, cache)?),
            Kind::Sqlite => Box::new(sqlite::Sqlite::open(directory, cache, feed, sqlite::Variant::Plain)?),
            Kind::SqlitePos => Box::new(sqlite::Sqlite::open(directory, cache, feed, sqlite::Variant::Positions)?),
            Kind::Lmdb => Box::new(heed::Lmdb::open(directory, feed)?),
            Kind::Fjall => Box::new(fjall::Fjall::open(directory, cache, feed)?),
        })
    }
}
