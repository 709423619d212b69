//! On real files.

use std::fs;

use super::*;

#[test]
fn a_log_of_files_is_made_written_replaced_and_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("a.parlor");
    fs::write(&database, b"").expect("a database");
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::beside(&database).expect("it is resolved"));
    assert!(Opened::open(&*disk, DATABASE).expect("it is looked for").is_none());

    let temporary = dir.path().join("a.parlor-log.new");
    fs::write(&temporary, b"left by a crash").expect("it is written");
    let mut log = Log::make(disk.clone(), origin(0), small(2)).expect("it is made");
    assert!(!temporary.exists());
    write(&mut log, 1..=6);
    let path = dir.path().canonicalize().expect("it is resolved").join("a.parlor-log");
    assert_eq!(disk.path(), path);
    assert_eq!(fs::metadata(&path).expect("it is there").len(), 3 * 4096);
    drop(log);

    let opened = Opened::open(&*disk, DATABASE).expect("it opens").expect("a log");
    let mut numbers = Vec::new();
    let last = opened.records(0, |number, body| {
        assert!(body == nth(number));
        numbers.push(number);
        Ok(())
    });
    assert_eq!((last.expect("it is read"), numbers), (6, vec![1, 2, 3, 4, 5, 6]));
    let old = opened.origin();
    drop(opened);

    let log = Log::make(disk.clone(), origin(6), small(1)).expect("it is replaced");
    let opened = Opened::open(&*disk, DATABASE).expect("it opens").expect("a log");
    assert!(opened.origin() == log.origin() && opened.origin() != old);
    assert_eq!(opened.last(6).expect("it is read"), 6);
    drop(opened);
    log.remove().expect("it is removed");
    assert!(!path.exists());
}

#[cfg(unix)]
#[test]
fn a_log_is_readable_by_its_owner_alone_and_stands_where_links_lead() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("a.parlor");
    fs::write(&database, b"").expect("a database");
    let link = dir.path().join("link.parlor");
    symlink(&database, &link).expect("it is linked");
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::beside(&link).expect("it is resolved"));
    let _log = Log::make(disk, origin(0), small(1)).expect("it is made");
    let made = fs::metadata(dir.path().join("a.parlor-log")).expect("it stands beside the database");
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_place_without_a_database_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = FileDisk::beside(&dir.path().join("a.parlor")).expect_err("there is none");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
