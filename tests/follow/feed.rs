//! What a follower tells: every event after a number, in order, each once.

use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use futures_core::Stream;
use parlor::limit::FOLLOW_BATCH;
use parlor::time::Duration;
use parlor::{Change, ChangeKind, Engine, Follow, NewMessage, TurnState, Watch, Watched};

use super::support::{echo, gate, on_every_store, open, session};
use super::{Count, Hasty, feed, rest};

#[test]
fn a_follower_tells_every_event_in_order_whoever_writes() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 25;
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let followers: Vec<_> = (0..3)
            .map(|_| {
                let follow = session.follow(0);
                // The creation, the appends, the deletions.
                let total = 1 + WRITERS * ROUNDS * 3;
                thread::spawn(move || follow.take(total).collect::<parlor::Result<Vec<_>>>().unwrap())
            })
            .collect();
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let written = session.append(["one", "two"]).unwrap();
                        session.delete_message(written[0].id).unwrap();
                    }
                });
            }
        });
        let told: Vec<_> = followers.into_iter().map(|follower| follower.join().unwrap()).collect();
        let expected = feed(&session, 0);
        assert!(expected.iter().map(|change| change.number).eq(1..=expected.len() as u64));
        assert!(told.iter().all(|told| *told == expected));
        engine.close().unwrap();
    });
}

#[test]
fn a_follower_tells_what_a_turn_does_as_it_does_it() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                turn.message("on the way")?;
                gate.pass("worker");
                Ok("done")
            })
        });
        let session = session(&engine, "worker");
        let turn = session.send("hello").unwrap();
        let mut follow = session.follow(0);
        let mut next = || follow.next().unwrap().unwrap().kind;
        assert_eq!(next(), ChangeKind::Created);
        assert_eq!(next(), ChangeKind::Message(turn.message_id()));
        assert_eq!(next(), ChangeKind::Turn(turn.id(), TurnState::Running));
        let ChangeKind::Message(on_the_way) = next() else { panic!("the agent wrote a message") };
        assert_eq!(session.message(on_the_way).unwrap().text(), "on the way");
        keeper.arrival();
        keeper.open();
        let ChangeKind::Message(done) = next() else { panic!("the agent answered") };
        assert_eq!(session.message(done).unwrap().text(), "done");
        assert_eq!(next(), ChangeKind::Turn(turn.id(), TurnState::Completed));
        engine.close().unwrap();
    });
}

#[test]
fn a_follower_resumes_from_any_number_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Engine::builder(dir.path().join("a.parlor")).open().unwrap();
    let engine = open();
    let before = session(&engine, "any");
    for batch in 1..=5 {
        before.append(vec!["hello"; batch]).unwrap();
    }
    let all = feed(&before, 0);
    assert_eq!(all.len(), 16);
    engine.close().unwrap();

    let engine = open();
    let session = engine.workspace("acme").unwrap().session(before.id()).unwrap();
    for after in 0..=all.len() {
        let mut follow = session.follow(after as u64);
        assert_eq!((follow.reached(), follow.session_id()), (after as u64, session.id()));
        assert_eq!(rest(&mut follow), all[after..], "after {after}");
        assert_eq!((follow.reached(), follow.is_ended()), (all.len() as u64, false));
    }
    // One that was told of a number that is yet to come waits until it is past it.
    let mut ahead = session.follow(17);
    assert_eq!(rest(&mut ahead), []);
    session.append(["17", "18"]).unwrap();
    assert_eq!(rest(&mut ahead).iter().map(|change| change.number).collect::<Vec<_>>(), [18]);
    assert_eq!(rest(&mut session.follow(u64::MAX)), []);
    engine.close().unwrap();
}

#[test]
fn a_position_counts_what_was_told_and_not_what_was_read() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        session.append(["one", "two", "three"]).unwrap();
        let mut follow = session.follow(1);
        for number in [2, 3] {
            assert_eq!(follow.try_next().unwrap().unwrap().number, number);
            assert_eq!(follow.reached(), number);
        }
        assert_eq!(rest(&mut session.follow(follow.reached())), rest(&mut follow));
        engine.close().unwrap();
    });
}

