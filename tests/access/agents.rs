//! Deleted agents: for every handle that was made before, for who waits, follows and watches, and in the file.

use std::ops::ControlFlow;
use std::path::Path;
use std::thread;

use parlor::{ChangeKind, Engine, ErrorKind, NewAgent, NewKey, NewSession, Scopes};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use uuid::Uuid;

use super::support::{echo, gate, on_every_store, open};

#[track_caller]
fn is_not_found<T: std::fmt::Debug>(answer: parlor::Result<T>) {
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn every_handle_that_was_made_before_finds_nothing() {
    on_every_store(|store| {
        let engine = echo(&store);
        let acme = engine.workspace("acme").unwrap();
        let (agent, other) = (acme.agent("echo").unwrap(), acme.agent("booker").unwrap());
        let left = other.create_session(NewSession::default()).unwrap();
        let key = agent.create_key(Scopes::ALL, NewKey::default()).unwrap();
        let access = engine.open_key(key.secret.expose()).unwrap();
        let (session, turn) = agent.start_session(NewSession::default().key("k"), "hello").unwrap();
        turn.wait().unwrap();
        let held = access.session(session.id()).unwrap();
        let (listing, mut follow, mut watch) = (session.messages(()), session.follow(0), acme.watch());
        assert_eq!(listing.page().unwrap().meta.total, 1);
        follow.next().unwrap().unwrap();

        agent.delete().unwrap();
        is_not_found(agent.get());
        is_not_found(agent.delete());
        is_not_found(agent.set_label("x"));
        is_not_found(agent.sessions(()));
        is_not_found(agent.session(session.id()));
        is_not_found(agent.session_by_key("k"));
        is_not_found(agent.create_session(NewSession::default()));
        is_not_found(agent.create_key(Scopes::ALL, NewKey::default()));
        is_not_found(acme.agent_by_id(agent.id()));
        is_not_found(acme.session(session.id()));
        is_not_found(session.get());
        is_not_found(session.send("late"));
        is_not_found(session.append(["late"]));
        is_not_found(session.stop());
        is_not_found(session.idle().wait());
        is_not_found(listing.page());
        is_not_found(turn.wait());
        // What it had read of the feed is told, then the end.
        is_not_found(follow.find(Result::is_err).unwrap());
        assert!(follow.is_ended());
        for error in [held.get().unwrap_err(), access.agent(agent.id()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
        }
        assert!(watch.try_next().is_none());
        assert_eq!(acme.sessions(()).unwrap().items, [left.get().unwrap()]);
        assert_eq!(acme.agents(()).unwrap().items, [other.get().unwrap()]);
        assert!(acme.find_agent("echo").unwrap().is_none());
        engine.close().unwrap();
    });
}

#[test]
fn an_agent_that_runs_a_turn_is_a_conflict_and_no_trace_is_left() {
    on_every_store(|store| {
        let (at_work, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("echo", move |turn| {
                at_work.pass("here");
                Ok(turn.input().text())
            })
        });
        let acme = engine.workspace("acme").unwrap();
        let agent = acme.agent("echo").unwrap();
        let (_, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
        keeper.arrival();
        assert!(agent.delete().unwrap_err().is_conflict());
        keeper.open();
        assert_eq!(turn.wait().unwrap().text(), "hello");
        agent.delete().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn a_session_made_again_with_the_id_of_one_that_went_with_its_agent_runs_its_turns() {
    on_every_store(|store| {
        let engine = echo(&store);
        let acme = engine.workspace("acme").unwrap();
        let (id, agent_id) = (Uuid::now_v7(), Uuid::now_v7());
        for round in 0..3 {
            let agent = acme.create_agent(NewAgent::new("echo").id(agent_id)).unwrap();
            let session = agent.create_session(NewSession::default().id(id).key("k")).unwrap();
            let mut follow = session.follow(0);
            assert_eq!(follow.next().unwrap().unwrap().kind, ChangeKind::Created, "round {round}");
            let turn = session.send("hello").unwrap();
            assert_eq!((turn.wait().unwrap().text(), session.get().unwrap().last_message), ("hello".into(), 2));
            agent.delete().unwrap();
            // Who followed that one is not to follow the next one.
            is_not_found(follow.find(Result::is_err).unwrap());
        }
        engine.close().unwrap();
    });
}

#[test]
fn of_archived_sessions_those_of_the_agent_are_gone_and_others_are_told_of() {
    on_every_store(|store| {
        let engine = echo(&store);
        let acme = engine.workspace("acme").unwrap();
        let (agent, other) = (acme.agent("echo").unwrap(), acme.agent("booker").unwrap());
        let id = Uuid::now_v7();
        let [ours, theirs] = [(&agent, id), (&other, Uuid::now_v7())].map(|(agent, id)| {
            let session = agent.create_session(NewSession::default().id(id)).unwrap();
            let follow = session.follow(0);
            (session.archive().unwrap(), follow)
        });
        let ((gone, mut gone_feed), (left, mut left_feed)) = (ours, theirs);
        agent.delete().unwrap();
        is_not_found(agent.archives(()));
        is_not_found(gone.restore());
        is_not_found(gone.export(Vec::new()));
        is_not_found(gone.delete());
        is_not_found(gone_feed.next().unwrap());
        let told: Vec<_> = left_feed.by_ref().map(|event| event.unwrap().kind).collect();
        assert_eq!(told, [ChangeKind::Created, ChangeKind::Archived]);
        assert_eq!(other.archives(()).unwrap().items, [left.record().clone()]);
        // The id is free, and who followed the old one does not follow the new one.
        let session = other.create_session(NewSession::default().id(id)).unwrap();
        assert!(gone_feed.is_ended());
        left.restore().unwrap();
        session.archive().unwrap().restore().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn agents_are_deleted_while_a_session_of_another_one_is_forked_or_archived() {
    on_every_store(|store| {
        let engine = echo(&store);
        let acme = engine.workspace("acme").unwrap();
        let source = acme.agent("echo").unwrap().create_session(NewSession::default()).unwrap();
        let said = source.append(["one", "two"]).unwrap();
        let delete = |name| {
            let agent = acme.agent(name).unwrap();
            agent.create_session(NewSession::default()).unwrap();
            agent.delete().unwrap();
            ControlFlow::Continue(())
        };
        let fork = source.fork_with(said[1].id, NewSession::default(), |_| delete("booker")).unwrap();
        assert_eq!(fork.history(10).unwrap().len(), 2);
        source.archive_with(|_| delete("booker")).unwrap().restore_with(None, |_| delete("booker")).unwrap();
        // Its own: then there is nothing to fork any more.
        let gone = fork.fork_with(fork.history(1).unwrap()[0].id, NewSession::default(), |_| delete("echo"));
        is_not_found(gone.map(drop));
        assert_eq!(acme.sessions(()).unwrap().meta.total, 0);
        engine.close().unwrap();
    });
}

#[test]
fn who_waits_for_a_session_of_the_agent_is_woken() {
    on_every_store(|store| {
        let engine = echo(&store);
        let acme = engine.workspace("acme").unwrap();
        let agent = acme.agent("echo").unwrap();
        let session = agent.create_session(NewSession::default()).unwrap();
        let mut follow = session.follow(1);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| follow.next().unwrap());
            while engine.stats().waiters < 1 {
                thread::yield_now();
            }
            agent.delete().unwrap();
            is_not_found(waiting.join().unwrap());
        });
        engine.close().unwrap();
    });
}

/// Rows of the file below sessions and names, and of what is left of deleted ones.
fn left(file: &Path) -> Vec<(&'static str, usize)> {
    let database = Database::open(file).unwrap();
    let read = database.begin_read().unwrap();
    ["names", "sessions", "rows", "activity", "outbox", "archives", "meta"]
        .map(|name| {
            let table = read.open_table(TableDefinition::<&[u8], &[u8]>::new(name)).unwrap();
            (name, table.iter().unwrap().count())
        })
        .to_vec()
}

/// How much of the file waits to be cleared away.
fn to_clear(file: &Path) -> usize {
    let database = Database::open(file).unwrap();
    let table = database.begin_read().unwrap().open_table(TableDefinition::<&[u8], &[u8]>::new("meta")).unwrap();
    table.iter().unwrap().filter(|row| matches!(row.as_ref().unwrap().0.value().first(), Some(3 | 6 | 7 | 16))).count()
}

/// However much was cleared before the close, opening goes on with it, until a file has nothing left.
fn clear_away(file: &Path) {
    let mut rounds = 0;
    while to_clear(file) > 0 {
        let engine = Engine::builder(file).open().unwrap();
        let acme = engine.workspace("acme").unwrap();
        assert_eq!(acme.sessions(()).unwrap().meta.total, 1);
        let booker = acme.agent("booker").unwrap();
        assert_eq!(booker.archives(()).unwrap().meta.total, 1);
        // Each is behind some steps of the writer's.
        (0..50).for_each(|_| drop(booker.set_label(None).unwrap()));
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
        rounds += 1;
        assert!(rounds < 1000, "{:?} is left", left(file));
    }
}

#[test]
fn nothing_of_an_agent_is_left_in_the_file_once_it_was_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let open = || Engine::builder(&path).agent_fn("echo", |turn| Ok(turn.input().text())).open().unwrap();
    let engine = open();
    let acme = engine.workspace("acme").unwrap();
    let booker = acme.agent("booker").unwrap();
    booker.create_session(NewSession::default().key("one")).unwrap();
    booker.create_session(NewSession::default().key("two")).unwrap().archive().unwrap();
    engine.close().unwrap();
    clear_away(&path);
    let before = left(&path);

    let engine = open();
    let acme = engine.workspace("acme").unwrap();
    let agent = acme.create_agent(NewAgent::new("echo").label("Repeats")).unwrap();
    agent.create_key(Scopes::ALL, NewKey::default()).unwrap();
    for nth in 0..700 {
        let (session, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
        turn.wait().unwrap();
        if nth % 7 == 0 {
            session.archive().unwrap();
        }
    }
    agent.delete().unwrap();
    assert_eq!(acme.sessions(()).unwrap().meta.total, 1);
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    engine.close().unwrap();

    clear_away(&path);
    assert_eq!(left(&path), before);
}
