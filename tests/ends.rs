//! How turns end: by what their agents do, by a close, and after a process that died.

mod support;

use std::fmt;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::unbounded;
use parlor::id::{OwnerId, Stamp};
use parlor::store::{Behaviour, Policy, QueueBounds, Runner, SessionRef, Store, Submit};
use parlor::{
    AgentResult, Engine, ErrorKind, Json, MessageType, NewMessage, NewTurn, Reason, Reply, Role, SessionStatus,
    Timestamp, ToolCall, TurnContext, TurnState, Webhook, limit,
};
use support::{Faulty, gate, on_every_store, open, session, texts};
use uuid::Uuid;

/// An error whose text cannot be had.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

/// A payload that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped")
    }
}

/// What an agent does when it is told this.
fn act(turn: &TurnContext) -> AgentResult {
    match &*turn.input().text() {
        "text" => Ok("a text".into()),
        "nothing" => Ok(Reply::none()),
        "unit" => Ok(().into()),
        "none" => Ok(None.into()),
        "error" => Err("it went wrong".into()),
        "own error" => Err(parlor::Error::new(ErrorKind::Conflict, "of its own").into()),
        "long error" => Err("€".repeat(limit::REASON_BYTES).into()),
        "unspeakable error" => Err(Unspeakable.into()),
        "panic with a str" => panic!("a str"),
        "panic with a string" => panic!("a {}", "string"),
        "panic with a number" => panic_any(7),
        "panic with a bomb" => panic_any(Bomb),
        "answer as user" => Ok(NewMessage::text("x").role(Role::User).into()),
        "answer as message" => Ok(NewMessage::text("x").kind(MessageType::Message).into()),
        "answer with an id in use" => Ok(NewMessage::text("x").id(turn.input().id).into()),
        "answer too large" => Ok("x".repeat(limit::MESSAGE_BYTES + 1).into()),
        other => panic!("what is {other:?}?"),
    }
}

#[test]
fn a_turn_ends_by_what_its_agent_does() {
    use Reason::{Error, Panic};
    let bound = "€".repeat(limit::REASON_BYTES / "€".len());
    let cases = [
        ("text", None, "a text"),
        ("nothing", None, ""),
        ("unit", None, ""),
        ("none", None, ""),
        ("error", Some(Error), "it went wrong"),
        ("own error", Some(Error), "of its own"),
        ("long error", Some(Error), &bound),
        ("unspeakable error", Some(Panic), "no words"),
        ("panic with a str", Some(Panic), "a str"),
        ("panic with a string", Some(Panic), "a string"),
        ("panic with a number", Some(Panic), "panic without a text"),
        ("panic with a bomb", Some(Panic), "panic without a text"),
        ("answer as user", Some(Error), "role of "),
        ("answer as message", Some(Error), "type of "),
        ("answer with an id in use", Some(Error), "message "),
        ("answer too large", Some(Error), "message has 16777217 bytes; it may have at most 16777216 (MESSAGE_BYTES)"),
    ];
    on_every_store(|store| {
        // One worker for all: none of this may cost it.
        let engine = open(&store, |builder| builder.workers(1).agent_fn("actor", act));
        let session = session(&engine, "actor");
        for (input, reason, text) in cases {
            let report = session.send(input).unwrap().wait().unwrap();
            let status = session.get().unwrap().status;
            assert_eq!(report.turn.reason, reason, "{input}");
            match reason {
                None => {
                    assert_eq!((report.state(), status), (TurnState::Completed, SessionStatus::Idle), "{input}");
                    assert_eq!((report.text(), report.turn.detail), (text.into(), None), "{input}");
                }
                Some(_) => {
                    assert_eq!((report.state(), status), (TurnState::Failed, SessionStatus::Error), "{input}");
                    let detail = report.turn.detail.unwrap();
                    assert!(detail.starts_with(text), "{input}: {detail}");
                    assert_eq!(report.reply, None, "{input}");
                }
            }
        }
        assert_eq!(session.turns(()).unwrap().meta.total, cases.len() as u64);
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    });
}

