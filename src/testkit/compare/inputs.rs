//! Random inputs: messages, turns and sessions, valid at the door but for nothing else.

use uuid::Uuid;

use super::world::World;
use crate::limit::CALLER_TS_MICROS;
use crate::record::{
    Content, Image, Json, MessageType, NewMessage, NewSession, NewTurn, Reason, Role, SessionUpdate, ToolCall, Ts,
    Usage, Webhook,
};
use crate::store::Outcome;
use crate::time::Duration;

impl World {
    /// What callers know of a session: ids of its messages, its last `ts`, its threads.
    fn seen(&mut self, session: Option<usize>) -> (Option<Uuid>, u64) {
        let Some(known) = session.and_then(|index| self.sessions.get(index)) else { return (None, 0) };
        let id = self.rng.pick(&known.messages).map(|id| *id.as_uuid());
        (id, known.last_ts)
    }

    fn json(&mut self) -> Json {
        serde_json::json!({ "n": self.rng.below(3) }).into()
    }

    fn content(&mut self) -> Option<Content> {
        Some(match self.rng.below(100) {
            0..10 => return None,
            10..20 => Content::Blocks(serde_json::json!([{ "type": "text", "text": self.rng.below(3) }]).into()),
            20..21 => Content::Text("long ".repeat(self.rng.index(20_000))),
            _ => Content::from(self.rng.one(["a", "b", "", "ä\0\n"])),
        })
    }

    fn calls(&mut self) -> Vec<ToolCall> {
        let count = if self.rng.percent(25) { 1 + self.rng.index(3) } else { 0 };
        let call = |_| ToolCall::new(self.rng.one(["1", "2", "3", ""]), self.rng.one(["x", "y"]), "{}");
        (0..count).map(call).collect()
    }

    /// A `ts` around what matters: the session's last, the wall's, the ends of the range.
    fn ts(&mut self, last: u64) -> Option<Ts> {
        let now = self.now().as_micros();
        let micros = match self.rng.below(100) {
            0..60 => return None,
            60..65 => 0,
            65..72 => last,
            72..77 => last + 1,
            77..80 => last.saturating_sub(1),
            80..90 => now,
            90..98 => last + self.rng.below(1_000_000),
            98 => self.rng.below(CALLER_TS_MICROS),
            _ => CALLER_TS_MICROS - 1,
        };
        Ts::from_micros(micros.min(CALLER_TS_MICROS - 1)).ok()
    }

    /// Few values, so that some change nothing.
    pub(super) fn update(&mut self) -> SessionUpdate {
        let mut one = |percent, value: &'static str| {
            let change = self.rng.percent(percent);
            change.then(|| self.rng.percent(70).then(|| value.to_owned()))
        };
        let (label, last_channel) = (one(60, "a"), one(30, "mail"));
        let profile = self.rng.percent(30).then(|| self.rng.percent(70).then(|| self.json()));
        SessionUpdate { label, last_channel, profile, ..SessionUpdate::default() }
    }

    pub(super) fn message(&mut self, session: Option<usize>) -> NewMessage {
        let (used, last_ts) = self.seen(session);
        let mut new = NewMessage { content: self.content(), tool_calls: self.calls(), ..NewMessage::default() };
        new.role = self.rng.percent(50).then(|| self.rng.one(Role::ALL));
        new.kind = self.rng.percent(20).then(|| self.rng.one(MessageType::ALL));
        if self.rng.percent(if new.role == Some(Role::Tool) { 90 } else { 10 }) {
            new.tool_call_id = Some(self.rng.one(["1", "2", "3", "", "4"]).into());
        }
        new.name = self.rng.percent(20).then(|| self.rng.one(["x", "y", ""]).into());
        new.metadata = self.rng.percent(15).then(|| self.json());
        if self.rng.percent(5) {
            new.images.push(Image { media_type: None, data: vec![1; self.rng.index(9)] });
            new.artifact_ids.push(self.fresh());
        }
        new.id = match self.rng.below(100) {
            0..65 => None,
            65..90 => Some(self.shared_id().into()),
            90..95 => Some(self.fresh().into()),
            _ => used.map(Into::into),
        };
        new.ts = self.ts(last_ts);
        new
    }

    pub(super) fn batch(&mut self, session: Option<usize>) -> Vec<NewMessage> {
        let count = self.rng.one([1, 1, 1, 2, 3, 5]);
        let mut batch: Vec<_> = (0..count).map(|_| self.message(session)).collect();
        if self.rng.percent(25) {
            // A batch that can be repeated as a whole.
            batch.iter_mut().for_each(|message| message.id = Some(self.fresh().into()));
        }
        batch
    }

    fn webhook(&mut self) -> Webhook {
        Webhook {
            url: self.rng.one(["https://example.org/a", "http://example.org/b"]).into(),
            token: self.rng.percent(50).then(|| "token".into()),
            secret: self.rng.percent(50).then(|| "secret".into()),
            include_messages: self.rng.percent(50),
        }
    }

    /// A turn that names no thread.
    pub(super) fn turn(&mut self, session: Option<usize>) -> NewTurn {
        let mut new = NewTurn::from(self.message(session));
        new.user_params = self.rng.percent(15).then(|| self.json());
        new.profile = self.rng.percent(15).then(|| self.json());
        new.webhook = self.rng.percent(25).then(|| self.webhook());
        new.time_limit = self.rng.percent(15).then(|| Duration::from_millis(self.rng.one([1, 60_000])));
        new
    }

    pub(super) fn new_session(&mut self) -> NewSession {
        let key = match self.rng.below(100) {
            0..40 => None,
            40..85 => Some(self.rng.one(["k", "l", "m", "K"]).to_owned()),
            _ => Some(self.shared_id().to_string()),
        };
        NewSession {
            id: self.rng.percent(40).then(|| self.shared_id().into()),
            key,
            label: self.rng.percent(20).then(|| "label".into()),
            chat_type: self.rng.percent(10).then(String::new),
            last_channel: self.rng.percent(10).then(|| "channel".into()),
            origin: self.rng.percent(10).then(|| self.json()),
            metadata: self.rng.percent(10).then(|| self.json()),
            profile: self.rng.percent(20).then(|| self.json()),
        }
    }

    /// Mostly nothing; now and then so much that the sum is past its bound.
    pub(super) fn usage(&mut self) -> Usage {
        match self.rng.below(100) {
            0..70 => Usage::ZERO,
            70..98 => {
                let (input, output) = (self.rng.below(1000), self.rng.below(1000));
                Usage { input, output, cached: input / 2, reasoning: output / 3, cost_micros: self.rng.below(90_000) }
            }
            _ => Usage { cost_micros: u64::MAX - self.rng.below(100_000), ..Usage::ZERO },
        }
    }

    pub(super) fn outcome(&mut self, session: Option<usize>) -> Outcome {
        let reason = self.rng.one(Reason::ALL);
        match self.rng.below(100) {
            0..20 => Outcome::Completed(None),
            20..65 => {
                let mut answer = self.message(session);
                if self.rng.percent(80) {
                    (answer.role, answer.kind) = (None, None);
                }
                Outcome::Completed(Some(Box::new(answer)))
            }
            65..82 => Outcome::Interrupted(reason),
            _ => Outcome::Failed(reason, self.rng.percent(50).then(|| "why".into())),
        }
    }
}
