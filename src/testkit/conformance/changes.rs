//! The change feed: dense numbers, the order of each operation's events, pages.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::record::{Change, ChangeKind, NewMessage, Reason, ToolCall, TurnState};
use crate::store::{CreateSession, Outcome, SessionRef};

super::subject! {
    each_operation_tells_its_events_in_order,
    a_read_begins_after_any_number,
    reads_and_repetitions_tell_nothing,
    each_session_has_numbers_of_its_own,
}

fn call() -> NewMessage {
    NewMessage::calls([ToolCall::new("c", "look", "{}")])
}

fn each_operation_tells_its_events_in_order(factory: Factory<'_>) {
    use ChangeKind::{Created, Deleted, Message, Turn};
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut expected = vec![Created];
    let appended = scene.append(at, ["a".into(), "b".into()]);
    expected.extend(appended.iter().map(|message| Message(message.id)));
    scene.delete(at, &appended[1]);
    expected.push(Deleted(appended[1].id));
    let first = scene.send(at, "c");
    expected.extend([Message(first.message.id), Turn(first.turn.id, TurnState::Running)]);
    expected.extend(scene.emit(at, claim_of(&first), [call(), "d".into()]).iter().map(|message| Message(message.id)));
    let second = scene.follow_up(at, "e");
    let result = scene.messages(at).iter().find(|message| message.synthetic).map(|message| message.id);
    expected.extend(result.map(Message));
    expected.push(Turn(first.turn.id, TurnState::Interrupted));
    expected.extend([Message(second.message.id), Turn(second.turn.id, TurnState::Running)]);
    scene.delete(at, &second.message);
    expected.push(Deleted(second.message.id));
    let ended = scene.finish(at, claim_of(&second), Outcome::Completed(Some(Box::new("done".into()))));
    expected.extend(ended.final_message.map(Message));
    expected.push(Turn(second.turn.id, TurnState::Completed));
    let third = scene.send(at, "f");
    expected.extend([Message(third.message.id), Turn(third.turn.id, TurnState::Running)]);
    expected.extend(scene.emit(at, claim_of(&third), [call(), call()]).iter().map(|message| Message(message.id)));
    scene.finish(at, claim_of(&third), Outcome::Failed(Reason::Error, None));
    let results: Vec<_> = scene.messages(at).into_iter().filter(|message| message.synthetic).collect();
    expected.extend(results[1..].iter().map(|message| Message(message.id)));
    expected.push(Turn(third.turn.id, TurnState::Failed));
    let fourth = scene.send(at, "g");
    expected.extend([Message(fourth.message.id), Turn(fourth.turn.id, TurnState::Running)]);
    scene.end_orphans(99, 10);
    expected.push(Turn(fourth.turn.id, TurnState::Failed));
    assert_eq!(scene.changes(at, 0), expected);
    assert_eq!(results.len(), 3, "each open call has its result");
}

fn a_read_begins_after_any_number(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = scene.busy_session();
    for _ in 0..10 {
        scene.follow_up(at, "again");
    }
    let all: Vec<Change> = ok(scene.store.changes(at, 0, 1000));
    assert_eq!(all.len(), 3 + 10 * 3);
    for after in 0..=all.len() + 2 {
        for limit in [1, 2, 1000] {
            let expected: Vec<_> = all.iter().skip(after).take(limit).copied().collect();
            assert_eq!(ok(scene.store.changes(at, after as u64, limit as u32)), expected, "{limit} after {after}");
        }
    }
    assert_eq!(ok(scene.store.changes(at, u64::MAX, 1000)), []);
}

fn reads_and_repetitions_tell_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let id = scene.uuid();
    let first = Some((NewMessage::text("a").id(scene.uuid()).into(), scene.runner));
    let new = crate::NewSession::default().id(id);
    let creation = CreateSession { first, ..scene.creation(new) };
    let created = ok(scene.store.create_session(creation.clone()));
    let at = SessionRef { workspace: scene.workspace, session: created.session.id };
    ok(scene.store.create_session(creation));
    scene.snapshot();
    assert_eq!(scene.changes(at, 0).len(), 3, "one creation, one message, one turn");
}

fn each_session_has_numbers_of_its_own(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (one, other) = (scene.session(), scene.session());
    for at in [one, other, one, one, other] {
        scene.append(at, ["a".into()]);
    }
    assert_eq!((scene.changes(one, 0).len(), scene.changes(other, 0).len()), (4, 3));
}
