//! How turns end: the fence, open tool calls, orphans, the outbox.

use super::*;
use crate::limit::{BATCH_MESSAGES, REASON_BYTES, TURN_MESSAGES};
use crate::record::{MessageType, Reason, Role, ToolCall, TurnState, Webhook};
use crate::store::EndOrphans;

#[test]
fn a_follow_up_ends_the_running_turn_in_the_order_of_what_happens() {
    let on = Fixture::new();
    let claim = on.start();
    on.emit(claim, [NewMessage::calls([ToolCall::new("c", "lookup", "{}")])]).unwrap();
    let last = on.record().last_change;
    let stamp = on.stamp();
    let op = Submit {
        stamp,
        at: on.at,
        new: "no, this".into(),
        policy: Policy::FollowUp,
        runner: Runner { owner: OTHER, lease: None, behaviour: Behaviour::Registered },
        sender: None,
        queue: QueueBounds::default(),
    };
    let next = on.store.submit(op).unwrap();
    let synthetic = MessageId::from_uuid(stamp.uuid(3));
    assert_eq!(
        on.changes_after(last),
        [
            ChangeKind::Message(synthetic),
            ChangeKind::Turn(claim.turn, TurnState::Interrupted),
            ChangeKind::Message(MessageId::from_uuid(stamp.uuid(0))),
            ChangeKind::Turn(next.turn.id, TurnState::Running),
        ]
    );
    assert_eq!((*next.turn.thread_id.as_uuid(), *next.turn.id.as_uuid()), (stamp.uuid(1), stamp.uuid(2)));
    assert_eq!(next.claim, Some(Claim { turn: next.turn.id, owner: OTHER, epoch: 2 }));
    let result = on.store.message(on.at, synthetic).unwrap();
    let old = on.store.turn(on.at, claim.turn).unwrap();
    assert_eq!((old.reason, old.messages), (Some(Reason::FollowUp), 2));
    assert_eq!((result.role, result.kind, result.synthetic), (Role::Tool, MessageType::ToolCall, true));
    assert_eq!((result.text(), result.name.as_deref()), ("interrupted: follow_up".into(), Some("lookup")));
    assert_eq!((result.tool_call_id.as_deref(), result.thread_id), (Some("c"), Some(old.thread_id)));
}

#[test]
fn a_claim_that_does_not_hold_is_fenced_whatever_it_brings() {
    let on = Fixture::new();
    let old = on.start();
    let new = on.submit(Policy::FollowUp, "next").unwrap().claim.unwrap();
    let claims = [
        old,
        Claim { epoch: 1, ..new },
        Claim { owner: OTHER, ..new },
        Claim { turn: Uuid::from_u128(1).into(), ..new },
        Claim { turn: old.turn, ..new },
    ];
    for claim in claims {
        let bad = NewMessage::text("x").kind(MessageType::FinalMessage);
        on.refused(ErrorKind::Fenced, || on.emit(claim, [bad]));
        on.refused(ErrorKind::Fenced, || on.finish(claim, Outcome::Completed(None)));
    }
    on.finish(new, Outcome::Completed(None)).unwrap();
    on.refused(ErrorKind::Fenced, || on.finish(new, Outcome::Completed(None)));
}

#[test]
fn a_result_answers_one_call_of_its_id() {
    let call = |id: &str, name: &str| ToolCall::new(id, name, "{}");
    let calls = |calls: &[ToolCall]| NewMessage::calls(calls.to_vec());
    let result = |id: &str| NewMessage::result(&call(id, "r"), "done");
    let speech = |id: &str| NewMessage { tool_call_id: Some(id.into()), ..NewMessage::text("no result") };
    let cases: [(Vec<NewMessage>, &[&str]); 7] = [
        (vec![calls(&[call("a", "A"), call("b", "B")])], &["A", "B"]),
        (vec![calls(&[call("a", "A"), call("b", "B")]), result("b")], &["A"]),
        (vec![calls(&[call("a", "A"), call("b", "B")]), result("b"), result("a")], &[]),
        (vec![calls(&[call("a", "A"), call("a", "B")]), result("a")], &["B"]),
        (vec![calls(&[call("a", "A")]), result("a"), calls(&[call("a", "B")])], &["B"]),
        (vec![calls(&[call("a", "A")]), speech("a")], &["A"]),
        (vec![calls(&[call("a", "A")]), result("x"), result("x")], &["A"]),
    ];
    for (emitted, open) in cases {
        let on = Fixture::new();
        let claim = on.start();
        on.emit(claim, emitted.clone()).unwrap();
        let turn = on.finish(claim, Outcome::Failed(Reason::Error, None)).unwrap();
        let answered: Vec<_> = on.messages().into_iter().filter(|message| message.synthetic).collect();
        assert!(answered.iter().map(|message| message.name.as_deref()).eq(open.iter().copied().map(Some)), "{open:?}");
        assert!(answered.iter().all(|message| message.text() == "interrupted: error"));
        assert_eq!(turn.messages as usize, emitted.len() + open.len());
    }
}

