//! Turns that wait: in order, cancellable, bounded, and promoted in the commit that ends the one before.

use super::inputs::{assert_says, full_message, full_turn};
use super::scene::{Factory, Scene, claim_of, ok, unknown_session};
use crate::error::ErrorKind::{Conflict, NoBehaviour, NotFound, Overloaded};
use crate::id::TurnId;
use crate::record::{ChangeKind, NewMessage, NewTurn, Reason, SessionStatus, ToolCall, Turn, TurnState};
use crate::store::{
    Behaviour, Cancel, Finish, Outcome, Policy, QueueBounds, Runner, SessionRef, Started, Stop, Submit, Waiting,
};

super::subject! {
    an_idle_session_starts_what_would_wait,
    a_busy_session_lets_it_wait,
    a_waiting_turn_keeps_all_it_needs,
    an_end_promotes_the_next_in_its_commit,
    every_end_promotes,
    what_nobody_runs_goes_on_waiting,
    an_interrupting_turn_runs_before_what_waits,
    a_session_whose_turns_wait_is_busy,
    where_turns_wait_the_first_starts_before_one_more_waits,
    a_waiting_turn_can_be_cancelled,
    only_a_waiting_turn_can_be_cancelled,
    at_a_bound_of_the_queue_nothing_is_written,
    the_bounds_over_all_count_every_session,
    what_waited_counts_no_longer,
    what_waits_is_counted_over_all_sessions,
    without_a_behaviour_nothing_waits,
    a_repeated_submit_answers_with_the_turn_as_it_waits_and_ends,
    the_outbox_is_in_the_order_of_the_ends,
}

fn state(scene: &Scene, at: SessionRef, turn: &Turn) -> TurnState {
    ok(scene.store.turn(at, turn.id)).state
}

#[track_caller]
pub(super) fn next_of(next: Option<Box<Started>>) -> Started {
    match next {
        Some(next) => *next,
        None => panic!("a turn waited and was not promoted"),
    }
}

fn an_idle_session_starts_what_would_wait(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let sent = scene.enqueue(at, "hello");
    assert_eq!((sent.turn.state, sent.interrupted, sent.replayed), (TurnState::Running, None, false));
    assert_eq!((sent.promoted.as_ref(), claim_of(&sent).epoch), (None, 1));
    scene.complete(at, claim_of(&sent));
    assert_eq!(scene.enqueue(at, "again").turn.state, TurnState::Running);
}

fn a_busy_session_lets_it_wait(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.tick();
    let before = scene.record(at).last_change;
    let op = Submit { policy: Policy::Enqueue, ..scene.submission(at, "second") };
    let stamp = op.stamp;
    let queued = ok(scene.store.submit(op));
    let (message, turn) = (&queued.message, &queued.turn);
    assert_eq!((turn.state, turn.number, turn.attempt), (TurnState::Queued, 2, 1));
    assert_eq!((turn.started_at, turn.ended_at, turn.messages), (None, None, 0));
    assert_eq!((queued.claim, queued.interrupted, queued.promoted.as_ref()), (None, None, None));
    assert!(!queued.replayed, "it was written");
    assert_eq!((*message.id.as_uuid(), *turn.id.as_uuid()), (stamp.uuid(0), stamp.uuid(2)));
    assert_eq!(scene.messages(at).last(), Some(message), "its message is on disk");
    assert_eq!(ok(scene.store.turn(at, turn.id)), *turn);
    let events = [ChangeKind::Message(message.id), ChangeKind::Turn(turn.id, TurnState::Queued)];
    assert_eq!(scene.changes(at, before), events);
    let record = scene.record(at);
    assert_eq!((record.running_turn, record.queued_turns), (Some(first.turn.id), 1));
    assert_eq!((record.status, record.updated_at), (SessionStatus::Running, stamp.at));
    scene.emit(at, claim_of(&first), ["the first goes on".into()]);
}

