//! A store, and what is done to it: each operation at a time and with ids of its own, the same ones always.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use parlor::id::{AgentId, OwnerId, Stamp, WorkspaceId};
use parlor::store::{
    Append, ArchiveRef, ArchiveSession, Behaviour, Claim, CreateKey, CreateSession, DeleteMessage, DeleteSession, Emit,
    EndOrphans, EnsureAgent, EnsureWorkspace, Finish, ForkSession, Interrupt, LabelAgent, Opens, OutboxFailed,
    OutboxKey, Outcome, Purge, Recovery, RestoreArchive, Runner, Runners, SessionRef, SetContextMark, Store, Submit,
    UpdateSession,
};
use parlor::{
    ContextMark, Message, NewKey, NewMessage, NewSession, NewTurn, Policy, Progress, QueueBounds, Reason,
    SessionUpdate, Timestamp, ToolCall, Usage, Webhook,
};
use uuid::Uuid;

/// When it began.
const BEGAN: u64 = 1_777_573_302_000_000;

pub fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn ok<T>(answer: parlor::Result<T>) -> T {
    answer.expect("nothing refuses it")
}

/// A webhook that has everything, or as little as can be.
pub fn hook(url: &str) -> Webhook {
    let (url, given) = (url.to_owned(), |text: &str| Some(text.to_owned()).filter(|_| url.ends_with("all")));
    Webhook { token: given("a token"), secret: given("a secret"), include_messages: url.ends_with("all"), url }
}

/// The process of this number.
fn owner(number: u128) -> OwnerId {
    OwnerId::from_uuid(Uuid::from_u128(number))
}

pub fn runner() -> Runner {
    Runner { owner: owner(1), lease: None, behaviour: Behaviour::Registered }
}

/// A store, and the agent whose sessions are made.
pub struct Place {
    pub store: Arc<dyn Store>,
    pub workspace: WorkspaceId,
    pub agent: AgentId,
    stamps: Cell<u64>,
}

impl Place {
    /// Goes on after so many operations.
    pub fn new(store: Arc<dyn Store>, stamps: u64) -> Self {
        let (workspace, agent) = (WorkspaceId::from_uuid(Uuid::nil()), AgentId::from_uuid(Uuid::nil()));
        Place { store, workspace, agent, stamps: Cell::new(stamps) }
    }

    pub fn stamp(&self) -> Stamp {
        let stamps = self.stamps.get() + 1;
        self.stamps.set(stamps);
        Stamp::new(Timestamp::from_micros(BEGAN + 1_000_000 * stamps), stamps << 20)
    }

    /// Goes to a workspace and an agent of it.
    pub fn enter(&mut self, workspace: &str, agent: &str) {
        let op = EnsureWorkspace { stamp: self.stamp(), name: workspace.into() };
        self.workspace = ok(self.store.ensure_workspace(op)).id;
        let op = EnsureAgent { stamp: self.stamp(), workspace: self.workspace, name: agent.into() };
        self.agent = ok(self.store.ensure_agent(op)).id;
    }

    pub fn label(&self, label: &str) {
        let (stamp, workspace, agent) = (self.stamp(), self.workspace, self.agent);
        ok(self.store.label_agent(LabelAgent { stamp, workspace, agent, label: Some(label.into()) }));
    }

    /// A key of this secret.
    pub fn key(&self, opens: Opens, new: NewKey, secret: fn(Uuid) -> (String, [u8; 32])) {
        let (stamp, workspace) = (self.stamp(), self.workspace);
        let (_, hash) = secret(stamp.uuid(0));
        ok(self.store.create_key(CreateKey { stamp, workspace, opens, new, hash }));
    }

    fn at(&self, session: parlor::SessionRecord) -> SessionRef {
        SessionRef { workspace: self.workspace, session: session.id }
    }

    pub fn create(&self, new: NewSession) -> SessionRef {
        let (stamp, workspace, agent) = (self.stamp(), self.workspace, self.agent);
        self.at(ok(self.store.create_session(CreateSession { stamp, workspace, agent, new, first: None })).session)
    }

    pub fn append(&self, at: SessionRef, messages: impl IntoIterator<Item = NewMessage>) -> Vec<Message> {
        let messages = messages.into_iter().collect();
        ok(self.store.append(Append { stamp: self.stamp(), at, thread: None, messages }))
    }

    pub fn submit(&self, at: SessionRef, new: NewTurn, policy: Policy) -> Option<Claim> {
        self.submit_by(None, at, new, policy)
    }

