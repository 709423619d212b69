//! The JSON of the documents' answers, compared with their own examples.

use parlor::id::{AgentId, MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use parlor::page::{Form, Link, Matched, MessageQuery};
use parlor::record::{Message, SessionRecord, ToolCall, Turn};
use parlor::testkit::ManualClock;
use parlor::{
    Content, Engine, Error, ErrorKind, Json, MessageType, NewSession, NewTurn, Role, SessionStatus, Timestamp, Ts, wire,
};
use proptest::prelude::*;
use serde::Serialize;

const BASE: &str = "https://chat.example";
const SESSION: &str = "a196cec6-49cb-4c48-8e4c-2707fb5d6709";
const THREAD: &str = "71562cd0-1f63-41b2-8382-10f2fdb1ac8b";
const FOLLOWED: &str = "b4e1d2c3-0000-7000-8000-000000000004";

fn session_id() -> SessionId {
    SESSION.parse().expect("a UUID")
}

fn thread_id(text: &str) -> ThreadId {
    text.parse().expect("a UUID")
}

fn time(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn answer() -> Message {
    let id: MessageId = "5e1b0000-0000-7000-8000-000000000001".parse().expect("a UUID");
    let at = time(1_777_573_302_000_000);
    let ts = "1746038518".parse().expect("a ts");
    let mut answer = Message::new(id, session_id(), 2, Role::Assistant, MessageType::FinalMessage, ts, at);
    answer.thread_id = Some(thread_id(THREAD));
    answer.turn_id = Some("0e7d0000-0000-7000-8000-000000000002".parse().expect("a UUID"));
    let text = "Hi! Octopuses have three hearts — two pump blood to the gills and one to the rest of the body.";
    answer.content = Some(text.into());
    answer
}

fn session() -> SessionRecord {
    let workspace: WorkspaceId = "3c3c0000-0000-7000-8000-000000000005".parse().expect("a UUID");
    let agent: AgentId = "a6e70000-0000-7000-8000-000000000006".parse().expect("a UUID");
    SessionRecord::new(session_id(), workspace, agent, "octopus", time(1_777_573_300_123_456))
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

#[test]
fn a_page_of_messages_is_the_documents_page() {
    let query = MessageQuery::from_query_string("type=final_message&role=assistant").unwrap();
    let this = Link { form: Form::Session(session_id()), query };
    let found = Matched { items: vec![answer()], total: 1, before: 0, newest: Some(answer().ts), damaged: Vec::new() };
    let page = this.ask().unwrap().page(found);
    // The document's own example, its ids written out, and `direction=asc` in the cursor's link.
    let expected = r#"{
  "items": [
    {
      "id": "5e1b0000-0000-7000-8000-000000000001",
      "chat_id": "a196cec6-49cb-4c48-8e4c-2707fb5d6709",
      "chat_thread_id": "71562cd0-1f63-41b2-8382-10f2fdb1ac8b",
      "task_id": "0e7d0000-0000-7000-8000-000000000002",
      "role": "assistant",
      "type": "final_message",
      "message": "Hi! Octopuses have three hearts — two pump blood to the gills and one to the rest of the body.",
      "ts": 1746038518,
      "created_at": "2026-04-30T18:21:42.000Z",
      "updated_at": "2026-04-30T18:21:42.000Z"
    }
  ],
  "meta": {
    "total": 1,
    "page": 1,
    "limit": 50,
    "total_pages": 1
  },
  "_links": {
    "self": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/messages?type=final_message&role=assistant"
    },
    "new_messages": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/messages?type=final_message&role=assistant&gts=1746038518&direction=asc"
    }
  }
}"#;
    assert_eq!(pretty(&wire::Page::new(&page, BASE)), expected);
    let relative = compact(&wire::Page::new(&page, ""));
    assert!(relative.contains(r#""href":"/rest/v1/sessions/"#) && !relative.contains("https:"), "{relative}");
}

#[test]
fn a_message_that_was_sent_is_the_documents_answer() {
    let id = "9c2f0000-0000-7000-8000-000000000003".parse().unwrap();
    let ts = "1777573512.250001".parse().unwrap();
    let mut sent = Message::new(id, session_id(), 3, Role::User, MessageType::Message, ts, time(1_777_573_512_000_000));
    sent.thread_id = Some(thread_id(FOLLOWED));
    sent.turn_id = Some("1f8a0000-0000-7000-8000-000000000007".parse().unwrap());
    sent.content = Some("Cool — now tell me one about cuttlefish.".into());
    // The document's own example, its ids written out, and a `ts` in place of null.
    let expected = r#"{
  "id": "9c2f0000-0000-7000-8000-000000000003",
  "chat_id": "a196cec6-49cb-4c48-8e4c-2707fb5d6709",
  "chat_thread_id": "b4e1d2c3-0000-7000-8000-000000000004",
  "task_id": "1f8a0000-0000-7000-8000-000000000007",
  "role": "user",
  "type": "message",
  "message": "Cool — now tell me one about cuttlefish.",
  "ts": 1777573512.250001,
  "created_at": "2026-04-30T18:25:12.000Z",
  "updated_at": "2026-04-30T18:25:12.000Z",
  "_links": {
    "self": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/messages"
    },
    "thread": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/threads/b4e1d2c3-0000-7000-8000-000000000004/messages"
    },
    "final_message": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/threads/b4e1d2c3-0000-7000-8000-000000000004/messages?type=final_message&role=assistant"
    }
  }
}"#;
    assert_eq!(pretty(&wire::Message::sent(&sent, BASE)), expected);
    assert!(!compact(&wire::Message::new(&sent)).contains("_links"), "a listed message has no links");
    sent.thread_id = None;
    assert_eq!(wire::Message::sent(&sent, BASE).links, None);
}

