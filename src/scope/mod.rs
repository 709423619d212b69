//! The scopes: workspace, agent, session, thread. Cheap handles, one store operation a method.

mod agent;
mod archive;
mod control;
mod fork;
mod listing;
mod outbox;
mod session;
mod workspace;

pub use agent::AgentHandle;
pub use archive::Archive;
pub use listing::{Listing, MessageIter, PageQuery};
pub use session::{Session, Thread};
pub use workspace::Workspace;

use crate::agent::Agent;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::{Admission, Behaviours, Executor};
use crate::shared::Shared;
use crate::store::{Behaviour, Runner, SessionRef, Store};
use crate::sync::Arc;

/// What all scopes of an engine stand on.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) executor: Executor,
    pub(crate) behaviours: Arc<Behaviours>,
}

impl Core {
    /// The store, while the engine is open.
    pub(crate) fn store(&self) -> Result<&dyn Store> {
        self.shared.open()
    }

    /// The store for a write without a turn, which a close waits for: to be held until it has rung.
    fn writing(&self) -> Result<(&dyn Store, Admission<'_>)> {
        Ok((self.store()?, self.executor.admit_write()?))
    }

    /// The store for a session to be made, held as [`writing`](Self::writing) is.
    fn making(&self, at: SessionRef) -> Result<(&dyn Store, Admission<'_>)> {
        Ok((self.store()?, self.executor.admit_creation(at)?))
    }

    /// The behaviour registered under an agent's name.
    fn behaviour(&self, name: &str) -> Option<&Arc<dyn Agent>> {
        self.behaviours.get(name)
    }

    /// A store's *no behaviour*, with the name that none is registered under.
    fn explained(error: Error, name: &str) -> Error {
        match error.kind() {
            ErrorKind::NoBehaviour => {
                Error::new(ErrorKind::NoBehaviour, format!("no behaviour is registered for agent {name:?}"))
            }
            _ => error,
        }
    }

    /// Who runs the turns of an agent of this name.
    fn runner(&self, name: &str) -> Runner {
        let known = self.behaviours.contains_key(name);
        self.shared.runner(if known { Behaviour::Registered } else { Behaviour::Missing })
    }
}
