//! The replay's own parts, on conversations made to be hostile, and on expectations made wrong.

#[path = "../../examples/replay/check.rs"]
mod check;
#[path = "../../examples/replay/compare.rs"]
mod compare;
#[path = "../../examples/replay/data.rs"]
mod data;
#[path = "../example/mod.rs"]
mod example;
#[path = "../../examples/replay/feed.rs"]
mod feed;
#[path = "../../examples/replay/fork.rs"]
mod fork;
mod forked;
#[path = "../../examples/replay/listing.rs"]
mod listing;
#[path = "../../examples/replay/oracle.rs"]
mod oracle;
#[path = "../../examples/replay/play.rs"]
mod play;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use compare::Difference;
use data::{Conversation, Exchange, Failure, Recorded, Step};
use feed::Feed;
use indicatif::ProgressBar;
use parlor::{Engine, Session, ToolCall, TurnState, limit};
use play::{AGENT, Acks, Between, Script, WORKSPACE};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A line of a conversation: the nine keys, of which a case gives those that matter to it.
fn line(role: &str, kind: &str, content: Value, more: Value) -> Value {
    let mut line = json!({
        "session": "", "seq": 0, "role": role, "type": kind, "content": content,
        "tool_calls": null, "tool_call_id": null, "name": null, "ts": null,
    });
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

fn user(text: &str) -> Value {
    line("user", "message", json!(text), json!({}))
}

fn answer(text: &str) -> Value {
    line("assistant", "final_message", json!(text), json!({}))
}

fn calls(content: Value, ids: &[&str]) -> Value {
    let call = |id| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{\"a\":"}});
    let calls: Vec<_> = ids.iter().map(call).collect();
    line("assistant", "tool_call", content, json!({"tool_calls": calls}))
}

fn result(content: Value, id: &str) -> Value {
    line("tool", "tool_call", content, json!({"tool_call_id": id, "name": "look"}))
}

fn at(mut line: Value, ts: f64) -> Value {
    line["ts"] = json!(ts);
    line
}

/// Conversations by name, as text of a file.
fn file_of(conversations: &[(&str, Vec<Value>)]) -> String {
    let mut text = String::new();
    for (name, lines) in conversations {
        for (seq, line) in lines.iter().enumerate() {
            let mut line = line.clone();
            (line["session"], line["seq"]) = (json!(name), json!(seq));
            text += &format!("{line}\n");
        }
    }
    text
}

fn system() -> Value {
    line("system", "message", json!("be brief"), json!({}))
}

/// One conversation a quirk.
fn hostile() -> Vec<(&'static str, Vec<Value>)> {
    [odd_courses(), odd_contents()].concat()
}

/// Calls, clocks, and who speaks when.
fn odd_courses() -> Vec<(&'static str, Vec<Value>)> {
    let many = (0..60).flat_map(|turn| [user(&format!("{turn}?")), answer(&format!("{turn}!"))]).collect();
    vec![
        ("a call without a result, at the end", vec![user("a"), calls(json!(null), &["c1"])]),
        ("a call without a result, and on", vec![user("a"), calls(json!(""), &["c1"]), user("b"), answer("c")]),
        (
            "parallel calls, results in another order",
            vec![
                user("a"),
                calls(json!("both"), &["c1", "c2", "c3"]),
                result(json!("3"), "c3"),
                result(json!(""), "c1"),
                answer("c"),
            ],
        ),
        ("calls with one id", vec![user("a"), calls(json!(null), &["c", "c"]), result(json!(null), "c")]),
        (
            "equal and backward ts",
            vec![
                at(system(), 0.0),
                at(user("a"), 1_746_038_518.000_042),
                at(answer("b"), 1_746_038_518.000_042),
                at(user("c"), 12.5),
                answer("d"),
                at(user("e"), 4_000_000_000.000_001),
                at(answer("f"), 4_000_000_000.0),
                user("g"),
            ],
        ),
        (
            "the last ts a caller may give",
            vec![user("a"), at(answer("b"), 4_502_500_115.742_719), user("c"), answer("d")],
        ),
        ("no user message", vec![system(), answer("hello?"), calls(json!(null), &["c"]), result(json!("r"), "c")]),
        ("users only", vec![user("a"), user("b"), user(""), line("user", "message", json!(null), json!({}))]),
        ("a final message in the middle", vec![user("a"), answer("b"), answer("c"), system(), user("d"), answer("e")]),
        ("system messages in the middle", vec![user("a"), system(), answer("b"), system(), system(), user("c")]),
        ("longer than the longest page", many),
    ]
}

