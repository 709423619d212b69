//! What the agent of a turn sends to its own session, and who takes on no more.

use super::inputs::{full_message, full_turn};
use super::queue::next_of;
use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::{Fenced, Overloaded, TooLarge};
use crate::limit::CHAIN_TURNS;
use crate::record::{NewSession, NewTurn, TurnState};
use crate::store::{Behaviour, Claim, CreateSession, Finish, Outcome, Policy, Runner, SessionRef, Submit};

super::subject! {
    what_an_agent_sends_is_one_further_in_a_chain,
    a_chain_has_an_end,
    who_lost_the_session_sends_nothing,
    who_is_overloaded_starts_and_queues_nothing_and_answers_what_was_asked_before,
}

fn sending(scene: &Scene, at: SessionRef, sender: Claim, new: impl Into<NewTurn>) -> Submit {
    Submit { policy: Policy::Enqueue, sender: Some(sender), ..scene.submission(at, new) }
}

fn what_an_agent_sends_is_one_further_in_a_chain(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    assert_eq!(first.turn.chain, 0);
    let own = ok(scene.store.submit(sending(&scene, at, claim_of(&first), "more")));
    assert_eq!((own.turn.state, own.turn.chain), (TurnState::Queued, 1));
    let others = scene.enqueue(at, "of somebody else");
    assert_eq!(others.turn.chain, 0);
    let finished = ok(scene.store.finish(scene.ending(at, claim_of(&first), Outcome::Completed(None))));
    let next = next_of(finished.next);
    assert_eq!((next.turn.id, next.turn.chain), (own.turn.id, 1));
    let instead = Submit { policy: Policy::Interrupt, ..sending(&scene, at, next.claim, "instead") };
    let instead = ok(scene.store.submit(instead));
    assert_eq!((instead.interrupted, instead.turn.chain), (Some(own.turn.id), 2));
    assert_eq!(ok(scene.store.turn(at, instead.turn.id)), instead.turn);
}

fn a_chain_has_an_end(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let mut claim = claim_of(&first);
    for chain in 1..=CHAIN_TURNS {
        let own = ok(scene.store.submit(sending(&scene, at, claim, "more")));
        assert_eq!(own.turn.chain, chain);
        let finished = ok(scene.store.finish(scene.ending(at, claim, Outcome::Completed(None))));
        claim = next_of(finished.next).claim;
    }
    let op = sending(&scene, at, claim, "too many");
    scene.refused(TooLarge, "the bound of a chain", |store| store.submit(op));
    // Somebody else begins anew.
    assert_eq!(scene.enqueue(at, "hello").turn.chain, 0);
}

fn who_lost_the_session_sends_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let new = full_turn(full_message().id(scene.uuid()));
    let claim = claim_of(&first);
    ok(scene.store.submit(sending(&scene, at, claim, new.clone())));
    scene.submit_by(at, "no", Policy::Interrupt);
    for new in [NewTurn::from("late"), new] {
        let op = sending(&scene, at, claim, new);
        scene.refused(Fenced, "a late send", |store| store.submit(op));
    }
}

fn who_is_overloaded_starts_and_queues_nothing_and_answers_what_was_asked_before(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let runner = Runner { behaviour: Behaviour::Overloaded, ..scene.runner };
    let (busy, first) = scene.busy_session();
    let new = full_turn(full_message().id(scene.uuid()));
    let before = scene.enqueue(busy, new.clone());
    for (at, policy) in [(busy, Policy::Enqueue), (busy, Policy::Interrupt), (scene.session(), Policy::Reject)] {
        let op = Submit { policy, runner, ..scene.submission(at, "hello") };
        scene.refused(Overloaded, "a send", |store| store.submit(op));
    }
    let again = Submit { policy: Policy::Enqueue, runner, ..scene.submission(busy, new) };
    let again = scene.unchanged("a repeated send", |store| ok(store.submit(again)));
    assert_eq!((again.turn.id, again.replayed), (before.turn.id, true));

    let creation = CreateSession {
        first: Some(("hello".into(), runner)),
        ..scene.creation(NewSession::default().id(scene.uuid()))
    };
    let refused = creation.clone();
    scene.refused(Overloaded, "a creation", |store| store.create_session(refused));
    let made = ok(scene
        .store
        .create_session(CreateSession { first: Some(("hello".into(), scene.runner)), ..creation.clone() }));
    let again = ok(scene.store.create_session(creation));
    assert_eq!((again.session.id, again.replayed), (made.session.id, true));

    let ending = Finish { next: Some(runner), ..scene.ending(busy, claim_of(&first), Outcome::Completed(None)) };
    assert_eq!(ok(scene.store.finish(ending)).next, None, "what waits goes on waiting");
}
