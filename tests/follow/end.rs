//! How a follower and a watch end: after the close, having told what was before.

use std::sync::{Arc, Mutex};
use std::thread;

use parlor::limit::FOLLOW_BATCH;
use parlor::time::Duration;
use parlor::{ChangeKind, Engine, ErrorKind, TurnState};

use super::support::{Faulty, echo, gate, on_every_store, open, session};
use super::{Count, rest};

#[test]
fn close_wakes_everybody_who_follows_or_watches() {
    on_every_store(|store| {
        let engine = echo(&store);
        let workspace = engine.workspace("acme").unwrap();
        let session = session(&engine, "echo");
        let blocked = [
            thread::spawn({
                let mut follow = session.follow(1);
                move || follow.next().is_none()
            }),
            thread::spawn({
                let mut follow = session.follow(1);
                move || follow.next_timeout(Duration::MAX).is_none() && follow.is_ended()
            }),
            thread::spawn({
                let mut follow = session.follow(1);
                move || pollster::block_on(std::future::poll_fn(|cx| follow.poll_next(cx))).is_none()
            }),
            thread::spawn({
                let mut watch = workspace.watch();
                move || watch.next().is_none()
            }),
            thread::spawn({
                let mut watch = workspace.agent("echo").unwrap().watch();
                move || watch.next_timeout(Duration::MAX).is_none() && watch.is_ended()
            }),
        ];
        let count = Arc::new(Count::default());
        let (mut follow, mut watch) = (session.follow(1), workspace.watch());
        assert!(count.poll(|cx| follow.poll_next(cx)).is_pending());
        assert!(count.poll(|cx| watch.poll_next(cx)).is_pending());
        engine.close().unwrap();
        assert!(blocked.into_iter().all(|thread| thread.join().unwrap()));
        assert_eq!(count.get(), 2);
        assert!(follow.next().is_none() && watch.next().is_none());
        assert!(follow.next().is_none() && watch.next().is_none(), "and again");
    });
}

#[test]
fn who_kept_up_is_told_how_the_running_turns_ended_however_late_it_asks() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                gate.pass("worker");
                while !turn.is_cancelled() {
                    thread::yield_now();
                }
                // Else it could end the turn before the close does.
                turn.check()?;
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        let turn = session.send("hello").unwrap();
        keeper.arrival();
        keeper.open();
        let (mut follow, mut watch) = (session.follow(0), engine.workspace("acme").unwrap().watch());
        assert_eq!(rest(&mut follow).len(), 3);
        engine.close().unwrap();
        // Nobody could read between the commit and the close: this thread did both.
        let told: Vec<_> = rest(&mut follow).iter().map(|change| change.kind).collect();
        assert_eq!(told, [ChangeKind::Turn(turn.id(), TurnState::Interrupted)]);
        assert!(follow.is_ended() && follow.next().is_none());
        let watched = watch.next().unwrap().unwrap();
        assert_eq!((watched.session, watched.change), (session.id(), 4));
        assert!(watch.is_ended() && watch.next().is_none());
    });
}

#[test]
fn who_was_too_far_behind_at_the_close_is_told_so_and_resumes() {
    const MESSAGES: u64 = 2 * FOLLOW_BATCH as u64;
    let dir = tempfile::tempdir().unwrap();
    let open = || Engine::builder(dir.path().join("a.parlor")).open().unwrap();
    let engine = open();
    let before = session(&engine, "any");
    before.append(vec!["hello"; MESSAGES as usize]).unwrap();
    let (mut idle, mut begun) = (before.follow(0), before.follow(0));
    assert_eq!(begun.next().unwrap().unwrap().number, 1);
    engine.close().unwrap();
    // One had read nothing when the store closed, the other a batch.
    for (follow, first, reached) in
        [(&mut idle, 1, u64::from(FOLLOW_BATCH)), (&mut begun, 2, 2 * u64::from(FOLLOW_BATCH))]
    {
        for number in first..=reached {
            assert_eq!(follow.next().unwrap().unwrap().number, number);
        }
        assert!(!follow.is_ended());
        assert_eq!(follow.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(follow.is_ended() && follow.next().is_none());
        assert_eq!(follow.reached(), reached);
    }

    let engine = open();
    let session = engine.workspace("acme").unwrap().session(before.id()).unwrap();
    for follow in [idle, begun] {
        let numbers = rest(&mut session.follow(follow.reached())).into_iter().map(|change| change.number);
        assert!(numbers.eq(follow.reached() + 1..=MESSAGES + 1));
    }
    engine.close().unwrap();
}

#[test]
fn a_follower_that_is_made_after_the_close_says_closed_and_a_watch_ends() {
    on_every_store(|store| {
        let engine = echo(&store);
        let workspace = engine.workspace("acme").unwrap();
        let session = session(&engine, "echo");
        engine.close().unwrap();
        let (mut follow, mut watch) = (session.follow(0), workspace.watch());
        assert_eq!(follow.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(follow.next().is_none() && follow.is_ended());
        assert!(watch.is_ended() && watch.next().is_none() && watch.try_next().is_none());
    });
}

#[test]
fn dropping_the_engine_ends_followers_and_watches_too() {
    on_every_store(|store| {
        let engine = echo(&store);
        let workspace = engine.workspace("acme").unwrap();
        let session = session(&engine, "echo");
        let (follow, mut watch) = (session.follow(0), workspace.watch());
        session.append(["hello"]).unwrap();
        let follower = thread::spawn(move || follow.map(|change| change.unwrap().number).collect::<Vec<_>>());
        drop(engine);
        assert_eq!(follower.join().unwrap(), [1, 2]);
        assert_eq!(watch.next().unwrap().unwrap().change, 2);
        assert!(watch.next().is_none());
    });
}

#[test]
fn a_close_between_the_read_and_the_sleep_is_not_missed() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn parlor::store::Store> = Arc::clone(&faulty) as _;
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let (gate, keeper) = gate();
        faulty.hold_read(gate);
        let mut follow = session.follow(1);
        let follower = thread::spawn(move || follow.next().is_none());
        keeper.arrival();
        engine.close().unwrap();
        keeper.open();
        assert!(follower.join().unwrap());
    });
}

#[test]
fn who_reads_on_after_its_tail_was_kept_is_told_of_the_archiving() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn parlor::store::Store> = Arc::clone(&faulty) as _;
        let engine = echo(&store);
        let session = session(&engine, "echo");
        // With the creation more than are kept, so what is kept is not all.
        let messages = FOLLOW_BATCH + 10;
        session.append(vec!["hello"; messages as usize]).unwrap();
        let follow = Arc::new(Mutex::new(session.follow(0)));
        let reads_on = Arc::clone(&follow);
        faulty.before_archive(move || {
            let mut follow = reads_on.lock().unwrap();
            let read = std::iter::from_fn(|| follow.try_next()).map(|event| event.unwrap().number);
            assert!(read.eq(1..=u64::from(messages) + 1));
        });
        session.archive().unwrap();
        let mut follow = follow.lock().unwrap();
        assert_eq!(follow.next().unwrap().unwrap().kind, ChangeKind::Archived);
        assert!(follow.next().is_none());
        engine.close().unwrap();
    });
}
