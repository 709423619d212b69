//! What holds a [`Store`] to its contract, and the clock that a test drives.
//!
//! * [`ManualClock`]: a [`Clock`](crate::Clock) that stands until it is told to go.
//! * [`conformance`]: every promise of [`store`](crate::store) as a claim that a store of your
//!   own can be put to; [`claims`] lists them.
//! * [`ModelStore`]: the reference store, plain maps, and [`redb_store`], the default one.
//! * [`compare`]: the same random operations on two stores, whose answers must agree.
//!
//! All of it reports by panicking, as tests do: the message names the claim, or the seed and the
//! step, and what was seen instead.

mod caught;
mod clock;
mod compare;
mod conformance;
mod rng;
mod snapshot;

pub use crate::model::ModelStore;
pub use clock::ManualClock;
pub use compare::{Subject, compare, compare_with};
pub use conformance::{Check, claims, conformance};

use std::path::Path;

use crate::error::Result;
use crate::redb::{Options, RedbStore, Trust};
use crate::store::Store;
use crate::sync::Arc;

/// The default store, without an engine around it: made when it is missing.
///
/// # Errors
///
/// Those of [`Builder::open`](crate::Builder::open).
pub fn redb_store(path: impl AsRef<Path>) -> Result<Arc<dyn Store>> {
    let options = Options { cache_bytes: crate::limit::CACHE_BYTES_DEFAULT, trust: Trust::Clean };
    Ok(Arc::new(RedbStore::open(path.as_ref(), options)?))
}
