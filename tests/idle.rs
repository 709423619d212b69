//! Waiting for a session to become idle; and an agent that waits for, or feeds, its own session.

mod support;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crossbeam_channel::unbounded;
use parlor::time::Duration;
use parlor::{
    AgentResult, CancelToken, CloseReport, ErrorKind, Idle, NewSession, Session, SessionStatus, TurnState, limit,
};
use support::{echo, gate, on_every_store, open, session};

#[test]
fn every_way_to_wait_for_idleness_tells_the_same() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        assert_eq!(session.idle().wait().unwrap(), session.get().unwrap(), "it was never busy");
        session.send("hello").unwrap();
        let idle = session.idle().wait().unwrap();
        assert_eq!((idle.status, idle.running_turn), (SessionStatus::Idle, None));
        for again in [
            session.idle().get(),
            session.idle().wait_timeout(Duration::ZERO),
            session.idle().wait_timeout(Duration::MAX),
            pollster::block_on(session.idle()),
        ] {
            assert_eq!(again.unwrap(), idle);
        }
        engine.close().unwrap();
        assert_eq!(session.idle().wait().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_time_out_says_running_and_an_interruption_does_not_make_it_idle() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| -> AgentResult {
                gate.pass(turn.input().text());
                Err("it fails".into())
            })
        });
        let session = session(&engine, "worker");
        session.send("one").unwrap();
        keeper.arrival();
        assert_eq!(session.idle().wait_timeout(Duration::ZERO).unwrap().status, SessionStatus::Running);
        let (woken, wakes) = unbounded();
        let waiter = {
            let idle = session.idle();
            thread::spawn(move || woken.send(idle.wait()).unwrap())
        };
        session.follow_up("two").unwrap();
        keeper.open();
        assert_eq!(keeper.arrival(), "two");
        assert!(wakes.is_empty(), "a turn of the session runs");
        keeper.open();
        // A session whose last turn failed is idle: it takes what is sent.
        assert_eq!(wakes.recv().unwrap().unwrap().status, SessionStatus::Error);
        waiter.join().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn who_waits_for_a_session_that_is_deleted_is_told_also_when_one_is_made_in_its_place() {
    on_every_store(|store| {
        let engine = echo(&store);
        let agent = engine.workspace("acme").unwrap().agent("echo").unwrap();
        let session = agent.create_session(NewSession::default()).unwrap();
        let idle = session.idle();
        session.delete().unwrap();
        agent.create_session(NewSession::default().id(*session.id().as_uuid())).unwrap();
        for gone in [idle.get(), idle.wait(), pollster::block_on(idle)] {
            assert!(gone.unwrap_err().is_not_found());
        }
        assert_eq!(session.idle().wait().unwrap().status, SessionStatus::Idle);
        engine.close().unwrap();
    });
}

#[test]
fn a_close_and_a_drop_leave_nobody_waiting_for_idleness() {
    for close in [true, false] {
        on_every_store(|store| {
            let (gate, keeper) = gate();
            let engine = open(&store, |builder| {
                builder.agent_fn("worker", move |_| {
                    gate.pass("worker");
                    Ok(())
                })
            });
            let session = session(&engine, "worker");
            session.send("hello").unwrap();
            keeper.arrival();
            let waiter = {
                let idle = session.idle();
                thread::spawn(move || idle.wait())
            };
            drop(keeper);
            if close {
                engine.close().unwrap();
            } else {
                drop(engine);
            }
            match waiter.join().unwrap() {
                Ok(session) => assert_ne!(session.status, SessionStatus::Running),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
            }
        });
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn ten_thousand_may_wait_for_a_hundred_sessions() {
    const SESSIONS: usize = 100;
    const EACH: usize = 100;
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.workers(SESSIONS).agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok("done")
            })
        });
        let sessions: Vec<_> = (0..SESSIONS).map(|_| session(&engine, "worker")).collect();
        let turns: Vec<_> = sessions.iter().map(|session| session.send("hello").unwrap()).collect();
        turns.iter().for_each(|_| drop(keeper.arrival()));
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let waited = sessions.iter().flat_map(|session| (0..EACH).map(|_| Box::pin(session.idle())));
        let mut waiting: Vec<_> = waited.collect();
        assert!(waiting.iter_mut().all(|idle| idle.as_mut().poll(&mut cx).is_pending()));
        drop(keeper);
        for turn in &turns {
            assert_eq!(turn.wait().unwrap().text(), "done");
        }
        while count.0.load(Ordering::SeqCst) < SESSIONS * EACH {
            thread::yield_now();
        }
        for idle in &mut waiting {
            let Poll::Ready(session) = idle.as_mut().poll(&mut cx) else { panic!("the session is idle") };
            assert_eq!(session.unwrap().status, SessionStatus::Idle);
        }
        engine.close().unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), SESSIONS * EACH, "each is woken once");
    });
}

