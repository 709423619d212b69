//! The span of a turn, with the field names of the conventions.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use parlor::{AgentResult, Usage};
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
    entered: AtomicU64,
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
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.spans.lock().unwrap();
        values.record(&mut Write(spans.get_mut(&span.into_u64()).unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        self.0.entered.fetch_add(1, Ordering::SeqCst);
    }

    fn exit(&self, _: &Id) {}
}

#[test]
fn each_turn_is_a_span_that_says_whose_it_is_and_how_it_ended() {
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
        engine.close().unwrap();
        let spans: Vec<_> = keeper.0.spans.lock().unwrap().values().cloned().collect();
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
    });
    assert_eq!(keeper.0.entered.load(Ordering::SeqCst), 4, "agents run within their spans");
}
