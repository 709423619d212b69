//! The threads that deliver.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::schedule::{Errand, Schedule};
use super::{Delivery, DeliveryError, DeliveryOptions, Transport, payload};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{DELIVERY_SESSIONS, OUTBOX_LIMIT_MAX};
use crate::record::WebhookRow;
use crate::shared::Shared;
use crate::store::{OutboxDelivered, OutboxFailed, OutboxKey, OutboxQuery, OutboxRows, SessionRef};
#[cfg(test)]
use crate::sync::thread_local;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, ThreadBuilder, random};
use crate::time::{Duration, Timestamp};

/// Who delivers for an engine, until it is stopped.
pub(crate) struct Courier {
    desk: Arc<Desk>,
}

struct Desk {
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    options: DeliveryOptions,
    state: Mutex<State>,
    /// Something is due, or all is over.
    work: Condvar,
    /// A thread has left.
    left: Condvar,
}

struct State {
    schedule: Schedule,
    stopping: bool,
    threads: usize,
    /// Those of them that wait for something to do.
    idle: usize,
    started: usize,
}

impl Courier {
    /// Begins with what the file has to announce.
    pub(crate) fn start(
        shared: Arc<Shared>,
        transport: Arc<dyn Transport>,
        options: DeliveryOptions,
    ) -> Result<Courier> {
        let schedule = Schedule::new(DELIVERY_SESSIONS);
        let state = State { schedule, stopping: false, threads: 0, idle: 0, started: 0 };
        let (work, left) = Default::default();
        let desk = Arc::new(Desk { shared, transport, options, state: Mutex::new(state), work, left });
        let rings = Arc::downgrade(&desk);
        desk.shared.bell.on_end(Box::new(move |at| {
            if let Some(desk) = rings.upgrade() {
                desk.ring(at);
            }
        }));
        let started = desk.start_thread(&mut desk.state.lock());
        started.map_err(|error| {
            Error::new(ErrorKind::Storage, "a thread for deliveries cannot start").with_source(error)
        })?;
        Ok(Courier { desk })
    }

    /// Begins with no further delivery. Does not wait.
    pub(crate) fn stop(&self) {
        self.desk.state.lock().stopping = true;
        self.desk.work.notify_all();
    }

    /// Waits for the deliveries under way until the deadline. One that takes longer is left to itself; what became of
    /// it can be written down no more, so it is tried again by the next engine.
    pub(crate) fn join(&self, deadline: Duration) {
        let mut state = self.desk.state.lock();
        while state.threads > 0 {
            // The clock is the user's code: it runs unlocked.
            let now = MutexGuard::unlocked(&mut state, || self.desk.shared.clock.monotonic());
            if now >= deadline || state.threads == 0 {
                return;
            }
            self.desk.left.wait_for(&mut state, deadline.saturating_sub(now));
        }
    }
}

