//! What the claims share: an engine over the reference store, what its agents did, and what must
//! hold of every session when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError};

use parlor::id::SessionId;
use parlor::page::{Direction, MessageQuery};
use parlor::testkit::{ManualClock, ModelStore};
use parlor::{
    AgentHandle, AgentResult, Builder, ChangeKind, Clock, Engine, Message, MessageType, NewSession, Reason, Reply,
    Result, Role, Session, Timestamp, Turn, TurnContext, TurnHandle, TurnReport, TurnState,
};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

/// A clock that stands: time decides nothing here, and is no place for another thread to go on.
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_777_573_302_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// How long agents have to stop, on a clock that the claim drives.
pub const GRACE: Duration = Duration::from_secs(60);

/// What the agents of a scene did. Its lock is no place for another thread to go on.
#[derive(Default)]
pub struct Log(StdMutex<Entries>);

#[derive(Default)]
struct Entries {
    visits: Vec<Visit>,
    inside: BTreeSet<SessionId>,
    faults: Vec<String>,
}

/// One call of an agent.
#[derive(Clone)]
pub struct Visit {
    pub text: String,
    pub thread: ThreadId,
}

impl Log {
    fn entries(&self) -> StdMutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what an agent saw and must not see: its own panic would only end its turn.
    pub fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.entries().faults.push(what.to_owned());
        }
    }

    /// The calls of agents, in the order they began.
    pub fn visits(&self) -> Vec<Visit> {
        self.entries().visits.clone()
    }

    /// The texts that they were called for.
    pub fn texts(&self) -> Vec<String> {
        self.visits().into_iter().map(|visit| visit.text).collect()
    }

    /// On how many threads they ran.
    pub fn threads(&self) -> usize {
        self.visits().into_iter().map(|visit| usize::from(visit.thread)).collect::<BTreeSet<_>>().len()
    }

    /// How many have not returned.
    pub fn inside(&self) -> usize {
        self.entries().inside.len()
    }

    /// The agent of this turn hangs: another one of its session may begin once it was left behind.
    pub fn hangs(&self, turn: &TurnContext) {
        self.entries().inside.remove(&turn.session_id());
    }

    fn enter(self: &Arc<Self>, turn: &TurnContext) -> Inside {
        let (session, text) = (turn.session_id(), turn.input().text());
        let mut entries = self.entries();
        if !entries.inside.insert(session) {
            entries.faults.push(format!("{text:?} began while another agent of its session ran"));
        }
        entries.visits.push(Visit { text, thread: thread::current().id() });
        Inside { log: Arc::clone(self), session }
    }
}

/// An agent that has not returned, nor unwound.
struct Inside {
    log: Arc<Log>,
    session: SessionId,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.log.entries().inside.remove(&self.session);
    }
}

/// An engine over the reference store, and its sessions.
pub struct Scene {
    pub engine: Engine,
    pub log: Arc<Log>,
    store: Arc<ModelStore>,
    sessions: StdMutex<Vec<SessionId>>,
}

/// A scene whose engine is gone.
pub struct Aftermath {
    pub log: Arc<Log>,
    store: Arc<ModelStore>,
    sessions: Vec<SessionId>,
}

impl Scene {
    pub fn open(workers: usize, agent: impl Fn(&TurnContext, &Log) -> AgentResult + Send + Sync + 'static) -> Self {
        Self::with_grace(workers, Duration::from_secs(5), agent)
    }

    pub fn with_grace(
        workers: usize,
        grace: Duration,
        agent: impl Fn(&TurnContext, &Log) -> AgentResult + Send + Sync + 'static,
    ) -> Self {
        Self::build(agent, |builder| builder.workers(workers).grace(grace).clock(Still))
    }

    /// An engine on a clock that the claim drives, whose agents have a minute to stop.
    pub fn on_clock(
        workers: usize,
        time_limit: Duration,
        agent: impl Fn(&TurnContext, &Log) -> AgentResult + Send + Sync + 'static,
    ) -> (Self, ManualClock) {
        let clock = ManualClock::new();
        let scene = Self::build(agent, |builder| {
            builder.workers(workers).grace(GRACE).time_limit(time_limit).clock(clock.clone())
        });
        (scene, clock)
    }