#[test]
fn an_agent_reads_and_writes_through_its_context() {
    on_every_store(|store| {
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", |turn| {
                assert_eq!(turn.turn().message_id, turn.input().id);
                assert_eq!(turn.user_params().map(Json::as_str), Some(r#"{"user":"ada"}"#));
                assert_eq!(turn.profile().map(Json::as_str), Some("\"brief\""));
                let history = turn.history(2)?;
                assert_eq!(history.iter().map(|m| m.text()).collect::<Vec<_>>(), ["before", "hello"]);
                let call = turn.tool_call("lookup", "{\"id\": 7}")?;
                turn.tool_result(&call, "found")?;
                let other = turn.tool_call("lookup", "{")?;
                assert_ne!(call.id, other.id);
                turn.emit_all([NewMessage::result(&other, "none"), NewMessage::text("well").role(Role::System)])?;
                let refused = [
                    turn.emit(NewMessage::text("x").kind(MessageType::FinalMessage)).unwrap_err().kind(),
                    turn.emit_all(Vec::<NewMessage>::new()).unwrap_err().kind(),
                    turn.emit_all(vec!["x"; limit::BATCH_MESSAGES + 1]).unwrap_err().kind(),
                    turn.emit_all(std::iter::repeat("x")).unwrap_err().kind(),
                    turn.message("x".repeat(limit::MESSAGE_BYTES + 1)).unwrap_err().kind(),
                    turn.emit(NewMessage::text("x").id(turn.input().id)).unwrap_err().kind(),
                    turn.history(0).unwrap_err().kind(),
                    turn.history(1001).unwrap_err().kind(),
                ];
                use ErrorKind::{Conflict, InvalidArgument, TooLarge};
                let invalid = InvalidArgument;
                assert_eq!(refused, [invalid, invalid, TooLarge, TooLarge, TooLarge, Conflict, invalid, invalid]);
                assert!(!turn.is_cancelled());
                turn.check()?;
                Ok("done")
            })
        });
        let session = session(&engine, "worker");
        session.append(["long before", "before"]).unwrap();
        let params = Json::parse(r#"{"user":"ada"}"#).unwrap();
        let send = NewTurn::from("hello").user_params(params).profile(Json::from(serde_json::json!("brief")));
        let report = session.send(send).unwrap().wait().unwrap();
        assert_eq!((report.text(), report.turn.detail), ("done".into(), None));

        let written = session.history(6).unwrap();
        let kinds: Vec<_> = written.iter().map(|m| (m.role, m.kind)).collect();
        use MessageType::{FinalMessage, Message, ToolCall as Tool};
        let expected = [
            (Role::Assistant, Tool),
            (Role::Tool, Tool),
            (Role::Assistant, Tool),
            (Role::Tool, Tool),
            (Role::System, Message),
            (Role::Assistant, FinalMessage),
        ];
        assert_eq!(kinds, expected);
        let call = &written[0].tool_calls[0];
        assert_eq!(*call, ToolCall::new(call.id.clone(), "lookup", "{\"id\": 7}"));
        assert!(call.id.starts_with("call_") && written[1].tool_call_id.as_ref() == Some(&call.id));
        assert!(written.iter().all(|m| m.turn_id == Some(report.turn.id) && !m.synthetic));
        assert_eq!(report.turn.messages, 6);
        engine.close().unwrap();
    });
}

