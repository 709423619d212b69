//! What a running turn writes, and the one commit that ends it.

use super::inputs::{assert_says, full_message};
use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::{Conflict, InvalidArgument, TooLarge};
use crate::limit;
use crate::page::PageAt;
use crate::record::{ChangeKind, MessageType, NewMessage, Reason, Role, SessionStatus, ToolCall, TurnState};
use crate::store::{Outcome, SessionRef, Submitted};
use crate::time::Timestamp;

super::subject! {
    a_turn_writes_in_its_thread,
    an_emit_fills_in_role_and_type,
    a_turn_cannot_write_its_final_message_itself,
    a_refused_batch_writes_none_of_it,
    a_turn_writes_a_bounded_number_of_messages,
    an_answer_ends_the_turn_in_one_commit,
    an_answer_keeps_every_input,
    an_answer_is_an_assistants_final_message,
    every_outcome_has_its_state_and_status,
    the_first_write_keeps_when_the_agent_started,
    an_end_keeps_when_the_agent_started,
    the_text_of_a_failure_is_cut_to_its_bound,
    turns_are_listed_newest_first,
}

fn a_turn_writes_in_its_thread(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let mut number = sent.message.number;
    for round in 0..3 {
        let before = scene.record(at).last_change;
        let emission = scene.emission(at, claim_of(&sent), ["a".into(), full_message()]);
        let stamp = emission.stamp;
        let written = ok(scene.store.emit(emission.clone()));
        for ((n, new), message) in (0..).zip(&emission.messages).zip(&written) {
            number += 1;
            assert_eq!(*message.id.as_uuid(), stamp.uuid(n), "the n-th id is the stamp's id n");
            assert_eq!((message.session_id, message.number), (at.session, number));
            assert_eq!((message.thread_id, message.turn_id), (Some(sent.turn.thread_id), Some(sent.turn.id)));
            assert_says(message, new);
        }
        let events: Vec<_> = written.iter().map(|message| ChangeKind::Message(message.id)).collect();
        assert_eq!(scene.changes(at, before), events, "the state did not change");
        assert_eq!(scene.messages(at)[number as usize - 2..], written);
        let turn = ok(scene.store.turn(at, sent.turn.id));
        assert_eq!((turn.state, turn.messages), (TurnState::Running, 2 * (round + 1)));
        assert_eq!(scene.record(at).status, SessionStatus::Running);
    }
    let id = scene.uuid();
    let named = scene.emit(at, claim_of(&sent), [NewMessage::text("b").id(id)]);
    assert_eq!(*named[0].id.as_uuid(), id, "the agent's id is the message's");
}

fn an_emit_fills_in_role_and_type(factory: Factory<'_>) {
    use MessageType::{Message, ToolCall as Call};
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let call = ToolCall::new("c", "look", "{}");
    let text = || NewMessage::text("a");
    for (new, role, kind) in [
        (text(), Role::Assistant, Message),
        (text().role(Role::User), Role::User, Message),
        (text().role(Role::System), Role::System, Message),
        (text().tool_calls([call.clone()]), Role::Assistant, Call),
        (NewMessage::result(&call, "b"), Role::Tool, Call),
        (NewMessage::result(&call, "b").kind(Message), Role::Tool, Message),
        (text().kind(Call), Role::Assistant, Call),
    ] {
        let written = scene.emit(at, claim_of(&sent), [new.clone()]);
        assert_eq!((written[0].role, written[0].kind), (role, kind), "{new:?}");
    }
}

fn a_turn_cannot_write_its_final_message_itself(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let answer = NewMessage::text("a").kind(MessageType::FinalMessage);
    for batch in [vec![answer.clone()], vec!["b".into(), answer]] {
        scene.refused(InvalidArgument, "a final message in an emit", |store| {
            store.emit(scene.emission(at, claim_of(&sent), batch))
        });
    }
    scene.complete(at, claim_of(&sent));
}

fn a_refused_batch_writes_none_of_it(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let claim = claim_of(&sent);
    let (id, free) = (scene.uuid(), scene.uuid());
    scene.emit(at, claim, [NewMessage::text("a").id(id)]);
    let batch = || [NewMessage::text("b").id(free), NewMessage::text("a").id(id)];
    scene.refused(Conflict, "an id that the session has", |store| store.emit(scene.emission(at, claim, batch())));
    let twice = [NewMessage::text("b").id(free), NewMessage::text("b").id(free)];
    scene.refused(InvalidArgument, "an id twice in the batch", |store| store.emit(scene.emission(at, claim, twice)));
    assert_eq!(*scene.emit(at, claim, [NewMessage::text("b").id(free)])[0].id.as_uuid(), free);
    scene.delete(at, &scene.messages(at)[1]);
    scene.refused(Conflict, "the id of a deleted message", |store| {
        store.emit(scene.emission(at, claim, [NewMessage::text("a").id(id)]))
    });
}

