//! The worker threads: started on demand, each running one turn after the other.

use std::collections::HashSet;

use super::Behaviours;
use super::hook::{Announcer, Hook};
use super::load::Load;
use super::run;
use super::schedule::{Job, Live, Schedule, WorkerNumber};
use super::stats::Stats;
use super::timer::Timer;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, TurnId, WorkspaceId};
use crate::shared::Shared;
use crate::store::{QueueBounds, SessionRef};
use crate::sync::{Arc, Condvar, HashMap, JoinHandle, Mutex, MutexGuard, ThreadBuilder};
use crate::time::Duration;

/// What the executor is told when it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How many worker threads there may be, the abandoned ones not counted.
    pub(crate) workers: usize,
    /// How many threads of agents that did not return may be left behind.
    pub(crate) abandoned: usize,
    /// How much may wait for a worker.
    pub(crate) queue: Load,
    /// How much may wait for the turns before it.
    pub(crate) session_queue: QueueBounds,
    /// How long an agent that was told to stop has for it.
    pub(crate) grace: Duration,
    /// How long a turn may run that does not say so itself.
    pub(crate) time_limit: Option<Duration>,
}

/// The workers and all they share.
pub(super) struct Pool {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    pub(super) options: Options,
    pub(super) behaviours: Arc<Behaviours>,
    /// Where somebody wants to hear of ends.
    pub(super) announcer: Option<Arc<Announcer>>,
    /// There is a turn to start, or the pool closes.
    pub(super) work: Condvar,
    /// The pool closes, and an agent returned or a turn was taken in.
    pub(super) quiet: Condvar,
    /// The store has answered somebody for whom others wait, or the pool closes.
    pub(super) answered: Condvar,
    /// Something is due earlier than the timer knows, or the pool closes.
    pub(super) due: Condvar,
}

/// What the executor's one mutex guards.
#[derive(Default)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    /// Turns that the store is being asked to accept, and writes without one.
    pub(super) admitted: usize,
    /// What the turns among them will hold.
    pub(super) reserved: Load,
    /// How many of them are of which session, where its being deleted must wait for them.
    pub(super) entering: HashMap<SessionRef, usize>,
    /// The sessions that the store is being asked to delete.
    pub(super) deleting: HashSet<SessionRef>,
    /// The workspaces of which the store is being asked to delete an agent.
    pub(super) emptying: HashSet<WorkspaceId>,
    /// No more turns are taken, and idle workers leave.
    pub(super) closing: bool,
    pub(super) timer: Timer,
    workers: HashMap<WorkerNumber, Worker>,
    /// How many workers wait for a turn, the ones that are just starting included.
    idle: usize,
    started: WorkerNumber,
    /// How many threads of agents that were left behind have not returned.
    abandoned: usize,
    /// How many have, since the beginning.
    retired: u64,
    /// Turns whose workers were lost, which are yet to be ended.
    lost: Vec<Live>,
}

/// A worker that has not left.
struct Worker {
    /// Taken by the one who joins it.
    thread: Option<JoinHandle<()>>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Busy,
}

/// What a worker has to do.
enum Task {
    Run(Box<Job>),
    /// The turn of a worker that was lost.
    End(Live),
}

impl State {
    /// Takes these workers out of the pool: their agents were left behind. Whoever starts others in their place
    /// may do so now.
    pub(super) fn abandon(&mut self, workers: &[WorkerNumber]) {
        for worker in workers {
            // Its thread leaves when its agent returns; nobody joins it.
            if self.workers.remove(worker).is_some() {
                self.abandoned += 1;
            }
        }
    }

    /// Tells all agents to stop, and gives up what did not start. Answers with all turns that may not have ended.
    pub(super) fn cancel(&mut self) -> Vec<Live> {
        let mut live = self.schedule.cancel();
        live.append(&mut self.lost);
        live
    }

    /// Keeps turns that are yet to be ended, by a worker.
    pub(super) fn take_lost(&mut self, lost: impl IntoIterator<Item = Live>) {
        self.lost.extend(lost);
    }

    /// How many more agents may be left behind.
    pub(super) fn room(&self, options: &Options) -> usize {
        options.abandoned.saturating_sub(self.abandoned)
    }

    /// How many agents have not returned, those that were left behind among them.
    pub(super) fn not_returned(&self) -> usize {
        self.abandoned + self.busy().count()
    }