fn a_waiting_turn_keeps_all_it_needs(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let queued = scene.enqueue(at, full_turn(full_message()));
    assert_says(&queued.message, &full_message());
    let finished = ok(scene.store.finish(scene.ending(at, claim_of(&first), Outcome::Completed(None))));
    let next = next_of(finished.next);
    assert_eq!(next.message, queued.message);
    let turn = Turn { state: TurnState::Running, ..queued.turn };
    assert_eq!(next.turn, turn, "parameters, profile and all");
    assert_eq!((next.at, next.agent_id, next.agent_name.as_str()), (at, scene.agent, "greeter"));
    scene.finish(at, next.claim, Outcome::Completed(None));
    let outbox = ok(scene.store.outbox(10));
    assert_eq!(outbox.iter().map(|row| row.turn_id).collect::<Vec<_>>(), [turn.id], "its webhook waited with it");
}

fn an_end_promotes_the_next_in_its_commit(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let queued: Vec<_> = ["b", "c", "d"].map(|text| scene.enqueue(at, text)).into();
    let (mut claim, mut epoch) = (claim_of(&first), claim_of(&first).epoch);
    for (n, waited) in queued.iter().enumerate() {
        scene.tick();
        let before = scene.record(at).last_change;
        let answer = NewMessage::text("the answer");
        let ending = scene.ending(at, claim, Outcome::Completed(Some(Box::new(answer))));
        let stamp = ending.stamp;
        let finished = ok(scene.store.finish(ending));
        let next = next_of(finished.next);
        assert_eq!((next.turn.id, next.message.id), (waited.turn.id, waited.message.id), "in their order");
        assert_eq!((next.turn.state, next.turn.created_at), (TurnState::Running, waited.turn.created_at));
        assert_eq!((next.claim.turn, next.claim.owner), (next.turn.id, scene.runner.owner));
        assert_eq!(next.claim.epoch, epoch + 1, "a later claim fences off all before");
        let answered = finished.turn.final_message.unwrap_or_else(|| panic!("it answered"));
        let events = [
            ChangeKind::Message(answered),
            ChangeKind::Turn(finished.turn.id, TurnState::Completed),
            ChangeKind::Turn(next.turn.id, TurnState::Running),
        ];
        assert_eq!(scene.changes(at, before), events, "the end first, then what comes next");
        let record = scene.record(at);
        assert_eq!((record.running_turn, record.queued_turns as usize), (Some(next.turn.id), 2 - n));
        assert_eq!(record.updated_at, stamp.at);
        scene.refused(crate::ErrorKind::Fenced, "the old claim", |store| {
            store.emit(scene.emission(at, claim, ["late".into()]))
        });
        (claim, epoch) = (next.claim, next.claim.epoch);
        scene.emit(at, claim, ["working".into()]);
    }
    let last = ok(scene.store.finish(scene.ending(at, claim, Outcome::Completed(None))));
    assert_eq!((last.next, scene.record(at).status), (None, SessionStatus::Idle));
}

fn every_end_promotes(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let outcomes = [
        Outcome::Completed(None),
        Outcome::Interrupted(Reason::Closed),
        Outcome::Failed(Reason::Panic, Some("boom".into())),
    ];
    for outcome in outcomes {
        let (at, first) = scene.busy_session();
        let call = NewMessage::calls([ToolCall::new("c", "look", "{}")]);
        scene.emit(at, claim_of(&first), [call]);
        let queued = scene.enqueue(at, "next");
        let finished = ok(scene.store.finish(scene.ending(at, claim_of(&first), outcome.clone())));
        assert_eq!(next_of(finished.next).turn.id, queued.turn.id, "{outcome:?}");
        assert_eq!(scene.record(at).status, SessionStatus::Running, "{outcome:?}");
    }
}

fn what_nobody_runs_goes_on_waiting(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let nobody = Runner { behaviour: Behaviour::Missing, ..scene.runner };
    for next in [None, Some(nobody)] {
        let (at, first) = scene.busy_session();
        let queued = scene.enqueue(at, "next");
        let ending = Finish { next, ..scene.ending(at, claim_of(&first), Outcome::Failed(Reason::Error, None)) };
        let finished = ok(scene.store.finish(ending));
        assert_eq!((finished.turn.state, finished.next), (TurnState::Failed, None), "{next:?}");
        let record = scene.record(at);
        assert_eq!((record.running_turn, record.queued_turns), (None, 1), "{next:?}");
        assert_eq!(record.status, SessionStatus::Running, "a session with a waiting turn reads running");
        assert_eq!(state(&scene, at, &queued.turn), TurnState::Queued, "{next:?}");
    }
}

