//! Transcripts: valid whatever happened, and the conversation itself where nothing did.

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use parlor::id::{OwnerId, SessionId, Stamp, TurnId};
use parlor::store::{
    Append, Behaviour, Cancel, Claim, CreateSession, DeleteMessage, Emit, EnsureAgent, EnsureWorkspace, Finish,
    Interrupt, Outcome, Policy, QueueBounds, Runner, SessionRef, SetContextMark, Started, Stop, Store, Submit,
};
use parlor::testkit::ModelStore;
use parlor::transcript::{NO_RESULT, TranscriptMessage, read};
use parlor::{
    ContextMark, Engine, ErrorKind, Message, NewMessage, NewSession, NewTurn, Reason, Role, Timestamp, ToolCall, Usage,
    limit,
};
use proptest::prelude::*;
use serde_json::Value;

/// What every model API asks of a conversation.
fn check(transcript: &[TranscriptMessage]) {
    let mut rest = transcript.iter();
    while let Some(message) = rest.next() {
        assert_ne!(message.role, Role::Tool, "a result stands behind no call: {transcript:#?}");
        assert_eq!(message.tool_call_id, None, "only a result answers: {message:?}");
        assert!(message.role == Role::Assistant || message.tool_calls.is_empty(), "{message:?}");
        let says = !message.text().is_empty() || !message.images.is_empty() || !message.tool_calls.is_empty();
        assert!(says || matches!(&message.content, Some(parlor::Content::Blocks(_))), "it says nothing: {message:?}");
        for call in &message.tool_calls {
            let result = rest.next().unwrap_or_else(|| panic!("{call:?} has no result"));
            assert_eq!((result.role, result.tool_call_id.as_ref()), (Role::Tool, Some(&call.id)), "{transcript:#?}");
            assert!(result.content.is_some() && result.tool_calls.is_empty(), "{result:?}");
            assert!(result.message.is_some() || result.text() == NO_RESULT, "{result:?}");
        }
    }
}

fn texts(transcript: &[TranscriptMessage]) -> Vec<String> {
    transcript.iter().map(TranscriptMessage::text).collect()
}

/// A session in the reference store, driven as an executor would.
struct World {
    store: Arc<dyn Store>,
    at: SessionRef,
    seeds: u64,
    claim: Option<Claim>,
    queued: Vec<TurnId>,
    messages: Vec<Message>,
}

impl World {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(ModelStore::new());
        let stamp = |seed| Stamp::new(Timestamp::from_micros(1_777_573_302_000_000), seed);
        let workspace = store.ensure_workspace(EnsureWorkspace { stamp: stamp(1), name: "acme".into() }).unwrap().id;
        let agent = EnsureAgent { stamp: stamp(2), workspace, name: "echo".into() };
        let agent = store.ensure_agent(agent).unwrap().id;
        let new = NewSession::default();
        let created = store.create_session(CreateSession { stamp: stamp(3), workspace, agent, new, first: None });
        let at = SessionRef { workspace, session: created.unwrap().session.id };
        World { store, at, seeds: 16, claim: None, queued: Vec::new(), messages: Vec::new() }
    }

    fn stamp(&mut self) -> Stamp {
        self.seeds += 1;
        Stamp::new(Timestamp::from_micros(1_777_573_302_000_000 + self.seeds), self.seeds << 20)
    }

    fn runner(&self) -> Runner {
        Runner { owner: OwnerId::from_uuid(uuid::Uuid::from_u128(1)), lease: None, behaviour: Behaviour::Registered }
    }

    fn started(&mut self, started: &Started) {
        self.claim = Some(started.claim);
        self.queued.retain(|turn| *turn != started.turn.id);
    }

    fn submit(&mut self, policy: Policy, new: impl Into<NewTurn>) {
        let (stamp, at, runner) = (self.stamp(), self.at, self.runner());
        let op = Submit { stamp, at, new: new.into(), policy, runner, sender: None, queue: QueueBounds::default() };
        let Ok(submitted) = self.store.submit(op) else { return };
        self.messages.push(submitted.message);
        if let Some(started) = &submitted.promoted {
            self.started(started);
        }
        match submitted.claim {
            Some(claim) => self.claim = Some(claim),
            None => self.queued.push(submitted.turn.id),
        }
    }

    fn emit(&mut self, messages: Vec<NewMessage>) {
        let (stamp, at) = (self.stamp(), self.at);
        let Some(claim) = self.claim else { return };
        let op = Emit { stamp, at, claim, started_at: stamp.at, messages, usage: Usage::ZERO };
        self.messages.extend(self.store.emit(op).unwrap());
    }

    fn append(&mut self, messages: Vec<NewMessage>) {
        let (stamp, at) = (self.stamp(), self.at);
        self.messages.extend(self.store.append(Append { stamp, at, thread: None, messages }).unwrap_or_default());
    }

    fn finish(&mut self, outcome: Outcome) {
        let (stamp, at, next) = (self.stamp(), self.at, Some(self.runner()));
        let Some(claim) = self.claim.take() else { return };
        let op = Finish { stamp, at, claim, started_at: None, outcome, usage: Usage::ZERO, next };
        if let Some(next) = self.store.finish(op).unwrap().next {
            self.started(&next);
        }
    }

    fn answer(&mut self, text: &str) {
        self.finish(Outcome::Completed(Some(Box::new(text.into()))));
    }

    fn mark(&mut self, message: u32, summary: &str) {
        let (stamp, at, claim) = (self.stamp(), self.at, self.claim);
        let mark = Some(ContextMark::new(message, summary));
        // Refused where it lies past the end, or where turns wait.
        let _ = self.store.set_context_mark(SetContextMark { stamp, at, claim, mark });
    }

    fn transcript(&self) -> Vec<TranscriptMessage> {
        read(&*self.store, self.at).unwrap()
    }

    fn texts(&self) -> Vec<String> {
        texts(&self.transcript())
    }
}

