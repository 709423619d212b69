//! What stands in another workspace, or in another session, is *not found*.

use super::scene::{Factory, Scene, claim_of, ok, thread_id, unknown_session};
use crate::error::ErrorKind::NotFound;
use crate::id::{AgentId, MessageId, TurnId, WorkspaceId};
use crate::page::{Matching, PageAt};
use crate::record::{NewMessage, NewSession, NewTurn};
use crate::store::{
    Append, CreateSession, DeleteMessage, Outcome, Policy, SessionRef, SessionsQuery, Submit, Submitted,
};
use crate::testkit::snapshot::EVERY;

super::subject! {
    what_a_workspace_holds_is_not_found_from_another,
    what_is_nowhere_is_not_found,
    agents_are_reached_through_their_workspace,
    what_a_session_holds_is_not_found_from_another,
    one_session_id_in_two_workspaces_is_two_sessions,
    one_message_id_in_two_sessions_is_two_messages,
}

/// Every operation on a session, at a place where there is none, with ids that are elsewhere.
pub(super) fn nothing_at(scene: &Scene, at: SessionRef, there: &Submitted) {
    let (thread, message, turn) = (there.turn.thread_id, there.message.id, there.turn.id);
    let (claim, page) = (claim_of(there), PageAt::default());
    scene.refused(NotFound, "session", |store| store.session(at));
    scene.refused(NotFound, "thread", |store| store.thread(at, thread));
    scene.refused(NotFound, "message", |store| store.message(at, message));
    scene.refused(NotFound, "messages", |store| store.messages(at, EVERY));
    scene.refused(NotFound, "messages of a thread", |store| {
        store.messages(at, Matching { thread: Some(thread), ..EVERY })
    });
    scene.refused(NotFound, "turn", |store| store.turn(at, turn));
    scene.refused(NotFound, "turns", |store| store.turns(at, page));
    scene.refused(NotFound, "changes", |store| store.changes(at, 0, 10));
    scene.refused(NotFound, "append", |store| store.append(scene.appending(at, ["a".into()])));
    scene.refused(NotFound, "submit", |store| store.submit(scene.submission(at, "a")));
    scene.refused(NotFound, "follow-up", |store| {
        store.submit(Submit { policy: Policy::FollowUp, ..scene.submission(at, "a") })
    });
    scene.refused(NotFound, "emit", |store| store.emit(scene.emission(at, claim, ["a".into()])));
    let ending = scene.ending(at, claim, Outcome::Completed(None));
    scene.refused(NotFound, "finish", |store| store.finish(ending));
    let deletion = DeleteMessage { stamp: scene.stamp(), at, message };
    scene.refused(NotFound, "delete_message", |store| store.delete_message(deletion));
    scene.refused(NotFound, "delete_session", |store| store.delete_session(scene.deletion(at)));
}

fn what_a_workspace_holds_is_not_found_from_another(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let (at, there) = scene.busy_session();
    nothing_at(&scene, SessionRef { workspace: beta, ..at }, &there);
    assert_eq!(scene.emit(at, claim_of(&there), ["still mine".into()]).len(), 1);
}

fn what_is_nowhere_is_not_found(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, there) = scene.busy_session();
    nothing_at(&scene, unknown_session(&scene), &there);
    nothing_at(&scene, SessionRef { workspace: WorkspaceId::from_uuid(scene.uuid()), ..at }, &there);
    let uuid = scene.uuid();
    scene.refused(NotFound, "thread", |store| store.thread(at, thread_id(uuid)));
    scene.refused(NotFound, "message", |store| store.message(at, MessageId::from_uuid(uuid)));
    scene.refused(NotFound, "turn", |store| store.turn(at, TurnId::from_uuid(uuid)));
    scene.refused(NotFound, "messages of a thread", |store| {
        store.messages(at, Matching { thread: Some(thread_id(uuid)), ..EVERY })
    });
    let deletion = DeleteMessage { stamp: scene.stamp(), at, message: MessageId::from_uuid(uuid) };
    scene.refused(NotFound, "delete_message", |store| store.delete_message(deletion));
}

