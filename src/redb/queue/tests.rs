//! Turns that wait beside damage.

use super::*;
use crate::id::{OwnerId, Stamp};
use crate::record::{NewSession, Turn, Usage};
use crate::redb::tables::rows;
use crate::redb::{Options, RedbStore};
use crate::store::{
    CreateSession, EnsureAgent, EnsureWorkspace, Finish, Finished, Policy, Runners, Stop, Store, Submit,
};
use crate::time::Timestamp;

/// A session, the first of its file, in which turn 1 is running.
struct Scene {
    store: RedbStore,
    at: SessionRef,
    claim: Claim,
}

fn stamp() -> Stamp {
    Stamp::random(Timestamp::from_micros(1_777_573_302_000_000))
}

fn runner() -> Runner {
    let owner = OwnerId::from_uuid(uuid::Uuid::from_u128(1));
    Runner { owner, lease: None, behaviour: Behaviour::Registered }
}

impl Scene {
    fn new() -> Self {
        let store = RedbStore::in_memory(Options::default()).expect("a store");
        let op = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
        let workspace = store.ensure_workspace(op).expect("a workspace").id;
        let op = EnsureAgent { stamp: stamp(), workspace, name: "greeter".into() };
        let agent = store.ensure_agent(op).expect("an agent").id;
        let first = Some(("first".into(), runner()));
        let op = CreateSession { stamp: stamp(), workspace, agent, new: NewSession::default(), first };
        let created = store.create_session(op).expect("a session");
        let claim = created.first.and_then(|first| first.claim).expect("its first turn is running");
        Scene { store, at: SessionRef { workspace, session: created.session.id }, claim }
    }

    /// Message and turn have the numbers in which they were enqueued, from 2 on.
    fn enqueue(&self, bounds: QueueBounds) -> Result<Turn> {
        let (stamp, at, new, runner) = (stamp(), self.at, "12345".into(), runner());
        let op = Submit { stamp, at, new, policy: Policy::Enqueue, runner, sender: None, queue: bounds };
        self.store.submit(op).map(|submitted| submitted.turn)
    }

    fn three() -> (Self, [Turn; 3]) {
        let scene = Scene::new();
        let turns = [(); 3].map(|()| scene.enqueue(QueueBounds::default()).expect("it waits"));
        (scene, turns)
    }

    fn damage(&self, table: Table, key: impl Into<Vec<u8>>) {
        let key = key.into();
        let damaged = self.store.write(1, move |_| {
            let mut writes = WriteSet::default();
            writes.put_value(table, key, b"damaged".to_vec());
            Ok((writes, ()))
        });
        damaged.expect("it is damaged");
    }

    fn finish(&self, next: Option<Runner>) -> Finished {
        let (at, claim, outcome) = (self.at, self.claim, Outcome::Completed(None));
        let op = Finish { stamp: stamp(), at, claim, started_at: None, outcome, usage: Usage::ZERO, next };
        self.store.finish(op).expect("it ends")
    }

    fn breaches(&self) -> Vec<String> {
        self.store.verify().expect("it can be read")
    }

    fn is_named(&self, what: &str) {
        let breaches = self.breaches();
        assert!(breaches.iter().any(|breach| breach.contains(what)), "{what}: {breaches:?}");
    }
}

#[test]
fn a_waiting_turn_whose_message_is_damaged_fails_and_the_next_is_promoted() {
    let (scene, [damaged, next, last]) = Scene::three();
    scene.damage(Table::Rows, rows::numbered(1, rows::Kind::Message, 2));
    let finished = scene.finish(Some(runner()));
    assert_eq!(finished.next.map(|next| next.turn.id), Some(next.id));
    let ended = scene.store.turn(scene.at, damaged.id).expect("it is there");
    assert_eq!((ended.state, ended.reason), (TurnState::Failed, Some(Reason::Error)));
    assert!(ended.detail.is_some_and(|detail| detail.contains("message")));
    assert_eq!(scene.store.turn(scene.at, last.id).expect("it is there").state, TurnState::Queued);
    scene.is_named("message");
}

#[test]
fn a_waiting_turn_that_is_damaged_is_passed_over_and_named() {
    let (scene, [_, next, _]) = Scene::three();
    scene.damage(Table::Rows, rows::numbered(1, rows::Kind::Turn, 2));
    let finished = scene.finish(Some(runner()));
    assert_eq!(finished.next.map(|next| next.turn.id), Some(next.id));
    assert_eq!(scene.store.session(scene.at).expect("it is there").queued_turns, 1);
    scene.is_named("turn");
}

#[test]
fn a_promotion_and_a_stop_pass_over_damage_too() {
    let (scene, [_, next, last]) = Scene::three();
    scene.damage(Table::Rows, rows::numbered(1, rows::Kind::Turn, 2));
    scene.finish(None);
    let runners = Runners { owner: runner().owner, lease: None, agents: ["greeter".to_owned()].into() };
    let op = Promote { stamp: stamp(), runners, limit: 9 };
    let started = scene.store.promote(op).expect("what can be read starts");
    assert_eq!(started.iter().map(|started| started.turn.id).collect::<Vec<_>>(), [next.id]);
    let stop = Stop { stamp: stamp(), at: scene.at, reason: Reason::Request };
    let stopped = scene.store.stop(stop).expect("it stops");
    assert_eq!(stopped.cancelled.iter().map(|turn| turn.id).collect::<Vec<_>>(), [last.id]);
    assert_eq!(scene.store.session(scene.at).expect("it is there").queued_turns, 0);
}

#[test]
fn a_stop_passes_over_a_waiting_turn_that_is_damaged() {
    let (scene, [_, next, last]) = Scene::three();
    scene.damage(Table::Rows, rows::numbered(1, rows::Kind::Turn, 2));
    let stop = Stop { stamp: stamp(), at: scene.at, reason: Reason::Request };
    let stopped = scene.store.stop(stop).expect("it stops");
    assert!(stopped.turn.is_some());
    assert_eq!(stopped.cancelled.iter().map(|turn| turn.id).collect::<Vec<_>>(), [next.id, last.id]);
    assert_eq!(scene.store.session(scene.at).expect("it is there").queued_turns, 0);
}

#[test]
fn a_count_of_all_that_waits_is_counted_again_where_it_is_damaged() {
    let (scene, _) = Scene::three();
    scene.damage(Table::Meta, meta::WAITING);
    scene.is_named("count of what waits");
    let bounds = |all_turns| QueueBounds { all_turns, ..QueueBounds::default() };
    assert_eq!(scene.enqueue(bounds(3)).expect_err("three wait").kind(), ErrorKind::Overloaded);
    scene.enqueue(bounds(4)).expect("it waits");
    assert_eq!(scene.breaches(), Vec::<String>::new(), "what changes it writes it anew");
}

#[test]
fn a_count_that_is_wrong_is_named() {
    let (scene, _) = Scene::three();
    let wrong = scene.store.write(1, |_| {
        let mut writes = WriteSet::default();
        writes.put(Table::Meta, meta::WAITING, &WaitingRow { turns: 2, bytes: 15 })?;
        writes.remove(Table::Meta, meta::queued(1, 3));
        Ok((writes, ()))
    });
    wrong.expect("it is written");
    scene.is_named("stand in the queue");
    scene.is_named("the head counts 3");
}
