//! The one writer thread: it takes operations from a channel, runs their verbs over one open
//! transaction, commits them as a group, publishes the new snapshot, and only then answers.
//!
//! A refusal waits for the commit too: it may rest on a write of the same group that a crash
//! could still take back.

use redb::{Database, ReadableDatabase};

use super::cleaning::Cleaning;
use super::view::{self, Around, Read, Snapshot, Stage, View};
use super::write_set::WriteSet;
use super::{fault, file};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{GROUP_BYTES, GROUP_OPERATIONS};
use crate::sync::{Arc, Mutex, Receiver, RwLock, Sender, bounded};

/// An operation on its way to the writer.
pub(super) struct Job {
    operation: Box<dyn Operation>,
    bytes: usize,
}

/// A verb that waits for its transaction, and the caller that waits for its answer.
trait Operation: Send {
    /// Runs the verb; its writes, unless it refuses.
    fn run(&mut self, view: &dyn Read) -> Option<WriteSet>;

    /// Answers with what the verb said when the commit went well, else with the commit's error.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Pending<V, T> {
    verb: Option<V>,
    said: Option<Result<T>>,
    caller: Sender<Result<T>>,
}

/// Where the answer of a job arrives.
pub(super) type Answer<T> = Receiver<Result<T>>;

impl Job {
    /// Packs a verb. `bytes` is about what it will write.
    pub(super) fn new<T: Send + 'static>(
        bytes: usize,
        verb: impl FnOnce(&dyn Read) -> Result<(WriteSet, T)> + Send + 'static,
    ) -> (Job, Answer<T>) {
        let (caller, answer) = bounded(1);
        (Job { operation: Box::new(Pending { verb: Some(verb), said: None, caller }), bytes }, answer)
    }
}

impl<V, T> Operation for Pending<V, T>
where
    V: FnOnce(&dyn Read) -> Result<(WriteSet, T)> + Send,
    T: Send,
{
    fn run(&mut self, view: &dyn Read) -> Option<WriteSet> {
        let verb = self.verb.take()?;
        let (writes, said) = match fault::guarded(|| verb(view)) {
            Ok((writes, value)) => (Some(writes), Ok(value)),
            Err(error) => (None, Err(error)),
        };
        self.said = Some(said);
        writes
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Pending { said, caller, .. } = *self;
        // A caller that went away is no matter.
        let _ = caller.send(committed.and_then(|()| said.unwrap_or_else(|| Err(Error::closed()))));
    }
}

/// What the writer, the readers and the closing share.
pub(super) struct Shared {
    /// The file; none once closed.
    pub(super) database: Mutex<Option<Database>>,
    /// The published state; none once closed.
    pub(super) published: RwLock<Option<Arc<Snapshot>>>,
    /// Why no more is written, once a commit failed.
    broken: Mutex<Option<String>>,
    around: Around,
}

impl Shared {
    pub(super) fn new(database: Database, block: u32) -> Result<Self> {
        let around = Around::new(block);
        let published = fault::guarded(|| snapshot_of(&database, &around))?;
        Ok(Shared {
            database: Mutex::new(Some(database)),
            published: RwLock::new(Some(Arc::new(published))),
            broken: Mutex::new(None),
            around,
        })
    }

    /// Closes the file after the commit under way; reads under way are told so.
    pub(super) fn close(&self) -> Result<()> {
        let database = self.database.lock().take();
        self.published.write().take();
        match database {
            Some(database) => database.close().map_err(fault::closing),
            None => Ok(()),
        }
    }
}

fn snapshot_of(database: &Database, around: &Around) -> Result<Snapshot> {
    view::snapshot(around.clone(), &database.begin_read().map_err(fault::transaction)?)
}

/// The writer thread's whole life: it ends when the last sender is gone.
pub(super) fn run(shared: &Shared, jobs: &Receiver<Job>, mut cleaning: Cleaning) {
    while let Some(first) = cleaning.next(jobs, |step| write_group(shared, vec![step])) {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while group.len() < GROUP_OPERATIONS && bytes < GROUP_BYTES {
            let Ok(job) = jobs.try_recv() else { break };
            bytes = bytes.saturating_add(job.bytes);
            group.push(job);
        }
        cleaning.served(bytes);
        write_group(shared, group);
    }
}

/// Runs, commits, publishes, answers.
fn write_group(shared: &Shared, mut group: Vec<Job>) {
    let committed = fault::guarded(|| commit(shared, &mut group));
    if let Err(error) = &committed
        && error.kind() != ErrorKind::Closed
    {
        shared.broken.lock().get_or_insert_with(|| error.to_string());
    }
    for job in group {
        // Errors are not `Clone`: each caller gets its own of the same kind and text.
        let each = committed.as_ref().map_err(|error| Error::new(error.kind(), error.to_string()));
        job.operation.answer(each.copied());
    }
}

