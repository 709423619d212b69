//! The executor: the threads that run agents, and the only user code on them.
//!
//! It decides nothing about turns. The store did, in the transaction that accepted each: here a
//! turn comes in with its claim, waits until the old agent of its session has returned, is run,
//! and is ended under its claim, which the store refuses once something else ended it.
//!
//! Every decision is made under one mutex; the condition variables only wake.

mod run;
mod schedule;
mod worker;

pub(crate) use schedule::Job;

use crate::agent::{Agent, Token};
use crate::error::{Error, Result};
use crate::id::{AgentId, TurnId};
use crate::shared::{Phase, Shared};
use crate::store::{SessionRef, Started, Submitted};
use crate::sync::Arc;
use crate::time::Duration;
use worker::{Pool, State};

#[cfg(panic = "abort")]
compile_error!(
    "parlor ends the turn of an agent that panics as failed, for which it must catch the panic: \
     set `panic = \"unwind\"` in this profile"
);

/// The executor of an engine.
pub(crate) struct Executor {
    pool: Arc<Pool>,
}

impl Executor {
    /// An executor of at most this many worker threads, none of which runs yet.
    pub(crate) fn new(shared: Arc<Shared>, workers: usize) -> Self {
        Executor { pool: Arc::new(Pool::new(shared, workers)) }
    }

    /// Asks for one turn of a session to be taken in, before the store is asked to accept it: a turn that was
    /// accepted can then neither miss its thread nor slip through a close.
    pub(crate) fn admit(&self, at: SessionRef) -> Result<Admission<'_>> {
        self.enter(Some(at), |state| self.pool.ensure_one(state))
    }

    /// Asks for a session to be made.
    pub(crate) fn admit_creation(&self, at: SessionRef) -> Result<Admission<'_>> {
        self.enter(Some(at), |_| Ok(()))
    }

    /// Asks for turns of a session to be ended by a caller, and for what starts in their place to be taken in.
    pub(crate) fn admit_end(&self, at: SessionRef) -> Result<Admission<'_>> {
        self.enter(Some(at), |_| Ok(()))
    }

    /// Asks for a write without a turn. A close waits for it, so that whoever follows or watches
    /// hears of it before the end.
    pub(crate) fn admit_write(&self) -> Result<Admission<'_>> {
        self.enter(None, |_| Ok(()))
    }

    /// Asks for a session to be deleted. Until that is [done](Deletion::done), no turn of it is taken in and none of
    /// its id is made: what is known of one session and of another made in its place is never mixed up.
    pub(crate) fn admit_deletion(&self, at: SessionRef) -> Result<Deletion<'_>> {
        let admission = self.enter(Some(at), |state| {
            state.deleting.insert(at);
            Ok(())
        })?;
        let gate = Gate { pool: &self.pool, at };
        let mut state = self.pool.state.lock();
        // Its own entry is one of them. None is added any more, and the store answers those that are there.
        while state.entering.get(&at).is_some_and(|entering| *entering > 1) {
            self.pool.answered.wait(&mut state);
        }
        drop(state);
        Ok(Deletion { gate, admission })
    }

    /// Runs turns that the store started while the engine was opened.
    pub(crate) fn resume(&self, started: Started, agent: &Arc<dyn Agent>) {
        self.pool.accept(Job::of(started, Arc::clone(agent)));
    }

    fn enter(&self, at: Option<SessionRef>, prepare: impl FnOnce(&mut State) -> Result<()>) -> Result<Admission<'_>> {
        let mut state = self.pool.state.lock();
        while !state.closing && at.is_some_and(|at| state.deleting.contains(&at)) {
            self.pool.answered.wait(&mut state);
        }
        if state.closing {
            return Err(Error::closed());
        }
        prepare(&mut state)?;
        state.admitted += 1;
        if let Some(at) = at {
            *state.entering.entry(at).or_default() += 1;
        }
        Ok(Admission { pool: &self.pool, at })
    }

    /// Takes no more turns, tells all agents to stop, ends all turns, and waits for the agents up
    /// to `grace`. Those that do not return are left to themselves.
    pub(crate) fn close(&self, grace: Duration) -> Result<()> {
        let pool = &self.pool;
        let deadline = pool.shared.clock.monotonic().saturating_add(grace);
        let live = {
            let mut state = pool.state.lock();
            state.closing = true;
            pool.answered.notify_all();
            while state.admitted > 0 {
                pool.quiet.wait(&mut state);
            }
            state.schedule.cancel()
        };
        pool.work.notify_all();
        let mut closed = Ok(());
        for turn in &live {
            closed = closed.and(run::close(&pool.shared, turn));
        }
        pool.shared.advance(Phase::Closed);
        pool.shared.bell.ring_all();
        pool.join(deadline);
        closed
    }

    /// Takes no more turns and tells all agents to stop, without waiting for anything.
    ///
    /// An agent that returns still ends its turn; a turn that did not start, and one whose
    /// process ends first, is ended by the next open.
    pub(crate) fn abandon(&self) {
        let given_up = {
            let mut state = self.pool.state.lock();
            state.closing = true;
            state.schedule.cancel()
        };
        drop(given_up);
        self.pool.work.notify_all();
        self.pool.answered.notify_all();
        self.pool.shared.advance(Phase::Closed);
        self.pool.shared.bell.ring_all();
    }
}

