//! The hook: told of every end, after its commit, and never in anybody's way.

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use crossbeam_channel::unbounded;
use parlor::store::Store;
use parlor::testkit::ManualClock;
use parlor::time::Duration;
use parlor::{AgentResult, Durability, Engine, ErrorKind, Reason, Session, TurnEnd, TurnState};
use support::{Faulty, gate, on_every_store, open, session};

#[test]
fn every_end_is_told_once_in_order_and_can_be_read() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (tell, told) = unbounded();
        let clock = ManualClock::new();
        let engine = open(&store, |builder| {
            builder
                .clock(clock.clone())
                .time_limit(Duration::from_secs(60))
                .agent_fn("worker", move |turn| -> AgentResult {
                    match &*turn.input().text() {
                        "fail" => Err("as it was told".into()),
                        "panic" => panic!("as it was told"),
                        "gate" => {
                            gate.pass("worker");
                            Ok("late".into())
                        }
                        text => Ok(text.into()),
                    }
                })
                .on_end(move |end: &TurnEnd| tell.send(end.clone()).unwrap())
        });
        let session = session(&engine, "worker");
        let next = || told.recv().unwrap();
        let mut turns = Vec::new();
        for (text, state, reason) in [
            ("done", TurnState::Completed, None),
            ("fail", TurnState::Failed, Some(Reason::Error)),
            ("panic", TurnState::Failed, Some(Reason::Panic)),
        ] {
            turns.push(session.send(text).unwrap());
            let end = next();
            assert_eq!((end.turn.state, end.turn.reason), (state, reason));
            assert_eq!((end.workspace_id, end.agent_id), (session.workspace_id(), session.agent_id()));
            assert_eq!(session.turn(end.turn.id).unwrap().get().unwrap(), end.turn);
        }
        // Ends that no agent wrote: a follow-up's, a time limit's, a close's.
        turns.push(session.send("gate").unwrap());
        keeper.arrival();
        turns.push(session.follow_up("gate").unwrap());
        assert_eq!(next().turn.reason, Some(Reason::FollowUp));
        keeper.open();
        keeper.arrival();
        clock.advance(Duration::from_secs(60));
        assert_eq!(next().turn.reason, Some(Reason::TimeLimit));
        keeper.open();
        turns.push(session.send("gate").unwrap());
        keeper.arrival();
        drop(keeper);
        engine.close().unwrap();
        assert!(next().turn.state.is_terminal());
        assert!(told.is_empty() && turns.len() == 6, "each once");
    });
}

#[test]
fn a_hook_that_panics_or_hangs_is_in_nobodys_way() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let clock = ManualClock::new();
        let engine = open(&store, |builder| {
            builder.clock(clock.clone()).agent_fn("worker", |turn| Ok(turn.input().text())).on_end(
                move |_: &TurnEnd| {
                    gate.pass("hook");
                    panic!("as it was told");
                },
            )
        });
        let session = session(&engine, "worker");
        for n in 0..3 {
            assert_eq!(session.send(format!("{n}")).unwrap().wait().unwrap().text(), format!("{n}"));
        }
        keeper.arrival();
        keeper.open();
        // The panic took nothing from the next.
        keeper.arrival();
        let closing = std::thread::spawn(move || engine.close_within(Duration::from_secs(3600)));
        while session.get().is_ok() {
            std::thread::yield_now();
        }
        // The clock goes on until the close has seen it, in steps so small that most of them find it waiting.
        while !closing.is_finished() {
            clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
        closing.join().unwrap().unwrap();
        drop(keeper);
    });
}

#[test]
fn an_end_that_is_not_on_disk_is_not_told() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let (tell, told) = unbounded();
        let engine = open(&(faulty.clone() as Arc<dyn Store>), |builder| {
            builder
                .agent_fn("worker", |turn| Ok(turn.input().text()))
                .on_end(move |end: &TurnEnd| tell.send(end.turn.id).expect("the test listens"))
        });
        let session = session(&engine, "worker");
        let first = session.send("1").unwrap();
        assert_eq!(told.recv().unwrap(), first.id());
        faulty.fail_sync(ErrorKind::Storage);
        assert_eq!(session.send("2").unwrap().wait().unwrap().text(), "2");
        engine.close().unwrap();
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn with_deferred_durability_the_ends_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, told) = unbounded();
    let engine = Engine::builder(dir.path().join("a.parlor"))
        .durability(Durability::Deferred(Duration::from_secs(60)))
        .agent_fn("worker", |turn| Ok(turn.input().text()))
        .on_end(move |end: &TurnEnd| tell.send(end.turn.id).expect("the test listens"))
        .open()
        .unwrap();
    let session = session(&engine, "worker");
    for n in 0..3 {
        let turn = session.send(format!("{n}")).unwrap();
        assert_eq!(told.recv().unwrap(), turn.id());
    }
    engine.close().unwrap();
}

#[test]
fn a_hook_may_send_and_wait() {
    on_every_store(|store| {
        let own = Arc::new(OnceLock::<Session>::new());
        let texts = Arc::new(Mutex::new(Vec::new()));
        let (done, finished) = unbounded();
        let engine = open(&store, |builder| {
            let (own, texts) = (Arc::clone(&own), Arc::clone(&texts));
            builder.agent_fn("worker", |turn| Ok(turn.input().text())).on_end(move |end: &TurnEnd| {
                let session = own.get().expect("it was set");
                let reply = session.message(end.turn.final_message.expect("it has one")).expect("it is stored");
                texts.lock().unwrap().push(reply.text());
                let count = texts.lock().unwrap().len();
                if count < 4 {
                    session.send(format!("{count}")).expect("it is idle").wait().expect("it ends");
                } else {
                    done.send(()).expect("the test waits");
                }
            })
        });
        let session = session(&engine, "worker");
        own.set(session.clone()).unwrap();
        session.send("0").unwrap();
        finished.recv().unwrap();
        engine.close().unwrap();
        assert_eq!(*texts.lock().unwrap(), ["0", "1", "2", "3"]);
    });
}
