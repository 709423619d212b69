//! A follow-up ends the running turn in the commit that accepts it.

use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::{Conflict, NotFound};
use crate::record::{
    ChangeKind, Content, MessageType, NewMessage, NewTurn, Reason, Role, SessionStatus, ToolCall, TurnState,
};
use crate::store::{Policy, Submit};
use crate::time::Timestamp;

super::subject! {
    a_follow_up_interrupts_the_running_turn,
    a_follow_up_ends_the_old_turn_first,
    a_follow_up_of_a_follow_up_interrupts_that_one,
    an_interrupted_turn_keeps_its_messages,
    a_refused_follow_up_interrupts_nothing,
}

fn a_follow_up_interrupts_the_running_turn(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, old) = scene.busy_session();
    scene.tick();
    let new = scene.follow_up(at, "no, do this");
    assert_eq!(new.interrupted, Some(old.turn.id));
    assert_eq!((new.turn.state, new.turn.number), (TurnState::Running, 2));
    assert_ne!(new.turn.thread_id, old.turn.thread_id, "it opens a thread of its own");
    let ended = ok(scene.store.turn(at, old.turn.id));
    assert_eq!((ended.state, ended.reason), (TurnState::Interrupted, Some(Reason::FollowUp)));
    assert_eq!((ended.final_message, ended.messages, ended.started_at), (None, 0, None));
    assert_eq!(ended.ended_at, Some(new.turn.created_at), "ended in the commit that accepted the new one");
    let record = scene.record(at);
    assert_eq!((record.status, record.running_turn), (SessionStatus::Running, Some(new.turn.id)));
}

fn a_follow_up_ends_the_old_turn_first(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, old) = scene.busy_session();
    let calls = [ToolCall::new("c1", "look", "{}"), ToolCall::new("c2", "book", "{}")];
    scene.emit(at, claim_of(&old), [NewMessage::calls(calls)]);
    let before = scene.record(at);
    let submit = Submit { policy: Policy::FollowUp, ..scene.submission(at, "no") };
    let stamp = submit.stamp;
    let new = ok(scene.store.submit(submit));
    let written: Vec<_> =
        scene.messages(at).into_iter().filter(|message| message.number > before.last_message).collect();
    assert_eq!(written.len(), 3, "two results and the new message");
    for ((n, name), message) in (3..).zip(["look", "book"]).zip(&written) {
        assert_eq!(*message.id.as_uuid(), stamp.uuid(n), "ids of results are the stamp's from 3 on");
        assert_eq!((message.role, message.kind, message.synthetic), (Role::Tool, MessageType::ToolCall, true));
        assert_eq!(message.name.as_deref(), Some(name));
        assert_eq!(message.content, Some(Content::from("interrupted: follow_up")));
        assert_eq!((message.thread_id, message.turn_id), (Some(old.turn.thread_id), Some(old.turn.id)));
    }
    assert_eq!(written[2], new.message, "the new message comes after the results");
    let mut events: Vec<_> = written[..2].iter().map(|message| ChangeKind::Message(message.id)).collect();
    events.push(ChangeKind::Turn(old.turn.id, TurnState::Interrupted));
    events.push(ChangeKind::Message(new.message.id));
    events.push(ChangeKind::Turn(new.turn.id, TurnState::Running));
    assert_eq!(scene.changes(at, before.last_change), events);
    assert_eq!(ok(scene.store.turn(at, old.turn.id)).messages, 3, "the results of its end count");
}

fn a_follow_up_of_a_follow_up_interrupts_that_one(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, mut last) = scene.busy_session();
    for _ in 0..5 {
        let next = scene.follow_up(at, "again");
        assert_eq!(next.interrupted, Some(last.turn.id));
        last = next;
    }
    let states: Vec<_> = ok(scene.store.turns(at, Default::default())).items.into_iter().map(|t| t.state).collect();
    let mut expected = vec![TurnState::Interrupted; 6];
    expected[0] = TurnState::Running;
    assert_eq!(states, expected, "at most one turn runs");
}

fn an_interrupted_turn_keeps_its_messages(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, old) = scene.busy_session();
    let started_at = Timestamp::from_micros(old.turn.created_at.as_micros() + 17);
    scene.tick();
    let mut emission = scene.emission(at, claim_of(&old), ["partial".into()]);
    emission.started_at = started_at;
    ok(scene.store.emit(emission));
    let before = scene.messages(at);
    let new = scene.follow_up(at, "no");
    let mut expected = before;
    expected.push(new.message.clone());
    assert_eq!(scene.messages(at), expected);
    let ended = ok(scene.store.turn(at, old.turn.id));
    assert_eq!((ended.messages, ended.started_at), (1, Some(started_at)));
}

fn a_refused_follow_up_interrupts_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, running) = scene.busy_session();
    scene.emit(at, claim_of(&running), [NewMessage::text("a").id(scene.uuid())]);
    let follow = |new: NewTurn| Submit { policy: Policy::FollowUp, ..scene.submission(at, new) };
    let emitted = scene.messages(at)[1].id;
    let elsewhere = NewTurn::from("no").thread(scene.uuid().into());
    scene.refused(NotFound, "to an unknown thread", |store| store.submit(follow(elsewhere)));
    let used = NewTurn::from(NewMessage::text("no").id(*emitted.as_uuid()));
    scene.refused(Conflict, "with an id in use", |store| store.submit(follow(used)));
    assert_eq!(scene.emit(at, claim_of(&running), ["still running".into()]).len(), 1);
}