fn call(id: &str) -> NewMessage {
    NewMessage::calls([ToolCall::new(id, "look", "{}")])
}

fn result(id: &str, text: &str) -> NewMessage {
    NewMessage::result(&ToolCall::new(id, "look", ""), text)
}

#[test]
fn what_waited_stands_where_its_turn_began() {
    let mut world = World::new();
    world.submit(Policy::Reject, "one");
    world.emit(vec![call("a")]);
    world.submit(Policy::Enqueue, "two");
    world.submit(Policy::Enqueue, "three");
    assert_eq!(world.texts(), ["one", "", NO_RESULT], "what waits is not shown");
    world.emit(vec![result("a", "found")]);
    world.answer("first");
    assert_eq!(world.texts(), ["one", "", "found", "first", "two"], "what runs is last");
    world.submit(Policy::Interrupt, "now");
    world.answer("at once");
    world.answer("third");
    let expected = ["one", "", "found", "two", "first", "now", "at once", "three", "third"];
    assert_eq!(world.texts(), expected, "what ended without a word stays where it was sent");
    check(&world.transcript());
}

#[test]
fn what_is_out_of_place_is_repaired_or_left_out() {
    let cases: [(&str, Vec<NewMessage>, &[&str]); 9] = [
        ("a missing result", vec![call("a"), "b".into()], &["", NO_RESULT, "b"]),
        ("a result before its call", vec![result("a", "early"), call("a")], &["", NO_RESULT]),
        ("a result of nothing", vec![result("x", "lost"), "b".into()], &["b"]),
        ("a result too many", vec![call("a"), result("a", "one"), result("a", "two")], &["", "one"]),
        ("a message between", vec![call("a"), "b".into(), result("a", "one")], &["", "one", "b"]),
        ("an id used again", vec![call("a"), call("a"), result("a", "second")], &["", NO_RESULT, "", "second"]),
        ("results out of order", vec![calls(&["a", "b"]), result("b", "2"), result("a", "1")], &["", "1", "2"]),
        ("one id twice in a message", vec![calls(&["a", "a"]), result("a", "1"), result("a", "2")], &["", "1", "2"]),
        ("calls of a user's", vec![call("a").role(Role::User), result("a", "1"), NewMessage::text("")], &[]),
    ];
    for (what, messages, expected) in cases {
        let mut world = World::new();
        let messages = messages.into_iter().map(|new| {
            let role = new.role_or(Role::Assistant);
            new.role(role)
        });
        world.append(messages.collect());
        let transcript = world.transcript();
        assert_eq!(texts(&transcript), expected, "{what}");
        check(&transcript);
    }
}

fn calls(ids: &[&str]) -> NewMessage {
    NewMessage::calls(ids.iter().map(|id| ToolCall::new(*id, "look", "{}")))
}

