//! Who writes: operations drawn at random, each done to a model first, so that it is known what it must lead to.

use std::collections::BTreeSet;
use std::sync::Arc;

use parlor::id::{AgentId, MessageId, OwnerId, SessionId, Stamp, TurnId, WorkspaceId};
use parlor::store::{
    Append, ArchiveRef, ArchiveSession, Behaviour, Claim, CreateSession, DeleteMessage, DeleteSession, Emit,
    EnsureAgent, EnsureWorkspace, Finish, Interrupt, Outcome, Policy, QueueBounds, Runner, SessionRef, SetContextMark,
    Stop, Store, Submit, UpdateSession,
};
use parlor::testkit::ModelStore;
use parlor::{
    ContextMark, Error, ErrorKind, NewMessage, NewSession, NewTurn, Reason, Result, SessionUpdate, Timestamp, ToolCall,
    TurnState, Usage, Webhook,
};
use uuid::Uuid;

use super::op::{Answer, Op};
use super::random::Random;
use super::record::Record;
use super::state::State;

pub const WORKSPACE: &str = "acme";

/// Most sessions that a client makes.
const SESSIONS: usize = 3;

const BEGIN_MICROS: u64 = 1_777_573_302_000_000;

/// Workspace and agent, with the same ids in every store.
pub fn set_up(store: &dyn Store) -> Result<(WorkspaceId, AgentId)> {
    let stamp = |seed| Stamp::new(Timestamp::from_micros(BEGIN_MICROS), seed);
    let workspace = store.ensure_workspace(EnsureWorkspace { stamp: stamp(1), name: WORKSPACE.into() })?.id;
    let agent = store.ensure_agent(EnsureAgent { stamp: stamp(2), workspace, name: "greeter".into() })?;
    Ok((workspace, agent.id))
}

/// The session in which everybody writes.
pub fn shared(workspace: WorkspaceId) -> SessionRef {
    SessionRef { workspace, session: SessionId::from_uuid(Uuid::from_u128(7)) }
}

pub fn make_shared(store: &dyn Store, (workspace, agent): (WorkspaceId, AgentId)) -> Result<()> {
    let new = NewSession::default().id(shared(workspace).session);
    let stamp = Stamp::new(Timestamp::from_micros(BEGIN_MICROS), 3);
    store.create_session(CreateSession { stamp, workspace, agent, new, first: None }).map(drop)
}

/// One of those who write, to sessions of its own and to the shared one.
pub struct Client {
    pub(super) random: Random,
    record: Arc<Record>,
    pub(super) model: ModelStore,
    /// What the model was told.
    done: Vec<Op>,
    pub(super) names: (WorkspaceId, AgentId),
    pub(super) sessions: Vec<Mine>,
    /// Those that were deleted, whose ids may be used again.
    gone: Vec<(usize, SessionRef)>,
    pub(super) archived: Vec<(Mine, ArchiveRef)>,
    pub(super) clock: u64,
    /// The kinds of operations that were acknowledged.
    pub kinds: BTreeSet<String>,
    /// What is neither known to be there nor not to be.
    pub unknown: Option<Unknown>,
}

pub(super) struct Mine {
    track: usize,
    pub(super) at: SessionRef,
    claim: Option<Claim>,
    pub(super) messages: Vec<MessageId>,
    /// Turns that waited once.
    pub(super) queued: Vec<TurnId>,
    /// Messages that were soft-deleted.
    pub(super) deleted: Vec<MessageId>,
}

impl Mine {
    fn new(track: usize, at: SessionRef) -> Self {
        Mine { track, at, claim: None, messages: Vec::new(), queued: Vec::new(), deleted: Vec::new() }
    }
}

/// An operation whose outcome is unknown.
pub struct Unknown {
    track: usize,
    op: Op,
    answer: Answer,
}

/// What became of a step.
#[derive(Debug)]
pub enum Went {
    Well,
    /// It was refused, and the model refuses it too.
    Refused,
    /// It failed.
    Failed(Error),
}

impl Client {
    pub fn new(seed: u64, record: Arc<Record>) -> Self {
        let model = ModelStore::new();
        let names = set_up(&model).expect("the model takes it");
        Client {
            random: Random::new(seed),
            record,
            model,
            done: Vec::new(),
            names,
            sessions: Vec::new(),
            gone: Vec::new(),
            archived: Vec::new(),
            clock: BEGIN_MICROS,
            kinds: BTreeSet::new(),
            unknown: None,
        }
    }

