//! How an engine is opened.

use std::fmt;
use std::path::PathBuf;

use super::Engine;
use super::attached::Polling;
use super::pause::Paused;
use crate::agent::{Agent, AgentResult, Reply, TurnContext, agent_fn};
use crate::delivery::{Courier, DeliveryOptions, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::{self, Behaviours, Executor, Hook, Load};
use crate::limit;
use crate::lines::Lines;
use crate::record::{Turn, check_name, check_time_limit};
use crate::redb::{Durability, LogLoss, Options, RedbStore, Sharing, Trust};
use crate::scope::Core;
use crate::shared::Shared;
use crate::store::{EndOrphans, Promote, QueueBounds, Recovery, Runners, Started, Store};
use crate::sync::{Arc, Mutex, Parker};
use crate::time::{Clock, Duration, Stopwatch, SystemClock};
use crate::trace;

/// How long agents have that are told to stop, where nothing else is asked for.
const GRACE: Duration = Duration::from_secs(5);

/// How often [`Builder::wait_for_lock`] looks.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// Orphans that are ended, and waiting turns that are started, in one commit.
const ORPHANS_A_COMMIT: u32 = 100;

/// Where an engine keeps what is written.
#[derive(Debug)]
pub(super) enum Place {
    File(PathBuf),
    Memory,
}

/// How to open an [`Engine`]. Made by [`Engine::builder`].
#[must_use]
pub struct Builder {
    pub(super) place: Place,
    agents: Vec<(String, Arc<dyn Agent>)>,
    runtime: executor::Options,
    hook: Option<Arc<dyn Hook>>,
    attempts: u32,
    pub(super) file: Options,
    wait_for_lock: Duration,
    pub(super) poll_every: Duration,
    pub(super) clock: Arc<dyn Clock>,
    transport: Option<Arc<dyn Transport>>,
    delivery: DeliveryOptions,
}

impl Builder {
    pub(super) fn at(place: Place) -> Self {
        Builder {
            place,
            agents: Vec::new(),
            runtime: executor::Options {
                workers: limit::WORKERS_DEFAULT,
                abandoned: limit::ABANDONED_DEFAULT,
                queue: Load { turns: limit::QUEUE_TURNS_DEFAULT, bytes: limit::QUEUE_BYTES_DEFAULT },
                session_queue: QueueBounds::default(),
                grace: GRACE,
                time_limit: None,
            },
            hook: None,
            attempts: 1,
            file: Options::default(),
            wait_for_lock: Duration::ZERO,
            poll_every: Duration::from_millis(limit::POLL_MS_DEFAULT),
            clock: Arc::new(SystemClock::new()),
            transport: None,
            delivery: DeliveryOptions::default(),
        }
    }

    /// Registers the behaviour of the agents of this name, in all workspaces. 1 to 255
    /// characters, each name once.
    pub fn agent(mut self, name: impl Into<String>, agent: impl Agent) -> Self {
        self.agents.push((name.into(), Arc::new(agent)));
        self
    }

    /// Registers a function as the behaviour of the agents of this name, as [`agent`](Self::agent) does.
    pub fn agent_fn<F, R>(self, name: impl Into<String>, f: F) -> Self
    where
        F: Fn(&TurnContext) -> AgentResult<R> + Send + Sync + 'static,
        R: Into<Reply> + 'static,
    {
        self.agent(name, agent_fn(f))
    }

    /// How many turns run at once: 1 to [`limit::WORKERS_MAX`] threads, by default
    /// [`limit::WORKERS_DEFAULT`]. They are started when they are needed.
    pub fn workers(mut self, workers: usize) -> Self {
        self.runtime.workers = workers;
        self
    }

    /// How long an agent has that is told to stop, because its turn was interrupted, has run for as long as it may,
    /// or the engine closes; by default 5 seconds.
    ///
    /// The next agent of its session starts when it has returned. One that does not return in time is *left behind*:
    /// the next one starts all the same, on another thread, and what the old one writes goes on being refused. A
    /// thread cannot be killed, so its own goes on until it returns: see [`abandoned`](Self::abandoned). Other
    /// sessions wait for none of this.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.runtime.grace = grace;
        self
    }

    /// How many agents may be [left behind](Self::grace) and not have returned: 1 to [`limit::ABANDONED_MAX`] threads
    /// beside the [`workers`](Self::workers), by default [`limit::ABANDONED_DEFAULT`]. While there are so many, what
    /// would start a turn is [`Overloaded`](crate::ErrorKind::Overloaded), and no other agent is left behind.
    pub fn abandoned(mut self, threads: usize) -> Self {
        self.runtime.abandoned = threads;
        self
    }

    /// How many turns may wait for a worker, over all sessions: 1 to [`limit::QUEUE_TURNS_MAX`], by default
    /// [`limit::QUEUE_TURNS_DEFAULT`]. What is over that is refused as [`Overloaded`](crate::ErrorKind::Overloaded),
    /// and nothing is written; a repeated operation is answered all the same.
    ///
    /// A turn that waits for those before it in its session is in the file alone, within [`session_queue`](Self::session_queue);
    /// it waits for a worker from its promotion on, and is never refused then.
    pub fn queue_turns(mut self, turns: usize) -> Self {
        self.runtime.queue.turns = turns;
        self
    }

    /// How many bytes those turns may hold in memory: at least [`limit::QUEUE_BYTES_MIN`], by default
    /// [`limit::QUEUE_BYTES_DEFAULT`].
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.runtime.queue.bytes = bytes;
        self
    }

    /// How much may wait for the turns before it, in one session and in all: see [`QueueBounds`], also for the defaults.
    /// What waits already goes on waiting, whatever the bounds.
    pub fn session_queue(mut self, bounds: QueueBounds) -> Self {
        self.runtime.session_queue = bounds;
        self
    }

    /// How often a turn is run in all where the process that runs it dies: 1 or more, by default 1. Opening the
    /// file runs such a turn again, and ends it as *failed* (`crash`) once these are used up, or where its agent is not
    /// registered. The agent sees the [attempt](Turn::attempt), and what the ones before have written.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long a turn may run, from its agent's start; by default as long as it likes:
    /// [`limit::TIME_LIMIT_MS_MIN`] to [`limit::TIME_LIMIT_MS_MAX`]. A send may bring [its own](crate::NewTurn::time_limit) in
    /// place of it.
    ///
    /// A turn that is not over by then is ended as *failed*, with the reason
    /// [`TimeLimit`](crate::Reason::TimeLimit), and its agent is told to stop, for which it has its [grace](Self::grace).
    pub fn time_limit(mut self, longest: Duration) -> Self {
        self.runtime.time_limit = Some(longest);
        self
    }

    /// What is to be called in this process when a turn has ended, however it did: after its end was committed and is on
    /// disk, whatever the [durability](Self::durability), on a thread of its own, one end after the other. By default nothing.
    ///
    /// It may use any handle, and take its time: nobody waits for it but a close, up to its deadline. While
    /// [`limit::HOOK_QUEUE`] ends wait for it, what would start a turn is
    /// [`Overloaded`](crate::ErrorKind::Overloaded). An end is told at most once: not where the process died or the
    /// engine was closed before, nor where its session was deleted since. Turns of a dead process are in
    /// [`Engine::recovered`].
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// use std::sync::mpsc;
    ///
    /// use parlor::{Engine, TurnEnd, TurnState};
    ///
    /// let (tell, told) = mpsc::sync_channel(1);
    /// let engine = Engine::in_memory()
    ///     .agent_fn("echo", |turn| Ok(turn.input().text()))
    ///     .on_end(move |end: &TurnEnd| drop(tell.send(end.turn.state)))
    ///     .open()?;
    /// let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// session.send("hello")?;
    /// assert_eq!(told.recv(), Ok(TurnState::Completed));
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// From document C.
    pub fn on_end(mut self, hook: impl Hook) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Who delivers the ends of turns that named a webhook, those that the file already has among them. By default nobody
    /// does, and they wait in the [outbox](Engine::outbox).
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// How often deliveries are tried, and how many at once: see [`DeliveryOptions`], also for the defaults.
    pub fn delivery(mut self, options: DeliveryOptions) -> Self {
        self.delivery = options;
        self
    }

    /// The page cache of the file, in bytes; by default [`limit::CACHE_BYTES_DEFAULT`]. Give it
    /// the working set, or little: the system's cache does the rest.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.file.cache_bytes = bytes;
        self
    }

    /// Where the time comes from; by default the [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the whole file before it is used, every page and everything that must hold between
    /// the records, and refuses it as *corrupt* at the first breach: for a file that may have been
    /// damaged, or that comes from a stranger. It reads all of it. By default a record is checked
    /// when it is read, and a damaged one is *corrupt* for itself alone.
    pub fn verify_on_open(mut self) -> Self {
        self.file.trust = Trust::Verify;
        self
    }

    /// When a write is acknowledged; by default [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.file.durability = durability;
        self
    }

    /// How long [`open`](Self::open) waits for another process to close the file, instead of answering
    /// [`AlreadyOpen`](crate::ErrorKind::AlreadyOpen) at once; by default not at all. An engine of the same process
    /// counts as another.
    pub fn wait_for_lock(mut self, longest: Duration) -> Self {
        self.wait_for_lock = longest;
        self
    }

    /// Opens a file that was not closed although the log beside it is gone, as it is without it. What only the log
    /// had is lost: up to the last few thousand acknowledged writes. By default such a file is refused
    /// as [`LogMissing`](crate::ErrorKind::LogMissing).
    pub fn accept_log_loss(mut self) -> Self {
        self.file.log_loss = LogLoss::Accept;
        self
    }

    /// Opens the file, which is made when it is missing, and ends what a process that died left
    /// running in it, before anything else runs.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an option out of bounds or an agent registered
    /// twice. [`AlreadyOpen`](crate::ErrorKind::AlreadyOpen) when another process has the file,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when it is damaged or no parlor file,
    /// [`NewerFormat`](crate::ErrorKind::NewerFormat) when a newer version wrote it.
    pub fn open(self) -> Result<Engine> {
        self.check()?;
        let store = match &self.place {
            Place::File(path) => self.wait(|| RedbStore::open(path, self.file))?,
            Place::Memory => RedbStore::in_memory(self.file)?,
        };
        let store = Arc::new(store);
        self.start(Arc::clone(&store) as Arc<dyn Store>, Some(store))
    }

    /// Opens the file once nobody else has it.
    pub(super) fn wait(&self, open: impl Fn() -> Result<RedbStore>) -> Result<RedbStore> {
        let began = Stopwatch::start();
        loop {
            let opened = open();
            let left = self.wait_for_lock.saturating_sub(began.elapsed());
            match opened {
                // Nothing tells when a lock is given free.
                Err(error) if error.kind() == ErrorKind::AlreadyOpen && !left.is_zero() => {
                    Parker::default().park_timeout(left.min(LOCK_LOOK));
                }
                opened => return opened,
            }
        }
    }

    /// Opens an engine over any store, such as one of your own. The path, the cache and
    /// [`verify_on_open`](Self::verify_on_open) have no say then. The engine closes the store.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an option out of bounds or an agent registered twice.
    pub fn open_store(self, store: Arc<dyn Store>) -> Result<Engine> {
        self.check()?;
        self.start(store, None)
    }

    /// Starts an engine over a store, and the file that it is, where it is one of ours.
    pub(super) fn start(mut self, store: Arc<dyn Store>, file: Option<Arc<RedbStore>>) -> Result<Engine> {
        let shared = Arc::new(Shared::new(trace::traced(store), Arc::clone(&self.clock)));
        let agents = self.agents.iter().map(|(name, _)| name.clone()).collect();
        let runners = Runners { owner: shared.owner(), lease: None, agents };
        let is_paused = file.as_ref().map_or(Ok(false), |file| file.is_paused());
        let recovered = is_paused.and_then(|is_paused| {
            if is_paused {
                shared.pause();
            }
            recover(&shared, &runners, self.attempts)
        });
        let (recovered, started) = recovered.inspect_err(|_| {
            // The first error is the one to tell; a store that cannot close is dropped.
            let _ = shared.store().close();
        })?;
        let (mut transport, delivery) = (self.transport.take(), self.delivery);
        let paused = shared.is_paused().then(|| Paused { runners, transport: transport.take(), delivery });
        let delivery = transport.map(|transport| Courier::start(Arc::clone(&shared), transport, delivery));
        let lines = file.clone().map(|file| file as Arc<dyn Lines>);
        let mut engine = self.over(shared, recovered, None, lines);
        (engine.file, engine.paused) = (file, Mutex::new(paused));
        let Core { executor, behaviours, .. } = &*engine.core;
        for started in started {
            if let Some(agent) = behaviours.get(&started.agent_name) {
                executor.resume(started, agent);
            }
        }
        // Where it cannot start, dropping the engine tells the agents to stop.
        engine.delivery = Mutex::new(delivery.transpose()?);
        Ok(engine)
    }

    /// An engine over what was opened.
    pub(super) fn over(
        self,
        shared: Arc<Shared>,
        recovered: Vec<Turn>,
        polling: Option<Polling>,
        lines: Option<Arc<dyn Lines>>,
    ) -> Engine {
        let behaviours: Arc<Behaviours> = Arc::new(self.agents.into_iter().collect());
        let executor = Executor::new(Arc::clone(&shared), self.runtime, self.hook, Arc::clone(&behaviours));
        let core = Arc::new(Core { shared, executor, behaviours, lines });
        Engine {
            core,
            grace: self.runtime.grace,
            recovered,
            file: None,
            paused: Mutex::default(),
            delivery: Mutex::default(),
            _polling: polling,
            process: std::process::id(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let numbers = [
            ("workers", self.runtime.workers, limit::WORKERS_MAX, "WORKERS_MAX"),
            ("abandoned", self.runtime.abandoned, limit::ABANDONED_MAX, "ABANDONED_MAX"),
            ("queue_turns", self.runtime.queue.turns, limit::QUEUE_TURNS_MAX, "QUEUE_TURNS_MAX"),
        ];
        for (what, number, most, bound) in numbers {
            if !(1..=most).contains(&number) {
                return Err(Error::invalid(format!("{what} is {number}; it must be 1 to {most} ({bound})")));
            }
        }
        let (bytes, least) = (self.runtime.queue.bytes, limit::QUEUE_BYTES_MIN);
        if bytes < least {
            return Err(Error::invalid(format!(
                "queue_bytes is {bytes}; it must be at least {least} (QUEUE_BYTES_MIN)"
            )));
        }
        check_time_limit(self.runtime.time_limit)?;
        if self.attempts == 0 {
            return Err(Error::invalid("attempts is 0; it must be 1 or more"));
        }
        self.runtime.session_queue.check()?;
        self.delivery.check()?;
        self.file.durability.check()?;
        if self.file.sharing == Sharing::Readers && self.file.durability != Durability::Sync {
            return Err(Error::invalid("with shared_readers every write is durable when it returns: Durability::Sync"));
        }
        let (least, most) = (Duration::from_millis(limit::POLL_MS_MIN), Duration::from_millis(limit::POLL_MS_MAX));
        if !(least..=most).contains(&self.poll_every) {
            let text = format!("poll_every is {:?}; it must be {least:?} to {most:?}", self.poll_every);
            return Err(Error::invalid(text));
        }
        for (nth, (name, _)) in self.agents.iter().enumerate() {
            check_name("agent name", name)?;
            if self.agents.iter().take(nth).any(|(earlier, _)| earlier == name) {
                return Err(Error::invalid(format!("agent {name:?} is registered twice")));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<_> = self.agents.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder").field("place", &self.place).field("agents", &agents).finish_non_exhaustive()
    }
}

/// Ends the turns that processes that died left running, or takes them over, and starts what waits.
fn recover(shared: &Shared, runners: &Runners, attempts: u32) -> Result<(Vec<Turn>, Vec<Started>)> {
    let (mut ended, mut started) = (Vec::new(), Vec::new());
    let recovery = match attempts {
        // In a backup they run elsewhere.
        _ if shared.is_paused() => Recovery::End,
        1 => Recovery::End,
        attempts => Recovery::RunAgain { attempts, runners: runners.clone() },
    };
    loop {
        let (stamp, recovery) = (shared.stamp(), recovery.clone());
        let op = EndOrphans { stamp, owner: shared.owner(), limit: ORPHANS_A_COMMIT, recovery };
        let orphans = shared.store().end_orphans(op)?;
        if orphans.is_empty() {
            break;
        }
        ended.extend(orphans.ended);
        started.extend(orphans.again);
    }
    if !shared.is_paused() {
        started.extend(promote(shared, runners)?);
    }
    Ok((ended, started))
}

/// Starts what waits.
pub(super) fn promote(shared: &Shared, runners: &Runners) -> Result<Vec<Started>> {
    let mut started = Vec::new();
    loop {
        let op = Promote { stamp: shared.stamp(), runners: runners.clone(), limit: ORPHANS_A_COMMIT };
        let promoted = shared.store().promote(op)?;
        if promoted.is_empty() {
            return Ok(started);
        }
        started.extend(promoted);
    }
}
