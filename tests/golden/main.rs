//! Files of each version of the format, as they were written then: every later version of the library reads in them what
//! they said, and goes on writing to them.
//!
//! `PARLOR_GOLDEN=make cargo test --test golden made` makes those of this version's format anew, and what they are expected to
//! say. Once a format is released, its files are never changed: see docs/format.md.

mod dump;
mod going_on;
mod make;
mod place;
mod scene;

use std::fs;
use std::path::{Path, PathBuf};

use parlor::testkit::redb_store;
use parlor::{Engine, ErrorKind, ImportOptions};

use place::ok;

/// Closed in good order.
const CLOSED: &str = "closed.parlor";
/// As a kill leaves it, with its log.
const KILLED: &str = "killed.parlor";
const KILLED_LOG: &str = "killed.parlor-log";
/// A backup that was never resumed.
const BACKUP: &str = "backup.parlor";
/// An archive as a stream.
const ARCHIVE: &str = "archive.parlorar";
/// An engine as lines.
const LINES: &str = "lines.jsonl";

/// The files of this format.
fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format)
}

/// Those that this version writes.
const WRITTEN: &str = "format1";

/// All that are read.
const READ: [&str; 1] = [WRITTEN];

/// A file of a folder, and its log where it has one, in a place of their own.
fn copied(from: &Path, name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    for name in [name.to_owned(), format!("{name}-log")] {
        if from.join(&name).exists() {
            fs::copy(from.join(&name), dir.path().join(&name)).expect("a copy");
        }
    }
    let path = dir.path().join(name);
    (dir, path)
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name} of {}: {error}", folder.display()))
}

/// What a golden file says.
fn says(folder: &Path, name: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    match name {
        ARCHIVE => dump::archive(&bytes(folder, name)),
        LINES => {
            let path = dir.path().join("imported.parlor");
            let engine = ok(Engine::builder(&path).open());
            ok(engine.import(&*bytes(folder, name), ImportOptions::default()));
            ok(engine.close());
            file_says(&path)
        }
        _ => {
            let (_dir, path) = copied(folder, name);
            file_says(&path)
        }
    }
}

fn file_says(path: &Path) -> String {
    let store = ok(redb_store(path));
    assert_eq!(ok(store.verify()), Vec::<String>::new(), "{}", path.display());
    let said = dump::everything(&*store);
    ok(store.close());
    said
}

fn expectation(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.expected"))
}

#[track_caller]
fn assert_says(said: &str, folder: &Path, name: &str) {
    let expected = String::from_utf8(bytes(folder, &format!("{name}.expected"))).expect("it is text");
    for (number, (said, expected)) in said.lines().zip(expected.lines()).enumerate() {
        assert_eq!(said, expected, "line {} of {}", number + 1, expectation(folder, name).display());
    }
    assert_eq!(said.lines().count(), expected.lines().count(), "{name} says more, or less");
}

const ALL: [&str; 5] = [CLOSED, KILLED, BACKUP, ARCHIVE, LINES];

#[test]
fn every_golden_file_says_what_it_said() {
    for format in READ {
        for name in ALL {
            assert_says(&says(&folder(format), name), &folder(format), name);
        }
    }
}

#[test]
fn every_golden_file_is_whole_and_is_gone_on_with() {
    for format in READ {
        for name in [CLOSED, KILLED, BACKUP] {
            let (_dir, path) = copied(&folder(format), name);
            going_on::with(&path);
        }
    }
}

/// The lines between the first, which says when it was, and the last, which says what was left out; in an order of their own, since
/// a turn that was ended for them makes its session the one that changed last.
fn body(lines: &[u8]) -> String {
    let lines = std::str::from_utf8(lines).expect("it is text");
    let mut body: Vec<&str> = lines.lines().skip(1).filter(|line| !line.starts_with("{\"line\":\"end\"")).collect();
    body.sort_unstable();
    body.join("\n")
}

#[test]
fn what_the_golden_lines_bring_in_goes_out_as_it_came() {
    for format in READ {
        let golden = bytes(&folder(format), LINES);
        let engine = ok(Engine::in_memory().open());
        ok(engine.import(&*golden, ImportOptions::default()));
        let mut again = Vec::new();
        ok(engine.export(&mut again));
        assert!(body(&golden) == body(&again), "other lines go out than came in");
        ok(engine.close());
    }
}

#[test]
fn the_last_writes_of_the_killed_file_are_in_its_log_alone() {
    for format in READ {
        let (_dir, path) = copied(&folder(format), KILLED);
        fs::remove_file(path.with_extension("parlor-log")).expect("it has a log");
        let error = Engine::builder(&path).open().expect_err("its log is gone");
        assert_eq!(error.kind(), ErrorKind::LogMissing, "{error}");
        ok(Engine::builder(&path).accept_log_loss().open().and_then(Engine::close));
        assert_ne!(file_says(&path), says(&folder(format), KILLED), "the log has nothing that the file lacks");
    }
}

/// They can be made anew, and say the same: what this version writes is what its golden files hold.
#[test]
fn what_is_made_anew_says_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let asked = std::env::var("PARLOR_GOLDEN").is_ok_and(|asked| asked == "make");
    let to = if asked { folder(WRITTEN) } else { dir.path().to_owned() };
    fs::create_dir_all(&to).expect("a folder");
    make::all(&to);
    for name in ALL {
        let said = says(&to, name);
        if asked {
            fs::write(expectation(&to, name), &said).expect("it is written");
        }
        assert_says(&said, &folder(WRITTEN), name);
    }
}
