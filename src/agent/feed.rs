//! How an agent sends to its own session.

use super::{Agent, TurnContext};
use crate::error::Result;
use crate::record::NewTurn;
use crate::sync::Arc;
use crate::wait::TurnHandle;

/// Who takes in the turns that agents send: what runs them.
pub(crate) trait TakesTurns: Send + Sync {
    /// Takes in one that the agent of this turn sends to its own session.
    fn send(self: Arc<Self>, own: &TurnContext, new: NewTurn) -> Result<TurnHandle>;
}

/// Where the turns go that an agent sends to its own session, and what runs them.
pub(crate) struct Feed {
    agent: Arc<dyn Agent>,
    taken_in_by: Arc<dyn TakesTurns>,
}

impl Feed {
    pub(crate) fn new(agent: Arc<dyn Agent>, taken_in_by: Arc<dyn TakesTurns>) -> Self {
        Feed { agent, taken_in_by }
    }

    pub(crate) fn agent(&self) -> &Arc<dyn Agent> {
        &self.agent
    }

    pub(super) fn send(&self, own: &TurnContext, new: NewTurn) -> Result<TurnHandle> {
        Arc::clone(&self.taken_in_by).send(own, new)
    }
}