    /// How it stands, but for what the pool does not know.
    pub(super) fn stats(&self) -> Stats {
        let waiting = self.schedule.waiting();
        Stats {
            workers: self.workers.len(),
            idle_workers: self.idle,
            running: self.busy().count(),
            abandoned: self.abandoned,
            retired: self.retired,
            waiting_turns: waiting.turns,
            waiting_bytes: waiting.bytes,
            admitted: self.admitted,
            ..Stats::default()
        }
    }

    fn busy(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(|worker| worker.phase == Phase::Busy)
    }
}

impl Pool {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: Options,
        hook: Option<Arc<dyn Hook>>,
        behaviours: Arc<Behaviours>,
    ) -> Self {
        let announcer = hook.map(|hook| Arc::new(Announcer::new(hook)));
        let [work, quiet, answered, due] = [(); 4].map(|()| Condvar::new());
        Pool { shared, state: Mutex::default(), options, behaviours, announcer, work, quiet, answered, due }
    }

    /// Has the end of this turn told, which was committed.
    pub(super) fn announce(&self, live: &Live) {
        if let Some(announcer) = &self.announcer {
            announcer.announce(&self.shared, live);
        }
    }

    /// A turn was ended by neither its agent nor the clock: what was known of it is forgotten, and its end is told.
    pub(super) fn over(&self, at: SessionRef, agent_id: AgentId, turn: TurnId) {
        self.shared.acquit(turn);
        if let Some(announcer) = &self.announcer {
            announcer.announce_turn(&self.shared, at, agent_id, turn);
        }
    }

    /// When an agent that is told to stop now is left behind.
    pub(super) fn grace_from_now(&self) -> Duration {
        self.shared.clock.monotonic().saturating_add(self.options.grace)
    }

    /// Takes in an accepted turn, and wakes or starts a worker for it.
    pub(super) fn accept(self: &Arc<Self>, job: Box<Job>) {
        self.take_in(|schedule, grace| schedule.accept(job, grace));
    }

    /// Takes in a turn that was promoted by the end of this one, as [`accept`](Self::accept) does.
    pub(super) fn accept_next(self: &Arc<Self>, job: Box<Job>, ended: TurnId) {
        self.take_in(|schedule, grace| schedule.accept_next(job, ended, grace));
    }

    fn take_in(self: &Arc<Self>, accept: impl FnOnce(&mut Schedule, Duration) -> Option<Live>) {
        let grace = self.grace_from_now();
        let mut state = self.state.lock();
        let stopped = accept(&mut state.schedule, grace);
        if stopped.is_some() {
            self.expect(&mut state, grace);
        }
        self.ensure_enough(&mut state);
        drop(state);
        self.work.notify_one();
        self.tell(stopped);
    }

    /// Tells whoever waits for it that this turn is over and its agent is to stop. The caller holds no lock.
    pub(super) fn tell(&self, over: Option<Live>) {
        if let Some(over) = over {
            self.shared.texts.end(over.at, &over.claim);
            over.token.wake();
        }
    }

    /// How long this turn may run.
    pub(super) fn time_limit(&self, live: &Live) -> Option<Duration> {
        live.time_limit.or(self.options.time_limit)
    }

    /// The agent of this worker starts: its turn may run for so long.
    pub(super) fn limit(self: &Arc<Self>, worker: WorkerNumber, limit: Duration) {
        let until = self.shared.clock.monotonic().saturating_add(limit);
        let mut state = self.state.lock();
        state.schedule.limit(worker, until);
        self.expect(&mut state, until);
    }

    /// Refuses where no agent may be left behind any more.
    pub(super) fn check_room(&self, state: &State) -> Result<()> {
        let most = self.options.abandoned;
        if state.abandoned < most {
            return Ok(());
        }
        let text = format!("{} agents were left behind and have not returned; at most {most} may be", state.abandoned);
        Err(Error::new(ErrorKind::Overloaded, text))
    }

    /// Starts a worker where there is none.
    pub(super) fn ensure_one(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if !state.workers.is_empty() {
            return Ok(());
        }
        self.start(state).map_err(|source| {
            let text = format!("no worker thread could be started: {source}");
            Error::new(ErrorKind::Overloaded, text).with_source(source)
        })
    }

    /// Starts one more worker where more turns are ready than workers are idle.
    pub(super) fn ensure_enough(self: &Arc<Self>, state: &mut State) {
        let waiting = state.schedule.ready() + state.lost.len();
        if waiting > state.idle && state.workers.len() < self.options.workers && !state.closing {
            // Where no thread can be had, the turn waits for one of those that are there.
            let _ = self.start(state);
        }
    }

    fn start(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let number = state.started + 1;
        let pool = Arc::clone(self);
        let thread = ThreadBuilder::new().name(format!("parlor-worker-{number}")).spawn(move || work(pool, number))?;
        // The new thread waits for the lock that is held here, so it finds its entry.
        state.workers.insert(number, Worker { thread: Some(thread), phase: Phase::Idle });
        state.started = number;
        state.idle += 1;
        Ok(())
    }

    /// Waits for the agents until the deadline, then for the workers whose agents returned. The
    /// others are left behind, and leave when their agents return. Answers with how many those are, and those that
    /// were left behind before.
    pub(super) fn join(&self, deadline: Duration) -> usize {
        let mut state = self.state.lock();
        loop {
            let jumps = state.timer.jumps;
            // The clock is the user's code: it runs unlocked, and before the look at the workers.
            let left = MutexGuard::unlocked(&mut state, || deadline.saturating_sub(self.shared.clock.monotonic()));
            if left.is_zero() || state.busy().next().is_none() {
                break;
            }
            if jumps == state.timer.jumps {
                self.quiet.wait_for(&mut state, left);
            }
        }
        let timer = state.timer.thread.take();
        let idle = state.workers.values_mut().filter(|worker| worker.phase == Phase::Idle);
        let threads: Vec<_> = idle.filter_map(|worker| worker.thread.take()).chain(timer).collect();
        let left_behind = state.not_returned();
        drop(state);
        for thread in threads {
            // Its panic, if any, was reported by the panic hook, and its slot is free.
            let _ = thread.join();
        }
        left_behind
    }
}

