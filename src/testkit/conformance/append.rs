//! Writing messages without a turn.

use super::inputs::{assert_says, full_message};
use super::scene::{Factory, Scene, claim_of, ok};
use crate::error::ErrorKind::{Conflict, InvalidArgument};
use crate::record::{ChangeKind, MessageType, NewMessage, Reason, Role, SessionStatus, ToolCall};
use crate::store::{Append, Outcome};

super::subject! {
    an_append_writes_in_order,
    an_append_keeps_every_input,
    an_append_fills_in_role_and_type,
    an_append_may_name_a_thread,
    an_append_while_busy_is_a_conflict,
    an_id_twice_in_a_batch_is_refused,
    an_append_leaves_the_status_alone,
}

fn an_append_writes_in_order(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let mut number = 0;
    for batch in [vec!["a"], vec!["b", "c", "d"], vec!["e", "f"]] {
        let before = scene.record(at).last_change;
        let append = scene.appending(at, batch.iter().map(|text| NewMessage::from(*text)));
        let stamp = append.stamp;
        let written = ok(scene.store.append(append));
        assert_eq!(written.len(), batch.len());
        for ((n, text), message) in (0..).zip(&batch).zip(&written) {
            number += 1;
            assert_eq!(*message.id.as_uuid(), stamp.uuid(n), "the n-th id is the stamp's id n");
            assert_eq!((message.text().as_str(), message.number), (*text, number), "numbers are dense");
            assert_eq!((message.session_id, message.thread_id, message.turn_id), (at.session, None, None));
        }
        let events: Vec<_> = written.iter().map(|message| ChangeKind::Message(message.id)).collect();
        assert_eq!(scene.changes(at, before), events);
        let all = scene.messages(at);
        assert_eq!(all[all.len() - written.len()..], written, "they read as they were answered");
        assert_eq!(scene.record(at).last_message, number);
    }
}

fn an_append_keeps_every_input(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let bare = NewMessage::default();
    let new = full_message().id(scene.uuid());
    let odd = NewMessage::text("\0\u{7f}\u{2028}\u{fffe}\n\r\t\"\\ä😀");
    let written = scene.append(at, [new.clone(), bare.clone(), odd.clone()]);
    assert_eq!(written.first().map(|message| message.id), new.id, "the caller's id is the message's");
    for (message, new) in written.iter().zip([&new, &bare, &odd]) {
        assert_says(message, new);
        assert_eq!(&ok(scene.store.message(at, message.id)), message);
    }
    let large = NewMessage::text("ä".repeat(500_000));
    let written = scene.append(at, [large.clone()]);
    assert_says(&ok(scene.store.message(at, written[0].id)), &large);
}

fn an_append_fills_in_role_and_type(factory: Factory<'_>) {
    use MessageType::{FinalMessage, Message, ToolCall as Call};
    let scene = Scene::new(factory);
    let at = scene.session();
    let call = ToolCall::new("c", "look", "{}");
    let text = || NewMessage::text("a");
    for (new, role, kind) in [
        (text(), Role::User, Message),
        (text().role(Role::Tool), Role::Tool, Call),
        (text().tool_calls([call.clone()]), Role::User, Call),
        (NewMessage::calls([call.clone()]), Role::Assistant, Call),
        (NewMessage::result(&call, "b"), Role::Tool, Call),
        (text().role(Role::Tool).kind(Message), Role::Tool, Message),
        (text().kind(FinalMessage), Role::User, FinalMessage),
        (text().role(Role::Assistant).kind(FinalMessage), Role::Assistant, FinalMessage),
        (text().role(Role::System).kind(Call), Role::System, Call),
    ] {
        let written = scene.append(at, [new.clone()]);
        assert_eq!((written[0].role, written[0].kind), (role, kind), "{new:?}");
    }
}

fn an_append_may_name_a_thread(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    let thread = scene.complete(at, claim_of(&sent)).thread_id;
    let append = Append { thread: Some(thread), ..scene.appending(at, ["a".into(), "b".into()]) };
    let written = ok(scene.store.append(append));
    for message in &written {
        assert_eq!((message.thread_id, message.turn_id), (Some(thread), None), "in the thread, of no turn");
    }
    assert_eq!(scene.append(at, ["c".into()])[0].thread_id, None, "without a name it has none");
}

fn an_append_while_busy_is_a_conflict(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.refused(Conflict, "while busy", |store| store.append(scene.appending(at, ["a".into()])));
    let append = Append { thread: Some(sent.turn.thread_id), ..scene.appending(at, ["a".into()]) };
    scene.refused(Conflict, "while busy, in its thread", |store| store.append(append));
    let other = scene.session();
    assert_eq!(scene.append(other, ["another session is not busy".into()]).len(), 1);
    scene.complete(at, claim_of(&sent));
    assert_eq!(scene.append(at, ["it is over".into()])[0].number, 2);
}

fn an_id_twice_in_a_batch_is_refused(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let at = scene.session();
    let id = scene.uuid();
    for text in ["a", "b"] {
        let batch = [NewMessage::text("a").id(id), NewMessage::text(text).id(id)];
        scene.refused(InvalidArgument, "an id twice", |store| store.append(scene.appending(at, batch)));
    }
}

fn an_append_leaves_the_status_alone(factory: Factory<'_>) {
    let scene = Scene::new(factory);
    let (at, sent) = scene.busy_session();
    scene.finish(at, claim_of(&sent), Outcome::Failed(Reason::Error, None));
    scene.append(at, ["a".into()]);
    assert_eq!(scene.record(at).status, SessionStatus::Error, "the last turn failed all the same");
}
