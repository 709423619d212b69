//! Who follows a session or watches a workspace hears of everything, also while the engine closes.

use std::collections::BTreeMap;
use std::future::poll_fn;

use parlor::id::SessionId;
use parlor::{AgentHandle, NewSession, Session, Watch};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use crate::claims;
use crate::scene::{Scene, echo};

/// Follows a session to the end, on a thread of its own; the numbers of what it heard.
fn follower(session: &Session) -> JoinHandle<Vec<u64>> {
    let follow = session.follow(0);
    thread::spawn(move || follow.map(|change| change.unwrap().number).collect())
}

/// The same as a task.
fn following_task(session: &Session) -> JoinHandle<Vec<u64>> {
    let mut follow = session.follow(0);
    thread::spawn(move || {
        let mut heard = Vec::new();
        while let Some(change) = block_on(poll_fn(|cx| follow.poll_next(cx))) {
            heard.push(change.unwrap().number);
        }
        heard
    })
}

/// Watches to the end, on a thread of its own; the latest number it heard of each session.
fn watcher(watch: Watch) -> JoinHandle<BTreeMap<SessionId, u64>> {
    thread::spawn(move || {
        let mut latest = BTreeMap::new();
        for watched in watch {
            let watched = watched.unwrap();
            let before = latest.insert(watched.session, watched.change);
            assert!(before <= Some(watched.change), "told {} after {before:?}", watched.change);
        }
        latest
    })
}

/// An engine closes while one of its sessions is written to, and two follow it.
fn followers_hear_of(write: fn(&Session)) {
    let scene = Scene::open(2, echo);
    let session = scene.session();
    let followers = [follower(&session), following_task(&session)];
    let writer = thread::spawn(move || write(&session));
    let (engine, after) = scene.split();
    engine.close().unwrap();
    writer.join().unwrap();
    let heard = followers.map(|follower| follower.join().unwrap());
    let latest = after.latest();
    let all: Vec<u64> = (1..=*latest.values().next().unwrap()).collect();
    assert_eq!(heard, [all.clone(), all]);
}

/// An engine closes while something in it is written, and one watches its workspace.
fn a_watcher_hears_of(write: fn(&AgentHandle, &Session)) {
    let scene = Scene::open(2, echo);
    let (agent, session) = (scene.agent(), scene.session());
    let quiet = [scene.session().id(), session.id()];
    let watching = watcher(scene.engine.workspace("acme").unwrap().watch());
    let writer = thread::spawn(move || write(&agent, &session));
    let (engine, after) = scene.split();
    engine.close().unwrap();
    writer.join().unwrap();
    let heard = watching.join().unwrap();
    // Those that were made before the watch, and did not change since.
    let mut latest = after.latest();
    latest.retain(|session, number| !(quiet.contains(session) && *number == 1));
    assert_eq!(heard, latest);
}

claims! {
    fn a_follower_hears_of_every_turn_to_the_end() {
        followers_hear_of(|session| {
            if session.send("one").is_ok() {
                drop(session.follow_up("two"));
            }
        });
    }

    fn a_follower_hears_of_every_write_to_the_end() {
        followers_hear_of(|session| {
            let Ok(written) = session.append(["one", "two"]) else { return };
            drop(session.delete_message(written[0].id));
        });
    }

    fn a_watcher_hears_of_every_turn_to_the_end() {
        a_watcher_hears_of(|_, session| {
            if session.send("one").is_ok() {
                drop(session.follow_up("two"));
            }
        });
    }

    fn a_watcher_hears_of_every_write_to_the_end() {
        a_watcher_hears_of(|_, session| drop(session.append(["one", "two"])));
    }

    fn a_watcher_hears_of_every_new_session_to_the_end() {
        a_watcher_hears_of(|agent, _| {
            if let Ok(made) = agent.create_session(NewSession::default()) {
                drop(made.append(["one"]));
            }
        });
    }
}
