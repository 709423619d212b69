//! What cannot be reached: other workspaces, other sessions, a busy one, a closed store.

use super::*;
use crate::page::MessageQuery;
use crate::store::EndOrphans;

#[test]
fn another_workspace_reads_as_not_found() {
    let on = Fixture::new();
    let claim = on.start();
    let message = on.messages()[0].clone();
    let thread = message.thread_id.unwrap();
    let other = on.workspace("other");
    let away = SessionRef { workspace: other, ..on.at };
    on.refused(ErrorKind::NotFound, || on.store.session(away));
    on.refused(ErrorKind::NotFound, || on.store.message(away, message.id));
    on.refused(ErrorKind::NotFound, || on.store.turn(away, claim.turn));
    on.refused(ErrorKind::NotFound, || on.store.thread(away, thread));
    on.refused(ErrorKind::NotFound, || on.store.turns(away, PageAt::default()));
    on.refused(ErrorKind::NotFound, || on.store.changes(away, 0, 9));
    on.refused(ErrorKind::NotFound, || on.store.messages(away, Matching::history(1).unwrap()));
    on.refused(ErrorKind::NotFound, || on.sessions(other, Some(on.agent), PageAt::default()));
    on.refused(ErrorKind::NotFound, || on.sessions(Uuid::nil().into(), None, PageAt::default()));
    on.refused(ErrorKind::NotFound, || on.store.session_by_key(other, on.agent, &on.record().key));
    on.refused(ErrorKind::NotFound, || on.store.find_agent(Uuid::nil().into(), "greeter"));
    assert_eq!(on.store.find_agent(other, "greeter").unwrap(), None);
    assert_eq!(on.sessions(other, None, PageAt::default()).unwrap().total, 0);
    let new = NewSession::default();
    let op = CreateSession { stamp: on.stamp(), workspace: other, agent: on.agent, new, first: None };
    on.refused(ErrorKind::NotFound, || on.store.create_session(op));
}

#[test]
fn two_workspaces_may_have_the_same_session_id() {
    let on = Fixture::new();
    let other = on.workspace("other");
    let agent = on.agent(other, "greeter");
    let new = NewSession::default().id(on.at.session);
    let op = CreateSession { stamp: on.stamp(), workspace: other, agent, new, first: None };
    let made = on.store.create_session(op).unwrap();
    assert!(!made.replayed);
    on.append([NewMessage::text("x")]).unwrap();
    assert_eq!(on.store.session(SessionRef { workspace: other, ..on.at }).unwrap(), made.session);
}

#[test]
fn a_thread_of_another_session_is_not_found() {
    let mut on = Fixture::new();
    let thread = on.submit(Policy::Reject, "hello").unwrap().turn.thread_id;
    on.at = on.session(NewSession::default());
    on.append([NewMessage::text("x")]).unwrap();
    let turn = || NewTurn::from("x").thread(thread);
    on.refused(ErrorKind::NotFound, || on.submit(Policy::Reject, turn()));
    on.refused(ErrorKind::NotFound, || on.submit(Policy::FollowUp, turn()));
    on.refused(ErrorKind::NotFound, || on.append_to(Some(thread), [NewMessage::text("x")]));
    on.refused(ErrorKind::NotFound, || {
        on.store.messages(on.at, MessageQuery::default().thread(thread).matching().unwrap())
    });
    on.refused(ErrorKind::NotFound, || on.store.thread(on.at, thread));
}

#[test]
fn a_named_thread_is_gone_on_with() {
    let on = Fixture::new();
    let claim = on.start();
    let thread = on.store.turn(on.at, claim.turn).unwrap().thread_id;
    let next = on.submit(Policy::FollowUp, NewTurn::from("more").thread(thread)).unwrap();
    assert_eq!((next.turn.thread_id, next.message.thread_id), (thread, Some(thread)));
    on.finish(next.claim.unwrap(), Outcome::Completed(None)).unwrap();
    let third = on.submit(Policy::Reject, "new").unwrap().turn.thread_id;
    let number = |thread| on.store.thread(on.at, thread).unwrap().number;
    assert_eq!((number(thread), number(third)), (1, 2));
}

#[test]
fn a_busy_session_refuses_all_but_a_follow_up() {
    let on = Fixture::new();
    on.refused(ErrorKind::BadRequest, || on.submit(Policy::FollowUp, "x"));
    on.start();
    on.refused(ErrorKind::Conflict, || on.submit(Policy::Reject, "x"));
    on.refused(ErrorKind::Conflict, || on.append([NewMessage::text("x")]));
    on.delete(on.messages()[0].id).unwrap();
    let next = on.submit(Policy::FollowUp, "x").unwrap();
    on.finish(next.claim.unwrap(), Outcome::Completed(None)).unwrap();
    on.messages().iter().for_each(|message| on.delete(message.id).unwrap());
    assert_eq!(on.submit(Policy::FollowUp, "y").unwrap().interrupted, None);
}

