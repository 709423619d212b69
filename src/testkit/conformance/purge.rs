//! Soft-deleted messages whose bodies are erased: their numbers, ids and what repeats are told by stay.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::inputs::full_message;
use super::scene::{Factory, Scene, ok};
use crate::error::ErrorKind::{Conflict, NotFound};
use crate::id::MessageId;
use crate::record::{ChangeKind, Message, NewMessage};
use crate::store::{Purge, SessionRef};
use crate::testkit::snapshot::EVERY;

super::subject! {
    a_purged_message_says_nothing_and_keeps_its_place,
    only_what_was_deleted_is_purged,
    all_that_was_deleted_is_purged_once,
    a_repeat_of_what_was_purged_is_known,
    what_was_purged_stays_so_through_archiving,
}

fn purging(scene: &Scene, at: SessionRef, message: Option<MessageId>) -> Purge {
    Purge { stamp: scene.stamp(), at, message }
}

/// Without what it says and carries.
fn erased(message: &Message) -> Message {
    Message {
        content: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        name: None,
        images: Vec::new(),
        artifact_ids: Vec::new(),
        metadata: None,
        ..message.clone()
    }
}

fn a_purged_message_says_nothing_and_keeps_its_place(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), full_message(), "c".into()]);
    scene.delete(at, &written[1]);
    scene.tick();
    let before = scene.record(at);
    assert_eq!(ok(scene.store.purge(purging(&scene, at, Some(written[1].id)))), 1);
    let after = scene.record(at);
    assert_eq!((after.last_change, after.last_message), (before.last_change + 1, 3));
    assert!(after.updated_at > before.updated_at, "it changes the session");
    assert_eq!(scene.changes(at, before.last_change), [ChangeKind::Purged(written[1].id)]);
    scene.refused(NotFound, "what was purged", |store| store.message(at, written[1].id));
    assert_eq!(ok(scene.store.messages(at, EVERY)).items, [written[0].clone(), written[2].clone()]);
    assert_eq!(scene.append(at, ["d".into()])[0].number, 4);
}

fn only_what_was_deleted_is_purged(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, other) = (scene.session(), scene.session());
    let written = scene.append(at, ["a".into(), "b".into()]);
    scene.delete(at, &written[0]);
    let of = |at, id| purging(&scene, at, Some(id));
    let (there, absent) = (of(at, written[1].id), of(at, scene.uuid().into()));
    scene.refused(Conflict, "a message that is there", |store| store.purge(there));
    scene.refused(NotFound, "a message that never was", |store| store.purge(absent));
    let elsewhere = of(other, written[0].id);
    scene.refused(NotFound, "through another session", |store| store.purge(elsewhere));
    ok(scene.store.purge(of(at, written[0].id)));
    let again = of(at, written[0].id);
    assert_eq!(scene.unchanged("what was purged before", |store| ok(store.purge(again))), 0);
    let nothing = purging(&scene, other, None);
    assert_eq!(scene.unchanged("nothing was deleted", |store| ok(store.purge(nothing))), 0);
}

fn all_that_was_deleted_is_purged_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut written = Vec::new();
    for _ in 0..9 {
        written.extend(scene.append(at, (0..100).map(|n| NewMessage::text(format!("{n}")))));
    }
    // Nothing to erase.
    written.extend(scene.append(at, [NewMessage::default()]));
    let deleted: Vec<_> = written.iter().filter(|message| message.number % 3 != 1).cloned().collect();
    deleted.iter().for_each(|message| scene.delete(at, message));
    let before = scene.record(at).last_change;
    ok(scene.store.purge(purging(&scene, at, Some(deleted[7].id))));
    assert_eq!(ok(scene.store.purge(purging(&scene, at, None))), 599);
    assert_eq!(ok(scene.store.purge(purging(&scene, at, None))), 0);
    let mut told = scene.changes(at, before);
    assert_eq!(told.remove(0), ChangeKind::Purged(deleted[7].id));
    let due = deleted.iter().filter(|message| message.number != deleted[7].number && message.number <= 900);
    assert_eq!(told, due.map(|message| ChangeKind::Purged(message.id)).collect::<Vec<_>>());
    assert_eq!(scene.messages(at).len(), 301);
}

fn a_repeat_of_what_was_purged_is_known(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let new = |text: &str| NewMessage::text(text).id(Uuid::from_u128(0x7000 << 64 | 5 << 60));
    let original = scene.append(at, [new("a")]).remove(0);
    scene.delete(at, &original);
    ok(scene.store.purge(purging(&scene, at, None)));
    let again = scene.appending(at, [new("a")]);
    let again = scene.unchanged("the same append", |store| ok(store.append(again)));
    assert_eq!(again, [erased(&original)]);
    let other = scene.appending(at, [new("b")]);
    scene.refused(Conflict, "another append of its id", |store| store.append(other));
}

fn what_was_purged_stays_so_through_archiving(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let new = || full_message().id(Uuid::from_u128(0x7000 << 64 | 5 << 60));
    let original = scene.append(at, [new()]).remove(0);
    scene.delete(at, &original);
    let archiving = scene.archiving(at);
    // It is purged while it is being archived, and must not be in the archive.
    let mut purge = |_| {
        ok(scene.store.purge(purging(&scene, at, None)));
        ControlFlow::Continue(())
    };
    let answer = scene.store.archive_session(archiving, &mut purge);
    assert_eq!(answer.map_err(|error| error.kind()), Err(Conflict));
    let before = scene.changes(at, 0);
    scene.restore(&scene.archive(at));
    assert_eq!(scene.changes(at, 0)[..before.len()], before);
    let again = scene.appending(at, [new()]);
    assert_eq!(ok(scene.store.append(again)), [erased(&original)]);
    assert_eq!(ok(scene.store.purge(purging(&scene, at, None))), 0);
}
