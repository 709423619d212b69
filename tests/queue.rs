//! Turns that wait, run again, are stopped: what an executor makes of it.

mod support;

use std::sync::Arc;
use std::thread;

use crossbeam_channel::unbounded;
use parlor::store::Store;
use parlor::{
    Builder, ChangeKind, Engine, ErrorKind, NewMessage, Policy, QueueBounds, Reason, Session, SessionStatus,
    TurnHandle, TurnState, Usage,
};
use support::{Gate, gate, on_every_store, open, session, texts};

/// Agents that stop at this gate, and answer with what they were asked.
fn gated(builder: Builder, gate: Gate) -> Builder {
    builder.agent_fn("worker", move |turn| {
        gate.pass(turn.input().text());
        turn.check()?;
        Ok(turn.input().text())
    })
}

fn ended(turn: &TurnHandle) -> (TurnState, Option<Reason>) {
    let turn = turn.wait().unwrap().turn;
    (turn.state, turn.reason)
}

/// The same session in another engine.
fn again(engine: &Engine, of: &Session) -> Session {
    engine.workspace("acme").unwrap().session(of.id()).unwrap()
}

#[test]
fn what_waits_runs_in_order_and_one_at_a_time() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| gated(builder, gate));
        let session = session(&engine, "worker");
        let turns: Vec<_> = ["a", "b", "c", "d"].iter().map(|text| session.enqueue(*text).unwrap()).collect();
        let states = |turns: &[TurnHandle]| turns.iter().map(|turn| turn.get().unwrap().state).collect::<Vec<_>>();
        for (n, text) in ["a", "b", "c", "d"].iter().enumerate() {
            assert_eq!(keeper.arrival(), *text);
            assert!(keeper.is_deserted(), "one at a time");
            assert_eq!(states(&turns[n..])[0], TurnState::Running);
            assert!(states(&turns[n + 1..]).iter().all(|state| *state == TurnState::Queued));
            let record = session.get().unwrap();
            assert_eq!((record.running_turn, record.queued_turns as usize), (Some(turns[n].id()), 3 - n));
            keeper.open();
            assert_eq!(turns[n].wait().unwrap().text(), *text);
        }
        assert_eq!(session.get().unwrap().status, SessionStatus::Idle);
        engine.close().unwrap();
    });
}

#[test]
fn many_sessions_queue_side_by_side() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.workers(3).agent_fn("echo", |turn| Ok(turn.input().text())));
        thread::scope(|scope| {
            for _ in 0..8 {
                let session = session(&engine, "echo");
                scope.spawn(move || {
                    let turns: Vec<_> = (0..20).map(|n| session.enqueue(n.to_string()).unwrap()).collect();
                    for (n, turn) in turns.iter().enumerate() {
                        assert_eq!(turn.wait().unwrap().text(), n.to_string());
                    }
                });
            }
        });
        engine.close().unwrap();
    });
}

#[test]
fn an_interrupt_stops_the_agent_and_starts_the_next() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (refused, refusals) = unbounded();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                gate.pass(turn.input().text());
                if turn.is_cancelled() {
                    refused.send(turn.message("late").map_err(|error| error.kind()).map(drop))?;
                }
                Ok(turn.input().text())
            })
        });
        let session = session(&engine, "worker");
        let (first, second) = (session.send("a").unwrap(), session.enqueue("b").unwrap());
        keeper.arrival();
        let interrupted = session.interrupt().unwrap().expect("a turn was running");
        assert_eq!((interrupted.id, interrupted.reason), (first.id(), Some(Reason::Request)));
        assert_eq!(ended(&first), (TurnState::Interrupted, Some(Reason::Request)));
        assert_eq!(second.get().unwrap().state, TurnState::Running, "from that commit on");
        assert!(keeper.is_deserted(), "its agent starts when the old one has returned");
        keeper.open();
        assert_eq!(refusals.recv().unwrap(), Err(ErrorKind::Fenced));
        assert_eq!(keeper.arrival(), "b");
        keeper.open();
        assert_eq!(second.wait().unwrap().text(), "b");
        assert_eq!(session.interrupt().unwrap(), None, "nothing is running");
        engine.close().unwrap();
    });
}

