//! Locks, channels, threads and what else a scheduler decides: the only place that names them, so
//! that a scheduler of a test's can take their place.
//!
//! Under `--cfg shuttle` one does (`tests/shuttle`): it runs all threads on one, and at every lock,
//! wake-up and atomic access decides who goes on.

/// For a static, which outlives every schedule and has no part in it.
#[cfg(feature = "testkit")]
pub(crate) use std::sync::atomic::AtomicU8 as StaticAtomicU8;
pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{Arc, OnceLock, Weak};
pub(crate) use std::task::{Context, Poll, Wake, Waker};
/// Whether the calling thread unwinds. No schedule depends on it.
pub(crate) use std::thread::panicking as is_unwinding;

#[cfg(not(shuttle))]
pub(crate) use free::*;
#[cfg(shuttle)]
pub(crate) use scheduled::*;

use crate::time::Duration;

/// Why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nothing came in time.
    #[cfg_attr(shuttle, expect(dead_code, reason = "a time-out never comes"))]
    TimedOut,
    /// Nothing will come any more.
    Gone,
}

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

/// Fills these bytes with randomness of the system's, good enough for secrets; false where it has none. No schedule
/// depends on them.
pub(crate) fn fill_random(bytes: &mut [u8]) -> bool {
    getrandom::fill(bytes).is_ok()
}

/// As the operating system schedules.
#[cfg(not(shuttle))]
mod free {
    pub(crate) use std::collections::HashMap;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
    pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle};
    pub(crate) use std::thread_local;

    pub(crate) use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

    /// Whether nothing waits to be received.
    pub(crate) fn is_drained<T>(sender: &Sender<T>) -> bool {
        sender.is_empty()
    }

    /// Sends a message that may be dropped where the queue is full.
    pub(crate) fn offer<T>(sender: &Sender<T>, message: T) {
        // So it is.
        let _ = sender.try_send(message);
    }

    /// Waits for the next message, for so long at most; for no time at all, nothing is received.
    pub(crate) fn receive_within<T>(
        receiver: &Receiver<T>,
        timeout: crate::time::Duration,
    ) -> Result<T, super::Silence> {
        if timeout.is_zero() {
            return Err(super::Silence::TimedOut);
        }
        receiver.recv_timeout(timeout).map_err(|error| match error {
            crossbeam_channel::RecvTimeoutError::Timeout => super::Silence::TimedOut,
            crossbeam_channel::RecvTimeoutError::Disconnected => super::Silence::Gone,
        })
    }

    /// Random bits.
    pub(crate) fn random() -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().1
    }
}

/// As a test schedules: the same names, on shuttle's primitives.
///
/// A time-out never comes; for who waits with one, time stands still.
#[cfg(shuttle)]
mod scheduled {
    use std::hash::{BuildHasherDefault, DefaultHasher};
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
    pub(crate) use shuttle::sync::mpsc::{Receiver, SyncSender as Sender, TryRecvError, sync_channel as bounded};
    pub(crate) use shuttle::thread::{Builder as ThreadBuilder, JoinHandle};
    pub(crate) use shuttle::thread_local;

    use shuttle::rand::RngCore;

    use crate::time::Duration;

    /// A map whose order is the same in every run: a schedule could not be played again otherwise.
    pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

    /// Whether nothing waits to be received: it cannot be told.
    pub(crate) fn is_drained<T>(_sender: &Sender<T>) -> bool {
        false
    }

    /// Sends a message.
    pub(crate) fn offer<T>(sender: &Sender<T>, message: T) {
        // Nobody is there to receive it.
        let _ = sender.send(message);
    }

    /// Waits for the next message: a time-out never comes.
    pub(crate) fn receive_within<T>(receiver: &Receiver<T>, _timeout: Duration) -> Result<T, super::Silence> {
        receiver.recv().map_err(|_| super::Silence::Gone)
    }

    /// Bits that belong to the schedule.
    pub(crate) fn random() -> u64 {
        shuttle::rand::thread_rng().next_u64()
    }

    /// The scheduler decides whose turn it is; the value behind is then free.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T> {
        turn: shuttle::sync::Mutex<()>,
        value: parking_lot::Mutex<T>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex { turn: shuttle::sync::Mutex::new(()), value: parking_lot::Mutex::new(value) }
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let turn = Some(self.turn());
            MutexGuard { value: self.value.lock(), turn, mutex: self }
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let turn = Some(self.turn.try_lock().ok()?);
            Some(MutexGuard { value: self.value.lock(), turn, mutex: self })
        }

        fn turn(&self) -> shuttle::sync::MutexGuard<'_, ()> {
            self.turn.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Gives the value back before the turn.
    pub(crate) struct MutexGuard<'a, T> {
        value: parking_lot::MutexGuard<'a, T>,
        /// None only while the value is given back too.
        turn: Option<shuttle::sync::MutexGuard<'a, ()>>,
        mutex: &'a Mutex<T>,
    }

    impl<T> MutexGuard<'_, T> {
        pub(crate) fn unlocked<U>(guard: &mut Self, f: impl FnOnce() -> U) -> U {
            parking_lot::MutexGuard::unlocked(&mut guard.value, || {
                drop(guard.turn.take());
                let answer = f();
                guard.turn = Some(guard.mutex.turn());
                answer
            })
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.value
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            parking_lot::MutexGuard::unlocked(&mut guard.value, || {
                guard.turn = guard.turn.take().map(|turn| self.0.wait(turn).unwrap_or_else(PoisonError::into_inner));
            });
        }

        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _timeout: Duration) {
            self.wait(guard);
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            RwLock(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