#[test]
fn deleted_calls_need_no_answer_and_deleted_results_are_none() {
    let on = Fixture::new();
    let calls = ["a", "b"].map(|id| ToolCall::new(id, id, "{}"));
    let claim = on.start();
    let new = [NewMessage::calls([calls[0].clone()]), NewMessage::calls([calls[1].clone()])];
    let said = on.emit(claim, new).unwrap();
    let results = on.emit(claim, [NewMessage::result(&calls[1], "done")]).unwrap();
    on.delete(said[0].id).unwrap();
    on.delete(results[0].id).unwrap();
    on.finish(claim, Outcome::Interrupted(Reason::Closed)).unwrap();
    let synthetic: Vec<_> = on.messages().into_iter().filter(|message| message.synthetic).collect();
    assert!(synthetic.iter().map(|message| message.tool_call_id.as_deref()).eq([Some("b")]));
}

#[test]
fn a_completed_turn_leaves_its_open_calls_open() {
    let on = Fixture::new();
    let claim = on.start();
    on.emit(claim, [NewMessage::calls([ToolCall::new("a", "A", "{}")])]).unwrap();
    let turn = on.finish(claim, Outcome::Completed(Some(Box::new("bye".into())))).unwrap();
    let last = on.messages().pop().unwrap();
    assert_eq!((turn.messages, turn.final_message), (2, Some(last.id)));
    assert_eq!((last.role, last.kind, last.turn_id), (Role::Assistant, MessageType::FinalMessage, Some(turn.id)));
}

#[test]
fn only_an_answer_is_final() {
    let on = Fixture::new();
    let claim = on.start();
    let bad = [
        NewMessage::text("x").role(Role::User),
        NewMessage::text("x").kind(MessageType::Message),
        NewMessage::text("x").kind(MessageType::ToolCall),
    ];
    for answer in bad {
        on.refused(ErrorKind::InvalidArgument, || on.finish(claim, Outcome::Completed(Some(Box::new(answer)))));
    }
    let early = NewMessage::text("x").kind(MessageType::FinalMessage);
    on.refused(ErrorKind::InvalidArgument, || on.emit(claim, ["fine".into(), early]));
}

#[test]
fn a_turn_writes_so_many_messages_and_its_end_besides() {
    let on = Fixture::new();
    let claim = on.start();
    let batch = vec![NewMessage::calls([ToolCall::new("a", "A", "{}")]); BATCH_MESSAGES];
    for _ in 1..TURN_MESSAGES as usize / BATCH_MESSAGES {
        on.emit(claim, batch.clone()).unwrap();
    }
    on.emit(claim, vec![NewMessage::text("x"); BATCH_MESSAGES - 1]).unwrap();
    on.refused(ErrorKind::TooLarge, || on.emit(claim, ["y", "z"].map(NewMessage::from)));
    on.emit(claim, [NewMessage::text("y")]).unwrap();
    on.refused(ErrorKind::TooLarge, || on.emit(claim, [NewMessage::text("z")]));
    let turn = on.finish(claim, Outcome::Interrupted(Reason::Closed)).unwrap();
    assert_eq!(turn.messages, TURN_MESSAGES + TURN_MESSAGES - BATCH_MESSAGES as u32);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    for (text, kept) in [
        ("x".repeat(REASON_BYTES + 1), REASON_BYTES),
        (format!("x{}", "é".repeat(REASON_BYTES)), REASON_BYTES - 1),
        (format!("x{}", "🦀".repeat(REASON_BYTES)), REASON_BYTES - 3),
        ("é".repeat(REASON_BYTES / 2), REASON_BYTES),
    ] {
        let on = Fixture::new();
        let turn = on.finish(on.start(), Outcome::Failed(Reason::Panic, Some(text.clone()))).unwrap();
        assert_eq!(turn.detail.as_deref(), Some(&text[..kept]));
        assert_eq!(turn.reason, Some(Reason::Panic));
    }
}

