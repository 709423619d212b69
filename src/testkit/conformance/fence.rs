//! Only the claim that stands may write; a late write leaves no trace.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::Fenced;
use crate::id::{OwnerId, TurnId};
use crate::record::{NewMessage, Reason, ToolCall};
use crate::store::{Claim, Outcome, SessionRef};

super::subject! {
    a_claim_holds_only_as_it_was_given,
    an_interrupted_turns_writes_are_refused,
    an_ended_turns_writes_are_refused,
    a_turn_ends_exactly_once,
    an_orphans_writes_are_refused,
    a_claim_of_another_session_does_not_hold,
}

fn outcomes() -> [Outcome; 4] {
    [
        Outcome::Completed(None),
        Outcome::Completed(Some(Box::new("late".into()))),
        Outcome::Interrupted(Reason::Closed),
        Outcome::Failed(Reason::Error, Some("late".into())),
    ]
}

/// That nothing can be written with this claim, and that trying leaves no trace.
#[track_caller]
fn assert_fenced(scene: &Scene, at: SessionRef, claim: Claim, what: &str) {
    let call = ToolCall::new("c", "look", "{}");
    for messages in [vec!["late".into()], vec![NewMessage::calls([call]), NewMessage::text("b").id(scene.uuid())]] {
        scene.refused(Fenced, &format!("{what}: emit"), |store| store.emit(scene.emission(at, claim, messages)));
    }
    for outcome in outcomes() {
        let ending = scene.ending(at, claim, outcome);
        scene.refused(Fenced, &format!("{what}: finish {:?}", ending.outcome), |store| store.finish(ending.clone()));
    }
}

fn a_claim_holds_only_as_it_was_given(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let claim = claim_of(&sent);
    for (what, wrong) in [
        ("another owner", Claim { owner: OwnerId::from_uuid(scene.uuid()), ..claim }),
        ("a later epoch", Claim { epoch: claim.epoch + 1, ..claim }),
        ("an earlier epoch", Claim { epoch: claim.epoch.wrapping_sub(1), ..claim }),
        ("the greatest epoch", Claim { epoch: u64::MAX, ..claim }),
        ("another turn", Claim { turn: TurnId::from_uuid(scene.uuid()), ..claim }),
    ] {
        assert_fenced(&scene, at, wrong, what);
    }
    scene.emit(at, claim, ["mine".into()]);
    scene.complete(at, claim);
}

fn an_interrupted_turns_writes_are_refused(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, old) = scene.busy_session();
    scene.emit(at, claim_of(&old), ["in time".into()]);
    let new = scene.follow_up(at, "no");
    assert_fenced(&scene, at, claim_of(&old), "after a follow-up");
    let mixed = Claim { turn: new.turn.id, ..claim_of(&old) };
    assert_fenced(&scene, at, mixed, "the old claim with the new turn");
    let mixed = Claim { turn: old.turn.id, ..claim_of(&new) };
    assert_fenced(&scene, at, mixed, "the new claim with the old turn");
    scene.emit(at, claim_of(&new), ["the new one writes".into()]);
    scene.finish(at, claim_of(&new), Outcome::Completed(Some(Box::new("the answer".into()))));
    assert_fenced(&scene, at, claim_of(&old), "after the new one's end");
}

fn an_ended_turns_writes_are_refused(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for outcome in outcomes() {
        let (at, sent) = scene.busy_session();
        scene.finish(at, claim_of(&sent), outcome.clone());
        assert_fenced(&scene, at, claim_of(&sent), &format!("after {outcome:?}"));
        let next = scene.send(at, "next");
        assert_fenced(&scene, at, claim_of(&sent), &format!("after {outcome:?} and another turn"));
        scene.complete(at, claim_of(&next));
    }
}

fn a_turn_ends_exactly_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for first in outcomes() {
        let (at, sent) = scene.busy_session();
        let ended = scene.finish(at, claim_of(&sent), first);
        for second in outcomes() {
            scene.tick();
            let ending = scene.ending(at, claim_of(&sent), second);
            scene.refused(Fenced, "a second end", |store| store.finish(ending));
        }
        scene.follow_up(at, "next");
        scene.follow_up(at, "interrupts the next only");
        assert_eq!(scene.end_orphans(99, 10).len(), 1);
        assert_eq!(ok(scene.store.turn(at, sent.turn.id)), ended, "a terminal state never changes");
    }
}

fn an_orphans_writes_are_refused(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.end_orphans(99, 10);
    assert_fenced(&scene, at, claim_of(&sent), "after its process was found dead");
}

fn a_claim_of_another_session_does_not_hold(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let ((one, first), (other, second)) = (scene.busy_session(), scene.busy_session());
    assert_fenced(&scene, one, claim_of(&second), "in a busy session");
    assert_fenced(&scene, other, claim_of(&first), "in a busy session");
    let idle = scene.session();
    assert_fenced(&scene, idle, claim_of(&first), "in a session without turns");
    let mixed = Claim { turn: first.turn.id, ..claim_of(&second) };
    assert_fenced(&scene, other, mixed, "a turn of another session under the right epoch");
}
