//! Handles that carry a grant: while they wait, once the key is gone, after a close, and beside what is not theirs.

use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::thread;

use parlor::time::Duration;
use parlor::{
    Access, Clock, Engine, Error, ErrorKind, ImportIds, NewKey, NewSession, Result, Scopes, Session, Timestamp,
    TurnHandle,
};
use uuid::Uuid;

use super::support::{gate, open};
use super::{engine, key};

fn opened(engine: &Engine, scopes: Scopes) -> (Access, parlor::id::KeyId) {
    let key = key(engine, scopes, NewKey::default());
    (engine.open_key(key.secret.expose()).unwrap(), key.record.id)
}

#[test]
fn what_is_anothers_reads_as_what_is_not_there() {
    let (engine, _clock) = engine();
    let acme = engine.workspace("acme").unwrap();
    let (mine, _) = opened(&engine, Scopes::ALL);
    let own = acme.agent("echo").unwrap();
    let booker = acme.agent("booker").unwrap();
    let there = engine.workspace("beta").unwrap().agent("echo").unwrap();
    let master = acme.create_master_key(NewKey::default()).unwrap();
    let master = engine.open_key(master.secret.expose()).unwrap();
    let made = |agent: &parlor::AgentHandle| agent.create_session(NewSession::default().key("k")).unwrap();
    let (in_booker, in_beta) = (made(&booker), made(&there));
    let nowhere = Uuid::now_v7();

    /// Kind and text, with the id taken out.
    fn seen<T>(id: impl std::fmt::Display, answer: Result<T>) -> (ErrorKind, String) {
        let Err(error) = answer else { panic!("{id} was found") };
        (error.kind(), error.to_string().replace(&id.to_string(), "ID"))
    }
    let absent_agent = seen(nowhere, mine.agent(nowhere.into()));
    assert_eq!(absent_agent, (ErrorKind::NotFound, "agent ID not found".into()));
    assert_eq!(seen(booker.id(), mine.agent(booker.id())), absent_agent);
    assert_eq!(seen(there.id(), mine.agent(there.id())), absent_agent);
    assert_eq!(seen(there.id(), master.agent(there.id())), absent_agent);
    assert_eq!(seen(nowhere, master.agent(nowhere.into())), absent_agent);

    let absent = seen(nowhere, mine.session(nowhere.into()));
    assert_eq!(absent, (ErrorKind::NotFound, "session ID not found".into()));
    for session in [in_booker.id(), in_beta.id()] {
        assert_eq!(seen(session, mine.session(session)), absent);
        assert_eq!(seen(session, mine.agent(own.id()).unwrap().session(session)), absent);
    }
    assert_eq!(seen(in_beta.id(), master.session(in_beta.id())), absent);
    assert_eq!(seen(in_beta.id(), master.workspace().unwrap().session(in_beta.id())), absent);
    let by_key = mine.agent(own.id()).unwrap().session_by_key("k");
    assert_eq!(seen("-", by_key), seen("-", own.session_by_key("k")));
    // What is below a session is reached through it alone.
    let session = mine.agent(own.id()).unwrap().create_session(NewSession::default()).unwrap();
    let theirs = booker.create_session(NewSession::default()).unwrap().append(["a secret"]).unwrap().remove(0);
    assert_eq!(seen(theirs.id, session.message(theirs.id)), seen(nowhere, session.message(nowhere.into())));
}

#[test]
fn an_id_of_anothers_is_no_oracle_where_a_session_is_made() {
    let (engine, _clock) = engine();
    let (mine, _) = opened(&engine, Scopes::CHAT);
    let theirs = engine.workspace("beta").unwrap().agent("echo").unwrap();
    let id = *theirs.create_session(NewSession::default()).unwrap().id().as_uuid();
    // Ids of sessions are a workspace's own.
    let agent = mine.agent(mine.key().agent_id.unwrap()).unwrap();
    assert_eq!(agent.create_session(NewSession::default().id(id)).unwrap().id(), id.into());
}

