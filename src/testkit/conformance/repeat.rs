//! Idempotent operations: the caller's id answers with the original, other inputs are a conflict.

use super::inputs::{full_message, full_session, full_turn, other_messages, other_sessions, other_turns};
use super::scene::{Factory, Scene, claim_of, first_of, ok};
use crate::error::ErrorKind::{Conflict, NoBehaviour};
use crate::id::{OwnerId, ThreadId};
use crate::record::{NewMessage, NewSession, NewTurn, Reason};
use crate::store::{Append, Behaviour, CreateSession, Created, Outcome, Policy, Runner, SessionRef, Submit, Submitted};
use crate::time::Duration;

super::subject! {
    a_repeated_creation_answers_with_the_original,
    a_repeated_creation_answers_with_its_first_turn,
    a_creation_with_other_inputs_is_a_conflict,
    a_creation_with_another_first_turn_is_a_conflict,
    a_repeated_append_answers_with_the_originals,
    a_repeated_append_comes_before_busy,
    an_append_with_other_inputs_is_a_conflict,
    an_append_of_which_some_are_known_is_a_conflict,
    a_repeated_submit_answers_with_the_original,
    without_a_behaviour_nothing_starts_and_what_did_is_answered,
    a_repeated_submit_interrupts_nothing,
    a_submit_with_other_inputs_is_a_conflict_before_busy,
    an_id_of_another_operation_is_a_conflict,
    a_refusal_leaves_the_id_free,
}

/// Another process, at another time, sends the same again.
fn another_runner(scene: &Scene) -> Runner {
    scene.tick();
    Runner {
        owner: OwnerId::from_uuid(scene.uuid()),
        lease: Some(Duration::from_secs(30)),
        behaviour: Behaviour::Registered,
    }
}

fn again(scene: &Scene, creation: &CreateSession, what: &str) -> Created {
    let first = creation.first.clone().map(|(new, _)| (new, another_runner(scene)));
    let op = CreateSession { stamp: scene.stamp(), first, ..creation.clone() };
    let created = scene.unchanged(what, |store| ok(store.create_session(op)));
    assert!(created.replayed, "{what}: it says that it is the original");
    let at = SessionRef { workspace: creation.workspace, session: created.session.id };
    assert_eq!(created.session, scene.record(at), "{what}: the session as it is");
    created
}

fn a_repeated_creation_answers_with_the_original(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    for new in [full_session(&scene), NewSession::default().id(scene.uuid())] {
        let creation = scene.creation(new);
        let session = ok(scene.store.create_session(creation.clone())).session;
        scene.tick();
        assert_eq!(again(&scene, &creation, "at once").session, session);
        let at = SessionRef { workspace: scene.workspace, session: session.id };
        scene.append(at, ["later".into()]);
        assert_eq!(again(&scene, &creation, "after an append").first, None);
        let sent = scene.send(at, "hello");
        assert_eq!(again(&scene, &creation, "while busy").first, None);
        scene.finish(at, claim_of(&sent), Outcome::Failed(Reason::Error, None));
        assert_eq!(again(&scene, &creation, "after a turn").first, None);
    }
}

fn a_repeated_creation_answers_with_its_first_turn(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let first = Some((full_turn(full_message()), scene.runner));
    let creation = CreateSession { first, ..scene.creation(full_session(&scene)) };
    let created = ok(scene.store.create_session(creation.clone()));
    let at = SessionRef { workspace: scene.workspace, session: created.session.id };
    let original = first_of(created);
    let check = |what: &str| same(&scene, at, &original, &first_of(again(&scene, &creation, what)), what);
    check("while it runs");
    scene.emit(at, claim_of(&original), ["working".into()]);
    scene.complete(at, claim_of(&original));
    check("after it ended");
    scene.send(at, "next");
    check("while another runs");
    scene.delete(at, &original.message);
    check("after its message was deleted");
}

/// That a repeated submit answers with what the first one made.
#[track_caller]
fn same(scene: &Scene, at: SessionRef, original: &Submitted, repeated: &Submitted, what: &str) {
    assert_eq!(repeated.message, original.message, "{what}: the message as it was written");
    assert_eq!(repeated.turn, ok(scene.store.turn(at, original.turn.id)), "{what}: the turn as it is");
    assert_eq!(repeated.claim, None, "{what}: a claim is given once");
}

fn a_creation_with_other_inputs_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let new = full_session(&scene);
    let creation = scene.creation(new.clone());
    ok(scene.store.create_session(creation.clone()));
    for (what, new) in other_sessions(&new) {
        let op = CreateSession { new, ..creation.clone() };
        scene.refused(Conflict, what, |store| store.create_session(op));
    }
    let agent = scene.agent_named(scene.workspace, "booker");
    scene.refused(Conflict, "agent", |store| store.create_session(CreateSession { agent, ..creation.clone() }));
    let first = Some((NewTurn::from("hello"), scene.runner));
    scene.refused(Conflict, "a first turn", |store| store.create_session(CreateSession { first, ..creation.clone() }));
    again(&scene, &creation, "after all of that");
}

