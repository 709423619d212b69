//! The file: what is refused, what survives damage, who may open it.

use std::fs;
use std::path::{Path, PathBuf};

use parlor::page::{Direction, MessageQuery};
use parlor::testkit::{Failure, SimulatedDisk};
use parlor::{ChangeKind, Engine, Error, ErrorKind, NewMessage, NewSession, NewTurn, Session, Ts, Webhook};

/// A directory that goes away with the test, and a path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("chats.parlor");
    (dir, path)
}

fn open(path: &Path) -> parlor::Result<Engine> {
    Engine::builder(path).agent_fn("echo", |turn| Ok(turn.input().text())).open()
}

fn session(engine: &Engine, key: &str) -> Session {
    let agent = engine.workspace("acme").and_then(|workspace| workspace.agent("echo")).expect("an agent");
    agent.session_by_key(key).or_else(|_| agent.create_session(NewSession::default().key(key))).expect("a session")
}

/// Makes a file with a session of these messages, cleanly closed.
fn file_with(path: &Path, messages: &[&str]) {
    let engine = open(path).expect("the file is made");
    session(&engine, "one").append(messages.iter().copied()).expect("messages are appended");
    engine.close().expect("the file closes");
}

/// Opening is refused with this kind, the error names the file, and not a byte of it changes.
fn refuses(path: &Path, kind: ErrorKind) -> Error {
    let before = fs::read(path).expect("the file is there");
    let error = open(path).expect_err("the file is refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains("chats.parlor"), "the error names the file: {error}");
    assert!(fs::read(path).expect("the file is there") == before, "the file was touched: {error}");
    error
}

/// Replaces every occurrence of some bytes in the file; returns how many there were.
fn replace(path: &Path, find: &[u8], with: &[u8]) -> usize {
    assert_eq!(find.len(), with.len());
    let mut bytes = fs::read(path).expect("the file is there");
    let found: Vec<_> = (0..bytes.len() - find.len()).filter(|at| bytes[*at..].starts_with(find)).collect();
    for at in &found {
        bytes[*at..*at + find.len()].copy_from_slice(with);
    }
    fs::write(path, bytes).expect("the file is written");
    found.len()
}

#[test]
fn a_file_that_is_no_parlor_file_is_refused_untouched() {
    for bytes in [&b""[..], b"x", b"SQLite format 3\0 and a good deal more of it", &[0; 65536]] {
        let (_dir, path) = place();
        fs::write(&path, bytes).expect("a file");
        refuses(&path, ErrorKind::Corrupt);
    }
}

#[test]
fn a_parlor_file_whose_format_row_lost_its_name_is_refused_untouched() {
    let (_dir, path) = place();
    file_with(&path, &["hello"]);
    assert!(replace(&path, b"parlor\0\0", b"parrot\0\0") > 0);
    refuses(&path, ErrorKind::Corrupt);
}

#[test]
fn another_format_is_refused_untouched_and_named() {
    for (version, kind, text) in [
        (7, ErrorKind::NewerFormat, "has format 7; this library reads up to 1"),
        (0, ErrorKind::Corrupt, "has format 0; this library reads 1"),
    ] {
        let (_dir, path) = place();
        file_with(&path, &["hello"]);
        assert!(replace(&path, b"parlor\0\0\0\0\0\x01", &[&b"parlor\0\0\0\0\0"[..], &[version]].concat()) > 0);
        let error = refuses(&path, kind);
        assert!(error.to_string().ends_with(text), "{error}");
        let error = Engine::builder(&path).attach().expect_err("nobody reads it");
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().ends_with(text), "{error}");
    }
}

/// The log beside a file.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-log");
    name.into()
}

/// A file as a killed process leaves it: a copy taken while an engine has it open.
fn unclean(path: &Path) {
    let engine = open(path).expect("it opens");
    session(&engine, "one").append(["hello"]).expect("it is appended");
    let log = log_of(path);
    let both = [path, &log].map(|path| (path.to_owned(), fs::read(path).expect("it is there")));
    engine.close().expect("it closes");
    assert!(!log.exists(), "a file that was closed has no log");
    for (path, bytes) in both {
        fs::write(path, bytes).expect("it is written");
    }
}

