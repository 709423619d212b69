//! Conversations in ordered key-value tables: one layout for LMDB and fjall, with dense positions.
//!
//! Numbers in keys are big-endian, so that they sort. A session's head holds its counters, so that
//! one look-up answers for its totals.

mod open;
mod read;
mod write;

pub use open::{Open, Store};
use read::{history, messages_in_feed, page, poll, sessions};
use write::{Clock, create, delete, write};

use std::ops::ControlFlow;

use super::{Listed, Result, row};
use crate::corpus::Class;

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// From a session's number to its [`Head`].
    Heads,
    /// From a session's key to its number.
    Keys,
    /// The sessions by `updated_at`, with what a listing shows.
    Activity,
    /// From session and number to the message: see [`row`](super::row).
    Messages,
    /// From a message's id to session and number.
    Ids,
    /// From scope, class and rank to number and `ts`. A scope is a session and a thread, or 0 for all of it.
    Positions,
    /// From session and thread to the counts of its classes.
    Threads,
    /// From session and event to what happened.
    Changes,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 8] = [
        Table::Heads,
        Table::Keys,
        Table::Activity,
        Table::Messages,
        Table::Ids,
        Table::Positions,
        Table::Threads,
        Table::Changes,
    ];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Heads => "heads",
            Table::Keys => "keys",
            Table::Activity => "activity",
            Table::Messages => "messages",
            Table::Ids => "ids",
            Table::Positions => "positions",
            Table::Threads => "threads",
            Table::Changes => "changes",
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the least key.
    Low,
    /// At the greatest.
    High,
}

/// What is seen of a row: its key and its value.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>;

/// Tables to read, all in one snapshot.
pub trait Read {
    /// The row of this key.
    fn get<T>(&self, table: Table, key: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>>;

    /// The rows from `low` to `high`, both included, until told to stop.
    fn range(&self, table: Table, low: &[u8], high: &[u8], from: From, visit: Visit<'_>) -> Result;
}

/// Tables to write, all in one transaction.
pub trait Write: Read {
    /// Writes a row, over what it had before.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result;

    /// Removes a row, if it is there.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result;
}

/// How many messages of each class there are.
pub type Counts = [u32; Class::COUNT];

/// What there is to know of a session.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The number of its last message.
    pub last: u32,
    /// How many messages were deleted.
    pub deleted: u32,
    /// The `ts` of its last message.
    pub last_ts: u64,
    /// When it last changed.
    pub updated_at: u64,
    /// The number of its last event.
    pub changes: u64,
    /// Its messages that were not deleted.
    pub counts: Counts,
    /// Its id.
    pub id: [u8; 16],
    /// When it was made.
    pub created_at: u64,
    /// Its key.
    pub key: String,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(104);
        bytes.extend_from_slice(&self.last.to_be_bytes());
        bytes.extend_from_slice(&self.deleted.to_be_bytes());
        bytes.extend_from_slice(&self.last_ts.to_be_bytes());
        bytes.extend_from_slice(&self.updated_at.to_be_bytes());
        bytes.extend_from_slice(&self.changes.to_be_bytes());
        bytes.extend_from_slice(&self.created_at.to_be_bytes());
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&encode_counts(&self.counts));
        bytes.extend_from_slice(self.key.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Head> {
        let (fixed, key) = bytes.split_at_checked(56 + 4 * Class::COUNT).ok_or("a head is cut short")?;
        Ok(Head {
            last: u32::from_be_bytes(fixed[..4].try_into()?),
            deleted: u32::from_be_bytes(fixed[4..8].try_into()?),
            last_ts: u64::from_be_bytes(fixed[8..16].try_into()?),
            updated_at: u64::from_be_bytes(fixed[16..24].try_into()?),
            changes: u64::from_be_bytes(fixed[24..32].try_into()?),
            created_at: u64::from_be_bytes(fixed[32..40].try_into()?),
            id: fixed[40..56].try_into()?,
            counts: decode_counts(&fixed[56..])?,
            key: std::str::from_utf8(key)?.to_owned(),
        })
    }

    /// What a listing shows of it.
    fn shown(&self) -> Vec<u8> {
        row::encode_listed(&Listed {
            id: self.id,
            key: self.key.clone(),
            label: None,
            status: 0,
            created_at: self.created_at,
            last: self.last,
            updated_at: self.updated_at,
        })
    }

    /// The head of a session that exists.
    pub fn get(tables: &impl Read, session: u32) -> Result<Head> {
        let head = tables.get(Table::Heads, &session.to_be_bytes(), Head::decode)?;
        head.ok_or_else(|| format!("session {session} is not there").into())
    }
}

fn encode_counts(counts: &Counts) -> [u8; 4 * Class::COUNT] {
    let mut bytes = [0; 4 * Class::COUNT];
    for (place, count) in bytes.chunks_exact_mut(4).zip(counts) {
        place.copy_from_slice(&count.to_be_bytes());
    }
    bytes
}

fn decode_counts(bytes: &[u8]) -> Result<Counts> {
    let mut counts = Counts::default();
    for (count, place) in counts.iter_mut().zip(bytes.chunks_exact(4)) {
        *count = u32::from_be_bytes(place.try_into()?);
    }
    Ok(counts)
}

/// A session and a number in it.
fn numbered(session: u32, number: u32) -> [u8; 8] {
    (u64::from(session) << 32 | u64::from(number)).to_be_bytes()
}

/// The key of a position: session, thread, class, rank from 1.
fn position(session: u32, thread: u32, class: Class, rank: u32) -> [u8; 13] {
    let mut key = [0; 13];
    key[..8].copy_from_slice(&numbered(session, thread));
    key[8] = class.number();
    key[9..].copy_from_slice(&rank.to_be_bytes());
    key
}

/// What stands at a position: number and `ts`.
fn at_position(value: &[u8]) -> Result<(u32, u64)> {
    let (number, ts) = value.split_at_checked(4).ok_or("a position is cut short")?;
    Ok((u32::from_be_bytes(number.try_into()?), u64::from_be_bytes(ts.try_into()?)))
}

/// The key of a session in the order of activity.
fn activity(updated_at: u64, session: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&updated_at.to_be_bytes());
    key[8..].copy_from_slice(&session.to_be_bytes());
    key
}

/// The key of an event.
fn event(session: u32, number: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&session.to_be_bytes());
    key[4..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Where the number of sessions stands: no session has a key without characters.
const TOTAL: &[u8] = b"\0";