#[test]
fn a_handle_of_a_session_is_not_one_of_the_session_that_another_agent_has_by_its_id() {
    let (engine, _clock) = engine();
    let acme = engine.workspace("acme").unwrap();
    let (access, _) = opened(&engine, Scopes::ALL);
    let booker = acme.agent("booker").unwrap();
    let agent = access.agent(access.key().agent_id.unwrap()).unwrap();
    let (mine, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
    turn.wait().unwrap();
    let (idle, mut follow, listing) = (mine.idle(), mine.follow(0), mine.messages(()));
    // All of it goes to the other agent, ids and all.
    let mut lines = Vec::new();
    let moved = acme.session(mine.id()).unwrap();
    moved.export(&mut lines).unwrap();
    moved.delete().unwrap();
    booker.import(&*lines, parlor::ImportOptions::default()).unwrap();
    let theirs = acme.session(mine.id()).unwrap();
    assert_eq!(theirs.agent_id(), booker.id());
    let before = (theirs.get().unwrap(), theirs.history(10).unwrap());
    let answers = [
        mine.get().map(drop),
        mine.history(10).map(drop),
        mine.append(["mine?"]).map(drop),
        mine.send("mine?").map(drop),
        mine.rename(Some("mine?")).map(drop),
        mine.delete(),
        mine.archive().map(drop),
        mine.export(Vec::new()).map(drop),
        mine.turn(turn.id()).map(drop),
        turn.get().map(drop),
        turn.wait().map(drop),
        idle.wait().map(drop),
        listing.page().map(drop),
        follow.next().map_or(Ok(()), |next| next.map(drop)),
    ];
    for (nth, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound, "answer {nth}");
    }
    assert_eq!((theirs.get().unwrap(), theirs.history(10).unwrap()), before);
    // By a key of the whole workspace it is the same session.
    let master = acme.create_master_key(NewKey::default()).unwrap();
    let master = engine.open_key(master.secret.expose()).unwrap();
    assert_eq!(master.session(mine.id()).unwrap().history(10).unwrap().len(), 2);
}

/// What waits, and what it says in the end.
type Waiting = (&'static str, fn(&Session, &TurnHandle) -> Error);

fn last<T: std::fmt::Debug>(mut items: impl Iterator<Item = Result<T>>) -> Error {
    let error = items.find_map(Result::err).expect("it ends with an error");
    assert!(items.next().is_none(), "nothing comes after it");
    error
}

const WAITING: [Waiting; 5] = [
    ("a turn", |_, turn| turn.wait().unwrap_err()),
    ("a turn as a future", |_, turn| pollster::block_on(turn.clone()).unwrap_err()),
    ("an idle session", |session, _| session.idle().wait().unwrap_err()),
    ("a follower", |session, _| last(session.follow(0))),
    ("a live feed", |session, _| last(session.stream(0))),
];

#[test]
fn who_waits_with_a_key_is_told_when_it_is_revoked() {
    let (at_work, keeper) = gate();
    let store: std::sync::Arc<dyn parlor::store::Store> = std::sync::Arc::new(parlor::testkit::ModelStore::new());
    let engine = open(&store, |builder| {
        builder.agent_fn("echo", move |_| {
            at_work.pass("here");
            Ok("done")
        })
    });
    let acme = engine.workspace("acme").unwrap();
    for (what, wait) in WAITING {
        let (access, id) = opened(&engine, Scopes::ALL);
        let agent = access.agent(access.key().agent_id.unwrap()).unwrap();
        let (session, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
        keeper.arrival();
        let mut watch = agent.watch();
        let trusted = acme.session(session.id()).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(&session, &turn));
            let watching = scope.spawn(|| last(&mut watch));
            // All of them sleep: one in the watch, one for the session.
            while engine.stats().waiters < 1 {
                thread::yield_now();
            }
            acme.revoke_key(id).unwrap();
            for told in [waiting.join().unwrap(), watching.join().unwrap()] {
                assert_eq!(told.kind(), ErrorKind::Unauthorized, "{what}: {told}");
            }
        });
        assert!(watch.is_ended());
        keeper.open();
        trusted.idle().wait().unwrap();
    }
}

