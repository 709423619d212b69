//! Every store against its contract and against the reference model.
//!
//! `PARLOR_CASES` sets how many random runs are compared (CI: 2,000), `PARLOR_LONG=1` makes it
//! 1,000,000. `PARLOR_SEED` repeats the one run that a failure named.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use parlor::store::Store;
use parlor::testkit::{
    ModelStore, Subject, claims, compare_with, conformance, redb_store_for_readers, redb_store_with_checkpoints,
};

/// Steps of one random run.
const STEPS: u32 = 100;

/// The stores, one line each: a name, and how to make a new and empty one as a [`Subject`], which
/// knows how to open it again. The random runs are dealt out among them by their seeds.
macro_rules! stores {
    ($($name:ident: $subject:expr;)*) => {
        $(
            #[test]
            fn $name() {
                // Kept to the end: a store whose directory is gone can no longer make its log.
                let kept = Mutex::new(Vec::new());
                conformance(|| {
                    let subject = $subject();
                    let store = subject.store();
                    kept.lock().expect("nobody failed with it").push(subject);
                    store
                });
            }
        )*

        /// Compares the run of a seed with the model.
        fn compare_seed(seed: u64) {
            let subjects: &[fn(u64)] = &[$(|seed| compare_with(&mut $subject(), &mut model(), seed, STEPS)),*];
            subjects[seed as usize % subjects.len()](seed);
        }
    };
}

stores! {
    the_default_store_holds_every_claim: Redb::new;
    the_default_store_in_blocks_of_one_holds_every_claim: || Redb::in_blocks_of(1);
    the_default_store_in_blocks_of_three_holds_every_claim: || Redb::in_blocks_of(3);
    the_default_store_with_checkpoints_all_the_time_holds_every_claim: || Redb::with_checkpoints(1);
    the_default_store_with_a_checkpoint_now_and_then_holds_every_claim: || Redb::with_checkpoints(7);
    the_default_store_shared_with_readers_holds_every_claim: Redb::for_readers;
}

#[test]
fn the_model_holds_every_claim() {
    conformance(model);
    (0..20).for_each(|seed| compare_with(&mut model(), &mut model(), seed, STEPS));
}

/// Every store is the model, and loses nothing to a reader: on as many threads as there are cores.
#[test]
fn every_store_agrees_with_the_model_on_random_runs() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut seed = next.fetch_add(1, Ordering::Relaxed);
                while seed < seeds.end {
                    compare_seed(seed);
                    seed = next.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("{} random runs", seeds.end - seeds.start);
}

/// The default store in a directory that goes away with it.
struct Redb {
    store: Arc<dyn Store>,
    dir: tempfile::TempDir,
    kind: Kind,
}

/// How it is opened: with so many entries in a block of positions, few, so that few messages fill many blocks.
#[derive(Clone, Copy)]
enum Kind {
    /// With a checkpoint after so many groups: few, so that operations and readers meet many.
    Alone { block: u32, groups: u32 },
    /// For readers in other processes.
    Shared { block: u32 },
}

impl Redb {
    fn new() -> Self {
        Redb::in_blocks_of(u32::MAX)
    }

    fn in_blocks_of(block: u32) -> Self {
        Redb::made(Kind::Alone { block, groups: u32::MAX })
    }

    fn with_checkpoints(groups: u32) -> Self {
        Redb::made(Kind::Alone { block: 3, groups })
    }

    fn for_readers() -> Self {
        Redb::made(Kind::Shared { block: 3 })
    }

    fn made(kind: Kind) -> Self {
        let dir = directory();
        Redb { store: Redb::open(&dir, kind), dir, kind }
    }

    fn open(dir: &tempfile::TempDir, kind: Kind) -> Arc<dyn Store> {
        let path = dir.path().join("a.parlor");
        let opened = match kind {
            Kind::Alone { block, groups } => redb_store_with_checkpoints(path, block, groups),
            Kind::Shared { block } => redb_store_for_readers(path, block),
        };
        opened.expect("the store opens")
    }
}

impl Subject for Redb {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    fn reopen(&mut self) {
        self.store.close().expect("the store closes");
        self.store = Redb::open(&self.dir, self.kind);
    }
}

/// In memory where the system has such a place: random runs commit a great deal, and no test here
/// takes power away.
fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

fn model() -> Arc<dyn Store> {
    Arc::new(ModelStore::new())
}

/// The seeds to run: each environment variable says what is wrong with it.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; it must be a whole number")))
    };
    if let Some(seed) = number("PARLOR_SEED") {
        return seed..seed + 1;
    }
    let long = std::env::var("PARLOR_LONG").is_ok_and(|text| text == "1");
    0..number("PARLOR_CASES").unwrap_or(if long { 1_000_000 } else { 200 })
}

#[test]
fn claims_have_names_of_their_own() {
    let mut names: Vec<_> = claims().map(|(subject, name, _)| (subject, name)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
