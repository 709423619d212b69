//! The clock that a test drives.

use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Waker};
use crate::time::{Clock, Duration, Timestamp};

/// A clock that stands until a test moves it. Clones share its hands.
///
/// The wall hand can be set anywhere and stepped back; the monotonic one only moves with
/// [`advance`](ManualClock::advance).
///
/// ```
/// use std::time::Duration;
///
/// use parlor::{Clock, testkit::ManualClock};
///
/// let clock = ManualClock::new();
/// let shared = clock.clone();
/// let before = clock.now();
/// shared.advance(Duration::from_secs(2));
/// shared.step_back(Duration::from_secs(1));
/// assert_eq!(clock.now().as_micros() - before.as_micros(), 1_000_000);
/// assert_eq!(clock.monotonic(), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    hands: Arc<Hands>,
}

/// Both in microseconds.
#[derive(Debug)]
struct Hands {
    wall: AtomicU64,
    monotonic: AtomicU64,
    /// Who sleeps by this clock.
    sleepers: Mutex<Vec<Waker>>,
}

impl ManualClock {
    /// A clock that stands at 2026-04-30T18:21:42Z.
    pub fn new() -> Self {
        Self::at(Timestamp::from_micros(1_777_573_302_000_000))
    }

    /// A clock that stands at this time.
    pub fn at(wall: Timestamp) -> Self {
        let (wall, monotonic) = (AtomicU64::new(wall.as_micros()), AtomicU64::new(0));
        let hands = Hands { wall, monotonic, sleepers: Mutex::default() };
        ManualClock { hands: Arc::new(hands) }
    }

    /// Sets the wall time, backwards too, as a person or a time server does.
    pub fn set(&self, wall: Timestamp) {
        self.hands.wall.store(wall.as_micros(), Ordering::SeqCst);
    }

    /// Lets time pass: both hands go on, the wall one at most to [`Timestamp::MAX`], and an engine does what is due.
    pub fn advance(&self, by: Duration) {
        turn(&self.hands.wall, |wall| wall.saturating_add(micros(by)).min(Timestamp::MAX.as_micros()));
        turn(&self.hands.monotonic, |passed| passed.saturating_add(micros(by)));
        let sleepers = self.hands.sleepers.lock().clone();
        sleepers.into_iter().for_each(Waker::wake);
    }

    /// Steps the wall time back, at most to the epoch. No time passes.
    pub fn step_back(&self, by: Duration) {
        turn(&self.hands.wall, |wall| wall.saturating_sub(micros(by)));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.hands.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.hands.monotonic.load(Ordering::SeqCst))
    }

    fn on_jump(&self, waker: Waker) {
        self.hands.sleepers.lock().push(waker);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn turn(hand: &AtomicU64, to: impl Fn(u64) -> u64) {
    // Never refused: the closure always has a next value.
    let _ = hand.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |at| Some(to(at)));
}
