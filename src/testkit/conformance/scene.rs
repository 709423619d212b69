//! What every claim begins with: a fresh store, a workspace, an agent and a clock.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;

use uuid::Uuid;

use super::super::clock::ManualClock;
use super::super::snapshot::{Snapshot, all_changes, all_messages, difference};
use crate::error::{ErrorKind, Result};
use crate::id::{AgentId, OwnerId, SessionId, Stamp, ThreadId, WorkspaceId};
use crate::record::{ChangeKind, Message, NewMessage, NewSession, NewTurn, SessionRecord, Turn, Usage};
use crate::store::{
    Append, Behaviour, Claim, CreateSession, Created, DeleteMessage, DeleteSession, Emit, EndOrphans, EnsureAgent,
    EnsureWorkspace, Finish, Outcome, Policy, QueueBounds, Recovery, Runner, Runners, SessionRef, Store, Submit,
    Submitted,
};
use crate::sync::Arc;
use crate::time::{Clock, Duration};

/// Makes a new and empty store.
pub(super) type Factory<'a> = &'a dyn Fn() -> Arc<dyn Store>;

/// A store and all that is needed to work with it. The clock stands until a claim moves it.
pub(super) struct Scene {
    pub store: Arc<dyn Store>,
    pub clock: ManualClock,
    pub workspace: WorkspaceId,
    pub agent: AgentId,
    pub runner: Runner,
    workspaces: RefCell<Vec<WorkspaceId>>,
    stamps: Cell<u64>,
}

impl Scene {
    /// The workspace `acme` with the agent `greeter`.
    #[track_caller]
    pub fn new(factory: Factory<'_>) -> Self {
        let mut scene = Scene {
            store: factory(),
            clock: ManualClock::new(),
            workspace: WorkspaceId::from_uuid(Uuid::nil()),
            agent: AgentId::from_uuid(Uuid::nil()),
            runner: Runner {
                owner: OwnerId::from_uuid(Uuid::from_u128(1)),
                lease: None,
                behaviour: Behaviour::Registered,
            },
            workspaces: RefCell::default(),
            stamps: Cell::new(0),
        };
        scene.workspace = scene.workspace_named("acme");
        scene.agent = scene.agent_named(scene.workspace, "greeter");
        scene
    }

    /// A stamp of the clock's time; every one has ids of its own, rising.
    pub fn stamp(&self) -> Stamp {
        self.stamps.set(self.stamps.get() + 1);
        Stamp::new(self.clock.now(), self.stamps.get() << 20)
    }

    /// A UUID that nothing has yet.
    pub fn uuid(&self) -> Uuid {
        self.stamp().uuid(0)
    }

    pub fn tick(&self) {
        self.clock.advance(Duration::from_millis(1));
    }

    #[track_caller]
    pub fn workspace_named(&self, name: &str) -> WorkspaceId {
        let op = EnsureWorkspace { stamp: self.stamp(), name: name.into() };
        let made = ok(self.store.ensure_workspace(op)).id;
        self.workspaces.borrow_mut().push(made);
        made
    }

    #[track_caller]
    pub fn agent_named(&self, workspace: WorkspaceId, name: &str) -> AgentId {
        ok(self.store.ensure_agent(EnsureAgent { stamp: self.stamp(), workspace, name: name.into() })).id
    }

    pub fn creation(&self, new: NewSession) -> CreateSession {
        CreateSession { stamp: self.stamp(), workspace: self.workspace, agent: self.agent, new, first: None }
    }

    #[track_caller]
    pub fn create(&self, new: NewSession) -> SessionRecord {
        ok(self.store.create_session(self.creation(new))).session
    }

    /// A new session without a message.
    #[track_caller]
    pub fn session(&self) -> SessionRef {
        SessionRef { workspace: self.workspace, session: self.create(NewSession::default()).id }
    }

    /// A new session whose first turn is running.
    #[track_caller]
    pub fn busy_session(&self) -> (SessionRef, Submitted) {
        let first = Some(("first".into(), self.runner));
        let created = ok(self.store.create_session(CreateSession { first, ..self.creation(NewSession::default()) }));
        (SessionRef { workspace: self.workspace, session: created.session.id }, first_of(created))
    }

    #[track_caller]
    pub fn record(&self, at: SessionRef) -> SessionRecord {
        ok(self.store.session(at))
    }

    pub fn appending(&self, at: SessionRef, messages: impl IntoIterator<Item = NewMessage>) -> Append {
        Append { stamp: self.stamp(), at, thread: None, messages: messages.into_iter().collect() }
    }

    #[track_caller]
    pub fn append(&self, at: SessionRef, messages: impl IntoIterator<Item = NewMessage>) -> Vec<Message> {
        ok(self.store.append(self.appending(at, messages)))
    }

    /// A submit that rejects when busy.
    pub fn submission(&self, at: SessionRef, new: impl Into<NewTurn>) -> Submit {
        Submit {
            stamp: self.stamp(),
            at,
            new: new.into(),
            policy: Policy::Reject,
            runner: self.runner,
            sender: None,
            queue: QueueBounds::default(),
        }
    }

    #[track_caller]
    pub fn send(&self, at: SessionRef, new: impl Into<NewTurn>) -> Submitted {
        ok(self.store.submit(self.submission(at, new)))
    }

    #[track_caller]
    pub fn follow_up(&self, at: SessionRef, new: impl Into<NewTurn>) -> Submitted {
        ok(self.store.submit(Submit { policy: Policy::FollowUp, ..self.submission(at, new) }))
    }