#[test]
fn a_session_links_to_itself_and_its_messages_and_a_new_one_to_its_first_answer() {
    let expected = r#"{
  "id": "a196cec6-49cb-4c48-8e4c-2707fb5d6709",
  "agent_id": "a6e70000-0000-7000-8000-000000000006",
  "key": "a196cec6-49cb-4c48-8e4c-2707fb5d6709",
  "label": null,
  "status": "idle",
  "task_id": null,
  "metadata": null,
  "created_at": "2026-04-30T18:21:40.123Z",
  "updated_at": "2026-04-30T18:21:40.123Z",
  "_links": {
    "self": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709"
    },
    "messages": {
      "href": "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/messages"
    }
  }
}"#;
    assert_eq!(pretty(&wire::Session::new(&session(), BASE)), expected);

    let mut running = session();
    running.status = SessionStatus::Running;
    running.label = Some("Octopuses".into());
    running.metadata = Some(Json::parse(r#"{"b":1.0, "a":null}"#).unwrap());
    running.running_turn = Some("0e7d0000-0000-7000-8000-000000000002".parse().unwrap());
    let made = compact(&wire::Session::created(&running, thread_id(THREAD), "https://chat.example/"));
    let thread = format!("{BASE}/rest/v1/sessions/{SESSION}/threads/{THREAD}/messages");
    for part in [
        r#""label":"Octopuses","status":"running","task_id":"0e7d0000-0000-7000-8000-000000000002""#.to_owned(),
        r#""metadata":{"b":1.0, "a":null}"#.to_owned(),
        format!(r#""messages":{{"href":"{BASE}/rest/v1/sessions/{SESSION}/messages"}}"#),
        format!(r#""thread":{{"href":"{thread}"}}"#),
        format!(r#""final_message":{{"href":"{thread}?type=final_message&role=assistant"}}"#),
    ] {
        assert!(made.contains(&part), "{part} in {made}");
    }
}

#[test]
fn the_message_field_is_the_text_of_whatever_was_said() {
    let blocks = r#"[{"type":"text","text":"a"},{"type":"image","data":[1e999,"\ud800"]},{"type":"text","text":"b"}]"#;
    let cases = [
        (None, ""),
        (Some("".into()), ""),
        (Some(" one\u{0}line\n".into()), " one\u{0}line\n"),
        (Some(Content::Blocks(Json::parse("[]").unwrap())), ""),
        (Some(Content::Blocks(Json::parse(blocks).unwrap())), "a\nb"),
        (Some(Content::Blocks(Json::parse(r#"[7,{"text":null},{"text":["x"]},{"text":""}]"#).unwrap())), ""),
    ];
    for (content, text) in cases {
        let mut message = answer();
        message.content = content;
        assert_eq!(wire::Message::new(&message).message, text);
    }
    let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Content::Blocks(Json::parse(deep).unwrap()).text(), "");
}

#[test]
fn a_message_outside_any_turn_says_null() {
    let mut seeded = answer();
    (seeded.thread_id, seeded.turn_id) = (None, None);
    let json = compact(&wire::Message::new(&seeded));
    assert!(json.contains(r#""chat_thread_id":null,"task_id":null"#), "{json}");
}

#[test]
fn a_refusal_names_the_documents_status_and_code_and_hides_what_is_inside() {
    let inside = "the request failed inside the server";
    let cases = [
        (ErrorKind::BadRequest, 400, "BAD_REQUEST", "m"),
        (ErrorKind::InvalidArgument, 400, "VALIDATION", "m"),
        (ErrorKind::NotFound, 404, "NOT_FOUND", "m"),
        (ErrorKind::Conflict, 409, "CONFLICT", "m"),
        (ErrorKind::TooLarge, 413, "TOO_LARGE", "m"),
        (ErrorKind::Overloaded, 503, "OVERLOADED", "m"),
        (ErrorKind::NoBehaviour, 503, "NO_BEHAVIOUR", "m"),
        (ErrorKind::NoSpace, 507, "NO_SPACE", "m"),
        (ErrorKind::OutcomeUnknown, 500, "OUTCOME_UNKNOWN", inside),
        (ErrorKind::Forbidden, 403, "FORBIDDEN", "m"),
        (ErrorKind::AlreadyOpen, 500, "INTERNAL", inside),
        (ErrorKind::OpenForWritingOnce, 500, "INTERNAL", inside),
        (ErrorKind::Closed, 500, "INTERNAL", inside),
        (ErrorKind::Corrupt, 500, "INTERNAL", inside),
        (ErrorKind::Storage, 500, "INTERNAL", inside),
        (ErrorKind::NewerFormat, 500, "INTERNAL", inside),
        (ErrorKind::LogMissing, 500, "INTERNAL", inside),
        (ErrorKind::Fenced, 500, "INTERNAL", inside),
    ];
    for (kind, status, code, message) in cases {
        let body = compact(&wire::ErrorBody::new(&Error::new(kind, "m")));
        assert_eq!(body, format!(r#"{{"status":{status},"code":"{code}","message":"{message}"}}"#), "{kind:?}");
    }
}

#[test]
fn an_agents_session_and_its_history_are_the_documents() {
    let mut session = session();
    let bare = r#"{"key":"a196cec6-49cb-4c48-8e4c-2707fb5d6709","sessionId":"a196cec6-49cb-4c48-8e4c-2707fb5d6709","label":null,"updatedAt":1777573300123}"#;
    assert_eq!(compact(&wire::AgentSession::new(&session)), bare);
    session.key = "telegram:42".into();
    session.label = Some("Kyoto".into());
    session.chat_type = Some("direct".into());
    session.last_channel = Some("telegram".into());
    session.origin = Some(Json::parse(r#"{"from": 42}"#).unwrap());
    let full = r#"{"key":"telegram:42","sessionId":"a196cec6-49cb-4c48-8e4c-2707fb5d6709","label":"Kyoto","updatedAt":1777573300123,"chatType":"direct","lastChannel":"telegram","origin":{"from": 42}}"#;
    assert_eq!(compact(&wire::AgentSession::new(&session)), full);

    let start = r#"{"id":"5e1b0000-0000-7000-8000-000000000001","role":"assistant""#;
    let end = r#""timestamp":1777573302000}"#;
    let blocks = r#"[ {"text":"a",  "n":1.50} ]"#;
    let cases = [
        (None, String::new()),
        (Some("a\n\"b\"".into()), r#""content":"a\n\"b\"","#.to_owned()),
        (Some(Content::Blocks(Json::parse(blocks).unwrap())), format!(r#""content":{blocks},"#)),
    ];
    for (content, written) in cases {
        let mut message = answer();
        message.content = content;
        assert_eq!(compact(&wire::HistoryItem::new(&message)), format!("{start},{written}{end}"));
    }
}

#[test]
fn an_archive_of_an_agent_is_that_of_document_b() {
    let engine = Engine::in_memory().clock(ManualClock::at(time(1_777_573_302_004_999))).open().expect("an engine");
    let agent = engine.workspace("acme").and_then(|acme| acme.agent("echo")).expect("an agent");
    for label in [None, Some("Kyoto")] {
        let id = uuid::Uuid::now_v7();
        let new = NewSession::default().id(id);
        let new = label.map_or(new.clone(), |label| new.label(label));
        let archive = agent.create_session(new).and_then(|session| session.archive()).expect("an archive");
        let label = label.map_or("null".to_owned(), |label| format!("{label:?}"));
        let due = format!(
            r#"{{"filename":"{}","label":{label},"archivedAt":"2026-04-30T18:21:42.004Z","sessionId":"{id}"}}"#,
            archive.filename()
        );
        assert_eq!(compact(&wire::ArchivedSession::new(archive.record())), due);
    }
    engine.close().expect("it closes");
}

#[test]
fn a_conversation_and_an_accepted_message_are_the_documents() {
    let mut message = answer();
    message.content = Some("hi there".into());
    assert_eq!(compact(&wire::ChatMessage::new(&message)), r#"{"role":"assistant","content":"hi there"}"#);
    message.content = None;
    message.tool_calls = vec![ToolCall::new("call_1", "lookup", "{\"q\": 1}")];
    assert_eq!(
        compact(&wire::ChatMessage::new(&message)),
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"lookup","arguments":"{\"q\": 1}"}}]}"#
    );
    let mut result = answer();
    (result.role, result.kind, result.content) = (Role::Tool, MessageType::ToolCall, Some("".into()));
    (result.tool_call_id, result.name) = (Some("call_1".into()), Some("lookup".into()));
    assert_eq!(
        compact(&wire::ChatMessage::new(&result)),
        r#"{"role":"tool","content":"","tool_call_id":"call_1","name":"lookup"}"#
    );
    let id: TurnId = "0e7d0000-0000-7000-8000-000000000002".parse().unwrap();
    let turn = Turn::new(id, session_id(), thread_id(THREAD), message.id, 1, time(0));
    assert_eq!(compact(&wire::Accepted::new(&turn)), format!(r#"{{"session_id":"{SESSION}","status":"running"}}"#));
}

#[test]
fn times_have_three_decimals_and_the_end_of_time_is_printed_too() {
    let cases = [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_777_573_302_000_999, "2026-04-30T18:21:42.000Z"),
        (1_777_573_302_999_999, "2026-04-30T18:21:42.999Z"),
        (951_825_600_000_000, "2000-02-29T12:00:00.000Z"),
        (u64::MAX, "9999-12-31T23:59:59.999Z"),
    ];
    for (micros, text) in cases {
        assert_eq!(time(micros).to_string(), text);
        assert_eq!(compact(&time(micros)), format!("{text:?}"));
    }
}

proptest! {
    #[test]
    fn the_ts_of_a_message_reads_back_from_its_json_exactly(micros in 0..=parlor::limit::TS_MICROS_MAX) {
        let mut message = answer();
        message.ts = Ts::from_micros(micros).unwrap();
        let json = compact(&wire::Message::new(&message));
        #[derive(serde::Deserialize)]
        struct Read {
            ts: Ts,
        }
        prop_assert_eq!(serde_json::from_str::<Read>(&json).unwrap().ts, message.ts);
        let by_any_reader: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(Ts::from_seconds(by_any_reader["ts"].as_f64().unwrap()).unwrap(), message.ts);
    }
}

#[test]
fn the_requests_of_the_documents_are_read() {
    fn read<T: serde::de::DeserializeOwned>(body: &str) -> T {
        serde_json::from_str(body).expect("a request")
    }
    let history: wire::HistoryRequest = read(r#"{"sessionKey":"telegram:42"}"#);
    assert_eq!((history.session_key.as_str(), history.limit), ("telegram:42", 1000));
    assert_eq!(read::<wire::HistoryRequest>(r#"{"sessionKey":"k","limit":7}"#).limit, 7);
    for (body, label) in [
        (r#"{"key":"k","label":"Kyoto"}"#, Some("Kyoto")),
        (r#"{"key":"k","label":null}"#, None),
        (r#"{"key":"k"}"#, None),
    ] {
        assert_eq!(read::<wire::RenameRequest>(body).update().label, Some(label.map(str::to_owned)), "{body}");
    }
    assert_eq!(read::<wire::KeyRequest>(r#"{"key":"k"}"#).key, "k");
    let restore: wire::ArchiveRequest = read(r#"{"filename":"f","label":"l"}"#);
    assert_eq!((restore.filename.as_str(), restore.label.as_deref()), ("f", Some("l")));
    assert_eq!(read::<wire::ArchiveRequest>(r#"{"filename":"f"}"#).label, None);
}

#[test]
fn a_message_request_is_a_turn() {
    let turn = |body: &str| serde_json::from_str::<wire::MessageRequest>(body).expect("a request").into_turn();
    let minimal = turn(r#"{ "content": "hello" }"#).expect("a turn");
    assert_eq!(minimal, NewTurn::from("hello"));
    assert_eq!(turn("{}").expect("a turn").message.content, None);
    let full = turn(
        r#"{"content":null,"role":"tool","user_params":{"a":1},"webhook":{"url":"https://x.example","token":"t"},
            "tool_calls":[{"id":"c","type":"function","function":{"name":"look","arguments":"{}"}}],
            "tool_call_id":"b","name":"n","base64_image":"data:image/png;base64,AQID","unknown":[1]}"#,
    );
    let full = full.expect("a turn");
    assert_eq!(full.message.role, Some(Role::Tool));
    assert_eq!(full.message.tool_calls, [ToolCall::new("c", "look", "{}")]);
    assert_eq!((full.message.tool_call_id.as_deref(), full.message.name.as_deref()), (Some("b"), Some("n")));
    let image = &full.message.images[0];
    assert_eq!((image.media_type.as_deref(), image.data.as_slice()), (Some("image/png"), &[1, 2, 3][..]));
    assert_eq!(full.user_params.map(|json| json.as_str().to_owned()).as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(
        full.webhook.map(|webhook| (webhook.url, webhook.token)),
        Some(("https://x.example".into(), Some("t".into())))
    );
    for (body, kind) in [
        (r#"{"base64_image":"?"}"#.to_owned(), ErrorKind::InvalidArgument),
        (r#"{"base64_image":"data:image/png,AQID"}"#.to_owned(), ErrorKind::InvalidArgument),
        (r#"{"base64_image":"data:image/png;base64"}"#.to_owned(), ErrorKind::InvalidArgument),
        (format!(r#"{{"base64_image":"{}"}}"#, "A".repeat(23 << 20)), ErrorKind::TooLarge),
    ] {
        assert_eq!(turn(&body).expect_err("no image").kind(), kind);
    }
    let secret = r#"{"webhook":{"url":"https://x.example","token":"hunter2","secret":"hunter3"}}"#;
    let shown = format!("{:?}", serde_json::from_str::<wire::MessageRequest>(secret).expect("a request"));
    assert!(!shown.contains("hunter"), "{shown}");
}
