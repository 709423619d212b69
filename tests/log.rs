//! The log beside the file: what is refused, what is opened, what is left, and when a write is acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use parlor::{Builder, Durability, Engine, Error, ErrorKind, NewSession, Session};
use xxhash_rust::xxh3::xxh3_64;

/// A directory that goes away with the test, and a path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("chats.parlor");
    (dir, path)
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-log");
    name.into()
}

fn session(engine: &Engine) -> Session {
    let agent = engine.workspace("acme").and_then(|workspace| workspace.agent("echo")).expect("an agent");
    agent.session_by_key("one").or_else(|_| agent.create_session(NewSession::default().key("one"))).expect("a session")
}

fn texts(engine: &Engine) -> Vec<String> {
    let messages = session(engine).history(1000).expect("they are read");
    messages.iter().map(parlor::Message::text).collect()
}

/// A file and its log as a killed process leaves them, with these messages: copies taken while they are open.
fn unclean(path: &Path, messages: &[&str]) {
    let engine = Engine::builder(path).open().expect("it opens");
    for message in messages {
        session(&engine).append([*message]).expect("it is appended");
    }
    let left = [path.to_owned(), log_of(path)].map(|path| (fs::read(&path).expect("it is there"), path));
    engine.close().expect("it closes");
    for (bytes, path) in left {
        fs::write(path, bytes).expect("it is written");
    }
}

