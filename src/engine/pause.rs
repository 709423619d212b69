//! An engine over a backup: what waits in the file is neither run nor announced until somebody says so, because the file
//! that it was made from may do both.

use super::Engine;
use super::builder::promote;
use crate::delivery::{Courier, DeliveryOptions, Transport};
use crate::error::Result;
use crate::store::Runners;
use crate::sync::Arc;

/// What it takes to go on.
pub(super) struct Paused {
    pub(super) runners: Runners,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) delivery: DeliveryOptions,
}

impl Engine {
    /// Whether this engine is over a [backup](Self::backup) that was not [resumed](Self::resume).
    pub fn is_paused(&self) -> bool {
        self.paused.lock().is_some()
    }

    /// Runs the turns that wait in a [backup](Self::backup), and announces the ends that wait in it, from now on and
    /// whenever the file is opened again. Until then both stay as they are; everything else works, and what is sent to an
    /// idle session runs. Nothing happens where the engine is not paused.
    ///
    /// # Errors
    ///
    /// [`Storage`](crate::ErrorKind::Storage) when it cannot be written; then the engine may go on paused.
    pub fn resume(&self) -> Result<()> {
        let mut paused = self.paused.lock();
        let (Some(waiting), Some(file)) = (paused.as_ref(), &self.file) else { return Ok(()) };
        let (shared, executor) = (&self.core.shared, &self.core.executor);
        let _admission = executor.admit_write()?;
        file.resume()?;
        shared.unpause();
        for started in promote(shared, &waiting.runners)? {
            if let Some(agent) = self.core.behaviours.get(&started.agent_name) {
                executor.resume(started, agent);
            }
        }
        if let Some(transport) = &waiting.transport {
            let courier = Courier::start(Arc::clone(shared), Arc::clone(transport), waiting.delivery)?;
            self.delivery.lock().replace(courier);
        }
        *paused = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Delivery, NO_THREADS};
    use crate::error::ErrorKind;

    #[test]
    fn a_resumption_whose_courier_cannot_start_leaves_the_engine_paused() {
        let dir = tempfile::tempdir().expect("a directory");
        let copy = dir.path().join("b.parlor");
        let engine = Engine::builder(dir.path().join("a.parlor")).open().expect("an engine");
        engine.backup(&copy).and_then(|()| engine.close()).expect("a backup");
        let engine = Engine::builder(&copy).transport(|_: &Delivery| Ok(())).open().expect("an engine");
        NO_THREADS.set(true);
        assert_eq!(engine.resume().expect_err("there is no thread for it").kind(), ErrorKind::Storage);
        assert!(engine.is_paused(), "nobody delivers yet");
        NO_THREADS.set(false);
        engine.resume().expect("there is a thread by now");
        assert!(!engine.is_paused() && engine.delivery.lock().is_some());
        engine.close().expect("it closes");
    }
}
