//! How a store is opened, and what it promises then.

use std::sync::Arc;
use std::time::Duration;

use parlor::store::Store;
use parlor::testkit::SimulatedDisk;
use parlor::{Durability, Result};

use super::record::Promise;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With a log, synced for each group or in time.
    Logged(Durability),
    /// Without a log, so that others can read the file.
    ForReaders,
}

impl Mode {
    /// Of eight scripts in a row two are deferred, and one is for readers.
    pub fn of(seed: u64, within: Duration) -> Self {
        match seed % 8 {
            3 | 7 => Mode::Logged(Durability::Deferred(within)),
            5 => Mode::ForReaders,
            _ => Mode::Logged(Durability::Sync),
        }
    }

    /// What an acknowledgement promises of the disk.
    pub fn promise(self) -> Promise {
        match self {
            Mode::Logged(Durability::Deferred(_)) => Promise::InOrder,
            Mode::Logged(_) | Mode::ForReaders => Promise::OnDisk,
        }
    }

    pub fn open(self, disk: &SimulatedDisk) -> Result<Arc<dyn Store>> {
        match self {
            Mode::Logged(durability) => disk.open(durability),
            Mode::ForReaders => disk.open_for_readers(),
        }
    }
}