#[test]
fn a_time_out_is_no_error_and_loses_nothing() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.clock(Hasty::default()));
        let workspace = engine.workspace("acme").unwrap();
        let session = session(&engine, "any");
        let (mut follow, mut watch) = (session.follow(1), workspace.watch());
        for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(3600)] {
            assert!(follow.next_timeout(timeout).is_none() && !follow.is_ended());
            assert!(watch.next_timeout(timeout).is_none() && !watch.is_ended());
        }
        session.append(["hello"]).unwrap();
        for timeout in [Duration::ZERO, Duration::MAX] {
            // What is there is told, whatever the clock says.
            assert_eq!(session.follow(1).next_timeout(timeout).unwrap().unwrap().number, 2);
        }
        assert_eq!(follow.next_timeout(Duration::ZERO).unwrap().unwrap().number, 2);
        assert_eq!(watch.next_timeout(Duration::ZERO).unwrap().unwrap().session, session.id());
        assert!(follow.next_timeout(Duration::ZERO).is_none() && watch.next_timeout(Duration::ZERO).is_none());
        engine.close().unwrap();
    });
}

#[test]
fn a_follower_that_lags_loses_nothing_however_far_it_is_behind() {
    const BATCH: usize = 500;
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let mut follow = session.follow(0);
        assert_eq!(follow.next().unwrap().unwrap().number, 1);
        let writer = thread::spawn({
            let session = session.clone();
            move || (0..5).for_each(|_| drop(session.append(vec!["hello"; BATCH]).unwrap()))
        });
        writer.join().unwrap();
        assert!(BATCH * 5 > 4 * FOLLOW_BATCH as usize);
        assert_eq!(rest(&mut follow), feed(&session, 1));
        assert_eq!(follow.reached(), 1 + 5 * BATCH as u64);
        engine.close().unwrap();
    });
}

#[test]
fn repeats_and_refusals_are_told_to_nobody() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok(())
            })
        });
        let workspace = engine.workspace("acme").unwrap();
        let agent = workspace.agent("worker").unwrap();
        let new = parlor::NewSession::default().id(uuid::Uuid::now_v7());
        let hello = NewMessage::text("hello").id(uuid::Uuid::now_v7());
        let (session, turn) = agent.start_session(new.clone(), hello.clone()).unwrap();
        keeper.arrival();
        let (mut follow, mut watch, count) = (session.follow(3), workspace.watch(), Arc::new(Count::default()));
        assert!(
            count.poll(|cx| follow.poll_next(cx)).is_pending() && count.poll(|cx| watch.poll_next(cx)).is_pending()
        );
        assert_eq!(agent.start_session(new, hello.clone()).unwrap().1.id(), turn.id());
        assert_eq!(session.send(hello).unwrap().id(), turn.id());
        assert!(session.send("else").unwrap_err().is_conflict());
        assert!(session.append(["else"]).unwrap_err().is_conflict());
        assert!(session.delete_message(parlor::id::MessageId::from_uuid(uuid::Uuid::now_v7())).is_err());
        assert_eq!(count.get(), 0);
        assert!(follow.try_next().is_none() && watch.try_next().is_none());
        keeper.open();
        turn.wait().unwrap();
        engine.close().unwrap();
    });
}

/// Takes so many items of a stream, on this thread.
fn take<S: Stream + Unpin>(mut stream: S, items: usize) -> Vec<S::Item> {
    let mut next = || pollster::block_on(std::future::poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)));
    (0..items).map_while(|_| next()).collect()
}

#[test]
fn followers_and_watches_are_streams() {
    on_every_store(|store| {
        let engine = echo(&store);
        let workspace = engine.workspace("acme").unwrap();
        let (session, other) = (session(&engine, "echo"), session(&engine, "echo"));
        let streams = [session.follow(0), session.follow(0)];
        let watches = [workspace.watch(), workspace.agent("echo").unwrap().watch()];
        let told = streams.map(|stream| thread::spawn(move || take(stream, 5)));
        let watched = watches.map(|stream| thread::spawn(move || take(stream, 2)));
        session.append(["one", "two", "three", "four"]).unwrap();
        other.append(["one"]).unwrap();
        for told in told {
            let told: parlor::Result<Vec<Change>> = told.join().unwrap().into_iter().collect();
            assert_eq!(told.unwrap(), feed(&session, 0));
        }
        for watched in watched {
            let watched: parlor::Result<Vec<Watched>> = watched.join().unwrap().into_iter().collect();
            let watched = watched.unwrap().into_iter().map(|watched| (watched.session, watched.change));
            assert_eq!(watched.collect::<Vec<_>>(), [(session.id(), 5), (other.id(), 2)]);
        }
        let (follow, watch) = (session.follow(5), workspace.watch());
        engine.close().unwrap();
        assert!(take(follow, 1).is_empty() && take(watch, 1).is_empty(), "a stream ends as the iterator does");
    });
}

#[test]
fn followers_and_watches_can_be_sent_and_shared_between_threads() {
    fn ensure<T: Send + Sync + Unpin + std::fmt::Debug + std::iter::FusedIterator>() {}
    ensure::<Follow>();
    ensure::<Watch>();
}
