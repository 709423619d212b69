//! SQLite as its experts run it: WAL, `synchronous=FULL`, fdatasync, covering indexes, cached statements.

mod long;
mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

pub use self::long::Whole;
use self::read::SqliteReader;
use self::write::SqliteWriter;
use super::group::{self, Direct, Group};
use super::{Cache, Feed, Peer, Reader, Result, Way, Writer};
use crate::corpus::Corpus;
use crate::plan::{self, Plan};
use crate::time::{Ids, now};

/// What is kept beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The best indexes, nothing else: totals are counted, pages are skipped to.
    Plain,
    /// Counters, and a dense position for each message, kept by triggers.
    Positions,
}

/// The peer.
pub struct Sqlite {
    file: PathBuf,
    cache: Cache,
    feed: Feed,
    variant: Variant,
    group: OnceLock<Group>,
}

impl Sqlite {
    /// Opens it.
    pub fn open(directory: &Path, cache: Cache, feed: Feed, variant: Variant) -> Result<Sqlite> {
        check_built_with_fdatasync()?;
        let peer = Sqlite { file: directory.join("sqlite.db"), cache, feed, variant, group: OnceLock::new() };
        schema::create(&peer.connect()?, feed, variant)?;
        Ok(peer)
    }

    /// A connection with everything set as it should be.
    fn connect(&self) -> Result<Connection> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.set_prepared_statement_cache_capacity(64);
        // Otherwise it plans a statement anew whenever a limit or an offset is bound: half the time of a page.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")?;
        if self.cache == Cache::Holds {
            let kibibytes = Cache::HOLDS >> 10;
            connection
                .execute_batch(&format!("PRAGMA cache_size = -{kibibytes}; PRAGMA mmap_size = {};", Cache::HOLDS))?;
        }
        Ok(connection)
    }

    fn committer(&self) -> Result<SqliteWriter> {
        Ok(SqliteWriter::new(self.connect()?, self.feed))
    }
}

impl Peer for Sqlite {
    fn load(&mut self, plan: &Plan, corpus: &Corpus) -> Result {
        let mut connection = self.connect()?;
        let transaction = connection.transaction()?;
        {
            let mut ids = Ids::new();
            let mut insert = transaction.prepare(schema::NEW_SESSION)?;
            for session in 0..plan.sessions.len() as u32 {
                let created_at = now();
                insert.execute(params![session, ids.next(created_at), plan::key(session), created_at as i64])?;
            }
        }
        transaction.commit()?;
        drop(connection);
        group::load(&mut self.committer()?, plan, corpus)
    }

    fn reader(&self) -> Result<Box<dyn Reader + Send + '_>> {
        Ok(Box::new(SqliteReader::new(self.connect()?, self.variant)))
    }

    fn writer(&self, way: Way) -> Result<Box<dyn Writer + '_>> {
        match way {
            Way::Connection => Ok(Box::new(Direct(self.committer()?))),
            Way::Grouped => {
                if self.group.get().is_none() {
                    let started = Group::start(self.committer()?);
                    self.group.get_or_init(|| started);
                }
                Ok(self.group.get().ok_or("the group did not start")?.writer())
            }
        }
    }

    fn delete(&mut self, session: u32, numbers: &[u32]) -> Result {
        self.committer()?.delete(session, numbers, self.variant)
    }

    fn reopen(&mut self, cache: Cache) -> Result {
        self.group.take().map_or(Ok(()), Group::end)?;
        self.cache = cache;
        // The last connection to close takes the log into the file; this one makes sure there is one.
        let last = self.connect()?;
        last.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(last.close().map_err(|(_, error)| error)?)
    }
}

/// SQLite syncs with `fsync`, at twice the cost, unless it is told that the system has `fdatasync`.
/// The flag comes from `.cargo/config.toml`, which cargo finds from within the project only.
fn check_built_with_fdatasync() -> Result {
    match option_env!("LIBSQLITE3_FLAGS") {
        Some(flags) if flags.contains("HAVE_FDATASYNC=1") => Ok(()),
        _ => Err("SQLite was built without fdatasync: build with LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC=1, \
                  as .cargo/config.toml does for who runs cargo within the project"
            .into()),
    }
}
