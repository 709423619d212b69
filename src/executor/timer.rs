//! The timer: a thread that ends turns whose time is over, and leaves behind agents that do not stop.
//!
//! It is started when there is something to wait for, and woken only where something is due earlier than
//! what it waits for: with one grace and one limit for all, that is once for many turns.

use super::run;
use super::schedule::{Due, Live};
use super::worker::{Pool, State};
use crate::sync::{Arc, JoinHandle, MutexGuard, ThreadBuilder, Wake, Waker, Weak};
use crate::time::Duration;

/// What the executor's mutex guards of it.
#[derive(Default)]
pub(super) struct Timer {
    /// While it runs, and after the close until it is joined.
    pub(super) thread: Option<JoinHandle<()>>,
    /// How often the clock has jumped, or more became possible.
    pub(super) jumps: u64,
    /// Until when it sleeps; none where it is awake, or sleeps until it is woken.
    sleeps_until: Option<Duration>,
}

impl Pool {
    /// Something is due at this time.
    pub(super) fn expect(self: &Arc<Self>, state: &mut State, at: Duration) {
        if state.closing {
            return;
        }
        if state.timer.thread.is_none() {
            let pool = Arc::clone(self);
            // Where no thread can be had, the next one to ask gets it.
            state.timer.thread = ThreadBuilder::new().name("parlor-timer".into()).spawn(move || keep_time(pool)).ok();
        } else if state.timer.sleeps_until.is_none_or(|until| at < until) {
            self.due.notify_one();
        }
    }

    /// What was not possible may be possible now.
    pub(super) fn hurry(&self, state: &mut State) {
        state.timer.jumps += 1;
        self.due.notify_one();
    }

    /// Has the clock wake the timer when it jumps.
    pub(super) fn heed_clock(self: &Arc<Self>) {
        self.shared.clock.on_jump(Waker::from(Arc::new(Jumped(Arc::downgrade(self)))));
    }

    /// Sleeps until something is due, and does what needs no store. None when the pool closes.
    fn next_due(self: &Arc<Self>) -> Option<Due> {
        let mut state = self.state.lock();
        loop {
            let jumps = state.timer.jumps;
            // The clock is the user's code: it runs unlocked.
            let now = MutexGuard::unlocked(&mut state, || self.shared.clock.monotonic());
            if state.closing {
                return None;
            }
            let room = state.room(&self.options);
            let due = state.schedule.due(now, now.saturating_add(self.options.grace), room);
            state.abandon(&due.abandoned);
            for _ in &due.abandoned {
                self.ensure_enough(&mut state);
            }
            if !due.abandoned.is_empty() {
                self.work.notify_all();
            }
            if !due.limited.is_empty() {
                return Some(due);
            }
            if jumps != state.timer.jumps {
                continue;
            }
            state.timer.sleeps_until = due.next;
            match due.next {
                Some(next) => {
                    self.due.wait_for(&mut state, next.saturating_sub(now));
                }
                None => self.due.wait(&mut state),
            }
            state.timer.sleeps_until = None;
        }
    }
}

/// The life of the timer.
fn keep_time(pool: Arc<Pool>) {
    let mut slot = Slot { pool, in_hand: Vec::new() };
    while let Some(due) = slot.pool.next_due() {
        slot.in_hand = due.limited;
        while let Some(live) = slot.in_hand.last() {
            live.token.wake();
            run::end_cut_short(&slot.pool, live);
            slot.in_hand.pop();
        }
    }
}

/// The timer's place in the pool, given up where it unwinds.
struct Slot {
    pool: Arc<Pool>,
    /// The turns that are yet to be ended.
    in_hand: Vec<Live>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        if state.closing {
            // Its thread is joined.
            return;
        }
        state.timer.thread = None;
        // What it had in hand is ended by workers; another one goes on with the rest.
        state.take_lost(std::mem::take(&mut self.in_hand));
        self.pool.ensure_enough(&mut state);
        self.pool.expect(&mut state, Duration::ZERO);
        drop(state);
        self.pool.work.notify_all();
    }
}

/// Tells a pool that its clock jumped.
struct Jumped(Weak<Pool>);

impl Wake for Jumped {
    fn wake(self: Arc<Self>) {
        let Some(pool) = self.0.upgrade() else { return };
        let mut state = pool.state.lock();
        pool.hurry(&mut state);
        drop(state);
        pool.quiet.notify_all();
        if let Some(announcer) = &pool.announcer {
            announcer.heed_clock();
        }
    }
}
