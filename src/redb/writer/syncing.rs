//! The thread of deferred durability: it syncs the log within the time that was promised.

use super::shared::Shared;
use crate::error::Result;
use crate::redb::fault;
use crate::sync::{Receiver, Silence, receive_within};
use crate::time::{Duration, Stopwatch};

/// Something was written that is not synced.
pub(in crate::redb) struct Unsynced;

/// The thread's whole life: it ends when the store is closed.
pub(in crate::redb) fn run(shared: &Shared, within: Duration, notes: &Receiver<Unsynced>) {
    while notes.recv().is_ok() {
        if wait(notes, within, Stopwatch::start()) == Silence::Gone {
            return;
        }
        // Its error is told to whoever writes next.
        let _ = sync_now(shared);
    }
}

/// Waits until it is time. What is noted meanwhile is synced with the rest, and however much that is, it puts nothing off.
fn wait(notes: &Receiver<Unsynced>, within: Duration, since: Stopwatch) -> Silence {
    loop {
        if let Err(silence) = receive_within(notes, within.saturating_sub(since.elapsed())) {
            return silence;
        }
    }
}

/// Syncs what was written. Where that fails, nothing more is written.
pub(in crate::redb) fn sync_now(shared: &Shared) -> Result<()> {
    fault::guarded(|| sync(shared)).inspect_err(|error| shared.fail(error))
}

/// Syncs the log. Writing to it goes on meanwhile.
fn sync(shared: &Shared) -> Result<()> {
    // Taken once closed, when the file has everything.
    let Some((file, until)) = shared.log.lock().as_ref().map(|log| (log.file(), log.appended())) else {
        return Ok(());
    };
    let synced = file.sync_data();
    match shared.log.lock().as_mut() {
        Some(log) => log.was_synced(until, synced),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{bounded, offer};

    #[test]
    fn however_much_is_noted_the_sync_is_not_put_off() {
        let (noted, notes) = bounded(2);
        offer(&noted, Unsynced);
        offer(&noted, Unsynced);
        assert_eq!(wait(&notes, Duration::ZERO, Stopwatch::start()), Silence::TimedOut);
        assert_eq!(notes.len(), 2, "it is time, and more is taken first");
    }
}
