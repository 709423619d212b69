//! A deleted session: for every handle that was made before, for who waits, follows and watches, and for
//! a process that is killed while it is cleared away.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, thread};

use parlor::testkit::unpack_archive;
use parlor::time::Duration;
use parlor::{
    AgentHandle, ChangeKind, Engine, ErrorKind, Json, NewMessage, NewSession, NewTurn, Session, ToolCall, TurnState,
    Webhook,
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use support::{echo, gate, on_every_store, open, session, texts};
use uuid::Uuid;

/// The same session again, as far as its id goes.
fn again(agent: &AgentHandle, session: &Session) -> Session {
    agent.create_session(NewSession::default().id(*session.id().as_uuid())).unwrap()
}

#[track_caller]
fn is_not_found<T: std::fmt::Debug>(answer: parlor::Result<T>) {
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn every_handle_that_was_made_before_finds_nothing() {
    on_every_store(|store| {
        let engine = echo(&store);
        let workspace = engine.workspace("acme").unwrap();
        let (agent, other) = (workspace.agent("echo").unwrap(), session(&engine, "echo"));
        let session = agent.create_session(NewSession::default().key("k")).unwrap();
        let webhook = Webhook { url: "https://example.org".into(), token: None, secret: None, include_messages: false };
        let turn = session.send(NewTurn::from("hello").webhook(webhook)).unwrap();
        let reply = turn.wait().unwrap().reply.unwrap();
        let (thread, listing) = (session.thread(turn.thread_id()).unwrap(), session.messages(()));
        assert_eq!((listing.page().unwrap().meta.total, engine.outbox(10).unwrap().len()), (1, 1));

        session.delete().unwrap();
        is_not_found(session.get());
        is_not_found(session.history(10));
        is_not_found(session.message(reply.id));
        is_not_found(session.turns(()));
        is_not_found(session.turn(turn.id()));
        is_not_found(session.changes(0, 10));
        is_not_found(session.append(["late"]));
        is_not_found(session.send("late"));
        is_not_found(session.follow_up("late"));
        is_not_found(session.delete_message(reply.id));
        is_not_found(session.delete());
        is_not_found(thread.messages(()).page());
        is_not_found(listing.page());
        is_not_found(listing.iter().next().unwrap());
        is_not_found(turn.get());
        is_not_found(turn.wait());
        is_not_found(turn.wait_timeout(Duration::ZERO));
        is_not_found(pollster::block_on(turn.clone()));
        is_not_found(workspace.session(session.id()));
        is_not_found(agent.session(session.id()));
        is_not_found(agent.session_by_key("k"));
        assert_eq!(engine.outbox(10).unwrap(), []);
        let listed = workspace.sessions(()).unwrap();
        assert_eq!((listed.meta.total, listed.items[0].id), (1, other.id()));
        engine.close().unwrap();
        assert_eq!(other.delete().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_busy_session_is_a_conflict_also_for_its_own_agent() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok("done")
            })
        });
        let session = session(&engine, "worker");
        let turn = session.send("hello").unwrap();
        keeper.arrival();
        assert!(session.delete().unwrap_err().is_conflict());
        keeper.open();
        assert_eq!(turn.wait().unwrap().text(), "done");
        session.delete().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn a_session_made_again_with_its_id_runs_its_turns() {
    on_every_store(|store| {
        let engine = echo(&store);
        let agent = engine.workspace("acme").unwrap().agent("echo").unwrap();
        let mut session = agent.create_session(NewSession::default()).unwrap();
        for round in 0..20 {
            // The more turns, the higher the epochs, which then begin at one again.
            for turn in 0..3 {
                let report = session.send(format!("{round} {turn}")).unwrap().wait().unwrap();
                assert_eq!((report.state(), report.text()), (TurnState::Completed, format!("{round} {turn}")));
            }
            assert_eq!(texts(&session).len(), 6);
            session.delete().unwrap();
            session = again(&agent, &session);
        }
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    });
}

#[test]
fn who_follows_a_deleted_session_is_told_so_also_where_one_is_made_in_its_place() {
    on_every_store(|store| {
        let engine = echo(&store);
        let agent = engine.workspace("acme").unwrap().agent("echo").unwrap();
        let session = agent.create_session(NewSession::default()).unwrap();
        session.append(["one", "two"]).unwrap();
        let asleep = thread::spawn({
            let mut follow = session.follow(3);
            move || (follow.next().unwrap().unwrap_err().kind(), follow.next().is_none())
        });
        let (mut behind, mut read) = (session.follow(0), session.follow(0));
        assert_eq!(read.next().unwrap().unwrap().number, 1);
        session.delete().unwrap();
        let anew = again(&agent, &session);
        anew.append(["three", "four", "five"]).unwrap();

        assert_eq!(asleep.join().unwrap(), (ErrorKind::NotFound, true));
        is_not_found(behind.next().unwrap());
        assert!(behind.is_ended() && behind.next().is_none());
        // What it had read before is told first.
        assert_eq!([(); 2].map(|()| read.next().unwrap().unwrap().number), [2, 3]);
        is_not_found(read.next().unwrap());
        assert!(read.is_ended());
        let mut follow = anew.follow(0);
        assert_eq!(follow.next().unwrap().unwrap().kind, ChangeKind::Created);
        assert_eq!(follow.by_ref().take(3).count(), 3);
        let mut late = anew.follow(4);
        anew.delete().unwrap();
        engine.close().unwrap();
        for follow in [&mut follow, &mut late] {
            is_not_found(follow.next().unwrap());
            assert!(follow.next().is_none());
        }
    });
}

#[test]
fn a_watch_tells_that_a_session_is_gone() {
    on_every_store(|store| {
        let engine = echo(&store);
        let workspace = engine.workspace("acme").unwrap();
        let agent = workspace.agent("echo").unwrap();
        let session = agent.create_session(NewSession::default()).unwrap();
        let mut watches = [workspace.watch(), agent.watch()];
        let mut elsewhere = [engine.workspace("other").unwrap().watch(), workspace.agent("other").unwrap().watch()];
        let told = |watches: &mut [parlor::Watch]| {
            let told = watches.iter_mut().map(|watch| watch.try_next().map(Result::unwrap));
            told.map(|told| told.map(|told| (told.session, told.change, told.is_gone()))).collect::<Vec<_>>()
        };
        session.append(["hello"]).unwrap();
        session.delete().unwrap();
        assert_eq!(told(&mut watches), [Some((session.id(), 0, true)); 2], "once, as it is now");
        assert_eq!(told(&mut watches), [None; 2]);
        session.delete().unwrap_err();
        let anew = again(&agent, &session);
        assert_eq!(told(&mut watches), [Some((anew.id(), 1, false)); 2]);
        anew.delete().unwrap();
        engine.close().unwrap();
        assert_eq!(told(&mut watches), [Some((anew.id(), 0, true)); 2], "also after the close");
        assert_eq!(told(&mut watches), [None; 2]);
        assert_eq!(told(&mut elsewhere), [None; 2]);
    });
}

/// Says which file the second process is to delete a session in, or to open.
const SECOND: &str = "PARLOR_TEST_DELETING_PROCESS";
/// Some ten steps.
const MESSAGES: usize = 12_000;
const GONE: Uuid = Uuid::from_u128(7);

#[test]
fn a_process_killed_while_a_session_is_cleared_away_leaves_it_to_the_next_one() {
    if let Some(file) = env::var_os(SECOND) {
        second_process(Path::new(&file));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.parlor");
    // The first deletes the session, the others go on, and are killed as soon as they have begun.
    for _ in 0..4 {
        run_until_killed(&file);
    }
    let engine = Engine::builder(&file).open().unwrap();
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    let agent = engine.workspace("acme").unwrap().agent("any").unwrap();
    is_not_found(agent.session(GONE.into()));
    assert_eq!(texts(&agent.session_by_key("other").unwrap()), ["kept"]);
    let anew = agent.create_session(NewSession::default().id(GONE)).unwrap();
    // Each step has its turn once half a megabyte was written, however busy the writer is.
    for _ in 0..64 {
        anew.append(["x".repeat(200_000)]).unwrap();
    }
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    engine.close().unwrap();
    assert_eq!(left(&file), (0, 0), "remnants, and rows of the first session");
}

/// Runs the second process until it says that it has come so far.
fn run_until_killed(file: &Path) {
    let test = ["--exact", "a_process_killed_while_a_session_is_cleared_away_leaves_it_to_the_next_one"];
    let mut child = Command::new(env::current_exe().unwrap())
        .args(test)
        .arg("--nocapture")
        .env(SECOND, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("it is gone")), "the second process failed");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn second_process(file: &Path) -> ! {
    let engine = Engine::builder(file).open().unwrap();
    let agent = engine.workspace("acme").unwrap().agent("any").unwrap();
    if agent.session_by_key("other").is_err() {
        let session = agent.create_session(NewSession::default().id(GONE)).unwrap();
        for _ in 0..MESSAGES / 1000 {
            session.append(vec!["hello"; 1000]).unwrap();
        }
        agent.create_session(NewSession::default().key("other")).unwrap().append(["kept"]).unwrap();
        session.delete().unwrap();
    }
    is_not_found(agent.session(GONE.into()));
    println!("it is gone");
    // The parent kills it.
    loop {
        thread::park();
    }
}

/// How many remnants there are in a file that is closed, and rows of its first session (docs/format.md).
fn left(file: &Path) -> (usize, usize) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_read().unwrap();
    let count = |table, prefix: &[u8]| {
        let table = transaction.open_table(TableDefinition::<&[u8], &[u8]>::new(table)).unwrap();
        let rows = table.iter().unwrap().map(|row| row.unwrap().0.value().starts_with(prefix));
        rows.filter(|is_one| *is_one).count()
    };
    (count("meta", &[3]), count("rows", &1_u32.to_be_bytes()))
}

fn stands(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What the stream of a session's archive says. The session is restored.
fn archived(session: &Session) -> Vec<u8> {
    let (archive, mut stream) = (session.archive().unwrap(), Vec::new());
    archive.export(&mut stream).unwrap();
    archive.restore().unwrap();
    unpack_archive(&stream).unwrap()
}

#[test]
fn of_a_session_that_was_deleted_nothing_is_left_in_a_backup_or_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a.parlor"), "the number is 555-0100");
    let engine = Engine::builder(&path).open().unwrap();
    let agent = engine.workspace("acme").unwrap().agent("echo").unwrap();
    let with = |text: &str, count: usize| {
        let session = agent.create_session(NewSession::default().label(text)).unwrap();
        // More than what is cleared away at once, where there are so many.
        (0..count).for_each(|_| drop(session.append(vec![text; 1000]).unwrap()));
        session
    };
    let (_kept, long, archived) = (with("kept", 1), with(secret, MESSAGES / 1000), with(secret, 1));
    let archive = archived.archive().unwrap();
    let copy = |name: &str| {
        let (copy, mut lines) = (dir.path().join(name), Vec::new());
        engine.backup(&copy).unwrap();
        engine.export(&mut lines).unwrap();
        [std::fs::read(&copy).unwrap(), lines].concat()
    };
    assert!(stands(&copy("before"), secret));
    long.delete().unwrap();
    archive.delete().unwrap();
    // What is yet to be cleared away of it goes nowhere.
    let after = copy("after");
    assert!(!stands(&after, secret) && stands(&after, "kept"));
    engine.close().unwrap();
}

#[test]
fn of_what_was_purged_nothing_is_left_in_a_backup_an_archive_or_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("a.parlor"), dir.path().join("b.parlor"));
    let engine = Engine::builder(&path).open().unwrap();
    let session =
        engine.workspace("acme").unwrap().agent("echo").unwrap().create_session(NewSession::default()).unwrap();
    let secret = "the number is 555-0100";
    let call = ToolCall::new("c", "dial", format!("{{\"to\": \"{secret}\"}}"));
    let written = session
        .append([
            NewMessage::text(secret),
            NewMessage::calls([call.clone()]).metadata(Json::parse(format!("{secret:?}")).unwrap()),
            NewMessage::text("kept"),
        ])
        .unwrap();
    // It stands in the file, and not in the log alone.
    engine.compact().unwrap();
    let has = |path: &std::path::Path, text: &str| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(has(&path, secret) && has(&path, "kept"));
    written[..2].iter().for_each(|message| session.delete_message(message.id).unwrap());
    let mut lines = Vec::new();
    session.export(&mut lines).unwrap();
    assert!(String::from_utf8_lossy(&lines).contains("555-0100"), "what is soft-deleted is there");
    assert!(stands(&archived(&session), secret), "and in an archive");
    assert_eq!(session.purge().unwrap(), 2);
    lines.clear();
    session.export(&mut lines).unwrap();
    assert!(!stands(&lines, "555-0100") && stands(&lines, "kept"));
    let records = archived(&session);
    assert!(!stands(&records, "555-0100") && stands(&records, "kept"));
    engine.backup(&copy).unwrap();
    assert!(!has(&copy, secret) && has(&copy, "kept"));
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    engine.close().unwrap();
    let engine = Engine::builder(&path).open().unwrap();
    let session = engine.workspace("acme").unwrap().session(session.id()).unwrap();
    assert_eq!((session.purge().unwrap(), session.history(10).unwrap().len()), (0, 1));
    engine.close().unwrap();
}

#[test]
fn what_is_purged_may_stand_far_behind() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let written: Vec<_> = (0..5).flat_map(|_| session.append(vec!["x"; 1000]).unwrap()).collect();
        session.delete_message(written[4999].id).unwrap();
        assert_eq!(session.purge().unwrap(), 1);
    });
}