#[test]
fn a_mark_stands_for_all_before_it() {
    let mut world = World::new();
    world.append(vec![NewMessage::text("Be brief.").role(Role::System)]);
    world.submit(Policy::Reject, "one");
    world.emit(vec![call("a"), result("a", "found")]);
    world.answer("first");
    world.mark(4, "so far");
    assert_eq!(world.texts(), ["so far", "first"], "a result whose call is summed up goes with it");
    assert_eq!(world.transcript()[0].role, Role::System);
    world.mark(6, "all of it");
    assert_eq!(world.texts(), ["all of it"]);
    world.submit(Policy::Reject, "two");
    world.submit(Policy::Enqueue, "three");
    world.mark(8, "two, and what waits");
    assert_eq!(world.texts(), ["two, and what waits", "two"], "a question is not parted from its answer");
    world.answer("second");
    assert_eq!(world.texts(), ["two, and what waits", "two", "second", "three"]);
    world.emit(vec![call("b"), result("b", "found"), "thinking".into()]);
    world.mark(11, "three, and what was found");
    assert_eq!(world.texts(), ["three, and what was found", "thinking"], "amid a turn it parts what the turn wrote");
    world.mark(1, "");
    assert_eq!(world.transcript().len(), 11, "an empty summary says nothing");
    check(&world.transcript());
}

#[test]
fn a_transcript_over_its_bound_is_too_large() {
    let mut world = World::new();
    for _ in 0..limit::TRANSCRIPT_MESSAGES / limit::BATCH_MESSAGES {
        world.append(vec!["x".into(); limit::BATCH_MESSAGES]);
    }
    assert_eq!(world.transcript().len(), limit::TRANSCRIPT_MESSAGES);
    world.append(vec!["one more".into()]);
    let error = read(&*world.store, world.at).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("TRANSCRIPT_MESSAGES"), "{error}");
    world.mark(2, "the first");
    assert_eq!(world.transcript().len(), limit::TRANSCRIPT_MESSAGES + 1, "a mark makes room");
}

#[test]
fn an_agent_reads_it_and_sets_its_mark() {
    let engine = Engine::in_memory().agent_fn("echo", |turn| {
        let before = texts(&turn.transcript()?).join(",");
        turn.set_context_mark(ContextMark::new(turn.input().number, before.clone()))?;
        Ok(before)
    });
    let engine = engine.open().unwrap();
    let session = support::session(&engine, "echo");
    assert_eq!(session.send("a").unwrap().wait().unwrap().text(), "a");
    assert_eq!(session.send("b").unwrap().wait().unwrap().text(), "a,a,a,b");
    assert_eq!(session.context_mark().unwrap(), Some(ContextMark::new(3, "a,a,a,b")));
    assert_eq!(texts(&session.transcript().unwrap()), ["a,a,a,b", "b", "a,a,a,b"]);
    session.set_context_mark(None).unwrap();
    assert_eq!(texts(&session.transcript().unwrap()), ["a", "a", "b", "a,a,a,b"]);
    assert_eq!(session.set_context_mark(ContextMark::new(9, "")).unwrap_err().kind(), ErrorKind::InvalidArgument);
    engine.close().unwrap();
}

/// One of the things that happen to a session.
#[derive(Debug, Clone)]
enum Step {
    Submit(u8),
    Emit(Vec<(u8, u8)>),
    Append(Vec<(u8, u8)>),
    Finish(u8),
    Interrupt,
    Stop,
    Cancel,
    Delete(usize),
    Mark(u32),
}

