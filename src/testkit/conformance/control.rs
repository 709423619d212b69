//! Turns ended by others than their agents, and started after a pause: interrupt, stop, promote.

use super::scene::{Factory, Scene, claim_of, ok, unknown_session};
use crate::error::ErrorKind::{Fenced, NotFound};
use crate::id::{OwnerId, TurnId};
use crate::record::{ChangeKind, NewMessage, NewSession, Reason, SessionStatus, ToolCall, Turn, TurnState};
use crate::store::{
    Behaviour, CreateSession, Finish, Interrupt, Outcome, Promote, Runner, SessionRef, Started, Stop, Submitted,
};

super::subject! {
    an_interrupt_ends_the_running_turn_and_promotes_the_next,
    an_interrupt_where_nothing_runs_writes_nothing,
    an_interrupt_of_a_named_turn_ends_no_other,
    an_interrupt_answers_the_open_calls_and_fences,
    a_stop_ends_the_running_turn_and_all_that_wait,
    a_stop_where_nothing_waits_or_runs_writes_nothing,
    the_ids_of_a_stops_results_run_on,
    a_promotion_starts_the_first_waiting_turn_of_each_session,
    a_promotion_starts_at_most_so_many,
    a_promotion_starts_only_what_can_be_run,
    a_promotion_leaves_running_sessions_alone,
}

fn interruption(scene: &Scene, at: SessionRef) -> Interrupt {
    Interrupt { stamp: scene.stamp(), at, turn: None, reason: Reason::Request, next: Some(scene.runner) }
}

fn stop(scene: &Scene, at: SessionRef) -> Stop {
    Stop { stamp: scene.stamp(), at, reason: Reason::Request }
}

fn an_interrupt_ends_the_running_turn_and_promotes_the_next(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let queued = scene.enqueue(at, "next");
    scene.tick();
    let before = scene.record(at).last_change;
    let op = interruption(&scene, at);
    let Some(finished) = ok(scene.store.interrupt(op)) else { panic!("a turn was running") };
    let turn = &finished.turn;
    assert_eq!((turn.id, turn.state, turn.reason), (first.turn.id, TurnState::Interrupted, Some(Reason::Request)));
    assert_eq!((turn.ended_at, &ok(scene.store.turn(at, turn.id))), (Some(op.stamp.at), turn));
    let Some(next) = finished.next else { panic!("a turn waited") };
    assert_eq!((next.turn.id, next.message), (queued.turn.id, queued.message));
    assert_eq!(next.claim.owner, scene.runner.owner);
    let events =
        [ChangeKind::Turn(turn.id, TurnState::Interrupted), ChangeKind::Turn(queued.turn.id, TurnState::Running)];
    assert_eq!(scene.changes(at, before), events);
    let Some(last) = ok(scene.store.interrupt(interruption(&scene, at))) else { panic!("the next was running") };
    assert_eq!((last.turn.id, last.next, scene.record(at).status), (queued.turn.id, None, SessionStatus::Idle));
}

fn an_interrupt_where_nothing_runs_writes_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    assert_eq!(scene.unchanged("idle", |store| ok(store.interrupt(interruption(&scene, at)))), None);
    let (at, _) = waiting_session(&scene, &["waits"]);
    assert_eq!(scene.unchanged("waiting", |store| ok(store.interrupt(interruption(&scene, at)))), None);
    let nowhere = interruption(&scene, unknown_session(&scene));
    scene.refused(NotFound, "nowhere", |store| store.interrupt(nowhere));
}

fn an_interrupt_of_a_named_turn_ends_no_other(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let [second, third] = ["second", "third"].map(|text| scene.enqueue(at, text).turn.id);
    let of = |turn: TurnId| Interrupt { turn: Some(turn), ..interruption(&scene, at) };
    assert_eq!(scene.unchanged("it waits", |store| ok(store.interrupt(of(second)))), None);
    let Some(finished) = ok(scene.store.interrupt(of(first.turn.id))) else { panic!("it was running") };
    assert_eq!((finished.turn.id, finished.next.map(|next| next.turn.id)), (first.turn.id, Some(second)));
    assert_eq!(scene.unchanged("it has ended", |store| ok(store.interrupt(of(first.turn.id)))), None);
    let Some(finished) = ok(scene.store.interrupt(of(second))) else { panic!("it was running") };
    assert_eq!((finished.turn.id, finished.next.map(|next| next.turn.id)), (second, Some(third)));
    // A turn of another session is none of this one's.
    let (elsewhere, other) = scene.busy_session();
    for (at, turn) in [(at, other.turn.id), (elsewhere, third), (scene.session(), third)] {
        let op = Interrupt { turn: Some(turn), ..interruption(&scene, at) };
        scene.refused(NotFound, "of another session", |store| store.interrupt(op));
    }
}

