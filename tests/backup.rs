//! Backup, compaction and the numbers of a file.

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use parlor::{
    Builder, Delivery, Engine, ErrorKind, NewSession, NewTurn, Policy, Reason, Session, SessionStatus, SessionUpdate,
    TurnState, Webhook,
};
use support::{Keeper, gate};

fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, copy) = (dir.path().join("a.parlor"), dir.path().join("b.parlor"));
    (dir, path, copy)
}

fn echo(path: &Path) -> Builder {
    Engine::builder(path).agent_fn("echo", |turn| Ok(turn.input().text()))
}

fn session(engine: &Engine, key: &str) -> Session {
    let agent = engine.workspace("acme").and_then(|workspace| workspace.agent("echo")).expect("an agent");
    agent.session_by_key(key).or_else(|_| agent.create_session(NewSession::default().key(key))).expect("a session")
}

fn texts(session: &Session) -> Vec<String> {
    session.history(1000).expect("a history").iter().map(|message| message.text()).collect()
}

fn whole(engine: &Engine) {
    assert_eq!(engine.verify().expect("it can be read"), Vec::<String>::new());
}

/// Everything that can be seen of a session.
fn seen(session: &Session) -> impl PartialEq + use<> {
    let everything =
        parlor::page::MessageQuery::default().roles(parlor::page::Roles::ALL).types(parlor::page::Types::ALL);
    let page = session.messages(everything).page().expect("a page");
    let turns = session.turns(()).expect("turns").items;
    (session.get().expect("a record"), page.items, turns, session.changes(0, 1000).expect("changes"))
}

#[test]
fn a_backup_has_all_that_was_acknowledged_before_it_and_nothing_after() {
    let (_dir, path, copy) = place();
    let engine = echo(&path).open().expect("it opens");
    let (one, other) = (session(&engine, "one"), session(&engine, "other"));
    for nth in 0..300 {
        one.append([format!("{nth}"), "x".repeat(nth * 20)]).expect("it is appended");
    }
    other.send("hello").and_then(|turn| turn.wait()).expect("a turn");
    other.update(SessionUpdate::default().label("before")).expect("it is updated");
    let gone = session(&engine, "gone");
    gone.append(["gone"]).expect("it is appended");
    gone.delete().expect("it is deleted");
    let hidden = one.history(1).expect("a message").remove(0).id;
    one.delete_message(hidden).expect("it is deleted");
    engine.backup(&copy).expect("a backup");
    let before = (seen(&one), seen(&other));
    one.append(["later"]).expect("it is appended");
    other.update(SessionUpdate::default().label("after")).expect("it is updated");

    let backup = echo(&copy).open().expect("it opens beside the first");
    whole(&backup);
    let (there, beside) = (session(&backup, "one"), session(&backup, "other"));
    assert!((seen(&there), seen(&beside)) == before);
    let acme = backup.workspace("acme").expect("a workspace");
    assert!(acme.session(gone.id()).expect_err("it was deleted").is_not_found());
    // Both go on, each for itself.
    session(&backup, "one").append(["there"]).expect("it is appended");
    assert_eq!(texts(&one).last().map(String::as_str), Some("later"));
    backup.close().expect("it closes");
    whole(&engine);
    engine.close().expect("it closes");
}

#[test]
fn a_backup_is_taken_while_others_write_and_is_one_moment() {
    let (_dir, path, copy) = place();
    let engine = Arc::new(echo(&path).open().expect("it opens"));
    let (one, other) = (session(&engine, "one"), session(&engine, "other"));
    let (stop, stopped) = channel::<()>();
    let writer = std::thread::spawn(move || {
        // The second message stands only where the first does.
        for nth in 0.. {
            one.append([nth.to_string()]).expect("it is appended");
            other.append([nth.to_string()]).expect("it is appended");
            if stopped.try_recv().is_ok() {
                break;
            }
        }
    });
    let copies: Vec<_> = (0..4).map(|nth| copy.with_extension(nth.to_string())).collect();
    for copy in &copies {
        engine.backup(copy).expect("a backup");
    }
    stop.send(()).expect("it writes");
    writer.join().expect("it wrote");
    for copy in &copies {
        let backup = echo(copy).open().expect("it opens");
        whole(&backup);
        let counts = ["one", "other"].map(|key| session(&backup, key).get().expect("a record").last_message);
        assert!(counts[0] == counts[1] || counts[0] == counts[1] + 1, "{counts:?}");
        backup.close().expect("it closes");
    }
}

