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
use crate::id::AgentId;
use crate::shared::{Phase, Shared};
use crate::store::{SessionRef, Submitted};
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

    /// Asks for one turn to be taken in, before the store is asked to accept it: a turn that was
    /// accepted can then neither miss its thread nor slip through a close.
    pub(crate) fn admit(&self) -> Result<Admission<'_>> {
        self.enter(|state| self.pool.ensure_one(state))
    }

    /// Asks for a write without a turn. A close waits for it, so that whoever follows or watches
    /// hears of it before the end.
    pub(crate) fn admit_write(&self) -> Result<Admission<'_>> {
        self.enter(|_| Ok(()))
    }

    fn enter(&self, prepare: impl FnOnce(&mut State) -> Result<()>) -> Result<Admission<'_>> {
        let mut state = self.pool.state.lock();
        if state.closing {
            return Err(Error::closed());
        }
        prepare(&mut state)?;
        state.admitted += 1;
        Ok(Admission { pool: &self.pool })
    }

    /// Takes no more turns, tells all agents to stop, ends all turns, and waits for the agents up
    /// to `grace`. Those that do not return are left to themselves.
    pub(crate) fn close(&self, grace: Duration) -> Result<()> {
        let pool = &self.pool;
        let deadline = pool.shared.clock.monotonic().saturating_add(grace);
        let live = {
            let mut state = pool.state.lock();
            state.closing = true;
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
        self.pool.shared.advance(Phase::Closed);
        self.pool.shared.bell.ring_all();
    }
}

/// The place of a turn that the store is being asked to accept, or of a write without one.
pub(crate) struct Admission<'a> {
    pool: &'a Arc<Pool>,
}

impl Admission<'_> {
    /// Takes in what the store answered: starts the turn, unless it is the original of an earlier
    /// operation.
    pub(crate) fn start(self, at: SessionRef, agent_id: AgentId, submitted: Submitted, agent: Option<&Arc<dyn Agent>>) {
        if let Some(turn) = submitted.interrupted {
            self.pool.shared.acquit(turn);
        }
        // The store accepts a turn only where its agent's behaviour is registered.
        let (Submitted { message, turn, claim: Some(claim), .. }, Some(agent)) = (submitted, agent) else { return };
        let agent = Arc::clone(agent);
        let token = Arc::<Token>::default();
        self.pool.accept(Box::new(Job { at, agent_id, claim, turn, input: message, agent, token }));
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.admitted -= 1;
        if state.closing && state.admitted == 0 {
            self.pool.quiet.notify_all();
        }
    }
}
