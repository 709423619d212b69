//! Rolling back: the interrupted turn's messages go with it.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::record::{ChangeKind, NewMessage, NewTurn, Reason, ToolCall, TurnState};
use crate::store::{Outcome, Policy, Submit};

super::subject! {
    a_rollback_deletes_all_messages_of_the_interrupted_turn,
    a_rollback_leaves_no_call_open_and_answers_none,
    a_rollback_deletes_nothing_of_other_turns,
    a_rollback_of_what_was_deleted_tells_it_once,
    a_rollback_where_nothing_runs_starts,
    what_was_rolled_back_is_fenced,
}

fn a_rollback_deletes_all_messages_of_the_interrupted_turn(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let kept = scene.append(at, ["a system prompt".into()]).remove(0);
    let first = scene.send(at, "no");
    let said = scene.emit(at, claim_of(&first), ["a".into(), "b".into()]);
    scene.tick();
    let before = scene.record(at).last_change;
    let op = Submit { policy: Policy::Rollback, ..scene.submission(at, "yes") };
    let next = ok(scene.store.submit(op));
    assert_eq!((next.interrupted, next.turn.state), (Some(first.turn.id), TurnState::Running));
    let turn = ok(scene.store.turn(at, first.turn.id));
    assert_eq!((turn.state, turn.reason), (TurnState::Interrupted, Some(Reason::Rollback)));
    assert_eq!((turn.messages, turn.message_id), (2, first.message.id), "what it wrote is known all the same");
    assert_eq!(scene.messages(at), [kept, next.message.clone()]);
    let deleted = |id| ChangeKind::Deleted(id);
    let events = [
        deleted(first.message.id),
        deleted(said[0].id),
        deleted(said[1].id),
        ChangeKind::Turn(turn.id, TurnState::Interrupted),
        ChangeKind::Message(next.message.id),
        ChangeKind::Turn(next.turn.id, TurnState::Running),
    ];
    assert_eq!(scene.changes(at, before), events);
    assert_eq!(next.message.number, 5, "numbers are kept");
}

fn a_rollback_leaves_no_call_open_and_answers_none(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let call = |id: &str| ToolCall::new(id, "look", "{}");
    let calls = [NewMessage::calls([call("a"), call("b")]), NewMessage::result(&call("a"), "found")];
    scene.emit(at, claim_of(&first), calls);
    let next = scene.submit_by(at, "yes", Policy::Rollback);
    assert_eq!(scene.messages(at), [next.message], "no result stands in the place of a call that is gone");
}

fn a_rollback_deletes_nothing_of_other_turns(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.finish(at, claim_of(&first), Outcome::Completed(Some(Box::new("done".into()))));
    let thread = Some(first.turn.thread_id);
    let second = scene.send(at, NewTurn { thread, ..NewTurn::from("second") });
    let queued = scene.enqueue(at, NewTurn { thread, ..NewTurn::from("waits") });
    scene.emit(at, claim_of(&second), ["a".into()]);
    scene.submit_by(at, "third", Policy::Rollback);
    let texts: Vec<_> = scene.messages(at).iter().map(crate::Message::text).collect();
    assert_eq!(texts, ["first", "done", "waits", "third"]);
    assert_eq!(ok(scene.store.turn(at, queued.turn.id)).state, TurnState::Queued);
}

fn a_rollback_of_what_was_deleted_tells_it_once(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let said = scene.emit(at, claim_of(&first), ["a".into()]).remove(0);
    scene.delete(at, &said);
    let before = scene.record(at).last_change;
    scene.submit_by(at, "yes", Policy::Rollback);
    let deleted = scene.changes(at, before).into_iter().filter(|kind| matches!(kind, ChangeKind::Deleted(_)));
    assert_eq!(deleted.collect::<Vec<_>>(), [ChangeKind::Deleted(first.message.id)]);
}

fn a_rollback_where_nothing_runs_starts(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for policy in [Policy::Rollback, Policy::Interrupt] {
        let at = scene.session();
        let first = scene.submit_by(at, "first", policy);
        assert_eq!((first.interrupted, first.turn.state), (None, TurnState::Running), "{policy:?}: no message before");
        scene.complete(at, claim_of(&first));
        let second = scene.submit_by(at, "second", policy);
        assert_eq!((second.interrupted, scene.messages(at).len()), (None, 2), "{policy:?}: what ended stays");
    }
}

fn what_was_rolled_back_is_fenced(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.submit_by(at, "yes", Policy::Rollback);
    let late = scene.emission(at, claim_of(&first), ["late".into()]);
    scene.refused(crate::ErrorKind::Fenced, "the old agent", |store| store.emit(late));
}