/// The place of a turn that the store is being asked to accept, or of a write without one.
pub(crate) struct Admission<'a> {
    pool: &'a Arc<Pool>,
    /// The session, where its being deleted must wait for this.
    at: Option<SessionRef>,
}

impl Admission<'_> {
    /// Takes in what the store answered: starts the turn, unless it is the original of an earlier
    /// operation.
    pub(crate) fn start(self, at: SessionRef, agent_id: AgentId, submitted: Submitted, agent: Option<&Arc<dyn Agent>>) {
        if let Some(turn) = submitted.interrupted {
            self.pool.shared.acquit(turn);
        }
        // The store accepts a turn only where its agent's behaviour is registered.
        let Some(agent) = agent else { return };
        let Submitted { message, turn, claim, promoted, .. } = submitted;
        if let Some(started) = promoted {
            self.pool.accept(Job::of(*started, Arc::clone(agent)));
        }
        let Some(claim) = claim else { return };
        let token = Arc::<Token>::default();
        self.pool.accept(Box::new(Job { at, agent_id, claim, turn, input: message, agent: Arc::clone(agent), token }));
    }

    /// Takes in that a turn was ended by a caller, and what started in its place.
    pub(crate) fn ended(
        self,
        at: SessionRef,
        turn: TurnId,
        next: Option<Box<Started>>,
        agent: Option<&Arc<dyn Agent>>,
    ) {
        self.pool.shared.acquit(turn);
        self.pool.state.lock().schedule.end(at, turn);
        if let (Some(started), Some(agent)) = (next, agent) {
            self.pool.accept(Job::of(*started, Arc::clone(agent)));
        }
    }

    /// The place of a turn that may start when the one in hand ends; none where the executor takes no more.
    fn of_next(pool: &Arc<Pool>) -> Option<Admission<'_>> {
        let mut state = pool.state.lock();
        if state.closing {
            return None;
        }
        state.admitted += 1;
        drop(state);
        Some(Admission { pool, at: None })
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        self.answered(&mut state);
        state.admitted -= 1;
        if state.closing && state.admitted == 0 {
            self.pool.quiet.notify_all();
        }
    }
}

impl Admission<'_> {
    /// The session's being deleted need not wait for this any more.
    fn answered(&mut self, state: &mut State) {
        let Some(at) = self.at.take() else { return };
        if let Some(entering) = state.entering.get_mut(&at) {
            *entering -= 1;
            if *entering == 0 {
                state.entering.remove(&at);
            }
        }
        if state.deleting.contains(&at) {
            self.pool.answered.notify_all();
        }
    }
}

/// The place of a session's deletion that the store is being asked for.
pub(crate) struct Deletion<'a> {
    gate: Gate<'a>,
    admission: Admission<'a>,
}

impl<'a> Deletion<'a> {
    /// The session is no more: what is known of it is forgotten, and one may be made in its place. A close
    /// still waits for what is returned.
    pub(crate) fn done(self) -> Admission<'a> {
        let Deletion { gate, mut admission } = self;
        let mut state = gate.pool.state.lock();
        state.schedule.forget(gate.at);
        admission.answered(&mut state);
        drop(state);
        admission
    }
}

/// Keeps turns of a session, and one made in its place, from being taken in until it is dropped.
struct Gate<'a> {
    pool: &'a Arc<Pool>,
    at: SessionRef,
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.pool.state.lock().deleting.remove(&self.at);
        self.pool.answered.notify_all();
    }
}
