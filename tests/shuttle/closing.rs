//! The end of an engine, while others work with it.

use std::time::Duration;

use parlor::{ErrorKind, Reason, Reply, Result, Session, Turn, TurnHandle, TurnReport};
use shuttle::thread::{self, JoinHandle};

use crate::claims;
use crate::scene::{Aftermath, Latch, Scene, held, interrupted, waiter};

fn scene(workers: usize) -> Scene {
    Scene::open(workers, |turn, _| {
        turn.message("thinking")?;
        Ok(Reply::from(turn.input().text()))
    })
}

/// Starts a turn and waits for it, on a thread of its own.
pub fn other(session: &Session, start: fn(&Session) -> Result<TurnHandle>) -> JoinHandle<Result<TurnReport>> {
    let session = session.clone();
    thread::spawn(move || start(&session)?.wait())
}

fn sends(session: &Session) -> Result<TurnHandle> {
    session.send("sent")
}

pub fn follows_up(session: &Session) -> Result<TurnHandle> {
    session.follow_up("followed up")
}

/// What those heard who worked with an engine that ended: how their turn ended, as it was stored,
/// or that the engine is closed.
pub fn agree(heard: Vec<Result<TurnReport>>, turns: &[Turn]) {
    for outcome in heard {
        match outcome {
            Ok(report) => {
                assert!(report.state().is_terminal(), "{report:?}");
                assert_eq!(Some(&report.turn), turns.iter().find(|turn| turn.id == report.turn.id));
                assert_eq!(report.reply.map(|reply| reply.id), report.turn.final_message);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
    }
}

/// An engine closes while a turn runs, is followed up, and another session is sent to.
fn close_while_others_work(workers: usize) {
    let scene = scene(workers);
    let (busy, idle) = (scene.session(), scene.session());
    let one = busy.send("one").unwrap();
    let others = [waiter(&one), other(&busy, follows_up), other(&idle, sends)];
    let (engine, after) = scene.split();
    engine.close().unwrap();
    assert_eq!(after.log.inside(), 0, "agents that the close did not wait for");
    assert_eq!(busy.send("late").map(|_| ()).unwrap_err().kind(), ErrorKind::Closed);
    // They hear of it without another's help.
    let heard = others.into_iter().map(|other| other.join().unwrap()).collect();
    agree(heard, &after.closed());
}

/// Waits until nothing of the engine is left, and opens its store again.
fn after_the_last_worker(after: Aftermath) -> Vec<Turn> {
    while after.is_in_use() {
        thread::yield_now();
    }
    after.dropped()
}

claims! {
    fn close_ends_every_turn_and_answers_everybody() {
        close_while_others_work(2);
    }

    fn close_ends_the_turns_that_wait_for_a_worker_too() {
        close_while_others_work(1);
    }

    fn close_leaves_behind_an_agent_that_ignores_it() {
        let ((begun, go), left) = (held(), Latch::default());
        let latches = (begun.clone(), go.clone(), left.clone());
        let scene = Scene::with_grace(2, Duration::ZERO, move |turn, log| {
            latches.0.open();
            latches.1.pass();
            log.expect(turn.is_cancelled(), "an agent is told that the engine closes");
            log.expect(turn.message("late").is_err(), "an agent left behind cannot write");
            latches.2.open();
            Ok(Reply::from("late"))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let waiting = waiter(&one);
        begun.pass();
        let (engine, after) = scene.split();
        engine.close().unwrap();
        // Its turn has ended, and its end can be read, though the store is closed.
        interrupted(&one, &waiting.join().unwrap().unwrap(), Reason::Closed);
        interrupted(&one, &one.wait().unwrap(), Reason::Closed);
        go.open();
        left.pass();
        // What it returns comes too late also for who opens the store next.
        after.closed();
    }

    fn an_engine_that_is_dropped_leaves_nobody_waiting() {
        let scene = scene(1);
        let (busy, idle) = (scene.session(), scene.session());
        let one = busy.send("one").unwrap();
        let others = [waiter(&one), other(&busy, follows_up), other(&idle, sends)];
        drop((busy, idle, one));
        let (engine, after) = scene.split();
        drop(engine);
        let heard = others.into_iter().map(|other| other.join().unwrap()).collect();
        agree(heard, &after_the_last_worker(after));
    }
}