#[test]
fn a_backup_goes_nowhere_where_there_is_something_and_leaves_nothing_beside_it() {
    let (dir, path, copy) = place();
    let engine = echo(&path).open().expect("it opens");
    session(&engine, "one").append(["hello"]).expect("it is appended");
    fs::write(&copy, "mine").expect("a file");
    assert_eq!(engine.backup(&copy).expect_err("it is there").kind(), ErrorKind::Conflict);
    assert_eq!(engine.backup(&path).expect_err("it is the engine's own").kind(), ErrorKind::Conflict);
    assert_eq!(fs::read(&copy).expect("it is there"), b"mine");
    let nowhere = dir.path().join("none").join("c.parlor");
    assert_eq!(engine.backup(&nowhere).expect_err("there is no directory").kind(), ErrorKind::Storage);
    engine.backup(dir.path().join("c.parlor")).expect("a backup");
    engine.close().expect("it closes");
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).expect("a directory").map(|entry| entry.expect("one").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.parlor", "b.parlor", "c.parlor"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("c.parlor")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// An engine whose agent waits at a gate.
fn gated(path: &Path) -> (Engine, Keeper) {
    let (gate, keeper) = gate();
    let engine = Engine::builder(path).agent_fn("echo", move |turn| {
        gate.pass(turn.input().text());
        Ok(turn.input().text())
    });
    (engine.open().expect("it opens"), keeper)
}

fn transport() -> (impl Fn(&Delivery) -> Result<(), parlor::DeliveryError>, Receiver<String>) {
    let (told, tells) = channel();
    let told: Mutex<Sender<String>> = Mutex::new(told);
    let deliver = move |delivery: &Delivery| {
        let told = told.lock().expect("nobody panicked");
        told.send(delivery.body.clone()).map_err(|_| parlor::DeliveryError::new("nobody listens"))
    };
    (deliver, tells)
}

#[test]
fn what_waits_in_a_backup_waits_until_it_is_resumed() {
    let (_dir, path, copy) = place();
    let (engine, keeper) = gated(&path);
    let one = session(&engine, "one");
    keeper.open();
    let webhook = Webhook { url: "https://example.com".into(), token: None, secret: None, include_messages: false };
    let announced = NewTurn::from("first").webhook(webhook);
    one.send(announced).and_then(|turn| turn.wait()).expect("a turn");
    let running = one.send("running").expect("a turn");
    assert_eq!([keeper.arrival(), keeper.arrival()], ["first", "running"]);
    let waiting = ["second", "third"].map(|text| one.send_with(Policy::Enqueue, text).expect("a turn"));
    engine.backup(&copy).expect("a backup");
    drop((engine, keeper));

    let (deliver, delivered) = transport();
    let backup = echo(&copy).transport(deliver).open().expect("it opens");
    assert!(backup.is_paused());
    whole(&backup);
    // What was running died there with the copy.
    let one = session(&backup, "one");
    let ended = one.turn(running.id()).and_then(|turn| turn.get()).expect("it is there");
    assert_eq!((ended.state, ended.reason), (TurnState::Failed, Some(Reason::Crash)));
    assert_eq!(one.get().expect("a record").queued_turns, 2);
    assert!(one.send("no").expect_err("turns wait").is_conflict());
    // What is new runs, in that session too, and its end starts nothing that waits.
    let other = session(&backup, "other");
    assert_eq!(other.send("hello").and_then(|turn| turn.wait()).expect("a turn").text(), "hello");
    let over = one.send_with(Policy::Interrupt, "over").and_then(|turn| turn.wait()).expect("a turn");
    assert_eq!(over.text(), "over");
    assert_eq!(one.get().expect("a record").queued_turns, 2);
    assert_eq!(backup.outbox(10).expect("an outbox").len(), 1);
    assert!(delivered.try_recv().is_err(), "nothing is announced");
    backup.close().expect("it closes");

    // It stays so until it is told.
    let (deliver, delivered) = transport();
    let backup = echo(&copy).transport(deliver).open().expect("it opens");
    assert!(backup.is_paused());
    backup.resume().expect("it goes on");
    assert!(!backup.is_paused());
    let one = session(&backup, "one");
    for (turn, text) in waiting.iter().zip(["second", "third"]) {
        let report = one.turn(turn.id()).and_then(|turn| turn.wait()).expect("it ends");
        assert_eq!((report.state(), report.text()), (TurnState::Completed, text.to_owned()));
    }
    assert!(delivered.recv().expect("it is announced").contains("first"));
    backup.resume().expect("there is nothing to do");
    backup.close().expect("it closes");
    let backup = echo(&copy).open().expect("it opens");
    assert!(!backup.is_paused());
    assert_eq!(session(&backup, "one").get().expect("a record").status, SessionStatus::Idle);
    backup.close().expect("it closes");
}

#[test]
fn an_engine_in_memory_is_backed_up_to_a_file() {
    let (_dir, _, copy) = place();
    let engine = Engine::in_memory().open().expect("it opens");
    session(&engine, "one").append(["hello"]).expect("it is appended");
    engine.backup(&copy).expect("a backup");
    engine.compact().expect("there is nothing to do");
    engine.close().expect("it closes");
    let backup = echo(&copy).open().expect("it opens");
    assert_eq!(texts(&session(&backup, "one")), ["hello"]);
    backup.close().expect("it closes");
}

/// Deletes a session and waits until nothing is left of it.
fn delete_whole(engine: &Engine, session: &Session) {
    session.delete().expect("it is deleted");
    let left = |engine: &Engine| {
        let stats = engine.file_stats().expect("it can be read");
        stats.tables.iter().find(|table| table.name == "rows").expect("it has rows").values
    };
    let kept = 40;
    while left(engine) > kept {
        // Brings what was cleared away in memory into the file.
        engine.compact().expect("it is compacted");
    }
}

#[test]
fn compaction_gives_back_what_deletion_freed_and_changes_nothing() {
    let (_dir, path, _) = place();
    let engine = echo(&path).open().expect("it opens");
    let (one, kept) = (session(&engine, "one"), session(&engine, "kept"));
    kept.append(["stays"]).expect("it is appended");
    for _ in 0..50 {
        one.append(vec!["x".repeat(1000); 100]).expect("it is appended");
    }
    engine.compact().expect("it is compacted");
    let full = engine.file_stats().expect("it can be read");
    assert!(full.file_bytes > 5_000_000, "{full:?}");
    assert_eq!((full.workspaces, full.agents, full.sessions, full.messages), (1, 1, 2, 5_001));
    let before = seen(&kept);
    delete_whole(&engine, &one);
    engine.compact().expect("it is compacted");
    let empty = engine.file_stats().expect("it can be read");
    assert!(empty.file_bytes < full.file_bytes / 4, "{empty:?} after {full:?}");
    assert_eq!((empty.sessions, empty.messages, empty.recent_bytes), (1, 1, 0));
    assert!(seen(&kept) == before);
    whole(&engine);
    // It goes on, and opens again.
    kept.append(["after"]).expect("it is appended");
    engine.close().expect("it closes");
    let engine = echo(&path).open().expect("it opens");
    assert_eq!(texts(&session(&engine, "kept")), ["stays", "after"]);
    whole(&engine);
    engine.close().expect("it closes");
}

#[test]
fn a_file_that_is_read_and_written_meanwhile_is_compacted_and_loses_nothing() {
    let (_dir, path, _) = place();
    let engine = Arc::new(echo(&path).open().expect("it opens"));
    let one = session(&engine, "one");
    let (reader, reads) = (one.clone(), 400);
    let reading = std::thread::spawn(move || {
        let mut last = 0;
        for _ in 0..reads {
            let now = reader.get().expect("it can be read").last_message;
            assert!(now >= last, "it went back from {last} to {now}");
            last = now;
        }
    });
    let writer = one.clone();
    let writing = std::thread::spawn(move || {
        (0..100).for_each(|n| drop(writer.append([n.to_string()]).expect("it is appended")))
    });
    for _ in 0..5 {
        engine.compact().expect("it is compacted");
    }
    writing.join().expect("it wrote");
    reading.join().expect("it read");
    assert_eq!(texts(&one).len(), 100);
    whole(&engine);
}

#[test]
fn a_store_of_ones_own_has_no_file() {
    let store = Arc::new(parlor::testkit::ModelStore::new());
    let engine = Engine::builder("nowhere").open_store(store).expect("it opens");
    let (_dir, _, copy) = place();
    for error in [engine.backup(&copy).err(), engine.compact().err(), engine.file_stats().err()] {
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidArgument));
    }
    assert!(!copy.exists());
}

