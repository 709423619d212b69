//! Agents that do not stop when they are told to, and turns that run for too long.

mod support;

use std::sync::Arc;
use std::thread;

use crossbeam_channel::unbounded;
use parlor::store::Store;
use parlor::testkit::ManualClock;
use parlor::time::Duration;
use parlor::{
    AgentResult, Builder, Engine, ErrorKind, NewTurn, Reason, Session, TurnContext, TurnHandle, TurnReport, TurnState,
};
use support::{Keeper, gate, on_every_store, open, session};

const GRACE: Duration = Duration::from_secs(5);

/// An engine on a clock that the test drives, whose agent stops at the gate, whatever it is told, where its input
/// begins with `hang`.
fn scene(store: &Arc<dyn Store>, build: impl FnOnce(Builder) -> Builder) -> (Engine, ManualClock, Keeper) {
    let ((gate, keeper), clock) = (gate(), ManualClock::new());
    let engine = open(store, |builder| {
        build(builder.grace(GRACE).clock(clock.clone())).agent_fn("worker", move |turn| {
            let text = turn.input().text();
            if text.starts_with("hang") {
                gate.pass(text.as_str());
                // What it writes after an interruption is refused, and how it ends is nobody's business.
                turn.message("late")?;
            }
            Ok(text)
        })
    });
    (engine, clock, keeper)
}

fn ends_with(turn: &TurnHandle, text: &str) {
    let report = turn.wait().unwrap();
    assert_eq!((report.state(), &*report.text()), (TurnState::Completed, text));
}

fn waiter(turn: &TurnHandle) -> thread::JoinHandle<TurnReport> {
    let turn = turn.clone();
    thread::spawn(move || turn.wait().unwrap())
}

/// Sends until an agent that was left behind has returned, and there is room again.
fn send_once_there_is_room(session: &Session, text: &str) -> TurnHandle {
    loop {
        match session.send(text) {
            Ok(turn) => return turn,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}"),
        }
        thread::yield_now();
    }
}

#[test]
fn the_next_agent_starts_when_the_grace_of_the_old_one_is_over() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder.workers(1));
        let (busy, other) = (session(&engine, "worker"), session(&engine, "worker"));
        let hung = busy.send("hang").unwrap();
        keeper.arrival();
        let next = busy.follow_up("next").unwrap();
        assert_eq!(hung.wait().unwrap().turn.reason, Some(Reason::FollowUp));
        clock.advance(GRACE - Duration::from_millis(1));
        assert_eq!((next.get().unwrap().state, next.get().unwrap().started_at), (TurnState::Running, None));
        clock.advance(Duration::from_millis(1));
        // The only worker hangs: this one runs on the thread in its place.
        ends_with(&next, "next");
        ends_with(&other.send("other").unwrap(), "other");
        keeper.open();
        assert_eq!(engine.close_within(Duration::MAX).unwrap().interrupted, 0);
    });
}

#[test]
fn an_agent_that_returns_in_time_is_not_left_behind_and_what_it_says_late_is_refused() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder.workers(1).abandoned(1));
        let session = session(&engine, "worker");
        for round in 0..3 {
            session.send("hang").unwrap();
            keeper.arrival();
            let next = session.follow_up(format!("next {round}")).unwrap();
            keeper.open();
            ends_with(&next, &format!("next {round}"));
            // The grace of the one that returned is over, and nobody is left behind for it.
            clock.advance(GRACE);
        }
        assert_eq!(
            support::texts(&session),
            ["hang", "next 0", "next 0", "hang", "next 1", "next 1", "hang", "next 2", "next 2"]
        );
        engine.close().unwrap();
    });
}

#[test]
fn at_the_bound_of_agents_left_behind_new_turns_are_refused_and_nothing_is_written() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder.workers(2).abandoned(2));
        let sessions: Vec<_> = (0..3).map(|_| session(&engine, "worker")).collect();
        for (n, session) in sessions[..2].iter().enumerate() {
            session.send(format!("hang {n}")).unwrap();
            keeper.arrival();
            let next = session.follow_up("next").unwrap();
            clock.advance(GRACE);
            ends_with(&next, "next");
        }
        let before = sessions[2].get().unwrap();
        for refused in [sessions[2].send("one"), sessions[0].follow_up("one")] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            assert_eq!(error.to_string(), "2 agents were left behind and have not returned; at most 2 may be");
        }
        assert_eq!(sessions[2].get().unwrap(), before);
        // What needs no thread goes on.
        sessions[2].append(["a note"]).unwrap();
        // One that returns after all makes room.
        keeper.open();
        ends_with(&send_once_there_is_room(&sessions[2], "two"), "two");
        keeper.open();
        assert_eq!(engine.close_within(Duration::from_secs(60)).unwrap().interrupted, 0);
    });
}

