//! Turns that a caller ends before their agents do.

use super::Executor;
use super::schedule::Job;
use super::worker::Pool;
use crate::bell::Event;
use crate::error::Result;
use crate::id::{AgentId, TurnId};
use crate::record::{Reason, Turn, TurnState};
use crate::store::{Behaviour, Cancel, Finished, Interrupt, SessionRef, Stop, Stopped};
use crate::sync::Arc;
use crate::wait::EndsTurns;

/// Whose turns are ended: those of a session of the agent of this id and name.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) at: SessionRef,
    pub(crate) agent_id: AgentId,
    pub(crate) agent: &'a str,
}

impl Executor {
    /// Has the store end the running turn, and takes in what starts in its place.
    pub(crate) fn interrupt(&self, whose: Whose<'_>) -> Result<Option<Turn>> {
        self.pool.interrupt(whose, None)
    }

    /// Has the store end the running turn and all that wait.
    pub(crate) fn stop(&self, whose: Whose<'_>) -> Result<Stopped> {
        let (shared, Whose { at, agent_id, .. }) = (&self.pool.shared, whose);
        let store = shared.open()?;
        let admission = self.enter(Some(at))?;
        let stopped = store.stop(Stop { stamp: shared.stamp(), at, reason: Reason::Request })?;
        stopped.cancelled.iter().for_each(|turn| admission.cancelled(at, agent_id, turn.id));
        if let Some(turn) = &stopped.turn {
            admission.ended(at, agent_id, turn.id, None);
        }
        if stopped != Stopped::default() {
            shared.bell.ring(at, agent_id, Event::Ended);
        }
        Ok(stopped)
    }

    /// Has the store end a turn that waits.
    pub(crate) fn cancel(&self, whose: Whose<'_>, turn: TurnId) -> Result<Turn> {
        self.pool.cancel(whose, turn)
    }

    /// Who ends a turn for its handle.
    pub(crate) fn ends_turns(&self) -> Arc<dyn EndsTurns> {
        Arc::<Pool>::clone(&self.pool)
    }
}

impl Pool {
    /// Ends the running turn, unless another one is meant.
    fn interrupt(self: &Arc<Self>, whose: Whose<'_>, turn: Option<TurnId>) -> Result<Option<Turn>> {
        let (shared, Whose { at, agent_id, agent }) = (&self.shared, whose);
        let store = shared.open()?;
        let (admission, ()) = self.enter(Some(at), |_| Default::default())?;
        let agent = self.behaviours.get(agent);
        let behaviour = if agent.is_some() { Behaviour::Registered } else { Behaviour::Missing };
        let next = (!shared.is_paused()).then(|| shared.runner(behaviour));
        let op = Interrupt { stamp: shared.stamp(), at, turn, reason: Reason::Request, next };
        let Some(Finished { turn, next }) = store.interrupt(op)? else { return Ok(None) };
        let next = next.zip(agent).map(|(started, agent)| Job::of(*started, Arc::clone(agent)));
        // The agent is told to stop before anybody else learns of it.
        admission.ended(at, agent_id, turn.id, next);
        shared.bell.ring(at, agent_id, Event::Ended);
        Ok(Some(turn))
    }

    fn cancel(self: &Arc<Self>, whose: Whose<'_>, turn: TurnId) -> Result<Turn> {
        let (shared, Whose { at, agent_id, .. }) = (&self.shared, whose);
        let store = shared.open()?;
        let (admission, ()) = self.enter(None, |_| Default::default())?;
        let cancelled = store.cancel(Cancel { stamp: shared.stamp(), at, turn })?;
        admission.cancelled(at, agent_id, turn);
        shared.bell.ring(at, agent_id, Event::Ended);
        Ok(cancelled)
    }
}

impl EndsTurns for Pool {
    fn end(self: Arc<Self>, at: SessionRef, turn: TurnId) -> Result<Turn> {
        let store = self.shared.open()?;
        let session = store.session(at)?;
        let whose = Whose { at, agent_id: session.agent_id, agent: &session.agent_name };
        // Between the look and the operation it may go on to its next state, of which there are two.
        loop {
            let now = store.turn(at, turn)?;
            let ended = match now.state {
                TurnState::Queued => match self.cancel(whose, turn) {
                    Err(error) if error.is_conflict() => None,
                    answer => Some(answer?),
                },
                TurnState::Running => self.interrupt(whose, Some(turn))?,
                _ => Some(now),
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }
}