fn an_interrupt_answers_the_open_calls_and_fences(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.emit(at, claim_of(&first), [NewMessage::calls([ToolCall::new("c", "look", "{}")])]);
    let op = Interrupt { next: None, ..interruption(&scene, at) };
    let Some(finished) = ok(scene.store.interrupt(op)) else { panic!("a turn was running") };
    let result = scene.messages(at).pop().unwrap_or_else(|| panic!("the call was answered"));
    assert_eq!((result.tool_call_id.as_deref(), result.text().as_str()), (Some("c"), "interrupted: request"));
    assert_eq!((result.synthetic, *result.id.as_uuid()), (true, op.stamp.uuid(0)));
    assert_eq!(finished.turn.messages, 2);
    let late = scene.ending(at, claim_of(&first), Outcome::Completed(None));
    scene.refused(Fenced, "the agent's end", |store| store.finish(late));
}

/// A session in which turns wait and none is running.
fn waiting_session(scene: &Scene, texts: &[&str]) -> (SessionRef, Vec<Submitted>) {
    let (at, first) = scene.busy_session();
    let queued = texts.iter().map(|text| scene.enqueue(at, *text)).collect();
    ok(scene.store.finish(Finish { next: None, ..scene.ending(at, claim_of(&first), Outcome::Completed(None)) }));
    (at, queued)
}

fn a_stop_ends_the_running_turn_and_all_that_wait(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let queued: Vec<_> = ["b", "c"].iter().map(|text| scene.enqueue(at, *text)).collect();
    scene.tick();
    let before = scene.record(at).last_change;
    let op = stop(&scene, at);
    let stopped = ok(scene.store.stop(op));
    let Some(turn) = &stopped.turn else { panic!("a turn was running") };
    assert_eq!((turn.id, turn.state, turn.reason), (first.turn.id, TurnState::Interrupted, Some(Reason::Request)));
    let mut events = vec![ChangeKind::Turn(turn.id, TurnState::Interrupted)];
    assert_eq!(stopped.cancelled.len(), queued.len());
    for (turn, waited) in stopped.cancelled.iter().zip(&queued) {
        assert_eq!((turn.id, turn.reason), (waited.turn.id, Some(Reason::Cancelled)));
        assert_eq!((turn.state, turn.ended_at), (TurnState::Interrupted, Some(op.stamp.at)));
        assert_eq!(&ok(scene.store.turn(at, turn.id)), turn);
        events.push(ChangeKind::Turn(turn.id, TurnState::Interrupted));
    }
    assert_eq!(scene.changes(at, before), events, "in their order");
    let record = scene.record(at);
    assert_eq!((record.status, record.running_turn, record.queued_turns), (SessionStatus::Idle, None, 0));
    assert_eq!(scene.messages(at).len(), 3, "the users' messages are never lost");
    let (at, queued) = waiting_session(&scene, &["d"]);
    let stopped = ok(scene.store.stop(stop(&scene, at)));
    assert_eq!((stopped.turn, stopped.cancelled.len()), (None, queued.len()), "nothing was running");
    scene.delete_session(at);
}

fn a_stop_where_nothing_waits_or_runs_writes_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let stopped = scene.unchanged("idle", |store| ok(store.stop(stop(&scene, at))));
    assert_eq!((stopped.turn, stopped.cancelled), (None, Vec::new()));
    let nowhere = stop(&scene, unknown_session(&scene));
    scene.refused(NotFound, "nowhere", |store| store.stop(nowhere));
}

fn the_ids_of_a_stops_results_run_on(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let calls = |ids: &[&str]| NewMessage::calls(ids.iter().map(|id| ToolCall::new(*id, "look", "{}")));
    scene.emit(at, claim_of(&first), [calls(&["a", "b"])]);
    scene.enqueue(at, calls(&["c"]));
    scene.enqueue(at, "none");
    scene.enqueue(at, calls(&["d", "e"]));
    let before = scene.messages(at).len();
    let op = stop(&scene, at);
    ok(scene.store.stop(op));
    let results = scene.messages(at).split_off(before);
    let called: Vec<_> = results.iter().filter_map(|result| result.tool_call_id.as_deref()).collect();
    assert_eq!(called, ["a", "b", "c", "d", "e"]);
    for (n, result) in (0..).zip(&results) {
        assert_eq!(*result.id.as_uuid(), op.stamp.uuid(n));
        let reason = if n < 2 { "interrupted: request" } else { "interrupted: cancelled" };
        assert_eq!(result.text(), reason);
    }
}

