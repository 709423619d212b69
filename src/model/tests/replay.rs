//! Ids of the caller's: a repeated operation returns the original, everything else is refused.

use super::*;
use crate::id::SessionId;
use crate::record::{Json, TurnState};

#[test]
fn a_repeated_append_returns_the_originals_even_while_busy() {
    let on = Fixture::new();
    let originals = on.append([named(1, "a"), named(2, "b")]).unwrap();
    on.start();
    assert_eq!(on.untouched(|| on.append([named(1, "a"), named(2, "b")])), originals);
    assert_eq!(on.untouched(|| on.append([named(2, "b")])), originals[1..]);
    on.refused(ErrorKind::Conflict, || on.append([named(3, "c")]));
}

#[test]
fn a_batch_of_ids_is_repeated_as_a_whole_or_not_at_all() {
    let on = Fixture::new();
    on.append([named(1, "a")]).unwrap();
    on.refused(ErrorKind::Conflict, || on.append([named(1, "a"), named(2, "b")]));
    on.refused(ErrorKind::Conflict, || on.append([named(1, "a"), "without".into()]));
    on.refused(ErrorKind::Conflict, || on.append([named(1, "other")]));
    on.refused(ErrorKind::Conflict, || on.append([named(1, "a").ts(crate::Ts::ZERO)]));
    on.refused(ErrorKind::InvalidArgument, || on.append([named(2, "b"), named(2, "b")]));
    on.refused(ErrorKind::InvalidArgument, || on.append([named(1, "a"), named(1, "a")]));
    let thread = on.submit(Policy::Reject, "x").unwrap().turn.thread_id;
    on.refused(ErrorKind::Conflict, || on.append_to(Some(thread), [named(1, "a")]));
}

#[test]
fn an_id_stays_used_after_its_message_was_deleted() {
    let on = Fixture::new();
    let appended = on.append([named(1, "a")]).unwrap();
    let submitted = on.submit(Policy::Reject, named(2, "b")).unwrap();
    on.finish(submitted.claim.unwrap(), Outcome::Completed(None)).unwrap();
    on.delete(id(1)).unwrap();
    on.delete(id(2)).unwrap();
    assert_eq!(on.untouched(|| on.append([named(1, "a")])), appended);
    assert_eq!(on.untouched(|| on.submit(Policy::Reject, named(2, "b"))).message, submitted.message);
}

#[test]
fn a_repeated_submit_neither_interrupts_nor_minds_its_policy() {
    let on = Fixture::new();
    let first = on.submit(Policy::Reject, named(1, "a")).unwrap();
    for policy in [Policy::Reject, Policy::FollowUp] {
        let again = on.untouched(|| on.submit_as(OTHER, policy, named(1, "a")));
        assert_eq!(again, Submitted { claim: None, replayed: true, ..first.clone() });
    }
    let second = on.submit(Policy::FollowUp, named(2, "b")).unwrap();
    assert_eq!(second.interrupted, Some(first.turn.id));
    let again = on.untouched(|| on.submit(Policy::FollowUp, named(1, "a")));
    assert_eq!((again.turn.id, again.turn.state), (first.turn.id, TurnState::Interrupted));
    on.finish(second.claim.unwrap(), Outcome::Completed(None)).unwrap();
    let again = on.untouched(|| on.submit(Policy::FollowUp, named(2, "b")));
    assert_eq!((again.turn.state, again.interrupted), (TurnState::Completed, None));
}

#[test]
fn an_id_of_one_operation_is_a_conflict_in_another_or_with_other_inputs() {
    let on = Fixture::new();
    on.append([named(1, "a")]).unwrap();
    let claim = on.submit(Policy::Reject, named(2, "b")).unwrap().claim.unwrap();
    on.emit(claim, [named(3, "c")]).unwrap();
    for n in [1, 2, 3] {
        on.refused(ErrorKind::Conflict, || on.emit(claim, ["new".into(), named(n, "c")]));
        let answer = Outcome::Completed(Some(Box::new(named(n, "c"))));
        on.refused(ErrorKind::Conflict, || on.finish(claim, answer));
    }
    let json = Json::parse("{}").unwrap();
    for other in [
        named(1, "a").into(),
        named(2, "c").into(),
        named(3, "c").into(),
        NewTurn::from(named(2, "b")).user_params(json.clone()),
        NewTurn::from(named(2, "b")).profile(json),
        NewTurn::from(named(2, "b")).thread(on.messages()[1].thread_id.unwrap()),
    ] {
        on.refused(ErrorKind::Conflict, || on.submit(Policy::FollowUp, other));
    }
    on.refused(ErrorKind::Conflict, || on.append([named(2, "b")]));
    on.refused(ErrorKind::Conflict, || on.append([named(3, "c")]));
    on.refused(ErrorKind::InvalidArgument, || on.emit(claim, [named(4, "d"), named(4, "d")]));
}

#[test]
fn a_repeated_create_returns_the_original_as_it_is_now() {
    let on = Fixture::new();
    let session = SessionId::from_uuid(Uuid::from_u128(7));
    let new = || NewSession::default().id(session).key("k").label("l");
    let first = || Some(NewTurn::from(named(1, "a")));
    let created = on.create(new(), first()).unwrap();
    let started = created.first.unwrap();
    let at = SessionRef { session, ..on.at };
    let end = Outcome::Completed(None);
    let claim = started.claim.unwrap();
    on.store
        .finish(Finish { stamp: on.stamp(), at, claim, started_at: None, outcome: end, usage: Usage::ZERO, next: None })
        .unwrap();
    let again = on.untouched(|| on.create(new(), first()));
    assert!(again.replayed && !created.replayed);
    assert_eq!(again.session, on.store.session(at).unwrap());
    let turn = on.store.turn(at, started.turn.id).unwrap();
    assert_eq!(again.first, Some(Submitted { turn, claim: None, replayed: true, ..started }));
    for (new, first) in [
        (new(), None),
        (new(), Some(NewTurn::from(named(1, "b")))),
        (new().label("m"), first()),
        (NewSession { key: None, ..new() }, first()),
    ] {
        on.refused(ErrorKind::Conflict, || on.create(new, first));
    }
    let agent = on.agent(on.workspace, "other");
    let first = first().map(|turn| (turn, Runner { owner: OWNER, lease: None, behaviour: Behaviour::Registered }));
    let op = CreateSession { stamp: on.stamp(), workspace: on.workspace, agent, new: new(), first };
    on.refused(ErrorKind::Conflict, || on.store.create_session(op));
}

#[test]
fn a_key_is_taken_by_one_live_session_of_an_agent() {
    let on = Fixture::new();
    let id = SessionId::from_uuid(Uuid::from_u128(7));
    let taken = on.session(NewSession::default().key("k"));
    on.session(NewSession::default().key(id.to_string()));
    on.refused(ErrorKind::Conflict, || on.create(NewSession::default().key("k"), None));
    on.refused(ErrorKind::Conflict, || on.create(NewSession::default().id(id), None));
    on.refused(ErrorKind::Conflict, || on.create(NewSession::default().key(on.at.session.to_string()), None));
    assert_eq!(on.store.session_by_key(on.workspace, on.agent, "k").unwrap().id, taken.session);
    let other = on.agent(on.workspace, "other");
    let new = NewSession::default().key("k");
    let op = CreateSession { stamp: on.stamp(), workspace: on.workspace, agent: other, new, first: None };
    assert_eq!(on.store.create_session(op).unwrap().session.agent_id, other);
}
