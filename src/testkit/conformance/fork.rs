//! Forks: a new session with the messages of another one up to one of them.

use std::ops::ControlFlow;

use super::delete_session::worked_session;
use super::scene::{Factory, Scene, ok, unknown_session};
use crate::error::ErrorKind::{Cancelled, Conflict, NotFound};
use crate::id::MessageId;
use crate::page::Matching;
use crate::progress::Progress;
use crate::record::{ChangeKind, ContextMark, ForkedFrom, Message, NewMessage, NewSession, Role, SessionRecord};
use crate::store::{ArchiveSession, CreateSession, DeleteMessage, ForkSession, Purge, SessionRef, SetContextMark};
use crate::testkit::snapshot::EVERY;

super::subject! {
    a_fork_has_the_messages_up_to_one_and_no_more,
    a_fork_and_its_source_change_each_for_itself,
    what_a_fork_was_made_from_is_recorded,
    hidden_messages_are_left_behind,
    messages_of_a_fork_stand_in_threads_of_its_own,
    a_fork_takes_the_context_mark_along,
    a_busy_session_is_forked_too,
    a_fork_goes_on,
    a_repeated_fork_answers_with_the_original,
    a_taken_key_or_id_refuses_a_fork,
    a_fork_of_another_agent_is_no_original,
    what_is_not_there_cannot_be_forked,
    who_breaks_off_has_made_nothing,
    a_message_that_is_erased_meanwhile_is_not_copied_as_an_empty_one,
    an_archive_that_comes_meanwhile_keeps_its_id,
    a_fork_of_a_fork_of_a_long_session_is_whole,
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(super) fn forking(scene: &Scene, at: SessionRef, message: MessageId) -> ForkSession {
    ForkSession { stamp: scene.stamp(), at, message, new: NewSession::default() }
}

#[track_caller]
fn fork(scene: &Scene, at: SessionRef, message: MessageId) -> (SessionRef, SessionRecord) {
    let record = ok(scene.store.fork_session(forking(scene, at, message), &mut go_on));
    let at = SessionRef { workspace: at.workspace, session: record.id };
    assert_eq!(record, scene.record(at), "the answer is the session as it stands");
    (at, record)
}

fn all(scene: &Scene, at: SessionRef) -> Vec<Message> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let page = ok(scene.store.messages(at, Matching { offset, limit: 100, ..EVERY }));
        offset += page.items.len() as u64;
        if page.items.is_empty() {
            return all;
        }
        all.extend(page.items);
    }
}

/// What a copy says that is not its own.
fn said(message: &Message) -> impl PartialEq + std::fmt::Debug + use<> {
    let Message { role, kind, content, tool_calls, tool_call_id, name, images, artifact_ids, metadata, .. } =
        message.clone();
    let said = (role, kind, content, tool_calls, tool_call_id, name, images, artifact_ids, metadata);
    (said, message.ts, message.created_at, message.synthetic)
}

fn a_fork_has_the_messages_up_to_one_and_no_more(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, _) = worked_session(&scene, NewSession::default().label("source"));
    let source = all(&scene, at);
    for cut in 0..source.len() {
        let (forked, record) = fork(&scene, at, source[cut].id);
        let copies = all(&scene, forked);
        let due: Vec<_> = source[..=cut].iter().map(said).collect();
        assert_eq!(copies.iter().map(said).collect::<Vec<_>>(), due, "up to message {cut}");
        let numbers: Vec<u32> = copies.iter().map(|copy| copy.number).collect();
        assert_eq!(numbers, (1..=cut as u32 + 1).collect::<Vec<_>>());
        assert!(copies.iter().all(|copy| copy.session_id == forked.session && copy.turn_id.is_none()));
        assert!(copies.iter().all(|copy| source.iter().all(|message| message.id != copy.id)), "ids of their own");
        assert_eq!((record.label, record.usage, record.last_message), (None, Default::default(), cut as u32 + 1));
        let events: Vec<_> = copies.iter().map(|copy| ChangeKind::Message(copy.id)).collect();
        assert_eq!(scene.changes(forked, 0), [&[ChangeKind::Created], &events[..]].concat());
        assert_eq!(ok(scene.store.turns(forked, Default::default())).total, 0);
    }
}

