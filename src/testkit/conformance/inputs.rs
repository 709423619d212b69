//! Inputs with everything in them, and what differs from them in one field.

use uuid::Uuid;

use super::scene::{Scene, ok};
use crate::record::{Content, Image, Json, Message, NewMessage, NewSession, NewTurn, Role, ToolCall, Ts, Webhook};
use crate::time::Duration;

/// JSON whose spaces, order and digits a parser would lose.
pub(super) fn odd_json(tag: u32) -> Json {
    ok(Json::parse(format!("{{\"z\": {tag}.50,  \"a\" : [1E2, \"\\u0041\"], \"a\":null}}")))
}

pub(super) fn ts(micros: u64) -> Ts {
    ok(Ts::from_micros(micros))
}

/// A message with every field but id and ts.
pub(super) fn full_message() -> NewMessage {
    let call = ToolCall { id: "c\0 1".into(), kind: "custom".into(), name: "look up".into(), arguments: "{no".into() };
    let mut message = NewMessage::blocks(ok(Json::parse(r#"[ {"type":"text", "text":"ä\u0000"} ]"#)))
        .role(Role::System)
        .name("näme")
        .tool_calls([call, ToolCall::new("c2", "b", "{}")])
        .image(Image { media_type: Some("image/png".into()), data: vec![0, 255, 1] })
        .image(Image { media_type: None, data: Vec::new() })
        .artifacts([Uuid::from_u128(7), Uuid::from_u128(7), Uuid::max()])
        .metadata(odd_json(1));
    message.tool_call_id = Some("c0".into());
    message
}

/// That a message says what its input said, but for role, type, id and ts.
#[track_caller]
pub(super) fn assert_says(message: &Message, new: &NewMessage) {
    assert_eq!(message.content, new.content, "content");
    assert_eq!(message.tool_calls, new.tool_calls, "tool_calls");
    assert_eq!(message.tool_call_id, new.tool_call_id, "tool_call_id");
    assert_eq!(message.name, new.name, "name");
    assert_eq!(message.images, new.images, "images");
    assert_eq!(message.artifact_ids, new.artifact_ids, "artifact_ids");
    assert_eq!(message.metadata, new.metadata, "metadata");
    assert!(!message.synthetic, "only the engine's own results are synthetic");
}

fn changed<T: Clone>(of: &T, change: impl FnOnce(&mut T)) -> T {
    let mut copy = of.clone();
    change(&mut copy);
    copy
}

/// Messages that differ from this [full](full_message) one in one field each; the id stays.
pub(super) fn other_messages(new: &NewMessage) -> Vec<(&'static str, NewMessage)> {
    let shown = "a full message has two calls and two images";
    vec![
        ("content", changed(new, |m| m.content = Some("other".into()))),
        ("no content", changed(new, |m| m.content = None)),
        (
            "text for blocks",
            changed(new, |m| m.content = Some(Content::Text(r#"[ {"type":"text", "text":"ä\u0000"} ]"#.into()))),
        ),
        (
            "spaces of the blocks",
            changed(new, |m| m.content = Some(Content::Blocks(ok(Json::parse("[{\"type\":\"text\"}]"))))),
        ),
        ("role", changed(new, |m| m.role = Some(Role::Assistant))),
        ("type", changed(new, |m| m.kind = Some(crate::record::MessageType::Message))),
        ("fewer calls", changed(new, |m| assert!(m.tool_calls.pop().is_some(), "{shown}"))),
        ("order of the calls", changed(new, |m| m.tool_calls.reverse())),
        ("arguments", changed(new, |m| m.tool_calls.iter_mut().for_each(|call| call.arguments.push(' ')))),
        ("kind of a call", changed(new, |m| m.tool_calls.iter_mut().for_each(|call| call.kind = "other".into()))),
        ("tool_call_id", changed(new, |m| m.tool_call_id = None)),
        ("name", changed(new, |m| m.name = Some("name".into()))),
        ("fewer images", changed(new, |m| assert!(m.images.pop().is_some(), "{shown}"))),
        ("bytes of an image", changed(new, |m| m.images.iter_mut().for_each(|image| image.data.push(9)))),
        ("media type", changed(new, |m| m.images.iter_mut().for_each(|image| image.media_type = None))),
        ("artifact_ids", changed(new, |m| m.artifact_ids.reverse())),
        ("metadata", changed(new, |m| m.metadata = Some(odd_json(2)))),
        ("no metadata", changed(new, |m| m.metadata = None)),
        ("ts", changed(new, |m| m.ts = Some(ts(12_345)))),
    ]
}

/// A time limit that no other unit than the nanosecond keeps.
const ODD_LIMIT: Duration = Duration::from_nanos(1_234_567_891);

pub(super) fn full_turn(message: NewMessage) -> NewTurn {
    let webhook = Webhook {
        url: "https://example.org/end".into(),
        token: Some("token".into()),
        secret: Some("secret".into()),
        include_messages: true,
    };
    NewTurn::from(message).user_params(odd_json(3)).profile(odd_json(4)).webhook(webhook).time_limit(ODD_LIMIT)
}

/// Turns that differ from this [full](full_turn) one in one field each; the message's id stays.
pub(super) fn other_turns(new: &NewTurn) -> Vec<(&'static str, NewTurn)> {
    let hook = |change: fn(&mut Webhook)| changed(new, |turn| turn.webhook.iter_mut().for_each(change));
    let messages = other_messages(&new.message);
    let mut others: Vec<_> =
        messages.into_iter().map(|(what, message)| (what, NewTurn { message, ..new.clone() })).collect();
    others.extend([
        ("user_params", changed(new, |turn| turn.user_params = Some(odd_json(9)))),
        ("no user_params", changed(new, |turn| turn.user_params = None)),
        ("profile", changed(new, |turn| turn.profile = Some(odd_json(9)))),
        ("no profile", changed(new, |turn| turn.profile = None)),
        ("time_limit", changed(new, |turn| turn.time_limit = Some(ODD_LIMIT + Duration::from_nanos(1)))),
        ("no time_limit", changed(new, |turn| turn.time_limit = None)),
        ("no webhook", changed(new, |turn| turn.webhook = None)),
        ("webhook url", hook(|hook| hook.url.push('x'))),
        ("webhook token", hook(|hook| hook.token = None)),
        ("webhook secret", hook(|hook| hook.secret = Some("other".into()))),
        ("webhook include_messages", hook(|hook| hook.include_messages = false)),
    ]);
    others
}

pub(super) fn full_session(scene: &Scene) -> NewSession {
    NewSession::default()
        .id(scene.uuid())
        .key(format!("kéy\0{}", scene.uuid()))
        .label("l".repeat(255))
        .chat_type("")
        .last_channel("channel")
        .origin(odd_json(5))
        .metadata(odd_json(6))
        .profile(odd_json(7))
}

/// Sessions that differ from this [full](full_session) one in one field each; the id stays.
pub(super) fn other_sessions(new: &NewSession) -> Vec<(&'static str, NewSession)> {
    vec![
        ("key", changed(new, |s| s.key = Some("other".into()))),
        ("no key", changed(new, |s| s.key = None)),
        ("label", changed(new, |s| s.label = Some("other".into()))),
        ("no label", changed(new, |s| s.label = None)),
        ("chat_type", changed(new, |s| s.chat_type = Some("other".into()))),
        ("no chat_type for an empty one", changed(new, |s| s.chat_type = None)),
        ("last_channel", changed(new, |s| s.last_channel = None)),
        ("origin", changed(new, |s| s.origin = Some(odd_json(9)))),
        ("metadata", changed(new, |s| s.metadata = None)),
        ("profile", changed(new, |s| s.profile = Some(odd_json(9)))),
    ]
}