#[test]
fn a_handle_ends_its_own_turn_and_no_other() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| gated(builder, gate));
        let session = session(&engine, "worker");
        let [first, second, third] = ["a", "b", "c"].map(|text| session.enqueue(text).unwrap());
        keeper.arrival();
        let waiting = third.interrupt().unwrap();
        assert_eq!((waiting.state, waiting.reason), (TurnState::Interrupted, Some(Reason::Cancelled)));
        let running = first.interrupt().unwrap();
        assert_eq!((running.id, running.reason), (first.id(), Some(Reason::Request)));
        assert_eq!(second.get().unwrap().state, TurnState::Running, "from that commit on");
        // Once more, too late.
        assert_eq!(first.interrupt().unwrap(), running);
        assert_eq!(session.turn(first.id()).unwrap().interrupt().unwrap(), running);
        keeper.open();
        assert_eq!(keeper.arrival(), "b");
        keeper.open();
        assert_eq!(ended(&second), (TurnState::Completed, None), "and the next one never heard of it");
        assert_eq!(second.interrupt().unwrap().state, TurnState::Completed);
        engine.close().unwrap();
        assert_eq!(second.interrupt().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_stop_leaves_the_session_idle() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| gated(builder, gate));
        let session = session(&engine, "worker");
        let turns: Vec<_> = ["a", "b", "c"].iter().map(|text| session.enqueue(*text).unwrap()).collect();
        keeper.arrival();
        let waiter = thread::spawn({
            let last = turns[2].clone();
            move || ended(&last)
        });
        let stopped = session.stop().unwrap();
        assert_eq!(stopped.turn.map(|turn| turn.id), Some(turns[0].id()));
        assert_eq!(stopped.cancelled.iter().map(|turn| turn.id).collect::<Vec<_>>(), [turns[1].id(), turns[2].id()]);
        assert_eq!(waiter.join().unwrap(), (TurnState::Interrupted, Some(Reason::Cancelled)));
        assert_eq!(ended(&turns[0]), (TurnState::Interrupted, Some(Reason::Request)));
        assert_eq!(session.get().unwrap().status, SessionStatus::Idle);
        session.append(["a note"]).unwrap();
        let next = session.send("d").unwrap();
        keeper.open();
        assert_eq!(keeper.arrival(), "d", "neither of the others starts");
        keeper.open();
        assert_eq!(next.wait().unwrap().text(), "d");
        assert_eq!(session.stop().unwrap(), Default::default());
        engine.close().unwrap();
    });
}

#[test]
fn a_turn_is_cancelled_while_it_waits_and_no_later() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| gated(builder, gate));
        let session = session(&engine, "worker");
        let [a, b, c] = ["a", "b", "c"].map(|text| session.enqueue(text).unwrap());
        keeper.arrival();
        assert!(session.cancel(a.id()).unwrap_err().to_string().contains("running"));
        assert_eq!(session.cancel(b.id()).unwrap().reason, Some(Reason::Cancelled));
        assert_eq!(ended(&b), (TurnState::Interrupted, Some(Reason::Cancelled)));
        assert!(session.cancel(b.id()).unwrap_err().to_string().contains("interrupted"));
        keeper.open();
        assert_eq!(keeper.arrival(), "c");
        keeper.open();
        assert_eq!(c.wait().unwrap().text(), "c");
        assert!(texts(&session).contains(&"b".to_owned()), "its message stays");
        engine.close().unwrap();
    });
}

