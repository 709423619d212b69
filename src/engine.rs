//! Open, recover, run, close: [`Builder`] and [`Engine`].

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::agent::{Agent, AgentResult, Reply, TurnContext, agent_fn};
use crate::delivery::{Courier, DeliveryOptions, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::limit;
use crate::record::check_name;
use crate::record::{Turn, WebhookRow};
pub use crate::redb::Durability;
use crate::redb::{LogLoss, Options, RedbStore, Trust};
use crate::scope::{Core, Workspace};
use crate::shared::{Phase, Shared};
use crate::store::{
    EndOrphans, EnsureWorkspace, OutboxPage, OutboxPlace, OutboxQuery, OutboxRows, Promote, QueueBounds, Recovery,
    Runners, Started, Store,
};
use crate::sync::{Arc, Parker};
use crate::time::{Clock, Duration, Stopwatch, SystemClock};

/// How long [`Engine::close`] waits for agents that were told to stop, where nothing else is asked for.
const GRACE: Duration = Duration::from_secs(5);

/// How often [`Builder::wait_for_lock`] looks.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// Orphans that are ended, and waiting turns that are started, in one commit.
const ORPHANS_A_COMMIT: u32 = 100;

/// Where an engine keeps what is written.
#[derive(Debug)]
enum Place {
    File(PathBuf),
    Memory,
}

/// How to open an [`Engine`]. Made by [`Engine::builder`].
#[must_use]
pub struct Builder {
    place: Place,
    agents: Vec<(String, Arc<dyn Agent>)>,
    workers: usize,
    grace: Duration,
    queue: QueueBounds,
    attempts: u32,
    file: Options,
    wait_for_lock: Duration,
    clock: Arc<dyn Clock>,
    transport: Option<Arc<dyn Transport>>,
    delivery: DeliveryOptions,
}

impl Builder {
    fn at(place: Place) -> Self {
        Builder {
            place,
            agents: Vec::new(),
            workers: limit::WORKERS_DEFAULT,
            grace: GRACE,
            queue: QueueBounds::default(),
            attempts: 1,
            file: Options::default(),
            wait_for_lock: Duration::ZERO,
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
        self.workers = workers;
        self
    }

    /// How long [`Engine::close`] waits for agents that were told to stop; by default 5 seconds.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How much may wait for the turns before it, in one session and in all: see [`QueueBounds`], also for the defaults.
    /// What waits already goes on waiting, whatever the bounds.
    pub fn session_queue(mut self, bounds: QueueBounds) -> Self {
        self.queue = bounds;
        self
    }

    /// How often a turn is run in all where the process that runs it dies: 1 or more, by default 1. Opening the
    /// file runs such a turn again, and ends it as *failed* (`crash`) once these are used up, or where its agent is not
    /// registered. The agent sees the [attempt](Turn::attempt), and what the ones before have written.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
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
            Place::File(path) => self.open_file(path)?,
            Place::Memory => RedbStore::in_memory(self.file)?,
        };
        self.open_store(Arc::new(store))
    }

    /// Opens the file once nobody else has it.
    fn open_file(&self, path: &Path) -> Result<RedbStore> {
        let began = Stopwatch::start();
        loop {
            let opened = RedbStore::open(path, self.file);
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
        let shared = Arc::new(Shared::new(store, self.clock));
        let behaviours: HashMap<_, _> = self.agents.into_iter().collect();
        let runners = Runners { owner: shared.owner(), lease: None, agents: behaviours.keys().cloned().collect() };
        let (recovered, started) = recover(&shared, runners, self.attempts).inspect_err(|_| {
            // The first error is the one to tell; a store that cannot close is dropped.
            let _ = shared.store().close();
        })?;
        let executor = Executor::new(Arc::clone(&shared), self.workers);
        for started in started {
            if let Some(agent) = behaviours.get(&started.agent_name) {
                executor.resume(started, agent);
            }
        }
        let delivery = self.transport.map(|transport| Courier::start(Arc::clone(&shared), transport, self.delivery));
        let core = Arc::new(Core { shared, executor, behaviours, queue: self.queue });
        // Where it cannot start, dropping the engine tells the agents to stop.
        let mut engine = Engine { core, grace: self.grace, recovered, delivery: None, process: std::process::id() };
        engine.delivery = delivery.transpose()?;
        Ok(engine)
    }

    fn check(&self) -> Result<()> {
        if !(1..=limit::WORKERS_MAX).contains(&self.workers) {
            let text = format!("workers is {}; it must be 1 to {} (WORKERS_MAX)", self.workers, limit::WORKERS_MAX);
            return Err(Error::invalid(text));
        }
        if self.attempts == 0 {
            return Err(Error::invalid("attempts is 0; it must be 1 or more"));
        }
        self.queue.check()?;
        self.delivery.check()?;
        self.file.durability.check()?;
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
fn recover(shared: &Shared, runners: Runners, attempts: u32) -> Result<(Vec<Turn>, Vec<Started>)> {
    let (mut ended, mut started) = (Vec::new(), Vec::new());
    let recovery = match attempts {
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
    loop {
        let op = Promote { stamp: shared.stamp(), runners: runners.clone(), limit: ORPHANS_A_COMMIT };
        let promoted = shared.store().promote(op)?;
        if promoted.is_empty() {
            return Ok((ended, started));
        }
        started.extend(promoted);
    }
}

/// An open file and the threads that run its agents: the one owner of both.
///
/// Everything else is reached through it, first of all a [`Workspace`]. [`close`](Self::close) ends it in
/// good order. Dropping it without waits for nothing: agents are told to stop, and what does not
/// end by itself is ended at the next open. The file is free again once the last handle and the last
/// agent are gone too.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("support.parlor");
/// use parlor::{Engine, NewSession};
///
/// let engine = Engine::builder(&path).agent_fn("greeter", |_| Ok("How can I help?")).open()?;
/// let session = engine.workspace("acme")?.agent("greeter")?.create_session(NewSession::default())?;
/// assert_eq!(session.send("hello")?.wait()?.text(), "How can I help?");
/// engine.close()?;
/// assert_eq!(session.send("hello").unwrap_err().kind(), parlor::ErrorKind::Closed);
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    core: Arc<Core>,
    grace: Duration,
    recovered: Vec<Turn>,
    delivery: Option<Courier>,
    /// The process that opened it: a fork has none of its threads.
    process: u32,
}

impl Engine {
    /// How to open the file at this path.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::at(Place::File(path.as_ref().to_owned()))
    }

    /// How to open an engine that keeps everything in memory, and loses it when it is closed: for tests.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// let engine = parlor::Engine::in_memory().agent_fn("greeter", |_| Ok("Hi!")).open()?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// assert_eq!(session.send("hello")?.wait()?.text(), "Hi!");
    /// # engine.close()
    /// # }
    /// ```
    pub fn in_memory() -> Builder {
        Builder::at(Place::Memory)
    }

    /// The workspace of this name, 1 to 255 characters, made when it is missing.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn workspace(&self, name: &str) -> Result<Workspace> {
        check_name("workspace name", name)?;
        let op = EnsureWorkspace { stamp: self.core.shared.stamp(), name: name.to_owned() };
        Ok(Workspace::new(Arc::clone(&self.core), self.core.store()?.ensure_workspace(op)?))
    }

    /// The workspace of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn find_workspace(&self, name: &str) -> Result<Option<Workspace>> {
        check_name("workspace name", name)?;
        let found = self.core.store()?.find_workspace(name)?;
        Ok(found.map(|record| Workspace::new(Arc::clone(&self.core), record)))
    }

    /// The turns that a process that died left running, as this open ended them: *failed*, with
    /// the reason `crash`.
    pub fn recovered(&self) -> &[Turn] {
        &self.recovered
    }

    /// The ends of turns that wait to be announced, oldest session first, at most `limit`: 1 to
    /// [`limit::OUTBOX_LIMIT_MAX`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a limit out of bounds,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`Storage`](crate::ErrorKind::Storage) when they cannot be read.
    pub fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>> {
        check_outbox_limit(limit)?;
        self.core.store()?.outbox(limit)
    }

    /// Announcements that failed for the last time, oldest session first, at most `limit`: 1 to
    /// [`limit::OUTBOX_LIMIT_MAX`]. The next page goes on where the one before says.
    /// [`Session::redrive`](crate::Session::redrive) has them tried again.
    ///
    /// # Errors
    ///
    /// Those of [`outbox`](Self::outbox).
    pub fn dead_letters(&self, after: impl Into<Option<OutboxPlace>>, limit: u32) -> Result<OutboxPage> {
        check_outbox_limit(limit)?;
        self.core.store()?.outbox_page(OutboxQuery { rows: OutboxRows::Dead, after: after.into(), limit })
    }

    /// Checks everything that must hold between the records of the file, and describes each
    /// breach: empty when all is well.
    ///
    /// # Errors
    ///
    /// [`Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    pub fn verify(&self) -> Result<Vec<String>> {
        self.core.store()?.verify()
    }

    /// Takes no more work, ends the running turns as *interrupted* (`closed`), waits for their
    /// agents up to the [grace period](Builder::grace), and closes the file.
    ///
    /// An agent that does not return by then is left to itself: its thread goes on until it
    /// returns, but can write nothing. Who waits for a turn learns how it ended, or that the
    /// engine is closed; who follows or watches is told what was left, and then the end.
    ///
    /// # Errors
    ///
    /// The first error of an end that could not be written, or of the storage. The engine is
    /// closed all the same. [`Closed`](crate::ErrorKind::Closed) in a fork of the process that opened it, where
    /// nothing happens.
    pub fn close(self) -> Result<()> {
        if self.is_forked() {
            return Err(Error::new(ErrorKind::Closed, format!("the engine was opened by process {}", self.process)));
        }
        self.core.shared.advance(Phase::Closing);
        let deadline = self.core.shared.clock.monotonic().saturating_add(self.grace);
        self.delivery.iter().for_each(Courier::stop);
        let ended = self.core.executor.close(self.grace);
        self.delivery.iter().for_each(|delivery| delivery.join(deadline));
        self.core.shared.keep_tails();
        let closed = self.core.shared.store().close();
        ended.and(closed)
    }

    /// Whether this is a fork of the process that opened it. Its threads did not come along, and whatever
    /// they held at that moment is locked for good: there is nothing to end and nobody to wait for.
    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }
}

