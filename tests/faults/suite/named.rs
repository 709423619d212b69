//! A seed that is told wherever something fails while it is played.

use std::thread;

/// Tells its seed where a panic drops it.
pub struct Named(u64);

impl Named {
    pub fn seed(seed: u64) -> Self {
        Named(seed)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("PARLOR_SEED={}", self.0);
        }
    }
}
