//! Waiting for a turn: on a thread, with a time-out, as a future, by many, from an id, after a close.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use parlor::time::Duration;
use parlor::{
    Agent, AgentHandle, Builder, Clock, Engine, Listing, MessageIter, Reason, Reply, Session, SystemClock, Thread,
    Timestamp, TurnContext, TurnHandle, TurnReport, TurnState, Workspace,
};
use support::{gate, on_every_store, open, session};

#[test]
fn every_way_to_wait_tells_the_same_end() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.agent_fn("echo", |turn| Ok(turn.input().text())));
        let session = session(&engine, "echo");
        let turn = session.send("hello").unwrap();
        let report = turn.wait().unwrap();
        assert_eq!((report.state(), report.text()), (TurnState::Completed, "hello".into()));
        assert_eq!(report.turn, turn.get().unwrap());
        assert_eq!(turn.wait().unwrap(), report, "an end can be waited for again");
        assert_eq!(turn.wait_timeout(Duration::ZERO).unwrap(), report);
        assert_eq!(turn.wait_timeout(Duration::MAX).unwrap(), report);
        assert_eq!(pollster::block_on(turn.clone()).unwrap(), report);
        assert_eq!(session.turn(turn.id()).unwrap().wait().unwrap(), report);
        // It waits for this turn, not for a later one's outcome.
        session.send("more").unwrap().wait().unwrap();
        assert_eq!(turn.wait().unwrap(), report);
        engine.close().unwrap();
    });
}

#[test]
fn a_handle_made_again_after_a_restart_tells_the_same_end() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Engine::builder(dir.path().join("a.parlor")).agent_fn("echo", |turn| Ok(turn.input().text())).open();
    let engine = open().unwrap();
    let before = session(&engine, "echo");
    let turn = before.send("hello").unwrap();
    let report = turn.wait().unwrap();
    engine.close().unwrap();

    let engine = open().unwrap();
    let after = engine.workspace("acme").unwrap().session(before.id()).unwrap();
    let again = after.turn(turn.id()).unwrap();
    assert_eq!((again.thread_id(), again.message_id()), (turn.thread_id(), turn.message_id()));
    assert_eq!(again.wait().unwrap(), report);
    engine.close().unwrap();
}

#[test]
fn a_time_out_says_running_and_the_turn_goes_on() {
    /// A clock on which an hour passes whenever it is looked at.
    struct Hasty(AtomicU64);

    impl Clock for Hasty {
        fn now(&self) -> Timestamp {
            SystemClock::new().now()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(3600 * self.0.fetch_add(1, Ordering::SeqCst))
        }
    }

    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.clock(Hasty(AtomicU64::new(0))).agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok("done")
            })
        });
        let turn = session(&engine, "worker").send("hello").unwrap();
        keeper.arrival();
        for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(3600)] {
            let report = turn.wait_timeout(timeout).unwrap();
            assert_eq!((report.state(), report.reply(), report.text()), (TurnState::Running, None, String::new()));
            assert_eq!(report.turn.ended_at, None);
        }
        keeper.open();
        assert_eq!(turn.wait().unwrap().text(), "done");
        engine.close().unwrap();
    });
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    /// Returns when it was woken so often; the end of a turn can be read before all are woken.
    fn reaches(&self, times: usize) {
        while self.0.load(Ordering::SeqCst) < times {
            thread::yield_now();
        }
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn ten_thousand_may_wait_for_one_turn() {
    const WAITERS: usize = 10_000;
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                gate.pass("worker");
                turn.message("on the way")?;
                Ok("done")
            })
        });
        let turn = session(&engine, "worker").send("hello").unwrap();
        keeper.arrival();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut futures: Vec<_> = (0..WAITERS).map(|_| Box::pin(turn.clone())).collect();
        assert!(futures.iter_mut().all(|future| future.as_mut().poll(&mut cx).is_pending()));
        // Half of them lose interest: that takes nothing from the others, nor from the turn.
        futures.truncate(WAITERS / 2);
        let threads: Vec<_> = (0..32)
            .map(|_| {
                let turn = turn.clone();
                thread::spawn(move || turn.wait().unwrap().text())
            })
            .collect();
        keeper.open();
        assert_eq!(turn.wait().unwrap().text(), "done");
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == "done"));
        count.reaches(WAITERS / 2);
        for future in &mut futures {
            let Poll::Ready(report) = future.as_mut().poll(&mut cx) else { panic!("the turn has ended") };
            assert_eq!(report.unwrap().text(), "done");
        }
        engine.close().unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), WAITERS / 2, "each is woken once, by the end alone");
    });
}

