//! LMDB, through heed: memory-mapped, one writer, syncs the data and then its root at every commit.

use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heed::types::Bytes;
use heed::{AnyTls, Database, Env, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};

use super::kv::{self, From, Open, Table, Visit};
use super::{Cache, Feed, Peer, Reader, Result, Way, Writer};
use crate::corpus::Corpus;
use crate::plan::Plan;

/// Address space for the file; only what is used is ever taken.
const MAP: usize = 64 << 30;

type Databases = [Database<Bytes, Bytes>; Table::ALL.len()];

/// The environment and its tables.
#[derive(Clone)]
struct Store {
    env: Env<WithoutTls>,
    databases: Arc<Databases>,
    feed: Feed,
}

impl Store {
    fn open(directory: &Path, feed: Feed) -> Result<Store> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP).max_dbs(Table::ALL.len() as u32);
        // SAFETY: the directory is this run's own: no other process changes the mapped file.
        let env = unsafe { options.open(directory) }?;
        let mut txn = env.write_txn()?;
        let databases = Table::ALL.map(|table| env.create_database(&mut txn, Some(table.name())));
        let databases = databases.into_iter().collect::<heed::Result<Vec<_>>>()?;
        txn.commit()?;
        let databases: Databases = databases.try_into().map_err(|_| "a table is missing")?;
        Ok(Store { env, databases: Arc::new(databases), feed })
    }

    fn database(&self, table: Table) -> &Database<Bytes, Bytes> {
        &self.databases[table as usize]
    }
}

impl kv::Store for Store {
    type Snapshot<'s> = ReadTables<'s>;
    type Transaction<'s> = WriteTables<'s>;

    fn snapshot(&self) -> Result<ReadTables<'_>> {
        Ok(ReadTables { store: self, txn: self.env.read_txn()? })
    }

    fn write(&self, write: impl FnOnce(&mut WriteTables<'_>) -> Result) -> Result {
        let mut tables = WriteTables { store: self, txn: self.env.write_txn()? };
        write(&mut tables)?;
        Ok(tables.txn.commit()?)
    }

    fn feed(&self) -> Feed {
        self.feed
    }
}

struct ReadTables<'s> {
    store: &'s Store,
    txn: RoTxn<'s, WithoutTls>,
}

struct WriteTables<'s> {
    store: &'s Store,
    txn: RwTxn<'s>,
}

fn get<T>(
    store: &Store,
    txn: &RoTxn<'_, AnyTls>,
    table: Table,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T>,
) -> Result<Option<T>> {
    store.database(table).get(txn, key)?.map(read).transpose()
}

fn range(
    store: &Store,
    txn: &RoTxn<'_, AnyTls>,
    table: Table,
    (low, high): (&[u8], &[u8]),
    from: From,
    visit: Visit<'_>,
) -> Result {
    let bounds = (Bound::Included(low), Bound::Included(high));
    let mut seen =
        |row: heed::Result<(&[u8], &[u8])>| row.map_err(Into::into).and_then(|(key, value)| visit(key, value));
    match from {
        From::Low => {
            for row in store.database(table).range(txn, &bounds)? {
                if let ControlFlow::Break(()) = seen(row)? {
                    break;
                }
            }
        }
        From::High => {
            for row in store.database(table).rev_range(txn, &bounds)? {
                if let ControlFlow::Break(()) = seen(row)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

impl kv::Read for ReadTables<'_> {
    fn get<T>(&self, table: Table, key: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>> {
        get(self.store, &self.txn, table, key, read)
    }

    fn range(&self, table: Table, low: &[u8], high: &[u8], from: From, visit: Visit<'_>) -> Result {
        range(self.store, &self.txn, table, (low, high), from, visit)
    }
}

impl kv::Read for WriteTables<'_> {
    fn get<T>(&self, table: Table, key: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>> {
        get(self.store, &self.txn, table, key, read)
    }

    fn range(&self, table: Table, low: &[u8], high: &[u8], from: From, visit: Visit<'_>) -> Result {
        range(self.store, &self.txn, table, (low, high), from, visit)
    }
}

impl kv::Write for WriteTables<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result {
        Ok(self.store.database(table).put(&mut self.txn, key, value)?)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result {
        self.store.database(table).delete(&mut self.txn, key)?;
        Ok(())
    }
}

/// The peer.
pub struct Lmdb {
    directory: PathBuf,
    /// None only while it is being opened again.
    open: Option<Open<Store>>,
}

impl Lmdb {
    /// Opens it. The system's cache is its own: it takes no size.
    pub fn open(directory: &Path, feed: Feed) -> Result<Lmdb> {
        let open = Some(Open::new(Store::open(directory, feed)?));
        Ok(Lmdb { directory: directory.to_owned(), open })
    }

    fn inner(&self) -> Result<&Open<Store>> {
        self.open.as_ref().ok_or_else(|| "lmdb is closed".into())
    }

    fn close(&mut self) -> Result<Feed> {
        let open = self.open.take().ok_or("lmdb is closed")?;
        let Store { env, feed, .. } = open.into_store()?;
        env.prepare_for_closing().wait();
        Ok(feed)
    }
}

impl Drop for Lmdb {
    fn drop(&mut self) {
        // Else the same file could not be opened again in this process. An error has been told before.
        let _ = self.close();
    }
}

impl Peer for Lmdb {
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

    fn reopen(&mut self, _: Cache) -> Result {
        let feed = self.close()?;
        self.open = Some(Open::new(Store::open(&self.directory, feed)?));
        Ok(())
    }
}
