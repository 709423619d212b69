//! The wall clock, and ids in its order.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::rng::Rng;

/// Microseconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Makes ids as parlor does: UUIDs of version 7.
pub struct Ids(Rng);

impl Ids {
    /// A sequence of its own for each maker of ids.
    pub fn new() -> Ids {
        Ids(Rng::new(RandomState::new().hash_one(now())))
    }

    /// An id of this time.
    pub fn next(&mut self, micros: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&((micros / 1000) << 16 | self.0.bits() >> 48).to_be_bytes());
        id[8..].copy_from_slice(&self.0.bits().to_be_bytes());
        id[6] = id[6] & 0x0f | 0x70;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }
}