fn a_creation_with_another_first_turn_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let turn = full_turn(full_message().id(scene.uuid()));
    let first = Some((turn.clone(), scene.runner));
    let creation = CreateSession { first, ..scene.creation(full_session(&scene)) };
    ok(scene.store.create_session(creation.clone()));
    let mut others = other_turns(&turn);
    let message = NewMessage { id: None, ..turn.message.clone() };
    others.push(("no message id", NewTurn { message, ..turn.clone() }));
    others.push(("message id", NewTurn { message: turn.message.clone().id(scene.uuid()), ..turn }));
    for (what, turn) in others {
        let op = CreateSession { first: Some((turn, scene.runner)), ..creation.clone() };
        scene.refused(Conflict, what, |store| store.create_session(op));
    }
    scene.refused(Conflict, "no first turn", |store| {
        store.create_session(CreateSession { first: None, ..creation.clone() })
    });
    again(&scene, &creation, "after all of that");
}

/// A thread of the session, whose turn is over.
fn thread_of(scene: &Scene, at: SessionRef) -> ThreadId {
    let sent = scene.send(at, "opens a thread");
    scene.complete(at, claim_of(&sent)).thread_id
}

fn a_repeated_append_answers_with_the_originals(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let thread = Some(thread_of(&scene, at));
    let messages = [full_message().id(scene.uuid()), NewMessage::text("b").id(scene.uuid())];
    let append = Append { thread, ..scene.appending(at, messages) };
    let originals = ok(scene.store.append(append.clone()));
    let check = |what: &str| {
        scene.tick();
        let op = Append { stamp: scene.stamp(), ..append.clone() };
        assert_eq!(scene.unchanged(what, |store| ok(store.append(op))), originals, "{what}");
    };
    check("at once");
    scene.append(at, ["something else".into()]);
    check("after another append");
    for original in &originals {
        scene.delete(at, original);
    }
    check("after they were deleted");
}

fn a_repeated_append_comes_before_busy(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let append = scene.appending(at, [NewMessage::text("a").id(scene.uuid())]);
    let originals = ok(scene.store.append(append.clone()));
    scene.send(at, "busy now");
    let op = Append { stamp: scene.stamp(), ..append };
    assert_eq!(scene.unchanged("while busy", |store| ok(store.append(op))), originals);
}

fn an_append_with_other_inputs_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let (thread, other) = (thread_of(&scene, at), thread_of(&scene, at));
    let new = full_message().id(scene.uuid());
    let append = Append { thread: Some(thread), ..scene.appending(at, [new.clone()]) };
    let originals = ok(scene.store.append(append.clone()));
    for (what, message) in other_messages(&new) {
        let op = Append { messages: vec![message], ..append.clone() };
        scene.refused(Conflict, what, |store| store.append(op));
    }
    for (what, thread) in [("no thread", None), ("thread", Some(other))] {
        scene.refused(Conflict, what, |store| store.append(Append { thread, ..append.clone() }));
    }
    assert_eq!(scene.unchanged("after all of that", |store| ok(store.append(append))), originals);
}

fn an_append_of_which_some_are_known_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let (known, new) = (NewMessage::text("a").id(scene.uuid()), NewMessage::text("b").id(scene.uuid()));
    scene.append(at, [known.clone()]);
    for (what, batch) in [
        ("known first", [known.clone(), new.clone()]),
        ("known last", [new.clone(), known.clone()]),
        ("new one without an id", [known.clone(), "c".into()]),
    ] {
        scene.refused(Conflict, what, |store| store.append(scene.appending(at, batch)));
    }
    assert_eq!(scene.append(at, [new]).len(), 1, "the refusals recorded nothing");
}

fn a_repeated_submit_answers_with_the_original(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let thread = thread_of(&scene, at);
    for thread in [None, Some(thread)] {
        let new = NewTurn { thread, ..full_turn(full_message().id(scene.uuid())) };
        let submit = scene.submission(at, new);
        let original = ok(scene.store.submit(submit.clone()));
        let check = |what: &str| {
            for policy in [Policy::Reject, Policy::FollowUp] {
                let op = Submit { stamp: scene.stamp(), policy, runner: another_runner(&scene), ..submit.clone() };
                same(&scene, at, &original, &scene.unchanged(what, |store| ok(store.submit(op))), what);
            }
        };
        check("while it runs");
        scene.emit(at, claim_of(&original), ["working".into()]);
        scene.finish(at, claim_of(&original), Outcome::Completed(Some(Box::new("done".into()))));
        check("after it ended");
        scene.delete(at, &original.message);
        check("after its message was deleted");
        let next = scene.send(at, "next");
        check("while another runs");
        scene.complete(at, claim_of(&next));
    }
}

