//! Who runs in a session, and how it ends: sends, follow-ups and retries that race.

use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};

use parlor::{ErrorKind, NewMessage, Reason, Reply, Session, TurnState};
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use crate::claims;
use crate::scene::{Scene, completed, echo, finals, held, interrupted, messages, waiter};

claims! {
    fn a_follow_up_takes_the_place_of_the_running_turn() {
        let (begun, go) = held();
        let gates = (begun.clone(), go.clone());
        let scene = Scene::open(2, move |turn, log| {
            if turn.input().text() == "one" {
                turn.tool_call("search", "{}")?;
                gates.0.open();
                gates.1.pass();
                log.expect(turn.check().is_err(), "an agent knows that it was interrupted when all others may");
                let late = turn.message("late");
                log.expect(late.is_err_and(|error| error.is_fenced()), "an interrupted agent cannot write");
            }
            Ok(Reply::from(turn.input().text()))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        begun.pass();
        let waiting = waiter(&one);
        let two = session.follow_up("two").unwrap();
        assert_eq!(session.get().unwrap().running_turn, Some(two.id()));
        interrupted(&one, &one.wait().unwrap(), Reason::FollowUp);
        // It runs, and its agent does not: the old one is still there.
        assert_eq!((two.get().unwrap().state, scene.log.texts()), (TurnState::Running, vec!["one".to_owned()]));
        go.open();
        interrupted(&one, &waiting.join().unwrap().unwrap(), Reason::FollowUp);
        completed(&two, &two.wait().unwrap(), "two");
        assert_eq!((finals(&session), scene.log.texts()), (vec!["two".into()], vec!["one".into(), "two".into()]));
        scene.close();
    }

    fn of_two_follow_ups_at_once_the_later_one_runs() {
        let (begun, go) = held();
        let gates = (begun.clone(), go.clone());
        let scene = Scene::open(2, move |turn, _| {
            if turn.input().text() == "one" {
                gates.0.open();
                gates.1.pass();
            }
            Ok(Reply::from(turn.input().text()))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        begun.pass();
        let sends = ["two", "three"].map(|text| {
            let session = session.clone();
            thread::spawn(move || (text, session.follow_up(text).unwrap()))
        });
        let mut sent = sends.map(|send| send.join().unwrap());
        // The store said which is the later one.
        sent.sort_by_key(|(_, turn)| turn.get().unwrap().number);
        let [(_, earlier), (text, later)] = sent;
        // The agent of the earlier one has not started, and never will.
        interrupted(&earlier, &earlier.wait().unwrap(), Reason::FollowUp);
        go.open();
        completed(&later, &later.wait().unwrap(), text);
        interrupted(&one, &one.wait().unwrap(), Reason::FollowUp);
        assert_eq!(earlier.get().unwrap().started_at, None);
        assert_eq!((finals(&session), scene.log.texts()), (vec![text.to_owned()], vec!["one".into(), text.into()]));
        scene.close();
    }

    fn follow_ups_from_everywhere_end_once_each() {
        let scene = Scene::open(2, |turn, _| {
            turn.message("thinking")?;
            Ok(Reply::from(turn.input().text()))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let sends = ["two", "three"].map(|text| {
            let session = session.clone();
            thread::spawn(move || {
                let turn = session.follow_up(text).unwrap();
                (turn.wait().unwrap(), turn, text)
            })
        });
        let mut reports = vec![(one.wait().unwrap(), one, "one")];
        reports.extend(sends.map(|send| send.join().unwrap()));
        reports.sort_by_key(|(report, ..)| report.turn.number);
        for (at, (report, turn, text)) in reports.iter().enumerate() {
            let last = at + 1 == reports.len();
            match report.state() {
                TurnState::Interrupted if !last => interrupted(turn, report, Reason::FollowUp),
                _ => completed(turn, report, text),
            }
            assert_eq!(&turn.wait().unwrap(), report);
        }
        scene.close();
    }

    fn an_interrupt_races_with_the_agents_own_end() {
        let scene = Scene::open(2, |turn, _| {
            let call = turn.tool_call("search", "{}")?;
            turn.tool_result(&call, "found")?;
            Ok(Reply::from(turn.input().text()))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let waiting = waiter(&one);
        let two = session.follow_up("two").unwrap();
        let first = waiting.join().unwrap().unwrap();
        match first.state() {
            TurnState::Interrupted => interrupted(&one, &first, Reason::FollowUp),
            _ => completed(&one, &first, "one"),
        }
        // However it ended, it ended so for all.
        assert_eq!(one.wait().unwrap(), first);
        completed(&two, &two.wait().unwrap(), "two");
        scene.close();
    }

    fn a_panicking_agent_ends_its_turn_and_holds_up_nobody() {
        let scene = Scene::open(1, |turn, _| {
            if turn.input().text() == "one" {
                // A panic that the hook does not print.
                resume_unwind(Box::new("out of ideas"));
            }
            Ok(Reply::from(turn.input().text()))
        });
        let session = scene.session();
        let one = session.send("one").unwrap();
        let waiting = waiter(&one);
        let two = session.follow_up("two").unwrap();
        let first = waiting.join().unwrap().unwrap();
        match first.state() {
            TurnState::Interrupted => interrupted(&one, &first, Reason::FollowUp),
            state => {
                assert_eq!((state, first.turn.reason), (TurnState::Failed, Some(Reason::Panic)));
                assert_eq!(first.turn.detail.as_deref(), Some("out of ideas"));
            }
        }
        completed(&two, &two.wait().unwrap(), "two");
        // Its worker outlived it.
        assert_eq!(scene.log.threads(), 1);
        scene.close();
    }

    fn of_two_sends_at_once_one_wins() {
        let (_, go) = held();
        let gate = go.clone();
        let scene = Scene::open(2, move |turn, _| {
            gate.pass();
            Ok(Reply::from(turn.input().text()))
        });
        let session = scene.session();
        let sends = ["left", "right"].map(|text| {
            let session = session.clone();
            thread::spawn(move || (text, session.send(text)))
        });
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        for send in sends {
            match send.join().unwrap() {
                (text, Ok(turn)) => won.push((text, turn)),
                (_, Err(error)) => lost.push(error.kind()),
            }
        }
        assert_eq!((won.len(), lost), (1, vec![ErrorKind::Conflict]));
        go.open();
        let (text, turn) = won.remove(0);
        completed(&turn, &turn.wait().unwrap(), text);
        let texts: Vec<_> = messages(&session).iter().map(|message| message.text()).collect();
        assert_eq!((texts, scene.log.texts()), (vec![text.to_owned(); 2], vec![text.to_owned()]));
        scene.close();
    }

    fn a_retry_starts_nothing_twice() {
        let scene = Scene::open(2, echo);
        let session = scene.session();
        let hello = NewMessage::text("hello").id(uuid::Uuid::from_u128(7));
        let retries = [Session::send, Session::follow_up].map(|verb| {
            let (session, hello) = (session.clone(), hello.clone());
            thread::spawn(move || {
                // A follow-up of a session without a message would be a bad request.
                let turn = verb(&session, hello).or_else(|error| match error.kind() {
                    ErrorKind::BadRequest => session.send(NewMessage::text("hello").id(uuid::Uuid::from_u128(7))),
                    _ => Err(error),
                });
                let turn = turn.unwrap();
                (turn.wait().unwrap(), turn)
            })
        });
        let [(left, turn), (right, _)] = retries.map(|retry| retry.join().unwrap());
        completed(&turn, &left, "hello");
        assert_eq!((left, scene.log.texts()), (right, vec!["hello".to_owned()]));
        scene.close();
    }

    fn an_agent_that_interrupts_itself_makes_way() {
        let own = Arc::new(OnceLock::<Session>::new());
        let (answer, answers) = channel();
        let scene = Scene::open(1, {
            let own = Arc::clone(&own);
            move |turn, log| {
                if let Some(session) = own.get().filter(|_| turn.input().text() == "one") {
                    answer.send(session.follow_up("two")).unwrap();
                    log.expect(turn.is_cancelled(), "an agent that interrupted itself knows it");
                    let late = session.send("late");
                    log.expect(late.is_err_and(|error| error.is_fenced()), "and sends nothing more");
                }
                Ok(Reply::from(turn.input().text()))
            }
        });
        let session = scene.session();
        own.set(session.clone()).unwrap();
        let one = session.send("one").unwrap();
        let two = answers.recv().unwrap().unwrap();
        interrupted(&one, &one.wait().unwrap(), Reason::FollowUp);
        completed(&two, &two.wait().unwrap(), "two");
        assert_eq!((finals(&session), scene.log.texts()), (vec!["two".into()], vec!["one".into(), "two".into()]));
        scene.close();
    }
}
