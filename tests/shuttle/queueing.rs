//! Turns that wait: promoted, cancelled, stopped, rolled back, and sent by the session's own agent.

use parlor::{ErrorKind, Policy, Reason, Reply, Session, SessionStatus, TurnContext, TurnState};
use shuttle::thread;

use crate::claims;
use crate::scene::{Log, Scene, completed, echo, finals, held, interrupted};

/// Whoever reads a session in which a turn waits sees one that runs.
fn never_waits_for_nobody(session: &Session) -> thread::JoinHandle<()> {
    let session = session.clone();
    thread::spawn(move || {
        for _ in 0..3 {
            let record = session.get().unwrap();
            assert!(record.running_turn.is_some() || record.queued_turns == 0, "{record:?}");
        }
    })
}

/// Sends one turn more, where it is the first.
fn feed(turn: &TurnContext, _: &Log) -> parlor::AgentResult {
    if turn.chain() == 0 && turn.input().text() != "quiet" {
        match turn.send("more") {
            Ok(own) => assert_eq!(own.get()?.chain, 1),
            Err(error) => assert!(error.is_fenced() || error.kind() == ErrorKind::Closed, "{error}"),
        }
    }
    Ok(Reply::from(turn.input().text()))
}

claims! {
    fn what_waits_is_promoted_in_the_commit_that_ends_the_turn_before() {
        let scene = Scene::open(2, echo);
        let session = scene.session();
        let reader = never_waits_for_nobody(&session);
        let senders = ["left", "right"].map(|text| {
            let session = session.clone();
            thread::spawn(move || {
                let turn = session.enqueue(text).unwrap();
                completed(&turn, &turn.wait().unwrap(), text);
            })
        });
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        reader.join().unwrap();
        assert_eq!(session.idle().wait().unwrap().status, SessionStatus::Idle);
        let mut texts = finals(&session);
        texts.sort();
        assert_eq!(texts, ["left", "right"]);
        scene.close();
    }

    fn a_turn_is_cancelled_or_promoted_and_never_both() {
        let scene = Scene::open(2, echo);
        let session = scene.session();
        let one = session.send("one").unwrap();
        let two = session.enqueue("two").unwrap();
        let canceller = {
            let (session, two) = (session.clone(), two.id());
            thread::spawn(move || session.cancel(two))
        };
        let report = two.wait().unwrap();
        match canceller.join().unwrap() {
            Ok(cancelled) => {
                assert_eq!((cancelled.state, cancelled.reason), (TurnState::Interrupted, Some(Reason::Cancelled)));
                interrupted(&two, &report, Reason::Cancelled);
            }
            Err(error) => {
                assert!(error.is_conflict(), "{error}");
                completed(&two, &report, "two");
            }
        }
        completed(&one, &one.wait().unwrap(), "one");
        scene.close();
    }

    fn an_interruption_promotes_and_the_next_agent_waits_for_the_old_one() {
        let (begun, go) = held();
        let gates = (begun.clone(), go.clone());
        let scene = Scene::open(2, move |turn, log| {
            if turn.input().text() == "one" {
                gates.0.open();
                gates.1.pass();
                log.expect(turn.check().is_err(), "an agent knows that it was interrupted when all others may");
            }
            echo(turn, log)
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let two = session.enqueue("two").unwrap();
        begun.pass();
        let reader = never_waits_for_nobody(&session);
        assert_eq!(session.interrupt().unwrap().map(|turn| turn.id), Some(one.id()));
        assert_eq!((two.get().unwrap().state, scene.log.texts()), (TurnState::Running, vec!["one".to_owned()]));
        go.open();
        interrupted(&one, &one.wait().unwrap(), Reason::Request);
        completed(&two, &two.wait().unwrap(), "two");
        reader.join().unwrap();
        scene.close();
    }

    fn a_stop_ends_what_runs_and_what_waits_whoever_sends_meanwhile() {
        let scene = Scene::open(2, |turn, log| {
            turn.message("thinking")?;
            echo(turn, log)
        });
        let session = scene.session();
        let turns = ["one", "two"].map(|text| session.enqueue(text).unwrap());
        let sender = {
            let session = session.clone();
            thread::spawn(move || session.enqueue("three").unwrap())
        };
        let stopped = session.stop().unwrap();
        let three = sender.join().unwrap();
        for turn in turns {
            let report = turn.wait().unwrap();
            assert!(report.state() == TurnState::Completed || report.state() == TurnState::Interrupted);
        }
        let stopped: Vec<_> = stopped.turn.iter().chain(&stopped.cancelled).map(|turn| turn.id).collect();
        let report = three.wait().unwrap();
        assert_eq!(report.state() == TurnState::Interrupted, stopped.contains(&three.id()));
        assert_eq!(session.idle().wait().unwrap().queued_turns, 0);
        scene.close();
    }

    fn a_rollback_leaves_no_trace_of_a_turn_and_what_waits_goes_on() {
        let (begun, go) = held();
        let gates = (begun.clone(), go.clone());
        let scene = Scene::open(2, move |turn, log| {
            if turn.input().text() == "one" {
                turn.message("thinking")?;
                gates.0.open();
                gates.1.pass();
                log.expect(turn.message("late").is_err(), "an agent that was rolled back cannot write");
            }
            echo(turn, log)
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let waits = session.enqueue("waits").unwrap();
        begun.pass();
        let two = session.send_with(Policy::Rollback, "two").unwrap();
        go.open();
        interrupted(&one, &one.wait().unwrap(), Reason::Rollback);
        completed(&two, &two.wait().unwrap(), "two");
        completed(&waits, &waits.wait().unwrap(), "waits");
        assert_eq!(finals(&session), ["two", "waits"]);
        assert!(crate::scene::messages(&session).iter().all(|message| message.turn_id != Some(one.id())));
        scene.close();
    }

    fn what_an_agent_sends_to_its_session_waits_its_turn_or_is_refused() {
        let scene = Scene::open(2, feed);
        let session = scene.session();
        let one = session.send("one").unwrap();
        let other = {
            let session = session.clone();
            thread::spawn(move || session.follow_up("quiet").unwrap())
        };
        one.wait().unwrap();
        let quiet = other.join().unwrap();
        let report = quiet.wait().unwrap();
        session.idle().wait().unwrap();
        completed(&quiet, &report, "quiet");
        // The first agent sent before it was interrupted, or not at all.
        let chains: Vec<_> = session.turns(()).unwrap().items.iter().map(|turn| turn.chain).collect();
        assert!(chains.iter().filter(|chain| **chain == 1).count() <= 1, "{chains:?}");
        scene.close();
    }

    fn a_close_promotes_nothing_that_it_does_not_end() {
        let scene = Scene::open(2, echo);
        let session = scene.session();
        let turns = ["one", "two", "three"].map(|text| session.enqueue(text).unwrap());
        let (engine, after) = scene.split();
        let waiting = turns.map(|turn| thread::spawn(move || turn.wait()));
        engine.close().unwrap();
        for waiting in waiting {
            match waiting.join().unwrap() {
                Ok(report) => assert!(report.state().is_terminal(), "{report:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
            }
        }
        assert_eq!(after.log.inside(), 0);
        after.closed();
    }
}