/// What is said.
fn odd_contents() -> Vec<(&'static str, Vec<Value>)> {
    let control: String = (0..0x20).chain([0x7f, 0x85, 0x2028, 0x202e, 0xfeff]).filter_map(char::from_u32).collect();
    let long = "没".repeat(50_000);
    let plain = |role| [json!(null), json!(""), json!("text")].map(|content| line(role, "message", content, json!({})));
    vec![
        (
            "control characters",
            vec![
                user(&control),
                calls(json!(control), &[&control]),
                result(json!(control), &control),
                answer(&format!("{control} 👩‍👩‍👧 a\u{301}")),
            ],
        ),
        ("50,000 characters", vec![user(&long), calls(json!(long), &["c"]), result(json!(long), "c"), answer(&long)]),
        ("null, empty and text of a user", plain("user").to_vec()),
        ("null, empty and text of an assistant", [vec![user("a")], plain("assistant").to_vec()].concat()),
        ("null, empty and text of a system", [plain("system").to_vec(), vec![user("a")]].concat()),
        (
            "null and empty answers",
            vec![user("a"), answer(""), user("b"), line("assistant", "final_message", json!(null), json!({}))],
        ),
        (
            "types at odd roles",
            vec![
                line("user", "final_message", json!("a"), json!({"name": "ada"})),
                line("tool", "final_message", json!("b"), json!({})),
                line("user", "tool_call", json!("c"), json!({"tool_calls": null})),
                line("system", "tool_call", json!("d"), json!({})),
                line("assistant", "tool_call", json!("e"), json!({})),
            ],
        ),
        ("\u{0}\n 名 \u{202e}", vec![user("a"), answer("b")]),
        (LONG_NAME, vec![user("a")]),
    ]
}

/// As long as a key may be.
const LONG_NAME: &str = concat!(
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
);

/// A directory with the conversations in a file and what an engine makes of them beside it.
struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        Stage { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("replay.parlor")
    }

    fn write(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.dir.path().join("recorded.jsonl");
        fs::write(&file, text).unwrap();
        file
    }

    fn script(&self, conversations: &[(&str, Vec<Value>)]) -> Arc<Script> {
        Arc::new(Script::new(data::read(&[self.write(file_of(conversations))]).unwrap()))
    }

    fn open(&self, script: &Arc<Script>) -> Engine {
        play::builder(&self.file(), 8, script, &Arc::new(Acks::none())).open().unwrap()
    }

    /// Plays the script and closes; answers with how many turns that took.
    fn play(&self, script: &Arc<Script>) -> Result<u64, Failure> {
        let engine = self.open(script);
        let played = play::play(&engine, script, 8, &Acks::none(), &ProgressBar::hidden());
        engine.close().unwrap();
        played
    }

    fn check(&self, script: &Arc<Script>) -> Result<u64, Failure> {
        let engine = self.open(script);
        let checked = check::check(&engine, script, 2, &ProgressBar::hidden());
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
        checked
    }
}

fn session_of(engine: &Engine, name: &str) -> Session {
    engine.workspace(WORKSPACE).unwrap().agent(AGENT).unwrap().session_by_key(name).unwrap()
}

#[test]
fn hostile_conversations_come_back_as_they_were() {
    let stage = Stage::new();
    let script = stage.script(&hostile());
    let turns = script.conversations().iter().flat_map(Conversation::steps);
    let turns = turns.filter(|step| matches!(step, Step::Turn(_))).count() as u64;
    assert_eq!(stage.play(&script).unwrap(), turns);
    assert!(stage.check(&script).unwrap() > 0);
    assert_eq!(stage.play(&script).unwrap(), 0, "nothing is left to play");
    stage.check(&script).unwrap();
}

#[test]
fn hostile_conversations_come_back_from_archives_between_their_turns() {
    let stage = Stage::new();
    let script = Script::new(data::read(&[stage.write(file_of(&hostile()))]).unwrap());
    let script = Arc::new(script.with(Between::Archived));
    assert!(stage.play(&script).unwrap() > 0);
    stage.check(&script).unwrap();
}

