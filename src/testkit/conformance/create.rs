//! Creating sessions: what is kept, keys, and the first turn in the same commit.

use super::inputs::{assert_says, full_message, full_session, full_turn};
use super::scene::{Factory, Scene, claim_of, first_of, ok};
use crate::error::ErrorKind::Conflict;
use crate::record::{
    ChangeKind, MessageType, NewMessage, NewSession, NewTurn, Role, SessionRecord, SessionStatus, TurnState,
};
use crate::store::{CreateSession, SessionRef};

super::subject! {
    a_session_keeps_what_it_was_made_with,
    a_session_without_inputs_has_the_defaults,
    a_session_is_found_by_its_key,
    a_first_turn_starts_in_the_same_commit,
    a_first_turn_keeps_every_input,
    a_first_turn_runs_with_the_sessions_profile,
    a_key_in_use_is_a_conflict,
    a_default_key_is_the_text_of_the_id,
    keys_are_the_agents_own,
    keys_are_compared_exactly,
    a_refused_creation_leaves_its_id_and_key_free,
}

fn a_session_keeps_what_it_was_made_with(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let new = full_session(&scene);
    let created = ok(scene.store.create_session(scene.creation(new.clone())));
    assert!(!created.replayed && created.first.is_none(), "{created:?}");
    let record = created.session;
    assert_eq!(Some(record.id), new.id, "the caller's id is the session's");
    assert_eq!((record.workspace_id, record.agent_id), (scene.workspace, scene.agent));
    assert_eq!(record.agent_name, "greeter");
    assert_eq!(Some(&record.key), new.key.as_ref());
    assert_eq!(
        (&record.label, &record.chat_type, &record.last_channel),
        (&new.label, &new.chat_type, &new.last_channel)
    );
    assert_eq!((&record.origin, &record.metadata, &record.profile), (&new.origin, &new.metadata, &new.profile));
    assert_new(&scene, &record);
    let at = SessionRef { workspace: scene.workspace, session: record.id };
    assert_eq!(scene.record(at), record, "it reads as it was answered");
}

/// That a session is as it is before its first message.
#[track_caller]
fn assert_new(scene: &Scene, record: &SessionRecord) {
    let at = SessionRef { workspace: record.workspace_id, session: record.id };
    assert_eq!((record.status, record.running_turn), (SessionStatus::Idle, None));
    assert_eq!((record.last_message, record.last_change), (0, 1));
    assert_eq!(record.created_at, record.updated_at, "nothing happened since");
    assert_eq!(scene.changes(at, 0), [ChangeKind::Created]);
    assert_eq!(scene.messages(at), []);
}

fn a_session_without_inputs_has_the_defaults(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let creation = scene.creation(NewSession::default());
    let record = ok(scene.store.create_session(creation.clone())).session;
    assert_eq!(*record.id.as_uuid(), creation.stamp.uuid(0), "its id is the stamp's id 0");
    assert_eq!(record.key, record.id.to_string(), "its key is the id's text");
    assert_eq!((&record.label, &record.chat_type, &record.last_channel), (&None, &None, &None));
    assert_eq!((&record.origin, &record.metadata, &record.profile), (&None, &None, &None));
    assert_eq!(record.created_at, creation.stamp.at);
    assert_new(&scene, &record);
}

fn a_session_is_found_by_its_key(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let by_key = |key: &str| ok(scene.store.session_by_key(scene.workspace, scene.agent, key));
    let named = scene.create(NewSession::default().key("telegram:42"));
    let plain = scene.create(NewSession::default());
    assert_eq!(by_key("telegram:42"), named);
    assert_eq!(by_key(&plain.id.to_string()), plain);
}

fn a_first_turn_starts_in_the_same_commit(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let first = Some((NewTurn::from("hello"), scene.runner));
    let creation = CreateSession { first, ..scene.creation(NewSession::default()) };
    let stamp = creation.stamp;
    let created = ok(scene.store.create_session(creation));
    let (session, first) = (created.session.clone(), first_of(created));
    let at = SessionRef { workspace: scene.workspace, session: session.id };
    let (message, turn, claim) = (&first.message, &first.turn, claim_of(&first));
    assert_eq!(*session.id.as_uuid(), stamp.uuid(0));
    assert_eq!(*message.id.as_uuid(), stamp.uuid(1));
    assert_eq!(*turn.thread_id.as_uuid(), stamp.uuid(2));
    assert_eq!(*turn.id.as_uuid(), stamp.uuid(3));
    assert_eq!(
        (message.session_id, message.thread_id, message.turn_id),
        (at.session, Some(turn.thread_id), Some(turn.id))
    );
    assert_eq!((message.number, message.role, message.kind), (1, Role::User, MessageType::Message));
    assert_eq!((message.text().as_str(), message.created_at), ("hello", stamp.at));
    assert_eq!((turn.session_id, turn.message_id, turn.number), (at.session, message.id, 1));
    assert_eq!((turn.state, turn.messages, turn.created_at), (TurnState::Running, 0, stamp.at));
    assert_eq!((claim.turn, claim.owner), (turn.id, scene.runner.owner));
    assert_eq!(first.interrupted, None);
    assert_eq!((session.status, session.running_turn), (SessionStatus::Running, Some(turn.id)));
    assert_eq!((session.last_message, session.last_change), (1, 3));
    let expected =
        [ChangeKind::Created, ChangeKind::Message(message.id), ChangeKind::Turn(turn.id, TurnState::Running)];
    assert_eq!(scene.changes(at, 0), expected);
    assert_eq!(scene.record(at), session);
    assert_eq!(scene.messages(at).iter().collect::<Vec<_>>(), [message]);
    assert_eq!(&ok(scene.store.turn(at, turn.id)), turn);
    let thread = ok(scene.store.thread(at, turn.thread_id));
    assert_eq!((thread.session_id, thread.number, thread.created_at), (at.session, 1, stamp.at));
}