#[test]
fn without_room_an_agent_keeps_its_session_until_another_one_returns() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder.workers(3).abandoned(1));
        let sessions: Vec<_> = (0..2).map(|_| session(&engine, "worker")).collect();
        for session in &sessions {
            session.send("hang").unwrap();
            keeper.arrival();
        }
        let [first, second] = [&sessions[0], &sessions[1]].map(|session| session.follow_up("next").unwrap());
        clock.advance(GRACE);
        // One of the two is left behind: its session goes on, and the other's waits.
        let waiters = [waiter(&first), waiter(&second)];
        keeper.open();
        for report in waiters.map(|waiter| waiter.join().unwrap()) {
            assert_eq!(report.text(), "next");
        }
        drop(keeper);
        engine.close().unwrap();
    });
}

#[test]
fn a_turn_that_runs_for_too_long_fails_and_its_session_goes_on() {
    on_every_store(|store| {
        let limit = Duration::from_secs(60);
        let (engine, clock, keeper) = scene(&store, |builder| builder.time_limit(limit));
        let session = session(&engine, "worker");
        // Before its agent starts no time runs, and after its end neither.
        ends_with(&session.send("quick").unwrap(), "quick");
        clock.advance(limit);
        let turn = session.send("hang").unwrap();
        keeper.arrival();
        clock.advance(limit - Duration::from_millis(1));
        assert_eq!(turn.get().unwrap().state, TurnState::Running);
        clock.advance(Duration::from_millis(1));
        let report = turn.wait().unwrap();
        assert_eq!((report.state(), report.turn.reason), (TurnState::Failed, Some(Reason::TimeLimit)));
        assert_eq!(report.turn.detail.as_deref(), Some("a turn may run for 60s"));
        assert!(report.turn.started_at.is_some());
        // The session is free at once; its next agent waits for the old one's grace.
        let next = session.send("next").unwrap();
        clock.advance(GRACE);
        ends_with(&next, "next");
        keeper.open();
        engine.close().unwrap();
        assert_eq!(turn.wait().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_send_brings_its_own_time_limit_in_place_of_the_engines() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder.time_limit(Duration::from_secs(60)).grace(GRACE));
        let session = session(&engine, "worker");
        // One that waits keeps its own; its time begins when its agent starts.
        for seconds in [1, 3600] {
            let limit = Duration::from_secs(seconds);
            let first = session.send("hang").unwrap();
            let second = session.enqueue(NewTurn::from("hang").time_limit(limit)).unwrap();
            assert_eq!(second.get().unwrap().time_limit, Some(limit));
            keeper.arrival();
            clock.advance(Duration::from_secs(30));
            keeper.open();
            ends_with(&first, "hang");
            keeper.arrival();
            clock.advance(limit - Duration::from_millis(1));
            assert_eq!(second.get().unwrap().state, TurnState::Running, "of {limit:?}");
            clock.advance(Duration::from_millis(1));
            let report = second.wait().unwrap();
            assert_eq!((report.state(), report.turn.reason), (TurnState::Failed, Some(Reason::TimeLimit)));
            assert_eq!(report.turn.detail, Some(format!("a turn may run for {limit:?}")));
            keeper.open();
        }
        engine.close().unwrap();
    });
}

#[test]
fn a_time_limit_of_its_own_goes_with_a_turn_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let limit = Duration::from_secs(3600);
    let (gate, keeper) = gate();
    let hang = move |_: &TurnContext| {
        gate.pass("there");
        Ok(())
    };
    let engine = Engine::builder(&path).agent_fn("worker", hang).open().unwrap();
    let session = session(&engine, "worker");
    session.send("first").unwrap();
    let turn = session.enqueue(NewTurn::from("second").time_limit(limit)).unwrap().id();
    keeper.arrival();
    engine.close_within(Duration::ZERO).unwrap();
    drop(keeper);
    let engine = Engine::builder(&path).open().unwrap();
    let turn = engine.workspace("acme").unwrap().session(session.id()).unwrap().turn(turn).unwrap().get().unwrap();
    assert_eq!((turn.state, turn.time_limit), (TurnState::Queued, Some(limit)));
    engine.close().unwrap();
}

