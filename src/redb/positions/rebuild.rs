//! Positions that are damaged, made again from the messages, so that damage to them is no more
//! than a delay.

use super::Class;
use super::directory::Directory;
use super::list::{List, Which};
use super::times::{Entry, Times};
use crate::error::{ErrorKind, Result};
use crate::redb::codec::{kind_of, role_of};
use crate::redb::message;
use crate::redb::view::Read;

/// What a read says, or nothing where it met damage.
pub(in crate::redb) fn unless_damaged<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        read => read.map(Some),
    }
}

/// The entry of a message: from the times, or from its record and its list. None where it
/// cannot be told whether the message was deleted, or what it is.
pub(in crate::redb) fn told(
    view: &dyn Read,
    session: u32,
    times: &mut Times<'_>,
    number: u32,
) -> Result<Option<Entry>> {
    if let Some(entry) = unless_damaged(times.entry(number))? {
        return Ok(Some(entry));
    }
    let told = message::row(view, session, number, |row| {
        Ok(Entry::new(row.ts, Class::of(role_of(row.role)?, kind_of(row.kind)?)))
    });
    let Some(entry) = unless_damaged(told)? else { return Ok(None) };
    let list = List::open(view, session, 0, entry.class());
    let listed = list.and_then(|mut list| Ok(list.rank(number.saturating_add(1))? > list.rank(number)?));
    Ok(unless_damaged(listed)?.map(|listed| if listed { entry } else { entry.deleted() }))
}

/// Whether a message stands in a thread; a damaged one stands in none.
pub(in crate::redb) fn is_in_thread(view: &dyn Read, session: u32, thread: u32, number: u32) -> Result<bool> {
    let told = message::row(view, session, number, |row| Ok(row.thread_number == thread));
    Ok(unless_damaged(told)?.unwrap_or(false))
}

/// A block of times again. A message that cannot be told counts as deleted from then on.
pub(super) fn times_block(view: &dyn Read, session: u32, block: u32, messages: u32) -> Result<Vec<Entry>> {
    let mut times = Times::new(view, session, messages);
    let first = block.saturating_mul(view.block()).saturating_add(1);
    let last = first.saturating_add(view.block() - 1).min(messages);
    let mut entries = Vec::new();
    let mut ts = 0;
    for number in first..=last {
        let entry = told(view, session, &mut times, number)?;
        let entry = entry.unwrap_or_else(|| Entry::new(ts, Class::default()).deleted());
        ts = entry.ts();
        entries.push(entry);
    }
    Ok(entries)
}

/// A list again: its directory, and all of its blocks.
pub(super) fn list(view: &dyn Read, which: Which, messages: u32) -> Result<(Directory, Vec<Vec<u32>>)> {
    let mut times = Times::new(view, which.session, messages);
    let (mut directory, mut blocks, mut open) = (Directory::default(), Vec::new(), Vec::new());
    for number in 1..=messages {
        // Without the list, the times alone tell what was deleted.
        let entry = unless_damaged(times.entry(number))?;
        let due = entry.is_some_and(|entry| !entry.is_deleted() && entry.class() == which.class);
        if !due || which.thread != 0 && !is_in_thread(view, which.session, which.thread, number)? {
            continue;
        }
        if open.len() >= view.block() as usize {
            directory.close(&open);
            blocks.push(std::mem::take(&mut open));
        }
        open.push(number);
    }
    blocks.push(open);
    Ok((directory, blocks))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::error::Error;
    use crate::id::{OwnerId, Stamp};
    use crate::page::MessageQuery;
    use crate::record::{NewMessage, NewSession, NewTurn, Usage};
    use crate::redb::tables::{Table, rows};
    use crate::redb::write_set::WriteSet;
    use crate::redb::{Options, RedbStore};
    use crate::store::{Behaviour, CreateSession, Emit, EnsureAgent, EnsureWorkspace, Runner, SessionRef, Store};
    use crate::time::Timestamp;

    #[test]
    fn what_fails_otherwise_is_not_taken_for_damage() {
        assert_eq!(unless_damaged(Err::<(), _>(Error::corrupt("a row"))).expect("it is passed over"), None);
        let failed = unless_damaged(Err::<(), _>(Error::new(ErrorKind::Storage, "the disk"))).expect_err("it failed");
        assert_eq!(failed.kind(), ErrorKind::Storage);
    }

    fn stamp() -> Stamp {
        Stamp::random(Timestamp::from_micros(1_777_573_302_000_000))
    }

    #[test]
    fn damaged_lists_of_a_thread_are_made_again() {
        let store = RedbStore::in_memory(Options { block: 2, ..Options::default() }).expect("a store");
        let op = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
        let workspace = store.ensure_workspace(op).expect("a workspace").id;
        let op = EnsureAgent { stamp: stamp(), workspace, name: "greeter".into() };
        let agent = store.ensure_agent(op).expect("an agent").id;
        let runner =
            Runner { owner: OwnerId::from_uuid(Uuid::from_u128(1)), lease: None, behaviour: Behaviour::Registered };
        let first = Some((NewTurn::from("question"), runner));
        let op = CreateSession { stamp: stamp(), workspace, agent, new: NewSession::default(), first };
        let first = store.create_session(op).map(|made| (made.session.id, made.first)).expect("a session");
        let (at, turn) = (SessionRef { workspace, session: first.0 }, first.1.expect("its turn"));
        let claim = turn.claim.expect("it runs");
        let emit = |count: usize| {
            let messages = (0..count).map(|nth| NewMessage::text(format!("{nth}"))).collect();
            let stamp = stamp();
            let op = Emit { stamp, at, claim, started_at: stamp.at, messages, usage: Usage::ZERO };
            store.emit(op).expect("they are written");
        };
        emit(7);
        let damaged = store.write(1, |view| {
            let mut writes = WriteSet::default();
            for class in 0..Class::COUNT {
                for key in [rows::block(1, 1, class, 1).to_vec(), rows::directory(1, 1, class)] {
                    if view.get(Table::Rows, &key)?.is_some() {
                        writes.put_value(Table::Rows, key, b"damaged".to_vec());
                    }
                }
            }
            let count = writes.len();
            Ok((writes, count))
        });
        assert!(damaged.expect("it is written") >= 2, "a block and a directory");
        emit(1);
        assert_eq!(store.verify().expect("it verifies"), Vec::<String>::new(), "what writes makes them again");
        let matching = MessageQuery::all().thread(turn.turn.thread_id).matching().expect("it is sound");
        let listed = store.messages(at, matching).expect("a page");
        assert_eq!((listed.total, listed.items.len()), (9, 9));
    }
}
