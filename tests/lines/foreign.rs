//! Conversations that were written elsewhere.

use parlor::testkit::{ModelStore, redb_store};
use parlor::{Engine, ErrorKind, ImportOptions, MessageType, NewSession, Role, limit};

use super::scene::{agent, assert_same, assert_whole, empty, import, lines, skipping};

/// A line of nine keys.
fn nine(session: &str, seq: u64, role: &str, content: &str) -> String {
    format!(
        "{{\"session\":{session:?},\"seq\":{seq},\"role\":\"{role}\",\"type\":\"message\",\"content\":{content},\
         \"tool_calls\":null,\"tool_call_id\":null,\"name\":null,\"ts\":null}}\n"
    )
}

#[test]
fn lines_of_nine_keys_become_sessions_by_their_names() {
    let call = "[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"a\\\":\"}}]";
    let text = [
        nine("a", 0, "system", "\"be brief\""),
        nine("a", 1, "assistant", "null").replace("\"tool_calls\":null", &format!("\"tool_calls\":{call}")),
        nine("a", 2, "tool", "\"\"").replace("\"tool_call_id\":null", "\"tool_call_id\":\"c\""),
        nine("b", 0, "user", "\"北京\"").replace("\"ts\":null", "\"ts\":1746038518.000042,\"mood\":3"),
    ];
    let stores: [Engine; 2] =
        [empty(), Engine::builder("x").open_store(std::sync::Arc::new(ModelStore::new())).expect("it opens")];
    for engine in stores {
        let agent = agent(&engine, "acme", "worker");
        let report = agent.import(text.concat().as_bytes(), ImportOptions::default()).expect("it is imported");
        assert_eq!((report.sessions, report.messages, report.lines), (2, 4, 4));
        assert_eq!(report.unknown.into_iter().collect::<Vec<_>>(), [("mood".to_owned(), 1)]);
        let all = |key: &str| agent.session_by_key(key).and_then(|session| session.history(10)).expect("a history");
        let (a, b) = (all("a"), all("b"));
        assert_eq!(
            a.iter().map(|message| message.role).collect::<Vec<_>>(),
            [Role::System, Role::Assistant, Role::Tool]
        );
        assert_eq!((a[1].content.is_none(), &*a[1].tool_calls[0].arguments), (true, "{\"a\":"));
        assert_eq!((a[2].text(), a[2].tool_call_id.as_deref()), (String::new(), Some("c")));
        assert_eq!((b[0].text(), b[0].ts.as_micros()), ("北京".to_owned(), 1_746_038_518_000_042));
        // Again they are there.
        let again = agent.import(text.concat().as_bytes(), ImportOptions::default());
        assert!(again.expect_err("they are there").is_conflict());
        let report = agent.import(text.concat().as_bytes(), skipping()).expect("they are left out");
        assert_eq!((report.sessions, report.sessions_skipped, report.messages), (0, 2, 0));
        assert_whole(&engine);
    }
}

#[test]
fn where_lines_of_nine_keys_are_wrong_their_session_is_not_there() {
    let many: String = (0..300).map(|seq| nine("a", seq, "user", "\"x\"")).collect();
    let cases = [
        (nine("a", 301, "user", "\"x\""), "line 301: seq is 301, where 300 is due"),
        (
            nine("a", 300, "robot", "\"x\""),
            "line 301: role is \"\\\"robot\\\"\"; it must be user, assistant, system or tool",
        ),
        (nine("a", 300, "user", "7"), "line 301: content is \"7\"; it must be a string or a list of blocks"),
        ("{\"session\":\"a\"}".into(), "line 301: seq is missing; it must be an integer of 0 to 2^64 - 1"),
        (nine("", 0, "user", "\"x\""), "line 301: session key has 0 characters; it must have 1 to 255"),
    ];
    for (wrong, says) in cases {
        let engine = empty();
        let agent = agent(&engine, "acme", "worker");
        let error = agent.import(format!("{many}{wrong}").as_bytes(), ImportOptions::default());
        let error = error.expect_err("it is wrong");
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidArgument, says));
        // A session that ended before the fault has come in.
        let there = if wrong.starts_with("{\"session\":\"\"") { 1 } else { 0 };
        assert_eq!(agent.sessions(()).expect("sessions").meta.total, there, "{says}");
    }
}

