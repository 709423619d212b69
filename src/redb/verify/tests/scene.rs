//! A store that has been through everything.

use std::ops::ControlFlow;
use std::time::Duration;

use uuid::Uuid;

use super::planted::Planted;
use crate::id::{AgentId, OwnerId, Stamp, WorkspaceId};
use crate::record::{
    ContextMark, Image, Json, NewKey, NewMessage, NewSession, NewTurn, Reason, Role, Scopes, SessionUpdate, ToolCall,
    Usage, Webhook,
};
use crate::redb::agent;
use crate::redb::codec::{self, ArchiveRow, ChunkRow, GroupRow, PausedRow, RemnantRow, ThreadRow};
use crate::redb::remnant::{self, Remnant};
use crate::redb::tables::{Table, archives, meta, rows};
use crate::redb::{Options, RedbStore};
use crate::store::{
    Append, ArchiveSession, Behaviour, Claim, CreateKey, CreateSession, DeleteAgent, DeleteMessage, DeleteSession,
    Emit, EndOrphans, EnsureAgent, EnsureWorkspace, Finish, ForkSession, LabelAgent, Opens, OutboxFailed, OutboxKey,
    Outcome, Policy, Purge, QueueBounds, Recovery, RestoreArchive, Runner, Runners, SessionRef, SetContextMark, Store,
    Submit, UpdateSession,
};
use crate::time::Timestamp;

/// A store whose blocks of positions are small, and a clock of its own.
struct Scene {
    store: RedbStore,
    workspace: WorkspaceId,
    agent: AgentId,
    stamps: std::cell::Cell<u64>,
}

fn ok<T>(answer: crate::Result<T>) -> T {
    answer.expect("nothing refuses it")
}

fn runner() -> Runner {
    Runner { owner: OwnerId::from_uuid(Uuid::from_u128(1)), lease: None, behaviour: Behaviour::Registered }
}

fn hook() -> Webhook {
    let (url, include_messages) = ("https://example.com/".to_owned(), false);
    Webhook { url, token: Some("t".into()), secret: Some("s".into()), include_messages }
}