fn a_fork_and_its_source_change_each_for_itself(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), "b".into(), "c".into()]);
    let (forked, _) = fork(&scene, at, written[1].id);
    let before = (all(&scene, forked), scene.record(forked));
    scene.delete(at, &written[0]);
    scene.append(at, ["d".into()]);
    assert_eq!((all(&scene, forked), scene.record(forked)), before);
    let copies = all(&scene, forked);
    scene.delete(forked, &copies[1]);
    assert_eq!(all(&scene, at).iter().map(Message::text).collect::<Vec<_>>(), ["b", "c", "d"]);
    scene.delete_session(at);
    assert_eq!(all(&scene, forked).len(), 1);
}

fn what_a_fork_was_made_from_is_recorded(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), "b".into()]);
    let (forked, record) = fork(&scene, at, written[1].id);
    let from = ForkedFrom { session: at.session, message: written[1].id, number: 2 };
    assert_eq!((record.forked_from, scene.record(at).forked_from), (Some(from), None));
    scene.delete_session(at);
    assert_eq!(scene.record(forked).forked_from, Some(from), "also when that is gone");
    let archive = scene.archive(forked);
    scene.restore(&archive);
    assert_eq!(scene.record(forked).forked_from, Some(from), "and through an archive");
}

fn hidden_messages_are_left_behind(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), "b".into(), "c".into(), "d".into()]);
    scene.delete(at, &written[0]);
    scene.delete(at, &written[2]);
    let (forked, record) = fork(&scene, at, written[3].id);
    assert_eq!(all(&scene, forked).iter().map(Message::text).collect::<Vec<_>>(), ["b", "d"]);
    assert_eq!((record.last_message, record.last_change), (2, 3));
    assert_eq!(record.forked_from.map(|from| from.number), Some(4), "the number is the source's");
    let op = forking(&scene, at, written[2].id);
    scene.refused(NotFound, "a message that was deleted", |store| store.fork_session(op, &mut go_on));
}

fn messages_of_a_fork_stand_in_threads_of_its_own(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    let second = scene.follow_up(at, "second");
    let third = scene.follow_up(at, "third");
    scene.delete(at, &first.message);
    let (forked, _) = fork(&scene, at, third.message.id);
    let copies = all(&scene, forked);
    let threads: Vec<_> = copies.iter().filter_map(|copy| copy.thread_id).collect();
    assert_eq!(threads.len(), copies.len());
    for (copy, (number, source)) in copies.iter().zip((1..).zip([&second, &third])) {
        let thread = copy.thread_id.expect("a thread");
        let record = ok(scene.store.thread(forked, thread));
        let original = ok(scene.store.thread(at, source.turn.thread_id));
        assert_ne!(record.id, original.id);
        assert_eq!((record.number, record.created_at), (number, original.created_at));
        let page = ok(scene.store.messages(forked, Matching { thread: Some(thread), ..EVERY }));
        assert_eq!((page.total, page.items.first()), (1, Some(copy)));
    }
}

fn a_fork_takes_the_context_mark_along(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), "b".into(), "c".into(), "d".into()]);
    scene.delete(at, &written[1]);
    let mark = Some(ContextMark::new(3, "so far"));
    ok(scene.store.set_context_mark(SetContextMark { stamp: scene.stamp(), at, claim: None, mark }));
    // In the midst, right behind, and past what is copied.
    for (cut, due) in [(3, Some(2)), (2, Some(2)), (0, None)] {
        let (forked, record) = fork(&scene, at, written[cut].id);
        let mark = ok(scene.store.context_mark(forked));
        assert_eq!(mark, due.map(|message| ContextMark::new(message, "so far")), "up to message {cut}");
        assert_eq!(record.context_mark, due);
        let told = scene.changes(forked, 0).contains(&ChangeKind::ContextMark(due));
        assert_eq!(told, due.is_some());
    }
}