#[test]
fn a_close_ends_running_turns_and_tells_who_waits() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (left, leaves) = unbounded();
        let engine = open(&store, |builder| {
            builder.workers(1).agent_fn("worker", move |turn| -> AgentResult {
                turn.tool_call("search", "{}")?;
                gate.pass("worker");
                while turn.check().is_ok() {
                    std::thread::yield_now();
                }
                left.send(turn.check().map_err(|error| error.kind()))?;
                turn.check()?;
                Ok(().into())
            })
        });
        let (running, waiting) = (session(&engine, "worker"), session(&engine, "worker"));
        let webhook = Webhook { url: "https://example.org".into(), token: None, secret: None, include_messages: false };
        let first = running.send(NewTurn::from("hello").webhook(webhook)).unwrap();
        keeper.arrival();
        // It never gets the only worker.
        let second = waiting.send("hello").unwrap();
        let waiters = [&first, &second].map(|turn| {
            let turn = turn.clone();
            std::thread::spawn(move || turn.wait())
        });
        keeper.open();
        engine.close().unwrap();

        assert_eq!(leaves.recv().unwrap(), Err(ErrorKind::Fenced));
        let reports = waiters.map(|waiter| waiter.join().unwrap().unwrap());
        for report in &reports {
            let turn = &report.turn;
            assert_eq!((turn.state, turn.reason), (TurnState::Interrupted, Some(Reason::Closed)));
        }
        assert!(reports[0].turn.started_at.is_some() && reports[0].turn.messages == 2);
        assert_eq!(reports[1].turn.started_at, None);
        // A handle that was not waited on learns it afterwards as well.
        assert_eq!(first.wait().unwrap(), reports[0]);
        for kind in [running.send("x").unwrap_err().kind(), running.get().unwrap_err().kind()] {
            assert_eq!(kind, ErrorKind::Closed);
        }
    });
}

#[test]
fn a_close_leaves_an_agent_that_does_not_return_to_itself() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (refused, refusals) = unbounded();
        let engine = open(&store, |builder| {
            builder.grace(std::time::Duration::from_millis(1)).agent_fn("worker", move |turn| {
                gate.pass("worker");
                refused.send(turn.message("too late").map_err(|error| error.kind()).map(drop))?;
                Ok("too late")
            })
        });
        let turn = session(&engine, "worker").send("hello").unwrap();
        keeper.arrival();
        // It returns, though the agent stands at its gate.
        engine.close().unwrap();
        keeper.open();
        assert_eq!(refusals.recv().unwrap(), Err(ErrorKind::Closed));
        assert_eq!(turn.wait().unwrap().turn.reason, Some(Reason::Closed));
    });
}

#[test]
fn dropping_an_engine_waits_for_nothing_and_tells_everybody() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(1).agent_fn("worker", move |turn| {
                gate.pass("worker");
                assert!(turn.is_cancelled());
                turn.check()?;
                Ok("not reached")
            })
        });
        let (session, other) = (session(&engine, "worker"), session(&engine, "worker"));
        let running = session.send("hello").unwrap();
        keeper.arrival();
        let waiting = other.send("hello").unwrap();
        let waiter = std::thread::spawn({
            let turn = waiting.clone();
            move || turn.wait()
        });
        drop(engine);
        for error in [waiter.join().unwrap().unwrap_err(), session.send("x").unwrap_err(), other.get().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        // The agent that was running still ends its turn, and nobody starts the other one.
        let at = SessionRef { workspace: session.workspace_id(), session: session.id() };
        keeper.open();
        while store.turn(at, running.id()).unwrap().state == TurnState::Running {
            std::thread::yield_now();
        }
        let report = running.wait().unwrap();
        assert_eq!((report.state(), report.turn.reason), (TurnState::Interrupted, Some(Reason::Closed)));
        assert!(keeper.is_deserted());

        let engine = open(&store, |builder| builder);
        let recovered: Vec<_> = engine.recovered().iter().map(|turn| (turn.id, turn.reason)).collect();
        assert_eq!(recovered, [(waiting.id(), Some(Reason::Crash))]);
        engine.close().unwrap();
    });
}

