//! What a random run knows of the stores: from the answers, which both gave.

use uuid::Uuid;

use super::super::reader::Reader;
use super::super::rng::Rng;
use super::archives::Archived;
use super::op::{Answer, Op};
use crate::id::{AgentId, KeyId, MessageId, OwnerId, Stamp, ThreadId, TurnId, WorkspaceId};
use crate::limit::CALLER_TS_MICROS;
use crate::record::{Message, SessionRecord, TurnState, WebhookRow};
use crate::store::{Claim, Finished, SessionRef, Started, Submitted};
use crate::time::Timestamp;

/// The state of a run.
pub(super) struct World {
    pub rng: Rng,
    /// Microseconds on the wall.
    clock: u64,
    /// Every workspace that was made.
    pub workspaces: Vec<WorkspaceId>,
    pub agents: Vec<(WorkspaceId, AgentId)>,
    pub sessions: Vec<Known>,
    /// Access keys, the revoked ones among them.
    pub keys: Vec<KeyId>,
    /// Sessions that were deleted.
    pub gone: Vec<SessionRef>,
    /// Sessions that are archived.
    pub archived: Archived,
    /// Operations whose ids can be used again.
    pub past: Vec<Op>,
    /// Few enough that callers meet each other's.
    pub ids: Vec<Uuid>,
    /// Rows of the outbox that were seen.
    pub outbox: Vec<WebhookRow>,
    /// Who reads beside the operations.
    pub readers: Vec<Reader>,
}

/// A session as a caller knows it.
pub(super) struct Known {
    pub at: SessionRef,
    pub agent: AgentId,
    pub key: String,
    pub messages: Vec<MessageId>,
    pub threads: Vec<ThreadId>,
    pub turns: Vec<TurnId>,
    pub claims: Vec<Claim>,
    /// Whether a turn of it is running, as far as is known.
    pub running: bool,
    /// The turns that wait, as far as is known.
    pub queued: Vec<TurnId>,
    pub last_ts: u64,
    pub last_number: u32,
}

impl Known {
    fn new(record: &SessionRecord) -> Self {
        Known {
            at: SessionRef { workspace: record.workspace_id, session: record.id },
            agent: record.agent_id,
            key: record.key.clone(),
            messages: Vec::new(),
            threads: Vec::new(),
            turns: Vec::new(),
            claims: Vec::new(),
            running: false,
            queued: Vec::new(),
            last_ts: 0,
            last_number: 0,
        }
    }

    fn message(&mut self, message: &Message) {
        self.messages.push(message.id);
        self.last_ts = self.last_ts.max(message.ts.as_micros());
        self.last_number = self.last_number.max(message.number);
    }

    fn submitted(&mut self, submitted: &Submitted) {
        self.message(&submitted.message);
        self.threads.push(submitted.turn.thread_id);
        self.turns.push(submitted.turn.id);
        self.claims.extend(submitted.claim);
        // The original of an earlier submit comes without a claim and starts nothing.
        self.running |= submitted.claim.is_some();
        if let Some(started) = &submitted.promoted {
            self.started(started);
        }
        if submitted.turn.state == TurnState::Queued && !submitted.replayed {
            self.queued.push(submitted.turn.id);
        }
    }

    fn started(&mut self, started: &Started) {
        self.claims.push(started.claim);
        self.queued.retain(|turn| *turn != started.turn.id);
        self.running = true;
    }

    fn finished(&mut self, finished: &Finished) {
        self.messages.extend(finished.turn.final_message);
        self.running = false;
        if let Some(next) = &finished.next {
            self.started(next);
        }
    }

    /// Whether nothing runs or waits, as far as is known.
    pub fn is_idle(&self) -> bool {
        !self.running && self.queued.is_empty()
    }
}

