//! Writing, which one thread at a time does: it runs the verbs of a group of operations, each on what those before it
//! wrote, puts their writes into memory over the file and their record into the log, syncs it, shows the new state and
//! answers everyone. What arrives meanwhile is the next group. A caller that finds nobody writing is that thread for its
//! own operation; else it is the writer thread, for all that have queued.
//!
//! Now and then the thread of the file writes what has gathered in memory into it ([`checkpoint`]).
//!
//! A refusal waits for what came before it: it may rest on a write that a crash could still take back.

mod amount;
mod checkpoint;
mod compact;
mod durability;
mod job;
mod shared;
mod shown;
mod syncing;
#[cfg(test)]
mod tests;

pub(super) use checkpoint::{Look, run as run_checkpoints};
pub use durability::Durability;
pub(super) use job::Job;
pub(super) use shared::{Keeping, Shared};
pub(super) use syncing::{Unsynced, run as run_syncs, sync_now};

use uuid::Uuid;

use self::amount::Amount;
use self::checkpoint::{Frozen, Put};
use super::cleaning::{Cleaning, Next};
use super::codec::GroupRow;
use super::fault;
use super::log::{Log, Room};
use super::recent::{Recent, Touched};
use super::snapshot::{Layers, Snapshot};
use super::tables::Table;
use super::view::Stage;
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{GROUP_BYTES, GROUP_OPERATIONS};
use crate::sync::{Arc, MutexGuard, Receiver, Sender, is_drained, offer};

/// What the writer thread is told.
pub(super) enum Task {
    /// An operation.
    Job(Job),
    /// A session was deleted: there is something to clear away.
    Look,
}

/// The writer thread's whole life: it ends when the last sender is gone.
pub(super) fn run(shared: &Shared, tasks: &Receiver<Task>, mut cleaning: Cleaning) {
    loop {
        let next = match cleaning.next(tasks) {
            Next::Step(step) => {
                Writer::group(shared, shared.writer.lock(), vec![step]);
                continue;
            }
            Next::Task(task) => Ok(task),
            Next::Wait => tasks.recv(),
        };
        match next {
            Ok(Task::Job(first)) => {
                let writer = shared.writer.lock();
                let group = collect(first, tasks);
                cleaning.served(&group);
                Writer::group(shared, writer, group);
            }
            Ok(Task::Look) => {}
            Err(_) => return,
        }
    }
}

/// What has queued, within bounds.
fn collect(first: Job, tasks: &Receiver<Task>) -> Vec<Job> {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while group.len() < GROUP_OPERATIONS && bytes < GROUP_BYTES {
        match tasks.try_recv() {
            Ok(Task::Job(job)) => {
                bytes = bytes.saturating_add(job.bytes);
                group.push(job);
            }
            // What it asks for is looked at after every group.
            Ok(Task::Look) => {}
            Err(_) => break,
        }
    }
    group
}

/// What it takes to write: one thread has it at a time.
pub(super) struct Writer {
    /// To the thread that syncs the log, where somebody else than the writer does.
    unsynced: Option<Sender<Unsynced>>,
    /// To the thread of the file.
    looks: Option<Sender<Look>>,
    /// The log that the file names; none before the first write.
    named: Option<Uuid>,
    /// Where the next group is written.
    recent: Arc<Recent>,
    /// How much stands there.
    amount: Amount,
    /// What a checkpoint is writing into the file.
    frozen: Option<Frozen>,
    /// The thread of the file knows that there is something to write, and that it is time, as far as it is.
    is_noted: Noted,
    /// The log has no room for what comes next.
    is_starved: bool,
    is_closed: bool,
}

/// What the thread of the file knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Noted {
    #[default]
    Nothing,
    Something,
    Due,
}

/// What a group wrote.
struct Wrote {
    number: u64,
    /// For the log.
    record: Vec<u8>,
    touched: Touched,
}