fn agents_are_reached_through_their_workspace(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    scene.create(NewSession::default().key("k"));
    let query = |workspace, agent| SessionsQuery { workspace, agent, page: PageAt::default(), after: None };
    let nobody = AgentId::from_uuid(scene.uuid());
    let nowhere = WorkspaceId::from_uuid(scene.uuid());
    for (what, workspace, agent) in [
        ("an agent of another workspace", scene.workspace, theirs),
        ("my agent, from another workspace", beta, scene.agent),
        ("an unknown agent", scene.workspace, nobody),
        ("an unknown workspace", nowhere, scene.agent),
    ] {
        let creation = CreateSession { workspace, agent, ..scene.creation(NewSession::default()) };
        scene.refused(NotFound, &format!("create_session of {what}"), |store| store.create_session(creation));
        scene.refused(NotFound, &format!("session_by_key of {what}"), |store| {
            store.session_by_key(workspace, agent, "k")
        });
        scene.refused(NotFound, &format!("sessions of {what}"), |store| store.sessions(query(workspace, Some(agent))));
    }
    scene.refused(NotFound, "sessions of an unknown workspace", |store| store.sessions(query(nowhere, None)));
    scene.refused(NotFound, "session_by_key of an unknown key", |store| {
        store.session_by_key(scene.workspace, scene.agent, "K")
    });
    let other = scene.agent_named(scene.workspace, "booker");
    scene.refused(NotFound, "session_by_key of another agent", |store| {
        store.session_by_key(scene.workspace, other, "k")
    });
}

fn what_a_session_holds_is_not_found_from_another(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (_, there) = scene.busy_session();
    let at = scene.session();
    scene.append(at, ["one of mine".into()]);
    let (thread, message, turn) = (there.turn.thread_id, there.message.id, there.turn.id);
    scene.refused(NotFound, "thread", |store| store.thread(at, thread));
    scene.refused(NotFound, "message", |store| store.message(at, message));
    scene.refused(NotFound, "turn", |store| store.turn(at, turn));
    scene.refused(NotFound, "messages of a thread", |store| {
        store.messages(at, Matching { thread: Some(thread), ..EVERY })
    });
    let deletion = DeleteMessage { stamp: scene.stamp(), at, message };
    scene.refused(NotFound, "delete_message", |store| store.delete_message(deletion));
    let append = Append { thread: Some(thread), ..scene.appending(at, ["a".into()]) };
    scene.refused(NotFound, "append to a thread", |store| store.append(append));
    for policy in [Policy::Reject, Policy::FollowUp] {
        let submit = Submit { policy, ..scene.submission(at, NewTurn::from("a").thread(thread)) };
        scene.refused(NotFound, "submit to a thread", |store| store.submit(submit));
    }
}

fn one_session_id_in_two_workspaces_is_two_sessions(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    let id = scene.uuid();
    let mine = scene.create(NewSession::default().id(id).label("mine"));
    let new = NewSession::default().id(id).label("theirs");
    let creation = CreateSession { workspace: beta, agent: theirs, ..scene.creation(new) };
    let other = ok(scene.store.create_session(creation));
    assert!(!other.replayed, "the id is new in that workspace");
    let at = SessionRef { workspace: scene.workspace, session: mine.id };
    let there = SessionRef { workspace: beta, session: mine.id };
    scene.append(there, ["hidden".into()]);
    assert_eq!(scene.record(at), mine);
    assert_eq!(scene.record(there).label.as_deref(), Some("theirs"));
    assert_eq!(scene.messages(at), []);
    assert_eq!(scene.messages(there).len(), 1);
}

fn one_message_id_in_two_sessions_is_two_messages(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (one, other) = (scene.session(), scene.session());
    let id = scene.uuid();
    scene.append(one, [NewMessage::text("one").id(id)]);
    let sent = scene.send(other, NewMessage::text("other").id(id));
    assert!(sent.claim.is_some(), "the id is new in that session");
    assert_eq!(ok(scene.store.message(one, MessageId::from_uuid(id))).text(), "one");
    assert_eq!(ok(scene.store.message(other, MessageId::from_uuid(id))).text(), "other");
    let deletion = DeleteMessage { stamp: scene.stamp(), at: one, message: MessageId::from_uuid(id) };
    ok(scene.store.delete_message(deletion));
    assert_eq!(scene.messages(other).len(), 1, "a deletion stays in its session");
}
