//! Writing: sessions, messages with all their index rows, deletions.

use std::collections::BTreeMap;

use super::{Counts, Head, TOTAL, Table, Write, activity, decode_counts, encode_counts, event, numbered, position};
use crate::corpus::Class;
use crate::peer::group::Append;
use crate::peer::row::{self, Place};
use crate::peer::{Feed, Result};
use crate::plan;
use crate::time::{Ids, now};

/// Where a writer takes ids and times from.
pub struct Clock {
    ids: Ids,
    feed: Feed,
}

impl Clock {
    /// One for each writer.
    pub fn new(feed: Feed) -> Clock {
        Clock { ids: Ids::new(), feed }
    }
}

/// Makes sessions of these numbers.
pub fn create(tables: &mut impl Write, clock: &mut Clock, sessions: std::ops::Range<u32>) -> Result {
    for session in sessions.clone() {
        let updated_at = now();
        let (id, key) = (clock.ids.next(updated_at), plan::key(session));
        let head = Head { updated_at, created_at: updated_at, id, key, ..Head::default() };
        tables.put(Table::Heads, &session.to_be_bytes(), &head.encode())?;
        tables.put(Table::Keys, head.key.as_bytes(), &session.to_be_bytes())?;
        tables.put(Table::Activity, &activity(updated_at, session), &head.shown())?;
    }
    tables.put(Table::Keys, TOTAL, &sessions.end.to_be_bytes())
}

/// Writes messages. Heads are read once and written once, however often a session comes up.
pub fn write(tables: &mut impl Write, clock: &mut Clock, batch: &[Append]) -> Result {
    let mut heads: BTreeMap<u32, (u64, Head)> = BTreeMap::new();
    let mut threads: BTreeMap<[u8; 8], Counts> = BTreeMap::new();
    let mut bytes = Vec::new();
    for append in batch {
        let Append { session, thread, drafts } = append;
        let (_, head) = match heads.entry(*session) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let head = Head::get(tables, *session)?;
                new.insert((head.updated_at, head))
            }
        };
        let created_at = now();
        head.updated_at = head.updated_at.max(created_at);
        let mut in_thread = match (*thread, numbered(*session, *thread)) {
            (0, _) => None,
            (_, key) => Some(match threads.get(&key) {
                Some(counts) => *counts,
                None => tables.get(Table::Threads, &key, decode_counts)?.unwrap_or_default(),
            }),
        };
        for draft in drafts.iter() {
            head.last += 1;
            head.last_ts = created_at.max(head.last_ts + 1);
            let id = clock.ids.next(created_at);
            bytes.clear();
            row::encode(&mut bytes, draft, &id, Place { thread: *thread, ts: head.last_ts, created_at });
            let key = numbered(*session, head.last);
            tables.put(Table::Messages, &key, &bytes)?;
            tables.put(Table::Ids, &id, &key)?;
            let at = [&head.last.to_be_bytes()[..], &head.last_ts.to_be_bytes()].concat();
            let class = usize::from(draft.class.number());
            head.counts[class] += 1;
            tables.put(Table::Positions, &position(*session, 0, draft.class, head.counts[class]), &at)?;
            if let Some(counts) = &mut in_thread {
                counts[class] += 1;
                tables.put(Table::Positions, &position(*session, *thread, draft.class, counts[class]), &at)?;
            }
            if clock.feed == Feed::With {
                head.changes += 1;
                let what = [&[1][..], &head.last.to_be_bytes(), &id].concat();
                tables.put(Table::Changes, &event(*session, head.changes), &what)?;
            }
        }
        if let Some(counts) = in_thread {
            threads.insert(numbered(*session, *thread), counts);
        }
    }
    for (session, (before, head)) in &heads {
        tables.put(Table::Heads, &session.to_be_bytes(), &head.encode())?;
        tables.remove(Table::Activity, &activity(*before, *session))?;
        tables.put(Table::Activity, &activity(head.updated_at, *session), &head.shown())?;
    }
    for (key, counts) in &threads {
        tables.put(Table::Threads, key, &encode_counts(counts))?;
    }
    Ok(())
}

/// Soft-deletes messages, and gives those that remain their new ranks: once for all of them.
pub fn delete(tables: &mut impl Write, clock: &Clock, session: u32, numbers: &[u32]) -> Result {
    let mut head = Head::get(tables, session)?;
    let (before, old) = (head.updated_at, head.counts);
    let threaded = tables.get(Table::Threads, &numbered(session, 1), decode_counts)?;
    for number in numbers {
        let key = numbered(session, *number);
        let bytes = tables.get(Table::Messages, &key, |bytes| Ok(bytes.to_vec()))?;
        let mut bytes = bytes.ok_or("a message to delete is not there")?;
        row::delete(&mut bytes);
        tables.put(Table::Messages, &key, &bytes)?;
        if clock.feed == Feed::With {
            head.changes += 1;
            let what = [&[2][..], &number.to_be_bytes()].concat();
            tables.put(Table::Changes, &event(session, head.changes), &what)?;
        }
    }
    head.deleted += numbers.len() as u32;
    head.updated_at = now().max(head.updated_at);
    head.counts = rank(tables, session, 0, &old, numbers)?;
    if let Some(old) = threaded {
        let counts = rank(tables, session, 1, &old, numbers)?;
        tables.put(Table::Threads, &numbered(session, 1), &encode_counts(&counts))?;
    }
    tables.put(Table::Heads, &session.to_be_bytes(), &head.encode())?;
    tables.remove(Table::Activity, &activity(before, session))?;
    tables.put(Table::Activity, &activity(head.updated_at, session), &head.shown())
}

/// Ranks the messages of a scope anew, without those that are `gone`.
fn rank(tables: &mut impl Write, session: u32, thread: u32, old: &Counts, gone: &[u32]) -> Result<Counts> {
    let mut counts = Counts::default();
    for (class, old) in Class::ALL.into_iter().zip(old) {
        let count = &mut counts[usize::from(class.number())];
        let mut kept = Vec::new();
        for rank in 1..=*old {
            let key = position(session, thread, class, rank);
            let at = tables.get(Table::Positions, &key, |at| Ok(at.to_vec()))?.ok_or("a position is missing")?;
            let (number, _) = super::at_position(&at)?;
            if gone.binary_search(&number).is_err() {
                kept.push(at);
            }
        }
        for at in kept {
            *count += 1;
            tables.put(Table::Positions, &position(session, thread, class, *count), &at)?;
        }
        for rank in *count + 1..=*old {
            tables.remove(Table::Positions, &position(session, thread, class, rank))?;
        }
    }
    Ok(counts)
}