#[test]
fn a_future_is_woken_where_it_was_polled_last() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok(())
            })
        });
        let turn = session(&engine, "worker").send("hello").unwrap();
        keeper.arrival();
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let mut future = pin!(turn.clone());
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        keeper.open();
        counts[1].reaches(1);
        assert_eq!(pollster::block_on(future).unwrap().state(), TurnState::Completed);
        assert_eq!(counts.map(|count| count.0.load(Ordering::SeqCst)), [0, 1]);
        engine.close().unwrap();
    });
}

#[test]
fn dropping_a_handle_cancels_nothing() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                gate.pass("worker");
                turn.check()?;
                Ok("done")
            })
        });
        let session = session(&engine, "worker");
        let turn = session.send("hello").unwrap();
        let id = turn.id();
        keeper.arrival();
        let mut future = Box::pin(turn);
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(future);
        keeper.open();
        assert_eq!(session.turn(id).unwrap().wait().unwrap().text(), "done");
        engine.close().unwrap();
    });
}

#[test]
fn a_reply_that_was_deleted_is_no_reply() {
    on_every_store(|store| {
        let engine = open(&store, |builder| builder.agent_fn("echo", |turn| Ok(turn.input().text())));
        let session = session(&engine, "echo");
        let turn = session.send("hello").unwrap();
        let reply = turn.wait().unwrap().reply.unwrap();
        session.delete_message(reply.id).unwrap();
        let report = turn.wait().unwrap();
        assert_eq!(
            (report.state(), report.reply(), report.turn.final_message),
            (TurnState::Completed, None, Some(reply.id))
        );
        engine.close().unwrap();
    });
}

#[test]
fn who_waits_on_an_interrupted_turn_learns_it_at_once() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        let turn = session.send("hello").unwrap();
        keeper.arrival();
        let waiter = thread::spawn({
            let turn = turn.clone();
            move || turn.wait_timeout(Duration::MAX)
        });
        let awaiter = thread::spawn(move || pollster::block_on(turn));
        session.follow_up("else").unwrap();
        // Its agent still stands at the gate.
        for report in [waiter.join().unwrap().unwrap(), awaiter.join().unwrap().unwrap()] {
            assert_eq!((report.state(), report.turn.reason), (TurnState::Interrupted, Some(Reason::FollowUp)));
        }
        drop(keeper);
        engine.close().unwrap();
    });
}

#[test]
fn who_waits_on_a_turn_that_waits_learns_at_once_that_its_session_was_stopped() {
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
        let waits = session.enqueue("else").unwrap();
        let waiter = thread::spawn(move || waits.wait());
        while engine.stats().waiters == 0 {
            thread::yield_now();
        }
        session.stop().unwrap();
        // The agent of the turn before still stands at the gate.
        let report = waiter.join().unwrap().unwrap();
        assert_eq!((report.state(), report.turn.reason), (TurnState::Interrupted, Some(Reason::Cancelled)));
        drop(keeper);
        engine.close().unwrap();
    });
}

#[test]
fn handles_can_be_sent_and_shared_between_threads() {
    fn ensure_send<T: Send + Sync>() {}
    fn ensure_clone<T: Clone + Send + Sync + Unpin>() {}
    ensure_send::<Engine>();
    ensure_send::<TurnContext>();
    ensure_send::<Box<dyn Agent>>();
    ensure_send::<MessageIter>();
    ensure_send::<Builder>();
    ensure_clone::<Workspace>();
    ensure_clone::<AgentHandle>();
    ensure_clone::<Session>();
    ensure_clone::<Thread>();
    ensure_clone::<Listing>();
    ensure_clone::<TurnHandle>();
    ensure_clone::<TurnReport>();
    ensure_clone::<Reply>();
}