    /// Does something.
    pub fn step(&mut self, store: &dyn Store, with_shared: bool) -> Went {
        if with_shared && self.random.one_in(4) {
            return self.append_shared(store);
        }
        let op = self.draw();
        let expected = match op.apply(&self.model) {
            Ok(answer) => answer,
            Err(expected) => {
                return match op.apply(store) {
                    Err(error) if error.kind() == expected.kind() => Went::Refused,
                    Err(error) => Went::Failed(error),
                    Ok(answer) => panic!("{op:?} must be refused as {expected:?}, and answers {answer:?}"),
                };
            }
        };
        let at = op.at(&expected);
        let known =
            self.sessions.iter().chain(self.archived.iter().map(|(mine, _)| mine)).map(|mine| (mine.track, mine.at));
        let known = known.chain(self.gone.iter().copied());
        let known = known.filter(|known| known.1 == at).map(|(track, _)| track).next();
        let track = known.unwrap_or_else(|| self.record.track(at));
        let state = State::of(&self.model, at).expect("the model can be read");
        self.record.submit(track, state);
        match op.apply(store) {
            Ok(answer) => {
                self.record.acknowledge(track);
                assert_eq!(answer, expected, "{op:?}");
                self.kinds.insert(op.kind());
                self.learn(track, at, op, &answer);
                Went::Well
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                self.unknown = Some(Unknown { track, op, answer: expected });
                Went::Failed(error)
            }
            Err(error) => {
                self.record.withdraw(track);
                self.rebuild();
                Went::Failed(error)
            }
        }
    }

    /// Learns whether what is unknown is there. Whether it is.
    pub fn settle(&mut self, steps: &[usize]) -> bool {
        let Some(Unknown { track, op, answer }) = self.unknown.take() else { return false };
        if steps.get(track).copied().unwrap_or(0) == self.record.submitted(track) {
            self.record.acknowledge(track);
            let at = self.record.places()[track];
            self.learn(track, at, op, &answer);
            true
        } else {
            self.record.withdraw(track);
            self.rebuild();
            false
        }
    }

    /// Sends what is unknown again, whose ids make that safe. Whether there was anything.
    pub fn retry(&mut self, store: &dyn Store) -> bool {
        let Some(Unknown { op: Op::Append(op), .. }) = &self.unknown else { return false };
        let written = store.append(op.clone()).expect("it is repeated");
        let Some(Unknown { track, op, answer }) = self.unknown.take() else { return false };
        assert_eq!(Answer::Written(written), answer);
        self.record.acknowledge(track);
        let at = self.record.places()[track];
        self.learn(track, at, op, &answer);
        true
    }

    /// The model without what it was told last.
    fn rebuild(&mut self) {
        self.model = ModelStore::new();
        set_up(&self.model).expect("the model takes it");
        for op in &self.done {
            op.apply(&self.model).expect("the model took it before");
        }
    }

