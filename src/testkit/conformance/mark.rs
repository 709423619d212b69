//! The context mark: where a session's transcript begins.

use super::scene::{Factory, Scene, claim_of, ok, unknown_session};
use crate::error::ErrorKind::{Conflict, Fenced, InvalidArgument, NotFound};
use crate::record::{ChangeKind, ContextMark};
use crate::store::{Claim, Finish, Outcome, SessionRef, SetContextMark};

super::subject! {
    a_mark_is_set_and_told,
    a_mark_is_set_again_and_taken_away,
    a_mark_lies_within_the_session,
    a_busy_session_is_marked_under_its_claim_alone,
    a_mark_goes_with_its_session,
}

fn setting(scene: &Scene, at: SessionRef, claim: Option<Claim>, mark: Option<ContextMark>) -> SetContextMark {
    SetContextMark { stamp: scene.stamp(), at, claim, mark }
}

fn marked(scene: &Scene, at: SessionRef) -> Option<ContextMark> {
    let mark = ok(scene.store.context_mark(at));
    assert_eq!(scene.record(at).context_mark, mark.as_ref().map(|mark| mark.message), "the session names it");
    mark
}

fn a_mark_is_set_and_told(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    scene.append(at, ["a".into(), "b".into(), "c".into()]);
    assert_eq!(marked(&scene, at), None);
    scene.tick();
    let before = scene.record(at).last_change;
    let mark = ContextMark::new(3, "what was said: ä");
    let op = setting(&scene, at, None, Some(mark.clone()));
    let stamp = op.stamp;
    ok(scene.store.set_context_mark(op));
    assert_eq!(marked(&scene, at), Some(mark));
    assert_eq!(scene.changes(at, before), [ChangeKind::ContextMark(Some(3))]);
    assert_eq!(scene.record(at).updated_at, stamp.at);
    assert_eq!(scene.messages(at).len(), 3, "nothing is taken away");
}

fn a_mark_is_set_again_and_taken_away(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    scene.append(at, ["a".into(), "b".into()]);
    for mark in [ContextMark::new(2, "a"), ContextMark::new(2, "other"), ContextMark::new(1, "")] {
        ok(scene.store.set_context_mark(setting(&scene, at, None, Some(mark.clone()))));
        assert_eq!(marked(&scene, at), Some(mark));
    }
    let before = scene.record(at).last_change;
    for _ in 0..2 {
        ok(scene.store.set_context_mark(setting(&scene, at, None, None)));
        assert_eq!(marked(&scene, at), None);
    }
    assert_eq!(scene.changes(at, before), [ChangeKind::ContextMark(None); 2]);
}

fn a_mark_lies_within_the_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let set = |message: u32| setting(&scene, at, None, Some(ContextMark::new(message, "")));
    ok(scene.store.set_context_mark(set(1)));
    let op = set(2);
    scene.refused(InvalidArgument, "in an empty session", |store| store.set_context_mark(op));
    let written = scene.append(at, ["a".into(), "b".into()]);
    scene.delete(at, &written[1]);
    ok(scene.store.set_context_mark(set(3)));
    for message in [0, 4, u32::MAX] {
        let op = set(message);
        scene.refused(InvalidArgument, "past the end", |store| store.set_context_mark(op));
    }
    let nowhere = SetContextMark { at: unknown_session(&scene), ..set(1) };
    scene.refused(NotFound, "nowhere", |store| store.set_context_mark(nowhere));
    let nowhere = unknown_session(&scene);
    scene.refused(NotFound, "nowhere", |store| store.context_mark(nowhere));
}

fn a_busy_session_is_marked_under_its_claim_alone(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let mark = || Some(ContextMark::new(1, "so far"));
    let op = setting(&scene, at, None, mark());
    scene.refused(Conflict, "while a turn is running", |store| store.set_context_mark(op));
    ok(scene.store.set_context_mark(setting(&scene, at, Some(claim_of(&first)), mark())));
    let next = scene.follow_up(at, "no");
    let op = setting(&scene, at, Some(claim_of(&first)), Some(ContextMark::new(u32::MAX, "")));
    scene.refused(Fenced, "under an old claim", |store| store.set_context_mark(op));
    scene.enqueue(at, "waits");
    ok(scene.store.finish(Finish { next: None, ..scene.ending(at, claim_of(&next), Outcome::Completed(None)) }));
    let op = setting(&scene, at, None, None);
    scene.refused(Conflict, "while a turn waits", |store| store.set_context_mark(op));
    assert_eq!(marked(&scene, at), mark());
}

fn a_mark_goes_with_its_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let new = || crate::NewSession::default().id(id);
    let at = SessionRef { workspace: scene.workspace, session: scene.create(new()).id };
    ok(scene.store.set_context_mark(setting(&scene, at, None, Some(ContextMark::new(1, "so far")))));
    scene.delete_session(at);
    scene.refused(NotFound, "its mark", |store| store.context_mark(at));
    scene.create(new());
    assert_eq!(marked(&scene, at), None, "one made in its place has none");
}
