//! The store as a whole: the same rows everywhere, nothing broken, closed for good.

use super::inputs::{full_message, full_session, full_turn};
use super::scene::{Factory, Scene, claim_of, first_of, ok};
use crate::error::ErrorKind::Closed;
use crate::page::PageAt;
use crate::record::{NewMessage, NewSession, Reason, SessionUpdate, ToolCall};
use crate::store::{
    Cancel, CreateSession, DeleteMessage, EndOrphans, EnsureAgent, EnsureWorkspace, Interrupt, Outcome, Promote,
    Recovery, SessionRef, SessionsQuery, SetContextMark, Stop, Submit, UpdateSession,
};
use crate::testkit::snapshot::{EVERY, Snapshot, difference};

super::subject! {
    the_same_operations_give_the_same_rows,
    an_empty_store_verifies,
    a_worked_store_verifies,
    a_closed_store_refuses_everything,
}

/// A little of everything; the same in every store.
fn work(scene: &Scene) -> SessionRef {
    let first = Some((full_turn(full_message()), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(full_session(scene)) }));
    let at = SessionRef { workspace: scene.workspace, session: created.session.id };
    let first = first_of(created);
    let call = NewMessage::calls([ToolCall::new("c", "look", "{}")]);
    scene.emit(at, claim_of(&first), [call.clone(), "a".into()]);
    let second = scene.follow_up(at, full_turn("no".into()));
    scene.tick();
    scene.emit(at, claim_of(&second), [call.clone()]);
    scene.finish(at, claim_of(&second), Outcome::Completed(Some(Box::new("done".into()))));
    let written = scene.append(at, ["b".into(), full_message()]);
    scene.delete(at, &written[0]);
    let third = scene.send(at, full_turn("c".into()));
    scene.emit(at, claim_of(&third), [call.clone()]);
    scene.finish(at, claim_of(&third), Outcome::Failed(Reason::Error, Some("why".into())));
    let fourth = scene.send(at, full_turn("d".into()));
    scene.emit(at, claim_of(&fourth), [call]);
    scene.end_orphans(99, 10);
    let gone = scene.session();
    let update = SessionUpdate::default().label("later").clear_metadata();
    ok(scene.store.update_session(UpdateSession { stamp: scene.stamp(), at, update }));
    scene.append(gone, ["e".into()]);
    scene.delete_session(gone);
    scene.session();
    scene.busy_session();
    at
}

fn the_same_operations_give_the_same_rows(factory: Factory<'_>) {
    let (one, other) = (Scene::new(factory), Scene::new(factory));
    work(&one);
    work(&other);
    let of = |scene: &Scene| ok(Snapshot::of(&*scene.store, &[scene.workspace]));
    if let Some(difference) = difference(&of(&one), &of(&other)) {
        panic!("a store needs neither clock nor randomness: {difference}");
    }
}

fn an_empty_store_verifies(factory: Factory<'_>) {
    let store = factory();
    assert_eq!(ok(store.verify()), Vec::<String>::new());
    assert_eq!(ok(store.outbox(10)), []);
}

fn a_worked_store_verifies(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    work(&scene);
    assert_eq!(scene.unchanged("verify", |store| ok(store.verify())), Vec::<String>::new());
}

fn a_closed_store_refuses_everything(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = work(&scene);
    let (workspace, agent, stamp, page) = (scene.workspace, scene.agent, scene.stamp(), PageAt::default());
    let turn = ok(scene.store.turns(at, page)).items.remove(0);
    let message = scene.messages(at).remove(0).id;
    let (busy, sent) = scene.busy_session();
    ok(scene.store.close());
    let store = &*scene.store;
    let name = || "acme".to_owned();
    let ending = scene.ending(busy, claim_of(&sent), Outcome::Completed(None));
    let submit = || scene.submission(busy, "late");
    let follow = Submit { policy: crate::store::Policy::FollowUp, ..submit() };
    let owner = scene.runner.owner;
    let orphans = EndOrphans { stamp, owner, limit: 10, recovery: Recovery::End };
    let runners = scene.runners(["greeter"]);
    let interrupt = Interrupt { stamp, at: busy, turn: None, reason: Reason::Request, next: None };
    let answers = [
        ("ensure_workspace", store.ensure_workspace(EnsureWorkspace { stamp, name: name() }).err()),
        ("find_workspace", store.find_workspace("acme").err()),
        ("ensure_agent", store.ensure_agent(EnsureAgent { stamp, workspace, name: name() }).err()),
        ("find_agent", store.find_agent(workspace, "greeter").err()),
        ("create_session", store.create_session(scene.creation(NewSession::default())).err()),
        ("session", store.session(at).err()),
        ("session_by_key", store.session_by_key(workspace, agent, "k").err()),
        ("sessions", store.sessions(SessionsQuery { workspace, agent: None, page, after: None }).err()),
        ("update_session", store.update_session(UpdateSession { stamp, at, update: SessionUpdate::default() }).err()),
        ("delete_session", store.delete_session(scene.deletion(at)).err()),
        ("thread", store.thread(at, turn.thread_id).err()),
        ("append", store.append(scene.appending(at, ["late".into()])).err()),
        ("submit", store.submit(submit()).err()),
        ("follow-up", store.submit(follow).err()),
        ("emit", store.emit(scene.emission(busy, claim_of(&sent), ["late".into()])).err()),
        ("finish", store.finish(ending).err()),
        ("delete_message", store.delete_message(DeleteMessage { stamp, at, message }).err()),
        ("message", store.message(at, message).err()),
        ("messages", store.messages(at, EVERY).err()),
        ("turn", store.turn(at, turn.id).err()),
        ("turns", store.turns(at, page).err()),
        ("changes", store.changes(at, 0, 10).err()),
        ("end_orphans", store.end_orphans(orphans).err()),
        ("interrupt", store.interrupt(interrupt).err()),
        ("stop", store.stop(Stop { stamp, at: busy, reason: Reason::Request }).err()),
        ("cancel", store.cancel(Cancel { stamp, at, turn: turn.id }).err()),
        ("waiting", store.waiting().err()),
        ("promote", store.promote(Promote { stamp, runners, limit: 10 }).err()),
        ("set_context_mark", store.set_context_mark(SetContextMark { stamp, at, claim: None, mark: None }).err()),
        ("context_mark", store.context_mark(at).err()),
        ("outbox", store.outbox(10).err()),
        ("verify", store.verify().err()),
    ];
    for (what, error) in answers {
        assert_eq!(error.map(|error| error.kind()), Some(Closed), "{what} after close");
    }
}