impl World {
    pub fn new(mut rng: Rng) -> Self {
        let ids = (0..12).map(|_| uuid_of(&mut rng)).collect();
        World {
            rng,
            clock: 1_777_573_302_000_000,
            workspaces: Vec::new(),
            agents: Vec::new(),
            sessions: Vec::new(),
            keys: Vec::new(),
            gone: Vec::new(),
            archived: Archived::default(),
            past: Vec::new(),
            ids,
            outbox: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// A stamp of the clock's time, which may have moved anywhere since the last one.
    pub fn stamp(&mut self) -> Stamp {
        let at = self.now();
        Stamp::new(at, self.rng.next() >> 2)
    }

    pub fn now(&mut self) -> Timestamp {
        let by = self.rng.below(2_000_000);
        self.clock = match self.rng.below(100) {
            0..40 => self.clock,
            40..80 => self.clock.saturating_add(by),
            80..88 => self.clock.saturating_add(1),
            88..96 => self.clock.saturating_sub(by),
            96 => self.clock.saturating_add(by << 20),
            97 => self.clock.saturating_sub(by << 20),
            98 => 1_777_573_302_000_000,
            _ => self.rng.one([0, CALLER_TS_MICROS - 1, CALLER_TS_MICROS, Timestamp::MAX.as_micros()]),
        };
        self.clock = self.clock.min(Timestamp::MAX.as_micros());
        Timestamp::from_micros(self.clock)
    }

    /// An id that nothing has.
    pub fn fresh(&mut self) -> Uuid {
        uuid_of(&mut self.rng)
    }

    /// An id that others may use, too.
    pub fn shared_id(&mut self) -> Uuid {
        let pick = self.rng.index(self.ids.len());
        self.ids.get(pick).copied().unwrap_or_default()
    }

    /// One of three processes.
    pub fn owner(&mut self) -> OwnerId {
        OwnerId::from_uuid(Uuid::from_u128(self.rng.one([1, 1, 1, 2, 3])))
    }

    fn at(&mut self, op: &Op, learn: impl FnOnce(&mut Known)) {
        if let Some(known) = at_of(op).and_then(|at| self.known(at)) {
            learn(known);
        }
    }

    fn all_started(&mut self, all: &[Started]) {
        for started in all {
            if let Some(known) = self.known(started.at) {
                known.started(started);
            }
        }
    }

    fn known(&mut self, at: SessionRef) -> Option<&mut Known> {
        self.sessions.iter_mut().find(|known| known.at == at)
    }

    /// Remembers what both stores answered.
    pub fn learn(&mut self, op: &Op, answer: &Answer) {
        match answer {
            Answer::Workspace(made) if !self.workspaces.contains(&made.id) => self.workspaces.push(made.id),
            Answer::Agent(made) if !self.agents.contains(&(made.workspace_id, made.id)) => {
                self.agents.push((made.workspace_id, made.id));
            }
            Answer::Created(created) if !created.replayed => {
                let mut known = Known::new(&created.session);
                created.first.iter().for_each(|first| known.submitted(first));
                self.sessions.push(known);
            }
            Answer::Submitted(submitted) => self.at(op, |known| known.submitted(submitted)),
            Answer::Written(messages) => {
                self.at(op, |known| messages.iter().for_each(|message| known.message(message)));
            }
            Answer::Finished(finished) => self.at(op, |known| known.finished(finished)),
            Answer::Interrupted(finished) => {
                if let Some(finished) = &**finished {
                    self.at(op, |known| known.finished(finished));
                }
            }
            Answer::Forked(made) => {
                let at = SessionRef { workspace: made.workspace_id, session: made.id };
                if self.known(at).is_none() {
                    self.sessions.push(Known::new(made));
                }
            }
            Answer::Archived(record) => self.learn_archived(record),
            Answer::Restored(_) => {
                if let Op::RestoreArchive(op) = op {
                    self.learn_restored(&op.archive);
                }
            }
            Answer::Outbox(rows) => self.know_rows(rows),
            Answer::OutboxPages(pages) => pages.iter().for_each(|rows| self.know_rows(rows)),
            Answer::Stopped(_) => self.at(op, |known| {
                known.running = false;
                known.queued.clear();
            }),
            Answer::Cancelled(turn) => self.at(op, |known| known.queued.retain(|queued| *queued != turn.id)),
            Answer::Promoted(started) => self.all_started(started),
            Answer::Recovered(recovered) => {
                for turn in &recovered.ended {
                    let of = |known: &&mut Known| known.turns.contains(&turn.id);
                    self.sessions.iter_mut().filter(of).for_each(|known| known.running = false);
                }
                self.all_started(&recovered.again);
            }
            Answer::Deleted => {
                if let Op::DeleteSession(op) = op {
                    self.sessions.retain(|known| known.at != op.at);
                    self.gone.push(op.at);
                }
                if let Op::DeleteArchive(op) = op {
                    self.learn_discarded(&op.archive);
                }
            }
            Answer::Scope(_) => self.learn_scope(op, answer),
            _ => {}
        }
        if self.rng.percent(chance_again(op)) {
            self.past.push(op.clone());
        }
    }
}

/// How likely it is kept to be sent again: surely where that must answer with the original.
fn chance_again(op: &Op) -> u64 {
    let has_ids = match op {
        Op::CreateSession(op) => op.new.id.is_some(),
        Op::ForkSession(op) => op.new.id.is_some(),
        Op::Append(op) => op.messages.iter().all(|message| message.id.is_some()),
        Op::Submit(op) => op.new.message.id.is_some(),
        // The others are no retries of a caller's.
        _ => return 0,
    };
    if has_ids { 100 } else { 15 }
}

fn at_of(op: &Op) -> Option<SessionRef> {
    match op {
        Op::Append(op) => Some(op.at),
        Op::Submit(op) => Some(op.at),
        Op::Emit(op) => Some(op.at),
        Op::Finish(op) => Some(op.at),
        Op::Interrupt(op) => Some(op.at),
        Op::Stop(op) => Some(op.at),
        Op::Cancel(op) => Some(op.at),
        _ => None,
    }
}

fn uuid_of(rng: &mut Rng) -> Uuid {
    Uuid::from_u64_pair(rng.next() | 1, rng.next())
}