fn a_busy_session_is_forked_too(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, first) = scene.busy_session();
    scene.enqueue(at, "waits");
    let before = scene.record(at);
    let (forked, record) = fork(&scene, at, first.message.id);
    assert_eq!((record.running_turn, record.queued_turns), (None, 0));
    assert_eq!(all(&scene, forked).len(), 1);
    assert_eq!(scene.record(at), before);
}

fn a_fork_goes_on(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let late = NewMessage { ts: Some("4000000000".parse().expect("a ts")), ..NewMessage::from("late") };
    let written = scene.append(at, [late]);
    let (forked, _) = fork(&scene, at, written[0].id);
    let next = scene.append(forked, ["next".into()]);
    assert!(next[0].ts > written[0].ts, "its clock goes on");
    assert_eq!(next[0].number, 2);
    let sent = scene.send(forked, "hello");
    assert_eq!(sent.turn.thread_id, ok(scene.store.thread(forked, sent.turn.thread_id)).id);
}

fn a_repeated_fork_answers_with_the_original(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into(), "b".into()]);
    let new = NewSession::default().id(scene.uuid()).label("forked");
    let op =
        |message: usize, new: &NewSession| ForkSession { new: new.clone(), ..forking(&scene, at, written[message].id) };
    let first = ok(scene.store.fork_session(op(1, &new), &mut go_on));
    let again = op(1, &new);
    let before = scene.unchanged("a repetition", |store| ok(store.fork_session(again, &mut go_on)));
    assert_eq!(before, first);
    for other in [op(0, &new), op(1, &new.clone().label("other"))] {
        scene.refused(Conflict, "other content", |store| store.fork_session(other, &mut go_on));
    }
    let creation = scene.creation(new);
    scene.refused(Conflict, "a creation", |store| store.create_session(creation));
}

fn a_fork_of_another_agent_is_no_original(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (source, said, forked) = (scene.uuid(), scene.uuid(), scene.uuid());
    let helper = scene.agent_named(scene.workspace, "helper");
    let mut answers = Vec::new();
    for agent in [scene.agent, helper] {
        let creation = CreateSession { agent, ..scene.creation(NewSession::default().id(source)) };
        let at =
            SessionRef { workspace: scene.workspace, session: ok(scene.store.create_session(creation)).session.id };
        let said = scene.append(at, [NewMessage::text("said").id(said)]).remove(0).id;
        let new = NewSession::default().id(forked);
        let op = ForkSession { new, ..forking(&scene, at, said) };
        answers.push(scene.store.fork_session(op, &mut go_on).map(|record| record.agent_id));
        scene.delete_session(at);
    }
    assert_eq!(answers.remove(0).ok(), Some(scene.agent));
    assert_eq!(answers.remove(0).map_err(|error| error.kind()), Err(Conflict), "the same call, but for whose it is");
}

fn a_taken_key_or_id_refuses_a_fork(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = SessionRef { workspace: scene.workspace, session: scene.create(NewSession::default().key("k")).id };
    let written = scene.append(at, ["a".into()]);
    let op = |new| ForkSession { new, ..forking(&scene, at, written[0].id) };
    let key = op(NewSession::default().key("k"));
    scene.refused(Conflict, "the key", |store| store.fork_session(key, &mut go_on));
    let id = op(NewSession::default().id(*at.session.as_uuid()));
    scene.refused(Conflict, "the id", |store| store.fork_session(id, &mut go_on));
    let other = scene.session();
    scene.archive(other);
    let archived = op(NewSession::default().id(*other.session.as_uuid()));
    scene.refused(Conflict, "the id of an archived session", |store| store.fork_session(archived, &mut go_on));
}

fn what_is_not_there_cannot_be_forked(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, other) = (scene.session(), scene.session());
    let written = scene.append(at, ["a".into()]);
    for (at, message) in
        [(unknown_session(&scene), written[0].id), (other, written[0].id), (at, MessageId::from_uuid(scene.uuid()))]
    {
        let op = forking(&scene, at, message);
        scene.refused(NotFound, "what is not there", |store| store.fork_session(op, &mut go_on));
    }
}