fn a_turn_writes_a_bounded_number_of_messages(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let claim = claim_of(&sent);
    let call = ToolCall::new("open", "look", "{}");
    scene.emit(at, claim, [NewMessage::calls([call])]);
    let mut left = limit::TURN_MESSAGES as usize - 1;
    while left > 3 {
        let batch = limit::BATCH_MESSAGES.min(left - 3);
        scene.emit(at, claim, std::iter::repeat_with(|| "a".into()).take(batch));
        left -= batch;
    }
    let before = scene.record(at);
    let four = std::iter::repeat_with(|| "b".into()).take(4);
    let kind = scene.store.emit(scene.emission(at, claim, four)).err().map(|error| error.kind());
    assert_eq!(kind, Some(TooLarge), "one more than fits");
    assert_eq!(scene.record(at), before, "none of the batch was written");
    scene.emit(at, claim, ["c".into(), "d".into(), "e".into()]);
    let kind = scene.store.emit(scene.emission(at, claim, ["f".into()])).err().map(|error| error.kind());
    assert_eq!(kind, Some(TooLarge), "the turn is full");
    let used = NewMessage::text("g").id(*sent.message.id.as_uuid());
    let kind = scene.store.emit(scene.emission(at, claim, [used])).err().map(|error| error.kind());
    assert_eq!(kind, Some(Conflict), "an id in use is found before the bound");
    let ended = scene.finish(at, claim, Outcome::Interrupted(Reason::Closed));
    assert_eq!(ended.messages, limit::TURN_MESSAGES + 1, "the messages of its end are not bounded");
}

fn an_answer_ends_the_turn_in_one_commit(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.emit(at, claim_of(&sent), ["thinking".into()]);
    scene.tick();
    let before = scene.record(at).last_change;
    let ending = scene.ending(at, claim_of(&sent), Outcome::Completed(Some(Box::new("the answer".into()))));
    let stamp = ending.stamp;
    let turn = ok(scene.store.finish(ending)).turn;
    let answer = scene.messages(at)[2].clone();
    assert_eq!(*answer.id.as_uuid(), stamp.uuid(0), "the answer's id is the stamp's id 0");
    assert_eq!((answer.role, answer.kind), (Role::Assistant, MessageType::FinalMessage));
    assert_eq!((answer.thread_id, answer.turn_id), (Some(turn.thread_id), Some(turn.id)));
    assert_eq!((answer.number, answer.text().as_str()), (3, "the answer"));
    assert_eq!((turn.state, turn.reason, &turn.detail), (TurnState::Completed, None, &None));
    assert_eq!((turn.final_message, turn.messages), (Some(answer.id), 2));
    assert_eq!(turn.ended_at, Some(stamp.at));
    assert_eq!(ok(scene.store.turn(at, turn.id)), turn);
    let record = scene.record(at);
    assert_eq!((record.status, record.running_turn, record.last_message), (SessionStatus::Idle, None, 3));
    let events = [ChangeKind::Message(answer.id), ChangeKind::Turn(turn.id, TurnState::Completed)];
    assert_eq!(scene.changes(at, before), events);
}

fn an_answer_keeps_every_input(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let new = full_message().role(Role::Assistant).id(scene.uuid());
    let turn = scene.finish(at, claim_of(&sent), Outcome::Completed(Some(Box::new(new.clone()))));
    let answer = scene.messages(at)[1].clone();
    assert_says(&answer, &new);
    assert_eq!(Some(answer.id), new.id, "the agent's id is the message's");
    assert_eq!(turn.final_message, Some(answer.id));
    assert_eq!(answer.kind, MessageType::FinalMessage, "also when it carries tool calls");
}

fn an_answer_is_an_assistants_final_message(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let claim = claim_of(&sent);
    let complete = |new: NewMessage| scene.ending(at, claim, Outcome::Completed(Some(Box::new(new))));
    for role in [Role::User, Role::System, Role::Tool] {
        let ending = complete(NewMessage::text("a").role(role));
        scene.refused(InvalidArgument, role.as_str(), |store| store.finish(ending));
    }
    for kind in [MessageType::Message, MessageType::ToolCall] {
        let ending = complete(NewMessage::text("a").kind(kind));
        scene.refused(InvalidArgument, kind.as_str(), |store| store.finish(ending));
    }
    let named = NewMessage::text("a").role(Role::Assistant).kind(MessageType::FinalMessage);
    assert_eq!(ok(scene.store.finish(complete(named))).turn.state, TurnState::Completed);
}

fn every_outcome_has_its_state_and_status(factory: Factory<'_>) {
    use Reason::{Closed, Crash, Error, FollowUp, Panic};
    let scene = Scene::new(factory);
    let text = || Some("why".to_owned());
    let mut cases = vec![(Outcome::Completed(None), None, None)];
    for reason in [FollowUp, Closed, Error, Panic, Crash] {
        cases.push((Outcome::Interrupted(reason), Some(reason), None));
        cases.push((Outcome::Failed(reason, text()), Some(reason), text()));
        cases.push((Outcome::Failed(reason, None), Some(reason), None));
    }
    let at = scene.session();
    for (outcome, reason, detail) in cases {
        let sent = scene.send(at, "hello");
        scene.tick();
        let before = scene.record(at);
        let ended = scene.finish(at, claim_of(&sent), outcome.clone());
        let state = outcome.state();
        assert_eq!((ended.state, ended.reason, &ended.detail), (state, reason, &detail), "{outcome:?}");
        assert_eq!((ended.final_message, ended.messages), (None, 0), "{outcome:?}");
        assert_eq!(ended.ended_at, Some(scene.record(at).updated_at), "{outcome:?}");
        let status = if state == TurnState::Failed { SessionStatus::Error } else { SessionStatus::Idle };
        let record = scene.record(at);
        assert_eq!((record.status, record.running_turn), (status, None), "{outcome:?}");
        assert_eq!(record.last_message, before.last_message, "{outcome:?} writes no message");
        assert_eq!(scene.changes(at, before.last_change), [ChangeKind::Turn(ended.id, state)]);
        assert_eq!(ok(scene.store.turn(at, ended.id)), ended);
    }
}

