//! The contract of `Store`, held by every store there is, and by two side by side.

use std::sync::Arc;

use parlor::store::Store;
use parlor::testkit::{ModelStore, Subject, compare_with, conformance, redb_store};

/// The default store in a directory that goes away with it.
struct Redb {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl Redb {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = redb_store(dir.path().join("a.parlor")).expect("the store opens");
        Redb { dir, store }
    }
}

impl Subject for Redb {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    fn reopen(&mut self) {
        self.store.close().expect("the store closes");
        self.store = redb_store(self.dir.path().join("a.parlor")).expect("the store opens again");
    }
}

struct Model(Arc<dyn Store>);

impl Subject for Model {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }
}

#[test]
fn the_model_keeps_every_promise() {
    conformance(|| Arc::new(ModelStore::new()));
}

#[test]
fn the_redb_store_keeps_every_promise() {
    conformance(|| {
        let Redb { dir, store } = Redb::new();
        std::mem::forget(dir);
        store
    });
}

#[test]
fn the_redb_store_answers_as_the_model_does() {
    let cases: u64 = std::env::var("PARLOR_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200);
    for seed in 0..cases {
        compare_with(&mut Model(Arc::new(ModelStore::new())), &mut Redb::new(), seed, 100);
    }
}
