//! What a client does next: an operation drawn at random, of those that its sessions allow, and now and then of those that they
//! do not.

use parlor::id::{MessageId, OwnerId, SessionId};
use parlor::store::{
    Append, ArchiveSession, Behaviour, Claim, CreateSession, DeleteMessage, DeleteSession, Emit, Finish, Interrupt,
    Outcome, Policy, QueueBounds, Runner, SessionRef, SetContextMark, Stop, Submit, UpdateSession,
};
use parlor::{
    ContextMark, NewMessage, NewSession, NewTurn, Reason, SessionUpdate, Timestamp, ToolCall, Usage, Webhook,
};
use uuid::Uuid;

use super::client::Client;
use super::op::Op;

/// Most sessions that a client makes.
const SESSIONS: usize = 3;

impl Client {
    pub(super) fn owner(&self) -> OwnerId {
        OwnerId::from_uuid(Uuid::from_u128(self.owner))
    }

    fn runner(&self) -> Runner {
        Runner { owner: self.owner(), lease: None, behaviour: Behaviour::Registered }
    }

    /// Now and then one that is too large for the log, or for two of its segments.
    fn text(&mut self) -> String {
        let bytes = match self.random.below(20) {
            0 => 3_000 + self.random.below(4_000),
            1 => 15_000 + self.random.below(25_000),
            _ => self.random.below(200),
        };
        format!("{} ", self.random.below(1000)).repeat(bytes as usize / 4)
    }

    /// As long as a label may be.
    fn label(&mut self) -> String {
        self.text().chars().take(255).collect()
    }

    fn message(&mut self) -> NewMessage {
        NewMessage::text(self.text()).id(MessageId::from_uuid(self.id()))
    }

    pub(super) fn batch(&mut self) -> Vec<NewMessage> {
        let count = self.random.pick(&[1, 1, 1, 2, 3, 6]).unwrap_or(1);
        (0..count).map(|_| self.message()).collect()
    }

    fn turn(&mut self) -> NewTurn {
        let mut new = NewTurn::from(self.message());
        new.webhook = self.random.one_in(3).then(|| Webhook {
            url: "https://example.org/".into(),
            token: None,
            secret: None,
            include_messages: false,
        });
        new
    }

    pub(super) fn draw(&mut self) -> Op {
        if self.random.one_in(9) {
            return self.draw_at_home();
        }
        let looks_back = self.looks_back > 0;
        self.looks_back = self.looks_back.saturating_sub(1);
        if self.is_alone && (looks_back || self.random.one_in(if self.has_waiting() { 3 } else { 12 })) {
            return self.draw_for_all();
        }
        if !self.archived.is_empty() && self.random.one_in(5) {
            return self.draw_archived();
        }
        let few = self.sessions.is_empty() || self.sessions.len() < SESSIONS && self.random.one_in(8);
        if few {
            return self.creation();
        }
        let pick = self.random.below(self.sessions.len() as u64) as usize;
        let mine = &self.sessions[pick];
        let (at, claim) = (mine.at, mine.claim);
        if let Some(op) = self.draw_whole(pick) {
            return op;
        }
        if self.random.one_in(10)
            && let Some(op) = self.stale(pick)
        {
            return op;
        }
        if self.random.one_in(8) {
            let messages = &self.sessions[pick].messages;
            if let Some(message) = self.random.pick(messages) {
                return Op::Delete(DeleteMessage { stamp: self.stamp(), at, message });
            }
        }
        if self.random.one_in(12) {
            // A busy one is refused.
            return Op::DeleteSession(DeleteSession { stamp: self.stamp(), at, only_at: None });
        }
        if self.random.one_in(if claim.is_some() { 40 } else { 6 }) {
            return Op::Archive(ArchiveSession { stamp: self.stamp(), at, only_at: None });
        }
        match (claim, self.random.below(8)) {
            (Some(claim), 0..=2) => self.emit(at, claim),
            (Some(claim), 3..=5) => self.finish(at, claim),
            (_, 6) if self.random.one_in(2) => self.submit(at, Policy::Interrupt),
            (_, 6) => self.submit(at, Policy::FollowUp),
            (_, 7) if claim.is_some() || self.random.one_in(2) => self.control(at, claim),
            (None, 5) => self.submit(at, Policy::Reject),
            // In a busy session it is refused.
            _ => Op::Append(Append { stamp: self.stamp(), at, thread: None, messages: self.batch() }),
        }
    }