fn micros_after(sent: &Submitted, micros: u64) -> Timestamp {
    Timestamp::from_micros(sent.turn.created_at.as_micros() + micros)
}

fn the_first_write_keeps_when_the_agent_started(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let emit = |at: SessionRef, sent: &Submitted, started_at: Timestamp| {
        scene.tick();
        let mut emission = scene.emission(at, claim_of(sent), ["a".into()]);
        emission.started_at = started_at;
        ok(scene.store.emit(emission));
        ok(scene.store.turn(at, sent.turn.id)).started_at
    };
    let (at, sent) = scene.busy_session();
    let started = Some(micros_after(&sent, 5));
    assert_eq!(emit(at, &sent, micros_after(&sent, 5)), started);
    assert_eq!(emit(at, &sent, micros_after(&sent, 9)), started, "a later write does not move it");
    let mut ending = scene.ending(at, claim_of(&sent), Outcome::Completed(None));
    ending.started_at = Some(micros_after(&sent, 99));
    assert_eq!(ok(scene.store.finish(ending)).turn.started_at, started, "nor does the end");
    let (at, sent) = scene.busy_session();
    let earlier = Timestamp::from_micros(sent.turn.created_at.as_micros() - 1);
    assert_eq!(emit(at, &sent, earlier), Some(sent.turn.created_at), "never before it was accepted");
    let (at, sent) = scene.busy_session();
    let kept = emit(at, &sent, Timestamp::MAX);
    assert_eq!(kept, Some(scene.record(at).updated_at), "never after the write that keeps it");
}

fn an_end_keeps_when_the_agent_started(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for outcome in
        [Outcome::Completed(None), Outcome::Failed(Reason::Panic, None), Outcome::Interrupted(Reason::Closed)]
    {
        let end = |started_at: fn(&Submitted) -> Option<Timestamp>| {
            let (at, sent) = scene.busy_session();
            scene.tick();
            let mut ending = scene.ending(at, claim_of(&sent), outcome.clone());
            ending.started_at = started_at(&sent);
            (ok(scene.store.finish(ending)).turn.started_at, sent)
        };
        let (started_at, _) = end(|_| None);
        assert_eq!(started_at, None, "an agent that never started");
        let (started_at, sent) = end(|sent| Some(micros_after(sent, 5)));
        assert_eq!(started_at, Some(micros_after(&sent, 5)));
        let (started_at, sent) = end(|_| Some(Timestamp::from_micros(1)));
        assert_eq!(started_at, Some(sent.turn.created_at), "never before it was accepted");
    }
}

fn the_text_of_a_failure_is_cut_to_its_bound(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let bound = limit::REASON_BYTES;
    for (text, kept) in [
        ("a".repeat(bound), bound),
        ("a".repeat(bound + 1), bound),
        ("ä".repeat(bound), bound),
        (format!("a{}", "ä".repeat(bound)), bound - 1),
        (format!("a{}", "😀".repeat(bound)), bound - 3),
    ] {
        let (at, sent) = scene.busy_session();
        let ended = scene.finish(at, claim_of(&sent), Outcome::Failed(Reason::Error, Some(text.clone())));
        assert_eq!(ended.detail.as_deref(), text.get(..kept), "as many whole characters as fit");
        assert_eq!(ok(scene.store.turn(at, ended.id)), ended);
    }
}

fn turns_are_listed_newest_first(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let mut turns = vec![scene.complete(at, claim_of(&first))];
    scene.busy_session();
    for round in 0..6 {
        let sent = scene.follow_up(at, "next");
        scene.tick();
        turns.push(if round % 2 == 0 {
            scene.finish(at, claim_of(&sent), Outcome::Failed(Reason::Error, None))
        } else {
            scene.complete(at, claim_of(&sent))
        });
    }
    turns.push(scene.send(at, "running").turn);
    turns.reverse();
    for limit in [1, 3, 8, 100] {
        let mut listed = Vec::new();
        for page in 1..=10 {
            let found = ok(scene.store.turns(at, PageAt { page, limit }));
            assert_eq!(found.total, turns.len() as u64, "page {page} of {limit}");
            listed.extend(found.items);
        }
        assert_eq!(listed, turns, "limit {limit}");
    }
    let empty = ok(scene.store.turns(scene.session(), PageAt::default()));
    assert_eq!((empty.items, empty.total), (Vec::new(), 0));
}
