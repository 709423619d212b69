//! Spans for those who trace (feature `tracing`); without the feature there are none, and asking for one costs nothing.
//!
//! Names and fields are those of OpenTelemetry's conventions for generative AI, and for databases: a turn is *invoke agent*,
//! within the process; what the store is asked to write is an operation of a database, those of a turn within its span.

use crate::id::TurnId;
use crate::record::Turn;
use crate::shared::Shared;
use crate::store::{Outcome, SessionRef, Store};
use crate::sync::Arc;

#[cfg(feature = "tracing")]
mod store;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;
#[cfg(feature = "tracing")]
pub(crate) use on::*;

#[cfg(feature = "tracing")]
mod on {
    use super::store::Traced;
    use tracing::field::{Empty, display};
    use tracing::{Span, info_span};

    use super::{Arc, Outcome, SessionRef, Shared, Store, Turn, TurnId};
    use crate::record::Usage;

    /// The store with a span for each operation that writes.
    pub(crate) fn traced(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Traced(store))
    }

    /// The span of a turn, from its agent's start to its end.
    pub(crate) struct TurnSpan(Span);

    impl TurnSpan {
        pub(crate) fn new(shared: &Shared, at: SessionRef, turn: &Turn) -> Self {
            // One that is filtered out costs no look at the store.
            let span = info_span!(
                "invoke_agent",
                otel.name = Empty,
                otel.kind = "internal",
                gen_ai.operation.name = "invoke_agent",
                gen_ai.agent.id = Empty,
                gen_ai.agent.name = Empty,
                gen_ai.conversation.id = %at.session,
                parlor.workspace.id = %at.workspace,
                parlor.turn.id = %turn.id,
                parlor.turn.state = Empty,
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty,
                gen_ai.usage.cache_read.input_tokens = Empty,
                parlor.usage.reasoning_tokens = Empty,
                parlor.usage.cost_micros = Empty,
                error.type = Empty,
            );
            if !span.is_disabled()
                && let Ok(session) = shared.store().session(at)
            {
                span.record("otel.name", format!("invoke_agent {}", session.agent_name));
                span.record("gen_ai.agent.id", display(session.agent_id));
                span.record("gen_ai.agent.name", &*session.agent_name);
            }
            TurnSpan(span)
        }

        /// Runs something within the span.
        pub(crate) fn within<T>(&self, f: impl FnOnce() -> T) -> T {
            self.0.in_scope(f)
        }

        /// Says how the turn is to end.
        pub(crate) fn ends(&self, outcome: &Outcome) {
            self.0.record("parlor.turn.state", outcome.state().as_str());
            if let Outcome::Interrupted(reason) | Outcome::Failed(reason, _) = outcome {
                self.0.record("error.type", reason.as_str());
            }
        }

        /// Says what the turn has consumed, once it is over.
        pub(crate) fn used(&self, shared: &Shared, at: SessionRef, turn: TurnId) {
            if self.0.is_disabled() {
                return;
            }
            let Ok(Turn { usage, .. }) = shared.store().turn(at, turn) else { return };
            if usage == Usage::ZERO {
                return;
            }
            self.0.record("gen_ai.usage.input_tokens", usage.input);
            self.0.record("gen_ai.usage.output_tokens", usage.output);
            self.0.record("gen_ai.usage.cache_read.input_tokens", usage.cached);
            self.0.record("parlor.usage.reasoning_tokens", usage.reasoning);
            self.0.record("parlor.usage.cost_micros", usage.cost_micros);
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use super::{Arc, Outcome, SessionRef, Shared, Store, Turn, TurnId};

    pub(crate) fn traced(store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }

    pub(crate) struct TurnSpan;

    impl TurnSpan {
        pub(crate) fn new(_: &Shared, _: SessionRef, _: &Turn) -> Self {
            TurnSpan
        }

        pub(crate) fn within<T>(&self, f: impl FnOnce() -> T) -> T {
            f()
        }

        pub(crate) fn ends(&self, _: &Outcome) {}

        pub(crate) fn used(&self, _: &Shared, _: SessionRef, _: TurnId) {}
    }
}
