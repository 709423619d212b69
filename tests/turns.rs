//! Turns: who wins, who is refused, and how each of them ends exactly once.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;

use crossbeam_channel::unbounded;
use parlor::id::{MessageId, SessionId};
use parlor::page::{MessageQuery, Types};
use parlor::store::Store;
use parlor::{
    AgentResult, ChangeKind, ErrorKind, MessageType, NewMessage, NewSession, NewTurn, Reason, Role, Session,
    SessionStatus, TurnState,
};
use support::{Faulty, gate, on_every_store, open, session, texts};
use uuid::Uuid;

#[test]
fn an_answer_ends_its_turn() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.agent_fn("echo", |turn| Ok(turn.input().text())));
        let session = session(&engine, "echo");
        let turn = session.send("hello").unwrap();
        let report = turn.wait().unwrap();

        let reply = report.reply().expect("an answer");
        assert_eq!((report.state(), report.text()), (TurnState::Completed, "hello".into()));
        assert_eq!((reply.role, reply.kind), (Role::Assistant, MessageType::FinalMessage));
        assert_eq!((reply.thread_id, reply.turn_id), (Some(turn.thread_id()), Some(turn.id())));
        let turn = report.turn.clone();
        assert_eq!((turn.final_message, turn.reason, turn.messages), (Some(reply.id), None, 1));
        assert!(turn.started_at.is_some_and(|started| started >= turn.created_at) && turn.ended_at.is_some());
        let record = session.get().unwrap();
        assert_eq!((record.status, record.running_turn), (SessionStatus::Idle, None));
        let kinds: Vec<_> = session.changes(0, 1000).unwrap().into_iter().map(|change| change.kind).collect();
        let expected = [
            ChangeKind::Created,
            ChangeKind::Message(turn.message_id),
            ChangeKind::Turn(turn.id, TurnState::Running),
            ChangeKind::Message(reply.id),
            ChangeKind::Turn(turn.id, TurnState::Completed),
        ];
        assert_eq!(kinds, expected);
        engine.close().unwrap();
    });
}

#[test]
fn a_follow_up_interrupts_the_running_turn() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (refused, refusals) = unbounded();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| -> AgentResult {
                if turn.input().text() != "plan a trip" {
                    return Ok(format!("done: {}", turn.input().text()).into());
                }
                turn.message("thinking")?;
                turn.tool_call("search", "{}")?;
                gate.pass("thinking");
                // All that it still tries comes too late.
                refused.send((turn.is_cancelled(), turn.check().unwrap_err().kind()))?;
                refused.send((true, turn.message("Kyoto in April").unwrap_err().kind()))?;
                refused.send((true, turn.emit_all(["a", "b"]).unwrap_err().kind()))?;
                Ok("a trip to Kyoto".into())
            })
        });
        let session = session(&engine, "worker");
        let first = session.send("plan a trip").unwrap();
        keeper.arrival();
        let busy = session.send("hello?").unwrap_err();
        assert!(busy.is_conflict(), "{busy}");
        let second = session.follow_up("book a table").unwrap();

        // It was over with the commit that accepted the follow-up, before its agent knows.
        let old = first.wait().unwrap();
        assert_eq!((old.state(), old.turn.reason), (TurnState::Interrupted, Some(Reason::FollowUp)));
        assert_eq!(second.get().unwrap().state, TurnState::Running);
        keeper.open();
        assert_eq!(second.wait().unwrap().text(), "done: book a table");
        let refusals: Vec<_> = refusals.iter().take(3).collect();
        assert_eq!(refusals, [(true, ErrorKind::Fenced); 3]);

        assert_eq!(
            texts(&session),
            ["plan a trip", "thinking", "", "interrupted: follow_up", "book a table", "done: book a table"]
        );
        let finals = MessageQuery::all().types(Types::only(MessageType::FinalMessage));
        assert_eq!(session.messages(finals).page().unwrap().meta.total, 1);
        let events = session.changes(0, 1000).unwrap();
        let is_end = |kind, turn| matches!(kind, ChangeKind::Turn(of, state) if of == turn && state.is_terminal());
        for turn in [first.id(), second.id()] {
            assert_eq!(events.iter().filter(|event| is_end(event.kind, turn)).count(), 1);
        }
        assert_eq!(first.wait().unwrap(), old, "an end never changes");
        engine.close().unwrap();
    });
}

