//! The thread of the log: it writes the records that have come, and syncs them at once.

use super::shared::Shared;
use crate::error::Result;
use crate::redb::fault;
use crate::redb::log::Log;
use crate::sync::Receiver;

/// What the log is told, in the order of the groups.
pub(in crate::redb) enum Entry {
    /// The writes of a group.
    Record { number: u64, record: Vec<u8> },
    /// The database has everything up to this group for good.
    Freed(u64),
}

/// The thread's whole life: it ends when the writer is gone.
pub(in crate::redb) fn run(shared: &Shared, entries: &Receiver<Entry>) {
    while let Ok(first) = entries.recv() {
        let mut slot = shared.log.lock();
        // Taken once closed, when the database has everything.
        let Some(log) = slot.as_mut() else { continue };
        let synced = fault::guarded(|| write(log, first, entries));
        drop(slot);
        match synced {
            Ok(Some(number)) => shared.flow.synced(number),
            Ok(None) => {}
            Err(error) => shared.flow.fail(&error.to_string()),
        }
        shared.settle();
    }
}

/// Writes an entry and those that have queued behind it, and syncs. The last group that is durable by that.
fn write(log: &mut Log, first: Entry, entries: &Receiver<Entry>) -> Result<Option<u64>> {
    let mut last = None;
    let mut next = Some(first);
    while let Some(entry) = next {
        match entry {
            Entry::Record { number, record } => {
                log.append(number, &record)?;
                last = Some(number);
            }
            Entry::Freed(number) => log.free(number),
        }
        next = entries.try_recv().ok();
    }
    log.sync()?;
    Ok(last)
}
