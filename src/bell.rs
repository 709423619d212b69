//! The bell: who waits for which session, and how they are woken.

use std::collections::BTreeMap;

use crate::id::SessionId;
use crate::sync::{Arc, HashMap, Mutex, Waker};

/// What happened in a session, and what a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Something was written.
    Written,
    /// A turn ended, which is written too.
    Ended,
}

/// Wakes those who wait for something of a session. It carries no news: who is woken reads
/// the store.
///
/// To wait is to register first, then read, then sleep. A write that the read did not see
/// rings after the registration, so nothing is lost.
#[derive(Default)]
pub(crate) struct Bell {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    sessions: HashMap<SessionId, BTreeMap<u64, (Event, Waker)>>,
}

impl Bell {
    /// Has `waker` woken at the next event of the session that is at least `wanted`.
    pub(crate) fn register(self: &Arc<Self>, session: SessionId, wanted: Event, waker: Waker) -> Registration {
        let mut waiting = self.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.sessions.entry(session).or_default().insert(number, (wanted, waker));
        Registration { bell: Arc::clone(self), session, number }
    }

    /// Wakes all who wait for this event of the session.
    pub(crate) fn ring(&self, session: SessionId, event: Event) {
        let mut woken = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            let Some(entries) = waiting.sessions.get_mut(&session) else { return };
            let all = std::mem::take(entries);
            for (number, (wanted, waker)) in all {
                if wanted <= event {
                    woken.push(waker);
                } else {
                    entries.insert(number, (wanted, waker));
                }
            }
            if entries.is_empty() {
                waiting.sessions.remove(&session);
            }
        }
        // A waker is code of an executor's: it may do anything, so it runs outside the lock.
        woken.into_iter().for_each(Waker::wake);
    }

    /// Wakes everybody: nothing more will happen.
    pub(crate) fn ring_all(&self) {
        let sessions = std::mem::take(&mut self.waiting.lock().sessions);
        sessions.into_values().flatten().for_each(|(_, (_, waker))| waker.wake());
    }
}

/// A place in the list of those to wake; given up when dropped.
pub(crate) struct Registration {
    bell: Arc<Bell>,
    session: SessionId,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.bell.waiting.lock();
        let Some(entries) = waiting.sessions.get_mut(&self.session) else { return };
        let gone = entries.remove(&self.number);
        if entries.is_empty() {
            waiting.sessions.remove(&self.session);
        }
        drop(waiting);
        // The waker's own drop runs outside the lock too.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, Ordering, Wake};

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn session(n: u128) -> SessionId {
        SessionId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_ring_wakes_who_waits_for_it_once_and_nobody_else() {
        let (bell, ends, writes, other) =
            (Arc::new(Bell::default()), Arc::<Count>::default(), Arc::<Count>::default(), Arc::<Count>::default());
        let _ends = bell.register(session(1), Event::Ended, Arc::clone(&ends).into());
        let _writes = bell.register(session(1), Event::Written, Arc::clone(&writes).into());
        let _other = bell.register(session(2), Event::Written, Arc::clone(&other).into());
        let counts = || [&ends, &writes, &other].map(|count| count.0.load(Ordering::SeqCst));

        bell.ring(session(1), Event::Written);
        assert_eq!(counts(), [0, 1, 0]);
        bell.ring(session(1), Event::Ended);
        bell.ring(session(1), Event::Ended);
        assert_eq!(counts(), [1, 1, 0]);
        bell.ring_all();
        assert_eq!(counts(), [1, 1, 1]);
        assert!(bell.waiting.lock().sessions.is_empty());
    }

    #[test]
    fn a_dropped_registration_is_forgotten() {
        let (bell, count) = (Arc::new(Bell::default()), Arc::<Count>::default());
        let first = bell.register(session(1), Event::Ended, Arc::clone(&count).into());
        let second = bell.register(session(1), Event::Ended, Arc::clone(&count).into());
        drop(first);
        bell.ring(session(1), Event::Ended);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        // Its entry was taken by the ring: dropping it now removes nobody else's.
        let third = bell.register(session(1), Event::Ended, Arc::clone(&count).into());
        drop(second);
        bell.ring(session(1), Event::Ended);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        drop(third);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