impl Writer {
    fn new() -> Self {
        Writer {
            unsynced: None,
            looks: None,
            named: None,
            recent: Arc::default(),
            amount: Amount::default(),
            frozen: None,
            is_noted: Noted::default(),
            is_starved: false,
            is_closed: false,
        }
    }

    /// Runs an operation on the thread of its caller, where nobody else writes: no thread to wake. Gives it
    /// back where somebody does.
    pub(super) fn alone(shared: &Shared, job: Job, tasks: &Sender<Task>) -> Result<(), Job> {
        let Some(writer) = shared.writer.try_lock().filter(|_| is_drained(tasks)) else { return Err(job) };
        Self::group(shared, writer, vec![job]);
        Ok(())
    }

    /// Runs a group, makes it durable, shows it and answers everyone.
    fn group(shared: &Shared, mut writer: MutexGuard<'_, Writer>, mut group: Vec<Job>) {
        Self::wait_for_log(&mut writer, shared);
        let ran = writer.check(shared).and_then(|()| writer.run(shared, &mut group));
        let kept = match ran {
            Ok(None) => Ok(()),
            Ok(Some(wrote)) => writer.keep(shared, wrote),
            Err(error) => Err(error),
        };
        writer.note(shared);
        // Who is woken finds the way free.
        drop(writer);
        match kept {
            Ok(()) => group.into_iter().for_each(|job| job.operation.answer(Ok(()))),
            Err(error) => refuse(group, &error),
        }
    }

    /// Waits until the log has room for the largest record that it takes.
    fn wait_for_log(writer: &mut MutexGuard<'_, Writer>, shared: &Shared) {
        while !writer.has_room(shared) && writer.check(shared).is_ok() {
            writer.is_starved = true;
            writer.note(shared);
            shared.freed.wait(writer);
        }
    }

    fn has_room(&self, shared: &Shared) -> bool {
        let room = |log: &Log| log.room(most_logged(shared)) == Room::Fits;
        shared.log.lock().as_ref().is_none_or(room)
    }

    /// Refuses once nothing can be written any more.
    fn check(&self, shared: &Shared) -> Result<()> {
        if self.is_closed { Err(Error::closed()) } else { shared.shown.check_sound() }
    }

    /// Runs every verb of the group on what those before it wrote; none where nothing is to be written.
    fn run(&mut self, shared: &Shared, group: &mut [Job]) -> Result<Option<Wrote>> {
        let (shown, layers) = (shared.snapshot()?, shared.shown.layers()?);
        let (number, oldest) = (shared.shown.group() + 1, shared.shown.oldest());
        let mut wrote: Option<Wrote> = None;
        for job in group {
            // The first finds what readers see, and what is kept of it in memory.
            let view = match &wrote {
                None => Arc::clone(&shown),
                Some(_) => Arc::new(Snapshot::new(layers.clone(), number, Stage::Open)),
            };
            let Some(writes) = job.operation.run(&*view).filter(|writes| !writes.is_empty()) else { continue };
            let wrote = wrote.get_or_insert_with(|| Wrote { number, record: Vec::new(), touched: Touched::default() });
            if shared.is_logged() {
                let before = wrote.record.len();
                if let Err(error) = fault::guarded(|| writes.log(&*view, &mut wrote.record)) {
                    wrote.record.truncate(before);
                    job.operation.refuse(error);
                    continue;
                }
            }
            self.recent.apply(number, writes, oldest, &mut wrote.touched);
        }
        Ok(wrote.filter(|wrote| !wrote.touched.is_empty()))
    }