#[test]
fn an_agent_that_leaves_when_its_time_is_over_ends_its_turn_in_the_same_way() {
    on_every_store(|store| {
        let clock = ManualClock::new();
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.time_limit(Duration::from_secs(60)).clock(clock.clone()).agent_fn("worker", move |turn| {
                let told = turn.cancel_token();
                gate.pass("worker");
                told.wait();
                turn.check()?;
                Ok("not reached")
            })
        });
        let session = session(&engine, "worker");
        for _ in 0..3 {
            let turn = session.send("hello").unwrap();
            keeper.arrival();
            keeper.open();
            clock.advance(Duration::from_secs(60));
            let report = turn.wait().unwrap();
            assert_eq!((report.state(), report.turn.reason), (TurnState::Failed, Some(Reason::TimeLimit)));
        }
        engine.close().unwrap();
    });
}

#[test]
fn a_close_counts_what_it_ended_and_whom_it_left_behind() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder.workers(2));
        let sessions: Vec<_> = (0..3).map(|_| session(&engine, "worker")).collect();
        // One agent was left behind before, one hangs, and one turn waits for an agent that hangs: no worker is idle.
        sessions[0].send("hang").unwrap();
        keeper.arrival();
        let next = sessions[0].follow_up("next").unwrap();
        clock.advance(GRACE);
        ends_with(&next, "next");
        let hung = sessions[1].send("hang").unwrap();
        sessions[2].send("hang").unwrap();
        keeper.arrival();
        keeper.arrival();
        let waiting = sessions[2].follow_up("next").unwrap();
        let report = engine.close_within(Duration::ZERO).unwrap();
        assert_eq!((report.ended, report.interrupted, report.abandoned), (0, 2, 3));
        for turn in [hung, waiting] {
            assert_eq!(turn.wait().unwrap().turn.reason, Some(Reason::Closed));
        }
        drop(keeper);
    });
}

#[test]
fn a_close_waits_for_as_long_as_it_is_told_on_the_clock_of_the_engine() {
    on_every_store(|store| {
        let (engine, clock, keeper) = scene(&store, |builder| builder);
        let turn = session(&engine, "worker").send("hang").unwrap();
        keeper.arrival();
        let waiting = waiter(&turn);
        let closing = thread::spawn(move || engine.close_within(Duration::from_secs(3600)).unwrap());
        // By the time that it is known to wait for agents, it has ended the turns.
        assert_eq!(waiting.join().unwrap().turn.reason, Some(Reason::Closed));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(closing.join().unwrap().abandoned, 1);
        drop(keeper);
    });
}

#[test]
fn an_agent_left_behind_that_panics_or_fails_is_nobodys_business() {
    on_every_store(|store| {
        let ((gate, keeper), clock) = (gate(), ManualClock::new());
        let (left, leaves) = unbounded();
        let engine = open(&store, |builder| {
            builder.workers(1).abandoned(1).clock(clock.clone()).agent_fn("worker", move |turn| -> AgentResult {
                let text = turn.input().text();
                if text != "quick" {
                    gate.pass("worker");
                    left.send(turn.check().is_err())?;
                    assert_ne!(text, "panic", "as it was told");
                    return Err(text.into());
                }
                Ok(text.into())
            })
        });
        let session = session(&engine, "worker");
        for how in ["panic", "fail"] {
            let hung = send_once_there_is_room(&session, how);
            keeper.arrival();
            let next = session.follow_up("quick").unwrap();
            clock.advance(GRACE);
            ends_with(&next, "quick");
            keeper.open();
            assert!(leaves.recv().unwrap(), "it was told");
            assert_eq!(hung.wait().unwrap().turn.reason, Some(Reason::FollowUp));
        }
        ends_with(&send_once_there_is_room(&session, "quick"), "quick");
        engine.close().unwrap();
    });
}