fn message((kind, id): (u8, u8)) -> NewMessage {
    let id = ["a", "b", "c", ""][usize::from(id % 4)];
    match kind % 8 {
        0..=2 => call(id),
        3 => calls(&[id, "b"]),
        4 | 5 => result(id, "found"),
        6 => NewMessage::text("").role(Role::Assistant),
        _ => NewMessage::text("said").role(Role::Assistant),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec((any::<u8>(), any::<u8>()), 1..4);
    prop_oneof![
        5 => any::<u8>().prop_map(Step::Submit),
        6 => batch().prop_map(Step::Emit),
        1 => batch().prop_map(Step::Append),
        3 => any::<u8>().prop_map(Step::Finish),
        1 => Just(Step::Interrupt),
        1 => Just(Step::Stop),
        1 => Just(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => (0_u32..60).prop_map(Step::Mark),
    ]
}

impl World {
    fn take(&mut self, step: Step) {
        let (stamp, at, next) = (self.stamp(), self.at, Some(self.runner()));
        match step {
            Step::Submit(policy) => {
                let policies = [Policy::Reject, Policy::Interrupt, Policy::Enqueue, Policy::Enqueue, Policy::Rollback];
                self.submit(policies[usize::from(policy) % policies.len()], "asked");
            }
            Step::Emit(messages) => self.emit(messages.into_iter().map(message).collect()),
            Step::Append(messages) => self.append(messages.into_iter().map(message).collect()),
            Step::Finish(outcome) => self.finish(match outcome % 4 {
                0 => Outcome::Failed(Reason::Error, None),
                1 => Outcome::Completed(None),
                _ => Outcome::Completed(Some(Box::new("answered".into()))),
            }),
            Step::Interrupt => {
                self.claim = None;
                let op = Interrupt { stamp, at, turn: None, reason: Reason::Request, next };
                if let Some(next) = self.store.interrupt(op).unwrap().and_then(|finished| finished.next) {
                    self.started(&next);
                }
            }
            Step::Stop => {
                self.claim = None;
                self.queued.clear();
                self.store.stop(Stop { stamp, at, reason: Reason::Request }).unwrap();
            }
            Step::Cancel => {
                if let Some(turn) = self.queued.pop() {
                    self.store.cancel(Cancel { stamp, at, turn }).unwrap();
                }
            }
            Step::Delete(pick) => {
                if let Some(message) = self.messages.get(pick % self.messages.len().max(1)) {
                    let message = message.id;
                    // It may be deleted already.
                    let _ = self.store.delete_message(DeleteMessage { stamp, at, message });
                }
            }
            Step::Mark(message) => self.mark(message, "so far"),
        }
    }
}

proptest! {
    #[test]
    fn a_transcript_is_valid_whatever_happened(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            let transcript = world.transcript();
            check(&transcript);
            // What runs is asked about: its question is among it unless it was deleted, or a mark parts its turn.
            let record = world.store.session(world.at).unwrap();
            if let (Some(turn), None) = (record.running_turn, record.context_mark) {
                let turn = world.store.turn(world.at, turn).unwrap();
                let is_there = world.store.message(world.at, turn.message_id).is_ok();
                let shown = transcript.iter().any(|message| message.message == Some(turn.message_id));
                prop_assert_eq!(is_there, shown);
            }
        }
        prop_assert_eq!(world.store.verify().unwrap(), Vec::<String>::new());
    }
}

/// A conversation of the recordings is its own transcript, also when it was recorded turn by turn.
#[test]
fn a_real_conversation_is_its_own_transcript() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let read = |name: &str| fs::read_to_string(beside.join(name)).ok();
    let Some(lines) = read("tau_airline.jsonl").zip(read("crosswoz_val.jsonl")) else {
        println!("the recordings are not beside the project");
        return;
    };
    let mut sessions: HashMap<String, Vec<Value>> = HashMap::new();
    for line in lines.0.lines().chain(lines.1.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        sessions.entry(line["session"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    assert!(sessions.len() > 600, "{} conversations", sessions.len());
    let engine = Engine::in_memory().open().unwrap();
    for lines in sessions.values() {
        let session = support::session(&engine, "recorded");
        session.append(lines.iter().map(recorded)).unwrap();
        let transcript = session.transcript().unwrap();
        check(&transcript);
        let shown = serde_json::to_value(&transcript).unwrap();
        let expected: Vec<Value> = lines.iter().filter(|line| says(line)).map(expected).collect();
        assert_eq!(shown, Value::from(expected));
    }
    engine.close().unwrap();
}

fn says(line: &Value) -> bool {
    line["role"] == "tool"
        || !line["tool_calls"].is_null()
        || line["content"].as_str().is_some_and(|text| !text.is_empty())
}

/// A line as it is given to the session.
fn recorded(line: &Value) -> NewMessage {
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    let role = Role::ALL.into_iter().find(|role| Some(role.as_str()) == line["role"].as_str()).unwrap();
    let calls = line["tool_calls"].as_array().cloned().unwrap_or_default();
    let calls = calls.iter().map(|call| {
        let part = |value: &Value| value.as_str().unwrap().to_owned();
        ToolCall::new(part(&call["id"]), part(&call["function"]["name"]), part(&call["function"]["arguments"]))
    });
    let mut new = NewMessage::default().role(role).tool_calls(calls);
    new.content = text("content").map(Into::into);
    (new.tool_call_id, new.name) = (text("tool_call_id"), text("name"));
    new
}

/// A line as a model takes it.
fn expected(line: &Value) -> Value {
    let mut message = serde_json::json!({ "role": line["role"], "content": line["content"] });
    for key in ["tool_calls", "tool_call_id", "name"] {
        if !line[key].is_null() {
            message[key] = line[key].clone();
        }
    }
    message
}

#[test]
fn a_session_that_is_not_there_has_none() {
    let world = World::new();
    let at = SessionRef { session: SessionId::from_uuid(uuid::Uuid::from_u128(9)), ..world.at };
    assert!(read(&*world.store, at).unwrap_err().is_not_found());
}
