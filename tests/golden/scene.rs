//! What the golden files say: something of everything there is to say.

use parlor::id::MessageId;
use parlor::record::{MessageType, Role};
use parlor::store::{Opens, Outcome, Recovery, SessionRef};
use parlor::time::Duration;
use parlor::{
    Image, Json, Message, NewKey, NewMessage, NewSession, NewTurn, Policy, Reason, Scopes, SessionUpdate, Timestamp,
    ToolCall, Ts,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::place::{Place, hook, ok};

/// A workspace whose name has what keys must escape.
pub const ODD: &str = "globex \0\u{1}\u{ff} 北京";

/// A list has closed blocks once it has more than this many messages.
const BLOCK: u32 = 256;

pub fn json(text: &str) -> Json {
    ok(Json::parse(text))
}

/// An id of a caller's.
pub fn given(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | number)
}

/// The text of a secret, and what is kept of it.
fn secret(prefix: &str, key: Uuid) -> (String, [u8; 32]) {
    let hashed = format!("{prefix}_{}_{}", key.simple(), "5e".repeat(32));
    let text = format!("{hashed}{:08x}", xxh3_64(hashed.as_bytes()) as u32);
    (text, Sha256::digest(hashed.as_bytes()).into())
}

pub fn master_secret(key: Uuid) -> (String, [u8; 32]) {
    secret("pmk", key)
}

pub fn agent_secret(key: Uuid) -> (String, [u8; 32]) {
    secret("pak", key)
}

/// What the rich session was created with.
pub fn rich() -> NewSession {
    let new = NewSession::default().id(given(1)).key("telegram:42").label("A \"label\" \u{2028}");
    let new = new.chat_type("direct").last_channel("web").origin(json("{\"b\": 1.50,\n \"a\" : [ ]}"));
    new.metadata(json("null")).profile(json("{\"model\":\"m\"}"))
}

/// What was appended to it first, with ids of the caller's.
pub fn seeded() -> [NewMessage; 2] {
    let first = NewMessage::text("be brief\n").role(Role::System).id(MessageId::from_uuid(given(2)));
    [first, NewMessage::text("hello").id(MessageId::from_uuid(given(3))).name("Ada")]
}

/// What was sent to it first.
pub fn sent() -> NewTurn {
    let message = NewMessage::text("book it").id(MessageId::from_uuid(given(4)));
    let turn = NewTurn::from(message).user_params(json("{ }")).profile(json("{\"model\": \"n\"}"));
    turn.time_limit(Duration::from_secs(3600)).webhook(hook("https://example.com/all"))
}

/// What was forked of it.
pub fn forked() -> NewSession {
    NewSession::default().id(given(5)).key("fork").label("forked")
}

/// Messages of every form.
fn messages() -> Vec<NewMessage> {
    let blocks = || json("[ {\"type\": \"text\",\r\n \"text\":\"Köln 北京 \\ud83d\"} ]");
    let mut all = vec![
        NewMessage::default(),
        NewMessage::blocks(blocks()).metadata(json("[1,  2]")),
        NewMessage::calls([ToolCall::new("c", "look", "no JSON {"), ToolCall::new("d", "", "")]),
        NewMessage::text("").image(Image { media_type: Some("image/png".into()), data: vec![0, 255, 3] }),
        NewMessage::blocks(blocks()).image(Image { media_type: None, data: Vec::new() }),
        NewMessage::text("with artifacts").artifacts([given(6), given(7)]),
        NewMessage::text("from later").ts(ok(Ts::from_micros(1_800_000_000_000_000))),
    ];
    for (role, kind) in Role::ALL.into_iter().flat_map(|role| MessageType::ALL.map(|kind| (role, kind))) {
        all.push(NewMessage::text(format!("{role} {kind}")).role(role).kind(kind));
    }
    all
}

/// A store in which everything has happened, and nothing runs.
pub fn play(place: &mut Place) {
    place.enter(ODD, "greeter");
    let there = place.create(NewSession::default().key("\0key"));
    place.append(there, ["elsewhere".into()]);
    place.enter("acme", "helper");
    place.label("Helper");
    place.key(Opens::Workspace, NewKey::default(), master_secret);
    let new = NewKey::default().label("of the helper").expires_at(Timestamp::from_micros(1_900_000_000_000_000));
    place.key(Opens::Agent(place.agent, Scopes::ALL), new, agent_secret);
    place.enter("acme", "greeter");
    place.key(Opens::Agent(place.agent, Scopes::CHAT), NewKey::default(), agent_secret);
    let (at, fork) = everything_said(place);
    ends(place);
    again(place);
    waiting(place, None);
    long(place);
    archives(place);
    place.fork(at, &fork, forked());
    place.update(at, SessionUpdate::default().clear_last_channel());
}

