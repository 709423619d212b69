//! Locks, channels and threads: the only place that names them, so that a scheduler of a
//! test's can take their place.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, OnceLock};
pub(crate) use std::task::{Context, Poll, Wake, Waker};

pub(crate) use crossbeam_channel::{Receiver, Sender, bounded};
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle};

use crate::time::Duration;

/// Puts the calling thread to sleep until a [`Waker`] made from it is woken.
///
/// A wake-up that comes before the sleep is kept, so none is lost.
#[derive(Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Parker {
    /// Sleeps until woken, and forgets that wake-up.
    pub(crate) fn park(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            self.wake.wait(&mut woken);
        }
        *woken = false;
    }

    /// Sleeps until woken or for about this long.
    pub(crate) fn park_timeout(&self, timeout: Duration) {
        let mut woken = self.woken.lock();
        if !*woken {
            self.wake.wait_for(&mut woken, timeout);
        }
        *woken = false;
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock() = true;
        self.wake.notify_one();
    }
}
