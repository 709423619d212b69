//! Writing, which one thread at a time does: it runs the verbs of a group of operations over one open transaction, and
//! commits them. A caller that finds nobody writing is that thread for its own operation; else it is the writer
//! thread, for all that have queued.
//!
//! A group becomes durable in the log: its record goes to the thread of the log before the last operation is
//! applied, so that the disk syncs it while redb commits in memory. Once both are done it is published, and
//! everyone of it is answered, in the order of the groups ([`Flow`]). Now and then a checkpoint makes durable
//! what redb has, and the log begins anew.
//!
//! A refusal waits for what came before it: it may rest on a write that a crash could still take back.

mod dirty;
mod durability;
mod flow;
mod job;
mod logger;
mod shared;
#[cfg(test)]
mod tests;

pub use durability::Durability;
pub(super) use job::Job;
pub(super) use logger::{Entry, run as run_log};
pub(super) use shared::{Keeping, Shared};

use redb::WriteTransaction;
use uuid::Uuid;

use self::dirty::Dirty;
use self::flow::Done;
use super::cleaning::{Cleaning, Next};
use super::codec::GroupRow;
use super::log::Log;
use super::tables::Table;
use super::view::Snapshot;
use super::write_set::WriteSet;
use super::{fault, file};
use crate::error::{Error, Result};
use crate::limit::{CHECKPOINT_IDLE_MS, GROUP_BYTES, GROUP_OPERATIONS};
use crate::sync::{Arc, Receiver, Sender, Silence, is_drained, offer, receive_within};
use crate::time::{Duration, Stopwatch};

/// What the writer thread is told.
pub(super) enum Task {
    /// An operation.
    Job(Job),
    /// Someone else wrote: there is something to make durable now or when nothing happens for a while.
    Look,
}

