//! Archiving, restoring and deleting a long session with SQLite, as parlor does: in steps, the last of which shows.
//!
//! Rows are copied into compressed blobs, in transactions of about a thousand; then one takes the session's row away, and more
//! take away the rows. One thread has the connection at a time, and a step lets those go first who wait: two connections that
//! wait for the file's lock by trying again would keep an append waiting for much longer.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::write::SqliteWriter;
use super::{Sqlite, Variant};
use crate::corpus::Draft;
use crate::peer::group::{Append, Commit};
use crate::peer::long::{Long, Operation};
use crate::peer::{Cache, Feed, Result};

/// Rows of a step.
const ROWS: u32 = 1000;
/// Bytes of a chunk before they are compressed, as in parlor.
const CHUNK: usize = 256 << 10;
/// Chunks of a step.
const CHUNKS: u32 = 2;

/// The session that is archived, and the one that is written to.
const LONG: i64 = 0;
const OTHER: u32 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS archived_sessions AS SELECT * FROM sessions WHERE 0;
CREATE TABLE IF NOT EXISTS chunks(nth INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT;";

/// A file with a long session.
pub struct Whole {
    both: Mutex<Both>,
    /// How many wait for it who do not come in steps.
    waiting: AtomicU32,
    variant: Variant,
}

struct Both {
    connection: Connection,
    writer: SqliteWriter,
}

impl Whole {
    /// Opens it.
    pub fn open(directory: &Path, variant: Variant) -> Result<Whole> {
        let peer = Sqlite::open(directory, Cache::Default, Feed::Without, variant)?;
        let connection = peer.connect()?;
        connection.execute_batch(TABLES)?;
        let both = Mutex::new(Both { connection, writer: peer.committer()? });
        Ok(Whole { both, waiting: AtomicU32::new(0), variant })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Both>> {
        self.both.lock().map_err(|_| "a thread panicked".into())
    }

    /// A transaction of its own, after those who wait.
    fn step<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        let mut both = self.lock()?;
        let transaction = both.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    fn archive(&self) -> Result {
        let (mut after, mut nth, mut stream) = (LONG << 32, 0, Vec::new());
        loop {
            let read = self.step(|transaction| {
                let last = read(transaction, after, &mut stream)?;
                while stream.len() >= CHUNK || (last.is_none() && !stream.is_empty()) {
                    nth += 1;
                    let chunk = lz4_flex::block::compress_prepend_size(&stream[..CHUNK.min(stream.len())]);
                    stream.drain(..CHUNK.min(stream.len()));
                    transaction
                        .prepare_cached("INSERT INTO chunks(nth, packed) VALUES (?1, ?2)")?
                        .execute(params![nth, chunk])?;
                }
                if last.is_none() {
                    transaction.execute("INSERT INTO archived_sessions SELECT * FROM sessions WHERE n = ?1", [LONG])?;
                    hide(transaction, self.variant)?;
                }
                Ok(last)
            })?;
            match read {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    fn restore(&self) -> Result {
        let (mut nth, mut stream) = (0, Vec::new());
        loop {
            let went_on = self.step(|transaction| {
                let mut chunks = transaction
                    .prepare_cached("SELECT nth, packed FROM chunks WHERE nth > ?1 ORDER BY nth LIMIT ?2")?;
                let (mut rows, mut found) = (chunks.query(params![nth, CHUNKS])?, false);
                while let Some(row) = rows.next()? {
                    (nth, found) = (row.get(0)?, true);
                    stream.extend(lz4_flex::block::decompress_size_prepended(row.get_ref(1)?.as_blob()?)?);
                }
                if found {
                    write(transaction, &mut stream)?;
                    return Ok(true);
                }
                transaction.execute("INSERT INTO sessions SELECT * FROM archived_sessions", [])?;
                transaction.execute("DELETE FROM archived_sessions", [])?;
                Ok(false)
            })?;
            if !went_on {
                return Ok(());
            }
        }
    }

    /// Runs a statement until it changes nothing.
    fn repeat(&self, statement: &str) -> Result {
        while self.step(|transaction| Ok(transaction.execute(statement, [])?))? > 0 {}
        Ok(())
    }
}

/// Reads the rows behind one into a stream; the last one, where there were any.
fn read(transaction: &Transaction<'_>, after: i64, stream: &mut Vec<u8>) -> Result<Option<i64>> {
    let text = "SELECT pk, id, class, thread, ts, created_at, deleted, text FROM messages
        WHERE pk > ?1 AND pk < ?2 ORDER BY pk LIMIT ?3";
    let mut statement = transaction.prepare_cached(text)?;
    let (mut rows, mut last) = (statement.query(params![after, (LONG + 1) << 32, ROWS])?, None);
    while let Some(row) = rows.next()? {
        let pk: i64 = row.get(0)?;
        last = Some(pk);
        stream.extend_from_slice(row.get_ref(1)?.as_blob()?);
        let thread: Option<i64> = row.get(3)?;
        for number in [pk, row.get(2)?, thread.unwrap_or(0), row.get(4)?, row.get(5)?, row.get(6)?] {
            stream.extend_from_slice(&number.to_le_bytes());
        }
        let text = row.get_ref(7)?.as_str()?;
        stream.extend_from_slice(&(text.len() as u32).to_le_bytes());
        stream.extend_from_slice(text.as_bytes());
    }
    Ok(last)
}

/// Writes the rows that are whole in a stream, and takes them out of it.
fn write(transaction: &Transaction<'_>, stream: &mut Vec<u8>) -> Result {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO messages(pk, session, class, ts, thread, created_at, deleted, id, text)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut rest = &stream[..];
    while let Some((id, row)) = rest.split_first_chunk::<16>() {
        let Some((fields, row)) = row.split_first_chunk::<48>() else { break };
        let Some((length, row)) = row.split_first_chunk::<4>() else { break };
        let Some((text, row)) = row.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
        let mut numbers = [0_i64; 6];
        for (number, bytes) in numbers.iter_mut().zip(fields.chunks_exact(8)) {
            *number = i64::from_le_bytes(bytes.try_into()?);
        }
        let [pk, class, thread, ts, created_at, deleted] = numbers;
        let thread = (thread != 0).then_some(thread);
        let text = std::str::from_utf8(text)?;
        insert.execute(params![pk, LONG, class, ts, thread, created_at, deleted, id, text])?;
        rest = row;
    }
    let used = stream.len() - rest.len();
    stream.drain(..used);
    Ok(())
}

/// Takes away what leads to the session.
fn hide(transaction: &Transaction<'_>, variant: Variant) -> Result {
    transaction.execute("DELETE FROM sessions WHERE n = ?1", [LONG])?;
    if variant == Variant::Positions {
        transaction.execute("UPDATE totals SET n = n - 1 WHERE what = 'sessions'", [])?;
    }
    Ok(())
}

impl Long for Whole {
    fn run(&self, operation: Operation) -> Result {
        match operation {
            Operation::Archive => self.archive(),
            Operation::Restore => self.restore(),
            Operation::Delete => self.step(|transaction| hide(transaction, self.variant)),
            _ => Err(format!("SQLite has no counterpart of {}", operation.words()).into()),
        }
    }

    fn clear(&self) -> Result {
        if self.messages()?.is_some() {
            // What is archived is there again.
            return self.repeat("DELETE FROM chunks WHERE nth IN (SELECT nth FROM chunks LIMIT 16)");
        }
        let (low, high) = (LONG << 32, (LONG + 1) << 32);
        self.repeat(&format!(
            "DELETE FROM messages WHERE pk IN (SELECT pk FROM messages WHERE pk > {low} AND pk < {high} LIMIT {ROWS})"
        ))?;
        if self.variant == Variant::Plain {
            return Ok(());
        }
        self.repeat(&format!(
            "DELETE FROM positions WHERE (scope, class, rank) IN
             (SELECT scope, class, rank FROM positions WHERE scope = {LONG} LIMIT {ROWS})"
        ))?;
        self.repeat(&format!("DELETE FROM counts WHERE scope = {LONG}"))
    }

    fn settle(&self) -> Result {
        Ok(())
    }

    fn append(&self, drafts: &Arc<[Draft]>) -> Result {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let both = self.lock();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        both?.writer.commit(&[Append { session: OTHER, thread: 0, drafts: Arc::clone(drafts) }])
    }

    fn messages(&self) -> Result<Option<u64>> {
        let both = self.lock()?;
        let there: i64 =
            both.connection.query_row("SELECT count(*) FROM sessions WHERE n = ?1", [LONG], |row| row.get(0))?;
        if there == 0 {
            return Ok(None);
        }
        let text = "SELECT count(*) FROM messages WHERE pk > ?1 AND pk < ?2";
        let count: i64 = both.connection.query_row(text, [LONG << 32, (LONG + 1) << 32], |row| row.get(0))?;
        Ok(Some(count.try_into()?))
    }
}
