//! When which session is to be looked at next. Pure: time is given.

use std::collections::BTreeMap;

use crate::store::SessionRef;
use crate::sync::HashMap;
use crate::time::Duration;

/// A place in the order: when, on the monotonic clock, then who came first.
type Slot = (Duration, u64);

/// See the [module](self). It holds a bounded number of sessions: of more, those that are due last are forgotten, and
/// read from the file again when the first of them is due.
pub(super) struct Schedule {
    most: usize,
    next: u64,
    order: BTreeMap<Slot, SessionRef>,
    sessions: HashMap<SessionRef, Entry>,
    /// When the first of what is not here may be due; at once, at first.
    beyond: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Waits(Slot),
    /// Somebody attends to it.
    Busy,
    /// And it rang meanwhile.
    Rang,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Look at this session, and tell when it is [done](Schedule::done).
    Attend(SessionRef),
    /// Read the file, and [add](Schedule::add) what waits there.
    Load,
}

impl Schedule {
    /// One that knows nothing yet.
    pub(super) fn new(most: usize) -> Self {
        let (order, sessions) = Default::default();
        Schedule { most: most.max(1), next: 0, order, sessions, beyond: Some(Duration::ZERO) }
    }

    /// The session is to be looked at by then.
    pub(super) fn add(&mut self, at: SessionRef, due: Duration) {
        match self.sessions.get(&at) {
            Some(Entry::Busy | Entry::Rang) => {
                self.sessions.insert(at, Entry::Rang);
                return;
            }
            Some(Entry::Waits((before, _))) if *before <= due => return,
            Some(Entry::Waits(slot)) => drop(self.order.remove(slot)),
            None => {}
        }
        self.next += 1;
        let slot = (due, self.next);
        self.order.insert(slot, at);
        self.sessions.insert(at, Entry::Waits(slot));
        if self.order.len() > self.most
            && let Some(((due, _), last)) = self.order.pop_last()
        {
            self.sessions.remove(&last);
            self.load_at(due);
        }
    }

    /// The file is to be read by then.
    pub(super) fn load_at(&mut self, due: Duration) {
        self.beyond = Some(self.beyond.map_or(due, |beyond| beyond.min(due)));
    }

    /// What there is to do by now.
    pub(super) fn take(&mut self, now: Duration) -> Option<Errand> {
        if let Some((&slot, &at)) = self.order.first_key_value()
            && slot.0 <= now
        {
            self.order.remove(&slot);
            self.sessions.insert(at, Entry::Busy);
            return Some(Errand::Attend(at));
        }
        self.beyond.take_if(|beyond| *beyond <= now).map(|_| Errand::Load)
    }

    /// A session was looked at: it is to be again by then, or when it rings.
    pub(super) fn done(&mut self, at: SessionRef, next: Option<Duration>) {
        let rang = self.sessions.remove(&at) == Some(Entry::Rang);
        if let Some(due) = if rang { Some(Duration::ZERO) } else { next } {
            self.add(at, due);
        }
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Duration> {
        let first = self.order.keys().next().map(|slot| slot.0);
        first.into_iter().chain(self.beyond).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SessionId, WorkspaceId};

    fn at(n: u128) -> SessionRef {
        let id = uuid::Uuid::from_u128;
        SessionRef { workspace: WorkspaceId::from_uuid(id(1)), session: SessionId::from_uuid(id(n)) }
    }

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn loaded(most: usize) -> Schedule {
        let mut schedule = Schedule::new(most);
        assert_eq!(schedule.take(s(0)), Some(Errand::Load), "the file is read first");
        schedule
    }

    #[test]
    fn sessions_come_when_they_are_due_and_one_at_a_time() {
        let mut schedule = loaded(9);
        schedule.add(at(1), s(5));
        schedule.add(at(2), s(3));
        schedule.add(at(2), s(4));
        assert_eq!((schedule.take(s(2)), schedule.next()), (None, Some(s(3))));
        assert_eq!(schedule.take(s(9)), Some(Errand::Attend(at(2))));
        schedule.add(at(2), s(1));
        assert_eq!(schedule.take(s(9)), Some(Errand::Attend(at(1))));
        assert_eq!((schedule.take(s(9)), schedule.next()), (None, None), "one that is attended to waits");
        schedule.done(at(2), None);
        assert_eq!(schedule.take(s(9)), Some(Errand::Attend(at(2))), "and is not forgotten");
        schedule.done(at(2), Some(s(20)));
        schedule.done(at(1), None);
        assert_eq!(schedule.next(), Some(s(20)));
        schedule.add(at(2), s(10));
        assert_eq!(schedule.next(), Some(s(10)), "a ring is sooner than a pause");
    }

    #[test]
    fn what_there_is_no_room_for_is_read_again_when_it_is_due() {
        let mut schedule = loaded(2);
        for (n, due) in [(1, 7), (2, 3), (3, 9), (4, 5)] {
            schedule.add(at(n), s(due));
        }
        assert_eq!(schedule.take(s(5)), Some(Errand::Attend(at(2))));
        assert_eq!(schedule.take(s(5)), Some(Errand::Attend(at(4))));
        assert_eq!((schedule.take(s(6)), schedule.next()), (None, Some(s(7))));
        assert_eq!(schedule.take(s(7)), Some(Errand::Load));
        assert_eq!(schedule.take(s(99)), None);
    }
}
