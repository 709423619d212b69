//! Changing what a session says of itself.

use super::scene::{Factory, Scene, ok, unknown_session};
use crate::error::ErrorKind::{Conflict, NotFound};
use crate::record::{ChangeKind, NewSession, SessionRecord, SessionUpdate};
use crate::store::{CreateSession, SessionRef, SessionsQuery, UpdateSession};
use crate::testkit::snapshot::EVERY;

super::subject! {
    an_update_changes_what_it_names_and_nothing_else,
    an_update_is_told_and_moves_the_session_to_the_front,
    an_update_that_changes_nothing_writes_nothing,
    every_field_can_be_cleared,
    a_busy_session_is_updated_too,
    a_turn_runs_with_the_profile_of_the_moment_it_was_accepted,
    a_repeated_creation_is_compared_with_what_made_the_session,
    an_update_of_nothing_that_is_there_is_not_found,
}

fn updating(scene: &Scene, at: SessionRef, update: SessionUpdate) -> UpdateSession {
    UpdateSession { stamp: scene.stamp(), at, update }
}

fn update(scene: &Scene, at: SessionRef, update: SessionUpdate) -> SessionRecord {
    let now = ok(scene.store.update_session(updating(scene, at, update)));
    assert_eq!(now, scene.record(at), "the answer is the session as it stands");
    let query =
        SessionsQuery { workspace: scene.workspace, agent: Some(scene.agent), page: Default::default(), after: None };
    assert!(ok(scene.store.sessions(query)).items.contains(&now), "the listing says the same");
    now
}

fn whole(scene: &Scene) -> SessionRef {
    let json = |text: &str| serde_json::Value::from(text);
    let new = NewSession::default().key("k").label("before").chat_type("direct").last_channel("telegram");
    let new = new.origin(json("o")).metadata(json("m")).profile(json("p"));
    SessionRef { workspace: scene.workspace, session: scene.create(new).id }
}

fn an_update_changes_what_it_names_and_nothing_else(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, other) = (whole(&scene), scene.session());
    let (before, beside) = (scene.record(at), scene.record(other));
    let label = SessionUpdate::default().label("after: ä\0");
    let now = update(&scene, at, label);
    let due = SessionRecord {
        label: Some("after: ä\0".into()),
        last_change: now.last_change,
        updated_at: now.updated_at,
        ..before.clone()
    };
    assert_eq!(now, due);
    let rest = SessionUpdate::default().chat_type("group").last_channel("mail").metadata(serde_json::json!([1]));
    let now = update(&scene, at, rest.origin(serde_json::json!({})).profile(serde_json::json!(null)));
    let due = SessionRecord {
        label: Some("after: ä\0".into()),
        chat_type: Some("group".into()),
        last_channel: Some("mail".into()),
        origin: Some(serde_json::json!({}).into()),
        metadata: Some(serde_json::json!([1]).into()),
        profile: Some(serde_json::json!(null).into()),
        last_change: now.last_change,
        updated_at: now.updated_at,
        ..before
    };
    assert_eq!(now, due);
    assert_eq!(scene.record(other), beside);
    assert_eq!(ok(scene.store.session_by_key(scene.workspace, scene.agent, "k")), now);
}

fn an_update_is_told_and_moves_the_session_to_the_front(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = whole(&scene);
    scene.tick();
    scene.session();
    scene.tick();
    let before = scene.record(at).last_change;
    let op = updating(&scene, at, SessionUpdate::default().label("after"));
    let stamp = op.stamp;
    assert_eq!(ok(scene.store.update_session(op)).updated_at, stamp.at);
    assert_eq!(scene.changes(at, before), [ChangeKind::Updated]);
    let all = SessionsQuery { workspace: scene.workspace, agent: None, page: Default::default(), after: None };
    assert_eq!(ok(scene.store.sessions(all)).items.first().map(|first| first.id), Some(at.session));
}

fn an_update_that_changes_nothing_writes_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = whole(&scene);
    let before = scene.record(at);
    scene.tick();
    let same = SessionUpdate::default().label("before").metadata(serde_json::Value::from("m"));
    for nothing in [SessionUpdate::default(), same] {
        let op = updating(&scene, at, nothing);
        assert_eq!(scene.unchanged("an update", |store| ok(store.update_session(op))), before);
    }
}

fn every_field_can_be_cleared(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = whole(&scene);
    let none = SessionUpdate::default().clear_label().clear_chat_type().clear_last_channel();
    let now = update(&scene, at, none.clear_origin().clear_metadata().clear_profile());
    assert_eq!((now.label, now.chat_type, now.last_channel), (None, None, None));
    assert_eq!((now.origin, now.metadata, now.profile), (None, None, None));
}

fn a_busy_session_is_updated_too(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let now = update(&scene, at, SessionUpdate::default().label("while it runs"));
    assert_eq!(now.running_turn, Some(sent.turn.id));
    scene.enqueue(at, "waits");
    update(&scene, at, SessionUpdate::default().label("while one waits"));
    assert_eq!(ok(scene.store.messages(at, EVERY)).total, 2, "nothing of the turns changed");
}

fn a_turn_runs_with_the_profile_of_the_moment_it_was_accepted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = whole(&scene);
    let before = scene.send(at, "with the old one");
    update(&scene, at, SessionUpdate::default().profile(serde_json::Value::from("new")));
    let after = scene.enqueue(at, "with the new one");
    let profile = |turn| ok(scene.store.turn(at, turn)).profile.map(|json| json.as_str().to_owned());
    assert_eq!(profile(before.turn.id).as_deref(), Some("\"p\""));
    assert_eq!(profile(after.turn.id).as_deref(), Some("\"new\""));
}

fn a_repeated_creation_is_compared_with_what_made_the_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let new = |label: &str| NewSession::default().id(id).label(label);
    let at = SessionRef { workspace: scene.workspace, session: scene.create(new("before")).id };
    let now = update(&scene, at, SessionUpdate::default().label("after"));
    let again = |label| CreateSession { new: new(label), ..scene.creation(NewSession::default()) };
    let original = ok(scene.store.create_session(again("before")));
    assert_eq!((original.replayed, original.session), (true, now));
    let op = again("after");
    scene.refused(Conflict, "with what it says now", |store| store.create_session(op));
}

fn an_update_of_nothing_that_is_there_is_not_found(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = whole(&scene);
    scene.delete_session(at);
    for at in [at, unknown_session(&scene)] {
        let op = updating(&scene, at, SessionUpdate::default().label("after"));
        scene.refused(NotFound, "an update", |store| store.update_session(op));
    }
}
