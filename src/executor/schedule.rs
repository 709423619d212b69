//! Which turn runs next: a value without threads, which the executor keeps under its one mutex.

use std::collections::{HashMap, VecDeque};

use crate::agent::{Agent, Token};
use crate::id::SessionId;
use crate::record::{Message, Turn};
use crate::store::{Claim, SessionRef};
use crate::sync::Arc;

/// A turn that the store accepted, and what is to run it.
pub(crate) struct Job {
    pub(crate) at: SessionRef,
    pub(crate) claim: Claim,
    pub(crate) turn: Turn,
    pub(crate) input: Message,
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) token: Arc<Token>,
}

/// What it takes to end a turn that is the executor's.
pub(super) struct Live {
    pub(super) at: SessionRef,
    pub(super) claim: Claim,
    pub(super) token: Arc<Token>,
}

impl Live {
    pub(super) fn of(job: &Job) -> Self {
        Live { at: job.at, claim: job.claim, token: Arc::clone(&job.token) }
    }
}

/// The turns of the executor: at most one agent a session, sessions first come, first served.
///
/// The store decided which turns run. This only keeps a new turn's agent from starting before
/// the old one of its session has returned.
#[derive(Default)]
pub(super) struct Schedule {
    lanes: HashMap<SessionId, Lane>,
    /// The sessions that have a turn to start and no agent running, each once.
    ready: VecDeque<SessionId>,
}

/// A session with an agent running, a turn to start, or both.
#[derive(Default)]
struct Lane {
    running: Option<Live>,
    next: Option<Box<Job>>,
}

impl Schedule {
    /// Takes in an accepted turn, and stops the agent that it interrupted.
    ///
    /// Callers bring what the store answered them in any order; the epochs of the claims tell the
    /// order of the commits. A later claim of the session means that all before it are over.
    pub(super) fn accept(&mut self, job: Box<Job>) {
        let session = job.at.session;
        let lane = self.lanes.entry(session).or_default();
        let known = [lane.running.as_ref().map(|live| live.claim.epoch), lane.next.as_ref().map(|job| job.claim.epoch)];
        if known.into_iter().flatten().any(|epoch| epoch >= job.claim.epoch) {
            return;
        }
        if let Some(live) = &lane.running {
            live.token.trip();
        }
        let replaced = lane.next.replace(job);
        if lane.running.is_none() && replaced.is_none() {
            self.ready.push_back(session);
        }
    }

    /// The next turn to start, now this caller's to run.
    pub(super) fn take(&mut self) -> Option<Box<Job>> {
        while let Some(session) = self.ready.pop_front() {
            if let Some(lane) = self.lanes.get_mut(&session)
                && let Some(job) = lane.next.take()
            {
                lane.running = Some(Live::of(&job));
                return Some(job);
            }
        }
        None
    }

    /// The agent of this session returned.
    pub(super) fn done(&mut self, session: SessionId) {
        let Some(lane) = self.lanes.get_mut(&session) else { return };
        lane.running = None;
        if lane.next.is_some() {
            self.ready.push_back(session);
        } else {
            self.lanes.remove(&session);
        }
    }

    /// How many turns could start if there were threads for them.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Tells all agents to stop and gives up what did not start. Answers with all turns that may
    /// not have ended.
    pub(super) fn cancel(&mut self) -> Vec<Live> {
        self.ready.clear();
        let mut live = Vec::new();
        self.lanes.retain(|_, lane| {
            live.extend(lane.next.take().map(|job| Live::of(&job)));
            if let Some(running) = &lane.running {
                running.token.trip();
                live.push(Live { at: running.at, claim: running.claim, token: Arc::clone(&running.token) });
            }
            lane.running.is_some()
        });
        live
    }
}
