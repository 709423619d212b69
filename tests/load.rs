//! What waits for a worker is bounded and counted, and sessions take turns.

mod support;

use std::sync::Arc;

use parlor::store::Store;
use parlor::testkit::ManualClock;
use parlor::time::Duration;
use parlor::{Engine, ErrorKind, Json, NewMessage, NewTurn, Waiting, limit};
use support::{gate, on_every_store, open, session};

#[test]
fn over_the_bound_of_waiting_turns_a_send_is_refused_and_nothing_is_written() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(1).queue_turns(2).agent_fn("worker", move |turn| {
                gate.pass(turn.input().text());
                Ok(())
            })
        });
        let sessions: Vec<_> = (0..4).map(|_| session(&engine, "worker")).collect();
        sessions[0].send("0").unwrap();
        keeper.arrival();
        sessions[1].send("1").unwrap();
        // One that takes the place of another one that waits needs its place for a moment, too.
        sessions[1].follow_up("1 again").unwrap();
        let id = uuid::Uuid::new_v4();
        let known = || NewMessage::text("2").id(id);
        let waiting = sessions[2].send(known()).unwrap();
        let before = sessions[3].get().unwrap();
        let error = sessions[3].send("3").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!(error.to_string(), "2 turns wait for a worker; at most 2 may wait");
        let agent = engine.workspace("acme").unwrap().agent("worker").unwrap();
        assert_eq!(agent.start_session(Default::default(), "new").unwrap_err().kind(), ErrorKind::Overloaded);
        assert_eq!(agent.sessions(()).unwrap().meta.total, 4);
        assert_eq!(sessions[3].get().unwrap(), before);
        // What was asked before is answered all the same.
        assert_eq!(sessions[2].send(known()).unwrap().id(), waiting.id());
        assert_eq!((engine.stats().waiting_turns, engine.stats().running), (2, 1));
        // A worker that takes one makes room.
        keeper.open();
        assert_eq!(keeper.arrival(), "1 again");
        sessions[3].send("3").unwrap();
        drop(keeper);
        sessions.iter().for_each(|session| drop(session.idle().wait().unwrap()));
        assert_eq!(engine.stats().waiting_turns, 0);
        engine.close().unwrap();
    });
}

#[test]
fn over_the_bound_of_bytes_a_send_is_refused_until_there_is_room() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(1).queue_bytes(limit::QUEUE_BYTES_MIN).agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok(())
            })
        });
        let sessions: Vec<_> = (0..3).map(|_| session(&engine, "worker")).collect();
        sessions[0].send("small").unwrap();
        keeper.arrival();
        // The largest turn there is fits.
        let filler = |bytes: usize| Json::parse(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
        let json = filler(limit::TURN_JSON_BYTES);
        let large = NewTurn::from("x".repeat(limit::MESSAGE_BYTES)).user_params(json.clone()).profile(json);
        sessions[1].send(large).unwrap();
        assert_eq!(engine.stats().waiting_bytes, limit::QUEUE_BYTES_MIN);
        let error = sessions[2].send("x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!(error.to_string(), "18874368 bytes of turns wait for a worker; with 1 more they are over 18874368");
        keeper.open();
        keeper.arrival();
        sessions[2].send("x").unwrap();
        drop(keeper);
        engine.close().unwrap();
    });
}

#[test]
fn a_busy_session_does_not_keep_the_others_waiting() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(1).agent_fn("worker", move |turn| {
                gate.pass(turn.input().text());
                Ok(())
            })
        });
        let [busy, second, third] = [(); 3].map(|()| session(&engine, "worker"));
        busy.send("a").unwrap();
        keeper.arrival();
        second.send("b").unwrap();
        third.send("c").unwrap();
        let mut order = Vec::new();
        for n in 0..6 {
            // It always has another one to do.
            busy.follow_up(format!("a{n}")).unwrap();
            keeper.open();
            order.push(keeper.arrival());
        }
        assert_eq!(order, ["b", "c", "a2", "a3", "a4", "a5"]);
        drop(keeper);
        engine.close().unwrap();
    });
}

#[test]
fn an_engine_says_what_it_is_at() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let clock = ManualClock::new();
        let engine = open(&store, |builder| {
            builder.workers(4).clock(clock.clone()).agent_fn("worker", move |turn| {
                let _ = turn.delta("well");
                gate.pass(turn.input().text());
                Ok(())
            })
        });
        let idle = engine.stats();
        assert_eq!((idle.workers, idle.running, idle.admitted, idle.retired), (0, 0, 0, 0));
        assert_eq!(idle.queued, Some(Waiting::default()));
        let (hung, other) = (session(&engine, "worker"), session(&engine, "worker"));
        hung.send("hang").unwrap();
        keeper.arrival();
        hung.follow_up("next").unwrap();
        clock.advance(Duration::from_secs(5));
        assert_eq!(keeper.arrival(), "next");
        let (_watch, _follow) = (engine.workspace("acme").unwrap().watch(), other.follow(0));
        let mut live = hung.stream(u64::from(u32::MAX));
        assert!(live.try_next().is_some_and(|item| item.is_ok()));
        let stats = engine.stats();
        assert_eq!((stats.running, stats.abandoned, stats.streaming), (1, 1, 1));
        assert_eq!((stats.followers, stats.watches, stats.waiters, stats.admitted), (2, 1, 0, 0));
        assert_eq!((stats.workers - stats.idle_workers, stats.waiting_turns, stats.waiting_bytes), (1, 0, 0));
        // What waits for the turn before it is in the file alone.
        assert_eq!(stats.queued, Some(Waiting::default()));
        let waits = NewTurn::from("waits");
        let bytes = waits.size() as u64;
        hung.enqueue(waits).unwrap();
        let stats = engine.stats();
        assert_eq!((stats.queued, stats.waiting_turns), (Some(Waiting { turns: 1, bytes }), 0));
        drop(keeper);
        hung.idle().wait().unwrap();
        assert_eq!(engine.stats().queued, Some(Waiting::default()));
        // The one that was left behind has returned by then, or does so soon.
        while engine.stats().retired == 0 {
            std::thread::yield_now();
        }
        assert_eq!((engine.stats().retired, engine.stats().abandoned), (1, 0));
        engine.close().unwrap();
    });
}

const TIME_LIMIT: &str = "time_limit is 0ns; it must be 1ms to 31622400s (TIME_LIMIT_MS_MIN, TIME_LIMIT_MS_MAX)";

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let refused = |build: fn(parlor::Builder) -> parlor::Builder, text: &str| {
        let store: Arc<dyn Store> = Arc::new(parlor::testkit::ModelStore::new());
        let error = build(Engine::builder("no file")).open_store(store).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidArgument, text));
    };
    refused(|builder| builder.abandoned(0), "abandoned is 0; it must be 1 to 4096 (ABANDONED_MAX)");
    refused(|builder| builder.abandoned(4097), "abandoned is 4097; it must be 1 to 4096 (ABANDONED_MAX)");
    refused(|builder| builder.queue_turns(0), "queue_turns is 0; it must be 1 to 16777216 (QUEUE_TURNS_MAX)");
    refused(|builder| builder.queue_bytes(1), "queue_bytes is 1; it must be at least 18874368 (QUEUE_BYTES_MIN)");
    refused(|builder| builder.time_limit(Duration::ZERO), TIME_LIMIT);
    refused(|builder| builder.time_limit(Duration::MAX), &TIME_LIMIT.replace("0ns", &format!("{:?}", Duration::MAX)));
}
