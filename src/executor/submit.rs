//! Turns that are sent: by a caller, or by an agent to its own session.

use super::Executor;
use super::worker::Pool;
use crate::agent::{Agent, TakesTurns, TurnContext};
use crate::bell::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::here;
use crate::id::AgentId;
use crate::record::NewTurn;
use crate::store::{Behaviour, Claim, CreateSession, Created, Policy, Runner, SessionRef, Submit};
use crate::sync::Arc;
use crate::wait::TurnHandle;

/// Where a turn is sent.
pub(crate) struct Submission<'a> {
    pub(crate) at: SessionRef,
    pub(crate) agent_id: AgentId,
    /// What runs it; none where that is not registered.
    pub(crate) agent: Option<&'a Arc<dyn Agent>>,
    pub(crate) policy: Policy,
}

impl Executor {
    /// Has the store accept a turn, and takes it in. What an agent sends to its own session on its thread is its turn's, and
    /// waits for it where it would be rejected.
    pub(crate) fn submit(&self, to: Submission<'_>, new: NewTurn) -> Result<TurnHandle> {
        let sender = here::sender(to.at);
        let policy = match to.policy {
            Policy::Reject if sender.is_some() => Policy::Enqueue,
            policy => policy,
        };
        self.pool.submit(Submission { policy, ..to }, sender, new)
    }

    /// Has the store make a session with a first turn, and takes that in. `at` is where the session will be, as far as that
    /// is known.
    pub(crate) fn start_session(
        &self,
        at: SessionRef,
        mut op: CreateSession,
        agent: Option<&Arc<dyn Agent>>,
    ) -> Result<(Created, TurnHandle)> {
        let (pool, agent_id) = (&self.pool, op.agent);
        let (admission, room) = pool.admit(at, op.first.as_ref().map_or(0, |(turn, _)| turn.size()))?;
        if let Some((_, runner)) = &mut op.first {
            *runner = pool.runner(agent, &room);
        }
        let mut created = pool.shared.open()?.create_session(op).map_err(|error| refused(error, room))?;
        let first = created.first.take();
        let first = first.ok_or_else(|| Error::corrupt(format!("session {} has no first turn", created.session.id)))?;
        let at = SessionRef { session: created.session.id, ..at };
        let handle = TurnHandle::new(Arc::clone(&pool.shared), self.ends_turns(), at, &first.turn);
        admission.start(at, agent_id, first, agent);
        Ok((created, handle))
    }
}

impl Pool {
    fn submit(self: &Arc<Self>, to: Submission<'_>, sender: Option<Claim>, new: NewTurn) -> Result<TurnHandle> {
        let (shared, Submission { at, agent_id, agent, policy }) = (&self.shared, to);
        let store = shared.open()?;
        new.check()?;
        let (admission, room) = self.admit(at, new.size())?;
        let (stamp, runner, queue) = (shared.stamp(), self.runner(agent, &room), self.options.session_queue);
        let op = Submit { stamp, at, new, policy, runner, sender, queue };
        let submitted = store.submit(op).map_err(|error| refused(error, room))?;
        let handle = TurnHandle::new(Arc::clone(shared), Arc::<Self>::clone(self), at, &submitted.turn);
        // The original of an earlier call is no news.
        let event = if submitted.interrupted.is_some() { Event::Ended } else { Event::Written };
        let event = (!submitted.replayed).then_some(event);
        // The old agent is told to stop before anybody else learns of it.
        admission.start(at, agent_id, submitted, agent);
        if let Some(event) = event {
            shared.bell.ring(at, agent_id, event);
        }
        Ok(handle)
    }

    /// Who runs the turns of an agent, where there is this room for one.
    fn runner(&self, agent: Option<&Arc<dyn Agent>>, room: &Result<()>) -> Runner {
        self.shared.runner(match (agent, room) {
            (None, _) => Behaviour::Missing,
            (Some(_), Err(_)) => Behaviour::Overloaded,
            (Some(_), Ok(())) => Behaviour::Registered,
        })
    }
}

impl TakesTurns for Pool {
    fn send(self: Arc<Self>, own: &TurnContext, new: NewTurn) -> Result<TurnHandle> {
        let agent = Some(own.feed.agent());
        let to = Submission { at: own.at, agent_id: own.agent, agent, policy: Policy::Enqueue };
        self.submit(to, Some(own.claim), new)
    }
}

/// What the caller is told: where there was no room, the store only knows that there was none.
fn refused(error: Error, room: Result<()>) -> Error {
    match room {
        Err(why) if error.kind() == ErrorKind::Overloaded => why,
        _ => error,
    }
}
