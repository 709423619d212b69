//! Whatever fails under the writer, its answers are true.

mod noting;
#[cfg(feature = "testkit")]
mod waiting;

use std::io;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use redb::Database;

use super::job::Answer;
use super::*;
use crate::error::ErrorKind;
use crate::id::Stamp;
use crate::limit::CHECKPOINT_BYTES;
use crate::redb::base::Base;
use crate::redb::file::Opened;
use crate::redb::log::Memory;
use crate::redb::scope;
use crate::redb::tables::Table;
use crate::redb::view::Around;
use crate::store::EnsureWorkspace;
use crate::sync::{AtomicU64, Ordering, bounded};
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

/// In a log on a disk that never fails. The first group names it in the file, by a durable commit.
fn logged() -> Keeping {
    let disk = Memory::default().log("a.parlor-log");
    Keeping::Log { disk, file: Uuid::nil(), segment_bytes: 1 << 16, checkpoint_groups: 8, durability: Durability::Sync }
}

/// A file on such a storage that has its tables and nothing else, and who writes it.
fn opened(keeping: Keeping) -> (Failing, Shared) {
    let storage = Failing { inner: Arc::default(), left: Arc::default() };
    let made = database(&storage);
    let transaction = made.begin_write().expect("a transaction");
    for table in Table::ALL {
        transaction.open_table(table.definition()).expect("a table");
    }
    transaction.commit().expect("it commits");
    let shared = Shared::new(Opened { database: made, group: 0, keeping }, 1).expect("it opens");
    (storage, shared)
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
        let (storage, shared) = opened(logged());
        let (job, answer) = write(storage.clone(), accesses);
        shared.connect(bounded(8).0, None);
        Writer::group(&shared, shared.writer.lock(), vec![job]);
        let Err(error) = answer.recv().expect("an answer") else { break };
        drop(shared);

        let base = Base::last(&database(&storage)).expect("it opens again");
        let after = Snapshot::new(Layers::of(base, Around::new(1)), 0, Stage::Published);
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

#[test]
fn a_checkpoint_is_due_for_many_groups_much_memory_or_a_full_log_each() {
    let keeping = logged();
    let is_due = |groups: u32, record: usize, memory: usize| {
        let mut amount = Amount::default();
        (0..groups).for_each(|_| amount.add(record));
        amount.is_due(memory, &keeping)
    };
    let (groups, segment) = (keeping.checkpoint_groups(), keeping.segment_bytes());
    assert!(!is_due(groups - 1, 1, CHECKPOINT_BYTES - 1) && !is_due(1, segment - 1, 0));
    assert!(is_due(groups, 1, 0) && is_due(1, 1, CHECKPOINT_BYTES) && is_due(1, segment, 0));
}

#[test]
fn whatever_access_of_a_compaction_fails_it_is_told_as_that_and_not_as_a_close() {
    let mut lost = 0;
    for accesses in 0.. {
        let (storage, shared) = opened(logged());
        shared.connect(bounded(8).0, None);
        let (job, answer) = write(storage.clone(), u64::MAX);
        Writer::group(&shared, shared.writer.lock(), vec![job]);
        answer.recv().expect("an answer").expect("it is written");
        storage.fail_after(accesses);
        let Err(error) = shared.compact() else { break };
        assert!([ErrorKind::Storage, ErrorKind::OutcomeUnknown].contains(&error.kind()), "{accesses}: {error:?}");
        if let Err(error) = shared.snapshot() {
            assert_eq!(error.kind(), ErrorKind::Storage, "{accesses}: {error}");
            lost += 1;
        }
        let (job, answer) = write(storage, 0);
        Writer::group(&shared, shared.writer.lock(), vec![job]);
        let error = answer.recv().expect("an answer").expect_err("nothing is written any more");
        assert_eq!(error.kind(), ErrorKind::Storage, "{accesses}: {error}");
        assert!(shared.compact().is_err_and(|error| error.kind() == ErrorKind::Storage));
    }
    assert!(lost > 0, "there was always something to read from");
}