fn check_outbox_limit(limit: u32) -> Result<()> {
    if (1..=limit::OUTBOX_LIMIT_MAX).contains(&limit) {
        return Ok(());
    }
    Err(Error::invalid(format!("limit is {limit}; it must be 1 to {}", limit::OUTBOX_LIMIT_MAX)))
}

impl Drop for Engine {
    /// Tells the agents to stop and waits for nothing; after [`Engine::close`] it has nothing to do.
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        self.core.shared.advance(Phase::Closing);
        self.delivery.iter().for_each(Courier::stop);
        self.core.executor.abandon();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NewSession, TurnState};
    use crate::sync::bounded;

    #[test]
    fn in_a_fork_a_close_ends_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (here, arrived) = bounded(1);
        let (let_go, gate) = bounded::<()>(1);
        let engine = Engine::builder(dir.path().join("a.parlor")).grace(Duration::ZERO).agent_fn("worker", move |_| {
            here.send(())?;
            Ok(gate.recv()?)
        });
        let mut engine = engine.open().expect("an engine");
        let agent = engine.workspace("acme").and_then(|acme| acme.agent("worker")).expect("an agent");
        let session = agent.create_session(NewSession::default()).expect("a session");
        let turn = session.send("hello").expect("a turn");
        arrived.recv().expect("its agent has started");

        // What a fork sees: another process of the same memory.
        engine.process = engine.process.wrapping_add(1);
        assert_eq!(engine.close().expect_err("it is another's").kind(), ErrorKind::Closed);
        // The process that opened it goes on.
        let_go.send(()).expect("its agent waits");
        assert_eq!(turn.wait().expect("it ends").state(), TurnState::Completed);
    }
}