fn an_interrupting_turn_runs_before_what_waits(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for policy in [Policy::FollowUp, Policy::Interrupt, Policy::Rollback] {
        let (at, first) = scene.busy_session();
        let queued = scene.enqueue(at, "waits");
        let next = scene.submit_by(at, "now", policy);
        assert_eq!((next.interrupted, next.turn.state), (Some(first.turn.id), TurnState::Running), "{policy:?}");
        assert_eq!(state(&scene, at, &queued.turn), TurnState::Queued, "{policy:?}");
        let finished = ok(scene.store.finish(scene.ending(at, claim_of(&next), Outcome::Completed(None))));
        assert_eq!(next_of(finished.next).turn.id, queued.turn.id, "{policy:?}");
    }
}

/// A session in which one turn waits and none is running.
fn waiting_session(scene: &Scene) -> (SessionRef, Turn) {
    let (at, first) = scene.busy_session();
    let queued = scene.enqueue(at, "waits");
    ok(scene.store.finish(Finish { next: None, ..scene.ending(at, claim_of(&first), Outcome::Completed(None)) }));
    (at, queued.turn)
}

fn a_session_whose_turns_wait_is_busy(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, turn) = waiting_session(&scene);
    scene.refused(Conflict, "append", |store| store.append(scene.appending(at, ["a".into()])));
    scene.refused(Conflict, "submit", |store| store.submit(scene.submission(at, "a")));
    scene.refused(Conflict, "delete_session", |store| store.delete_session(scene.deletion(at)));
    for policy in [Policy::FollowUp, Policy::Interrupt, Policy::Rollback] {
        let sent = scene.submit_by(at, "now", policy);
        assert_eq!((sent.interrupted, sent.turn.state), (None, TurnState::Running), "{policy:?}: nothing was running");
        assert_eq!(state(&scene, at, &turn), TurnState::Queued, "{policy:?}");
        let ending = scene.ending(at, claim_of(&sent), Outcome::Completed(None));
        ok(scene.store.finish(Finish { next: None, ..ending }));
    }
}

fn where_turns_wait_the_first_starts_before_one_more_waits(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = waiting_session(&scene);
    let before = scene.record(at).last_change;
    let queued = scene.enqueue(at, "one more");
    let promoted = next_of(queued.promoted);
    assert_eq!((promoted.turn.id, promoted.turn.state), (first.id, TurnState::Running));
    assert_eq!((queued.turn.state, queued.claim), (TurnState::Queued, None));
    let events = [
        ChangeKind::Turn(first.id, TurnState::Running),
        ChangeKind::Message(queued.message.id),
        ChangeKind::Turn(queued.turn.id, TurnState::Queued),
    ];
    assert_eq!(scene.changes(at, before), events);
    scene.emit(at, promoted.claim, ["running".into()]);
}

fn a_waiting_turn_can_be_cancelled(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let [b, c, d] = ["b", "c", "d"].map(|text| scene.enqueue(at, text));
    scene.tick();
    let before = scene.record(at).last_change;
    let op = Cancel { stamp: scene.stamp(), at, turn: c.turn.id };
    let cancelled = ok(scene.store.cancel(op));
    assert_eq!((cancelled.state, cancelled.reason), (TurnState::Interrupted, Some(Reason::Cancelled)));
    assert_eq!((cancelled.ended_at, cancelled.started_at), (Some(op.stamp.at), None));
    assert_eq!(ok(scene.store.turn(at, c.turn.id)), cancelled);
    assert_eq!(scene.changes(at, before), [ChangeKind::Turn(c.turn.id, TurnState::Interrupted)]);
    assert_eq!(ok(scene.store.message(at, c.message.id)), c.message, "the user's message is never lost");
    assert_eq!(scene.record(at).queued_turns, 2);
    let mut claim = claim_of(&first);
    for waited in [b, d] {
        let finished = ok(scene.store.finish(scene.ending(at, claim, Outcome::Completed(None))));
        let next = next_of(finished.next);
        assert_eq!(next.turn.id, waited.turn.id);
        claim = next.claim;
    }
    assert_eq!(scene.complete(at, claim).state, TurnState::Completed);
}