    fn build(
        agent: impl Fn(&TurnContext, &Log) -> AgentResult + Send + Sync + 'static,
        build: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let (store, log) = (Arc::new(ModelStore::new()), Arc::<Log>::default());
        let watched = {
            let log = Arc::clone(&log);
            move |turn: &TurnContext| {
                let _inside = log.enter(turn);
                agent(turn, &log)
            }
        };
        let builder = build(Engine::builder("no file")).agent_fn("agent", watched);
        let engine = builder.open_store(store.clone()).unwrap();
        Scene { engine, log, store, sessions: StdMutex::default() }
    }

    pub fn agent(&self) -> AgentHandle {
        self.engine.workspace("acme").unwrap().agent("agent").unwrap()
    }

    pub fn session(&self) -> Session {
        let session = self.agent().create_session(NewSession::default()).unwrap();
        self.sessions.lock().unwrap().push(session.id());
        session
    }

    /// Takes the engine out, to be closed or dropped where the claim wants it.
    pub fn split(self) -> (Engine, Aftermath) {
        let Scene { engine, log, store, sessions } = self;
        (engine, Aftermath { log, store, sessions: sessions.into_inner().unwrap() })
    }

    /// Closes the engine, and holds everything to what must be true after a close.
    pub fn close(self) {
        let (engine, after) = self.split();
        engine.close().unwrap();
        assert_eq!(after.log.inside(), 0, "agents that the close did not wait for");
        after.closed();
    }
}

impl Aftermath {
    /// Whether a worker, or a handle, still has the store.
    pub fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.store) > 1
    }

    /// After a close: nothing is left for the next open to end.
    pub fn closed(&self) -> Vec<Turn> {
        self.store.reopen();
        let (recovered, turns) = self.audit();
        assert_eq!(recovered, [], "turns that the close left running");
        turns
    }

    /// After a close: the number of the latest event of every session there is.
    pub fn latest(&self) -> BTreeMap<SessionId, u64> {
        self.closed();
        self.store.reopen();
        let engine = Engine::builder("no file").clock(Still).open_store(self.store.clone()).unwrap();
        let sessions = engine.workspace("acme").unwrap().sessions(()).unwrap().items;
        sessions.into_iter().map(|session| (session.id, session.last_change)).collect()
    }

    /// After a drop: the next open ends what did not start.
    pub fn dropped(&self) -> Vec<Turn> {
        let (recovered, turns) = self.audit();
        for turn in recovered {
            assert_eq!((turn.reason, turn.started_at), (Some(Reason::Crash), None), "{turn:?}");
        }
        turns
    }

    /// Opens the store again, and holds every session to what must be true always. Answers with
    /// what the open ended, and with all turns.
    fn audit(&self) -> (Vec<Turn>, Vec<Turn>) {
        assert_eq!(self.log.entries().faults, Vec::<String>::new());
        let engine = Engine::builder("no file").clock(Still).open_store(self.store.clone()).unwrap();
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        let workspace = engine.workspace("acme").unwrap();
        let mut all = Vec::new();
        for &id in &self.sessions {
            let session = workspace.session(id).unwrap();
            let turns = session.turns(()).unwrap().items;
            let messages = messages(&session);
            ends_once(&session, &turns);
            stays_apart(&messages);
            turns.iter().for_each(|turn| answers_at_its_end(turn, &messages));
            all.extend(turns);
        }
        let recovered = engine.recovered().to_vec();
        engine.close().unwrap();
        (recovered, all)
    }
}