#[test]
fn a_new_agent_starts_only_after_the_old_one_returned() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let log = Arc::new(Mutex::new(Vec::new()));
        let engine = open(&store, |builder| {
            let log = Arc::clone(&log);
            builder.agent_fn("worker", move |turn| {
                log.lock().unwrap().push(format!("{} starts", turn.input().text()));
                gate.pass(turn.input().text());
                log.lock().unwrap().push(format!("{} returns", turn.input().text()));
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        session.send("one").unwrap();
        assert_eq!(keeper.arrival(), "one");
        let second = session.follow_up("two").unwrap();
        // Its agent never starts: another follow-up ends it first.
        let third = session.follow_up("three").unwrap();
        let report = second.wait().unwrap();
        assert_eq!((report.state(), report.turn.reason), (TurnState::Interrupted, Some(Reason::FollowUp)));
        assert_eq!(report.turn.started_at, None);
        assert!(keeper.is_deserted());
        keeper.open();
        assert_eq!(keeper.arrival(), "three");
        keeper.open();
        assert_eq!(third.wait().unwrap().state(), TurnState::Completed);
        assert_eq!(*log.lock().unwrap(), ["one starts", "one returns", "three starts", "three returns"]);
        engine.close().unwrap();
    });
}

#[test]
fn a_follow_up_before_the_first_agent_started_takes_its_place() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(1).agent_fn("worker", move |turn| {
                gate.pass(turn.input().text());
                Ok(turn.input().text())
            })
        });
        // The only worker is busy elsewhere.
        let elsewhere = session(&engine, "worker").send("elsewhere").unwrap();
        assert_eq!(keeper.arrival(), "elsewhere");
        let session = session(&engine, "worker");
        let first = session.send("first").unwrap();
        let second = session.follow_up("second").unwrap();
        assert_eq!(first.wait().unwrap().state(), TurnState::Interrupted);
        keeper.open();
        assert_eq!(keeper.arrival(), "second");
        keeper.open();
        assert_eq!(second.wait().unwrap().text(), "second");
        assert_eq!(elsewhere.wait().unwrap().text(), "elsewhere");
        assert_eq!(texts(&session), ["first", "second", "second"]);
        engine.close().unwrap();
    });
}

#[test]
fn a_turn_that_is_over_when_its_caller_comes_back_never_runs() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = faulty.clone();
        let (ran, runs) = unbounded();
        let engine = open(&store, |builder| {
            builder.workers(1).agent_fn("worker", move |turn| {
                ran.send(turn.input().text())?;
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        session.append(["before"]).unwrap();
        let (gate, keeper) = gate();
        faulty.hold_answer(gate);
        thread::scope(|scope| {
            let late = scope.spawn(|| session.follow_up("late").unwrap());
            keeper.arrival();
            // The store accepts this one after it, and it is run and over before it.
            session.follow_up("early").unwrap().wait().unwrap();
            keeper.open();
            let late = late.join().unwrap();
            assert_eq!(late.wait().unwrap().turn.reason, Some(Reason::FollowUp));
        });
        session.send("after").unwrap().wait().unwrap();
        assert_eq!(runs.try_iter().collect::<Vec<_>>(), ["early", "after"]);
        engine.close().unwrap();
    });
}

#[test]
fn a_turn_that_is_interrupted_when_its_worker_has_it_never_runs() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = faulty.clone();
        let (ran, runs) = unbounded();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                ran.send(turn.input().text())?;
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        let (gate, keeper) = gate();
        // The worker looks whether the turn is over, and does not come to its agent yet.
        faulty.hold_turn(gate);
        let first = session.send("first").unwrap();
        keeper.arrival();
        let second = session.follow_up("second").unwrap();
        keeper.open();
        second.wait().unwrap();
        assert_eq!(first.wait().unwrap().turn.started_at, None);
        assert_eq!(runs.try_iter().collect::<Vec<_>>(), ["second"]);
        engine.close().unwrap();
    });
}