    /// The same by the agent that has this claim.
    pub fn submit_by(&self, sender: Option<Claim>, at: SessionRef, new: NewTurn, policy: Policy) -> Option<Claim> {
        let (stamp, runner, queue) = (self.stamp(), runner(), QueueBounds::default());
        ok(self.store.submit(Submit { stamp, at, new, policy, runner, sender, queue })).claim
    }

    pub fn start(&self, at: SessionRef, new: impl Into<NewTurn>) -> Claim {
        self.submit(at, new.into(), Policy::Reject).expect("it runs")
    }

    pub fn emit(&self, at: SessionRef, claim: Claim, messages: Vec<NewMessage>) {
        let stamp = self.stamp();
        let usage = Usage { input: 300, output: 40, cached: 100, reasoning: 20, cost_micros: 5000 };
        ok(self.store.emit(Emit { stamp, at, claim, started_at: stamp.at, messages, usage }));
    }

    /// Ends a turn; what waits behind it goes on waiting.
    pub fn finish(&self, at: SessionRef, claim: Claim, outcome: Outcome) {
        let stamp = self.stamp();
        let (started_at, usage) = (Some(stamp.at), Usage::ZERO);
        ok(self.store.finish(Finish { stamp, at, claim, started_at, outcome, usage, next: None }));
    }

    pub fn interrupt(&self, at: SessionRef, reason: Reason) {
        let op = Interrupt { stamp: self.stamp(), at, turn: None, reason, next: None };
        ok(self.store.interrupt(op)).expect("a turn is running");
    }

    /// A turn that calls a tool and answers, whose end is announced.
    pub fn answered(&self, at: SessionRef, webhook: Webhook) {
        let claim = self.start(at, NewTurn::from("question").webhook(webhook));
        let call = ToolCall::new("c", "look", "{\"at\": 1}");
        self.emit(at, claim, vec![NewMessage::text("thinking"), NewMessage::calls([call.clone()])]);
        self.emit(at, claim, vec![NewMessage::result(&call, "found")]);
        self.finish(at, claim, Outcome::Completed(Some(Box::new("answer".into()))));
    }

    /// The first row of the session's in the outbox was tried in vain.
    pub fn failed(&self, at: SessionRef, next: Option<Timestamp>) {
        let row = ok(self.store.outbox_head(at)).expect("an end waits to be announced");
        let op = OutboxFailed { stamp: self.stamp(), row: OutboxKey::from(&row), error: "refused".into(), next };
        ok(self.store.outbox_failed(op));
    }

    pub fn delete(&self, at: SessionRef, message: &Message) {
        ok(self.store.delete_message(DeleteMessage { stamp: self.stamp(), at, message: message.id }));
    }

    pub fn purge(&self, at: SessionRef, message: &Message) {
        assert_eq!(ok(self.store.purge(Purge { stamp: self.stamp(), at, message: Some(message.id) })), 1);
    }

    pub fn mark(&self, at: SessionRef, claim: Option<Claim>, message: u32, summary: &str) {
        let mark = Some(ContextMark::new(message, summary));
        ok(self.store.set_context_mark(SetContextMark { stamp: self.stamp(), at, claim, mark }));
    }

    pub fn update(&self, at: SessionRef, update: SessionUpdate) {
        ok(self.store.update_session(UpdateSession { stamp: self.stamp(), at, update }));
    }

    pub fn fork(&self, at: SessionRef, message: &Message, new: NewSession) -> SessionRef {
        let op = ForkSession { stamp: self.stamp(), at, message: message.id, new };
        self.at(ok(self.store.fork_session(op, &mut go_on)))
    }

    pub fn archive(&self, at: SessionRef) -> ArchiveRef {
        let op = ArchiveSession { stamp: self.stamp(), at, only_at: None };
        let record = ok(self.store.archive_session(op, &mut go_on));
        ArchiveRef { workspace: record.workspace_id, agent: record.agent_id, filename: record.filename }
    }

    pub fn restore(&self, archive: ArchiveRef) {
        let op = RestoreArchive { stamp: self.stamp(), archive, label: Some("restored".into()) };
        ok(self.store.restore_archive(op, &mut go_on));
    }

    pub fn remove(&self, at: SessionRef) {
        ok(self.store.delete_session(DeleteSession { stamp: self.stamp(), at, only_at: None }));
    }

    /// Another process finds the turn that this one ran, and runs it again, or ends it.
    pub fn orphaned(&self, recovery: impl FnOnce(Runners) -> Recovery) -> Option<Claim> {
        let owner = owner(2);
        let runners = Runners { owner, lease: None, agents: ["greeter".to_owned()].into() };
        let op = EndOrphans { stamp: self.stamp(), owner, limit: 10, recovery: recovery(runners) };
        ok(self.store.end_orphans(op)).again.pop().map(|started| started.claim)
    }
}
