//! Telling the program of every turn that ends: on a thread of its own, after the commit, one after the other.

use std::collections::VecDeque;

use super::run;
use super::schedule::Live;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, TurnId, WorkspaceId};
use crate::limit::HOOK_QUEUE;
use crate::record::Turn;
use crate::shared::Shared;
use crate::store::SessionRef;
use crate::sync::{Arc, Condvar, JoinHandle, Mutex, MutexGuard, ThreadBuilder};
use crate::time::Duration;

/// A turn that ended: what a [`Hook`] is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TurnEnd {
    /// The workspace of its session.
    pub workspace_id: WorkspaceId,
    /// The agent of its session.
    pub agent_id: AgentId,
    /// The turn as it ended: its state, the reason, and the id of the final message.
    pub turn: Turn,
}

/// What is to be done in this process when a turn ends: see [`Builder::on_end`](crate::Builder::on_end). A closure will
/// do.
pub trait Hook: Send + Sync + 'static {
    /// A turn has ended. Its panic is caught, and the next one is told all the same.
    fn turn_ended(&self, end: &TurnEnd);
}

impl<F: Fn(&TurnEnd) + Send + Sync + 'static> Hook for F {
    fn turn_ended(&self, end: &TurnEnd) {
        self(end);
    }
}

/// The ends that are yet to be told, and the thread that does.
pub(super) struct Announcer {
    hook: Arc<dyn Hook>,
    state: Mutex<State>,
    /// There is an end to tell, or the engine closes.
    news: Condvar,
    /// All was told.
    quiet: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(SessionRef, AgentId, TurnId)>,
    thread: Option<JoinHandle<()>>,
    /// Whether one is just being told.
    telling: bool,
    /// The thread leaves once all was told.
    closing: bool,
}

impl State {
    fn is_quiet(&self) -> bool {
        self.queue.is_empty() && !self.telling
    }
}

impl Announcer {
    pub(super) fn new(hook: Arc<dyn Hook>) -> Self {
        Announcer { hook, state: Mutex::default(), news: Condvar::new(), quiet: Condvar::new() }
    }

    /// Refuses while too many ends wait to be told: each turn that is accepted brings another one.
    pub(super) fn check_room(&self) -> Result<()> {
        let waiting = self.waiting();
        if waiting < HOOK_QUEUE {
            return Ok(());
        }
        let text = format!("{waiting} ends of turns wait for the hook; at most {HOOK_QUEUE} may wait (HOOK_QUEUE)");
        Err(Error::new(ErrorKind::Overloaded, text))
    }

    /// How many ends wait to be told.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Has an end told that was committed. It waits for nothing.
    pub(super) fn announce(self: &Arc<Self>, shared: &Arc<Shared>, live: &Live) {
        self.announce_turn(shared, live.at, live.agent_id, live.claim.turn);
    }

    pub(super) fn announce_turn(self: &Arc<Self>, shared: &Arc<Shared>, at: SessionRef, agent: AgentId, turn: TurnId) {
        let mut state = self.state.lock();
        state.queue.push_back((at, agent, turn));
        if state.thread.is_none() {
            let (announcer, shared) = (Arc::clone(self), Arc::clone(shared));
            let tell = move || announcer.tell_all(&shared);
            // Where no thread can be had, the next end gets it.
            state.thread = ThreadBuilder::new().name("parlor-hook".into()).spawn(tell).ok();
        }
        drop(state);
        self.news.notify_one();
    }

    /// The life of the thread.
    fn tell_all(&self, shared: &Shared) {
        let mut state = self.state.lock();
        // How many of the next ones are on disk: what waits was committed before it was put there.
        let mut synced = 0_usize;
        loop {
            let Some((at, agent_id, turn)) = state.queue.pop_front() else {
                self.quiet.notify_all();
                if state.closing {
                    return;
                }
                self.news.wait(&mut state);
                continue;
            };
            state.telling = true;
            let waiting = state.queue.len();
            MutexGuard::unlocked(&mut state, || {
                // What a crash may take back is not told.
                if synced == 0 {
                    if shared.store().sync().is_err() {
                        return;
                    }
                    synced = waiting + 1;
                }
                synced -= 1;
                // One whose session was deleted since, or that cannot be read, is not told.
                if let Ok(turn) = shared.store().turn(at, turn) {
                    let end = TurnEnd { workspace_id: at.workspace, agent_id, turn };
                    run::tell(&*self.hook, &end);
                }
            });
            state.telling = false;
        }
    }

    /// Waits until all was told, up to the deadline. What was not told by then is not told any more.
    pub(super) fn close(&self, shared: &Shared, deadline: Duration) {
        let mut state = self.state.lock();
        state.closing = true;
        self.news.notify_all();
        while !state.is_quiet() {
            // The clock is the user's code: it runs unlocked.
            let left = MutexGuard::unlocked(&mut state, || deadline.saturating_sub(shared.clock.monotonic()));
            if left.is_zero() || state.is_quiet() {
                break;
            }
            self.quiet.wait_for(&mut state, left);
        }
        state.queue.clear();
        let thread = state.thread.take().filter(|_| !state.telling);
        drop(state);
        if let Some(thread) = thread {
            // It has nothing to panic with: the hook's panics are caught.
            let _ = thread.join();
        }
    }

    /// Has the thread leave once all was told.
    pub(super) fn leave(&self) {
        self.state.lock().closing = true;
        self.news.notify_all();
    }

    /// Looks at the clock again.
    pub(super) fn heed_clock(&self) {
        self.quiet.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{SessionId, WorkspaceId};

    #[test]
    fn so_many_ends_may_wait_and_then_no_turn_is_accepted() {
        let announcer = Announcer::new(Arc::new(|_: &TurnEnd| {}));
        let (workspace, session) = (WorkspaceId::from_uuid(Uuid::nil()), SessionId::from_uuid(Uuid::nil()));
        let at = SessionRef { workspace, session };
        let end = (at, AgentId::from_uuid(Uuid::nil()), TurnId::from_uuid(Uuid::nil()));
        announcer.state.lock().queue.extend(vec![end; HOOK_QUEUE - 1]);
        announcer.check_room().expect("one more may wait");
        announcer.state.lock().queue.push_back(end);
        let error = announcer.check_room().expect_err("no more may");
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        let text = format!("{HOOK_QUEUE} ends of turns wait for the hook; at most {HOOK_QUEUE} may");
        assert!(error.to_string().contains(&text), "{error}");
        announcer.state.lock().queue.pop_front();
        announcer.check_room().expect("there is room again");
    }
}