#[test]
fn a_newer_format_is_refused_untouched_also_when_its_process_died() {
    let (_dir, path) = place();
    unclean(&path);
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).expect("a copy");
    open(&path).expect("an unclean file of ours opens").close().expect("it closes");

    // The same through redb, so that its own checksums are right.
    let database = redb::Database::open(&copy).expect("redb recovers it");
    let transaction = database.begin_write().expect("a transaction");
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let row = [&b"parlor\0\0\0\0\0\x07"[..], &[0; 16]].concat();
    transaction.open_table(table).expect("the table").insert(&[0][..], row.as_slice()).expect("a newer format");
    transaction.commit().expect("it commits");
    fs::copy(&copy, &path).expect("a copy while it is open: an unclean one");
    refuses(&path, ErrorKind::NewerFormat);
}

#[test]
fn full_verification_refuses_what_is_damaged_anywhere() {
    let (_dir, path) = place();
    file_with(&path, &["first", "second-with-a-mark"]);
    let verified = || Engine::builder(&path).verify_on_open().open();
    verified().expect("a whole file opens").close().expect("it closes");
    assert!(replace(&path, b"second-with-a-mark", b"second-with-a-maRk") > 0);
    assert_eq!(verified().expect_err("it is damaged").kind(), ErrorKind::Corrupt);
    open(&path).expect("without it, only the message is").close().expect("it closes");

    // Wherever else it is damaged, it is refused, or answers as it did.
    let texts: Vec<String> = (0..40).map(|n| format!("message {n} {}", "y".repeat(n))).collect();
    fs::remove_file(&path).expect("it is removed");
    file_with(&path, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let whole = fs::read(&path).expect("the file is there");
    let mut refused = 0;
    for case in 0..40 {
        let mut bytes = whole.clone();
        let bit = (case * 104_729 * 8 + case) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).expect("the file is written");
        match verified() {
            Err(error) => {
                refused += 1;
                let kinds = [ErrorKind::Corrupt, ErrorKind::NewerFormat];
                assert!(kinds.contains(&error.kind()), "case {case}: bit {bit}: {error:?}");
            }
            Ok(engine) => {
                let read = session(&engine, "one").history(100).expect("it is whole");
                assert!(read.iter().map(|message| message.text()).eq(texts.iter().cloned()), "case {case}: bit {bit}");
                engine.close().expect("it closes");
            }
        }
    }
    assert!(refused > 0, "no flipped bit met anything that is in use");
}

