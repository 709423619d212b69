//! Wall and monotonic time: the only place that names `std::time`'s clocks.
//!
//! An engine takes its time from a [`Clock`], so a test can drive it.

use std::fmt;
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::limit;

/// A point in time in UTC, in microseconds since the Unix epoch.
///
/// Prints and serializes as UTC with three decimals and `Z`; what is finer is cut off.
///
/// ```
/// let time = parlor::Timestamp::from_micros(1_777_573_302_000_123);
/// assert_eq!(time.to_string(), "2026-04-30T18:21:42.000Z");
/// assert_eq!(time.as_millis(), 1_777_573_302_000);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest time that can be printed, the end of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    /// From microseconds since the epoch; past [`Timestamp::MAX`] it is [`Timestamp::MAX`].
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::MAX.0 { Self::MAX } else { Timestamp(micros) }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch, as document B writes `updatedAt` and `timestamp`.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_micros(self.0);
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where an engine takes its time from.
///
/// Wall time may jump either way: parlor's orders never depend on it. Monotonic time is
/// for deadlines.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock's time.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, which never goes back.
    fn monotonic(&self) -> Duration;

    /// Has `waker` woken whenever the monotonic time goes on faster than time does, as on a clock that a test drives:
    /// whoever sleeps until a deadline looks at the clock then. The waker is to be kept, and woken with no lock held.
    ///
    /// By default nothing, as for a clock of which a second takes a second.
    fn on_jump(&self, _waker: Waker) {}
}

/// The clock of the operating system.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the monotonic part.
    pub fn new() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as the epoch: order does not come from it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The wall time as a `ts`: below the bound of a caller's, so that `+ 1 µs` has room.
pub(crate) fn ts_micros(at: Timestamp) -> u64 {
    at.as_micros().min(limit::CALLER_TS_MICROS - 1)
}
/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
