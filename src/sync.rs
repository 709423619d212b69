//! Locks, channels and threads: the only place that names them, so that a scheduler of a
//! test's can take their place.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::task::{Context, Poll, Wake, Waker};

pub(crate) use crossbeam_channel::{Receiver, Sender, bounded};
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle};
