//! Writing, which one thread at a time does: it runs the verbs of a group of operations, each on what those before it
//! wrote, and puts their writes into memory over the file. A caller that finds nobody writing is that thread for its
//! own operation; else it is the writer thread, for all that have queued.
//!
//! A group becomes durable in the log: who writes alone syncs it on the same thread, with nobody to wake; a group
//! of many goes to the thread of the log, so that the next runs while the disk is at work. Once it is durable it is
//! published, and everyone of it is answered, in the order of the groups ([`Flow`](flow::Flow)). Now and then the
//! thread of the file writes what has gathered in memory into it ([`checkpoint`]).
//!
//! A refusal waits for what came before it: it may rest on a write that a crash could still take back.

mod amount;
mod checkpoint;
mod durability;
mod flow;
mod job;
mod logger;
mod shared;
#[cfg(test)]
mod tests;

pub(super) use checkpoint::{Look, run as run_checkpoints};
pub use durability::Durability;
pub(super) use job::Job;
pub(super) use logger::{Entry, run as run_log};
pub(super) use shared::{Keeping, Shared};

use uuid::Uuid;

use self::amount::Amount;
use self::checkpoint::Frozen;
use self::flow::Done;
use super::cleaning::{Cleaning, Next};
use super::codec::GroupRow;
use super::fault;
use super::log::{Log, Segments};
use super::recent::{Recent, Touched};
use super::snapshot::{Base, Layers, Snapshot};
use super::view::Stage;
use crate::error::{Error, Result};
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
                Writer::group(shared, shared.writer.lock(), vec![step], Way::Overlapped);
                continue;
            }
            Next::Task(task) => Ok(task),
            Next::Wait => tasks.recv(),
        };
        match next {
            Ok(Task::Job(first)) => {
                let group = collect(first, tasks);
                cleaning.served(&group);
                Writer::group(shared, shared.writer.lock(), group, Way::Overlapped);
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
    /// To the thread of the log; none where there is no log.
    entries: Option<Sender<Entry>>,
    /// To the thread of the file.
    looks: Option<Sender<Look>>,
    /// The log that the file names; none before the first write.
    named: Option<Uuid>,
    /// Where the log will put the next record.
    segments: Segments,
    /// The last group whose record went there.
    logged: u64,
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

/// How a group becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On this thread, where nothing else is under way.
    Here,
    /// On the thread of the log, while the next group runs.
    Overlapped,
}

/// How far a group has come.
enum Made {
    /// It is durable.
    Durable,
    /// It is in the file, with all before it, and read from there.
    InTheFile(Option<Base>),
    /// It will be durable once its record is.
    Later,
}

/// What a group wrote.
struct Wrote {
    number: u64,
    /// For the log.
    record: Vec<u8>,
    touched: Touched,
}

impl Writer {
    fn new(keeping: &Keeping) -> Self {
        Writer {
            entries: None,
            looks: None,
            named: None,
            segments: Segments::new(keeping.segment_bytes(), 0, 0),
            logged: 0,
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
        Self::group(shared, writer, vec![job], Way::Here);
        Ok(())
    }

    /// Runs a group, and hands it on to be published and answered.
    fn group(shared: &Shared, mut writer: MutexGuard<'_, Writer>, mut group: Vec<Job>, way: Way) {
        let flow = &shared.flow;
        // The disk is not to fall behind without bound: what comes meanwhile makes larger groups.
        flow.wait_for_room();
        Self::wait_for_log(&mut writer, shared);
        let refused = writer.check(shared).err();
        if let Some(error) = refused {
            drop(writer);
            return flow::refuse(group, &error);
        }
        let way = if flow.is_settled() && flow.durability() == Durability::Sync { way } else { Way::Overlapped };
        let wrote = match writer.run(shared, &mut group) {
            Ok(wrote) => wrote,
            Err(error) => return flow::refuse(group, &error),
        };
        let Some(Wrote { number, record, touched }) = wrote else {
            flow.applied(Done { number: flow.last(), group });
            drop(writer);
            return shared.settle();
        };
        match writer.keep(shared, number, record, way) {
            Ok(made) => {
                flow.applied(Done { number, group });
                if !matches!(made, Made::Later) {
                    flow.synced(number);
                }
                if let Made::InTheFile(base) = made {
                    shared.settle();
                    writer.begin_anew(shared, number, base);
                }
            }
            Err(Refused::Before(error)) => {
                writer.recent.undo(number, touched);
                return flow::refuse(group, &error);
            }
            Err(Refused::InDoubt(error)) => {
                flow.applied(Done { number, group });
                flow.fail(&error.to_string());
            }
        }
        writer.note(shared);
        drop(writer);
        shared.settle();
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
        self.named.is_none() || self.segments.fits(most_logged(shared))
    }

    /// Refuses once nothing can be written any more.
    fn check(&self, shared: &Shared) -> Result<()> {
        if self.is_closed { Err(Error::closed()) } else { shared.flow.check_sound() }
    }

    /// Runs every verb of the group on what those before it wrote; none where nothing is to be written.
    fn run(&mut self, shared: &Shared, group: &mut [Job]) -> Result<Option<Wrote>> {
        let (layers, number, oldest) = (shared.flow.layers()?, shared.flow.last() + 1, shared.flow.oldest());
        let mut wrote: Option<Wrote> = None;
        for job in group {
            let view = Snapshot::new(layers.clone(), number, Stage::Open);
            let Some(writes) = job.operation.run(&view).filter(|writes| !writes.is_empty()) else { continue };
            let wrote = wrote.get_or_insert_with(|| Wrote { number, record: Vec::new(), touched: Touched::default() });
            if self.entries.is_some() {
                let before = wrote.record.len();
                if let Err(error) = fault::guarded(|| writes.log(&view, &mut wrote.record)) {
                    wrote.record.truncate(before);
                    job.operation.refuse(error);
                    continue;
                }
            }
            self.recent.apply(number, writes, oldest, &mut wrote.touched);
        }
        Ok(wrote.filter(|wrote| !wrote.touched.is_empty()))
    }

    /// Makes a group durable, or sees to it.
    fn keep(&mut self, shared: &Shared, number: u64, record: Vec<u8>, way: Way) -> Result<Made, Refused> {
        let Some(entries) = &self.entries else {
            // As far as anything is kept.
            self.amount.add(0);
            return Ok(Made::Durable);
        };
        // Only a durable commit can name the log in the file.
        let new_log = match self.named {
            None => shared.make_log(number).map_err(Refused::Before)?,
            Some(_) => None,
        };
        if self.named.is_none() || record.len() > most_logged(shared) {
            return self.commit(shared, number, new_log).map(Made::InTheFile).map_err(Refused::InDoubt);
        }
        let last = std::mem::replace(&mut self.logged, number);
        self.segments.append(number, record.len());
        self.amount.add(record.len());
        if way == Way::Here
            && let Some(log) = shared.log.lock().as_mut().filter(|log| log.appended() >= last)
        {
            return self.log_here(log, number, &record).map(|()| Made::Durable).map_err(Refused::InDoubt);
        }
        match entries.send(Entry::Record { number, record }) {
            Ok(()) => Ok(Made::Later),
            Err(_) => Err(Refused::InDoubt(Error::closed())),
        }
    }

    /// Writes a record into the log and syncs it. Its thread has written all before it.
    fn log_here(&self, log: &mut Log, number: u64, record: &[u8]) -> Result<()> {
        fault::guarded(|| {
            // That thread may not have heard of it yet.
            log.free(self.segments.freed());
            log.append(number, record)?;
            log.sync()
        })
    }

    /// Makes a group durable by writing it into the file, with all that was written before. What is read from then on.
    fn commit(&mut self, shared: &Shared, number: u64, new_log: Option<Log>) -> Result<Option<Base>> {
        let newest = Frozen { recent: Arc::clone(&self.recent), until: number };
        let named = new_log.as_ref().map(|log| log.origin().log).or(self.named);
        let row = GroupRow { number, log: named.map(|log| *log.as_bytes()) };
        let base = match shared.database.lock().as_mut() {
            Some(filed) => filed.put(&shared.keeping, self.frozen.iter().chain([&newest]), row)?,
            None => return Err(Error::closed()),
        };
        if let Some(log) = new_log {
            (self.named, self.segments, self.logged) = (named, log.segments(), number);
            shared.log.lock().replace(log);
        }
        Ok(base)
    }

    /// The file has all that was written, for good, up to a group.
    fn begin_anew(&mut self, shared: &Shared, number: u64, base: Option<Base>) {
        // After a failure the file has what is in doubt, and nobody is to read it.
        if shared.flow.shown() < number {
            return;
        }
        (self.frozen, self.recent, self.amount, self.is_noted) = Default::default();
        self.free(shared, number);
        let recent = vec![Arc::clone(&self.recent)];
        shared.arrange(|layers| Layers { base: base.map_or(layers.base, Arc::new), recent, ..layers });
    }

    /// The file has everything up to a group for good.
    fn free(&mut self, shared: &Shared, until: u64) {
        if let Some(entries) = &self.entries {
            // Its thread ends after this one.
            let _ = entries.send(Entry::Freed(until));
        }
        self.segments.free(until);
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
    shared.keeping.segment_bytes() / 4
}

/// Why a group was not written.
enum Refused {
    /// Nothing of it was kept; the next group may fare better.
    Before(Error),
    /// The storage failed, and no more is written.
    InDoubt(Error),
}
