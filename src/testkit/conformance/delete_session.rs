//! Deleted sessions: all of each is gone at once, and only of that one.

use super::inputs::{full_message, full_turn};
use super::scene::{Factory, Scene, claim_of, first_of, ok};
use super::walls::nothing_at;
use crate::error::ErrorKind::{Conflict, Fenced, NotFound};
use crate::id::AgentId;
use crate::page::PageAt;
use crate::record::{ChangeKind, NewMessage, NewSession, Reason, SessionRecord, SessionStatus, Ts};
use crate::store::{ArchiveSession, CreateSession, DeleteSession, Outcome, SessionRef, SessionsQuery, Submitted};
use crate::testkit::snapshot::SessionSnapshot;

super::subject! {
    a_deleted_session_is_not_found_anywhere,
    a_busy_session_cannot_be_deleted,
    a_session_in_any_idle_state_can_be_deleted,
    a_deleted_session_leaves_listings_and_totals,
    the_key_and_the_id_of_a_deleted_session_are_free,
    the_same_creation_makes_another_session,
    a_session_made_again_begins_anew,
    of_two_sessions_with_one_id_only_one_is_deleted,
    what_changed_since_it_was_seen_stays,
    a_deletion_drops_the_announcements_of_its_session,
    a_deletion_leaves_orphans_as_they_are,
    a_long_session_is_gone_at_once,
    deletions_and_creations_in_turn_leave_nothing_behind,
}

/// A session with a little of everything, idle, and its first turn.
pub(super) fn worked_session(scene: &Scene, new: NewSession) -> (SessionRef, Submitted) {
    let first = Some((full_turn(full_message()), scene.runner));
    let created = ok(scene.store.create_session(CreateSession { first, ..scene.creation(new) }));
    let at = SessionRef { workspace: scene.workspace, session: created.session.id };
    let first = first_of(created);
    scene.emit(at, claim_of(&first), ["a".into(), "b".into()]);
    scene.complete(at, claim_of(&first));
    let written = scene.append(at, ["c".into(), "d".into()]);
    scene.delete(at, &written[0]);
    let second = scene.send(at, full_turn("e".into()));
    scene.finish(at, claim_of(&second), Outcome::Completed(Some(Box::new("done".into()))));
    (at, first)
}

pub(super) fn listed(scene: &Scene, agent: Option<AgentId>) -> (Vec<SessionRecord>, u64) {
    let query = SessionsQuery { workspace: scene.workspace, agent, page: PageAt::default(), after: None };
    let listed = ok(scene.store.sessions(query));
    (listed.items, listed.total)
}

fn what_changed_since_it_was_seen_stays(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let mut go_on = |_| std::ops::ControlFlow::Continue(());
    for archives in [false, true] {
        let at = scene.session();
        let seen = scene.record(at).last_change;
        scene.append(at, ["news".into()]);
        let mut take = |only_at| match archives {
            false => scene.store.delete_session(DeleteSession { only_at, ..scene.deletion(at) }),
            true => {
                let op = ArchiveSession { stamp: scene.stamp(), at, only_at };
                scene.store.archive_session(op, &mut go_on).map(drop)
            }
        };
        let before = ok(SessionSnapshot::of(&*scene.store, at));
        for wrong in [0, seen, seen + 2, u64::MAX] {
            assert_eq!(take(Some(wrong)).map_err(|error| error.kind()), Err(Conflict), "{wrong} for {}", seen + 1);
        }
        assert_eq!(ok(SessionSnapshot::of(&*scene.store, at)), before);
        ok(take(Some(seen + 1)));
        scene.refused(NotFound, "it is gone", |store| store.session(at));
    }
}

fn a_deleted_session_is_not_found_anywhere(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = worked_session(&scene, NewSession::default().key("k"));
    // Read before, so that a store that remembers what it read has to forget it.
    ok(SessionSnapshot::of(&*scene.store, at));
    scene.delete_session(at);
    nothing_at(&scene, at, &first);
    scene.refused(NotFound, "by its key", |store| store.session_by_key(scene.workspace, scene.agent, "k"));
}

