//! What holds a [`Store`] to its contract, and the clock that a test drives.
//!
//! * [`ManualClock`]: a [`Clock`](crate::Clock) that stands until it is told to go.
//! * [`conformance`]: every promise of [`store`](crate::store) as a claim that a store of your
//!   own can be put to; [`claims`] lists them.
//! * [`ModelStore`]: the reference store, plain maps, and [`redb_store`], the default one.
//! * [`compare`]: the same random operations on two stores, whose answers must agree; [`compare_bytes`] for a fuzzer.
//! * [`SimulatedDisk`]: the default store on a disk that fails where a test says, and loses power.
//! * [`access_table`]: what each operation of a handle needs of the access key it was reached with.
//! * [`Bug`]: a fault to [`plant`] in the default store, so that a suite can be put to the test.
//!
//! All of it reports by panicking, as tests do: the message names the claim, or the seed and the
//! step, and what was seen instead.

mod access;
mod archives;
mod caught;
mod clock;
mod compare;
mod conformance;
mod reader;
mod rng;
mod snapshot;

pub use crate::bug::{Bug, plant};
pub use crate::model::ModelStore;
pub use access::{AccessRule, access_table, access_unchecked};
pub use archives::{check_archive, pack_archive, unpack_archive};
pub use clock::ManualClock;
pub use compare::{Subject, compare, compare_bytes, compare_with};
pub use conformance::{Check, claims, conformance};

pub use crate::redb::{Failure, Loss, SimulatedDisk, Touch, Watcher};

use std::path::Path;

use crate::error::Result;
use crate::redb::{BLOCK, Options, RedbStore, Sharing, Trust};
use crate::store::Store;
use crate::sync::Arc;

/// The default store, without an engine around it: made when it is missing.
///
/// # Errors
///
/// Those of [`Builder::open`](crate::Builder::open).
pub fn redb_store(path: impl AsRef<Path>) -> Result<Arc<dyn Store>> {
    redb_store_in_blocks(path, BLOCK)
}

/// Segments of the log are so small that a test meets many checkpoints, and groups that are too large for it.
const SEGMENT_BYTES: u32 = 1 << 16;

/// The default store with blocks of positions of this many entries, so that a few messages fill
/// many of them. A file is to be opened with the same number always.
///
/// # Errors
///
/// Those of [`Builder::open`](crate::Builder::open).
pub fn redb_store_in_blocks(path: impl AsRef<Path>, block: u32) -> Result<Arc<dyn Store>> {
    open(path.as_ref(), Options { block, ..Options::default() })
}

/// The same, [verified](crate::Builder::verify_on_open) first.
///
/// # Errors
///
/// Those of [`Builder::open`](crate::Builder::open).
pub fn redb_store_verified(path: impl AsRef<Path>, block: u32) -> Result<Arc<dyn Store>> {
    open(path.as_ref(), Options { block, trust: Trust::Verify, ..Options::default() })
}

/// The default store with a checkpoint after so many groups of writes, 1 or more: beside what is read and written
/// meanwhile, on a thread of its own. Its blocks are those of [`redb_store_in_blocks`].
///
/// # Errors
///
/// Those of [`Builder::open`](crate::Builder::open).
pub fn redb_store_with_checkpoints(path: impl AsRef<Path>, block: u32, groups: u32) -> Result<Arc<dyn Store>> {
    open(path.as_ref(), Options { block, checkpoint_groups: groups.max(1), ..Options::default() })
}

/// The default store as [`Builder::shared_readers`](crate::Builder::shared_readers) opens it, with blocks as those of
/// [`redb_store_in_blocks`].
///
/// # Errors
///
/// Those of [`Builder::open`](crate::Builder::open).
pub fn redb_store_for_readers(path: impl AsRef<Path>, block: u32) -> Result<Arc<dyn Store>> {
    open(path.as_ref(), Options { block, sharing: Sharing::Readers, ..Options::default() })
}

fn open(path: &Path, options: Options) -> Result<Arc<dyn Store>> {
    let options = Options { block: options.block.clamp(1, BLOCK), segment_bytes: SEGMENT_BYTES, ..options };
    Ok(Arc::new(RedbStore::open(path, options)?))
}

/// Every session of the workspaces of these names in a store: its workspace and id, whether it is busy, and all that can be
/// read of it, as text.
///
/// # Errors
///
/// Those of the store's reads.
pub fn sessions_of(store: &dyn Store, workspaces: &[&str]) -> Result<Vec<(String, bool, String)>> {
    snapshot::sessions_as_text(store, workspaces)
}

/// Draws two keys of the default store from bytes and holds them to each other: their bytes sort
/// as what they stand for does, and none begins with the other.
///
/// # Panics
///
/// When they do not.
pub fn check_key_order(bytes: &[u8]) {
    crate::redb::check_order(bytes);
}

/// Reads a text as the secret of an access key.
///
/// # Panics
///
/// When what was read makes another text.
pub fn check_secret(text: &str) {
    crate::record::check_secret(text);
}

/// Decodes bytes as rows of the default store: as they are, and with their checksum made right, so that what
/// stands behind it is reached.
///
/// # Panics
///
/// When they are refused as anything but corrupt, or a row is not the same once encoded again.
pub fn check_rows(bytes: &[u8]) {
    crate::redb::check_rows(bytes);
}
