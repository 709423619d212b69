//! The worker threads: started on demand, each running one turn after the other.

use std::collections::HashSet;

use super::run;
use super::schedule::{Job, Schedule};
use crate::error::{Error, ErrorKind, Result};
use crate::shared::Shared;
use crate::store::SessionRef;
use crate::sync::{Arc, Condvar, HashMap, JoinHandle, Mutex, MutexGuard, ThreadBuilder};
use crate::time::Duration;

/// The workers and all they share.
pub(super) struct Pool {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Mutex<State>,
    /// There is a turn to start, or the pool closes.
    pub(super) work: Condvar,
    /// The pool closes, and an agent returned or a turn was taken in.
    pub(super) quiet: Condvar,
    /// The store has answered somebody for whom others wait, or the pool closes.
    pub(super) answered: Condvar,
    most: usize,
}

/// What the executor's one mutex guards.
#[derive(Default)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    /// Turns that the store is being asked to accept, and writes without one.
    pub(super) admitted: usize,
    /// How many of them are of which session, where its being deleted must wait for them.
    pub(super) entering: HashMap<SessionRef, usize>,
    /// The sessions that the store is being asked to delete.
    pub(super) deleting: HashSet<SessionRef>,
    /// No more turns are taken, and idle workers leave.
    pub(super) closing: bool,
    workers: HashMap<usize, Worker>,
    /// How many workers wait for a turn, the ones that are just starting included.
    idle: usize,
    started: usize,
}

/// A worker that has not left.
struct Worker {
    /// Taken by the one who joins it.
    thread: Option<JoinHandle<()>>,
    /// The session whose turn it runs.
    session: Option<SessionRef>,
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>, most: usize) -> Self {
        let [work, quiet, answered] = [(); 3].map(|()| Condvar::new());
        Pool { shared, state: Mutex::default(), work, quiet, answered, most }
    }

    /// Takes in an accepted turn, and wakes or starts a worker for it.
    pub(super) fn accept(self: &Arc<Self>, job: Box<Job>) {
        let mut state = self.state.lock();
        state.schedule.accept(job);
        self.ensure_enough(&mut state);
        drop(state);
        self.work.notify_one();
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
    fn ensure_enough(self: &Arc<Self>, state: &mut State) {
        if state.schedule.ready() > state.idle && state.workers.len() < self.most && !state.closing {
            // Where no thread can be had, the turn waits for one of those that are there.
            let _ = self.start(state);
        }
    }

    fn start(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let number = state.started + 1;
        let pool = Arc::clone(self);
        let thread = ThreadBuilder::new().name(format!("parlor-worker-{number}")).spawn(move || work(pool, number))?;
        // The new thread waits for the lock that is held here, so it finds its entry.
        state.workers.insert(number, Worker { thread: Some(thread), session: None });
        state.started = number;
        state.idle += 1;
        Ok(())
    }

    /// Waits for the agents until the deadline, then for the workers whose agents returned. The
    /// others are left behind, and leave when their agents return.
    pub(super) fn join(&self, deadline: Duration) {
        let mut state = self.state.lock();
        loop {
            // The clock is the user's code: it runs unlocked, and before the look at the workers.
            let left = MutexGuard::unlocked(&mut state, || deadline.saturating_sub(self.shared.clock.monotonic()));
            if left.is_zero() || state.workers.values().all(|worker| worker.session.is_none()) {
                break;
            }
            self.quiet.wait_for(&mut state, left);
        }
        let idle = state.workers.values_mut().filter(|worker| worker.session.is_none());
        let threads: Vec<_> = idle.filter_map(|worker| worker.thread.take()).collect();
        drop(state);
        for thread in threads {
            // Its panic, if any, was reported by the panic hook, and its slot is free.
            let _ = thread.join();
        }
    }
}

/// The life of a worker.
fn work(pool: Arc<Pool>, number: usize) {
    let slot = Slot { pool, number };
    while let Some(job) = slot.next() {
        run::run(&slot.pool, *job);
    }
}

/// A worker's place in the pool, given up when it leaves, also when it unwinds.
struct Slot {
    pool: Arc<Pool>,
    number: usize,
}

impl Slot {
    /// Gives back the turn that was run, and sleeps until there is another one. None when the
    /// pool closes.
    fn next(&self) -> Option<Box<Job>> {
        let mut state = self.pool.state.lock();
        self.release(&mut state);
        while !state.closing {
            if let Some(job) = state.schedule.take() {
                state.idle -= 1;
                if let Some(worker) = state.workers.get_mut(&self.number) {
                    worker.session = Some(job.at);
                }
                return Some(job);
            }
            self.pool.work.wait(&mut state);
        }
        None
    }

    /// The agent this worker ran, if any, has returned.
    fn release(&self, state: &mut State) {
        let Some(session) = state.workers.get_mut(&self.number).and_then(|worker| worker.session.take()) else {
            return;
        };
        state.idle += 1;
        state.schedule.done(session);
        if state.closing {
            self.pool.quiet.notify_all();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        self.release(&mut state);
        state.workers.remove(&self.number);
        state.idle -= 1;
        // A worker that leaves before the close was unwound; what it was to run next needs a thread.
        self.pool.ensure_enough(&mut state);
    }
}
