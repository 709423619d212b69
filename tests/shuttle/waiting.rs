//! Who waits for a turn, and is woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parlor::{ErrorKind, Reason, Result, Session, TurnState};
use shuttle::future::block_on;
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use crate::claims;
use crate::scene::{Scene, completed, echo, interrupted, waiter};

/// A waker that does nothing and is counted.
struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

claims! {
    fn no_wake_up_is_lost() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        let turn = session.send("hello").unwrap();
        let (timed, awaited) = (turn.clone(), turn.clone());
        let waiters = [
            waiter(&turn),
            thread::spawn(move || timed.wait_timeout(Duration::MAX)),
            thread::spawn(move || block_on(awaited)),
        ];
        let reports = waiters.map(|waiter| waiter.join().unwrap().unwrap());
        for report in &reports {
            completed(&turn, report, "hello");
            assert_eq!(report, &reports[0]);
        }
        scene.close();
    }

    fn who_waits_on_an_interrupted_turn_is_woken_while_its_agent_runs() {
        let (begun, go) = crate::scene::held();
        let gates = (begun.clone(), go.clone());
        let scene = Scene::open(2, move |turn, log| {
            if turn.input().text() == "one" {
                gates.0.open();
                gates.1.pass();
            }
            echo(turn, log)
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let future = one.clone();
        let waiters = [waiter(&one), thread::spawn(move || block_on(future))];
        begun.pass();
        let two = session.follow_up("two").unwrap();
        for waiter in waiters {
            interrupted(&one, &waiter.join().unwrap().unwrap(), Reason::FollowUp);
        }
        go.open();
        completed(&two, &two.wait().unwrap(), "two");
        scene.close();
    }

    fn a_handle_dropped_while_it_waits_cancels_nothing_and_leaves_nothing() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        let turn = session.send("hello").unwrap();
        let count = Arc::new(Counted);
        let dropped = {
            let (mut future, waker) = (turn.clone(), Waker::from(Arc::clone(&count)));
            thread::spawn(move || Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).map(Result::unwrap))
        };
        completed(&turn, &turn.wait().unwrap(), "hello");
        if let Poll::Ready(report) = dropped.join().unwrap() {
            completed(&turn, &report, "hello");
        }
        // Until the workers are gone, one may still be about to wake it.
        scene.close();
        assert_eq!(Arc::strong_count(&count), 1);
    }

    fn a_future_goes_on_on_another_thread() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        let turn = session.send("hello").unwrap();
        let count = Arc::new(Counted);
        let mut future = turn.clone();
        let waker = Waker::from(Arc::clone(&count));
        let report = match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(report) => report,
            // Only the waker of the last poll counts.
            Poll::Pending => thread::spawn(move || block_on(future)).join().unwrap(),
        };
        completed(&turn, &report.unwrap(), "hello");
        drop(waker);
        // Until the workers are gone, one may still be about to wake it.
        scene.close();
        assert_eq!(Arc::strong_count(&count), 1);
    }

    fn an_agent_that_waits_for_its_own_session_is_told_at_once() {
        let own = Arc::new(OnceLock::<Session>::new());
        let (answer, answers) = channel();
        let scene = Scene::open(1, {
            let own = Arc::clone(&own);
            move |turn, log| {
                if let Some(session) = own.get().filter(|_| turn.input().text() == "one") {
                    // What it sends begins when it returns; who waits for that elsewhere does not keep it from it.
                    let sent = session.enqueue("two")?;
                    answer.send(sent.clone()).unwrap();
                    let told = [
                        sent.wait().map(drop),
                        sent.wait_timeout(Duration::MAX).map(drop),
                        session.turn(turn.turn().id)?.wait().map(drop),
                        session.idle().wait().map(drop),
                        block_on(sent).map(drop),
                    ];
                    let is_told = |told: &Result<()>| {
                        told.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldDeadlock)
                    };
                    log.expect(told.iter().all(is_told), "an agent that waits for its own session is told");
                }
                echo(turn, log)
            }
        });
        let session = scene.session();
        own.set(session.clone()).unwrap();
        let one = session.send("one").unwrap();
        let two = answers.recv().unwrap();
        let waiters = [waiter(&one), waiter(&two)];
        for (turn, waiter) in [&one, &two].into_iter().zip(waiters) {
            completed(turn, &waiter.join().unwrap().unwrap(), if turn.id() == one.id() { "one" } else { "two" });
        }
        assert_eq!(scene.log.texts(), ["one", "two"]);
        scene.close();
    }

    fn a_time_out_says_running_and_loses_nothing() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        let turn = session.send("hello").unwrap();
        let report = turn.wait_timeout(Duration::ZERO).unwrap();
        if report.state() != TurnState::Running {
            completed(&turn, &report, "hello");
        }
        completed(&turn, &turn.wait().unwrap(), "hello");
        scene.close();
    }
}
