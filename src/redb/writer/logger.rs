//! The thread of the log: it writes the records that have come, and syncs them, at once or within the time that
//! the durability says.

use super::shared::Shared;
use crate::error::Result;
use crate::redb::fault;
use crate::redb::log::Log;
use crate::sync::{Receiver, Silence, receive_within};
use crate::time::Stopwatch;

/// What the log is told, in the order of the groups.
pub(in crate::redb) enum Entry {
    /// The writes of a group.
    Record { number: u64, record: Vec<u8> },
    /// The database has everything up to this group for good.
    Freed(u64),
}

/// The thread's whole life: it ends when the writer is gone.
pub(in crate::redb) fn run(shared: &Shared, entries: &Receiver<Entry>) {
    let within = shared.flow.durability().within();
    // Since when a record waits to be synced.
    let mut waiting: Option<Stopwatch> = None;
    loop {
        let next = match (waiting, within) {
            (Some(since), Some(within)) => receive_within(entries, within.saturating_sub(since.elapsed())),
            _ => entries.recv().map_err(|_| Silence::Gone),
        };
        let first = match next {
            Ok(first) => Some(first),
            Err(Silence::TimedOut) => None,
            Err(Silence::Gone) => return,
        };
        let is_due = within.is_none_or(|within| waiting.is_some_and(|since| since.elapsed() >= within));
        let mut slot = shared.log.lock();
        // Taken once closed, when the database has everything.
        let Some(log) = slot.as_mut() else { continue };
        let written = fault::guarded(|| {
            write(log, first, entries)?;
            if is_due {
                log.sync()?;
            }
            Ok((log.synced(), log.appended()))
        });
        drop(slot);
        match written {
            Ok((synced, appended)) => {
                waiting = (synced < appended).then(|| waiting.unwrap_or_else(Stopwatch::start));
                shared.flow.synced(synced);
            }
            Err(error) => shared.flow.fail(&error.to_string()),
        }
        shared.settle();
    }
}

/// Writes an entry and those that have queued behind it.
fn write(log: &mut Log, first: Option<Entry>, entries: &Receiver<Entry>) -> Result<()> {
    let mut next = first;
    while let Some(entry) = next {
        match entry {
            Entry::Record { number, record } => log.append(number, &record)?,
            Entry::Freed(number) => log.free(number),
        }
        next = entries.try_recv().ok();
    }
    Ok(())
}