fn only_a_waiting_turn_can_be_cancelled(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let queued = scene.enqueue(at, "waits");
    let cancel = |at, turn: TurnId| Cancel { stamp: scene.stamp(), at, turn };
    let op = cancel(at, first.turn.id);
    match scene.unchanged("a running one", |store| store.cancel(op)) {
        Err(error) if error.kind() == Conflict => assert!(error.to_string().contains("running"), "{error}"),
        answer => panic!("a running turn cannot be cancelled: {answer:?}"),
    }
    ok(scene.store.cancel(cancel(at, queued.turn.id)));
    let again = cancel(at, queued.turn.id);
    scene.refused(Conflict, "one that was cancelled", |store| store.cancel(again));
    let (elsewhere, other) = waiting_session(&scene);
    let op = cancel(at, other.id);
    scene.refused(NotFound, "another session's", |store| store.cancel(op));
    let op = cancel(unknown_session(&scene), other.id);
    scene.refused(NotFound, "nowhere", |store| store.cancel(op));
    let ended = ok(scene.store.cancel(cancel(elsewhere, other.id)));
    assert_eq!((ended.id, scene.record(elsewhere).status), (other.id, SessionStatus::Idle));
}

fn enqueue_within(scene: &Scene, at: SessionRef, new: impl Into<NewTurn>, queue: QueueBounds) -> Submit {
    Submit { policy: Policy::Enqueue, queue, ..scene.submission(at, new) }
}

fn at_a_bound_of_the_queue_nothing_is_written(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = scene.busy_session();
    let two = QueueBounds { turns: 2, ..QueueBounds::default() };
    for _ in 0..2 {
        ok(scene.store.submit(enqueue_within(&scene, at, "12345", two)));
    }
    let third = enqueue_within(&scene, at, "12345", two);
    scene.refused(Overloaded, "turns", |store| store.submit(third));
    let bytes = |bytes| QueueBounds { bytes, ..QueueBounds::default() };
    for (most, text) in [(14, "12345"), (10, "1")] {
        let op = enqueue_within(&scene, at, text, bytes(most));
        scene.refused(Overloaded, "bytes", |store| store.submit(op));
    }
    let counted = NewTurn::from("1").user_params(crate::Json::from(serde_json::json!([1])));
    let op = enqueue_within(&scene, at, counted.clone(), bytes(13));
    scene.refused(Overloaded, "its parameters count", |store| store.submit(op));
    ok(scene.store.submit(enqueue_within(&scene, at, counted, bytes(14))));
    let none = QueueBounds { turns: 0, bytes: 0, all_turns: 0, all_bytes: 0 };
    let now = Submit { policy: Policy::Interrupt, ..enqueue_within(&scene, at, "now", none) };
    assert_eq!(ok(scene.store.submit(now)).turn.state, TurnState::Running, "what does not wait has no bound");
}

fn the_bounds_over_all_count_every_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let sessions: Vec<_> = (0..3).map(|_| scene.busy_session().0).collect();
    let all = QueueBounds { all_turns: 2, ..QueueBounds::default() };
    ok(scene.store.submit(enqueue_within(&scene, sessions[0], "12345", all)));
    ok(scene.store.submit(enqueue_within(&scene, sessions[1], "12345", all)));
    let third = enqueue_within(&scene, sessions[2], "12345", all);
    scene.refused(Overloaded, "turns", |store| store.submit(third));
    let all = |all_bytes| QueueBounds { all_bytes, ..QueueBounds::default() };
    let third = enqueue_within(&scene, sessions[2], "12345", all(14));
    scene.refused(Overloaded, "bytes", |store| store.submit(third));
    ok(scene.store.submit(enqueue_within(&scene, sessions[2], "12345", all(15))));
}

fn what_waited_counts_no_longer(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let one = QueueBounds { turns: 1, bytes: 5, all_turns: 1, all_bytes: 5 };
    let (at, first) = scene.busy_session();
    let mut claim = claim_of(&first);
    for _ in 0..2 {
        let queued = ok(scene.store.submit(enqueue_within(&scene, at, "12345", one)));
        let full = enqueue_within(&scene, at, "1", one);
        scene.refused(Overloaded, "one waits", |store| store.submit(full));
        ok(scene.store.cancel(Cancel { stamp: scene.stamp(), at, turn: queued.turn.id }));
        ok(scene.store.submit(enqueue_within(&scene, at, "12345", one)));
        let finished = ok(scene.store.finish(scene.ending(at, claim, Outcome::Completed(None))));
        claim = next_of(finished.next).claim;
    }
}

