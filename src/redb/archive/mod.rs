//! Archives: whole sessions out of the live tables, compressed, in chunks.
//!
//! A chunk is a part of a stream of the session's primary records ([`load`](super::load)). Archiving reads the session from one
//! published state after another, and writes the chunks in steps below a number that is no archive's yet; the last commit
//! shows the archive and hides the session, where that stands as it stood at the beginning. Restoring loads the session below
//! a number of its own, and its last commit publishes that and takes away the archive. What a crash leaves of either has a
//! remnant.

mod chunk;
mod container;
mod export;
#[cfg(feature = "testkit")]
mod hostile;
mod import;
mod listing;
mod outbox;
mod read;
mod restore;
#[cfg(test)]
mod tests;
mod write;

pub(super) use chunk::{Opened, open};
pub(super) use export::export;
#[cfg(feature = "testkit")]
pub(crate) use hostile::{pack, unpack};
pub(super) use import::import;
pub(super) use listing::{delete, get, list, number_of, standing_of, take_away, take_away_listed, uncount};
pub(super) use outbox::announced;
pub(super) use read::Source;
pub(super) use restore::restore;
pub(super) use write::archive;
