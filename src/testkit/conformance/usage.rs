//! What turns consume adds up, in the turn and in the session, and stays.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::{Fenced, TooLarge};
use crate::record::{Reason, Usage};
use crate::store::{Claim, Emit, Finish, Outcome, SessionRef};

super::subject! {
    usage_adds_up_in_the_turn_and_in_the_session,
    usage_alone_is_a_write_without_an_event,
    usage_survives_the_deletion_of_messages_and_every_end,
    usage_past_its_bound_is_too_large,
    usage_is_fenced,
}

const CALL: Usage = Usage { input: 1200, output: 80, cached: 1000, reasoning: 30, cost_micros: 4_250 };

fn times(n: u64) -> Usage {
    let Usage { input, output, cached, reasoning, cost_micros } = CALL;
    Usage {
        input: n * input,
        output: n * output,
        cached: n * cached,
        reasoning: n * reasoning,
        cost_micros: n * cost_micros,
    }
}

fn emission(scene: &Scene, at: SessionRef, claim: Claim, usage: Usage) -> Emit {
    Emit { usage, ..scene.emission(at, claim, ["a".into()]) }
}

fn usage_adds_up_in_the_turn_and_in_the_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    assert_eq!((first.turn.usage, scene.record(at).usage), (Usage::ZERO, Usage::ZERO));
    ok(scene.store.emit(emission(&scene, at, claim_of(&first), CALL)));
    ok(scene.store.emit(emission(&scene, at, claim_of(&first), CALL)));
    let turn = ok(scene.store.turn(at, first.turn.id));
    assert_eq!((turn.usage, scene.record(at).usage), (times(2), times(2)));
    let ending = scene.ending(at, claim_of(&first), Outcome::Completed(None));
    let ended = ok(scene.store.finish(Finish { usage: CALL, ..ending })).turn;
    assert_eq!((ended.usage, &ok(scene.store.turn(at, ended.id))), (times(3), &ended));
    let second = scene.send(at, "next");
    assert_eq!(second.turn.usage, Usage::ZERO, "each turn has its own");
    ok(scene.store.emit(emission(&scene, at, claim_of(&second), CALL)));
    assert_eq!(ok(scene.store.turn(at, second.turn.id)).usage, CALL);
    assert_eq!(scene.record(at).usage, times(4), "the session has them all");
    let listed = ok(scene.store.sessions(crate::store::SessionsQuery {
        workspace: scene.workspace,
        agent: None,
        page: crate::page::PageAt::default(),
        after: None,
    }));
    assert_eq!(listed.items[0].usage, times(4), "listings, too");
}

fn usage_alone_is_a_write_without_an_event(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.tick();
    let before = scene.record(at);
    let op = Emit { usage: CALL, ..scene.emission(at, claim_of(&sent), []) };
    let stamp = op.stamp;
    assert_eq!(ok(scene.store.emit(op)), []);
    let record = scene.record(at);
    assert_eq!((record.usage, record.updated_at), (CALL, stamp.at));
    assert_eq!((record.last_change, record.last_message), (before.last_change, before.last_message));
    assert!(ok(scene.store.turn(at, sent.turn.id)).started_at.is_some(), "it is a write of the turn's");
}

fn usage_survives_the_deletion_of_messages_and_every_end(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for n in 1..=3 {
        let sent = scene.send(at, "hello");
        let said = ok(scene.store.emit(emission(&scene, at, claim_of(&sent), CALL))).remove(0);
        scene.delete(at, &said);
        match n {
            1 => drop(scene.finish(at, claim_of(&sent), Outcome::Failed(Reason::Error, None))),
            2 => drop(scene.end_orphans(99, 10)),
            _ => {
                let next = scene.submit_by(at, "instead", crate::store::Policy::Rollback);
                scene.complete(at, claim_of(&next));
            }
        }
        assert_eq!(ok(scene.store.turn(at, sent.turn.id)).usage, CALL, "turn {n}");
        assert_eq!(scene.record(at).usage, times(n), "turn {n}");
    }
}

fn usage_past_its_bound_is_too_large(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let most = Usage { cost_micros: u64::MAX, ..Usage::ZERO };
    ok(scene.store.emit(emission(&scene, at, claim_of(&sent), most)));
    let one = Usage { cost_micros: 1, ..Usage::ZERO };
    let over = emission(&scene, at, claim_of(&sent), one);
    scene.refused(TooLarge, "emit", |store| store.emit(over));
    let ending = scene.ending(at, claim_of(&sent), Outcome::Completed(Some(Box::new("a".into()))));
    scene.refused(TooLarge, "finish", |store| store.finish(Finish { usage: one, ..ending }));
    scene.complete(at, claim_of(&sent));
    let next = scene.send(at, "next");
    let over = emission(&scene, at, claim_of(&next), one);
    scene.refused(TooLarge, "the session's sum", |store| store.emit(over));
    ok(scene.store.emit(emission(&scene, at, claim_of(&next), Usage { input: 1, ..Usage::ZERO })));
}

fn usage_is_fenced(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.follow_up(at, "no");
    let late = Emit { usage: CALL, ..scene.emission(at, claim_of(&sent), []) };
    scene.refused(Fenced, "usage alone", |store| store.emit(late));
}