#[test]
fn every_message_is_acknowledged_once() {
    let stage = Stage::new();
    let script = stage.script(&[("a", vec![answer("seed"), user("b"), calls(json!(null), &["c"]), answer("d")])]);
    let noted = stage.dir.path().join("acks");
    let acks = Arc::new(Acks::open(&noted).unwrap());
    let engine = play::builder(&stage.file(), 1, &script, &acks).open().unwrap();
    let bar = ProgressBar::hidden();
    play::play(&engine, &script, 1, &acks, &bar).unwrap();
    assert_eq!((1, bar.position()), script.size());
    let session = session_of(&engine, "a");
    let stored = compare::stored(&session).unwrap();
    let lines: String = stored.iter().map(|message| format!("ack {} {}\n", session.id(), message.id)).collect();
    assert_eq!(fs::read_to_string(&noted).unwrap(), lines);
    engine.close().unwrap();
}

#[test]
fn a_malformed_line_is_an_error_that_names_file_and_line() {
    let good = file_of(&[("a", vec![user("b"), answer("c")])]);
    let with = |key: &str, value: Value| {
        let mut line = user("d");
        (line["session"], line["seq"], line[key]) = (json!("a"), json!(2), value);
        format!("{line}\n").into_bytes()
    };
    let without_ts = with("ts", json!(null)).len();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"\n".to_vec(), "EOF"),
        (b"no json\n".to_vec(), "expected"),
        (b"{\"session\": \"a\", \"seq\": 2}\n".to_vec(), "missing field `role`"),
        (with("session", json!("a"))[..without_ts - 10].to_vec(), "EOF"),
        (b"\"\xff\"\n".to_vec(), "invalid"),
        (with("more", json!(1)), "unknown field `more`"),
        (with("seq", json!(3)), "seq is 3; it must be 2"),
        (with("seq", json!(-1)), "invalid value"),
        (with("session", json!("b")), "seq is 2; it must be 0"),
        (with("role", json!("robot")), "unknown variant `robot`"),
        (with("type", json!(null)), "expected"),
        (with("content", json!([])), "invalid type"),
        (with("tool_calls", json!([])), "tool_calls is an empty list"),
        (with("tool_calls", json!([{"id": "c"}])), "missing field `type`"),
        (with("ts", json!(-0.5)), "ts"),
        (with("ts", json!(4_502_500_115.742_72)), "it must be below"),
        (with("name", json!("n".repeat(5000))), "name has 5000 bytes"),
        (file_of(&[("", vec![user("d")])]).into_bytes(), "session key has 0 characters"),
        (file_of(&[("b", vec![user("d")]), ("a", vec![user("d")])]).into_bytes(), "was there before"),
    ];
    for (bad, why) in cases {
        let stage = Stage::new();
        let lines = 2 + bad.iter().filter(|byte| **byte == b'\n').count().max(1);
        let file = stage.write([good.as_bytes(), &bad].concat());
        let error = data::read(&[&file]).map(|read| format!("{read:?}")).unwrap_err().to_string();
        let place = format!("{}:{lines}: ", file.display());
        assert!(error.starts_with(&place) && error.contains(why), "{error:?} is not {place:?} with {why:?}");
    }
    let missing = data::read(&[Path::new("no such file")]).map(|_| ()).unwrap_err().to_string();
    assert!(missing.starts_with("no such file: "), "{missing}");
}

#[test]
fn an_absent_key_is_not_null() {
    for key in ["session", "seq", "role", "type", "content", "tool_calls", "tool_call_id", "name", "ts"] {
        let mut line = user("a");
        line["session"] = json!("b");
        line.as_object_mut().unwrap().remove(key);
        let error = data::read(&[Stage::new().write(line.to_string())]);
        assert!(error.is_err(), "a line without {key} was read");
    }
}

