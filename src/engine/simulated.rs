//! An engine on a simulated disk.

use super::{Builder, Engine};
use crate::error::Result;
use crate::redb::SimulatedDisk;
use crate::store::Store;
use crate::sync::Arc;

impl Builder {
    /// Opens an engine on a simulated disk. The path and the cache have no say then, and nothing locks the disk.
    ///
    /// ```
    /// use parlor::Engine;
    /// use parlor::testkit::{Loss, SimulatedDisk};
    ///
    /// let disk = SimulatedDisk::new();
    /// let engine = Engine::builder("a disk").open_on(&disk)?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// session.append(["hello"])?;
    ///
    /// let after = Engine::builder("a disk").open_on(&disk.after_power_loss(Loss::of_seed(1)))?;
    /// assert_eq!(after.workspace("acme")?.session(session.id())?.history(1)?[0].text(), "hello");
    /// # Ok::<(), parlor::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_on(self, disk: &SimulatedDisk) -> Result<Engine> {
        self.check()?;
        let store = Arc::new(disk.store(self.file)?);
        self.start(Arc::clone(&store) as Arc<dyn Store>, Some(store))
    }
}
