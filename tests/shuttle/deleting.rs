//! A session that is deleted, and made again, while others use it.

use parlor::{AgentHandle, ErrorKind, NewSession, Session, TurnState};
use shuttle::thread;

use crate::claims;
use crate::scene::{Scene, echo, waiter};

/// Deletes a session as soon as it is idle, and makes another one with its id.
fn replace(agent: &AgentHandle, session: &Session) -> Session {
    loop {
        match session.delete() {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
        // Busy: somebody's turn runs, and ends.
        if let Some(turn) = session.get().unwrap().running_turn {
            session.turn(turn).unwrap().wait().unwrap();
        }
    }
    agent.create_session(NewSession::default().id(*session.id().as_uuid())).unwrap()
}

claims! {
    fn whatever_is_sent_while_a_session_is_replaced_has_its_turn_or_is_not_found() {
        let scene = Scene::open(2, echo);
        let (agent, session) = (scene.agent(), scene.session());
        session.send("first").unwrap().wait().unwrap();
        let senders = ["left", "right"].map(|text| {
            let session = session.clone();
            thread::spawn(move || match session.follow_up(text) {
                Ok(turn) => Some(turn),
                // Between the two there is none, and the new one never had a message.
                Err(error) => {
                    assert!([ErrorKind::NotFound, ErrorKind::BadRequest].contains(&error.kind()), "{error}");
                    None
                }
            })
        });
        let anew = replace(&agent, &session);
        let last = anew.send("last").or_else(|_| anew.follow_up("last")).unwrap();
        let turns = senders.map(|sender| sender.join().unwrap());
        for turn in turns.iter().flatten() {
            match turn.wait() {
                Ok(report) => assert!(report.state().is_terminal()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        // Its turn is over only where a later one took its place.
        let report = last.wait().unwrap();
        assert!([TurnState::Completed, TurnState::Interrupted].contains(&report.state()), "{report:?}");
        scene.close();
    }

    fn a_follower_never_hears_of_the_session_made_in_its_place() {
        let scene = Scene::open(1, echo);
        let (agent, session) = (scene.agent(), scene.session());
        session.append(["one"]).unwrap();
        let followers = [0, 2].map(|after| {
            let follow = session.follow(after);
            thread::spawn(move || {
                let mut heard = Vec::new();
                for change in follow {
                    match change {
                        Ok(change) => heard.push(change.number),
                        Err(error) => return (heard, error.kind()),
                    }
                }
                panic!("it ended without a word")
            })
        });
        let anew = replace(&agent, &session);
        anew.append(["two", "three", "four"]).unwrap();
        for (follower, most) in followers.into_iter().zip([&[1, 2][..], &[]]) {
            let (heard, end) = follower.join().unwrap();
            assert!((heard.is_empty() || heard == most) && end == ErrorKind::NotFound, "{heard:?}, then {end:?}");
        }
        scene.close();
    }

    fn a_deletion_and_a_close_at_once_agree() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        let turn = session.send("hello").unwrap();
        let waiting = waiter(&turn);
        let deleting = thread::spawn(move || session.delete());
        let (engine, _) = scene.split();
        engine.close().unwrap();
        let deleted = match deleting.join().unwrap() {
            Ok(()) => true,
            Err(error) => {
                assert!([ErrorKind::Conflict, ErrorKind::Closed].contains(&error.kind()), "{error}");
                false
            }
        };
        match waiting.join().unwrap() {
            Ok(report) => assert!(report.state().is_terminal()),
            Err(error) if error.is_not_found() => assert!(deleted, "{error}"),
            // It was too late to read the end.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
    }
}