#[test]
fn a_close_waits_for_the_turns_that_are_being_accepted() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = faulty.clone();
        let engine = open(&store, |builder| builder.agent_fn("worker", |_| Ok("not reached")));
        let session = session(&engine, "worker");
        let (gate, keeper) = gate();
        faulty.hold_answer(gate);
        thread::scope(|scope| {
            let sender = scope.spawn(|| session.send("hello").unwrap());
            keeper.arrival();
            let closer = scope.spawn(move || engine.close());
            while session.get().is_ok() {
                thread::yield_now();
            }
            keeper.open();
            let report = sender.join().unwrap().wait().unwrap();
            assert_eq!((report.state(), report.turn.reason), (TurnState::Interrupted, Some(Reason::Closed)));
            assert_eq!(report.turn.started_at, None);
            closer.join().unwrap().unwrap();
        });
    });
}

#[test]
fn turns_run_on_so_many_workers_and_sessions_take_their_turns() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(2).agent_fn("worker", move |turn| {
                gate.pass(turn.input().text());
                Ok(thread::current().name().unwrap_or_default().to_owned())
            })
        });
        let turns: Vec<_> = (0..5).map(|n| session(&engine, "worker").send(format!("{n}")).unwrap()).collect();
        let mut both = [keeper.arrival(), keeper.arrival()];
        both.sort();
        assert_eq!(both, ["0", "1"]);
        for next in ["2", "3", "4"] {
            assert!(keeper.is_deserted());
            keeper.open();
            assert_eq!(keeper.arrival(), next);
        }
        keeper.open();
        keeper.open();
        for turn in turns {
            let name = turn.wait().unwrap().text();
            assert!(["parlor-worker-1", "parlor-worker-2"].contains(&&*name), "{name}");
        }
        engine.close().unwrap();
    });
}

#[test]
fn of_two_who_send_at_once_exactly_one_wins() {
    /// A session that grows makes the reference store slow.
    const ROUNDS_A_SESSION: usize = 25;
    let rounds = if std::env::var_os("PARLOR_LONG").is_some_and(|long| long == "1") { 10_000 } else { 300 };
    on_every_store(|store| {
        // A turn ends when both have their answer, so the one who comes second finds it running.
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                gate.pass(turn.input().text());
                Ok(())
            })
        });
        let mut current = session(&engine, "worker");
        for round in 0..rounds {
            if round % ROUNDS_A_SESSION == 0 {
                current = session(&engine, "worker");
            }
            let before = current.get().unwrap();
            let start = Barrier::new(2);
            let answers = thread::scope(|scope| {
                let both = ["one", "other"].map(|who| {
                    let (start, session) = (&start, &current);
                    scope.spawn(move || {
                        start.wait();
                        session.send(who)
                    })
                });
                both.map(|sender| sender.join().unwrap())
            });
            let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            assert_eq!((won.len(), lost.len()), (1, 1), "round {round}");
            assert!(lost.into_iter().all(|answer| answer.unwrap_err().is_conflict()));
            keeper.arrival();
            let after = current.get().unwrap();
            assert_eq!(after.last_message, before.last_message + 1, "nothing of the loser's is stored");
            assert_eq!(after.last_change, before.last_change + 2);
            keeper.open();
            won.into_iter().for_each(|turn| drop(turn.unwrap().wait().unwrap()));
        }
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    });
}

#[test]
fn of_many_follow_ups_the_last_one_completes_and_no_two_agents_meet() {
    on_every_store(|store| {
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let engine = open(&store, |builder| {
            let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
            builder.agent_fn("worker", move |turn| {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let written = turn.message("working");
                inside.fetch_sub(1, Ordering::SeqCst);
                written?;
                Ok(turn.input().text())
            })
        });
        let session = session(&engine, "worker");
        session.append(["hello"]).unwrap();
        thread::scope(|scope| {
            for who in 0..4 {
                let session = &session;
                scope.spawn(move || (0..20).for_each(|n| drop(session.follow_up(format!("{who}.{n}")).unwrap())));
            }
        });
        let last = session.turns(1).unwrap().items.remove(0);
        assert_eq!(session.turn(last.id).unwrap().wait().unwrap().state(), TurnState::Completed);
        assert_eq!((most.load(Ordering::SeqCst), inside.load(Ordering::SeqCst)), (1, 0));
        let (mut ends, mut turns) = (HashMap::new(), 0);
        for change in session.changes(0, 1000).unwrap() {
            if let ChangeKind::Turn(turn, state) = change.kind {
                *ends.entry(turn).or_insert(0) += usize::from(state.is_terminal());
                turns += usize::from(state == TurnState::Running);
            }
        }
        assert_eq!((turns, ends.len()), (80, 80));
        assert!(ends.values().all(|ends| *ends == 1), "each turn ends once");
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    });
}

