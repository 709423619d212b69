//! Sending to a session where nothing is running, and being rejected where something is.

use super::inputs::{assert_says, full_message, full_session, full_turn};
use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::{BadRequest, Conflict};
use crate::record::{ChangeKind, MessageType, NewMessage, NewTurn, Reason, Role, SessionStatus, TurnState};
use crate::store::{Outcome, Policy, SessionRef, Submit};

super::subject! {
    a_submit_starts_a_turn,
    a_submit_keeps_every_input,
    a_submit_without_a_profile_runs_with_the_sessions,
    a_submit_may_go_on_in_a_thread,
    every_submit_opens_a_thread_unless_it_names_one,
    a_busy_session_rejects,
    a_failed_session_accepts,
    a_follow_up_of_a_session_without_messages_is_a_bad_request,
    a_follow_up_of_a_session_whose_messages_are_deleted_starts,
    a_follow_up_of_an_idle_session_starts,
    each_claim_has_a_greater_epoch,
}

fn a_submit_starts_a_turn(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    scene.append(at, ["a system prompt".into()]);
    scene.tick();
    let before = scene.record(at).last_change;
    let submit = scene.submission(at, "hello");
    let stamp = submit.stamp;
    let sent = ok(scene.store.submit(submit));
    let (message, turn, claim) = (&sent.message, &sent.turn, claim_of(&sent));
    assert_eq!(*message.id.as_uuid(), stamp.uuid(0), "the message's id is the stamp's id 0");
    assert_eq!(*turn.thread_id.as_uuid(), stamp.uuid(1), "the thread's is 1");
    assert_eq!(*turn.id.as_uuid(), stamp.uuid(2), "the turn's is 2");
    assert_eq!((message.session_id, message.number), (at.session, 2));
    assert_eq!((message.thread_id, message.turn_id), (Some(turn.thread_id), Some(turn.id)));
    assert_eq!((message.role, message.kind), (Role::User, MessageType::Message));
    assert_says(message, &"hello".into());
    assert_eq!((turn.session_id, turn.message_id, turn.number), (at.session, message.id, 1));
    assert_eq!((turn.state, turn.reason, &turn.detail), (TurnState::Running, None, &None));
    assert_eq!((turn.final_message, turn.messages), (None, 0), "the message that started it does not count");
    assert_eq!((turn.created_at, turn.started_at, turn.ended_at), (stamp.at, None, None));
    assert_eq!((&turn.user_params, &turn.profile), (&None, &None));
    assert_eq!((claim.turn, claim.owner), (turn.id, scene.runner.owner));
    assert_eq!(sent.interrupted, None);
    let events = [ChangeKind::Message(message.id), ChangeKind::Turn(turn.id, TurnState::Running)];
    assert_eq!(scene.changes(at, before), events);
    let record = scene.record(at);
    assert_eq!((record.status, record.running_turn, record.last_message), (SessionStatus::Running, Some(turn.id), 2));
    assert_eq!(&ok(scene.store.message(at, message.id)), message);
    assert_eq!(&ok(scene.store.turn(at, turn.id)), turn);
    let thread = ok(scene.store.thread(at, turn.thread_id));
    assert_eq!((thread.id, thread.session_id), (turn.thread_id, at.session));
    assert_eq!((thread.number, thread.created_at), (1, stamp.at));
}

fn a_submit_keeps_every_input(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for message in [full_message().id(scene.uuid()), full_message().role(Role::Tool), NewMessage::default()] {
        let new = full_turn(message.clone());
        let sent = scene.send(at, new.clone());
        assert_says(&sent.message, &message);
        let role = message.role_or(Role::User);
        assert_eq!((sent.message.role, sent.message.kind), (role, message.kind_or_default(role)));
        if let Some(id) = message.id {
            assert_eq!(sent.message.id, id, "the caller's id is the message's");
        }
        assert_eq!((&sent.turn.user_params, &sent.turn.profile), (&new.user_params, &new.profile));
        assert_eq!(sent.turn.time_limit, new.time_limit);
        assert_eq!(ok(scene.store.turn(at, sent.turn.id)), sent.turn);
        scene.complete(at, claim_of(&sent));
    }
}

fn a_submit_without_a_profile_runs_with_the_sessions(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let record = scene.create(full_session(&scene));
    let at = SessionRef { workspace: scene.workspace, session: record.id };
    let sent = scene.send(at, "hello");
    assert_eq!(sent.turn.profile, record.profile);
    scene.complete(at, claim_of(&sent));
    let own = full_turn("hello".into());
    assert_eq!(scene.send(at, own.clone()).turn.profile, own.profile, "the send's own goes before");
    assert_eq!(scene.record(at).profile, record.profile, "the session keeps its own");
}