    fn learn(&mut self, track: usize, at: SessionRef, op: Op, answer: &Answer) {
        let (deletes, deletes_archive) = (matches!(op, Op::DeleteSession(_)), matches!(op, Op::DeleteArchive(..)));
        let (imports, announces) =
            (matches!(op, Op::Import(..)), matches!(op, Op::Delivered(_) | Op::Undelivered(_) | Op::Redrive(_)));
        let deleted = match &op {
            Op::Delete(op) => Some(op.message),
            _ => None,
        };
        self.done.push(op);
        if announces {
            return;
        }
        if deletes {
            self.sessions.retain(|mine| mine.at != at);
            self.gone.push((track, at));
            return;
        }
        if deletes_archive {
            self.archived.retain(|(mine, _)| mine.at != at);
            self.gone.push((track, at));
            return;
        }
        if let (true, Answer::Archived(record)) = (imports, answer) {
            let filename = record.filename.clone();
            let archive = ArchiveRef { workspace: record.workspace_id, agent: record.agent_id, filename };
            self.archived.push((Mine::new(track, at), archive));
            return;
        }
        if let Answer::Archived(record) = answer {
            let archive = ArchiveRef {
                workspace: record.workspace_id,
                agent: record.agent_id,
                filename: record.filename.clone(),
            };
            if let Some(index) = self.sessions.iter().position(|mine| mine.at == at) {
                self.archived.push((self.sessions.remove(index), archive));
            }
            return;
        }
        if let Some(index) = self.archived.iter().position(|(mine, _)| mine.at == at) {
            self.sessions.push(self.archived.remove(index).0);
        }
        self.gone.retain(|gone| gone.1 != at);
        let known = self.sessions.iter().position(|mine| mine.at == at).unwrap_or_else(|| {
            self.sessions.push(Mine::new(track, at));
            self.sessions.len() - 1
        });
        let mine = &mut self.sessions[known];
        mine.deleted.extend(deleted);
        match answer {
            Answer::Created(created) => {
                mine.claim = created.first.as_ref().and_then(|first| first.claim);
                mine.messages.extend(created.first.as_ref().map(|first| first.message.id));
            }
            Answer::Written(messages) => mine.messages.extend(messages.iter().map(|message| message.id)),
            Answer::Submitted(submitted) => {
                // One that waits leaves the running turn its claim.
                let promoted = submitted.promoted.as_ref().map(|started| started.claim);
                mine.claim = submitted.claim.or(promoted).or(mine.claim);
                mine.messages.push(submitted.message.id);
                mine.queued.extend((submitted.turn.state == TurnState::Queued).then_some(submitted.turn.id));
            }
            Answer::Ended(finished) => {
                if let Some(finished) = &**finished {
                    mine.claim = finished.next.as_ref().map(|next| next.claim);
                    mine.messages.extend(finished.turn.final_message);
                }
            }
            Answer::Stopped(_) => mine.claim = None,
            Answer::Deleted | Answer::Marked | Answer::Updated(_) | Answer::Archived(_) | Answer::Restored(_) => {}
            Answer::Forked(_) | Answer::Cancelled(_) | Answer::Row(_) | Answer::Driven(_) => {}
        }
    }

    fn append_shared(&mut self, store: &dyn Store) -> Went {
        let messages = self.batch();
        let ids = messages.iter().filter_map(|message| message.id).collect();
        let batch = self.record.submit_batch(ids);
        let append = Append { stamp: self.stamp(), at: shared(self.names.0), thread: None, messages };
        match store.append(append) {
            Ok(written) => {
                self.record.acknowledge_batch(batch, written);
                Went::Well
            }
            Err(error) => {
                if error.kind() != ErrorKind::OutcomeUnknown {
                    self.record.withdraw_batch(batch);
                }
                Went::Failed(error)
            }
        }
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        self.clock += self.random.below(2_000_000);
        Stamp::new(Timestamp::from_micros(self.clock), self.random.next() >> 2)
    }

    pub(super) fn id(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.random.next() | 1, self.random.next())
    }

    fn runner(&self) -> Runner {
        Runner { owner: OwnerId::from_uuid(Uuid::from_u128(1)), lease: None, behaviour: Behaviour::Registered }
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

    fn message(&mut self) -> NewMessage {
        NewMessage::text(self.text()).id(MessageId::from_uuid(self.id()))
    }

    fn batch(&mut self) -> Vec<NewMessage> {
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

    fn draw(&mut self) -> Op {
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
            (_, 7) if self.random.one_in(2) => self.control(at, claim),
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
        let id = again.map_or_else(|| SessionId::from_uuid(self.id()), |(_, at)| at.session);
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
            1 => Op::Update(Box::new(UpdateSession { stamp, at, update: SessionUpdate::default().label(self.text()) })),
            2 => Op::Mark(SetContextMark { stamp, at, claim, mark: Some(ContextMark::new(1, self.text())) }),
            3 => self.submit(at, Policy::Rollback),
            _ => self.submit(at, Policy::Enqueue),
        }
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
        let next = (!self.random.one_in(4)).then(|| self.runner());
        Op::Finish(Box::new(Finish { stamp: self.stamp(), at, claim, started_at: None, outcome, usage, next }))
    }
}

/// Writes what no client reads: a workspace of this name.
pub fn write_elsewhere(store: &dyn Store, name: &str) -> Result<()> {
    let seed = 4 + name.bytes().map(u64::from).sum::<u64>();
    let stamp = Stamp::new(Timestamp::from_micros(BEGIN_MICROS), seed);
    store.ensure_workspace(EnsureWorkspace { stamp, name: name.into() }).map(drop)
}
