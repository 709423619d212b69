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

#[test]
fn a_file_that_lost_the_row_that_names_its_log_is_corrupt_and_its_log_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.parlor");
    let store = RedbStore::open(&path, Options::default()).expect("it opens");
    let op = EnsureWorkspace { stamp: Stamp::new(Timestamp::from_micros(1), 1), name: "acme".into() };
    store.ensure_workspace(op).expect("it is made");
    let copy = dir.path().join("b.parlor");
    fs::copy(&path, &copy).expect("a copy while it is open");
    fs::copy(dir.path().join("a.parlor-log"), dir.path().join("b.parlor-log")).expect("there is a log");

    // Rows are found by their pages, which are sound here; a damaged page may lead to none of them.
    let database = redb::Database::open(&copy).expect("it opens");
    let transaction = database.begin_write().expect("it begins");
    let mut table = transaction.open_table(tables::Table::Meta.definition()).expect("there is a table");
    table.remove(tables::meta::GROUP).expect("it is read").expect("it was there");
    drop(table);
    transaction.commit().expect("it is written");
    drop(database);

    let error = RedbStore::open(&copy, Options::default()).map(drop).expect_err("without it nobody knows of the log");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(dir.path().join("b.parlor-log").exists(), "what it has may yet be wanted");
}

#[test]
fn what_is_appended_counts_in_the_bytes_of_its_group() {
    let messages = [NewMessage::text("x".repeat(10_000)), NewMessage::text("y")];
    assert!(size(&messages) > 10_000, "it says {}", size(&messages));
    assert!(size(&messages[1..]) > 1, "a row is more than its text");
    assert_eq!(size(&[]), 0);
}

#[test]
fn a_key_of_another_form_is_none_of_a_listing_of_archives() {
    use tables::archives::{listed, number_of_listed, row};
    assert_eq!(number_of_listed(&listed(1, 5, 7)), Some(7));
    for key in [&[2; 16][..], &[2; 18], &[1; 17], &row(7)] {
        assert_eq!(number_of_listed(key), None, "{key:?}");
    }
}