#[test]
fn a_retry_with_the_same_id_starts_nothing() {
    on_every_store(|store| {
        let runs = Arc::new(AtomicUsize::new(0));
        let engine = open(&store, |builder| {
            let runs = Arc::clone(&runs);
            builder.agent_fn("worker", move |_| Ok(format!("run {}", runs.fetch_add(1, Ordering::SeqCst))))
        });
        let agent = engine.workspace("acme").unwrap().agent("worker").unwrap();
        let id = SessionId::from_uuid(Uuid::from_u128(7));
        let start = || agent.start_session(NewSession::default().id(id).label("trip"), "hello").unwrap();
        let (session, first) = start();
        assert_eq!(first.wait().unwrap().text(), "run 0");
        let (again, same) = start();
        assert_eq!((again.id(), same.id(), same.message_id()), (id, first.id(), first.message_id()));
        assert_eq!(same.wait().unwrap(), first.wait().unwrap());

        let send = || NewTurn::from(NewMessage::text("more").id(MessageId::from_uuid(Uuid::from_u128(8))));
        let second = session.send(send()).unwrap();
        assert_eq!(second.wait().unwrap().text(), "run 1");
        assert_eq!(session.send(send()).unwrap().id(), second.id());
        assert_eq!(session.follow_up(send()).unwrap().wait().unwrap(), second.wait().unwrap());
        let other = NewTurn::from(NewMessage::text("else").id(second.message_id()));
        assert!(session.send(other).unwrap_err().is_conflict());
        assert_eq!((runs.load(Ordering::SeqCst), texts(&session).len()), (2, 4));
        engine.close().unwrap();
    });
}

#[test]
fn a_session_starts_with_its_first_turn_in_one_commit() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.agent_fn("echo", |turn| Ok(turn.input().text())));
        let agent = engine.workspace("acme").unwrap().agent("echo").unwrap();
        let (session, turn) = agent.start_session(NewSession::default().key("k"), "hello").unwrap();
        assert_eq!(turn.wait().unwrap().text(), "hello");
        assert_eq!(session.thread(turn.thread_id()).unwrap().record().number, 1);
        assert_eq!(texts(&session), ["hello", "hello"]);
        // A refused one leaves nothing, not the session either.
        let threaded = NewTurn::from("hello").thread(turn.thread_id());
        let refused = agent.start_session(NewSession::default().key("other"), threaded).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(agent.session_by_key("other").unwrap_err().is_not_found());
        assert!(agent.start_session(NewSession::default().key("k"), "hello").unwrap_err().is_conflict());
        assert_eq!(agent.sessions(()).unwrap().meta.total, 1);
        engine.close().unwrap();
    });
}

#[test]
fn without_a_behaviour_a_send_writes_nothing_and_the_rest_works() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.agent_fn("other", |_| Ok(())));
        let session = session(&engine, "nobody");
        session.append(["hello"]).unwrap();
        let before = session.get().unwrap();
        let agent = engine.workspace("acme").unwrap().agent("nobody").unwrap();
        let refused = [
            session.send("hello").unwrap_err(),
            session.follow_up("hello").unwrap_err(),
            agent.start_session(NewSession::default(), "hello").unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::NoBehaviour);
            assert_eq!(error.to_string(), "no behaviour is registered for agent \"nobody\"");
        }
        assert_eq!(session.get().unwrap(), before);
        assert_eq!(agent.sessions(()).unwrap().meta.total, 1);
        engine.close().unwrap();
    });
}

#[test]
fn an_agent_that_appends_to_its_own_session_finds_it_busy() {
    on_every_store(|store| {
        let own = Arc::new(OnceLock::<Session>::new());
        let engine = open(&store, |builder| {
            let own = Arc::clone(&own);
            builder.agent_fn("worker", move |turn| {
                let session = own.get().ok_or("the test puts it there")?;
                assert_eq!(session.id(), turn.session_id());
                assert!(session.append(["again"]).is_err_and(|error| error.is_conflict()));
                Ok("busy")
            })
        });
        let session = session(&engine, "worker");
        assert!(own.set(session.clone()).is_ok());
        assert_eq!(session.send("hello").unwrap().wait().unwrap().text(), "busy");
        assert_eq!(texts(&session), ["hello", "busy"]);
        engine.close().unwrap();
    });
}
