//! Open tool calls: the commit that interrupts or fails a turn answers each of them.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::record::{Content, Message, MessageType, NewMessage, Reason, Role, ToolCall, Turn};
use crate::store::{Outcome, SessionRef, Submitted};

super::subject! {
    an_interrupt_answers_the_open_calls,
    a_failure_answers_the_open_calls,
    a_follow_up_answers_the_open_calls,
    a_crash_answers_the_open_calls,
    a_completed_turn_answers_nothing,
    calls_in_deleted_messages_are_not_answered,
    calls_with_deleted_answers_are_open,
    calls_of_an_earlier_turn_are_not_answered,
    an_answer_of_another_role_answers_nothing,
}

fn call(id: &str, name: &str) -> ToolCall {
    ToolCall::new(id, name, "{}")
}

fn calls(named: &[(&str, &str)]) -> NewMessage {
    NewMessage::calls(named.iter().map(|(id, name)| call(id, name)))
}

fn result(id: &str) -> NewMessage {
    NewMessage::result(&call(id, "whatever"), "done")
}

/// What a turn wrote, and the calls (id and name) that are open afterwards, in order.
type Case = (&'static str, Vec<NewMessage>, Vec<(&'static str, &'static str)>);

fn cases() -> Vec<Case> {
    let named = |new: NewMessage| NewMessage { content: Some("I will look".into()), ..new };
    vec![
        ("nothing written", vec![], vec![]),
        ("no call", vec!["a".into()], vec![]),
        ("one open", vec![calls(&[("1", "a")])], vec![("1", "a")]),
        ("one answered", vec![calls(&[("1", "a")]), result("1")], vec![]),
        (
            "parallel, all open",
            vec![calls(&[("2", "a"), ("1", "b"), ("3", "a")])],
            vec![("2", "a"), ("1", "b"), ("3", "a")],
        ),
        (
            "parallel, the middle one answered",
            vec![calls(&[("1", "a"), ("2", "b"), ("3", "c")]), result("2")],
            vec![("1", "a"), ("3", "c")],
        ),
        ("answered in another order", vec![calls(&[("1", "a"), ("2", "b")]), result("2"), result("1")], vec![]),
        (
            "over several messages",
            vec![calls(&[("1", "a")]), "b".into(), calls(&[("2", "c")])],
            vec![("1", "a"), ("2", "c")],
        ),
        ("one id for two calls, one answer", vec![calls(&[("1", "a"), ("1", "b")]), result("1")], vec![("1", "b")]),
        ("one id for two calls, two answers", vec![calls(&[("1", "a"), ("1", "b")]), result("1"), result("1")], vec![]),
        (
            "one id again after its answer",
            vec![calls(&[("1", "a")]), result("1"), calls(&[("1", "b")])],
            vec![("1", "b")],
        ),
        (
            "more answers than calls",
            vec![calls(&[("1", "a")]), result("1"), result("1"), calls(&[("2", "b")])],
            vec![("2", "b")],
        ),
        ("an answer to nothing", vec![result("9"), calls(&[("1", "a")])], vec![("1", "a")]),
        (
            "empty and odd ids",
            vec![calls(&[("", "a"), ("\0", ""), (" ", "c")]), result(" ")],
            vec![("", "a"), ("\0", "")],
        ),
        (
            "a message with text and type",
            vec![named(calls(&[("1", "a")])).kind(MessageType::Message)],
            vec![("1", "a")],
        ),
        ("an answer of type message", vec![calls(&[("1", "a")]), result("1").kind(MessageType::Message)], vec![]),
        ("calls of another role", vec![calls(&[("1", "a")]).role(Role::User)], vec![("1", "a")]),
    ]
}

/// That these are the results of the calls, and nothing else.
#[track_caller]
fn assert_results(results: &[Message], turn: &Turn, reason: Reason, open: &[(&str, &str)], what: &str) {
    let answered: Vec<_> = results
        .iter()
        .map(|message| (message.tool_call_id.as_deref().unwrap_or("none"), message.name.as_deref().unwrap_or("none")))
        .collect();
    assert_eq!(answered, open, "{what}: each open call has one result, in order");
    for message in results {
        assert_eq!((message.role, message.kind), (Role::Tool, MessageType::ToolCall), "{what}");
        assert_eq!(message.content, Some(Content::Text(format!("interrupted: {reason}"))), "{what}");
        assert!(message.synthetic, "{what}: marked as synthetic");
        assert_eq!((message.thread_id, message.turn_id), (Some(turn.thread_id), Some(turn.id)), "{what}");
        assert_eq!((message.tool_calls.len(), message.images.len(), message.artifact_ids.len()), (0, 0, 0), "{what}");
        assert_eq!(message.metadata, None, "{what}");
    }
}

/// Runs every case to its end, and checks what that end wrote: `end` answers with the turn and
/// how many messages come after the results.
fn check(factory: Factory<'_>, reason: Reason, end: fn(&Scene, SessionRef, &Submitted) -> (Turn, usize)) {
    let scene = Scene::new(factory);
    for (what, written, open) in cases() {
        let (at, sent) = scene.busy_session();
        let emitted = u32::try_from(written.len()).unwrap_or_default();
        if emitted > 0 {
            scene.emit(at, claim_of(&sent), written);
        }
        let before = scene.messages(at).len();
        let (turn, behind) = end(&scene, at, &sent);
        let all = scene.messages(at);
        assert_results(&all[before..all.len() - behind], &turn, reason, &open, what);
        assert_eq!(turn.messages as usize, emitted as usize + open.len(), "{what}: the results count");
    }
}

fn an_interrupt_answers_the_open_calls(factory: Factory<'_>) {
    check(factory, Reason::Closed, |scene, at, sent| {
        let ending = scene.ending(at, claim_of(sent), Outcome::Interrupted(Reason::Closed));
        let (before, stamp) = (scene.messages(at).len(), ending.stamp);
        let turn = ok(scene.store.finish(ending)).turn;
        for (n, message) in (0..).zip(&scene.messages(at)[before..]) {
            assert_eq!(*message.id.as_uuid(), stamp.uuid(n), "the n-th result's id is the stamp's id n");
        }
        (turn, 0)
    });
}

fn a_failure_answers_the_open_calls(factory: Factory<'_>) {
    check(factory, Reason::Panic, |scene, at, sent| {
        (scene.finish(at, claim_of(sent), Outcome::Failed(Reason::Panic, Some("boom".into()))), 0)
    });
}

fn a_follow_up_answers_the_open_calls(factory: Factory<'_>) {
    check(factory, Reason::FollowUp, |scene, at, sent| {
        scene.follow_up(at, "no");
        (ok(scene.store.turn(at, sent.turn.id)), 1)
    });
}

fn a_crash_answers_the_open_calls(factory: Factory<'_>) {
    check(factory, Reason::Crash, |scene, _, sent| {
        let ended = scene.end_orphans(99, 1);
        assert_eq!(ended.iter().map(|turn| turn.id).collect::<Vec<_>>(), [sent.turn.id]);
        (ended[0].clone(), 0)
    });
}

fn a_completed_turn_answers_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for answer in [None, Some(Box::new("done".into()))] {
        let (at, sent) = scene.busy_session();
        scene.emit(at, claim_of(&sent), [calls(&[("1", "a")])]);
        let written = 2 + answer.iter().len();
        scene.finish(at, claim_of(&sent), Outcome::Completed(answer));
        assert_eq!(scene.messages(at).len(), written);
    }
}