#[test]
fn a_rollback_takes_the_place_of_what_was_asked() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| gated(builder, gate));
        let session = session(&engine, "worker");
        let id = uuid::Uuid::now_v7();
        let first = session.send(NewMessage::text("Tokio").id(id)).unwrap();
        keeper.arrival();
        let second = session.send_with(Policy::Rollback, "Tokyo").unwrap();
        assert_eq!(ended(&first), (TurnState::Interrupted, Some(Reason::Rollback)));
        let retried = session.send_with(Policy::Rollback, NewMessage::text("Tokio").id(id)).unwrap();
        assert_eq!(retried.id(), first.id(), "a retry answers with the original, after a rollback too");
        keeper.open();
        keeper.arrival();
        keeper.open();
        assert_eq!(second.wait().unwrap().text(), "Tokyo");
        assert_eq!(texts(&session), ["Tokyo", "Tokyo"]);
        engine.close().unwrap();
    });
}

#[test]
fn at_the_bound_of_the_queue_a_turn_is_refused() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let bounds = QueueBounds { turns: 1, ..QueueBounds::default() };
        let engine = open(&store, |builder| gated(builder.session_queue(bounds), gate));
        let session = session(&engine, "worker");
        let [a, b] = ["a", "b"].map(|text| session.enqueue(text).unwrap());
        let error = session.enqueue("c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(error.to_string().contains("at most 1"), "{error}");
        assert_eq!(texts(&session), ["a", "b"], "nothing was written");
        for turn in [a, b] {
            keeper.arrival();
            keeper.open();
            turn.wait().unwrap();
        }
        engine.close().unwrap();
    });
    let too_many = Engine::in_memory().session_queue(QueueBounds { turns: u32::MAX, ..QueueBounds::default() });
    assert_eq!(too_many.open().unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// A session with one turn running and two that wait, in an engine whose agent stands at its gate.
fn with_three(store: &Arc<dyn Store>, gate: Gate) -> (Engine, Session, [TurnHandle; 3]) {
    let engine = open(store, |builder| gated(builder.grace(std::time::Duration::ZERO), gate));
    let session = session(&engine, "worker");
    let turns = ["a", "b", "c"].map(|text| session.enqueue(text).unwrap());
    (engine, session, turns)
}

#[test]
fn what_waits_survives_a_dead_process() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (engine, session, [a, b, c]) = with_three(&store, gate);
        keeper.arrival();
        // Nothing is closed, and its agent never returns: as a process that was killed leaves it.
        std::mem::forget(engine);
        let other = open(&store, |builder| builder);
        assert_eq!(other.recovered().iter().map(|turn| turn.id).collect::<Vec<_>>(), [a.id()]);
        let states = [b, c].map(|turn| again(&other, &session).turn(turn.id()).unwrap().get().unwrap().state);
        assert_eq!(states, [TurnState::Queued; 2]);
        assert_eq!(again(&other, &session).get().unwrap().status, SessionStatus::Running);
        std::mem::forget(other);
        let third = open(&store, |builder| builder.agent_fn("worker", |turn| Ok(turn.input().text())));
        let session = again(&third, &session);
        let turns = session.turns(()).unwrap().items;
        for (turn, text) in turns.iter().rev().skip(1).zip(["b", "c"]) {
            assert_eq!(session.turn(turn.id).unwrap().wait().unwrap().text(), text);
        }
        third.close().unwrap();
    });
}

#[test]
fn what_waits_survives_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let (gate, keeper) = gate();
    let engine = gated(Engine::builder(&path).grace(std::time::Duration::ZERO), gate).open().unwrap();
    let closed = session(&engine, "worker");
    let [a, b, c] = ["a", "b", "c"].map(|text| closed.enqueue(text).unwrap());
    keeper.arrival();
    let waiter = thread::spawn(move || c.wait());
    engine.close().unwrap();
    assert_eq!(ended(&a), (TurnState::Interrupted, Some(Reason::Closed)));
    assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Closed, "it has not ended");
    drop(keeper);

    let wait = std::time::Duration::from_secs(60);
    let engine = Engine::builder(&path).wait_for_lock(wait).open().unwrap();
    let waiting = again(&engine, &closed);
    let record = waiting.get().unwrap();
    assert_eq!((record.status, record.running_turn, record.queued_turns), (SessionStatus::Running, None, 2));
    let refused = waiting.append(["a note"]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().ends_with("is busy: a turn is queued"), "{refused}");
    assert_eq!(waiting.delete().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(waiting.enqueue("d").unwrap_err().kind(), ErrorKind::NoBehaviour);
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    engine.close().unwrap();

    let builder = Engine::builder(&path).wait_for_lock(wait);
    let engine = builder.agent_fn("worker", |turn| Ok(turn.input().text())).open().unwrap();
    let session = again(&engine, &closed);
    assert_eq!(session.turn(b.id()).unwrap().wait().unwrap().text(), "b");
    let last = session.turns(()).unwrap().items.remove(0);
    assert_eq!(session.turn(last.id).unwrap().wait().unwrap().text(), "c");
    engine.close().unwrap();
}

