//! Soft-deleted messages: hidden everywhere, their numbers kept.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::NotFound;
use crate::page::{Matching, Types};
use crate::record::{ChangeKind, Message, MessageType, SessionStatus};
use crate::store::{DeleteMessage, Outcome, SessionRef};
use crate::testkit::snapshot::EVERY;

super::subject! {
    a_deleted_message_is_hidden_everywhere,
    a_deleted_message_cannot_be_deleted_again,
    a_deletion_keeps_the_numbers,
    the_newest_ts_is_that_of_what_is_left,
    a_message_of_a_running_turn_can_be_deleted,
    a_final_message_can_be_deleted,
}

fn deletion(scene: &Scene, at: SessionRef, message: &Message) -> DeleteMessage {
    DeleteMessage { stamp: scene.stamp(), at, message: message.id }
}

fn a_deleted_message_is_hidden_everywhere(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut left = scene.append(at, ["a".into(), "b".into(), "c".into(), "d".into()]);
    for index in [1, 2, 0, 0] {
        let gone = left.remove(index);
        scene.delete(at, &gone);
        scene.refused(NotFound, "a deleted message by its id", |store| store.message(at, gone.id));
        let listed = ok(scene.store.messages(at, EVERY));
        assert_eq!((listed.total, listed.newest), (left.len() as u64, left.last().map(|message| message.ts)));
        assert_eq!(listed.items, left);
        for message in &left {
            assert_eq!(&ok(scene.store.message(at, message.id)), message, "the others stay as they are");
        }
    }
}

fn a_deleted_message_cannot_be_deleted_again(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let message = scene.append(at, ["a".into()]).remove(0);
    scene.delete(at, &message);
    scene.tick();
    let again = deletion(&scene, at, &message);
    scene.refused(NotFound, "a second deletion", |store| store.delete_message(again));
}

fn a_deletion_keeps_the_numbers(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), "b".into()]);
    scene.tick();
    let before = scene.record(at);
    scene.delete(at, &written[1]);
    let record = scene.record(at);
    assert_eq!(record.last_message, 2, "the session ever had two");
    assert_eq!(record.last_change, before.last_change + 1);
    assert!(record.updated_at > before.updated_at, "a deletion changes the session");
    assert_eq!(scene.changes(at, before.last_change), [ChangeKind::Deleted(written[1].id)]);
    let next = scene.append(at, ["c".into()]).remove(0);
    assert_eq!(next.number, 3, "its number is not given again");
    assert!(next.ts > written[1].ts, "nor is its ts");
}

fn the_newest_ts_is_that_of_what_is_left(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.emit(at, claim_of(&sent), ["a".into(), "b".into()]);
    scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new("c".into()))));
    let all = scene.messages(at);
    let newest = |types| ok(scene.store.messages(at, Matching { types, limit: 1, ..EVERY })).newest;
    let plain = Types::only(MessageType::Message);
    assert_eq!((newest(plain), newest(Types::ALL)), (Some(all[2].ts), Some(all[3].ts)));
    scene.delete(at, &all[2]);
    assert_eq!((newest(plain), newest(Types::ALL)), (Some(all[1].ts), Some(all[3].ts)));
    scene.delete(at, &all[3]);
    assert_eq!((newest(Types::only(MessageType::FinalMessage)), newest(Types::ALL)), (None, Some(all[1].ts)));
}

fn a_message_of_a_running_turn_can_be_deleted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let written = scene.emit(at, claim_of(&sent), ["a".into(), "b".into()]);
    scene.delete(at, &sent.message);
    scene.delete(at, &written[0]);
    assert_eq!(scene.messages(at), [written[1].clone()]);
    assert_eq!(scene.record(at).status, SessionStatus::Running, "the turn runs on");
    let turn = scene.complete(at, claim_of(&sent));
    assert_eq!((turn.message_id, turn.messages), (sent.message.id, 2), "the turn has written two all the same");
}

fn a_final_message_can_be_deleted(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let ended = scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new("done".into()))));
    let all = scene.messages(at);
    scene.delete(at, &all[1]);
    assert_eq!(ok(scene.store.turn(at, ended.id)), ended, "a terminal turn never changes");
}