#[test]
fn a_list_of_messages_becomes_one_session() {
    let list = r#"[
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text",
            "text": "hello"}]},
        {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "c", "type": "function", "index": 0, "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "found"},
        {"role": "assistant", "content": "One moment."},
        {"role": "assistant", "content": "Here."},
        {"role": "user", "name": "Ada", "content": "thanks"},
        {"role": "assistant", "content": "Bye!"}
    ]"#;
    let object = format!("{{\n\"model\": \"m\",\n\"messages\": {list}\n}}\n");
    let line = object.replace('\n', " ");
    for text in [list, &object, &line] {
        let engine = empty();
        let agent = agent(&engine, "acme", "worker");
        let options = ImportOptions::default().key("telegram:42");
        let report = agent.import(text.as_bytes(), options).expect("it is imported");
        assert_eq!((report.sessions, report.messages, report.lines), (1, 8, 8));
        let unknown: Vec<_> = report.unknown.keys().map(String::as_str).filter(|name| *name != "model").collect();
        assert_eq!(unknown, ["messages.refusal", "role: developer", "tool_calls.index"]);
        let all = agent.session_by_key("telegram:42").and_then(|session| session.history(10)).expect("a history");
        let kinds: Vec<_> = all.iter().map(|message| message.kind).collect();
        let (said, last, call) = (MessageType::Message, MessageType::FinalMessage, MessageType::ToolCall);
        assert_eq!(kinds, [said, said, call, call, said, last, said, last]);
        assert_eq!((all[0].role, all[1].text(), all[6].name.as_deref()), (Role::System, "hello".into(), Some("Ada")));
        assert_whole(&engine);
    }
}

#[test]
fn what_is_no_known_form_is_refused_by_what_it_is() {
    let engine = empty();
    let agent = agent(&engine, "acme", "worker");
    let says = |text: &[u8]| {
        let error = agent.import(text, ImportOptions::default()).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        error.to_string()
    };
    let none = "it must be a line of parlor's, one of nine keys, or a list of messages";
    assert_eq!(says(b""), "there is nothing to import");
    assert_eq!(says(b"\n \nhello,world\n"), format!("line 3: the beginning is \"hello,world\"; {none}"));
    assert_eq!(says(b"{\"a\":1}"), format!("line 1: the beginning is \"{{\\\"a\\\":1}}\"; {none}"));
    assert!(says(b"[1]").starts_with("line 1: messages is no JSON object of at most"), "{}", says(b"[1]"));
    assert!(says(b"[{\"role\":\"user\"}").starts_with("line 1 is no JSON object"));
    assert_eq!(
        says(b"[{\"role\":\"robot\"}]"),
        "line 1: messages.role is \"robot\"; it must be system, developer, user, assistant or tool"
    );
    assert!(says(b"\xff\xfe").contains("no UTF-8"));
    let many = format!("[{}]", vec!["{\"role\":\"user\"}"; limit::LINES_LIST_MESSAGES + 1].join(","));
    assert!(says(many.as_bytes()).contains("a list of at most 100000"));
    assert_eq!(agent.sessions(()).expect("sessions").meta.total, 0);
    // Engines and workspaces take parlor's own lines alone.
    let error = import(&engine, "[]").expect_err("it is a list");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = import(&engine, &nine("a", 0, "user", "\"x\"")).expect_err("it has nine keys");
    assert_eq!(error.to_string(), "line 1: parlor is missing; it must be an integer of 0 to 2^32 - 1");
}

#[test]
fn conversations_that_were_imported_are_exported_and_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::builder(dir.path().join("a")).open().expect("it opens");
    let text: String = (0..20)
        .flat_map(|session| (0..30).map(move |seq| nine(&format!("s{session}"), seq, "user", "\"Ünï \\u0007\"")))
        .collect();
    agent(&engine, "acme", "worker").import(text.as_bytes(), ImportOptions::default()).expect("it is imported");
    agent(&engine, "acme", "worker").create_session(NewSession::default()).expect("a session");
    let exported = lines(&engine);
    let other = Engine::builder(dir.path().join("b")).open().expect("it opens");
    import(&other, &exported).expect("it is imported");
    assert_same(&exported, &lines(&other));
    other.close().expect("it closes");
    assert!(redb_store(dir.path().join("b")).and_then(|store| store.verify()).expect("it can be read").is_empty());
}

/// Where conversations that people had are: see `.ci/run`.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");

#[test]
fn real_conversations_come_back_as_they_were() {
    let data = std::env::var("PARLOR_DATA").unwrap_or_else(|_| DATA.into());
    let engine = empty();
    let (mut sessions, mut messages) = (0, 0);
    for name in ["tau_airline", "crosswoz_val"] {
        let Ok(text) = std::fs::read(format!("{data}/{name}.jsonl")) else {
            println!("no {name} in {data}: it is left out");
            continue;
        };
        let report = agent(&engine, name, "worker").import(&*text, ImportOptions::default()).expect("it is imported");
        assert!(report.unknown.is_empty(), "{:?}", report.unknown);
        assert_eq!(report.messages, text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64);
        (sessions, messages) = (sessions + report.sessions, messages + report.messages);
    }
    println!("{sessions} sessions, {messages} messages");
    let (other, exported) = (empty(), lines(&engine));
    let report = import(&other, &exported).expect("it is imported");
    assert_eq!((report.sessions, report.messages), (sessions, messages));
    assert_same(&exported, &lines(&other));
    assert_whole(&other);
}