/// What the end of this turn writes, as id and name of the calls.
#[track_caller]
fn interrupted(scene: &Scene, at: SessionRef, sent: &Submitted, open: &[(&str, &str)], what: &str) {
    let before = scene.record(at).last_message;
    let turn = scene.finish(at, claim_of(sent), Outcome::Interrupted(Reason::Closed));
    let results: Vec<_> = scene.messages(at).into_iter().filter(|message| message.number > before).collect();
    assert_results(&results, &turn, Reason::Closed, open, what);
}

fn calls_in_deleted_messages_are_not_answered(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let written = scene.emit(at, claim_of(&sent), [calls(&[("1", "a"), ("2", "b")]), calls(&[("3", "c")])]);
    scene.delete(at, &written[0]);
    interrupted(&scene, at, &sent, &[("3", "c")], "the first two are hidden");
}

fn calls_with_deleted_answers_are_open(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let batch = [calls(&[("1", "a"), ("2", "b")]), result("1"), result("2")];
    let written = scene.emit(at, claim_of(&sent), batch);
    scene.delete(at, &written[1]);
    interrupted(&scene, at, &sent, &[("1", "a")], "the answer of the first is hidden");
}

fn calls_of_an_earlier_turn_are_not_answered(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.emit(at, claim_of(&first), [calls(&[("1", "a")])]);
    scene.complete(at, claim_of(&first));
    scene.append(at, [calls(&[("2", "b")])]);
    let second = scene.send(at, "next");
    scene.emit(at, claim_of(&second), [calls(&[("1", "c")])]);
    interrupted(&scene, at, &second, &[("1", "c")], "only the turn's own");
    let third = scene.send(at, "and next");
    interrupted(&scene, at, &third, &[], "each result is written once");
}

fn an_answer_of_another_role_answers_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for role in [Role::User, Role::Assistant, Role::System] {
        let (at, sent) = scene.busy_session();
        scene.emit(at, claim_of(&sent), [calls(&[("1", "a")]), result("1").role(role)]);
        interrupted(&scene, at, &sent, &[("1", "a")], role.as_str());
    }
}