fn without_a_behaviour_nothing_starts_and_what_did_is_answered(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let nobody = Runner { behaviour: Behaviour::Missing, ..another_runner(&scene) };
    let at = scene.session();
    let submit = scene.submission(at, NewMessage::text("a").id(scene.uuid()));
    let refused = Submit { runner: nobody, ..submit.clone() };
    scene.refused(NoBehaviour, "submit", |store| store.submit(refused));
    let first = Some((NewTurn::from("hello"), nobody));
    let creation = CreateSession { first, ..scene.creation(NewSession::default()) };
    scene.refused(NoBehaviour, "create", |store| store.create_session(creation));
    let original = ok(scene.store.submit(submit.clone()));
    let again = ok(scene.store.submit(Submit { stamp: scene.stamp(), runner: nobody, ..submit }));
    same(&scene, at, &original, &again, "without a behaviour");
}

fn a_repeated_submit_interrupts_nothing(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, running) = scene.busy_session();
    let new = NewTurn::from(NewMessage::text("no, this").id(scene.uuid()));
    let submit = Submit { policy: Policy::FollowUp, ..scene.submission(at, new) };
    let original = ok(scene.store.submit(submit.clone()));
    assert_eq!(original.interrupted, Some(running.turn.id));
    let later = scene.follow_up(at, "no, that");
    assert_eq!(later.interrupted, Some(original.turn.id));
    let op = Submit { stamp: scene.stamp(), runner: another_runner(&scene), ..submit };
    let repeated = scene.unchanged("of an interrupted turn", |store| ok(store.submit(op)));
    same(&scene, at, &original, &repeated, "of an interrupted turn");
    scene.emit(at, claim_of(&later), ["still running".into()]);
}

fn a_submit_with_other_inputs_is_a_conflict_before_busy(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let thread = thread_of(&scene, at);
    let new = full_turn(full_message().id(scene.uuid()));
    let submit = scene.submission(at, new.clone());
    let original = ok(scene.store.submit(submit.clone()));
    let mut others = other_turns(&new);
    others.push(("thread", new.clone().thread(thread)));
    let own = new.thread(original.turn.thread_id);
    others.push(("the thread that it opened", own));
    for ended in ["while it runs", "after it ended"] {
        for (what, new) in others.clone() {
            let op = Submit { policy: Policy::FollowUp, new, ..submit.clone() };
            scene.refused(Conflict, &format!("{what} {ended}"), |store| store.submit(op));
        }
        if scene.record(at).running_turn.is_some() {
            scene.complete(at, claim_of(&original));
        }
    }
}

fn an_id_of_another_operation_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let hello = |id| NewMessage::text("hello").id(id);
    let (appended, sent, emitted, answered) = (scene.uuid(), scene.uuid(), scene.uuid(), scene.uuid());
    scene.append(at, [hello(appended)]);
    let submitted = scene.send(at, hello(sent));
    let claim = claim_of(&submitted);
    scene.emit(at, claim, [hello(emitted)]);
    for (what, id) in [("append's", appended), ("submit's", sent), ("emit's", emitted)] {
        scene.refused(Conflict, &format!("{what} id in an emit"), |store| {
            store.emit(scene.emission(at, claim, ["new".into(), hello(id)]))
        });
        let ending = scene.ending(at, claim, Outcome::Completed(Some(Box::new(hello(id)))));
        scene.refused(Conflict, &format!("{what} id in an answer"), |store| store.finish(ending));
    }
    scene.finish(at, claim, Outcome::Completed(Some(Box::new(hello(answered)))));
    for (what, id) in [("submit's", sent), ("emit's", emitted), ("answer's", answered)] {
        scene.refused(Conflict, &format!("{what} id in an append"), |store| {
            store.append(scene.appending(at, [hello(id)]))
        });
    }
    for (what, id) in [("append's", appended), ("emit's", emitted), ("answer's", answered)] {
        scene.refused(Conflict, &format!("{what} id in a submit"), |store| {
            store.submit(scene.submission(at, hello(id)))
        });
    }
}

fn a_refusal_leaves_the_id_free(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, running) = scene.busy_session();
    let (sent, appended) = (scene.uuid(), scene.uuid());
    let message = |id| NewMessage::text("hello").id(id);
    scene.refused(Conflict, "submit while busy", |store| store.submit(scene.submission(at, message(sent))));
    scene.refused(Conflict, "append while busy", |store| store.append(scene.appending(at, [message(appended)])));
    scene.complete(at, claim_of(&running));
    assert_eq!(scene.append(at, [message(appended)]).len(), 1);
    let taken = scene.send(at, message(sent));
    assert!(taken.claim.is_some(), "the refusal recorded nothing");
}