fn a_submit_may_go_on_in_a_thread(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.complete(at, claim_of(&first));
    let thread = first.turn.thread_id;
    let second = scene.send(at, NewTurn::from("more").thread(thread));
    assert_eq!((second.turn.thread_id, second.message.thread_id), (thread, Some(thread)));
    assert_eq!(second.turn.number, 2);
    let emitted = scene.emit(at, claim_of(&second), ["in the same thread".into()]);
    assert_eq!(emitted[0].thread_id, Some(thread));
    let followed = ok(scene
        .store
        .submit(Submit { policy: Policy::FollowUp, ..scene.submission(at, NewTurn::from("no").thread(thread)) }));
    assert_eq!(followed.turn.thread_id, thread);
}

fn every_submit_opens_a_thread_unless_it_names_one(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let (mut threads, mut named) = (Vec::new(), None);
    for number in 1..=6 {
        // Every third one goes on in the thread of the one before.
        let thread = if number % 3 == 0 { named } else { None };
        let sent = scene.send(at, NewTurn { thread, ..NewTurn::from("hello") });
        assert_eq!(sent.turn.number, number, "turns are numbered without gaps");
        named = Some(sent.turn.thread_id);
        if thread.is_none() {
            assert!(!threads.contains(&sent.turn.thread_id), "a new thread");
            threads.push(sent.turn.thread_id);
        }
        scene.complete(at, claim_of(&sent));
    }
    for (number, thread) in (1..).zip(threads) {
        assert_eq!(ok(scene.store.thread(at, thread)).number, number, "threads are numbered without gaps");
    }
}

fn a_busy_session_rejects(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, running) = scene.busy_session();
    scene.refused(Conflict, "a plain one", |store| store.submit(scene.submission(at, "second")));
    scene.emit(at, claim_of(&running), ["at work".into()]);
    let new = full_turn(full_message().id(scene.uuid()));
    scene.refused(Conflict, "a full one", |store| store.submit(scene.submission(at, new)));
    let own = NewTurn::from("second").thread(running.turn.thread_id);
    scene.refused(Conflict, "one to the running turn's thread", |store| store.submit(scene.submission(at, own)));
    scene.complete(at, claim_of(&running));
    assert_eq!(scene.send(at, "now").turn.number, 2, "the refused ones left no number out");
}

fn a_failed_session_accepts(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.finish(at, claim_of(&first), Outcome::Failed(Reason::Panic, None));
    assert_eq!(scene.record(at).status, SessionStatus::Error);
    let second = scene.send(at, "again");
    assert_eq!(scene.record(at).status, SessionStatus::Running);
    scene.complete(at, claim_of(&second));
    assert_eq!(scene.record(at).status, SessionStatus::Idle);
}

fn a_follow_up_of_a_session_without_messages_is_a_bad_request(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    scene.refused(BadRequest, "follow-up", |store| {
        store.submit(Submit { policy: Policy::FollowUp, ..scene.submission(at, "first") })
    });
    assert_eq!(scene.send(at, "first").message.number, 1);
}

fn a_follow_up_of_a_session_whose_messages_are_deleted_starts(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for message in scene.append(at, ["it had one".into()]) {
        scene.delete(at, &message);
    }
    let sent = scene.follow_up(at, "hello");
    assert_eq!((sent.message.number, sent.interrupted), (2, None));
}

fn a_follow_up_of_an_idle_session_starts(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let appended = scene.session();
    scene.append(appended, ["a prompt".into()]);
    let (ended, first) = scene.busy_session();
    scene.complete(ended, claim_of(&first));
    for at in [appended, ended] {
        let before = scene.record(at).last_change;
        let sent = scene.follow_up(at, "hello");
        assert_eq!((sent.interrupted, sent.turn.state), (None, TurnState::Running));
        let events = [ChangeKind::Message(sent.message.id), ChangeKind::Turn(sent.turn.id, TurnState::Running)];
        assert_eq!(scene.changes(at, before), events, "nothing was interrupted");
    }
}

fn each_claim_has_a_greater_epoch(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let mut last = claim_of(&first);
    for round in 0..6 {
        let sent = match round % 3 {
            0 => scene.follow_up(at, "interrupts"),
            1 => {
                scene.complete(at, last);
                scene.send(at, "after an end")
            }
            _ => {
                scene.end_orphans(99, 10);
                scene.send(at, "after a crash")
            }
        };
        let claim = claim_of(&sent);
        assert!(claim.epoch > last.epoch, "{claim:?} after {last:?}");
        last = claim;
    }
}