fn commit(shared: &Shared, group: &mut [Job]) -> Result<()> {
    let slot = shared.database.lock();
    let database = slot.as_ref().ok_or_else(Error::closed)?;
    if let Some(why) = &*shared.broken.lock() {
        return Err(Error::new(
            ErrorKind::Storage,
            format!("nothing is written until the file is opened again, since an earlier write failed: {why}"),
        ));
    }
    let mut transaction = database.begin_write().map_err(fault::transaction)?;
    file::durable(&mut transaction)?;
    let applied = fault::guarded(|| {
        let mut view = View::open(shared.around.clone(), Stage::Open, |table| {
            transaction.open_table(table.definition()).map_err(fault::table)
        })?;
        apply(&mut view, group)
    });
    match applied {
        Ok(Wrote::Something) => {}
        // Explicitly: a transaction dropped by an unwinding thread marks the file for repair.
        Ok(Wrote::Nothing) => return transaction.abort().map_err(fault::storage),
        Err(error) => return transaction.abort().map_err(fault::storage).and(Err(error)),
    }
    let next = fault::committing(|| {
        transaction.commit().map_err(fault::commit)?;
        snapshot_of(database, &shared.around)
    })?;
    shared.published.write().replace(Arc::new(next));
    Ok(())
}

/// Whether a group has anything to commit: one of refusals and repeats has not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Nothing,
    Something,
}

/// Runs every verb of the group on what those before it wrote.
fn apply(view: &mut View<redb::Table<'_, &'static [u8], &'static [u8]>>, group: &mut [Job]) -> Result<Wrote> {
    let mut wrote = Wrote::Nothing;
    for job in group {
        if let Some(writes) = job.operation.run(&*view).filter(|writes| !writes.is_empty()) {
            writes.apply(view)?;
            wrote = Wrote::Something;
        }
    }
    Ok(wrote)
}

#[cfg(test)]
mod tests {
    use std::io;

    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::id::Stamp;
    use crate::redb::scope;
    use crate::redb::tables::Table;
    use crate::store::EnsureWorkspace;
    use crate::sync::{AtomicU64, Ordering};
    use crate::time::Timestamp;

    /// Storage that fails for good after so many more accesses.
    #[derive(Debug, Clone)]
    struct Failing {
        inner: Arc<InMemoryBackend>,
        left: Arc<AtomicU64>,
    }

    impl Failing {
        fn fail_after(&self, accesses: u64) {
            self.left.store(accesses, Ordering::SeqCst);
        }

        fn access(&self) -> io::Result<&InMemoryBackend> {
            let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map(|_| &*self.inner).map_err(|_| io::Error::other("it is broken"))
        }
    }

    impl StorageBackend for Failing {
        fn len(&self) -> io::Result<u64> {
            self.access()?.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.access()?.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.access()?.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.access()?.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.access()?.write(offset, data)
        }
    }

    /// Without a cache every page is read from the storage.
    fn database(storage: &Failing) -> Database {
        storage.fail_after(u64::MAX);
        redb::Builder::new().set_cache_size(0).create_with_backend(storage.clone()).expect("a database")
    }

    /// A job that writes, and breaks the storage so many accesses after its verb has read what it needs.
    fn write(storage: Failing, accesses: u64) -> (Job, Answer<()>) {
        Job::new(1, move |view| {
            let stamp = Stamp::new(Timestamp::from_micros(1), 1);
            let (writes, _) = scope::ensure_workspace(view, &EnsureWorkspace { stamp, name: "acme".into() })?;
            storage.fail_after(accesses);
            Ok((writes, ()))
        })
    }

    #[test]
    fn whatever_access_fails_an_error_has_written_nothing_or_says_that_it_may_have() {
        let (mut unknown, mut written) = (0, 0);
        for accesses in 0.. {
            let storage = Failing { inner: Arc::default(), left: Arc::default() };
            let made = database(&storage);
            let transaction = made.begin_write().expect("a transaction");
            for table in Table::ALL {
                transaction.open_table(table.definition()).expect("a table");
            }
            transaction.commit().expect("it commits");
            let shared = Shared::new(made, 1).expect("it opens");
            let (job, answer) = write(storage.clone(), accesses);
            write_group(&shared, vec![job]);
            let Err(error) = answer.recv().expect("an answer") else { break };
            drop(shared);

            let after = snapshot_of(&database(&storage), &Around::new(1)).expect("it opens again");
            let found = scope::find_workspace(&after, "acme").expect("it can be read").is_some();
            if error.kind() == ErrorKind::OutcomeUnknown {
                unknown += 1;
                written += u32::from(found);
            } else {
                assert!(!found, "after {accesses} accesses it is written, and the error says {error:?}");
            }
        }
        assert!(0 < written && written < unknown, "{written} of {unknown} unknown outcomes were on disk");
    }
}