fn go_on(_: crate::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Scene {
    fn new() -> Self {
        let store = ok(RedbStore::in_memory(Options { block: 3, ..Options::default() }));
        let (workspace, agent) = (WorkspaceId::from_uuid(Uuid::nil()), AgentId::from_uuid(Uuid::nil()));
        let mut scene = Scene { store, workspace, agent, stamps: 0.into() };
        for name in ["other", "acme"] {
            scene.workspace =
                ok(scene.store.ensure_workspace(EnsureWorkspace { stamp: scene.stamp(), name: name.into() })).id;
            scene.agent = scene.agent_named("greeter");
        }
        let (agent, label) = (scene.agent_named("helper"), Some("Helper".to_owned()));
        ok(scene.store.label_agent(LabelAgent { stamp: scene.stamp(), workspace: scene.workspace, agent, label }));
        for opens in [Opens::Workspace, Opens::Agent(agent, Scopes::READ)] {
            let (stamp, workspace, hash) = (scene.stamp(), scene.workspace, [7; 32]);
            let op = CreateKey { stamp, workspace, opens, new: NewKey::default().label("key"), hash };
            ok(scene.store.create_key(op));
        }
        scene
    }

    /// Each has ids and a time of its own.
    fn stamp(&self) -> Stamp {
        self.stamps.set(self.stamps.get() + 1);
        let at = 1_777_573_302_000_000 + 1_000_000 * self.stamps.get();
        Stamp::new(Timestamp::from_micros(at), self.stamps.get() << 20)
    }

    fn agent_named(&self, name: &str) -> AgentId {
        let op = EnsureAgent { stamp: self.stamp(), workspace: self.workspace, name: name.into() };
        ok(self.store.ensure_agent(op)).id
    }

    fn create(&self, new: NewSession) -> SessionRef {
        let (workspace, agent) = (self.workspace, self.agent);
        let made =
            ok(self.store.create_session(CreateSession { stamp: self.stamp(), workspace, agent, new, first: None }));
        SessionRef { workspace, session: made.session.id }
    }

    fn append(&self, at: SessionRef, count: usize) {
        let messages = (0..count).map(|n| NewMessage::text(format!("{n}")).role(Role::ALL[n % 2])).collect();
        ok(self.store.append(Append { stamp: self.stamp(), at, thread: None, messages }));
    }

    fn submit(&self, at: SessionRef, new: NewTurn, policy: Policy) -> Option<Claim> {
        let (stamp, runner, queue) = (self.stamp(), runner(), QueueBounds::default());
        ok(self.store.submit(Submit { stamp, at, new, policy, runner, sender: None, queue })).claim
    }

    fn start(&self, at: SessionRef, new: impl Into<NewTurn>) -> Claim {
        self.submit(at, new.into(), Policy::Reject).expect("it runs")
    }

    fn emit(&self, at: SessionRef, claim: Claim, messages: Vec<NewMessage>) {
        let stamp = self.stamp();
        let usage = Usage { input: 3, output: 4, cached: 1, reasoning: 2, cost_micros: 5 };
        ok(self.store.emit(Emit { stamp, at, claim, started_at: stamp.at, messages, usage }));
    }

    fn finish(&self, at: SessionRef, claim: Claim, outcome: Outcome) {
        let stamp = self.stamp();
        let started_at = Some(stamp.at);
        ok(self.store.finish(Finish {
            stamp,
            at,
            claim,
            started_at,
            outcome,
            usage: Usage::ZERO,
            next: Some(runner()),
        }));
    }

    /// A turn with an answer, whose end is announced.
    fn answered(&self, at: SessionRef) {
        let claim = self.start(at, NewTurn { webhook: Some(hook()), ..NewTurn::from("question") });
        self.emit(at, claim, vec![NewMessage::text("thinking"), NewMessage::calls([ToolCall::new("c", "look", "{}")])]);
        let call = ToolCall::new("c", "look", "{}");
        self.emit(at, claim, vec![NewMessage::result(&call, "found")]);
        self.finish(at, claim, Outcome::Completed(Some(Box::new(NewMessage::text("answer")))));
    }

    /// The first row of the session's in the outbox was tried in vain.
    fn failed(&self, at: SessionRef, next: Option<Timestamp>) {
        let row = ok(self.store.outbox_head(at)).expect("an end waits to be announced");
        let op = OutboxFailed { stamp: self.stamp(), row: OutboxKey::from(&row), error: "refused".into(), next };
        ok(self.store.outbox_failed(op));
    }

    fn delete(&self, at: SessionRef, nth: usize) {
        let matching = ok(self.store.changes(at, 0, 1000));
        let mut ids = matching.iter().filter_map(|change| match change.kind {
            crate::ChangeKind::Message(id) => Some(id),
            _ => None,
        });
        let message = ids.nth(nth).expect("there are so many");
        ok(self.store.delete_message(DeleteMessage { stamp: self.stamp(), at, message }));
    }

    fn archive(&self, at: SessionRef) -> crate::store::ArchiveRef {
        let record =
            ok(self.store.archive_session(ArchiveSession { stamp: self.stamp(), at, only_at: None }, &mut go_on));
        crate::store::ArchiveRef { workspace: record.workspace_id, agent: record.agent_id, filename: record.filename }
    }

    /// A session with all that a session says and holds.
    fn rich(&self) -> SessionRef {
        let json = || Json::parse("{\"a\":1}").expect("JSON");
        let new = NewSession::default().id(Uuid::from_u128(77)).key("k").label("l").metadata(json()).origin(json());
        let at = self.create(new.chat_type("direct").last_channel("mail").profile(json()));
        let message = NewMessage::text("first").id(Uuid::from_u128(78)).metadata(json()).name("n");
        let message = message.artifacts([Uuid::from_u128(79)]).image(Image { media_type: None, data: vec![1] });
        ok(self.store.append(Append { stamp: self.stamp(), at, thread: None, messages: vec![message] }));
        self.append(at, 10);
        self.answered(at);
        self.answered(at);
        self.failed(at, Some(Timestamp::from_micros(1_900_000_000_000_000)));
        self.delete(at, 4);
        assert_eq!(ok(self.store.purge(Purge { stamp: self.stamp(), at, message: None })), 1);
        [1, 2, 5, 12].into_iter().for_each(|nth| self.delete(at, nth));
        let mark = Some(ContextMark::new(4, "so far"));
        ok(self.store.set_context_mark(SetContextMark { stamp: self.stamp(), at, claim: None, mark }));
        let update = SessionUpdate::default().label("another");
        ok(self.store.update_session(UpdateSession { stamp: self.stamp(), at, update }));
        at
    }

    /// One that was interrupted, rolled back, left running by another process, and failed.
    fn troubled(&self) {
        let at = self.create(NewSession::default());
        let claim = self.start(at, "one");
        self.emit(at, claim, vec![NewMessage::calls([ToolCall::new("d", "look", "{}")])]);
        self.submit(at, "two".into(), Policy::Interrupt);
        self.submit(at, "three".into(), Policy::Rollback);
        let owner = OwnerId::from_uuid(Uuid::from_u128(2));
        let runners = Runners { owner, lease: None, agents: ["greeter".to_owned()].into() };
        let op =
            EndOrphans { stamp: self.stamp(), owner, limit: 10, recovery: Recovery::RunAgain { attempts: 3, runners } };
        let again = ok(self.store.end_orphans(op)).again.pop().expect("it runs again");
        self.finish(at, again.claim, Outcome::Failed(Reason::Error, Some("why".into())));
    }

    /// One in which a turn runs and two wait.
    fn busy(&self) {
        let at = self.create(NewSession::default().key("busy"));
        let claim = self.start(at, "one");
        self.emit(at, claim, vec![NewMessage::text("hm")]);
        let new = NewTurn { webhook: Some(hook()), time_limit: Some(Duration::from_secs(9)), ..NewTurn::from("two") };
        self.submit(at, new, Policy::Enqueue);
        self.submit(at, "a longer three".into(), Policy::Enqueue);
        let mark = Some(ContextMark::new(3, "the rest"));
        ok(self.store.set_context_mark(SetContextMark { stamp: self.stamp(), at, claim: Some(claim), mark }));
    }

    /// An agent that had a session and an archive, and has none.
    fn emptied(&mut self) {
        let emptied = self.agent_named("emptied");
        let before = std::mem::replace(&mut self.agent, emptied);
        let at = self.create(NewSession::default());
        let archive = self.archive(at);
        ok(self.store.restore_archive(RestoreArchive { stamp: self.stamp(), archive, label: None }, &mut go_on));
        ok(self.store.delete_session(DeleteSession { stamp: self.stamp(), at, only_at: None }));
        self.agent = before;
    }

    fn fork(&self, at: SessionRef) {
        let first = ok(self.store.changes(at, 0, 1000)).into_iter().rev().find_map(|change| match change.kind {
            crate::ChangeKind::Message(id) => Some(id),
            _ => None,
        });
        let (stamp, message) = (self.stamp(), first.expect("it has messages"));
        ok(self.store.fork_session(ForkSession { stamp, at, message, new: NewSession::default() }, &mut go_on));
    }
}

/// The rows of the whole scene.
pub(super) fn planted() -> Planted {
    let mut scene = Scene::new();
    let rich = scene.rich();
    scene.fork(rich);
    scene.troubled();
    scene.busy();
    let restored = scene.create(NewSession::default());
    scene.answered(restored);
    let archive = scene.archive(restored);
    ok(scene.store.restore_archive(RestoreArchive { stamp: scene.stamp(), archive, label: None }, &mut go_on));
    let archived = scene.create(NewSession::default().label("old"));
    scene.answered(archived);
    scene.answered(archived);
    scene.failed(archived, None);
    scene.archive(archived);
    let other = scene.create(NewSession::default());
    scene.append(other, 2);
    scene.archive(other);
    scene.emptied();
    let gone = scene.create(NewSession::default());
    scene.answered(gone);
    scene.agent = scene.agent_named("gone");
    let (live, old) = (scene.create(NewSession::default()), scene.create(NewSession::default()));
    [live, old].into_iter().for_each(|at| scene.answered(at));
    scene.archive(old);
    scene.wait_until_clear();
    let mut planted = Planted::of(&*ok(scene.store.written().and_then(|written| written.shared.snapshot())));
    // Nobody clears away what is left of these.
    let op = DeleteSession { stamp: scene.stamp(), at: gone, only_at: None };
    let (writes, ()) = ok(remnant::delete(&planted, &op));
    planted.apply(writes);
    let op = DeleteAgent { stamp: scene.stamp(), workspace: scene.workspace, agent: scene.agent };
    let (writes, ()) = ok(agent::delete(&planted, &op));
    planted.apply(writes);
    rest(&mut planted);
    planted
}

impl Scene {
    fn wait_until_clear(&self) {
        while ok(self.store.read(remnant::is_any)) {
            std::thread::yield_now();
        }
    }
}

/// What a file has for a short time, or when it was made from another: the store of the scene is done with it.
fn rest(planted: &mut Planted) {
    planted.put_row(Table::Meta, meta::GROUP, &GroupRow { number: 9, log: None });
    planted.put_row(Table::Meta, meta::PAUSED, &PausedRow { since: 1 });
    // A thread is left of a session that was archived, and a chunk of the archive that was restored.
    let left = RemnantRow { deleted_at: 1 };
    let rows = planted.rows();
    let archive = rows.iter().find(|row| row.what() == "archive").expect("there is one");
    let row: ArchiveRow<'_> = codec::decode(Table::Archives, &archive.key, &archive.value).expect("it is sound");
    planted.put_row(Table::Meta, Remnant::Archived(row.number).key(), &left);
    let thread = ThreadRow { id: [1; 16], created_at: 1 };
    planted.put_row(Table::Rows, rows::numbered(row.number, rows::Kind::Thread, 1), &thread);
    planted.put_row(Table::Meta, Remnant::Archive(1).key(), &left);
    let chunk = ChunkRow { bytes: 1, checksum: 1, packed: &[1] };
    planted.put_row(Table::Archives, archives::chunk(1, 0), &chunk);
}