fn a_first_turn_keeps_every_input(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let new = full_turn(full_message().id(scene.uuid()));
    let first = Some((new.clone(), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(full_session(&scene)) }));
    let first = first_of(created);
    assert_says(&first.message, &new.message);
    assert_eq!(Some(first.message.id), new.message.id);
    assert_eq!((first.message.role, first.message.kind), (Role::System, MessageType::ToolCall));
    assert_eq!((first.turn.user_params, first.turn.profile), (new.user_params, new.profile));
}

fn a_first_turn_runs_with_the_sessions_profile(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let new = full_session(&scene);
    let first = Some((NewTurn::from("hello"), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(new.clone()) }));
    let first = first_of(created);
    assert_eq!((first.turn.user_params, first.turn.profile), (None, new.profile));
}

fn a_key_in_use_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    scene.create(NewSession::default().key("k"));
    scene.refused(Conflict, "the same key", |store| {
        store.create_session(scene.creation(NewSession::default().key("k")))
    });
    let first = Some((NewTurn::from("never written"), scene.runner));
    let creation = CreateSession { first, ..scene.creation(NewSession::default().key("k")) };
    scene.refused(Conflict, "the same key, with a first turn", |store| store.create_session(creation));
}

fn a_default_key_is_the_text_of_the_id(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let plain = scene.create(NewSession::default());
    scene.refused(Conflict, "another session's id as key", |store| {
        store.create_session(scene.creation(NewSession::default().key(plain.id.to_string())))
    });
    let taken = scene.uuid();
    scene.create(NewSession::default().key(taken.to_string()));
    scene.refused(Conflict, "an id whose text is another session's key", |store| {
        store.create_session(scene.creation(NewSession::default().id(taken)))
    });
}

fn keys_are_the_agents_own(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let agents = [
        (scene.workspace, scene.agent),
        (scene.workspace, scene.agent_named(scene.workspace, "booker")),
        (beta, scene.agent_named(beta, "greeter")),
    ];
    let made = agents.map(|(workspace, agent)| {
        let creation = CreateSession { workspace, agent, ..scene.creation(NewSession::default().key("k")) };
        ok(scene.store.create_session(creation)).session
    });
    for ((workspace, agent), record) in agents.into_iter().zip(made) {
        assert_eq!((record.workspace_id, record.agent_id), (workspace, agent));
        assert_eq!(ok(scene.store.session_by_key(workspace, agent, "k")), record);
    }
}

fn keys_are_compared_exactly(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (longest, shorter) = ("é".repeat(255), "é".repeat(254));
    let keys = ["k", "K", "k ", " k", "k\0", "kk", "\0", "é", "e\u{301}", longest.as_str(), shorter.as_str()];
    let made = keys.map(|key| scene.create(NewSession::default().key(key)).id);
    for (key, id) in keys.into_iter().zip(made) {
        let found = ok(scene.store.session_by_key(scene.workspace, scene.agent, key));
        assert_eq!((found.id, found.key.as_str()), (id, key));
    }
}

fn a_refused_creation_leaves_its_id_and_key_free(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    scene.create(NewSession::default().key("taken"));
    let (session, message) = (scene.uuid(), scene.uuid());
    let first = Some((NewTurn::from(NewMessage::text("hello").id(message)), scene.runner));
    let new = NewSession::default().id(session).key("taken");
    let refused = CreateSession { first: first.clone(), ..scene.creation(new) };
    scene.refused(Conflict, "a key in use", |store| store.create_session(refused));
    let new = NewSession::default().id(session).key("free");
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(new) }));
    assert!(!created.replayed, "the refusal recorded nothing");
    assert_eq!(*first_of(created).message.id.as_uuid(), message);
}