/// The writer thread's whole life: it ends when the last sender is gone.
pub(super) fn run(shared: &Shared, tasks: &Receiver<Task>, mut cleaning: Cleaning) {
    let idle = Duration::from_millis(CHECKPOINT_IDLE_MS);
    loop {
        // Those who write alone tell nothing of it: only the flow knows.
        let seen = shared.flow.last();
        let next = match cleaning.next(tasks) {
            Next::Step(step) => {
                let mut writer = shared.writer.lock();
                writer.group(shared, vec![step]);
                writer.checkpoint_if_due(shared);
                continue;
            }
            Next::Task(task) => Ok(task),
            Next::Wait if shared.writer.lock().dirty.is_any() => receive_within(tasks, idle),
            Next::Wait => tasks.recv().map_err(|_| Silence::Gone),
        };
        match next {
            Ok(Task::Job(first)) => {
                let group = collect(first, tasks);
                cleaning.served(&group);
                let mut writer = shared.writer.lock();
                writer.group(shared, group);
                writer.checkpoint_if_due(shared);
            }
            Ok(Task::Look) => shared.writer.lock().checkpoint_if_due(shared),
            Err(Silence::TimedOut) if shared.flow.last() == seen => shared.writer.lock().checkpoint(shared),
            Err(Silence::TimedOut) => {}
            Err(Silence::Gone) => return,
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
    /// To the thread of the log; none where there is no log.
    entries: Option<Sender<Entry>>,
    /// The log that the file names; none before the first write.
    named: Option<Uuid>,
    /// What stands in redb and is not durable there.
    dirty: Dirty,
}

/// How a group becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// By a record of the log.
    Logged,
    /// By its commit, as far as anything is kept.
    Committed,
}

/// A group that was applied: its number, how it becomes durable, and what it is to be read as. One that
/// wrote nothing has the number of the one before it.
type Written = (u64, Option<(Made, Arc<Snapshot>)>);

/// Why a group was not applied.
enum Refused {
    /// Nothing began; the next group may fare better.
    Before(Error),
    /// The storage failed, and no more is written.
    Broken(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Broken(error)
    }
}

impl Writer {
    fn new(segment_bytes: usize) -> Self {
        Writer { entries: None, named: None, dirty: Dirty::new(segment_bytes) }
    }

    /// Runs an operation on the thread of its caller, where nobody else writes: two threads less to wake. Gives it
    /// back where somebody does.
    pub(super) fn alone(shared: &Shared, job: Job, tasks: &Sender<Task>) -> Result<(), Job> {
        let Some(mut writer) = shared.writer.try_lock().filter(|_| is_drained(tasks)) else { return Err(job) };
        let was_dirty = writer.dirty.is_any();
        writer.group(shared, vec![job]);
        if writer.dirty.is_any() && (!was_dirty || writer.dirty.is_due()) {
            // A full queue looks after the next group anyway.
            offer(tasks, Task::Look);
        }
        Ok(())
    }

    /// Runs a group, and hands it on to be published and answered.
    fn group(&mut self, shared: &Shared, mut group: Vec<Job>) {
        let flow = &shared.flow;
        // The disk is not to fall behind without bound: what comes meanwhile makes larger groups.
        flow.wait_for_room();
        match self.write(shared, &mut group) {
            Ok((number, None)) => {
                flow.applied(Done { number, snapshot: None, group });
                shared.settle();
            }
            Ok((number, Some((made, snapshot)))) => {
                flow.applied(Done { number, snapshot: Some(snapshot), group });
                if made == Made::Committed {
                    flow.synced(number);
                }
                shared.settle();
            }
            Err(Refused::Before(error)) => flow::refuse(group, &error),
            Err(Refused::Broken(error)) => {
                flow.fail(&error.to_string());
                shared.settle();
                flow::refuse(group, &error);
            }
        }
    }

    fn write(&mut self, shared: &Shared, group: &mut [Job]) -> Result<Written, Refused> {
        let slot = shared.database.lock();
        let database = slot.as_ref().ok_or_else(|| Refused::Before(Error::closed()))?;
        shared.flow.check_sound().map_err(Refused::Before)?;
        let before = shared.flow.last();
        let number = before + 1;
        let mut transaction = database.begin_write().map_err(fault::transaction)?;
        let ran = fault::guarded(|| self.run(shared, &transaction, group));
        let (record, last) = match ran {
            Ok(Some(ran)) => ran,
            // Explicitly: a transaction dropped by an unwinding thread marks the file for repair.
            Ok(None) => {
                transaction.abort().map_err(fault::storage)?;
                return Ok((before, None));
            }
            Err(error) => {
                transaction.abort().map_err(fault::storage)?;
                return Err(error.into());
            }
        };
        let (made, new_log) = match self.decide(shared, record.len(), number) {
            Ok(decided) => decided,
            Err(error) => {
                transaction.abort().map_err(fault::storage)?;
                return Err(Refused::Before(error));
            }
        };
        let snapshot = fault::committing(|| {
            if let (Made::Logged, Some(entries)) = (made, &self.entries) {
                self.dirty.logged(record.len());
                // From here on the disk is at work beside this thread.
                entries.send(Entry::Record { number, record }).map_err(|_| Error::closed())?;
            }
            let named = new_log.as_ref().map(|log| log.origin().log).or(self.named);
            let row = GroupRow { number, log: named.map(|log| *log.as_bytes()) };
            let applied = fault::guarded(|| {
                let mut view = shared.tables(&transaction)?;
                last.apply(&mut view)?;
                file::number(view.table_mut(Table::Meta), row)
            });
            if let Err(error) = applied {
                return transaction.abort().map_err(fault::storage).and(Err(error));
            }
            match made {
                Made::Committed if !matches!(shared.keeping, Keeping::Memory) => file::durable(&mut transaction)?,
                Made::Committed | Made::Logged => file::in_memory(&mut transaction)?,
            }
            transaction.commit().map_err(fault::commit)?;
            shared::snapshot(database, &shared.around)
        })?;
        if made == Made::Committed {
            self.committed(shared, number, new_log);
        }
        Ok((number, Some((made, Arc::new(snapshot)))))
    }

    /// Runs every verb of the group on what those before it wrote. The record of it all, and the writes of the last
    /// one, which are yet to be applied; none where nothing is to be written.
    fn run(
        &mut self,
        shared: &Shared,
        transaction: &WriteTransaction,
        group: &mut [Job],
    ) -> Result<Option<(Vec<u8>, WriteSet)>> {
        let mut view = shared.tables(transaction)?;
        let mut record = Vec::new();
        let mut last: Option<WriteSet> = None;
        for job in group {
            if let Some(before) = &mut last {
                std::mem::take(before).apply(&mut view)?;
            }
            if let Some(writes) = job.operation.run(&view).filter(|writes| !writes.is_empty()) {
                if self.entries.is_some() {
                    writes.log(&view, &mut record)?;
                    self.dirty.note(&writes);
                }
                last = Some(writes);
            }
        }
        Ok(last.map(|last| (record, last)))
    }

    /// How a group of this number is to become durable, whose record has so many bytes; and the log made for it.
    fn decide(&self, shared: &Shared, record: usize, number: u64) -> Result<(Made, Option<Log>)> {
        if self.entries.is_none() {
            return Ok((Made::Committed, None));
        }
        if self.named.is_none() {
            // Only a durable commit can name the log in the file.
            return Ok((Made::Committed, shared.make_log(number)?));
        }
        Ok((if self.dirty.leaves_room_for(record) { Made::Logged } else { Made::Committed }, None))
    }

    /// Everything up to this group is in the file for good.
    fn committed(&mut self, shared: &Shared, number: u64, new_log: Option<Log>) {
        self.dirty.clean();
        if let Some(log) = new_log {
            self.named = Some(log.origin().log);
            shared.log.lock().replace(log);
        }
        if let Some(entries) = &self.entries {
            // Its thread ends after this one.
            let _ = entries.send(Entry::Freed(number));
        }
    }

    fn checkpoint_if_due(&mut self, shared: &Shared) {
        if self.dirty.is_due() {
            self.checkpoint(shared);
        }
    }

    /// Makes durable in the file what stands in the log.
    fn checkpoint(&mut self, shared: &Shared) {
        let slot = shared.database.lock();
        let Some(database) = slot.as_ref().filter(|_| shared.flow.check_sound().is_ok()) else { return };
        let number = shared.flow.last();
        let began = Stopwatch::start();
        let row = GroupRow { number, log: self.named.map(|log| *log.as_bytes()) };
        match fault::guarded(|| file::checkpoint(database, row)) {
            Ok(()) => {
                self.dirty.took(began.elapsed());
                self.committed(shared, number, None);
                shared.flow.synced(number);
            }
            Err(error) => shared.flow.fail(&error.to_string()),
        }
        shared.settle();
    }
}
