//! The tables of SQLite.
//!
//! A message's rowid is its session's number and its own: rows of a session stand side by side in
//! their order. A scope is a session's number, or a thread's: the rowid that a message of that number
//! would have, negated, so that no session's is the same. Partial indexes leave out what was deleted.

use rusqlite::Connection;

use super::Variant;
use crate::peer::{Feed, Result};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS sessions(
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    key TEXT NOT NULL UNIQUE,
    label TEXT,
    status INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    last INTEGER NOT NULL DEFAULT 0,
    last_ts INTEGER NOT NULL DEFAULT 0,
    changes INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_by_activity ON sessions(updated_at, n, last, id, key, label, status, created_at);

CREATE TABLE IF NOT EXISTS messages(
    pk INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    class INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    thread INTEGER,
    turn INTEGER,
    created_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    id BLOB NOT NULL,
    tool_call_id TEXT,
    name TEXT,
    more TEXT,
    text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS messages_by_id ON messages(id);
CREATE INDEX IF NOT EXISTS messages_by_class ON messages(session, class, ts) WHERE deleted = 0;
CREATE INDEX IF NOT EXISTS messages_by_thread ON messages(thread, class, ts)
    WHERE deleted = 0 AND thread IS NOT NULL;
";

/// One numbered event a message or deletion; its rowid is made as a message's is.
const FEED: &str = "
CREATE TABLE IF NOT EXISTS changes(
    pk INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id BLOB
) STRICT;
";

const POSITIONS: &str = "
CREATE TABLE IF NOT EXISTS totals(what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO totals(what, n) VALUES ('sessions', 0);
CREATE TRIGGER IF NOT EXISTS sessions_counted AFTER INSERT ON sessions BEGIN
    UPDATE totals SET n = n + 1 WHERE what = 'sessions';
END;

CREATE TABLE IF NOT EXISTS counts(
    scope INTEGER NOT NULL, class INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (scope, class)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(
    scope INTEGER NOT NULL, class INTEGER NOT NULL, rank INTEGER NOT NULL, pk INTEGER NOT NULL,
    PRIMARY KEY (scope, class, rank)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS messages_placed AFTER INSERT ON messages BEGIN
    INSERT INTO counts(scope, class, n) VALUES (new.session, new.class, 1)
        ON CONFLICT(scope, class) DO UPDATE SET n = n + 1;
    INSERT INTO positions(scope, class, rank, pk)
        SELECT scope, class, n, new.pk FROM counts WHERE scope = new.session AND class = new.class;
END;
CREATE TRIGGER IF NOT EXISTS messages_placed_in_thread AFTER INSERT ON messages WHEN new.thread IS NOT NULL BEGIN
    INSERT INTO counts(scope, class, n) VALUES (new.thread, new.class, 1)
        ON CONFLICT(scope, class) DO UPDATE SET n = n + 1;
    INSERT INTO positions(scope, class, rank, pk)
        SELECT scope, class, n, new.pk FROM counts WHERE scope = new.thread AND class = new.class;
END;
";

/// Makes what is missing.
pub(super) fn create(connection: &Connection, feed: Feed, variant: Variant) -> Result {
    connection.execute_batch(TABLES)?;
    if feed == Feed::With {
        connection.execute_batch(FEED)?;
    }
    if variant == Variant::Positions {
        connection.execute_batch(POSITIONS)?;
    }
    Ok(())
}

/// Its number, id, key and time.
pub(super) const NEW_SESSION: &str =
    "INSERT INTO sessions(n, id, key, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)";

/// Takes the numbers and the times of some messages: session, how many, now, how many events.
pub(super) const TAKE_NUMBERS: &str = "
UPDATE sessions SET last = last + ?2, last_ts = max(last_ts + ?2, ?3 + ?2 - 1), changes = changes + ?4,
    updated_at = max(updated_at, ?3)
WHERE n = ?1 RETURNING last, last_ts, changes";

pub(super) const NEW_MESSAGE: &str = "
INSERT INTO messages(pk, session, class, ts, thread, created_at, id, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(super) const NEW_CHANGE: &str = "INSERT INTO changes(pk, kind, number, id) VALUES (?1, ?2, ?3, ?4)";

pub(super) const DELETE_MESSAGE: &str = "UPDATE messages SET deleted = 1 WHERE pk = ?1";

/// Gives what remains of a session its ranks anew: one pass for however many deletions.
pub(super) const RANK_AGAIN: [&str; 4] = [
    "DELETE FROM positions WHERE scope IN (?1, -(?1 << 32 | 1))",
    "DELETE FROM counts WHERE scope IN (?1, -(?1 << 32 | 1))",
    "INSERT INTO positions(scope, class, rank, pk)
     SELECT session, class, row_number() OVER (PARTITION BY class ORDER BY ts), pk
     FROM messages WHERE session = ?1 AND deleted = 0
     UNION ALL
     SELECT thread, class, row_number() OVER (PARTITION BY class ORDER BY ts), pk
     FROM messages WHERE thread = -(?1 << 32 | 1) AND deleted = 0",
    "INSERT INTO counts(scope, class, n)
     SELECT scope, class, count(*) FROM positions WHERE scope IN (?1, -(?1 << 32 | 1)) GROUP BY scope, class",
];

/// The columns of a message, in the order that rows are read in.
pub(super) const COLUMNS: &str =
    "m.pk, m.id, m.class, m.thread, m.ts, m.created_at, m.text, m.turn, m.tool_call_id, m.name, m.more";