fn a_busy_session_cannot_be_deleted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.refused(Conflict, "a deletion while busy", |store| store.delete_session(scene.deletion(at)));
    let next = scene.follow_up(at, "no");
    scene.refused(Conflict, "a deletion while busy", |store| store.delete_session(scene.deletion(at)));
    scene.complete(at, claim_of(&next));
    scene.delete_session(at);
    nothing_at(&scene, at, &sent);
}

fn a_session_in_any_idle_state_can_be_deleted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let before = scene.snapshot();
    scene.delete_session(scene.session());
    for outcome in [Outcome::Interrupted(Reason::Closed), Outcome::Failed(Reason::Error, Some("why".into()))] {
        let (at, sent) = scene.busy_session();
        scene.finish(at, claim_of(&sent), outcome);
        assert_ne!(scene.record(at).status, SessionStatus::Running);
        scene.delete_session(at);
    }
    assert!(scene.snapshot() == before, "nothing is left of any");
}

fn a_deleted_session_leaves_listings_and_totals(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let booker = scene.agent_named(scene.workspace, "booker");
    let mut left: Vec<_> = (0..5).map(|_| scene.session()).collect();
    let creation = CreateSession { agent: booker, ..scene.creation(NewSession::default()) };
    let theirs = ok(scene.store.create_session(creation)).session;
    for index in [2, 0, 2, 0] {
        scene.tick();
        let gone = left.remove(index);
        scene.append(gone, ["now it is the newest".into()]);
        scene.delete_session(gone);
        let mine = listed(&scene, Some(scene.agent));
        assert_eq!((mine.0.len(), mine.1), (left.len(), left.len() as u64));
        assert!(mine.0.iter().all(|record| left.iter().any(|at| at.session == record.id)), "{mine:?}");
        let (all, total) = listed(&scene, None);
        assert_eq!((all.len(), total), (left.len() + 1, left.len() as u64 + 1));
    }
    assert_eq!(listed(&scene, Some(booker)), (vec![theirs], 1));
    scene.delete_session(left[0]);
    assert_eq!(listed(&scene, Some(scene.agent)), (vec![], 0));
}

fn the_key_and_the_id_of_a_deleted_session_are_free(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let new = || NewSession::default().key("k").id(id);
    let (at, _) = worked_session(&scene, new());
    scene.delete_session(at);
    // The key for another session, the id with another key.
    let other = scene.create(NewSession::default().key("k").label("other"));
    let made = ok(scene.store.create_session(scene.creation(new().key("l").label("anew"))));
    assert!(!made.replayed && made.session.id == at.session, "{made:?}");
    let keyed = |key| ok(scene.store.session_by_key(scene.workspace, scene.agent, key)).id;
    assert_eq!((keyed("k"), keyed("l")), (other.id, at.session));
    assert_eq!(listed(&scene, None).1, 2);
}

fn the_same_creation_makes_another_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let create = || {
        let hello = NewMessage::text("hello").id(id);
        let first = Some((hello.into(), scene.runner));
        ok(scene.store.create_session(CreateSession { first, ..scene.creation(NewSession::default().id(id)) }))
    };
    let original = create();
    let at = SessionRef { workspace: scene.workspace, session: original.session.id };
    assert!(create().replayed);
    let first = first_of(original);
    scene.complete(at, claim_of(&first));
    scene.delete_session(at);
    let made = create();
    assert!(!made.replayed, "what was used in it is used no more");
    let second = first_of(made);
    assert!(second.claim.is_some() && second.turn.id != first.turn.id);
    assert_eq!(scene.messages(at), [second.message]);
}