#[test]
fn a_turn_runs_again_until_its_attempts_are_used_up() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let attempts = |store: &Arc<dyn Store>| {
            let gate = gate.clone();
            open(store, |builder| {
                builder.attempts(3).agent_fn("worker", move |turn| {
                    gate.pass(turn.turn().attempt.to_string());
                    Ok(turn.turn().attempt.to_string())
                })
            })
        };
        let engine = attempts(&store);
        let (died, lived) = (session(&engine, "worker"), session(&engine, "worker"));
        let turn = died.send("hello").unwrap();
        assert_eq!(keeper.arrival(), "1");
        std::mem::forget(engine);
        for attempt in ["2", "3"] {
            let engine = attempts(&store);
            assert_eq!(keeper.arrival(), attempt, "the agent sees which attempt it is");
            assert_eq!(engine.recovered(), []);
            std::mem::forget(engine);
        }
        let engine = attempts(&store);
        let recovered = engine.recovered();
        assert_eq!(recovered.iter().map(|turn| turn.id).collect::<Vec<_>>(), [turn.id()]);
        assert_eq!((recovered[0].reason, recovered[0].attempt), (Some(Reason::Crash), 3));
        let lived = again(&engine, &lived);
        let turn = lived.send("hello").unwrap();
        assert_eq!(keeper.arrival(), "1");
        std::mem::forget(engine);
        let engine = attempts(&store);
        assert_eq!(keeper.arrival(), "2");
        // The agents of the dead processes stand at the gate, too.
        drop(keeper);
        let again = again(&engine, &lived).turn(turn.id()).unwrap().wait().unwrap();
        assert_eq!((again.text(), again.turn.attempt), ("2".into(), 2));
        let kinds = lived_events(&engine, &lived);
        assert_eq!(kinds.iter().filter(|state| **state == TurnState::Running).count(), 2, "told each time");
        engine.close().unwrap();
    });
    assert_eq!(Engine::in_memory().attempts(0).open().unwrap_err().kind(), ErrorKind::InvalidArgument);
}

fn lived_events(engine: &Engine, of: &Session) -> Vec<TurnState> {
    let changes = again(engine, of).changes(0, 1000).unwrap();
    let states = changes.into_iter().filter_map(|change| match change.kind {
        ChangeKind::Turn(_, state) => Some(state),
        _ => None,
    });
    states.collect()
}

#[test]
fn an_agent_records_what_it_consumes() {
    on_every_store(|store| {
        let call = Usage { input: 100, output: 7, cached: 60, reasoning: 3, cost_micros: 42 };
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                turn.record_usage(call)?;
                turn.message("working")?;
                turn.record_usage(call)?;
                Ok("done")
            })
        });
        let session = session(&engine, "worker");
        for n in 1..=2 {
            let turn = session.send("hello").unwrap().wait().unwrap().turn;
            assert_eq!((turn.usage.input, turn.usage.cost_micros), (200, 84));
            assert_eq!(session.usage().unwrap().reasoning, n * 6);
        }
        let first = session.history(10).unwrap().remove(1);
        session.delete_message(first.id).unwrap();
        assert_eq!(session.usage().unwrap().output, 28, "deleting messages takes nothing away");
        engine.close().unwrap();
    });
}