fn promotion<const N: usize>(scene: &Scene, agents: [&str; N], limit: u32) -> Promote {
    Promote { stamp: scene.stamp(), runners: scene.runners(agents), limit }
}

fn turns(started: &[Started]) -> Vec<&Turn> {
    started.iter().map(|started| &started.turn).collect()
}

fn a_promotion_starts_the_first_waiting_turn_of_each_session(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (one, first) = waiting_session(&scene, &["a", "b"]);
    let (two, second) = waiting_session(&scene, &["c"]);
    scene.tick();
    let before = scene.record(one).last_change;
    let op = Promote { limit: 10, ..promotion(&scene, ["greeter"], 10) };
    let started = ok(scene.store.promote(op.clone()));
    let ids: Vec<_> = turns(&started).iter().map(|turn| turn.id).collect();
    assert_eq!(ids, [first[0].turn.id, second[0].turn.id], "the oldest session's first");
    for (started, at) in started.iter().zip([one, two]) {
        assert_eq!((started.at, started.turn.state), (at, TurnState::Running));
        assert_eq!((started.claim.owner, started.claim.epoch), (scene.runner.owner, 2));
        assert_eq!((started.agent_id, started.agent_name.as_str()), (scene.agent, "greeter"));
        assert_eq!(ok(scene.store.turn(at, started.turn.id)), started.turn);
        assert_eq!(scene.record(at).updated_at, op.stamp.at);
        scene.emit(at, started.claim, ["running".into()]);
    }
    assert_eq!(scene.changes(one, before)[..1], [ChangeKind::Turn(first[0].turn.id, TurnState::Running)]);
    let again = promotion(&scene, ["greeter"], 10);
    assert_eq!(scene.unchanged("a second time", |store| ok(store.promote(again))), [], "all are running");
}

fn a_promotion_starts_at_most_so_many(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let all: Vec<_> = (0..5).map(|_| waiting_session(&scene, &["a"]).1.remove(0).turn.id).collect();
    let mut started = Vec::new();
    for expected in [2, 2, 1, 0] {
        let some = ok(scene.store.promote(promotion(&scene, ["greeter"], 2)));
        assert_eq!(some.len(), expected);
        started.extend(some.iter().map(|started| started.turn.id));
    }
    assert_eq!(started, all, "each exactly once");
    waiting_session(&scene, &["a"]);
    let none = promotion(&scene, ["greeter"], 0);
    assert_eq!(scene.unchanged("none is asked for", |store| ok(store.promote(none))), []);
}

fn a_promotion_starts_only_what_can_be_run(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    waiting_session(&scene, &["a"]);
    let booker = scene.agent_named(scene.workspace, "booker");
    let owner = OwnerId::from_uuid(scene.uuid());
    let runner = Runner { owner, lease: None, behaviour: Behaviour::Registered };
    let first = Some(("first".into(), runner));
    let creation = CreateSession { agent: booker, first, ..scene.creation(NewSession::default()) };
    let created = ok(scene.store.create_session(creation));
    let at = SessionRef { workspace: scene.workspace, session: created.session.id };
    let queued = scene.enqueue(at, "b");
    let Some(claim) = created.first.and_then(|first| first.claim) else { panic!("it was running") };
    ok(scene.store.finish(Finish { next: None, ..scene.ending(at, claim, Outcome::Completed(None)) }));
    let none = promotion(&scene, [], 10);
    assert_eq!(scene.unchanged("nobody is registered", |store| ok(store.promote(none))), []);
    let started = ok(scene.store.promote(promotion(&scene, ["booker", "other"], 10)));
    assert_eq!(turns(&started).iter().map(|turn| turn.id).collect::<Vec<_>>(), [queued.turn.id]);
    assert_eq!((started[0].agent_id, started[0].agent_name.as_str()), (booker, "booker"));
}

fn a_promotion_leaves_running_sessions_alone(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = scene.busy_session();
    scene.enqueue(at, "waits");
    scene.session();
    let op = promotion(&scene, ["greeter"], 10);
    assert_eq!(scene.unchanged("one is running", |store| ok(store.promote(op))), []);
}
