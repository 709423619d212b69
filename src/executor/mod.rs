//! The executor: the threads that run agents, and the only user code on them.
//!
//! It decides nothing about turns. The store did, in the transaction that accepted each: here a
//! turn comes in with its claim, waits until the old agent of its session has returned, is run,
//! and is ended under its claim, which the store refuses once something else ended it.
//!
//! Every decision is made under one mutex; the condition variables only wake.

mod admission;
mod control;
mod hook;
mod load;
mod run;
mod schedule;
mod stats;
mod submit;
mod timer;
mod worker;

pub(crate) use admission::{Admission, AgentDeletion, Deletion};
pub(crate) use control::Whose;
pub use hook::{Hook, TurnEnd};
pub(crate) use load::Load;
pub use stats::Stats;
pub(crate) use submit::Submission;
pub(crate) use worker::Options;

use crate::agent::{Agent, Cause};
use crate::error::Result;
use crate::id::WorkspaceId;
use crate::shared::{Phase, Shared};
use crate::store::{SessionRef, Started};
use crate::sync::{Arc, HashMap};
use crate::time::Duration;
use admission::Gate;
use run::Closed;
use schedule::{Job, Live};
use worker::Pool;

#[cfg(panic = "abort")]
compile_error!(
    "parlor ends the turn of an agent that panics as failed, for which it must catch the panic: \
     set `panic = \"unwind\"` in this profile"
);

/// The code of the agents, by their names.
pub(crate) type Behaviours = HashMap<String, Arc<dyn Agent>>;

/// The executor of an engine.
pub(crate) struct Executor {
    pool: Arc<Pool>,
}

impl Executor {
    /// An executor of which no thread runs yet.
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: Options,
        hook: Option<Arc<dyn Hook>>,
        behaviours: Arc<Behaviours>,
    ) -> Self {
        let pool = Arc::new(Pool::new(shared, options, hook, behaviours));
        pool.heed_clock();
        Executor { pool }
    }

    /// Asks for a session to be made.
    pub(crate) fn admit_creation(&self, at: SessionRef) -> Result<Admission<'_>> {
        self.enter(Some(at))
    }

    /// Asks for a write without a turn. A close waits for it, so that whoever follows or watches
    /// hears of it before the end.
    pub(crate) fn admit_write(&self) -> Result<Admission<'_>> {
        self.enter(None)
    }

    /// Asks for a session to be deleted. Until that is [done](Deletion::done), no turn of it is taken in and none of
    /// its id is made: what is known of one session and of another made in its place is never mixed up.
    pub(crate) fn admit_deletion(&self, at: SessionRef) -> Result<Deletion<'_>> {
        let (admission, ()) = self.pool.enter(Some(at), |state| {
            state.deleting.insert(at);
            (Load::default(), ())
        })?;
        let gate = Gate::new(&self.pool, at);
        let mut state = self.pool.state.lock();
        // Its own entry is one of them. None is added any more, and the store answers those that are there.
        while state.entering.get(&at).is_some_and(|entering| *entering > 1) {
            self.pool.answered.wait(&mut state);
        }
        drop(state);
        Ok(Deletion::new(gate, admission))
    }

    /// Asks for an agent of the workspace, and all that it holds, to be deleted: as
    /// [`admit_deletion`](Self::admit_deletion) for all sessions there.
    pub(crate) fn admit_agent_deletion(&self, workspace: WorkspaceId) -> Result<AgentDeletion<'_>> {
        self.pool.admit_agent_deletion(workspace)
    }

    /// Runs a turn that the store started while the engine was opened.
    pub(crate) fn resume(&self, started: Started, agent: &Arc<dyn Agent>) {
        self.pool.accept(Job::of(started, Arc::clone(agent)));
    }

    fn enter(&self, at: Option<SessionRef>) -> Result<Admission<'_>> {
        self.pool.enter(at, |_| (Load::default(), ())).map(|(admission, ())| admission)
    }

    /// How it stands.
    pub(crate) fn stats(&self) -> Stats {
        let shared = &self.pool.shared;
        let (waiters, watches) = shared.bell.counts();
        let (followers, streaming) = (shared.tails.count(), shared.texts.count());
        // What a broken storage cannot tell keeps nobody from the rest.
        let queued = shared.open().and_then(|store| store.waiting()).ok();
        let untold_ends = self.pool.announcer.as_ref().map_or(0, |announcer| announcer.waiting());
        let pool = self.pool.state.lock().stats();
        Stats { waiters, watches, followers, streaming, queued, untold_ends, ..pool }
    }

    /// Takes no more turns, tells all agents to stop, ends all turns, and waits for the agents up
    /// to `grace`. Those that do not return are left to themselves.
    pub(crate) fn close(&self, grace: Duration) -> Result<Report> {
        let pool = &self.pool;
        let deadline = pool.shared.clock.monotonic().saturating_add(grace);
        let live = {
            let mut state = pool.state.lock();
            state.closing = true;
            pool.answered.notify_all();
            while state.admitted > 0 {
                pool.quiet.wait(&mut state);
            }
            state.cancel()
        };
        self.wake(&live);
        let mut report = Report::default();
        let mut closed = Ok(());
        for turn in &live {
            match run::close(pool, turn) {
                Ok(Closed::Here) => report.interrupted += 1,
                // One that another turn interrupted had ended before, though its agent runs.
                Ok(Closed::Elsewhere) => report.ended += usize::from(turn.token.cause() != Some(Cause::Over)),
                Err(error) => closed = closed.and(Err(error)),
            }
        }
        pool.shared.advance(Phase::Closed);
        pool.shared.bell.ring_all();
        report.abandoned = pool.join(deadline);
        if let Some(announcer) = &pool.announcer {
            announcer.close(&pool.shared, deadline);
        }
        closed.map(|()| report)
    }

    /// Takes no more turns and tells all agents to stop, without waiting for anything.
    ///
    /// An agent that returns still ends its turn; a turn that did not start, and one whose
    /// process ends first, is ended by the next open.
    pub(crate) fn abandon(&self) {
        let given_up = {
            let mut state = self.pool.state.lock();
            state.closing = true;
            state.cancel()
        };
        self.wake(&given_up);
        if let Some(announcer) = &self.pool.announcer {
            announcer.leave();
        }
        self.pool.answered.notify_all();
        self.pool.shared.advance(Phase::Closed);
        self.pool.shared.bell.ring_all();
    }

    /// Wakes the threads of a pool that closes, and who waits for these agents to be told.
    fn wake(&self, told: &[Live]) {
        self.pool.work.notify_all();
        self.pool.due.notify_all();
        told.iter().for_each(|live| live.token.wake());
    }
}

/// What a close had to do, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Turns that ended by themselves meanwhile.
    pub(crate) ended: usize,
    /// Turns that it ended.
    pub(crate) interrupted: usize,
    /// Agents that have not returned.
    pub(crate) abandoned: usize,
}
