//! Agents that do not stop, turns that run for too long, and what agents stream: on a clock that goes on at any moment.

use std::time::Duration;

use parlor::{ChangeKind, ErrorKind, Live, Reason, Reply, TurnContext, TurnState};
use shuttle::thread;

use crate::claims;
use crate::scene::{GRACE, Latch, Log, Scene, completed, echo, finals, held, interrupted, waiter};

/// No limit that a claim reaches.
const NEVER: Duration = Duration::from_millis(parlor::limit::TIME_LIMIT_MS_MAX);

/// An agent that hangs where it is told to, until the latch is opened.
fn hanging(begun: Latch, go: Latch) -> impl Fn(&TurnContext, &Log) -> parlor::AgentResult + Send + Sync {
    move |turn, log| {
        if turn.input().text() == "hang" {
            log.hangs(turn);
            begun.open();
            go.pass();
            log.expect(turn.check().is_err(), "an agent that was interrupted knows it");
            log.expect(turn.message("late").is_err(), "an agent that was interrupted cannot write");
        }
        Ok(Reply::from(turn.input().text()))
    }
}

claims! {
    fn an_agent_that_ignores_its_interruption_is_left_behind_and_its_worker_replaced() {
        let (begun, go) = held();
        let (scene, clock) = Scene::on_clock(1, NEVER, hanging(begun.clone(), go.clone()));
        let (busy, other) = (scene.session(), scene.session());
        let hung = busy.send("hang").unwrap();
        begun.pass();
        let next = busy.follow_up("next").unwrap();
        let waiters = [waiter(&hung), waiter(&next)];
        let sending = thread::spawn(move || other.send("other").unwrap().wait().unwrap().text());
        clock.advance(GRACE);
        let [first, second] = waiters.map(|waiter| waiter.join().unwrap().unwrap());
        interrupted(&hung, &first, Reason::FollowUp);
        completed(&next, &second, "next");
        assert_eq!(sending.join().unwrap(), "other");
        assert_eq!(finals(&busy), ["next"]);
        go.open();
        scene.close();
    }

    fn an_agent_that_returns_as_its_grace_ends_leaves_nobody_waiting() {
        let (begun, go) = held();
        let (scene, clock) = Scene::on_clock(1, NEVER, hanging(begun.clone(), go.clone()));
        let session = scene.session();
        session.send("hang").unwrap();
        begun.pass();
        let next = session.follow_up("next").unwrap();
        let opening = thread::spawn(move || go.open());
        clock.advance(GRACE);
        completed(&next, &next.wait().unwrap(), "next");
        opening.join().unwrap();
        scene.close();
    }

    fn a_turn_that_ends_as_its_time_is_over_ends_once() {
        let limit = Duration::from_secs(1);
        let (scene, clock) = Scene::on_clock(2, limit, echo);
        let session = scene.session();
        let one = session.send("one").unwrap();
        let waiting = waiter(&one);
        clock.advance(limit);
        let report = waiting.join().unwrap().unwrap();
        if report.state() == TurnState::Failed {
            assert_eq!(report.turn.reason, Some(Reason::TimeLimit));
        } else {
            completed(&one, &report, "one");
        }
        let two = session.send("two").unwrap();
        completed(&two, &two.wait().unwrap(), "two");
        scene.close();
    }

    fn an_agent_that_waits_to_be_told_is_told_by_its_time_limit() {
        let limit = Duration::from_secs(1);
        let begun = Latch::default();
        let latch = begun.clone();
        let (scene, clock) = Scene::on_clock(1, limit, move |turn, _| {
            let told = turn.cancel_token();
            latch.open();
            told.wait();
            turn.check()?;
            Ok(Reply::from("not reached"))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        begun.pass();
        clock.advance(limit);
        let report = one.wait().unwrap();
        assert_eq!((report.state(), report.turn.reason), (TurnState::Failed, Some(Reason::TimeLimit)));
        scene.close();
    }

    fn a_close_while_an_agent_is_left_behind_leaves_nobody_waiting() {
        let (begun, go) = held();
        let (scene, clock) = Scene::on_clock(1, NEVER, hanging(begun.clone(), go.clone()));
        let session = scene.session();
        session.send("hang").unwrap();
        begun.pass();
        let next = session.follow_up("next").unwrap();
        let waiting = waiter(&next);
        // The close waits for its agents until then.
        let advancing = thread::spawn(move || {
            clock.advance(GRACE);
            clock.advance(GRACE);
        });
        let opening = thread::spawn(move || go.open());
        let (engine, after) = scene.split();
        engine.close().unwrap();
        match waiting.join().unwrap() {
            Ok(report) if report.state() == TurnState::Completed => assert_eq!(report.text(), "next"),
            Ok(report) => interrupted(&next, &report, Reason::Closed),
            // It ended by itself before the close, and whoever waited came too late to read it.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        advancing.join().unwrap();
        opening.join().unwrap();
        after.closed();
    }

    fn what_an_agent_streams_is_heard_without_a_gap_and_never_after_its_message() {
        let scene = Scene::open(1, |turn, _| {
            for piece in ["a", "b"] {
                turn.delta(piece)?;
            }
            turn.message("ab")?;
            turn.delta("c")?;
            Ok(Reply::from("c"))
        });
        let session = scene.session();
        let followers = [0, 3].map(|after| {
            let (mut live, session) = (session.stream(after), session.clone());
            thread::spawn(move || {
                let mut shown = String::new();
                loop {
                    match live.next().unwrap().unwrap() {
                        Live::Delta(delta) => {
                            assert!(delta.offset == 0 || delta.offset == shown.len() as u64, "{delta:?} {shown}");
                            if delta.offset == 0 {
                                shown.clear();
                            }
                            shown.push_str(&delta.text);
                        }
                        Live::Change(change) => match change.kind {
                            ChangeKind::Message(id) => {
                                let text = session.message(id).unwrap().text();
                                assert!(text.starts_with(&shown), "{shown} and then {text}");
                                shown.clear();
                            }
                            ChangeKind::Turn(_, TurnState::Completed) => return shown,
                            _ => {}
                        },
                        _ => panic!("something new"),
                    }
                }
            })
        });
        let turn = session.send("hello").unwrap();
        completed(&turn, &turn.wait().unwrap(), "c");
        assert_eq!(followers.map(|follower| follower.join().unwrap()), ["", ""]);
        scene.close();
    }

    fn who_waits_for_a_session_to_be_idle_is_woken() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        session.send("one").unwrap();
        let idle = session.idle();
        let waiting = thread::spawn(move || idle.wait());
        let two = session.follow_up("two").unwrap();
        waiting.join().unwrap().unwrap();
        two.wait().unwrap();
        scene.close();
    }
}
