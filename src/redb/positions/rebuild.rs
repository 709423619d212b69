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
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_fails_otherwise_is_not_taken_for_damage() {
        assert_eq!(unless_damaged(Err::<(), _>(Error::corrupt("a row"))).expect("it is passed over"), None);
        let failed = unless_damaged(Err::<(), _>(Error::new(ErrorKind::Storage, "the disk"))).expect_err("it failed");
        assert_eq!(failed.kind(), ErrorKind::Storage);
    }
}