/// A session that says everything, and a message of it that can be forked at.
fn everything_said(place: &Place) -> (SessionRef, Message) {
    let at = place.create(rich());
    place.append(at, seeded());
    let written = place.append(at, messages());
    let claim = place.start(at, sent());
    let call = ToolCall::new("e", "look", "{\"a\": \n1}");
    place.emit(at, claim, vec![NewMessage::calls([call.clone()]), NewMessage::text("a moment")]);
    place.emit(at, claim, vec![NewMessage::result(&call, "found")]);
    place.finish(at, claim, Outcome::Completed(Some(Box::new("booked".into()))));
    place.answered(at, hook("http://example.org/bare"));
    place.failed(at, Some(Timestamp::from_micros(1_900_000_000_000_000)));
    let [first, purged, hidden] = [&written[1], &written[3], &written[5]];
    [first, purged, hidden].into_iter().for_each(|message| place.delete(at, message));
    place.purge(at, purged);
    place.mark(at, None, 4, "what was \"said\"\n");
    place.update(at, SessionUpdate::default().label("Another").metadata(json("{\"seen\": true}")));
    (at, written[7].clone())
}

/// Turns that ended for every reason.
fn ends(place: &Place) {
    let at = place.create(NewSession::default().key("ends"));
    let open = || vec![NewMessage::calls([ToolCall::new("open", "look", "{}")])];
    for reason in [Reason::Error, Reason::Panic, Reason::TimeLimit, Reason::LostWorker] {
        let claim = place.start(at, format!("to fail: {reason}"));
        place.emit(at, claim, open());
        place.finish(at, claim, Outcome::Failed(reason, Some(format!("why: {reason}"))));
    }
    for reason in [Reason::Request, Reason::Closed] {
        let claim = place.start(at, format!("to interrupt: {reason}"));
        place.emit(at, claim, open());
        place.interrupt(at, reason);
    }
    place.start(at, "followed up");
    place.submit(at, "a follow-up".into(), Policy::FollowUp);
    let claim = place.submit(at, "another".into(), Policy::Interrupt).expect("it runs");
    place.emit(at, claim, vec!["to be forgotten".into()]);
    let claim = place.submit(at, "instead".into(), Policy::Rollback).expect("it runs");
    place.submit(at, "to be cancelled".into(), Policy::Enqueue);
    ok(place.store.stop(parlor::store::Stop { stamp: place.stamp(), at, reason: Reason::Request }));
    assert_eq!(claim.epoch, 10, "each turn that ran has the next epoch");
    let claim = place.start(at, "without an answer");
    place.finish(at, claim, Outcome::Completed(None));
}

/// Turns of a process that died: one was run again and failed, one was ended.
fn again(place: &Place) {
    let at = place.create(NewSession::default().key("crashed"));
    place.start(at, "once more");
    let claim = place.orphaned(|runners| Recovery::RunAgain { attempts: 3, runners }).expect("it runs again");
    place.finish(at, claim, Outcome::Completed(Some(Box::new("at last".into()))));
    place.start(at, "lost");
    place.orphaned(|_| Recovery::End);
}

/// A session in which turns wait, and where it is not named otherwise none runs any more.
pub fn waiting(place: &Place, running: Option<&str>) {
    let at = place.create(NewSession::default().key("waiting"));
    let claim = place.start(at, running.unwrap_or("closed meanwhile"));
    place.emit(at, claim, vec!["hm".into()]);
    place.mark(at, Some(claim), 2, "marked by its agent");
    place.submit(at, NewTurn::from("second").webhook(hook("https://example.com/all")), Policy::Enqueue);
    let third = NewTurn::from("third").time_limit(Duration::from_millis(1500));
    place.submit_by(Some(claim), at, third, Policy::Enqueue);
    if running.is_none() {
        place.interrupt(at, Reason::Closed);
    }
}

/// A session that is so long that its lists have closed blocks.
fn long(place: &Place) {
    let at = place.create(NewSession::default().key("long"));
    let (half, rest) = (BLOCK / 2, BLOCK / 2 + 5);
    let first = place.append(at, (0..half).map(|n| NewMessage::text(format!("m{n}"))));
    place.append(at, (0..rest).map(|n| NewMessage::text(format!("n{n}"))));
    place.delete(at, &first[7]);
}

/// Archives: one that was restored, one whose announcements wait, and one of an agent that has little else.
fn archives(place: &mut Place) {
    let restored = place.create(NewSession::default().key("restored"));
    place.answered(restored, hook("https://example.com/all"));
    let archive = place.archive(restored);
    place.restore(archive);
    let archived = place.create(NewSession::default().key("archived").label("old"));
    place.answered(archived, hook("https://example.com/all"));
    place.answered(archived, hook("https://example.com/bare"));
    place.failed(archived, None);
    let written = place.append(archived, ["gone".into(), "kept".into()]);
    place.delete(archived, &written[0]);
    place.mark(archived, None, 3, "before it was archived");
    place.archive(archived);
    let gone = place.create(NewSession::default());
    place.remove(gone);
    place.enter("acme", "archivist");
    let [only, live] = [(); 2].map(|()| place.create(NewSession::default()));
    place.archive(only);
    place.answered(live, hook("https://example.com/all"));
    place.enter("acme", "greeter");
}