/// Every turn ran once and then ended once, or was cancelled while it waited, or still waits; no two ran at a time.
fn ends_once(session: &Session, turns: &[Turn]) {
    let (mut states, mut running) = (BTreeMap::<_, Vec<_>>::new(), None);
    for change in session.changes(0, 1000).unwrap() {
        let ChangeKind::Turn(turn, state) = change.kind else { continue };
        states.entry(turn).or_default().push(state);
        match state {
            TurnState::Queued => {}
            TurnState::Running => assert_eq!(running.replace(turn), None, "two turns at a time"),
            _ if running == Some(turn) => running = None,
            _ => {}
        }
    }
    assert_eq!((running, states.len()), (None, turns.len()));
    for turn in turns {
        let seen = &states[&turn.id];
        let waited = [TurnState::Queued].into_iter().filter(|_| seen.first() == Some(&TurnState::Queued));
        let ran = [TurnState::Running].into_iter().filter(|_| seen.contains(&TurnState::Running));
        let ended = [turn.state].into_iter().filter(|state| state.is_terminal());
        assert_eq!(*seen, waited.chain(ran).chain(ended).collect::<Vec<_>>(), "{turn:?}");
        let cancelled = turn.reason == Some(Reason::Cancelled);
        assert_eq!(seen.contains(&TurnState::Running), turn.state != TurnState::Queued && !cancelled, "{turn:?}");
    }
}

/// No agent wrote anything after another one of a later turn did.
fn stays_apart(messages: &[Message]) {
    let written = messages.iter().filter(|message| message.role != Role::User);
    let mut order: Vec<_> = written.map(|message| message.thread_id).collect();
    order.dedup();
    let distinct: BTreeSet<_> = order.iter().collect();
    assert_eq!(distinct.len(), order.len(), "turns that write among each other: {messages:#?}");
}

/// A turn has a final message where it completed with one, as its last, and else none.
fn answers_at_its_end(turn: &Turn, messages: &[Message]) {
    let own: Vec<_> = messages.iter().filter(|message| message.turn_id == Some(turn.id)).collect();
    let finals: Vec<_> = own.iter().filter(|message| message.kind == MessageType::FinalMessage).collect();
    let ids: Vec<_> = finals.iter().map(|message| message.id).collect();
    assert_eq!(ids, Vec::from_iter(turn.final_message), "{turn:?}");
    assert!(ids.is_empty() || own.last().map(|message| message.id) == turn.final_message, "{turn:?} {own:#?}");
    assert!(ids.is_empty() || turn.state == TurnState::Completed, "{turn:?}");
}

/// All messages of a session, oldest first.
pub fn messages(session: &Session) -> Vec<Message> {
    let all = MessageQuery::all().direction(Direction::Asc);
    session.messages(all).iter().map(|message| message.unwrap()).collect()
}

/// The texts of the final messages of a session, oldest first.
pub fn finals(session: &Session) -> Vec<String> {
    let finals = messages(session).into_iter().filter(|message| message.kind == MessageType::FinalMessage);
    finals.map(|message| message.text()).collect()
}

/// An agent that repeats what it is told.
pub fn echo(turn: &TurnContext, _: &Log) -> AgentResult {
    Ok(Reply::from(turn.input().text()))
}

/// Waits for a turn on a thread of its own.
pub fn waiter(turn: &TurnHandle) -> JoinHandle<Result<TurnReport>> {
    let turn = turn.clone();
    thread::spawn(move || turn.wait())
}

/// A turn that completed with this text.
#[track_caller]
pub fn completed(turn: &TurnHandle, report: &TurnReport, text: &str) {
    assert_eq!((report.turn.id, report.state(), &*report.text()), (turn.id(), TurnState::Completed, text));
}

/// A turn that was interrupted for this reason.
#[track_caller]
pub fn interrupted(turn: &TurnHandle, report: &TurnReport, reason: Reason) {
    assert_eq!((report.turn.id, report.state()), (turn.id(), TurnState::Interrupted));
    assert_eq!((report.turn.reason, report.reply()), (Some(reason), None));
}

/// Closed until it is opened, for good.
#[derive(Clone, Default)]
pub struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// A begun latch, which the agent opens, and a go latch, which it waits at.
pub fn held() -> (Latch, Latch) {
    Default::default()
}
