//! For tests of stores and of what is built on them.

pub use crate::model::ModelStore;

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