#[test]
fn a_truncated_file_is_an_error_and_never_a_panic_or_an_altered_answer() {
    let (_dir, path) = place();
    let texts: Vec<String> = (0..200).map(|n| format!("message {n} {}", "x".repeat(500))).collect();
    file_with(&path, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let whole = fs::read(&path).expect("the file is there");
    let mut refused = 0;
    for twentieth in 0..20 {
        fs::write(&path, &whole[..whole.len() * twentieth / 20]).expect("the file is written");
        let read = open(&path).and_then(|engine| {
            let read: Vec<_> = session(&engine, "one").messages(everything()).iter().flatten().collect();
            engine.close()?;
            Ok(read)
        });
        match read {
            Ok(messages) => messages.iter().for_each(|message| assert!(texts.contains(&message.text()))),
            Err(error) => {
                assert!([ErrorKind::Corrupt, ErrorKind::Storage].contains(&error.kind()), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "no truncation was noticed");
}

fn everything() -> MessageQuery {
    MessageQuery::all().direction(Direction::Asc)
}

#[test]
fn a_damaged_message_is_corrupt_for_itself_alone() {
    let (_dir, path) = place();
    file_with(&path, &["first", "second-with-a-mark", "third"]);
    let engine = open(&path).expect("it opens");
    let ids: Vec<_> = session(&engine, "one").history(10).expect("history").iter().map(|message| message.id).collect();
    engine.close().expect("it closes");
    assert!(replace(&path, b"second-with-a-mark", b"second-with-a-maRk") > 0);

    let engine = open(&path).expect("a damaged record does not keep the file from opening");
    let session = session(&engine, "one");
    assert_eq!(session.message(ids[1]).expect_err("it is damaged").kind(), ErrorKind::Corrupt);
    assert_eq!(session.message(ids[0]).expect("it is whole").text(), "first");

    let page = session.messages(everything()).page().expect("the page is there");
    assert_eq!(page.items.iter().map(|message| message.text()).collect::<Vec<_>>(), ["first", "third"]);
    assert_eq!(page.meta.total, 3);
    assert_eq!(page.damaged.iter().map(|damaged| damaged.number).collect::<Vec<_>>(), [Some(2)]);

    // Also where it stands alone on its page, or last: walks and cursors get past it.
    let walk: Vec<_> = session.messages(everything().limit(1)).iter().map(|item| item.map(|m| m.text())).collect();
    assert_eq!(walk.len(), 3);
    assert_eq!(walk[1].as_ref().expect_err("the second is damaged").kind(), ErrorKind::Corrupt);
    assert_eq!(walk[2].as_deref().expect("the third is whole"), "third");
    let second = session.messages(everything().limit(2)).page().expect("a page that ends with it");
    let after = session.messages(second.new_messages.query).page().expect("the page after it");
    assert_eq!(after.items.iter().map(|message| message.text()).collect::<Vec<_>>(), ["third"]);

    assert_eq!(session.send("go on").expect("the session goes on").wait().expect("its turn ends").text(), "go on");
    let breaches = engine.verify().expect("it verifies");
    assert!(breaches.iter().any(|breach| breach.contains("message at") && breach.contains("checksum")), "{breaches:?}");
    engine.close().expect("it closes");
}

#[test]
fn a_purge_goes_past_a_damaged_message_and_names_it() {
    let (_dir, path) = place();
    file_with(&path, &["first", "second-with-a-mark", "third", "stays"]);
    let engine = open(&path).expect("it opens");
    let one = session(&engine, "one");
    let ids: Vec<_> = one.history(10).expect("history").iter().map(|message| message.id).collect();
    ids[..3].iter().for_each(|id| one.delete_message(*id).expect("it is deleted"));
    engine.close().expect("it closes");
    assert!(replace(&path, b"second-with-a-mark", b"second-with-a-maRk") > 0);

    let engine = open(&path).expect("it opens");
    let one = session(&engine, "one");
    let before = one.get().expect("a record").last_change;
    for told in [&[ids[0], ids[2]][..], &[]] {
        let after = one.get().expect("a record").last_change;
        let error = one.purge().expect_err("one of them cannot be read");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let changes = one.changes(after, 10).expect("the feed").into_iter().map(|change| change.kind);
        assert!(changes.eq(told.iter().map(|id| ChangeKind::Purged(*id))));
    }
    assert_eq!(one.get().expect("a record").last_change, before + 2);
    engine.close().expect("it closes");
}

#[test]
fn a_page_that_lies_outside_the_file_is_damage_of_the_file() {
    let disk = SimulatedDisk::new();
    let on_disk = || Engine::builder("on a disk").open_on(&disk);
    let engine = on_disk().expect("it opens");
    // More than the cache holds.
    let written = session(&engine, "one").append(vec!["x".repeat(16_000); 200]).expect("they are appended");
    engine.close().expect("it closes");
    let engine = on_disk().expect("it opens again");
    let one = session(&engine, "one");
    // What a system answers who reads past the end.
    disk.fail(disk.operations(), Failure::Forever(std::io::ErrorKind::UnexpectedEof));
    let error = one.message(written[100].id).expect_err("a page on the way to it cannot be read");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_flipped_bit_anywhere_never_panics_and_never_alters_what_is_answered() {
    let (_dir, path) = place();
    let texts: Vec<String> = (0..40).map(|n| format!("message {n} {}", "y".repeat(n))).collect();
    file_with(&path, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let whole = fs::read(&path).expect("the file is there");
    // The pages that are in use come first; a step that is prime to the page size visits all offsets.
    let cases: usize = std::env::var("PARLOR_LONG").map_or(150, |_| 5_000);
    let mut noticed = 0;
    for case in 0..cases {
        let mut bytes = whole.clone();
        let bit = (case * 104_729 * 8 + case) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).expect("the file is written");
        let read = open(&path).and_then(|engine| {
            let agent = engine.workspace("acme")?.agent("echo")?;
            let read: Vec<_> = agent.session_by_key("one")?.messages(everything()).iter().collect();
            engine.close()?;
            Ok(read)
        });
        // What is not answered says why: a row that is not reached any more reads as not there.
        let kinds = [ErrorKind::Corrupt, ErrorKind::NewerFormat, ErrorKind::NotFound, ErrorKind::Storage];
        let is_typed =
            |error: parlor::Error| assert!(kinds.contains(&error.kind()), "case {case}: bit {bit}: {error:?}");
        let read = read.map_err(is_typed).unwrap_or_default();
        let read: Vec<_> = read.into_iter().filter_map(|read| read.map_err(is_typed).ok()).collect();
        noticed += usize::from(read.len() < texts.len());
        for message in read {
            let due = texts.get(message.number as usize - 1);
            assert_eq!(Some(&message.text()), due, "case {case}: bit {bit} altered message {}", message.number);
        }
    }
    assert!(noticed > 0, "no flipped bit met anything that is read");
}

#[test]
fn the_file_is_its_owners_alone_and_nothing_is_left_beside_it() {
    let (dir, path) = place();
    file_with(&path, &["hello"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).expect("the file is there").permissions().mode() & 0o777, 0o600);
    }
    let beside: Vec<_> = fs::read_dir(dir.path()).expect("the directory").flatten().map(|entry| entry.path()).collect();
    assert_eq!(beside, [path]);
}

#[test]
fn a_second_engine_on_the_file_is_told_that_it_is_open() {
    let (_dir, path) = place();
    let engine = open(&path).expect("it opens");
    let error = open(&path).expect_err("it is open");
    assert_eq!(error.kind(), ErrorKind::AlreadyOpen);
    engine.close().expect("it closes");
    open(&path).expect("it opens again").close().expect("it closes");
}

#[test]
fn an_engine_that_is_dropped_gives_the_file_free_and_loses_nothing() {
    let (_dir, path) = place();
    let engine = open(&path).expect("it opens");
    session(&engine, "one").append(["kept"]).expect("it is appended");
    drop(engine);
    let engine = open(&path).expect("it opens at once");
    assert_eq!(session(&engine, "one").history(1).expect("history")[0].text(), "kept");
    engine.close().expect("it closes");
}

#[test]
fn many_who_make_the_same_file_at_once_make_one_file() {
    let (dir, path) = place();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let (open, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!(open.len(), 1, "one of them has it");
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::AlreadyOpen, "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 1);
}

#[test]
fn a_damaged_row_of_the_outbox_is_named_by_verification() {
    let (_dir, path) = place();
    let engine = open(&path).expect("it opens");
    let url = "https://example.org/a-mark-of-the-outbox".to_owned();
    let webhook = Webhook { url, token: None, secret: None, include_messages: false };
    let turn = session(&engine, "one").send(NewTurn::from("hello").webhook(webhook)).expect("it is sent");
    turn.wait().expect("it ends");
    engine.close().expect("it closes");
    assert!(replace(&path, b"a-mark-of-the-outbox", b"a-maRk-of-the-outbox") > 0);

    let engine = open(&path).expect("it opens");
    assert_eq!(engine.outbox(10).expect("the outbox is read"), []);
    let breaches = engine.verify().expect("it verifies");
    assert!(breaches.iter().any(|breach| breach.contains("outbox row") && breach.contains("checksum")), "{breaches:?}");
    engine.close().expect("it closes");
}

#[cfg(unix)]
#[test]
fn a_link_opens_what_it_leads_to_and_one_that_leads_nowhere_is_refused() {
    let (dir, path) = place();
    let link = dir.path().join("link.parlor");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let error = open(&link).expect_err("it leads nowhere");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("link.parlor"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 1, "nothing was made");

    file_with(&path, &["hello"]);
    let engine = open(&link).expect("it leads to the file");
    assert_eq!(open(&path).expect_err("it is the same file").kind(), ErrorKind::AlreadyOpen);
    assert_eq!(session(&engine, "one").history(1).expect("history")[0].text(), "hello");
    engine.close().expect("it closes");
}

#[test]
fn damaged_times_hide_no_message_and_bring_back_none() {
    let (_dir, path) = place();
    let engine = open(&path).expect("it opens");
    let one = session(&engine, "one");
    // Later than any clock, so that each of the others is one microsecond after the one before.
    let ts = Ts::from_micros(4_000_000_000_000_000).expect("within the bounds");
    let first = NewMessage::text("first").ts(ts);
    let written = one.append([first, "second".into(), "deleted".into(), "fourth".into()]).expect("they are appended");
    one.delete_message(written[2].id).expect("it is deleted");
    engine.close().expect("it closes");
    // Nowhere else do two stand side by side.
    let entries = [written[0].ts, written[1].ts].map(|ts| ts.as_micros().to_le_bytes()).concat();
    let mut other = entries.clone();
    other[0] ^= 1;
    assert!(replace(&path, &entries, &other) > 0);

    let engine = open(&path).expect("it opens");
    let one = session(&engine, "one");
    for (query, due) in [
        (everything(), &["first", "second", "fourth"][..]),
        (everything().limit(2).page(2), &["fourth"]),
        (everything().gts(written[0].ts), &["second", "fourth"]),
    ] {
        let page = one.messages(query).page().expect("a page");
        assert_eq!(page.items.iter().map(|message| message.text()).collect::<Vec<_>>(), due, "{query:?}");
        assert_eq!(page.damaged, []);
    }
    assert_eq!(one.messages(everything().limit(1)).page().expect("a page").meta.total, 3);
    let breaches = engine.verify().expect("it verifies");
    assert!(breaches.iter().any(|breach| breach.contains("block at") && breach.contains("checksum")), "{breaches:?}");
    for message in &written {
        assert_eq!(one.message(message.id).is_ok(), message.text() != "deleted");
    }
    goes_on_and_heals(&engine, &one, &["first", "second", "fourth"]);
    engine.close().expect("it closes");
}

/// The session takes messages and turns as if nothing had happened, and the damage is gone.
fn goes_on_and_heals(engine: &Engine, session: &Session, before: &[&str]) {
    session.append(["appended"]).expect("it takes messages");
    assert_eq!(session.send("asked").expect("it takes turns").wait().expect("they end").text(), "asked");
    let page = session.messages(everything()).page().expect("a page");
    let texts: Vec<_> = page.items.iter().map(|message| message.text()).collect();
    assert_eq!(texts, [before, &["appended", "asked", "asked"]].concat());
    assert_eq!(engine.verify().expect("it verifies"), Vec::<String>::new());
}

#[test]
fn a_damaged_list_hides_no_message_and_is_made_again() {
    let (_dir, path) = place();
    let engine = open(&path).expect("it opens");
    let one = session(&engine, "one");
    let written = one.append(["first", "second", "third", "fourth"]).expect("they are appended");
    one.delete_message(written[2].id).expect("it is deleted");
    engine.close().expect("it closes");
    // Twelve bytes: the numbers of the session's messages of a user, behind the version of the row.
    let list = [&[1][..], &1_u32.to_le_bytes(), &2_u32.to_le_bytes(), &4_u32.to_le_bytes()].concat();
    let mut other = list.clone();
    other[5] = 3;
    assert!(replace(&path, &list, &other) > 0);

    let engine = open(&path).expect("it opens");
    let one = session(&engine, "one");
    let from_the_list = one.messages(everything().limit(2)).page().expect("a page");
    assert_eq!(from_the_list.meta.total, 3);
    let breaches = engine.verify().expect("it verifies");
    assert!(breaches.iter().any(|breach| breach.contains("block")), "{breaches:?}");
    goes_on_and_heals(&engine, &one, &["first", "second", "fourth"]);
    engine.close().expect("it closes");
}