#[test]
fn a_turn_is_cut_at_its_final_message_and_at_its_bound() {
    let read = |lines: Vec<Value>| {
        let stage = Stage::new();
        data::read(&[stage.write(file_of(&[("a", lines)]))]).unwrap().remove(0).steps()
    };
    let steps = read(vec![answer("a"), user("b"), answer("c"), answer("d"), user("e")]);
    let turn = |range, reply| Step::Turn(Exchange { range, reply });
    assert_eq!(steps, [Step::Append(0..1), turn(1..3, Some(2)), Step::Append(3..4), turn(4..5, None)]);

    let bound = limit::TURN_MESSAGES as usize;
    let mut lines = vec![line("assistant", "message", json!("on"), json!({})); bound + 1];
    lines.insert(0, user("count"));
    lines.push(answer("done"));
    let steps = read(lines);
    assert_eq!(steps, [turn(0..bound + 1, None), Step::Append(bound + 1..bound + 3)]);
}

/// What a wrong expectation changes, at which message, and the field that must be named.
type Lie = (&'static str, usize, fn(&mut Recorded));

#[test]
fn a_difference_in_any_field_is_found_and_named() {
    let lies: Vec<Lie> = vec![
        ("role", 0, |recorded| recorded.role = parlor::Role::User),
        ("type", 4, |recorded| recorded.kind = parlor::MessageType::Message),
        ("content", 1, |recorded| recorded.content = Some("a ".into())),
        ("content", 2, |recorded| recorded.content = Some(String::new())),
        ("content", 3, |recorded| recorded.content = None),
        ("tool_calls", 2, |recorded| recorded.tool_calls.as_mut().unwrap()[1].function.arguments.push('}')),
        ("tool_calls", 2, |recorded| recorded.tool_calls.as_mut().unwrap().swap(0, 1)),
        ("tool_calls", 2, |recorded| recorded.tool_calls = None),
        ("tool_call_id", 3, |recorded| recorded.tool_call_id = Some("c2".into())),
        ("name", 3, |recorded| recorded.name = None),
        ("ts", 1, |recorded| recorded.ts = Some("4000000000.000001".parse().unwrap())),
        ("ts", 1, |recorded| recorded.ts = Some("3999999999".parse().unwrap())),
        ("ts", 0, |recorded| recorded.ts = Some("1".parse().unwrap())),
    ];
    let stage = Stage::new();
    let script = stage.script(&[(
        "a",
        vec![
            line("system", "message", json!("s"), json!({})),
            at(user("a"), 4_000_000_000.0),
            calls(json!(null), &["c1", "c2"]),
            result(json!(""), "c1"),
            answer("b"),
        ],
    )]);
    stage.play(&script).unwrap();
    let engine = stage.open(&script);
    let session = session_of(&engine, "a");
    let told = &script.conversations()[0];
    compare::session(&session, told).unwrap();
    for (field, seq, lie) in lies {
        let mut told = told.clone();
        lie(&mut told.messages[seq]);
        let difference = difference(compare::session(&session, &told).map(|_| ()));
        assert_eq!((&*difference.field, difference.seq), (field, Some(seq)), "{difference}");
        assert!(difference.to_string().starts_with(&format!("session \"a\", seq {seq}, {field}: ")), "{difference}");
    }

    let mut longer = told.clone();
    longer.messages.push(told.messages[1].clone());
    let missing = difference(compare::session(&session, &longer).map(|_| ()));
    assert_eq!((&*missing.field, missing.seq), ("message", Some(5)));
    let mut shorter = told.clone();
    shorter.messages.pop();
    let more = difference(compare::session(&session, &shorter).map(|_| ()));
    assert_eq!((&*more.field, more.seq), ("message", Some(4)));
    engine.close().unwrap();
}

fn difference(found: Result<(), Failure>) -> Difference {
    *found.expect_err("a difference").downcast().expect("a difference, not another failure")
}

#[test]
fn a_listing_that_shows_more_than_was_told_is_a_difference() {
    let stage = Stage::new();
    let script = stage.script(&[("a", vec![user("a"), answer("b"), user("c"), answer("d")])]);
    stage.play(&script).unwrap();
    let engine = stage.open(&script);
    let session = session_of(&engine, "a");
    let mut told = script.conversations()[0].clone();
    let mut stored = compare::session(&session, &told).unwrap();
    listing::session(&session, &told, &stored).unwrap();
    told.messages.truncate(2);
    stored.truncate(2);
    let difference = difference(listing::session(&session, &told, &stored).map(|_| ()));
    assert!(difference.field.contains(" of /rest/v1/sessions/"), "{difference}");
    engine.close().unwrap();
}

#[test]
fn a_second_run_goes_on_where_the_first_one_stopped() {
    let stage = Stage::new();
    let lines = vec![answer("seed"), user("a"), answer("b"), user("c"), calls(json!(null), &["c"]), answer("d")];
    let first = stage.script(&[("a", lines[..3].to_vec())]);
    assert_eq!(stage.play(&first).unwrap(), 1);
    let whole = stage.script(&[("a", lines), ("b", vec![user("x")])]);
    assert_eq!(stage.play(&whole).unwrap(), 2);
    stage.check(&whole).unwrap();
}

#[test]
fn what_a_dead_turn_left_is_deleted_and_sent_again() {
    let stage = Stage::new();
    let script =
        stage.script(&[("a", vec![user("a"), answer("b"), user("c"), calls(json!(null), &["d"]), answer("e")])]);
    // An agent that dies where the recorded one would have gone on: its call stays open.
    let engine = Engine::builder(stage.file())
        .agent_fn(AGENT, |turn| {
            if turn.input().text() == "c" {
                turn.emit(parlor::NewMessage::calls([ToolCall::new("d", "look", "{}")]))?;
                return Err("lost".into());
            }
            Ok("b")
        })
        .open()
        .unwrap();
    let failure = play::play(&engine, &script, 1, &Acks::none(), &ProgressBar::hidden()).unwrap_err();
    engine.close().unwrap();
    let failed = difference(Err(failure));
    assert_eq!((&*failed.field, failed.seq), ("turn.state", Some(2)), "{failed}");
    assert!(failed.found.contains("lost"), "{failed}");

    // The first turn completed without the cue's part being compared; both are played to the end now.
    assert_eq!(stage.play(&script).unwrap(), 1);
    stage.check(&script).unwrap();
    let engine = stage.open(&script);
    let session = session_of(&engine, "a");
    let feed = Feed::read(&session).unwrap();
    // The user message, the call, and the result that the engine gave in the tool's place.
    assert_eq!(feed.deleted.len(), 3);
    assert_eq!(feed.deleted, feed.dead);
    let numbers: Vec<_> = compare::stored(&session).unwrap().iter().map(|message| message.number).collect();
    assert_eq!(numbers, [1, 2, 6, 7, 8]);
    let states: HashSet<_> = compare::turns(&session).unwrap().iter().map(|turn| turn.state).collect();
    assert_eq!(states, HashSet::from([TurnState::Completed, TurnState::Failed]));
    engine.close().unwrap();
}

#[test]
fn a_session_that_has_something_else_is_not_gone_on_with() {
    let stage = Stage::new();
    stage.play(&stage.script(&[("a", vec![user("a"), answer("b"), user("c")])])).unwrap();
    let other = difference(stage.play(&stage.script(&[("a", vec![user("a"), answer("B"), user("c")])])).map(|_| ()));
    assert_eq!((&*other.field, other.seq), ("content", Some(1)));
    let longer = stage.script(&[("a", vec![user("a"), answer("b"), user("c"), answer("d")])]);
    let cut = difference(stage.play(&longer).map(|_| ()));
    assert_eq!((&*cut.field, cut.seq), ("messages of its turn", Some(2)));
}

#[test]
fn the_example_exits_non_zero_and_names_the_first_difference() {
    let replay = example::replay();
    let stage = Stage::new();
    let run = |lines: &[Value]| {
        let recorded = stage.write(file_of(&[("a", lines.to_vec())]));
        let run = Command::new(&replay).arg("--file").arg(stage.file()).arg(recorded).output().unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
    };
    let (code, out, _) = run(&[user("a"), answer("b")]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("1 sessions, 2 messages\nplayed 1 turns in "), "{out}");
    assert!(out.ends_with(" pages compared, 0 differences\n"), "{out}");
    let (code, _, error) = run(&[user("a"), answer("c")]);
    assert_eq!(code, Some(1));
    let difference = r#"session "a", seq 1, content: expected Some(Text("c")), found Some(Text("b"))"#;
    assert_eq!(error, format!("replay: {difference}\n"));
}
