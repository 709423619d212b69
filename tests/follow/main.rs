//! Following the change feed and watching for sessions that change.

mod damage;
mod end;
mod feed;
mod file;
mod live;
#[path = "../support/mod.rs"]
mod support;
mod waking;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parlor::time::Duration;
use parlor::{Change, Clock, Follow, Result, Session, SystemClock, Timestamp};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Polls with this as the waker.
    fn poll<T>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A clock on which an hour passes whenever it is looked at.
#[derive(Default)]
struct Hasty(AtomicUsize);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        SystemClock::new().now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(3600 * self.0.fetch_add(1, Ordering::SeqCst) as u64)
    }
}

/// All that a follower can tell without waiting.
fn rest(follow: &mut Follow) -> Vec<Change> {
    std::iter::from_fn(|| follow.try_next()).collect::<Result<_>>().expect("no damage")
}

/// All events of a session after a number, as its change feed tells them.
fn feed(session: &Session, mut after: u64) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        let page = session.changes(after, 1000).expect("a feed");
        let Some(last) = page.last() else { return all };
        after = last.number;
        all.extend(page);
    }
}
