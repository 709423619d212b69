//! Waiting: one piece of code behind blocking, timing out and `await`; the handle of a turn, and of a session
//! that is to become idle.

mod idle;
mod turn;

pub use idle::Idle;
pub(crate) use turn::EndsTurns;
pub use turn::{TurnHandle, TurnReport};

use crate::shared::Shared;
use crate::sync::{Arc, Parker, Poll, Waker};
use crate::time::Duration;

/// Sleeps on this thread until `poll` is ready, or this time has passed: then the answer is none.
///
/// `poll` registers the waker first and reads then, so a wake-up between the two is kept.
pub(crate) fn block<T>(
    shared: &Shared,
    timeout: Option<Duration>,
    mut poll: impl FnMut(&Waker) -> Poll<T>,
) -> Option<T> {
    let deadline = timeout.map(|timeout| shared.clock.monotonic().saturating_add(timeout));
    let parker = Arc::<Parker>::default();
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        if let Poll::Ready(answer) = poll(&waker) {
            return Some(answer);
        }
        let Some(deadline) = deadline else {
            parker.park();
            continue;
        };
        let left = deadline.saturating_sub(shared.clock.monotonic());
        if left.is_zero() {
            return None;
        }
        parker.park_timeout(left);
    }
}