#[test]
fn an_agent_that_waits_for_its_own_session_is_told_at_once() {
    on_every_store(|store| {
        let own = Arc::new(OnceLock::<(Session, Session)>::new());
        let (told, tells) = unbounded();
        let engine = open(&store, |builder| {
            let own = Arc::clone(&own);
            builder.agent_fn("worker", move |turn| {
                if turn.input().text() == "echo" {
                    return Ok("echo");
                }
                let (session, other) = own.get().expect("it was set");
                let itself = session.turn(turn.turn().id)?;
                let refused = [
                    itself.wait().map(drop),
                    itself.wait_timeout(Duration::from_secs(3600)).map(drop),
                    pollster::block_on(itself).map(drop),
                    session.idle().wait().map(drop),
                    pollster::block_on(session.idle()).map(drop),
                ];
                told.send(refused.map(|refused| refused.map_err(|error| error.kind())))?;
                // It may wait for any other, and for what has ended.
                let earlier = session.turns(2)?.items.remove(1).id;
                session.turn(earlier)?.wait()?;
                assert_eq!(other.send("echo")?.wait()?.text(), "echo");
                other.idle().wait()?;
                Ok("done")
            })
        });
        let pair = (session(&engine, "worker"), session(&engine, "worker"));
        own.set(pair.clone()).unwrap();
        pair.0.send("echo").unwrap().wait().unwrap();
        let report = pair.0.send("hello").unwrap().wait().unwrap();
        assert_eq!((report.text(), report.turn.detail), ("done".into(), None));
        assert_eq!(tells.recv().unwrap(), [Err(ErrorKind::WouldDeadlock); 5]);
        // Nobody else is kept from waiting.
        pair.0.idle().wait().unwrap();
        engine.close().unwrap();
        // The sessions hold the engine's parts, and the agent holds them.
    });
}

#[test]
fn an_agent_that_feeds_itself_is_stopped_at_the_bound() {
    on_every_store(|store| {
        let own = Arc::new(OnceLock::<Session>::new());
        let (chain, chains) = unbounded();
        let engine = open(&store, |builder| {
            let own = Arc::clone(&own);
            builder.agent_fn("worker", move |turn| {
                chain.send((turn.chain(), turn.input().text()))?;
                if turn.input().text() == "quiet" {
                    return Ok(());
                }
                own.get().expect("it was set").follow_up("more")?;
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        own.set(session.clone()).unwrap();
        session.send("begin").unwrap();
        let last = loop {
            let newest = session.turns(1).unwrap().items.remove(0);
            let report = session.turn(newest.id).unwrap().wait().unwrap();
            if report.state() == TurnState::Failed {
                break report.turn;
            }
            assert_eq!(report.state(), TurnState::Interrupted);
        };
        let most = limit::CHAIN_TURNS;
        let text =
            format!("an agent has started {most} turns of its session in a row; it may start {most} (CHAIN_TURNS)");
        assert_eq!(last.detail, Some(text));
        assert_eq!(session.turns(1).unwrap().meta.total, u64::from(limit::CHAIN_TURNS) + 1);
        let seen: Vec<_> = chains.try_iter().map(|(chain, _)| chain).collect();
        assert_eq!(seen, (0..=limit::CHAIN_TURNS).collect::<Vec<_>>());
        // Whoever else sends begins anew.
        session.send("quiet").unwrap().wait().unwrap();
        assert_eq!(chains.recv().unwrap(), (0, "quiet".into()));
        engine.close().unwrap();
    });
}

#[test]
fn a_cancel_token_tells_a_thread_a_task_and_who_asks() {
    on_every_store(|store| {
        let (token, tokens) = unbounded::<CancelToken>();
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                token.send(turn.cancel_token())?;
                gate.pass("worker");
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        session.send("one").unwrap();
        let told = tokens.recv().unwrap();
        keeper.arrival();
        assert!(!told.is_cancelled() && !told.wait_timeout(Duration::ZERO));
        let waiters = [
            thread::spawn({
                let told = told.clone();
                move || told.wait()
            }),
            thread::spawn({
                let told = told.clone();
                move || assert!(told.wait_timeout(Duration::MAX))
            }),
            thread::spawn({
                let told = told.clone();
                move || pollster::block_on(told)
            }),
        ];
        // One that lost interest is not woken.
        let count = Arc::<Count>::default();
        let mut dropped = Box::pin(told.clone());
        assert!(dropped.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&count)))).is_pending());
        drop(dropped);
        session.follow_up("two").unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(told.is_cancelled() && told.wait_timeout(Duration::ZERO));
        assert_eq!((count.0.load(Ordering::SeqCst), Arc::strong_count(&count)), (0, 1));
        // Of a turn that ends by itself it is never told.
        let ended = {
            keeper.open();
            let token = tokens.recv().unwrap();
            keeper.arrival();
            keeper.open();
            session.idle().wait().unwrap();
            token
        };
        assert!(!ended.is_cancelled());
        engine.close().unwrap();
    });
}

#[test]
fn the_handles_can_be_sent_and_shared() {
    fn ensure<T: Clone + Send + Sync + Unpin>() {}
    ensure::<Idle>();
    ensure::<CancelToken>();
    ensure::<CloseReport>();
}
