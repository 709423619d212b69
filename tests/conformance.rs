//! Every store against its contract and against the reference model.
//!
//! `PARLOR_CASES` sets how many random runs are compared (CI: 2,000), `PARLOR_LONG=1` makes it
//! 1,000,000. `PARLOR_SEED` repeats the one run that a failure named.

use std::sync::Arc;

use parlor::store::Store;
use parlor::testkit::{ModelStore, Subject, claims, compare_with, conformance, redb_store_in_blocks};

/// Steps of one random run.
const STEPS: u32 = 100;

/// The stores, one line each: a name, how to make a new and empty one, and the same as a
/// [`Subject`], which knows how to open it again.
macro_rules! stores {
    ($($name:ident: $new:expr, $subject:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn holds_every_claim() {
                conformance($new);
            }

            #[test]
            fn agrees_with_the_model() {
                agrees_with_the_model_on_random_runs(&$subject);
            }
        }
    )*};
}

stores! {
    model: model, model;
    redb: || Redb::new().store, Redb::new;
    redb_in_blocks_of_one: || Redb::in_blocks_of(1).store, || Redb::in_blocks_of(1);
    redb_in_blocks_of_three: || Redb::in_blocks_of(3).store, || Redb::in_blocks_of(3);
}

/// The default store in a directory that goes away with it.
struct Redb {
    store: Arc<dyn Store>,
    dir: tempfile::TempDir,
    /// Entries in a block of positions: few, so that few messages fill many blocks.
    block: u32,
}

impl Redb {
    fn new() -> Self {
        Redb::in_blocks_of(u32::MAX)
    }

    fn in_blocks_of(block: u32) -> Self {
        let dir = directory();
        Redb { store: Redb::open(&dir, block), dir, block }
    }

    fn open(dir: &tempfile::TempDir, block: u32) -> Arc<dyn Store> {
        redb_store_in_blocks(dir.path().join("a.parlor"), block).expect("the store opens")
    }
}

impl Subject for Redb {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    fn reopen(&mut self) {
        self.store.close().expect("the store closes");
        self.store = Redb::open(&self.dir, self.block);
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

fn agrees_with_the_model_on_random_runs<S: Subject>(subject: &dyn Fn() -> S) {
    for seed in seeds() {
        compare_with(&mut subject(), &mut model(), seed, STEPS);
    }
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