#[test]
fn the_first_write_keeps_when_the_agent_started() {
    let on = Fixture::new();
    let claim = on.start();
    let created = on.store.turn(on.at, claim.turn).unwrap().created_at;
    let later = |micros| Timestamp::from_micros(created.as_micros() + micros);
    for (given, kept) in [(0, created), (9, created)] {
        let started_at = Timestamp::from_micros(START + given);
        let messages = vec!["x".into()];
        on.store.emit(Emit { stamp: on.stamp(), at: on.at, claim, started_at, messages, usage: Usage::ZERO }).unwrap();
        assert_eq!(on.store.turn(on.at, claim.turn).unwrap().started_at, Some(kept));
    }
    let end = |claim, started_at| {
        let outcome = Outcome::Completed(None);
        on.store
            .finish(Finish { stamp: on.stamp(), at: on.at, claim, started_at, outcome, usage: Usage::ZERO, next: None })
            .unwrap()
            .turn
    };
    assert_eq!(end(claim, Some(later(5))).started_at, Some(created));
    assert_eq!(end(on.start(), None).started_at, None);
    let claim = on.start();
    let ended = end(claim, Some(later(900_000)));
    assert_eq!(ended.started_at, ended.ended_at, "never after it ended");
}

#[test]
fn orphans_end_in_the_order_of_their_sessions_and_nobody_elses_turn_does() {
    let mut on = Fixture::new();
    let mut claims = Vec::new();
    for owner in [OTHER, OWNER, OTHER, OTHER] {
        on.at = on.session(NewSession::default());
        let claim = on.submit_as(owner, Policy::Reject, "hello").unwrap().claim.unwrap();
        let calls = ["a", "b"].map(|id| ToolCall::new(id, id, "{}"));
        on.emit(claim, [NewMessage::calls(calls)]).unwrap();
        claims.push(claim);
    }
    let stamp = on.stamp();
    let ended =
        on.store.end_orphans(EndOrphans { stamp, owner: OWNER, limit: 2, recovery: Recovery::End }).unwrap().ended;
    assert!(ended.iter().map(|turn| turn.id).eq([claims[0].turn, claims[2].turn]));
    for turn in &ended {
        assert_eq!((turn.state, turn.reason, turn.messages), (TurnState::Failed, Some(Reason::Crash), 3));
    }
    let mut synthetic = Vec::new();
    for turn in &ended {
        let at = SessionRef { session: turn.session_id, ..on.at };
        let messages = on.store.messages(at, Matching::history(2).unwrap()).unwrap().items;
        synthetic.extend(messages.iter().rev().map(|message| *message.id.as_uuid()));
    }
    assert!(synthetic.into_iter().eq((0..4).map(|n| stamp.uuid(n))));
    let rest = on
        .store
        .end_orphans(EndOrphans { stamp: on.stamp(), owner: OWNER, limit: 2, recovery: Recovery::End })
        .unwrap()
        .ended;
    assert!(rest.iter().map(|turn| turn.id).eq([claims[3].turn]));
    let none = EndOrphans { stamp: on.stamp(), owner: OWNER, limit: 2, recovery: Recovery::End };
    assert!(on.untouched(|| on.store.end_orphans(none)).is_empty());
}

#[test]
fn every_end_of_a_turn_with_a_webhook_is_announced_oldest_session_first() {
    let mut on = Fixture::new();
    let hooked = |n: u32| {
        let webhook = Webhook { url: format!("http://{n}"), token: None, secret: None, include_messages: false };
        NewTurn::from("hello").webhook(webhook)
    };
    let older = on.at;
    on.at = on.session(NewSession::default());
    on.submit_as(OTHER, Policy::Reject, hooked(1)).unwrap();
    on.at = older;
    on.submit(Policy::Reject, hooked(2)).unwrap();
    assert_eq!(on.store.outbox(9).unwrap(), []);
    on.store.end_orphans(EndOrphans { stamp: on.stamp(), owner: OWNER, limit: 9, recovery: Recovery::End }).unwrap();
    let claim = on.submit(Policy::FollowUp, hooked(3)).unwrap().claim.unwrap();
    on.finish(claim, Outcome::Completed(None)).unwrap();
    on.finish(on.start(), Outcome::Completed(None)).unwrap();
    let rows = on.store.outbox(9).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.webhook.url.as_str(), row.status)).collect();
    assert_eq!(
        told,
        [("http://2", TurnState::Interrupted), ("http://3", TurnState::Completed), ("http://1", TurnState::Failed),]
    );
    assert_eq!(on.store.outbox(1).unwrap(), rows[..1]);
}