#[test]
fn what_was_read_is_not_told_once_the_key_is_gone() {
    let (engine, _clock) = engine();
    let (access, id) = opened(&engine, Scopes::ALL);
    let agent = access.agent(access.key().agent_id.unwrap()).unwrap();
    let session = agent.create_session(NewSession::default()).unwrap();
    session.append(["one", "two", "three"]).unwrap();
    let (mut follow, mut live) = (session.follow(0), session.stream(0));
    let mut walk = session.messages(parlor::page::MessageQuery::all()).iter();
    follow.next().unwrap().unwrap();
    live.next().unwrap().unwrap();
    walk.next().unwrap().unwrap();
    engine.workspace("acme").unwrap().revoke_key(id).unwrap();
    for error in [last(&mut follow), last(&mut live), last(&mut walk)] {
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
    assert!(follow.is_ended() && live.is_ended());
    assert_eq!(follow.reached(), 1, "it goes on from there with another key");
}

#[test]
fn an_expired_key_opens_nothing_for_handles_that_were_made_before() {
    let (engine, clock) = engine();
    let soon = Timestamp::from_micros(clock.now().as_micros() + 1_000_000);
    let key = key(&engine, Scopes::ALL, NewKey::default().expires_at(soon));
    let access = engine.open_key(key.secret.expose()).unwrap();
    let agent = access.agent(key.record.agent_id.unwrap()).unwrap();
    let (session, turn) = agent.start_session(NewSession::default(), "hello").unwrap();
    turn.wait().unwrap();
    let mut follow = session.follow(0);
    let mut watch = agent.watch();
    let archive = agent.create_session(NewSession::default()).unwrap().archive().unwrap();
    clock.advance(Duration::from_secs(1));
    let told = [
        agent.get().unwrap_err(),
        session.get().unwrap_err(),
        session.send("a").unwrap_err(),
        turn.wait().unwrap_err(),
        turn.interrupt().unwrap_err(),
        session.fork(turn.message_id(), NewSession::default()).unwrap_err(),
        archive.export(Vec::new()).unwrap_err(),
        archive.restore().unwrap_err(),
        agent.import_archive(&[][..], ImportIds::Keep).unwrap_err(),
        follow.try_next().unwrap().unwrap_err(),
        watch.try_next().unwrap().unwrap_err(),
        access.session(session.id()).unwrap_err(),
    ];
    assert!(told.iter().all(|error| error.kind() == ErrorKind::Unauthorized), "{told:?}");
    // The clock goes by the wall: set back, the key opens again.
    clock.step_back(Duration::from_secs(1));
    agent.get().unwrap();
}

#[test]
fn a_follower_with_a_key_is_told_what_was_there_when_the_engine_closes() {
    let (engine, _clock) = engine();
    let ((access, _), (revoked, id)) = (opened(&engine, Scopes::ALL), opened(&engine, Scopes::ALL));
    let follow_of = |access: &Access| {
        let agent = access.agent(access.key().agent_id.unwrap()).unwrap();
        let session = agent.create_session(NewSession::default()).unwrap();
        let mut follow = session.follow(0);
        follow.next().unwrap().unwrap();
        session.append(["one"]).unwrap();
        follow
    };
    let (mut follow, mut other) = (follow_of(&access), follow_of(&revoked));
    engine.workspace("acme").unwrap().revoke_key(id).unwrap();
    engine.close().unwrap();
    assert_eq!(follow.next().unwrap().unwrap().number, 2);
    assert!(follow.next().is_none());
    // One that was revoked before, and had not noticed, is told nothing.
    assert!(other.next().unwrap().is_err());
    assert_eq!(access.workspace().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_task_that_waits_with_a_key_is_woken_when_it_is_revoked() {
    let (engine, _clock) = engine();
    let (access, id) = opened(&engine, Scopes::ALL);
    let agent = access.agent(access.key().agent_id.unwrap()).unwrap();
    let session = agent.create_session(NewSession::default()).unwrap();
    let (woken, wakes) = channel();
    struct Tell(std::sync::Mutex<std::sync::mpsc::Sender<()>>);
    impl std::task::Wake for Tell {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.lock().unwrap().send(()).unwrap();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Tell(std::sync::Mutex::new(woken))));
    let cx = &mut Context::from_waker(&waker);
    let (mut follow, mut live, mut watch) = (session.follow(1), session.stream(1), agent.watch());
    assert!(follow.poll_next(cx).is_pending() && live.poll_next(cx).is_pending() && watch.poll_next(cx).is_pending());
    engine.workspace("acme").unwrap().revoke_key(id).unwrap();
    (0..3).for_each(|_| wakes.recv().unwrap());
    let refused =
        |poll: Poll<Option<Error>>| matches!(poll, Poll::Ready(Some(error)) if error.kind() == ErrorKind::Unauthorized);
    assert!(refused(follow.poll_next(cx).map(|item| item.and_then(Result::err))));
    assert!(refused(live.poll_next(cx).map(|item| item.and_then(Result::err))));
    assert!(refused(watch.poll_next(cx).map(|item| item.and_then(Result::err))));
}

#[test]
fn lines_that_an_agent_key_exports_tell_nothing_of_the_workspace() {
    let (engine, _clock) = engine();
    let (access, _) = opened(&engine, Scopes::ALL);
    let agent = access.agent(access.key().agent_id.unwrap()).unwrap();
    let session = agent.create_session(NewSession::default().key("k")).unwrap();
    session.append(["hello"]).unwrap();
    let lines = |session: &Session| {
        let mut lines = Vec::new();
        let report = session.export(&mut lines).unwrap();
        assert_eq!((report.workspaces, report.agents, report.sessions, report.messages), (1, 1, 1, 1));
        String::from_utf8(lines).unwrap()
    };
    let acme = engine.workspace("acme").unwrap();
    let master = acme.create_master_key(NewKey::default()).unwrap();
    let master = engine.open_key(master.secret.expose()).unwrap();
    let id = acme.id();
    for session in [acme.session(session.id()).unwrap(), master.session(session.id()).unwrap()] {
        assert!(lines(&session).contains(&format!("\"id\":\"{id}\",\"name\":\"acme\"")));
    }
    let told = lines(&session);
    assert!(told.contains(&format!("\"id\":\"{id}\",\"name\":\"{id}\",\"created_at_micros\":0")), "{told}");
    assert!(!told.contains("acme"), "{told}");
    // They come in as any others.
    session.delete().unwrap();
    agent.import(told.as_bytes(), Default::default()).unwrap();
    assert_eq!(session.history(10).unwrap()[0].text(), "hello");
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
}
