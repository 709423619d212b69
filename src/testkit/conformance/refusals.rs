//! Where several refusals apply, which of them is the answer.

use super::scene::{Factory, Scene, claim_of, unknown_session};
use crate::error::ErrorKind::{Conflict, Fenced, InvalidArgument, NotFound};
use crate::id::AgentId;
use crate::record::{MessageType, NewMessage, NewSession, NewTurn, Role};
use crate::store::{Append, Claim, CreateSession, Outcome, Policy, Submit};

super::subject! {
    an_unknown_place_comes_before_all_else,
    a_fence_comes_before_what_is_written,
    an_invalid_argument_comes_before_an_id_in_use,
    an_id_in_use_comes_before_an_unknown_thread,
    an_unknown_thread_comes_before_the_policy,
}

fn final_message() -> NewMessage {
    NewMessage::text("a").kind(MessageType::FinalMessage)
}

fn an_unknown_place_comes_before_all_else(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (_, sent) = scene.busy_session();
    let nowhere = unknown_session(&scene);
    let claim = Claim { epoch: u64::MAX, ..claim_of(&sent) };
    scene.refused(NotFound, "emit", |store| store.emit(scene.emission(nowhere, claim, [final_message()])));
    let ending = scene.ending(nowhere, claim, Outcome::Completed(Some(Box::new("a".into()))));
    scene.refused(NotFound, "finish", |store| store.finish(ending));
    let id = scene.uuid();
    let twice = [NewMessage::text("a").id(id), NewMessage::text("b").id(id)];
    scene.refused(NotFound, "append", |store| store.append(scene.appending(nowhere, twice)));
    let known = scene.create(NewSession::default().id(scene.uuid()).key("k"));
    let new = NewSession::default().id(*known.id.as_uuid()).key("l");
    let agent = AgentId::from_uuid(scene.uuid());
    let creation = CreateSession { agent, ..scene.creation(new) };
    scene.refused(NotFound, "create_session", |store| store.create_session(creation));
}

fn a_fence_comes_before_what_is_written(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let old = claim_of(&sent);
    scene.follow_up(at, "no");
    let used = NewMessage::text("a").id(*sent.message.id.as_uuid());
    for (what, batch) in [
        ("a final message", vec![final_message()]),
        ("an id in use", vec![used.clone()]),
        ("an id twice", vec![used.clone(), used.clone()]),
    ] {
        scene.refused(Fenced, what, |store| store.emit(scene.emission(at, old, batch)));
    }
    for answer in [used, NewMessage::text("a").role(Role::User), NewMessage::text("a").kind(MessageType::ToolCall)] {
        let ending = scene.ending(at, old, Outcome::Completed(Some(Box::new(answer))));
        scene.refused(Fenced, "an answer", |store| store.finish(ending));
    }
}

fn an_invalid_argument_comes_before_an_id_in_use(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let claim = claim_of(&sent);
    let used = NewMessage::text("a").id(*sent.message.id.as_uuid());
    for batch in [vec![used.clone(), final_message()], vec![used.clone(), used.clone()]] {
        scene.refused(InvalidArgument, "emit", |store| store.emit(scene.emission(at, claim, batch)));
    }
    let answer = used.clone().role(Role::User);
    let ending = scene.ending(at, claim, Outcome::Completed(Some(Box::new(answer))));
    scene.refused(InvalidArgument, "finish", |store| store.finish(ending));
    let twice = || scene.appending(at, [used.clone(), used.clone()]);
    scene.refused(InvalidArgument, "append while busy", |store| store.append(twice()));
    scene.complete(at, claim);
    scene.refused(InvalidArgument, "append", |store| store.append(twice()));
    let known = NewMessage::text("a").id(scene.uuid());
    scene.append(at, [known.clone()]);
    let again = scene.appending(at, [known.clone(), known]);
    scene.refused(InvalidArgument, "a repeated append", |store| store.append(again));
}

fn an_id_in_use_comes_before_an_unknown_thread(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.complete(at, claim_of(&sent));
    let used = NewMessage::text("other").id(*sent.message.id.as_uuid());
    let thread = scene.uuid().into();
    let append = Append { thread: Some(thread), ..scene.appending(at, [used.clone()]) };
    scene.refused(Conflict, "append", |store| store.append(append));
    let new = NewTurn::from(used).thread(thread);
    scene.refused(Conflict, "submit", |store| store.submit(scene.submission(at, new)));
}

fn an_unknown_thread_comes_before_the_policy(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (busy, _) = scene.busy_session();
    let elsewhere = || NewTurn::from("a").thread(scene.uuid().into());
    scene.refused(NotFound, "submit while busy", |store| store.submit(scene.submission(busy, elsewhere())));
    let append = Append { thread: elsewhere().thread, ..scene.appending(busy, ["a".into()]) };
    scene.refused(NotFound, "append while busy", |store| store.append(append));
    let empty = scene.session();
    let follow = Submit { policy: Policy::FollowUp, ..scene.submission(empty, elsewhere()) };
    scene.refused(NotFound, "follow-up of a session without messages", |store| store.submit(follow));
}
