//! The rules that are easiest to get wrong, each on the model alone.

mod end;
mod replay;
mod rows;
mod walls;

use std::cell::Cell;

use uuid::Uuid;

use super::ModelStore;
use crate::id::{AgentId, MessageId, OwnerId, Stamp, ThreadId, WorkspaceId};
use crate::page::{Matching, MessageQuery, PageAt};
use crate::record::{Change, ChangeKind, Message, NewMessage, NewSession, NewTurn, SessionRecord, Usage};
use crate::store::{
    Append, Behaviour, Claim, CreateSession, Created, DeleteMessage, Emit, EnsureAgent, EnsureWorkspace, Finish,
    Listed, Outcome, Policy, QueueBounds, Recovery, Runner, SessionRef, SessionsQuery, Store, Submit, Submitted,
};
use crate::time::Timestamp;
use crate::{ErrorKind, Result, Turn};

/// The time of a fixture's first operation.
const START: u64 = 1_777_573_302_000_000;
/// The owner that a fixture's turns run under.
const OWNER: OwnerId = OwnerId::from_uuid(Uuid::from_u128(0xa));
/// Another incarnation.
const OTHER: OwnerId = OwnerId::from_uuid(Uuid::from_u128(0xb));

/// A model with a workspace, an agent and a session, and a clock that goes on by 1 ms an operation.
struct Fixture {
    store: ModelStore,
    now: Cell<u64>,
    operations: Cell<u64>,
    workspace: WorkspaceId,
    agent: AgentId,
    at: SessionRef,
}

impl Fixture {
    fn new() -> Self {
        let nowhere = Uuid::nil();
        let at = SessionRef { workspace: nowhere.into(), session: nowhere.into() };
        let mut fixture = Fixture {
            store: ModelStore::new(),
            now: Cell::new(START),
            operations: Cell::new(0),
            workspace: nowhere.into(),
            agent: nowhere.into(),
            at,
        };
        fixture.workspace = fixture.workspace("acme");
        fixture.agent = fixture.agent(fixture.workspace, "greeter");
        fixture.at = fixture.session(NewSession::default());
        fixture
    }

    fn stamp(&self) -> Stamp {
        let operation = self.operations.get() + 1;
        self.operations.set(operation);
        self.now.set(self.now.get() + 1000);
        Stamp::new(Timestamp::from_micros(self.now.get()), operation << 20)
    }

    fn workspace(&self, name: &str) -> WorkspaceId {
        self.store.ensure_workspace(EnsureWorkspace { stamp: self.stamp(), name: name.into() }).unwrap().id
    }

    fn agent(&self, workspace: WorkspaceId, name: &str) -> AgentId {
        self.store.ensure_agent(EnsureAgent { stamp: self.stamp(), workspace, name: name.into() }).unwrap().id
    }

    fn create(&self, new: NewSession, first: Option<NewTurn>) -> Result<Created> {
        let first = first.map(|turn| (turn, Runner { owner: OWNER, lease: None, behaviour: Behaviour::Registered }));
        let (workspace, agent) = (self.workspace, self.agent);
        self.store.create_session(CreateSession { stamp: self.stamp(), workspace, agent, new, first })
    }

    fn session(&self, new: NewSession) -> SessionRef {
        SessionRef { workspace: self.workspace, session: self.create(new, None).unwrap().session.id }
    }

    fn append(&self, messages: impl Into<Vec<NewMessage>>) -> Result<Vec<Message>> {
        self.append_to(None, messages)
    }

    fn append_to(&self, thread: Option<ThreadId>, messages: impl Into<Vec<NewMessage>>) -> Result<Vec<Message>> {
        self.store.append(Append { stamp: self.stamp(), at: self.at, thread, messages: messages.into() })
    }

    fn submit(&self, policy: Policy, new: impl Into<NewTurn>) -> Result<Submitted> {
        self.submit_as(OWNER, policy, new)
    }

    fn submit_as(&self, owner: OwnerId, policy: Policy, new: impl Into<NewTurn>) -> Result<Submitted> {
        let runner = Runner { owner, lease: None, behaviour: Behaviour::Registered };
        self.store.submit(Submit {
            stamp: self.stamp(),
            at: self.at,
            new: new.into(),
            policy,
            runner,
            sender: None,
            queue: QueueBounds::default(),
        })
    }

    /// Starts a turn and answers with its claim.
    fn start(&self) -> Claim {
        self.submit(Policy::Reject, "hello").unwrap().claim.unwrap()
    }

    fn emit(&self, claim: Claim, messages: impl Into<Vec<NewMessage>>) -> Result<Vec<Message>> {
        let started_at = Timestamp::from_micros(self.now.get());
        self.store.emit(Emit {
            stamp: self.stamp(),
            at: self.at,
            claim,
            started_at,
            messages: messages.into(),
            usage: Usage::ZERO,
        })
    }

    fn finish(&self, claim: Claim, outcome: Outcome) -> Result<Turn> {
        let (usage, next) = (Usage::ZERO, None);
        let op = Finish { stamp: self.stamp(), at: self.at, claim, started_at: None, outcome, usage, next };
        self.store.finish(op).map(|finished| finished.turn)
    }

    fn delete(&self, message: MessageId) -> Result<()> {
        self.store.delete_message(DeleteMessage { stamp: self.stamp(), at: self.at, message })
    }

    fn record(&self) -> SessionRecord {
        self.store.session(self.at).unwrap()
    }

    fn sessions(&self, workspace: WorkspaceId, agent: Option<AgentId>, page: PageAt) -> Result<Listed<SessionRecord>> {
        self.store.sessions(SessionsQuery { workspace, agent, page, after: None })
    }

    /// All messages, oldest first.
    fn messages(&self) -> Vec<Message> {
        let mut newest_first = self.store.messages(self.at, Matching::history(1000).unwrap()).unwrap().items;
        newest_first.reverse();
        newest_first
    }

    fn found(&self, query: MessageQuery) -> Vec<u32> {
        let matched = self.store.messages(self.at, query.matching().unwrap()).unwrap();
        matched.items.iter().map(|message| message.number).collect()
    }

    fn changes_after(&self, after: u64) -> Vec<ChangeKind> {
        let changes: Vec<Change> = self.store.changes(self.at, after, 1000).unwrap();
        assert!(changes.iter().map(|change| change.number).eq(after + 1..=after + changes.len() as u64));
        changes.iter().map(|change| change.kind).collect()
    }

    /// Runs an operation that must be refused as this kind, and checks that it left no trace.
    #[track_caller]
    fn refused<T: std::fmt::Debug>(&self, kind: ErrorKind, operation: impl FnOnce() -> Result<T>) {
        let before = format!("{:?}", self.store);
        assert_eq!(operation().unwrap_err().kind(), kind);
        assert_eq!(format!("{:?}", self.store), before);
    }

    /// Runs an operation that must succeed without writing anything.
    #[track_caller]
    fn untouched<T>(&self, operation: impl FnOnce() -> Result<T>) -> T {
        let before = format!("{:?}", self.store);
        let answer = operation().unwrap();
        assert_eq!(format!("{:?}", self.store), before);
        answer
    }
}

impl Drop for Fixture {
    /// Whatever a test did, the rows agree with each other.
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.store.0.lock().closed {
            assert_eq!(self.store.verify().unwrap(), Vec::<String>::new());
        }
    }
}

fn id(n: u128) -> MessageId {
    MessageId::from_uuid(Uuid::from_u128(n))
}

fn named(n: u128, text: &str) -> NewMessage {
    NewMessage::text(text).id(id(n))
}