    pub fn emission(&self, at: SessionRef, claim: Claim, messages: impl IntoIterator<Item = NewMessage>) -> Emit {
        let started_at = self.clock.now();
        let messages = messages.into_iter().collect();
        Emit { stamp: self.stamp(), at, claim, started_at, messages, usage: Usage::ZERO }
    }

    #[track_caller]
    pub fn emit(&self, at: SessionRef, claim: Claim, messages: impl IntoIterator<Item = NewMessage>) -> Vec<Message> {
        ok(self.store.emit(self.emission(at, claim, messages)))
    }

    pub fn ending(&self, at: SessionRef, claim: Claim, outcome: Outcome) -> Finish {
        Finish {
            stamp: self.stamp(),
            at,
            claim,
            started_at: None,
            outcome,
            usage: Usage::ZERO,
            next: Some(self.runner),
        }
    }

    #[track_caller]
    pub fn finish(&self, at: SessionRef, claim: Claim, outcome: Outcome) -> Turn {
        ok(self.store.finish(self.ending(at, claim, outcome))).turn
    }

    #[track_caller]
    pub fn complete(&self, at: SessionRef, claim: Claim) -> Turn {
        self.finish(at, claim, Outcome::Completed(None))
    }

    #[track_caller]
    pub fn delete(&self, at: SessionRef, message: &Message) {
        ok(self.store.delete_message(DeleteMessage { stamp: self.stamp(), at, message: message.id }));
    }

    pub fn deletion(&self, at: SessionRef) -> DeleteSession {
        DeleteSession { stamp: self.stamp(), at, only_at: None }
    }

    #[track_caller]
    pub fn delete_session(&self, at: SessionRef) {
        ok(self.store.delete_session(self.deletion(at)));
    }

    /// Runs the turns of these agents as the scene's runner does.
    pub fn runners<const N: usize>(&self, agents: [&str; N]) -> Runners {
        Runners { owner: self.runner.owner, lease: None, agents: agents.into_iter().map(str::to_owned).collect() }
    }

    #[track_caller]
    pub fn submit_by(&self, at: SessionRef, new: impl Into<NewTurn>, policy: Policy) -> Submitted {
        ok(self.store.submit(Submit { policy, ..self.submission(at, new) }))
    }

    /// A submit that waits.
    #[track_caller]
    pub fn enqueue(&self, at: SessionRef, new: impl Into<NewTurn>) -> Submitted {
        self.submit_by(at, new, Policy::Enqueue)
    }

    /// Ends what others than `owner` left running.
    #[track_caller]
    pub fn end_orphans(&self, owner: u128, limit: u32) -> Vec<Turn> {
        let owner = OwnerId::from_uuid(Uuid::from_u128(owner));
        let op = EndOrphans { stamp: self.stamp(), owner, limit, recovery: Recovery::End };
        let recovered = ok(self.store.end_orphans(op));
        assert_eq!(recovered.again, [], "none was to run again");
        recovered.ended
    }

    /// Every message that is not deleted, oldest first.
    #[track_caller]
    pub fn messages(&self, at: SessionRef) -> Vec<Message> {
        ok(all_messages(&*self.store, at))
    }

    /// What the feed tells after this number, once the numbers are found dense and the session's latest right.
    #[track_caller]
    pub fn changes(&self, at: SessionRef, after: u64) -> Vec<ChangeKind> {
        let all = ok(all_changes(&*self.store, at));
        for (expected, change) in (1..).zip(&all) {
            assert_eq!(change.number, expected, "events are numbered from 1 without gaps");
        }
        assert_eq!(self.record(at).last_change, all.len() as u64, "last_change is the number of the latest event");
        all.into_iter().filter(|change| change.number > after).map(|change| change.kind).collect()
    }

    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        ok(Snapshot::of(&*self.store, &self.workspaces.borrow()))
    }

    /// Runs what must answer and change nothing that can be read.
    #[track_caller]
    pub fn unchanged<T>(&self, what: &str, run: impl FnOnce(&dyn Store) -> T) -> T {
        let before = self.snapshot();
        let answer = run(&*self.store);
        if let Some(difference) = difference(&before, &self.snapshot()) {
            panic!("{what}: something was written: {difference}");
        }
        answer
    }

    /// Runs what must be refused with this kind and leave no trace.
    #[track_caller]
    pub fn refused<T: Debug>(&self, kind: ErrorKind, what: &str, run: impl FnOnce(&dyn Store) -> Result<T>) {
        match self.unchanged(what, run) {
            Ok(answer) => panic!("{what}: must be refused as {kind:?}, was accepted: {answer:?}"),
            Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
        }
    }
}

/// The answer of an operation that nothing may refuse.
#[track_caller]
pub(super) fn ok<T>(answer: Result<T>) -> T {
    match answer {
        Ok(value) => value,
        Err(error) => panic!("must be accepted, was refused as {:?}: {error}", error.kind()),
    }
}

#[track_caller]
pub(super) fn first_of(created: Created) -> Submitted {
    let Some(first) = created.first else { panic!("a creation with a first turn answers with it") };
    first
}

#[track_caller]
pub(super) fn claim_of(submitted: &Submitted) -> Claim {
    let Some(claim) = submitted.claim else { panic!("an accepted submit answers with a claim") };
    claim
}

pub(super) fn unknown_session(scene: &Scene) -> SessionRef {
    SessionRef { workspace: scene.workspace, session: SessionId::from_uuid(scene.uuid()) }
}

pub(super) fn thread_id(uuid: Uuid) -> ThreadId {
    ThreadId::from_uuid(uuid)
}