#[test]
fn a_backup_says_how_far_it_is_and_can_be_broken_off() {
    let (_dir, path, copy) = place();
    let engine = echo(&path).open().expect("it opens");
    let one = session(&engine, "one");
    for _ in 0..40 {
        one.append((0..6).map(|_| "x".repeat(100_000))).expect("it is appended");
    }
    let archived = session(&engine, "archived");
    archived.append(["kept"]).and_then(|_| archived.archive()).expect("an archive");
    let mut told = Vec::new();
    let cancelled = engine.backup_with(&copy, |progress| {
        told.push(progress);
        if told.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(cancelled.expect_err("it was broken off").kind(), ErrorKind::Cancelled);
    let left: Vec<_> = fs::read_dir(path.parent().expect("a directory")).expect("it can be read").collect();
    assert_eq!((copy.exists(), left.len()), (false, 2), "the file and its log: {left:?}");
    assert!(told[0].done < told[1].done && told.iter().all(|progress| progress.done < progress.total), "{told:?}");

    told.clear();
    engine
        .backup_with(&copy, |progress| {
            told.push(progress);
            ControlFlow::Continue(())
        })
        .expect("a backup");
    // 240 messages, an event of each, and that the session was made; a message, made, said and archived.
    let all = told.pop().expect("the end is told");
    assert_eq!((all.done, all.total), (240 + 241 + 1 + 3, 240 + 241 + 1 + 3));
    assert!(told.iter().all(|progress| progress.done < all.total && progress.total == all.total), "{told:?}");
    whole(&echo(&copy).open().expect("it opens"));
}