#[cfg(test)]
thread_local! {
    /// Whether a courier that is started here can have no thread.
    pub(crate) static NO_THREADS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Desk {
    fn now(&self) -> Duration {
        self.shared.clock.monotonic()
    }

    /// A turn of the session ended.
    fn ring(self: &Arc<Self>, at: SessionRef) {
        let now = self.now();
        let mut state = self.state.lock();
        if state.stopping {
            return;
        }
        state.schedule.add(at, now);
        if state.threads == 0 {
            // The last one was unwound. Where no thread can be had, the next ring tries again.
            let _ = self.start_thread(&mut state);
        }
        drop(state);
        self.work.notify_one();
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let desk = Arc::clone(self);
        let name = format!("parlor-delivery-{}", state.started + 1);
        #[cfg(test)]
        if NO_THREADS.get() {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        ThreadBuilder::new().name(name).spawn(move || Seat { desk }.work())?;
        state.started += 1;
        state.threads += 1;
        Ok(())
    }

    /// Waits for what there is to do; none when it is over.
    fn next(self: &Arc<Self>) -> Option<Errand> {
        let mut state = self.state.lock();
        loop {
            // The clock is the user's code: it runs unlocked, and before the look at what is due.
            let now = MutexGuard::unlocked(&mut state, || self.now());
            if state.stopping {
                return None;
            }
            if let Some(errand) = state.schedule.take(now) {
                // One always waits, for what rings or is due while the others hang.
                if state.idle == 0 && state.threads < self.options.threads {
                    // Where no thread can be had, what comes waits for one of those that are there.
                    let _ = self.start_thread(&mut state);
                } else if state.schedule.next().is_some_and(|due| due <= now) {
                    self.work.notify_one();
                }
                return Some(errand);
            }
            let due = state.schedule.next();
            state.idle += 1;
            match due {
                Some(due) => {
                    self.work.wait_for(&mut state, due.saturating_sub(now));
                }
                None => self.work.wait(&mut state),
            }
            state.idle -= 1;
        }
    }

    /// Reads what waits in the file.
    fn load(&self) {
        let mut after = None;
        loop {
            let op = OutboxQuery { rows: OutboxRows::Heads, after, limit: OUTBOX_LIMIT_MAX };
            let page = self.shared.store().outbox_page(op);
            let now = self.now();
            let due = |row: &WebhookRow| (OutboxKey::from(row).at, now.saturating_add(self.wait(row)));
            let page = page.map(|page| (page.rows.iter().map(due).collect::<Vec<_>>(), page.next));
            let state = &mut *self.state.lock();
            match page {
                Ok((rows, next)) => {
                    rows.into_iter().for_each(|(at, due)| state.schedule.add(at, due));
                    after = next;
                }
                Err(_) => {
                    state.schedule.load_at(now.saturating_add(self.options.first_pause));
                    after = None;
                }
            }
            if after.is_none() || state.stopping {
                return;
            }
        }
    }

    /// How long a row is still to wait. A time further away than the longest pause is no pause: the wall clock was set back.
    fn wait(&self, row: &WebhookRow) -> Duration {
        let now = self.shared.clock.now().as_micros();
        let left = row.due_at.map_or(0, |due| due.as_micros().saturating_sub(now));
        Some(Duration::from_micros(left)).filter(|left| *left <= self.options.longest_pause).unwrap_or_default()
    }

    /// Tries the session's next announcement, where one is due. Answers with when to look again.
    fn attend(&self, at: SessionRef) -> Option<Duration> {
        let wait = match self.announce(at) {
            Ok(wait) => wait?,
            // The session is gone, or the engine.
            Err(error) if error.is_not_found() || error.kind() == ErrorKind::Closed => return None,
            // It stands in the file as it stood, so it is tried again; but not at once.
            Err(_) => self.options.first_pause,
        };
        Some(self.now().saturating_add(wait))
    }

    fn announce(&self, at: SessionRef) -> Result<Option<Duration>> {
        let store = self.shared.store();
        let Some(head) = store.outbox_head(at)? else { return Ok(None) };
        let wait = self.wait(&head);
        if !wait.is_zero() {
            return Ok(Some(wait));
        }
        // Nobody outside may hear of what a crash could take back.
        store.sync()?;
        let row = OutboxKey::from(&head);
        let failed = head.attempts.saturating_add(1);
        let delivery = payload::compose(&self.shared, head)?;
        let (answer, stamp) = (call(&*self.transport, &delivery), self.shared.stamp());
        let Err(error) = answer else {
            still_there(store.outbox_delivered(OutboxDelivered { stamp, row }))?;
            return Ok(Some(Duration::ZERO));
        };
        let pause = self.options.pause_after(failed, random()).filter(|_| !error.is_permanent());
        let later = |pause: Duration| u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let next = pause.map(|pause| Timestamp::from_micros(stamp.at.as_micros().saturating_add(later(pause))));
        still_there(store.outbox_failed(OutboxFailed { stamp, row, error: error.to_string(), next }))?;
        Ok(Some(pause.unwrap_or_default()))
    }
}

/// A row that went meanwhile is nobody's business any more; there may be a next one.
fn still_there<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Calls the transport: the only place that runs a user's code on these threads, and that catches its panic.
fn call(transport: &dyn Transport, delivery: &Delivery) -> Result<(), DeliveryError> {
    // What a panic leaves broken in the transport is its own to guard.
    catch_unwind(AssertUnwindSafe(|| transport.deliver(delivery))).unwrap_or_else(|payload| {
        // A payload of the user's may panic in its drop; what that leaves is leaked.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        Err(DeliveryError::new("the transport panicked"))
    })
}

/// A thread's place; given up when it leaves, also when it unwinds.
struct Seat {
    desk: Arc<Desk>,
}

impl Seat {
    fn work(self) {
        while let Some(errand) = self.desk.next() {
            match errand {
                Errand::Load => self.desk.load(),
                Errand::Attend(at) => {
                    let later = self.desk.now().saturating_add(self.desk.options.first_pause);
                    let mut attended = Attended { desk: &self.desk, at, next: Some(later) };
                    attended.next = self.desk.attend(at);
                }
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.desk.state.lock().threads -= 1;
        self.desk.left.notify_all();
    }
}

/// A session that is looked at; given back also when the thread unwinds.
struct Attended<'a> {
    desk: &'a Desk,
    at: SessionRef,
    next: Option<Duration>,
}

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        self.desk.state.lock().schedule.done(self.at, self.next);
    }
}
