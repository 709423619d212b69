//! Access keys that are revoked while others wait with them, and agents that are deleted while others use them.

use parlor::{AgentHandle, ErrorKind, NewKey, NewSession, Scopes, Session};
use shuttle::thread;

use crate::claims;
use crate::scene::{Scene, echo};

/// Deletes the agent of the session as soon as that is idle, and makes both again.
fn replace(scene: &Scene, agent: &AgentHandle, session: &Session) -> Session {
    loop {
        match agent.delete() {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
        // Busy: somebody's turn runs, and ends.
        if let Some(turn) = session.get().unwrap().running_turn {
            session.turn(turn).unwrap().wait().unwrap();
        }
    }
    scene.agent().create_session(NewSession::default().id(*session.id().as_uuid())).unwrap()
}

claims! {
    fn nobody_sleeps_on_with_a_key_that_was_revoked() {
        let scene = Scene::open(1, echo);
        let agent = scene.agent();
        let session = scene.session();
        let key = agent.create_key(Scopes::ALL, NewKey::default()).unwrap();
        let access = scene.engine.open_key(key.secret.expose()).unwrap();
        let held = access.session(session.id()).unwrap();
        let (follow, watch) = (held.follow(0), access.agent(agent.id()).unwrap().watch());
        let kind = |error: parlor::Error| error.kind();
        let following = thread::spawn(move || follow.filter_map(Result::err).map(kind).collect::<Vec<_>>());
        let watching = thread::spawn(move || watch.filter_map(Result::err).map(kind).collect::<Vec<_>>());
        let writing = thread::spawn(move || session.append(["one"]).map(drop));
        scene.engine.workspace("acme").unwrap().revoke_key(key.record.id).unwrap();
        for waiting in [following, watching] {
            assert_eq!(waiting.join().unwrap(), [ErrorKind::Unauthorized]);
        }
        writing.join().unwrap().unwrap();
        assert_eq!(held.get().unwrap_err().kind(), ErrorKind::Unauthorized);
        scene.close();
    }

    fn whatever_is_sent_while_an_agent_is_replaced_has_its_turn_or_is_not_found() {
        let scene = Scene::open(2, echo);
        let (agent, session) = (scene.agent(), scene.session());
        session.append(["first"]).unwrap();
        let senders = ["left", "right"].map(|text| {
            let session = session.clone();
            thread::spawn(move || match session.send(text) {
                Ok(turn) => Some(turn),
                // Between the two there is none; busy it is for each other.
                Err(error) => {
                    assert!([ErrorKind::NotFound, ErrorKind::Conflict].contains(&error.kind()), "{error}");
                    None
                }
            })
        });
        let anew = replace(&scene, &agent, &session);
        let last = anew.enqueue("last").unwrap();
        for turn in senders.map(|sender| sender.join().unwrap()).iter().flatten() {
            match turn.wait() {
                Ok(report) => assert!(report.state().is_terminal()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
        assert!(last.wait().unwrap().state().is_terminal());
        scene.close();
    }

    fn a_follower_never_hears_of_the_session_of_an_agent_made_in_its_place() {
        let scene = Scene::open(1, echo);
        let (agent, session) = (scene.agent(), scene.session());
        session.append(["one"]).unwrap();
        let follow = session.follow(2);
        let following = thread::spawn(move || {
            let mut follow = follow;
            let first = follow.next().expect("it does not end without a word");
            (first.map_err(|error| error.kind()), follow.next().is_none())
        });
        let anew = replace(&scene, &agent, &session);
        anew.append(["two", "three", "four"]).unwrap();
        assert_eq!(following.join().unwrap(), (Err(ErrorKind::NotFound), true));
        scene.close();
    }
}