    fn creation(&mut self) -> Op {
        let (workspace, agent) = self.names;
        let first = self.random.one_in(2).then(|| (self.turn(), self.runner()));
        // Often the id of one that was deleted, and may not be cleared away yet.
        let again = self.random.pick(&self.gone).filter(|_| !self.random.one_in(3));
        let id = again.map_or_else(|| SessionId::from_uuid(self.id()), |at| at.session);
        let new = NewSession::default().id(id);
        Op::Create(Box::new(CreateSession { stamp: self.stamp(), workspace, agent, new, first }))
    }

    fn submit(&mut self, at: SessionRef, policy: Policy) -> Op {
        let new = self.turn();
        Op::Submit(Box::new(Submit {
            stamp: self.stamp(),
            at,
            new,
            policy,
            runner: self.runner(),
            sender: None,
            queue: QueueBounds::default(),
        }))
    }

    /// What others than the agent do to its turn and to those that wait.
    fn control(&mut self, at: SessionRef, claim: Option<Claim>) -> Op {
        let (stamp, reason) = (self.stamp(), Reason::Request);
        // Where nothing is running these would write nothing.
        match self.random.below(if claim.is_some() { 8 } else { 4 }) {
            4 => Op::Interrupt(Interrupt { stamp, at, turn: None, reason, next: Some(self.runner()) }),
            5 => Op::Stop(Stop { stamp, at, reason }),
            1 => {
                Op::Update(Box::new(UpdateSession { stamp, at, update: SessionUpdate::default().label(self.label()) }))
            }
            2 => Op::Mark(SetContextMark { stamp, at, claim, mark: Some(ContextMark::new(1, self.text())) }),
            3 => self.submit(at, Policy::Rollback),
            _ => self.submit(at, Policy::Enqueue),
        }
    }

    /// A write in the name of a turn that no longer owns its session, if there is one.
    fn stale(&mut self, pick: usize) -> Option<Op> {
        let mine = &self.sessions[pick];
        let (at, claim) = (mine.at, self.random.pick(&mine.stale)?);
        self.is_stale = true;
        Some(match self.random.below(4) {
            0 => self.emit(at, claim),
            1 => self.finish(at, claim),
            2 => {
                let mark = Some(ContextMark::new(1, self.text()));
                Op::Mark(SetContextMark { stamp: self.stamp(), at, claim: Some(claim), mark })
            }
            _ => match self.submit(at, Policy::Enqueue) {
                Op::Submit(submit) => Op::Submit(Box::new(Submit { sender: Some(claim), ..*submit })),
                other => other,
            },
        })
    }

    fn emit(&mut self, at: SessionRef, claim: Claim) -> Op {
        let mut messages = self.batch();
        if let Some(last) = messages.last_mut().filter(|_| self.random.one_in(3)) {
            last.tool_calls.push(ToolCall::new("1", "look", "{}"));
        }
        let started_at = Timestamp::from_micros(self.clock);
        Op::Emit(Emit { stamp: self.stamp(), at, claim, started_at, messages, usage: Usage::ZERO })
    }

    fn finish(&mut self, at: SessionRef, claim: Claim) -> Op {
        let outcome = match self.random.below(4) {
            0 => Outcome::Completed(None),
            1 => Outcome::Failed(Reason::Error, Some("why".into())),
            _ => Outcome::Completed(Some(Box::new(NewMessage::text(self.text())))),
        };
        let usage = Usage { input: self.random.below(1000), ..Usage::ZERO };
        let next = (!self.random.one_in(3)).then(|| self.runner());
        Op::Finish(Box::new(Finish { stamp: self.stamp(), at, claim, started_at: None, outcome, usage, next }))
    }
}
