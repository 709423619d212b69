//! fjall: a log-structured tree for each table, with one journal that is synced at every commit.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot};

use super::kv::{self, From, Open, Table, Visit};
use super::{Cache, Feed, Peer, Reader, Result, Way, Writer};
use crate::corpus::Corpus;
use crate::plan::Plan;

type Keyspaces = [Keyspace; Table::ALL.len()];

/// The database and its tables.
#[derive(Clone)]
struct Store {
    database: Database,
    keyspaces: Arc<Keyspaces>,
    feed: Feed,
}

impl Store {
    fn open(directory: &Path, cache: Cache, feed: Feed) -> Result<Store> {
        let builder = Database::builder(directory).manual_journal_persist(true);
        let builder = match cache {
            Cache::Holds => builder.cache_size(Cache::HOLDS as u64),
            Cache::Default => builder,
        };
        let database = builder.open()?;
        // A message that is looked up is there: a filter in the last level would only cost.
        let options = || KeyspaceCreateOptions::default().expect_point_read_hits(true);
        let keyspaces = Table::ALL.map(|table| database.keyspace(table.name(), options));
        let keyspaces = keyspaces.into_iter().collect::<fjall::Result<Vec<_>>>()?;
        let keyspaces: Keyspaces = keyspaces.try_into().map_err(|_| "a table is missing")?;
        Ok(Store { database, keyspaces: Arc::new(keyspaces), feed })
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table as usize]
    }

    /// Moves what stands in the journal to the trees.
    fn settle(&self) -> Result {
        for keyspace in self.keyspaces.iter() {
            keyspace.rotate_memtable_and_wait()?;
        }
        Ok(())
    }
}

impl kv::Store for Store {
    type Snapshot<'s> = ReadTables<'s>;
    type Transaction<'s> = WriteTables<'s>;

    fn snapshot(&self) -> Result<ReadTables<'_>> {
        Ok(ReadTables { store: self, snapshot: self.database.snapshot() })
    }

    fn write(&self, write: impl FnOnce(&mut WriteTables<'_>) -> Result) -> Result {
        let batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut tables = WriteTables { read: self.snapshot()?, batch };
        write(&mut tables)?;
        Ok(tables.batch.commit()?)
    }

    fn feed(&self) -> Feed {
        self.feed
    }
}

struct ReadTables<'s> {
    store: &'s Store,
    snapshot: Snapshot,
}

/// Reads see what stood before the transaction, which is all that writing needs.
struct WriteTables<'s> {
    read: ReadTables<'s>,
    batch: OwnedWriteBatch,
}

impl kv::Read for ReadTables<'_> {
    fn get<T>(&self, table: Table, key: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>> {
        self.snapshot.get(self.store.keyspace(table), key)?.map(|value| read(&value)).transpose()
    }

    fn range(&self, table: Table, low: &[u8], high: &[u8], from: From, visit: Visit<'_>) -> Result {
        let rows = self.snapshot.range(self.store.keyspace(table), low..=high);
        let mut seen = |row: fjall::Guard| {
            let (key, value) = row.into_inner()?;
            visit(&key, &value)
        };
        let stopped = match from {
            From::Low => rows.map(&mut seen).find(|seen| !matches!(seen, Ok(ControlFlow::Continue(())))),
            From::High => rows.rev().map(&mut seen).find(|seen| !matches!(seen, Ok(ControlFlow::Continue(())))),
        };
        stopped.map_or(Ok(()), |seen| seen.map(|_| ()))
    }
}

impl kv::Read for WriteTables<'_> {
    fn get<T>(&self, table: Table, key: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>> {
        self.read.get(table, key, read)
    }

    fn range(&self, table: Table, low: &[u8], high: &[u8], from: From, visit: Visit<'_>) -> Result {
        self.read.range(table, low, high, from, visit)
    }
}

impl kv::Write for WriteTables<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result {
        self.batch.insert(self.read.store.keyspace(table), key, value);
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result {
        self.batch.remove(self.read.store.keyspace(table), key);
        Ok(())
    }
}

/// The peer.
pub struct Fjall {
    directory: PathBuf,
    /// None only while it is being opened again.
    open: Option<Open<Store>>,
}

impl Fjall {
    /// Opens it.
    pub fn open(directory: &Path, cache: Cache, feed: Feed) -> Result<Fjall> {
        let open = Some(Open::new(Store::open(directory, cache, feed)?));
        Ok(Fjall { directory: directory.to_owned(), open })
    }

    fn inner(&self) -> Result<&Open<Store>> {
        self.open.as_ref().ok_or_else(|| "fjall is closed".into())
    }
}

impl Peer for Fjall {
    fn load(&mut self, plan: &Plan, corpus: &Corpus) -> Result {
        self.inner()?.load(plan, corpus)
    }

    fn reader(&self) -> Result<Box<dyn Reader + Send + '_>> {
        Ok(self.inner()?.reader())
    }

    fn writer(&self, way: Way) -> Result<Box<dyn Writer + '_>> {
        self.inner()?.writer(way)
    }

    fn delete(&mut self, session: u32, numbers: &[u32]) -> Result {
        self.inner()?.delete(session, numbers)
    }

    fn reopen(&mut self, cache: Cache) -> Result {
        let store = self.open.take().ok_or("fjall is closed")?.into_store()?;
        store.settle()?;
        let feed = store.feed;
        drop(store);
        self.open = Some(Open::new(Store::open(&self.directory, cache, feed)?));
        Ok(())
    }
}
