//! What a handle stands on: the engine, and what it carries.

use std::ops::{ControlFlow, Deref};

use super::Core;
use crate::error::{ErrorKind, Result};
use crate::executor::Admission;
use crate::grant::{Act, Pass};
use crate::progress::OnProgress;
use crate::shared::Shared;
use crate::store::{SessionRef, Store};
use crate::sync::Arc;

/// The one way of a handle to the store: whoever asks says for what, and is refused where what the handle carries does not
/// allow that.
#[derive(Clone)]
pub(crate) struct Door {
    core: Arc<Core>,
    pass: Pass,
}

impl Door {
    /// Of trusted code.
    pub(crate) fn trusted(core: &Arc<Core>) -> Self {
        Door { core: Arc::clone(core), pass: Pass::TRUSTED }
    }

    /// Of who carries this.
    pub(crate) fn held_by(core: &Arc<Core>, pass: Pass) -> Self {
        Door { core: Arc::clone(core), pass }
    }

    /// The same for a handle of this session.
    pub(super) fn of_session(&self, at: SessionRef) -> Self {
        Door { core: Arc::clone(&self.core), pass: self.pass.of_session(at) }
    }

    /// For the parts of an operation that is checked as a whole.
    pub(super) fn unchecked(&self) -> Self {
        Self::trusted(&self.core)
    }

    /// Refuses what is not allowed now; *closed* comes first.
    pub(super) fn check(&self, act: Act) -> Result<()> {
        self.store(act).map(drop)
    }

    /// Refuses what is not allowed any more of what was read before; it may be told after the engine closed.
    pub(super) fn recheck(&self, act: Act) -> Result<()> {
        self.core.shared.check(&self.pass, act)
    }

    /// The store, while the engine is open, for what is allowed now.
    pub(super) fn store(&self, act: Act) -> Result<&dyn Store> {
        let store = self.core.shared.open()?;
        self.core.shared.check(&self.pass, act)?;
        Ok(store)
    }

    /// The store for a write without a turn, which a close waits for: to be held until it has rung.
    pub(super) fn writing(&self, act: Act) -> Result<(&dyn Store, Admission<'_>)> {
        Ok((self.store(act)?, self.core.executor.admit_write()?))
    }

    /// The store for a session to be made, held as [`writing`](Self::writing) is.
    pub(super) fn making(&self, act: Act, at: SessionRef) -> Result<(&dyn Store, Admission<'_>)> {
        Ok((self.store(act)?, self.core.executor.admit_creation(at)?))
    }

    /// An operation of many steps, which a close need not wait for: before each of them it must still be allowed.
    pub(super) fn long<T>(
        &self,
        act: Act,
        on: &mut OnProgress<'_>,
        run: impl FnOnce(&mut OnProgress<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut refused = None;
        let answer = self.core.long(on, |on| {
            run(&mut |progress| match self.recheck(act) {
                Ok(()) => on(progress),
                Err(error) => {
                    refused = Some(error);
                    ControlFlow::Break(())
                }
            })
        });
        match (answer, refused) {
            (Err(error), Some(refused)) if error.kind() == ErrorKind::Cancelled => Err(refused),
            (answer, _) => answer,
        }
    }

    /// What handles that are made from this one carry, too.
    pub(super) fn pass(&self) -> &Pass {
        &self.pass
    }

    /// What all parts of the engine share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.core.shared
    }
}

/// All of the engine but its store.
impl Deref for Door {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}
