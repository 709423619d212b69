//! Engines to export and to import into.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parlor::testkit::{ModelStore, compare, redb_store};
use parlor::{
    AgentHandle, Engine, Error, Image, ImportOptions, ImportReport, Json, MessageType, NewMessage, NewSession, NewTurn,
    OnConflict, Role, Session, SessionUpdate, ToolCall, Usage,
};
use uuid::Uuid;

/// What is written to it, as it came.
#[derive(Default)]
pub struct Pieces(pub Vec<Vec<u8>>);

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An engine in memory, where nothing runs.
pub fn empty() -> Engine {
    Engine::in_memory().open().expect("an engine")
}

/// An engine in which something runs: an agent that calls a tool, consumes and answers.
pub fn busy_with_tools() -> Engine {
    let engine = Engine::in_memory().agent_fn("worker", |turn| {
        let call = turn.tool_call("look", "{\"a\": \n1}")?;
        turn.record_usage(Usage { input: 7, output: 3, cost_micros: 11, ..Usage::default() })?;
        match &*turn.input().text() {
            "fail" => Err("it failed".into()),
            text => {
                turn.tool_result(&call, "")?;
                Ok(format!("{text}!"))
            }
        }
    });
    engine.open().expect("an engine")
}

pub fn agent(engine: &Engine, workspace: &str, agent: &str) -> AgentHandle {
    engine.workspace(workspace).and_then(|workspace| workspace.agent(agent)).expect("an agent")
}

/// A session with a bit of everything, of an agent of [`busy_with_tools`].
pub fn rich(engine: &Engine, workspace: &str, key: &str) -> Session {
    let json = |text: &str| Json::parse(text).expect("it is JSON");
    let new = NewSession::default()
        .id(Uuid::now_v7())
        .key(key)
        .label("A \"label\" \u{2028}\u{1}")
        .chat_type("direct")
        .last_channel("web")
        .origin(json("{\"b\": 1.50,\n \"a\" : [ ]}"))
        .metadata(json("null"))
        .profile(json("{\"model\":\"m\"}"));
    let session = agent(engine, workspace, "worker").create_session(new).expect("a session");
    let blocks = json("[ {\"type\": \"text\",\r\n \"text\":\"x\"} ]");
    let seeded = [
        NewMessage::text("be brief\n").role(Role::System).id(Uuid::now_v7()),
        NewMessage::blocks(json("[{\"type\":\"text\" , \"text\":\"Köln 北京 \\ud83d\"}]")).metadata(json("[1,  2]")),
        NewMessage::blocks(blocks).kind(MessageType::FinalMessage),
        NewMessage::calls([ToolCall::new("c", "look", "no JSON {")]).metadata(json("\"\\u0000\"")),
        NewMessage::default(),
        NewMessage::text("")
            .image(Image { media_type: Some("image/png".into()), data: vec![0, 255, 3] })
            .image(Image { media_type: None, data: Vec::new() })
            .artifacts([Uuid::from_u128(7), Uuid::from_u128(8)]),
    ];
    let seeded = session.append(seeded).expect("they are appended");
    let send = |text: &str| {
        let turn = NewTurn::from(NewMessage::text(text).id(Uuid::now_v7())).user_params(json("{ }"));
        let turn = turn.time_limit(Duration::from_secs(3600));
        session.send(turn).and_then(|turn| turn.wait()).expect("it ends")
    };
    send("hello");
    send("fail");
    session.set_context_mark(parlor::ContextMark::new(3, "what was \"said\"\n")).expect("a mark");
    session.update(SessionUpdate::default().label("Another")).expect("it is renamed");
    session.delete_message(seeded[1].id).expect("it is deleted");
    session
}

/// A file that random operations filled, and what is there.
pub fn random(path: &Path, seed: u64, steps: u32) -> Engine {
    let store = redb_store(path).expect("a store");
    compare(Arc::clone(&store), Arc::new(ModelStore::new()), seed, steps);
    store.close().expect("it closes");
    drop(store);
    Engine::builder(path).open().expect("it opens")
}

/// The lines of all of it.
pub fn lines(engine: &Engine) -> String {
    let mut lines = Vec::new();
    engine.export(&mut lines).expect("it is exported");
    String::from_utf8(lines).expect("it is text")
}

/// All but the first line, which says when it was.
pub fn body(lines: &str) -> &str {
    lines.split_once('\n').map_or("", |(_, body)| body)
}

pub fn import(engine: &Engine, lines: &str) -> Result<ImportReport, Error> {
    engine.import(lines.as_bytes(), ImportOptions::default())
}

pub fn skipping() -> ImportOptions {
    ImportOptions::default().on_conflict(OnConflict::Skip)
}

/// Nothing that must hold is broken.
#[track_caller]
pub fn assert_whole(engine: &Engine) {
    assert_eq!(engine.verify().expect("it can be read"), Vec::<String>::new());
}

/// Both have the same lines, but for what the first says of when it was, and the last of what was left out.
#[track_caller]
pub fn assert_same(left: &str, right: &str) {
    let lines =
        |text| body(text).lines().map(|line| if line.starts_with("{\"line\":\"end\"") { end(line) } else { line });
    for (number, (left, right)) in lines(left).zip(lines(right)).enumerate() {
        assert_eq!(left, right, "line {}", number + 2);
    }
    assert_eq!(body(left).lines().count(), body(right).lines().count());
}

/// The counts of the last line.
fn end(line: &str) -> &str {
    line.split_once(",\"ended\":").map_or("", |(counts, _)| counts)
}
