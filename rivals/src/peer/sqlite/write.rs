//! Writing to SQLite.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Variant, schema};
use crate::peer::group::{Append, Commit};
use crate::peer::{Feed, Result};
use crate::time::{Ids, now};

/// A connection that writes.
pub(super) struct SqliteWriter {
    connection: Connection,
    feed: Feed,
    ids: Ids,
}

impl SqliteWriter {
    pub(super) fn new(connection: Connection, feed: Feed) -> Self {
        SqliteWriter { connection, feed, ids: Ids::new() }
    }

    /// Soft-deletes messages.
    pub(super) fn delete(&mut self, session: u32, numbers: &[u32], variant: Variant) -> Result {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let events = if self.feed == Feed::With { numbers.len() } else { 0 };
        let mut taken = transaction.prepare_cached(schema::TAKE_NUMBERS)?;
        let changes: i64 = taken.query_row(params![session, 0, now() as i64, events as i64], |row| row.get(2))?;
        drop(taken);
        let mut change = changes - events as i64;
        for number in numbers {
            transaction.prepare_cached(schema::DELETE_MESSAGE)?.execute([pk(session, *number)])?;
            if self.feed == Feed::With {
                change += 1;
                let key = pk(session, u32::try_from(change)?);
                transaction.prepare_cached(schema::NEW_CHANGE)?.execute(params![key, 2, number, None::<&[u8]>])?;
            }
        }
        if variant == Variant::Positions {
            for step in schema::RANK_AGAIN {
                transaction.execute(step, [session])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// The rowid of a message or an event of this number.
fn pk(session: u32, number: u32) -> i64 {
    i64::from(session) << 32 | i64::from(number)
}

impl Commit for SqliteWriter {
    fn commit(&mut self, batch: &[Append]) -> Result {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for append in batch {
            write(&transaction, &mut self.ids, self.feed, append)?;
        }
        Ok(transaction.commit()?)
    }
}

fn write(transaction: &Transaction<'_>, ids: &mut Ids, feed: Feed, append: &Append) -> Result {
    let Append { session, thread, drafts } = append;
    let (count, created_at) = (drafts.len() as i64, now());
    let events = if feed == Feed::With { count } else { 0 };
    let (last, last_ts, changes): (i64, i64, i64) = transaction
        .prepare_cached(schema::TAKE_NUMBERS)?
        .query_row(params![session, count, created_at as i64, events], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let mut insert = transaction.prepare_cached(schema::NEW_MESSAGE)?;
    let mut changed = match feed {
        Feed::With => Some(transaction.prepare_cached(schema::NEW_CHANGE)?),
        Feed::Without => None,
    };
    let in_thread = (*thread != 0).then(|| -pk(*session, *thread));
    for (before, draft) in (1 - count..).zip(drafts.iter()) {
        let id = ids.next(created_at);
        let number = u32::try_from(last + before)?;
        let (class, ts, created_at) = (draft.class.number(), last_ts + before, created_at as i64);
        insert.execute(params![pk(*session, number), session, class, ts, in_thread, created_at, id, draft.text])?;
        if let Some(changed) = &mut changed {
            let event = u32::try_from(changes + before)?;
            changed.execute(params![pk(*session, event), 1, number, id])?;
        }
    }
    Ok(())
}