    /// Makes a group durable, and shows it.
    fn keep(&mut self, shared: &Shared, wrote: Wrote) -> Result<()> {
        let Wrote { number, record, touched } = wrote;
        if is_planted(Bug::ReadUnsynced) {
            shared.shown.show(number);
        }
        let kept = match (&shared.keeping, self.named) {
            // As far as anything is kept.
            (Keeping::Memory, _) => {
                self.amount.add(0);
                shared.shown.show(number);
                Ok(())
            }
            (Keeping::File, _) => self.commit(shared, number, None),
            // Only a durable commit can name the log in the file.
            (Keeping::Log { .. }, None) => match shared.make_log(number) {
                Ok(new_log) => self.commit(shared, number, new_log),
                Err(error) => {
                    self.recent.undo(number, touched);
                    return Err(error);
                }
            },
            (Keeping::Log { .. }, Some(_)) if record.len() > most_logged(shared) => self.commit(shared, number, None),
            (Keeping::Log { .. }, Some(_)) => self.log(shared, number, &record, &touched),
        };
        kept.map_err(|error| {
            shared.fail(&error);
            let text =
                format!("a write failed ({error}); whether this one is on disk shows when the file is opened again");
            Error::new(ErrorKind::OutcomeUnknown, text).with_source(error)
        })
    }

    /// Makes a group durable by its record in the log, now or in time.
    fn log(&mut self, shared: &Shared, number: u64, record: &[u8], touched: &Touched) -> Result<()> {
        fault::guarded(|| {
            let mut slot = shared.log.lock();
            let log = slot.as_mut().ok_or_else(Error::closed)?;
            log.append(number, record)?;
            if self.unsynced.is_none() {
                log.sync()?;
            }
            Ok(())
        })?;
        self.amount.add(record.len());
        if let Some(unsynced) = &self.unsynced {
            // Where one waits to be heard, it says this too.
            offer(unsynced, Unsynced);
        }
        if touched.has(Table::Meta) {
            shared.shown.show(number);
        } else {
            shared.shown.show_as_old(number);
        }
        Ok(())
    }

    /// Makes a group durable by writing it into the file, with all that was written before.
    fn commit(&mut self, shared: &Shared, number: u64, new_log: Option<Log>) -> Result<()> {
        let newest = Frozen { recent: Arc::clone(&self.recent), until: number };
        let named = new_log.as_ref().map(|log| log.origin().log).or(self.named);
        let row = GroupRow { number, log: named.map(|log| *log.as_bytes()) };
        let base = match shared.database.lock().as_mut() {
            Some(filed) => match filed.put(&shared.keeping, self.frozen.iter().chain([&newest]), row)? {
                Put::Something => Some(filed.base()?),
                Put::Nothing => None,
            },
            None => return Err(Error::closed()),
        };
        if let Some(log) = new_log {
            self.named = named;
            shared.log.lock().replace(log);
        }
        (self.frozen, self.recent, self.amount, self.is_noted) = Default::default();
        self.free(shared, number);
        let recent = vec![Arc::clone(&self.recent)];
        shared.shown.arrange(|layers| Layers { base: base.map_or(layers.base, Arc::new), recent, ..layers });
        shared.shown.show(number);
        Ok(())
    }

    /// The file has everything up to a group for good.
    fn free(&mut self, shared: &Shared, until: u64) {
        if let Some(log) = shared.log.lock().as_mut() {
            log.free(until);
        }
        self.is_starved = false;
        shared.freed.notify_all();
    }

    /// Tells the thread of the file what it does not know.
    fn note(&mut self, shared: &Shared) {
        let note = match (self.amount.is_any(), self.is_due(shared)) {
            (_, true) => Noted::Due,
            (true, false) => Noted::Something,
            (false, false) => Noted::Nothing,
        };
        if let Some(looks) = self.looks.as_ref().filter(|_| note > self.is_noted) {
            // Where it has not come to an earlier one, it will see this too.
            offer(looks, Look);
            self.is_noted = note;
        }
    }
}

/// Bytes of the largest record that the log takes: a larger group is a commit of the file.
fn most_logged(shared: &Shared) -> usize {
    shared.keeping.segment_bytes() / 2
}

/// Answers everyone of a group with an error.
fn refuse(group: Vec<Job>, error: &Error) {
    for job in group {
        // Errors are not `Clone`: each caller gets its own of the same kind and text.
        job.operation.answer(Err(Error::new(error.kind(), error.to_string())));
    }
}