#[test]
fn a_turn_runs_with_its_own_profile_or_the_sessions() {
    let on = Fixture::new();
    let json = |text| crate::Json::parse(text).unwrap();
    let first = Some(NewTurn::from("a"));
    let started = on.create(NewSession::default().profile(json("1")), first).unwrap().first.unwrap();
    assert_eq!(started.turn.profile, Some(json("1")));
    let at = SessionRef { session: started.turn.session_id, ..on.at };
    let new = NewTurn::from("b").profile(json("2"));
    let runner = Runner { owner: OWNER, lease: None, behaviour: Behaviour::Registered };
    let op = Submit {
        stamp: on.stamp(),
        at,
        new,
        policy: Policy::FollowUp,
        runner,
        sender: None,
        queue: QueueBounds::default(),
    };
    assert_eq!(on.store.submit(op).unwrap().turn.profile, Some(json("2")));
}

#[test]
fn a_created_session_takes_its_ids_and_events_in_order() {
    let on = Fixture::new();
    let stamp = on.stamp();
    let first = Some((NewTurn::from("hello"), Runner { owner: OWNER, lease: None, behaviour: Behaviour::Registered }));
    let (workspace, agent, new) = (on.workspace, on.agent, NewSession::default());
    let made = on.store.create_session(CreateSession { stamp, workspace, agent, new, first }).unwrap();
    let first = made.first.unwrap();
    let ids = [*made.session.id.as_uuid(), *first.message.id.as_uuid(), *first.turn.thread_id.as_uuid()];
    assert_eq!(ids, [0, 1, 2].map(|n| stamp.uuid(n)));
    assert_eq!(*first.turn.id.as_uuid(), stamp.uuid(3));
    assert_eq!(first.claim, Some(Claim { turn: first.turn.id, owner: OWNER, epoch: 1 }));
    assert_eq!((made.session.running_turn, made.session.last_change), (Some(first.turn.id), 3));
    let at = SessionRef { workspace, session: made.session.id };
    let kinds: Vec<_> = on.store.changes(at, 0, 9).unwrap().iter().map(|change| change.kind).collect();
    let running = ChangeKind::Turn(first.turn.id, crate::TurnState::Running);
    assert_eq!(kinds, [ChangeKind::Created, ChangeKind::Message(first.message.id), running]);
    assert_eq!(on.store.changes(at, 1, 1).unwrap()[0].number, 2);
}

#[test]
fn after_close_every_operation_is_closed() {
    let on = Fixture::new();
    let claim = on.start();
    let thread = on.messages()[0].thread_id.unwrap();
    on.store.close().unwrap();
    let kinds = [
        on.store.ensure_workspace(EnsureWorkspace { stamp: on.stamp(), name: "x".into() }).map(drop),
        on.store.find_workspace("acme").map(drop),
        on.store.ensure_agent(EnsureAgent { stamp: on.stamp(), workspace: on.workspace, name: "x".into() }).map(drop),
        on.store.find_agent(on.workspace, "greeter").map(drop),
        on.create(NewSession::default(), None).map(drop),
        on.store.session(on.at).map(drop),
        on.store.session_by_key(on.workspace, on.agent, "x").map(drop),
        on.sessions(on.workspace, None, PageAt::default()).map(drop),
        on.store.thread(on.at, thread).map(drop),
        on.append([NewMessage::text("x")]).map(drop),
        on.submit(Policy::FollowUp, "x").map(drop),
        on.emit(claim, [NewMessage::text("x")]).map(drop),
        on.finish(claim, Outcome::Completed(None)).map(drop),
        on.delete(id(1)),
        on.store.message(on.at, id(1)).map(drop),
        on.store.messages(on.at, Matching::history(1).unwrap()).map(drop),
        on.store.turn(on.at, claim.turn).map(drop),
        on.store.turns(on.at, PageAt::default()).map(drop),
        on.store.changes(on.at, 0, 1).map(drop),
        on.store
            .end_orphans(EndOrphans { stamp: on.stamp(), owner: OTHER, limit: 1, recovery: Recovery::End })
            .map(drop),
        on.store.outbox(1).map(drop),
        on.store.verify().map(drop),
        on.store.close(),
    ];
    for (n, outcome) in kinds.into_iter().enumerate() {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed, "operation {n}");
    }
}