fn a_session_made_again_begins_anew(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (id, message) = (scene.uuid(), scene.uuid());
    let new = || NewSession::default().id(id);
    let (at, first) = worked_session(&scene, new());
    let late = Ts::from_micros(crate::limit::CALLER_TS_MICROS - 1).unwrap_or_default();
    scene.append(at, [NewMessage::text("old").id(message).ts(late)]);
    let (epoch, before) = (claim_of(&first).epoch, scene.record(at));
    scene.delete_session(at);
    scene.clock.step_back(crate::time::Duration::from_secs(60));
    let made = scene.create(new());
    assert!(made.updated_at < before.updated_at, "its time is its own");
    assert_eq!((made.last_message, made.last_change, made.status), (0, 1, SessionStatus::Idle));
    let written = scene.append(at, [NewMessage::text("new").id(message)]).remove(0);
    assert_eq!((written.number, written.text().as_str()), (1, "new"), "the id was not used in this one");
    assert!(written.ts < late);
    assert_eq!(scene.changes(at, 0), [ChangeKind::Created, ChangeKind::Message(written.id)]);
    let sent = scene.send(at, "hello");
    assert_eq!((sent.turn.number, claim_of(&sent).epoch), (1, epoch));
    scene.refused(Fenced, "a claim of the old one", |store| {
        store.emit(scene.emission(at, claim_of(&first), ["late".into()]))
    });
    scene.refused(NotFound, "a turn of the old one", |store| store.turn(at, first.turn.id));
    scene.refused(NotFound, "a thread of the old one", |store| store.thread(at, first.turn.thread_id));
}

fn of_two_sessions_with_one_id_only_one_is_deleted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let beta = scene.workspace_named("beta");
    let theirs = scene.agent_named(beta, "greeter");
    let new = NewSession::default().id(scene.uuid()).key("k");
    let creation = CreateSession { workspace: beta, agent: theirs, ..scene.creation(new.clone()) };
    let other = ok(scene.store.create_session(creation)).session;
    let there = SessionRef { workspace: beta, session: other.id };
    scene.append(there, ["theirs".into()]);
    let (neighbour, _) = worked_session(&scene, NewSession::default());
    let before = [there, neighbour].map(|at| ok(SessionSnapshot::of(&*scene.store, at)));
    let (at, first) = worked_session(&scene, new);
    assert_eq!(at.session, there.session);
    scene.delete_session(at);
    nothing_at(&scene, at, &first);
    assert!([there, neighbour].map(|at| ok(SessionSnapshot::of(&*scene.store, at))) == before);
    assert_eq!(scene.append(there, ["still theirs".into()])[0].number, 2);
}

fn a_deletion_drops_the_announcements_of_its_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let sessions = [(); 3].map(|()| worked_session(&scene, NewSession::default()).0);
    let mut waiting = ok(scene.store.outbox(100));
    assert_eq!(waiting.len(), 6, "two ends of each session are to be announced");
    for gone in [1, 0, 2] {
        scene.delete_session(sessions[gone]);
        waiting.retain(|row| row.session_id != sessions[gone].session);
        assert_eq!(ok(scene.store.outbox(100)), waiting);
        assert_eq!(ok(scene.store.outbox(1)), waiting.get(..1).unwrap_or_default());
    }
    let (at, _) = worked_session(&scene, NewSession::default());
    assert!(ok(scene.store.outbox(100)).iter().all(|row| row.session_id == at.session));
}

fn a_deletion_leaves_orphans_as_they_are(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let ((gone, ended), (left, orphan)) = (scene.busy_session(), scene.busy_session());
    scene.complete(gone, claim_of(&ended));
    scene.delete_session(gone);
    let ended = scene.end_orphans(99, 10);
    assert_eq!(
        ended.iter().map(|turn| (turn.session_id, turn.id)).collect::<Vec<_>>(),
        [(left.session, orphan.turn.id)]
    );
}

fn a_long_session_is_gone_at_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let at = SessionRef { workspace: scene.workspace, session: id.into() };
    for text in ["old", "new"] {
        scene.create(NewSession::default().id(id));
        assert_eq!(scene.messages(at), []);
        for _ in 0..3 {
            scene.append(at, vec![NewMessage::text(text); 500]);
        }
        assert!(scene.messages(at).iter().all(|message| message.text() == text));
        scene.delete_session(at);
        assert_eq!(ok(scene.store.verify()), Vec::<String>::new(), "at once");
        scene.refused(NotFound, "a deleted session", |store| store.changes(at, 0, 10));
    }
}

fn deletions_and_creations_in_turn_leave_nothing_behind(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let before = scene.snapshot();
    let id = scene.uuid();
    for _ in 0..20 {
        let (at, first) = worked_session(&scene, NewSession::default().key("k").id(id));
        assert_eq!(scene.messages(at)[0], first.message);
        scene.delete_session(at);
        nothing_at(&scene, at, &first);
    }
    assert!(scene.snapshot() == before);
}
