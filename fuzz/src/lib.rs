//! What the fuzz targets do with their bytes. Each panics where something does not hold.
#![forbid(unsafe_code)]

mod lines;
mod pages;

use std::path::Path;
use std::sync::Arc;

use parlor::store::Store;
use parlor::testkit::{
    ModelStore, Subject, check_archive, check_key_order, check_rows, check_secret, compare_bytes, redb_store_in_blocks,
};

pub use lines::lines;
pub use pages::pages;

/// What a target does with its bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 7] = [
    ("operations", operations),
    ("pages", pages),
    ("keys", keys),
    ("records", records),
    ("archives", archives),
    ("lines", lines),
    ("secrets", secrets),
];

/// The default store and the model answer alike to any operations, and readers see each message once.
/// The first byte chooses the size of the blocks of positions.
pub fn operations(data: &[u8]) {
    let Some((block, steps)) = data.split_first() else { return };
    let mut redb = Redb::new(1 + u32::from(block % 4));
    let mut model: Arc<dyn Store> = Arc::new(ModelStore::new());
    compare_bytes(&mut redb, &mut model, steps);
}

/// Keys sort as what they stand for.
pub fn keys(data: &[u8]) {
    check_key_order(data);
}

/// Secrets of access keys are read as what they are, or not at all.
pub fn secrets(data: &[u8]) {
    check_secret(&String::from_utf8_lossy(data));
}

/// Rows of any bytes are decoded or refused.
pub fn records(data: &[u8]) {
    check_rows(data);
}

/// Archives of any bytes are imported whole, or refused without a trace.
pub fn archives(data: &[u8]) {
    check_archive(data);
}

/// The default store in a directory that goes away with it: in memory, where the system has such a place.
struct Redb {
    store: Arc<dyn Store>,
    directory: tempfile::TempDir,
    block: u32,
}

impl Redb {
    fn new(block: u32) -> Self {
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = made.expect("a temporary directory");
        Redb { store: Self::open(&directory, block), directory, block }
    }

    fn open(directory: &tempfile::TempDir, block: u32) -> Arc<dyn Store> {
        redb_store_in_blocks(directory.path().join("a.parlor"), block).expect("the store opens")
    }
}

impl Subject for Redb {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    fn reopen(&mut self) {
        self.store.close().expect("the store closes");
        self.store = Self::open(&self.directory, self.block);
    }
}
