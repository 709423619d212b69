//! What a watch tells: the sessions of its scope that changed, each once, with the latest number.

use std::sync::Arc;

use parlor::id::SessionId;
use parlor::{NewSession, Watch};

use super::Count;
use super::support::{echo, on_every_store, session};

/// All that a watch can tell without waiting.
fn told(watch: &mut Watch) -> Vec<(SessionId, u64)> {
    let watched = std::iter::from_fn(|| watch.try_next()).map(|watched| watched.expect("it can be read"));
    watched.map(|watched| (watched.session, watched.change)).collect()
}

#[test]
fn a_session_is_told_once_however_often_it_changed_with_its_latest_number() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (one, other) = (session(&engine, "echo"), session(&engine, "echo"));
        let mut watch = engine.workspace("acme").unwrap().watch();
        one.append(["first"]).unwrap();
        other.append(["first"]).unwrap();
        for _ in 0..500 {
            one.append(["again"]).unwrap();
        }
        // Those that changed first are told first, however much they changed since.
        assert_eq!(told(&mut watch), [(one.id(), 502), (other.id(), 2)]);
        assert_eq!(told(&mut watch), []);
        other.append(["more", "and more"]).unwrap();
        assert_eq!(told(&mut watch), [(other.id(), 4)]);
        engine.close().unwrap();
    });
}

#[test]
fn a_session_that_changes_after_it_was_told_is_told_again() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (one, other) = (session(&engine, "echo"), session(&engine, "echo"));
        let mut watch = engine.workspace("acme").unwrap().watch();
        one.append(["hello"]).unwrap();
        other.append(["hello"]).unwrap();
        assert_eq!(watch.next().unwrap().unwrap().session, one.id());
        one.append(["again"]).unwrap();
        assert_eq!(told(&mut watch), [(other.id(), 2), (one.id(), 3)]);
        engine.close().unwrap();
    });
}

#[test]
fn a_watch_begins_with_what_happens_after_the_call() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        session.append(["before"]).unwrap();
        let workspace = engine.workspace("acme").unwrap();
        let (mut early, count) = (workspace.watch(), Arc::new(Count::default()));
        assert!(count.poll(|cx| early.poll_next(cx)).is_pending());
        session.append(["after"]).unwrap();
        let mut late = workspace.watch();
        assert_eq!((told(&mut early), told(&mut late)), (vec![(session.id(), 3)], vec![]));
        // A watch that is gone is nobody's business any more.
        assert!(count.poll(|cx| early.poll_next(cx)).is_pending());
        drop(early);
        session.append(["more"]).unwrap();
        assert_eq!((count.get(), Arc::strong_count(&count)), (1, 1));
        engine.close().unwrap();
    });
}

#[test]
fn a_watch_never_shows_a_session_of_another_workspace_or_agent() {
    on_every_store(|store| {
        let engine = echo(&store);
        // The same agent names, and even the same session id, in both workspaces.
        let id = uuid::Uuid::now_v7();
        let [acme, initech] = ["acme", "initech"].map(|name| engine.workspace(name).unwrap());
        let mut watches = Vec::new();
        for workspace in [&acme, &initech] {
            watches.push(workspace.watch());
            watches.extend(["echo", "other"].map(|agent| workspace.agent(agent).unwrap().watch()));
        }
        let make = |workspace: &parlor::Workspace, agent: &str, new: NewSession| {
            workspace.agent(agent).unwrap().create_session(new).unwrap().id()
        };
        let shared = make(&acme, "echo", NewSession::default().id(id));
        assert_eq!(make(&initech, "echo", NewSession::default().id(id)), shared);
        let own = make(&acme, "other", NewSession::default());
        acme.session(shared).unwrap().append(["hello"]).unwrap();
        acme.session(shared).unwrap().send("hello").unwrap().wait().unwrap();

        let last = |workspace: &parlor::Workspace| workspace.session(shared).unwrap().get().unwrap().last_change;
        let (here, there) = ((shared, last(&acme)), (shared, last(&initech)));
        assert_ne!(here, there);
        let all: Vec<_> = watches.iter_mut().map(told).collect();
        assert_eq!(all, [vec![here, (own, 1)], vec![here], vec![(own, 1)], vec![there], vec![there], vec![]]);
        engine.close().unwrap();
    });
}

#[test]
fn a_follower_is_not_told_of_a_session_of_the_same_id_in_another_workspace() {
    on_every_store(|store| {
        let engine = echo(&store);
        let id = uuid::Uuid::now_v7();
        let [here, there] = ["acme", "initech"].map(|name| {
            let agent = engine.workspace(name).unwrap().agent("echo").unwrap();
            agent.create_session(NewSession::default().id(id)).unwrap()
        });
        let (mut follow, count) = (here.follow(1), Arc::new(Count::default()));
        assert!(count.poll(|cx| follow.poll_next(cx)).is_pending());
        there.append(["hello"]).unwrap();
        assert_eq!(count.get(), 0);
        assert!(follow.try_next().is_none());
        engine.close().unwrap();
    });
}