/// The life of a worker.
fn work(pool: Arc<Pool>, number: WorkerNumber) {
    let mut slot = Slot { pool, number, in_hand: None };
    while let Some(task) = slot.next() {
        match task {
            Task::Run(job) => {
                slot.in_hand = Some(Live::of(&job));
                run::run(&slot.pool, number, *job);
            }
            Task::End(live) => run::end_lost(&slot.pool, &live),
        }
        slot.in_hand = None;
    }
}

/// A worker's place in the pool, given up when it leaves, also when it unwinds.
struct Slot {
    pool: Arc<Pool>,
    number: WorkerNumber,
    /// The turn that is lost where it unwinds.
    in_hand: Option<Live>,
}

impl Slot {
    /// Gives back the turn that was run, and sleeps until there is another one. None when the
    /// pool closes, or has no place for it any more.
    fn next(&self) -> Option<Task> {
        let mut state = self.pool.state.lock();
        self.release(&mut state);
        while !state.closing && state.workers.contains_key(&self.number) {
            let lost = state.lost.pop().map(Task::End);
            if let Some(task) = lost.or_else(|| state.schedule.take(self.number).map(Task::Run)) {
                state.idle -= 1;
                self.turn_to(&mut state, Phase::Busy);
                return Some(task);
            }
            self.pool.work.wait(&mut state);
        }
        None
    }

    /// What this worker was before.
    fn turn_to(&self, state: &mut State, phase: Phase) -> Option<Phase> {
        let worker = state.workers.get_mut(&self.number)?;
        Some(std::mem::replace(&mut worker.phase, phase))
    }

    /// The agent this worker ran, if any, has returned.
    fn release(&self, state: &mut State) {
        if self.turn_to(state, Phase::Idle) == Some(Phase::Busy) {
            state.idle += 1;
            state.schedule.done(self.number);
        }
        if state.closing {
            self.pool.quiet.notify_all();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        self.release(&mut state);
        state.take_lost(self.in_hand.take());
        if state.workers.remove(&self.number).is_some() {
            state.idle -= 1;
        } else {
            // It was left behind, and another has its place. One more may be left behind now.
            state.abandoned -= 1;
            state.retired += 1;
            self.pool.hurry(&mut state);
        }
        // A worker that leaves before the close was unwound; what it was to run next needs a thread.
        self.pool.ensure_enough(&mut state);
        drop(state);
        self.pool.work.notify_one();
    }
}
