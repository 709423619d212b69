//! The spans of a turn and of what is written, with the field names of the conventions.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use parlor::{AgentResult, Session, Usage};
use support::{on_every_store, open, session};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

/// Keeps the fields of all spans.
#[derive(Default)]
struct Kept {
    next: AtomicU64,
    spans: Mutex<BTreeMap<u64, Fields>>,
    entered: Mutex<Vec<&'static str>>,
    names: Mutex<BTreeMap<u64, &'static str>>,
}

struct Write<'a>(&'a mut Fields);

impl Visit for Write<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

#[derive(Clone, Default)]
struct Keeper(Arc<Kept>);

impl Subscriber for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fields = Fields::new();
        span.record(&mut Write(&mut fields));
        self.0.spans.lock().unwrap().insert(id, fields);
        self.0.names.lock().unwrap().insert(id, span.metadata().name());
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.spans.lock().unwrap();
        values.record(&mut Write(spans.get_mut(&span.into_u64()).unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        let name = self.0.names.lock().unwrap()[&span.into_u64()];
        self.0.entered.lock().unwrap().push(name);
    }

    fn exit(&self, _: &Id) {}
}

#[test]
fn each_turn_and_each_write_is_a_span_that_says_whose_it_is_and_how_it_ended() {
    let keeper = Keeper::default();
    // For the worker threads too: a binary of its own with one test.
    tracing::subscriber::set_global_default(keeper.clone()).unwrap();
    on_every_store(|store| {
        keeper.0.spans.lock().unwrap().clear();
        let engine = open(&store, |builder| {
            builder.agent_fn("greeter", |turn| -> AgentResult {
                turn.record_usage(Usage { input: 12, output: 3, cached: 2, reasoning: 1, cost_micros: 45 })?;
                if turn.input().text() == "fail" { Err("as it was told".into()) } else { Ok("hello".into()) }
            })
        });
        let session = session(&engine, "greeter");
        let turns = ["hello", "fail"].map(|text| session.send(text).unwrap().wait().unwrap().turn);
        // A close that comes before the worker is back tries to end its turn once more.
        while engine.stats().running > 0 {
            std::thread::yield_now();
        }
        session.delete_message(uuid::Uuid::nil().into()).unwrap_err();
        engine.close().unwrap();
        let spans: Vec<_> = keeper.0.spans.lock().unwrap().values().cloned().collect();
        let is_turn = |span: &Fields| span["otel.name"].starts_with("invoke_agent");
        let (spans, operations): (Vec<_>, Vec<_>) = spans.into_iter().partition(is_turn);
        let expected = turns.each_ref().map(|turn| {
            let mut fields = vec![
                ("otel.name", "invoke_agent greeter".to_owned()),
                ("otel.kind", "internal".to_owned()),
                ("gen_ai.operation.name", "invoke_agent".to_owned()),
                ("gen_ai.agent.id", session.agent_id().to_string()),
                ("gen_ai.agent.name", "greeter".to_owned()),
                ("gen_ai.conversation.id", session.id().to_string()),
                ("parlor.workspace.id", session.workspace_id().to_string()),
                ("parlor.turn.id", turn.id.to_string()),
                ("parlor.turn.state", turn.state.as_str().to_owned()),
                ("gen_ai.usage.input_tokens", "12".to_owned()),
                ("gen_ai.usage.output_tokens", "3".to_owned()),
                ("gen_ai.usage.cache_read.input_tokens", "2".to_owned()),
                ("parlor.usage.reasoning_tokens", "1".to_owned()),
                ("parlor.usage.cost_micros", "45".to_owned()),
            ];
            fields.extend(turn.reason.map(|reason| ("error.type", reason.as_str().to_owned())));
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Fields>()
        });
        assert_eq!(spans, expected);
        check_operations(&session, &turns.each_ref().map(|turn| turn.id.to_string()), &operations);
    });
    let entered = keeper.0.entered.lock().unwrap().iter().filter(|name| **name == "invoke_agent").count();
    assert_eq!(entered, 4, "agents run within their spans");
}

/// What the store was asked to write: each a span that says what it is about, and nothing of what was said.
fn check_operations(session: &Session, turns: &[String; 2], spans: &[Fields]) {
    let of = |name: &str, more: &[(&str, &str)]| {
        let known =
            [("otel.name", name), ("otel.kind", "internal"), ("db.system.name", "parlor"), ("db.operation.name", name)];
        let all = known.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        all.collect::<Fields>()
    };
    let (workspace, agent) = (session.workspace_id().to_string(), session.agent_id().to_string());
    let id = session.id().to_string();
    let (of_workspace, of_session) = (("parlor.workspace.id", &*workspace), ("gen_ai.conversation.id", &*id));
    let mut expected = vec![
        of("end_orphans", &[]),
        of("promote", &[]),
        of("ensure_workspace", &[]),
        of("ensure_agent", &[of_workspace]),
        of("create_session", &[of_workspace, ("gen_ai.agent.id", &agent)]),
    ];
    for turn in turns {
        let of_turn = ("parlor.turn.id", &**turn);
        expected.push(of("submit", &[of_workspace, of_session]));
        expected.push(of("emit", &[of_workspace, of_session, of_turn, ("db.operation.batch.size", "0")]));
        expected.push(of("finish", &[of_workspace, of_session, of_turn]));
    }
    expected.push(of("delete_message", &[of_workspace, of_session, ("error.type", "NotFound")]));
    expected.push(of("close", &[]));
    assert_eq!(spans, expected);
}
