//! The store as a process has it open.

use std::fs;

use super::*;
use crate::id::Stamp;
use crate::store::EnsureWorkspace;
use crate::time::Timestamp;

#[test]
fn a_fork_is_refused_and_leaves_the_file_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.parlor");
    let options = Options { cache_bytes: 1 << 20, ..Options::default() };
    let mut store = RedbStore::open(&path, options).expect("it opens");
    let op = EnsureWorkspace { stamp: Stamp::new(Timestamp::from_micros(1), 1), name: "acme".into() };
    store.ensure_workspace(op.clone()).expect("it is made");
    let before = fs::read(&path).expect("the file");

    // What a fork sees: another process of the same memory. It has no writer thread to drop this share.
    store.process = store.process.wrapping_add(1);
    let Open::ToWrite(file) = &store.file else { unreachable!("it was opened to be written") };
    let writers = Arc::clone(&file.shared);
    let refused = [
        store.find_workspace("acme").map(drop),
        store.ensure_workspace(EnsureWorkspace { name: "other".into(), ..op }).map(drop),
        store.close(),
    ];
    for answer in refused {
        assert_eq!(answer.expect_err("it is another's").kind(), ErrorKind::Closed);
    }
    drop(store);
    assert!(fs::read(&path).expect("the file") == before, "the fork wrote to the file");
    drop(writers);
}