#[test]
fn turns_of_a_dead_process_end_once_before_any_agent_runs() {
    on_every_store(|store| {
        let runs = Arc::new(AtomicUsize::new(0));
        let build = |builder: parlor::Builder| {
            let runs = Arc::clone(&runs);
            builder.agent_fn("worker", move |_| Ok(format!("run {}", runs.fetch_add(1, Ordering::SeqCst))))
        };
        let engine = open(&store, build);
        let sessions: Vec<_> = (0..150).map(|_| session(&engine, "worker")).collect();
        drop(engine);
        let dead =
            Runner { owner: OwnerId::from_uuid(Uuid::from_u128(7)), lease: None, behaviour: Behaviour::Registered };
        for (n, session) in sessions.iter().enumerate() {
            let at = SessionRef { workspace: session.workspace_id(), session: session.id() };
            let stamp = Stamp::new(Timestamp::from_micros(1_777_573_302_000_000), n as u64);
            let submit = Submit {
                stamp,
                at,
                new: "hello".into(),
                policy: Policy::Reject,
                runner: dead,
                sender: None,
                queue: QueueBounds::default(),
            };
            store.submit(submit).unwrap();
        }

        let engine = open(&store, build);
        assert_eq!(engine.recovered().len(), 150);
        assert!(engine.recovered().iter().all(|turn| turn.reason == Some(Reason::Crash)));
        let workspace = engine.workspace("acme").unwrap();
        for session in &sessions {
            let session = workspace.session(session.id()).unwrap();
            let record = session.get().unwrap();
            assert_eq!((record.status, record.running_turn), (SessionStatus::Error, None));
            // Made again from its id, the handle of a turn of the dead process tells its end.
            let turn = session.turns(()).unwrap().items.remove(0);
            let report = session.turn(turn.id).unwrap().wait().unwrap();
            assert_eq!((report.state(), report.turn.reason), (TurnState::Failed, Some(Reason::Crash)));
            assert_eq!(session.changes(0, 1000).unwrap().len(), 4);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        let session = workspace.session(sessions[0].id()).unwrap();
        assert_eq!(session.send("again").unwrap().wait().unwrap().text(), "run 0");
        assert_eq!(texts(&session), ["hello", "again", "run 0"]);
        drop(engine);

        let engine = open(&store, build);
        assert!(engine.recovered().is_empty(), "they ended once");
        engine.close().unwrap();
    });
}

#[test]
fn an_end_that_cannot_be_written_is_an_error_of_the_wait() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = faulty.clone();
        let engine = open(&store, |builder| builder.workers(1).agent_fn("worker", |turn| Ok(turn.input().text())));
        let session = session(&engine, "worker");
        faulty.fail_finish(ErrorKind::NoSpace);
        let first = session.send("one").unwrap();
        let error = first.wait().unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::NoSpace, "the storage is broken"));
        assert_eq!(first.get().unwrap().state, TurnState::Running);
        assert!(session.send("two").unwrap_err().is_conflict());
        // Its agent has returned; a follow-up ends it as soon as the storage can write again.
        faulty.heal();
        assert_eq!(session.follow_up("three").unwrap().wait().unwrap().text(), "three");
        assert_eq!(first.wait().unwrap().turn.reason, Some(Reason::FollowUp));

        // A worker that is lost with a turn in hand is replaced, and another one ends the turn.
        faulty.panic_once();
        let lost = session.send("four").unwrap().wait().unwrap();
        assert_eq!((lost.state(), lost.turn.reason), (TurnState::Failed, Some(Reason::LostWorker)));
        assert_eq!(session.follow_up("five").unwrap().wait().unwrap().text(), "five");
        engine.close().unwrap();
    });
}

#[test]
fn an_engine_refuses_options_out_of_bounds() {
    on_every_store(|store| {
        let build = || Engine::builder("no file");
        let long = "é".repeat(256);
        let cases = [
            (build().workers(0), "workers is 0; it must be 1 to 4096 (WORKERS_MAX)"),
            (build().workers(4097), "workers is 4097; it must be 1 to 4096 (WORKERS_MAX)"),
            (build().agent_fn("", |_| Ok(())), "agent name has 0 characters; it must have 1 to 255"),
            (build().agent_fn(long, |_| Ok(())), "agent name has 256 characters; it must have 1 to 255"),
            (build().agent_fn("a", |_| Ok(())).agent_fn("a", |_| Ok(())), "agent \"a\" is registered twice"),
        ];
        for (builder, text) in cases {
            let error = builder.open_store(Arc::clone(&store)).unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidArgument, text));
        }
        // None of this closed the store.
        open(&store, |builder| builder.workers(4096).agent_fn("é".repeat(255), |_| Ok(()))).close().unwrap();
    });
}
