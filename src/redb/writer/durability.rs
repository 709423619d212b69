//! When a write is acknowledged.

use crate::error::{Error, Result};
use crate::limit::{DEFERRED_MS_MAX, DEFERRED_MS_MIN};
use crate::time::Duration;

/// When a write is acknowledged: a choice for each engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Once it is on the disk, and no crash can take it back. Nobody reads it before.
    #[default]
    Sync,
    /// Once it is applied; it is on the disk within this time, 1 ms to 60 s. A crash may take the writes of the last
    /// such time: always the latest ones, and never one without those after it. So may a power loss, also of
    /// writes that others have read.
    Deferred(Duration),
}

impl Durability {
    pub(crate) fn check(self) -> Result<()> {
        let (least, most) = (Duration::from_millis(DEFERRED_MS_MIN), Duration::from_millis(DEFERRED_MS_MAX));
        match self {
            Durability::Deferred(within) if !(least..=most).contains(&within) => Err(Error::invalid(format!(
                "deferred durability is within {within:?}; it must be {least:?} to {most:?}"
            ))),
            Durability::Deferred(_) | Durability::Sync => Ok(()),
        }
    }
}
