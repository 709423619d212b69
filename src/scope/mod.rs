//! The scopes: workspace, agent, session, thread. Cheap handles, one store operation a method. Each stands on a [`Door`], the
//! one way to the store, and hands its own on to what is made from it.

mod access;
mod agent;
mod archive;
mod control;
mod door;
mod fork;
mod keys;
mod lines;
mod listing;
mod outbox;
mod session;
mod workspace;

pub use access::Access;
pub use agent::AgentHandle;
pub use archive::Archive;
pub(crate) use door::Door;
pub use listing::{Listing, MessageIter, PageQuery};
pub use session::{Session, Thread};
pub use workspace::Workspace;

use crate::agent::Agent;
use crate::error::{Error, ErrorKind};
use crate::executor::{Behaviours, Executor};
use crate::lines::Lines;
use crate::shared::Shared;
use crate::store::{Behaviour, Runner};
use crate::sync::Arc;

/// What all scopes of an engine stand on.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) executor: Executor,
    pub(crate) behaviours: Arc<Behaviours>,
    /// The store as lines, where it is one of ours.
    pub(crate) lines: Option<Arc<dyn Lines>>,
}

impl Core {
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