fn what_waits_is_counted_over_all_sessions(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let waiting = || ok(scene.store.waiting());
    assert_eq!(waiting(), Waiting::default());
    let sessions = [scene.busy_session(), scene.busy_session()];
    assert_eq!(waiting(), Waiting::default(), "what runs does not wait");
    let turns = [NewTurn::from("12345"), full_turn(full_message())];
    for (n, ((at, _), turn)) in (1..).zip(sessions.iter().zip(&turns)) {
        scene.enqueue(*at, turn.clone());
        let bytes = turns.iter().take(n).map(|turn| turn.size() as u64).sum();
        assert_eq!(waiting(), Waiting { turns: n as u64, bytes });
    }
    let [(at, first), (other, _)] = &sessions;
    scene.complete(*at, claim_of(first));
    assert_eq!(waiting(), Waiting { turns: 1, bytes: turns[1].size() as u64 }, "one was promoted");
    ok(scene.store.stop(Stop { stamp: scene.stamp(), at: *other, reason: Reason::Request }));
    assert_eq!(waiting(), Waiting::default());
}

fn without_a_behaviour_nothing_waits(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let nobody = Runner { behaviour: Behaviour::Missing, ..scene.runner };
    let (busy, _) = scene.busy_session();
    let (waiting, _) = waiting_session(&scene);
    for at in [busy, waiting] {
        let op = Submit { policy: Policy::Enqueue, runner: nobody, ..scene.submission(at, "hello") };
        scene.refused(NoBehaviour, "enqueue", |store| store.submit(op));
    }
}

fn a_repeated_submit_answers_with_the_turn_as_it_waits_and_ends(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let new = full_turn(full_message().id(scene.uuid()));
    let queued = scene.enqueue(at, new.clone());
    let full = QueueBounds { turns: 0, ..QueueBounds::default() };
    let check = |what: &str, state: TurnState| {
        for policy in [Policy::Reject, Policy::FollowUp, Policy::Interrupt, Policy::Enqueue, Policy::Rollback] {
            let op = Submit { policy, queue: full, ..scene.submission(at, new.clone()) };
            let again = scene.unchanged(what, |store| ok(store.submit(op)));
            assert_eq!((again.message, again.turn.id), (queued.message.clone(), queued.turn.id), "{what}");
            assert_eq!((again.turn.state, again.claim, again.replayed), (state, None, true), "{what}");
            assert_eq!((again.interrupted, again.promoted), (None, None), "{what}");
        }
        let mut other = new.clone();
        other.message.content = Some("other".into());
        let op = Submit { policy: Policy::Enqueue, ..scene.submission(at, other) };
        scene.refused(Conflict, what, |store| store.submit(op));
    };
    check("while it waits", TurnState::Queued);
    let finished = ok(scene.store.finish(scene.ending(at, claim_of(&first), Outcome::Completed(None))));
    check("while it runs", TurnState::Running);
    let next = scene.submit_by(at, "instead", Policy::Rollback);
    assert_eq!(next.interrupted, finished.next.map(|next| next.turn.id));
    check("after it was rolled back", TurnState::Interrupted);
}

fn the_outbox_is_in_the_order_of_the_ends(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let turn = || full_turn(full_message());
    let first = scene.send(at, turn());
    let [b, c] = [turn(), turn()].map(|turn| scene.enqueue(at, turn));
    ok(scene.store.cancel(Cancel { stamp: scene.stamp(), at, turn: c.turn.id }));
    let interrupting = scene.submit_by(at, turn(), Policy::Interrupt);
    let finished = ok(scene.store.finish(scene.ending(at, claim_of(&interrupting), Outcome::Completed(None))));
    scene.complete(at, next_of(finished.next).claim);
    let order: Vec<_> = ok(scene.store.outbox(10)).iter().map(|row| row.turn_id).collect();
    assert_eq!(order, [c.turn.id, first.turn.id, interrupting.turn.id, b.turn.id]);
}