/// What the files of a directory hold, by their names.
fn files(dir: &tempfile::TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

/// Opening is refused as this kind, and no file of the directory is touched, made or removed.
fn refuses(dir: &tempfile::TempDir, path: &Path, kind: ErrorKind) -> Error {
    let before = files(dir);
    for _ in 0..2 {
        let error = Engine::builder(path).open().expect_err("it is refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("chats.parlor"), "the error names the file: {error}");
        assert!(files(dir) == before, "it was touched: {error}");
    }
    Engine::builder(path).open().expect_err("it is refused")
}

#[test]
fn a_file_that_was_not_closed_is_as_it_was_acknowledged_once_opened() {
    let (_dir, path) = place();
    unclean(&path, &["hello", "world"]);
    let engine = Engine::builder(&path).open().expect("it opens");
    assert_eq!(texts(&engine), ["hello", "world"]);
    assert_eq!(engine.verify().expect("it is read"), Vec::<String>::new());
    assert!(!log_of(&path).exists(), "what the log had is in the file");
    engine.close().expect("it closes");
}

#[test]
fn a_file_that_was_not_closed_is_refused_untouched_without_its_log() {
    let (dir, path) = place();
    unclean(&path, &["hello"]);
    fs::remove_file(log_of(&path)).expect("it is removed");
    let error = refuses(&dir, &path, ErrorKind::LogMissing);
    assert!(error.to_string().contains("accept_log_loss"), "the error names the way out: {error}");
}

#[test]
fn a_lost_log_can_be_accepted_and_the_file_has_what_it_has() {
    let (_dir, path) = place();
    unclean(&path, &["hello"]);
    fs::remove_file(log_of(&path)).expect("it is removed");
    let engine = Engine::builder(&path).accept_log_loss().open().expect("it opens");
    assert_eq!(engine.verify().expect("it is read"), Vec::<String>::new());
    // The first write names the log in the file, so it is in the file itself. What came after was in the log alone.
    let workspace = engine.find_workspace("acme").expect("it is read").expect("it is there");
    assert!(workspace.find_agent("echo").expect("it is read").is_none());
    session(&engine).append(["again"]).expect("it is appended");
    engine.close().expect("it closes");
    let engine = Engine::builder(&path).open().expect("nothing is to be accepted any more");
    assert_eq!(texts(&engine), ["again"]);
    engine.close().expect("it closes");
}

#[test]
fn accepting_a_lost_log_reads_the_one_that_is_there() {
    let (_dir, path) = place();
    unclean(&path, &["hello"]);
    let engine = Engine::builder(&path).accept_log_loss().open().expect("it opens");
    assert_eq!(texts(&engine), ["hello"]);
    engine.close().expect("it closes");
}

#[test]
fn the_log_of_another_file_is_refused_and_both_are_untouched() {
    let (dir, path) = place();
    let (_other_dir, other) = place();
    unclean(&path, &["hello"]);
    unclean(&other, &["other"]);
    fs::copy(log_of(&other), log_of(&path)).expect("a copy");
    refuses(&dir, &path, ErrorKind::Corrupt);
}

#[test]
fn an_older_log_of_the_same_file_is_refused_and_both_are_untouched() {
    let (dir, path) = place();
    unclean(&path, &["hello"]);
    let old = fs::read(log_of(&path)).expect("it is there");
    unclean(&path, &["world"]);
    fs::write(log_of(&path), old).expect("it is written");
    refuses(&dir, &path, ErrorKind::LogMissing);
}

#[test]
fn a_newer_log_is_refused_and_both_are_untouched() {
    let (dir, path) = place();
    unclean(&path, &["hello"]);
    let mut bytes = fs::read(log_of(&path)).expect("it is there");
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let checksum = xxh3_64(&bytes[..504]);
    bytes[504..512].copy_from_slice(&checksum.to_le_bytes());
    fs::write(log_of(&path), bytes).expect("it is written");
    refuses(&dir, &path, ErrorKind::NewerFormat);
}

#[test]
fn a_flipped_bit_in_a_record_that_was_synced_is_refused_and_both_are_untouched() {
    let (dir, path) = place();
    unclean(&path, &["hello", "damaged", "world"]);
    let whole = fs::read(log_of(&path)).expect("it is there");
    let at = whole.windows(7).position(|bytes| bytes == b"damaged").expect("the record has it");
    let mut bytes = whole.clone();
    bytes[at] ^= 1;
    fs::write(log_of(&path), bytes).expect("it is written");
    refuses(&dir, &path, ErrorKind::Corrupt);

    fs::write(log_of(&path), whole).expect("it is written");
    let engine = Engine::builder(&path).open().expect("it opens");
    assert_eq!(texts(&engine), ["hello", "damaged", "world"]);
    engine.close().expect("it closes");
}

#[test]
fn a_log_that_is_cut_off_or_empty_is_refused_and_both_are_untouched() {
    for length in [0, 100, 4096, 5000] {
        let (dir, path) = place();
        unclean(&path, &["hello"]);
        let log = fs::OpenOptions::new().write(true).open(log_of(&path)).expect("it is there");
        log.set_len(length).expect("it is cut off");
        drop(log);
        refuses(&dir, &path, ErrorKind::Corrupt);
    }
}

#[test]
fn after_a_close_there_is_no_log() {
    let (dir, path) = place();
    let engine = Engine::builder(&path).open().expect("it opens");
    assert!(!log_of(&path).exists(), "nothing was written yet");
    session(&engine).append(["hello"]).expect("it is appended");
    assert!(log_of(&path).exists(), "something was written");
    engine.close().expect("it closes");
    assert_eq!(files(&dir).into_keys().collect::<Vec<_>>(), [path]);
}

#[test]
fn a_log_that_was_left_beside_a_closed_file_is_no_obstacle() {
    let (dir, path) = place();
    let engine = Engine::builder(&path).open().expect("it opens");
    session(&engine).append(["hello"]).expect("it is appended");
    let left = fs::read(log_of(&path)).expect("it is there");
    engine.close().expect("it closes");
    fs::write(log_of(&path), &left).expect("it is written");
    let engine = Engine::builder(&path).open().expect("it opens");
    assert_eq!(texts(&engine), ["hello"]);
    session(&engine).append(["world"]).expect("it is appended");
    assert!(fs::read(log_of(&path)).expect("it is there") != left, "the file has a log of its own again");
    engine.close().expect("it closes");
    assert_eq!(files(&dir).into_keys().collect::<Vec<_>>(), [path.as_path()]);
    let engine = Engine::builder(&path).open().expect("it opens");
    assert_eq!(texts(&engine), ["hello", "world"]);
    engine.close().expect("it closes");
}

#[test]
fn what_a_crash_left_of_a_new_log_is_no_obstacle() {
    let (dir, path) = place();
    let half = dir.path().join("chats.parlor-log.new");
    fs::write(&half, b"half of a log").expect("it is written");
    let engine = Engine::builder(&path).open().expect("it opens");
    session(&engine).append(["hello"]).expect("it is appended");
    engine.close().expect("it closes");
    assert_eq!(files(&dir).into_keys().collect::<Vec<_>>(), [path]);
}

#[test]
fn opening_and_reading_a_closed_file_makes_no_log() {
    let (dir, path) = place();
    let engine = Engine::builder(&path).open().expect("it opens");
    session(&engine).append(["hello"]).expect("it is appended");
    engine.close().expect("it closes");
    let engine = Engine::builder(&path).open().expect("it opens");
    assert_eq!(texts(&engine), ["hello"]);
    assert_eq!(engine.verify().expect("it is read"), Vec::<String>::new());
    assert!(!log_of(&path).exists(), "nothing was written");
    engine.close().expect("it closes");
    assert_eq!(files(&dir).into_keys().collect::<Vec<_>>(), [path]);
}

#[cfg(unix)]
#[test]
fn the_log_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_dir, path) = place();
    let engine = Engine::builder(&path).open().expect("it opens");
    session(&engine).append(["hello"]).expect("it is appended");
    for path in [path.clone(), log_of(&path)] {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    engine.close().expect("it closes");
}

fn deferred(path: &Path, within: Duration) -> Builder {
    Engine::builder(path).durability(Durability::Deferred(within))
}

#[test]
fn what_was_deferred_is_read_at_once_and_is_there_after_a_close() {
    let (_dir, path) = place();
    let engine = deferred(&path, Duration::from_secs(60)).open().expect("it opens");
    let all: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    for text in &all {
        session(&engine).append([text.as_str()]).expect("it is appended");
    }
    assert_eq!(texts(&engine), all);
    engine.close().expect("it closes");
    let engine = Engine::builder(&path).open().expect("it opens");
    assert_eq!(texts(&engine), all);
    engine.close().expect("it closes");
}

#[test]
fn durability_out_of_bounds_is_refused_before_anything_is_made() {
    let (dir, path) = place();
    for within in [Duration::ZERO, Duration::from_micros(999), Duration::from_millis(60_001), Duration::MAX] {
        let error = deferred(&path, within).open().expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(files(&dir).is_empty());
    }
    for within in [1, 60_000] {
        deferred(&path, Duration::from_millis(within)).open().expect("it opens").close().expect("it closes");
    }
}

#[test]
fn an_engine_in_memory_keeps_to_itself() {
    let [one, other] = [(); 2].map(|()| Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open());
    let (one, other) = (one.expect("it opens"), other.expect("it opens"));
    assert_eq!(session(&one).send("hello").and_then(|turn| turn.wait()).expect("it is answered").text(), "hello");
    assert_eq!(texts(&one), ["hello", "hello"]);
    assert!(other.find_workspace("acme").expect("it is read").is_none());
    assert_eq!(one.verify().expect("it is read"), Vec::<String>::new());
    let left = session(&one);
    one.close().expect("it closes");
    assert_eq!(left.append(["late"]).expect_err("it is closed").kind(), ErrorKind::Closed);
    other.close().expect("it closes");
}

#[test]
fn who_waits_for_the_lock_opens_the_file_once_it_is_closed() {
    let (_dir, path) = place();
    let engine = Engine::builder(&path).open().expect("it opens");
    session(&engine).append(["hello"]).expect("it is appended");
    let refused = Engine::builder(&path).wait_for_lock(Duration::from_millis(20)).open();
    assert_eq!(refused.expect_err("it is open").kind(), ErrorKind::AlreadyOpen);
    let (begun, begins) = channel();
    let waiting = thread::spawn({
        let path = path.clone();
        move || {
            begun.send(()).expect("somebody listens");
            Engine::builder(path).wait_for_lock(Duration::from_secs(600)).open()
        }
    });
    begins.recv().expect("it begins");
    session(&engine).append(["world"]).expect("it is appended");
    engine.close().expect("it closes");
    let engine = waiting.join().expect("no panic").expect("it opens");
    assert_eq!(texts(&engine), ["hello", "world"]);
    engine.close().expect("it closes");
}