fn who_breaks_off_has_made_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, ["a".into()]);
    let op = ForkSession { new: NewSession::default().key("k"), ..forking(&scene, at, written[0].id) };
    let mut told = 0;
    let mut stop = |progress: Progress| {
        told += 1;
        if progress.is_last() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    scene.refused(Cancelled, "broken off", |store| store.fork_session(op.clone(), &mut stop));
    assert!(told > 0);
    let op = ForkSession { new: NewSession::default().key("k"), ..forking(&scene, at, written[0].id) };
    ok(scene.store.fork_session(op, &mut go_on));
}

fn a_message_that_is_erased_meanwhile_is_not_copied_as_an_empty_one(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let written = scene.append(at, (0..100).map(|nth| NewMessage::from(format!("{nth}"))).collect::<Vec<_>>());
    let (deletion, purge) = (scene.stamp(), scene.stamp());
    let erased = written[97].id;
    let mut is_erased = false;
    let mut meanwhile = |_: Progress| {
        if !std::mem::replace(&mut is_erased, true) {
            ok(scene.store.delete_message(DeleteMessage { stamp: deletion, at, message: erased }));
            assert_eq!(ok(scene.store.purge(Purge { stamp: purge, at, message: None })), 1);
        }
        ControlFlow::Continue(())
    };
    match scene.store.fork_session(forking(&scene, at, written[99].id), &mut meanwhile) {
        // It was copied before, or left behind.
        Ok(fork) => {
            let copies = all(&scene, SessionRef { workspace: at.workspace, session: fork.id });
            let said: Vec<String> = copies.iter().map(Message::text).collect();
            let due = |text: &&String| *text != "97" || said.len() == 100;
            let all: Vec<String> = (0..100).map(|nth| format!("{nth}")).collect();
            assert_eq!(said.iter().collect::<Vec<_>>(), all.iter().filter(due).collect::<Vec<_>>());
        }
        Err(error) => assert_eq!(error.kind(), Conflict, "{error}"),
    }
    assert!(is_erased);
}

fn an_archive_that_comes_meanwhile_keeps_its_id(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, id) = (scene.session(), scene.uuid());
    let written = scene.append(at, ["a".into()]);
    let theirs = scene.creation(NewSession::default().id(id).key("theirs"));
    let archiving = scene.stamp();
    let mut meanwhile = |progress: Progress| {
        if progress.is_last() {
            ok(scene.store.create_session(theirs.clone()));
            let at = SessionRef { workspace: at.workspace, session: id.into() };
            let op = ArchiveSession { stamp: archiving, at, only_at: None };
            ok(scene.store.archive_session(op, &mut go_on));
        }
        ControlFlow::Continue(())
    };
    let op = ForkSession { new: NewSession::default().id(id), ..forking(&scene, at, written[0].id) };
    let forked = scene.store.fork_session(op, &mut meanwhile);
    assert_eq!(forked.map(|_| ()).map_err(|error| error.kind()), Err(Conflict), "the id is that of an archive");
    let forked = SessionRef { workspace: at.workspace, session: id.into() };
    assert!(scene.store.session(forked).is_err_and(|error| error.is_not_found()));
}

fn a_fork_of_a_fork_of_a_long_session_is_whole(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    for batch in 0..7 {
        let texts = (0..100).map(|nth| NewMessage::from(format!("{batch} {nth}")).role(Role::ALL[nth % 4]));
        scene.append(at, texts.collect::<Vec<_>>());
    }
    let source = all(&scene, at);
    let (forked, _) = fork(&scene, at, source[650].id);
    let copies = all(&scene, forked);
    let (again, _) = fork(&scene, forked, copies[600].id);
    let due: Vec<_> = source[..=600].iter().map(said).collect();
    assert_eq!(all(&scene, again).iter().map(said).collect::<Vec<_>>(), due);
}
