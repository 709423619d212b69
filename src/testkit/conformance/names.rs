//! Workspaces and agents: made once, found by their exact name.

use super::scene::{Factory, Scene, ok};
use crate::error::ErrorKind;
use crate::id::WorkspaceId;
use crate::store::{EnsureAgent, EnsureWorkspace};

super::subject! {
    a_workspace_is_made_once,
    an_agent_is_made_once_in_its_workspace,
    names_are_compared_exactly,
    the_same_agent_name_in_two_workspaces_is_two_agents,
    agents_of_an_unknown_workspace_are_not_found,
}

fn a_workspace_is_made_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    assert_eq!(ok(scene.store.find_workspace("beta")), None, "finding makes nothing");
    let stamp = scene.stamp();
    let made = ok(scene.store.ensure_workspace(EnsureWorkspace { stamp, name: "beta".into() }));
    assert_eq!(*made.id.as_uuid(), stamp.uuid(0), "its id is the stamp's id 0");
    assert_eq!((made.name.as_str(), made.created_at), ("beta", stamp.at));
    scene.tick();
    let again = ok(scene.store.ensure_workspace(EnsureWorkspace { stamp: scene.stamp(), name: "beta".into() }));
    assert_eq!(again, made, "the second ensure answers with the first one's record");
    assert_eq!(ok(scene.store.find_workspace("beta")), Some(made));
}

fn an_agent_is_made_once_in_its_workspace(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let workspace = scene.workspace;
    assert_eq!(ok(scene.store.find_agent(workspace, "booker")), None, "finding makes nothing");
    let stamp = scene.stamp();
    let made = ok(scene.store.ensure_agent(EnsureAgent { stamp, workspace, name: "booker".into() }));
    assert_eq!(*made.id.as_uuid(), stamp.uuid(0), "its id is the stamp's id 0");
    assert_eq!((made.workspace_id, made.name.as_str(), made.created_at), (workspace, "booker", stamp.at));
    scene.tick();
    let again = ok(scene.store.ensure_agent(EnsureAgent { stamp: scene.stamp(), workspace, name: "booker".into() }));
    assert_eq!(again, made, "the second ensure answers with the first one's record");
    assert_eq!(ok(scene.store.find_agent(workspace, "booker")), Some(made));
}

fn names_are_compared_exactly(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let longest = "ä".repeat(255);
    for name in ["Acme", "acme ", "acm", "acme\0", "ａcme", "e\u{301}", "é", longest.as_str()] {
        assert_eq!(ok(scene.store.find_workspace(name)), None, "workspace {name:?}");
        assert_eq!(ok(scene.store.find_agent(scene.workspace, name)), None, "agent {name:?}");
        let workspace = scene.workspace_named(name);
        let agent = scene.agent_named(scene.workspace, name);
        let found = ok(scene.store.find_workspace(name)).map(|found| (found.id, found.name));
        assert_eq!(found, Some((workspace, name.into())));
        let found = ok(scene.store.find_agent(scene.workspace, name)).map(|found| (found.id, found.name));
        assert_eq!(found, Some((agent, name.into())));
    }
    assert_eq!(ok(scene.store.find_workspace("acme")).map(|found| found.id), Some(scene.workspace));
}

fn the_same_agent_name_in_two_workspaces_is_two_agents(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    assert_eq!(ok(scene.store.find_agent(beta, "greeter")), None, "the other workspace's agent is not there");
    let other = scene.agent_named(beta, "greeter");
    assert_ne!(other, scene.agent);
    let found = ok(scene.store.find_agent(beta, "greeter"));
    assert_eq!(found.map(|found| (found.id, found.workspace_id)), Some((other, beta)));
    let found = ok(scene.store.find_agent(scene.workspace, "greeter"));
    assert_eq!(found.map(|found| found.id), Some(scene.agent));
}

fn agents_of_an_unknown_workspace_are_not_found(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let workspace = WorkspaceId::from_uuid(scene.uuid());
    let op = EnsureAgent { stamp: scene.stamp(), workspace, name: "greeter".into() };
    scene.refused(ErrorKind::NotFound, "ensure_agent", |store| store.ensure_agent(op));
    scene.refused(ErrorKind::NotFound, "find_agent", |store| store.find_agent(workspace, "greeter"));
}
