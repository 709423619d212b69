//! Which turn runs next, and which agent is to stop or to be left behind when: a value without
//! threads, which the executor keeps under its one mutex.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::load::Load;
use crate::agent::{Agent, Cause, Token};
use crate::bug::{Bug, is_planted};
use crate::id::{AgentId, TurnId, WorkspaceId};
use crate::record::{Message, Turn};
use crate::store::{Claim, SessionRef, Started};
use crate::sync::{Arc, HashMap};
use crate::time::Duration;

/// A turn that the store accepted, and what is to run it.
pub(super) struct Job {
    pub(super) at: SessionRef,
    pub(super) agent_id: AgentId,
    pub(super) claim: Claim,
    pub(super) turn: Turn,
    pub(super) input: Message,
    pub(super) agent: Arc<dyn Agent>,
    pub(super) token: Arc<Token>,
    /// What it holds while it waits.
    pub(super) load: Load,
}

/// What it takes to end a turn that is the executor's.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) at: SessionRef,
    pub(super) agent_id: AgentId,
    pub(super) claim: Claim,
    /// What runs the turn that its end promotes.
    pub(super) agent: Arc<dyn Agent>,
    pub(super) token: Arc<Token>,
    /// How long it may run, where it says so itself.
    pub(super) time_limit: Option<Duration>,
}

impl Live {
    pub(super) fn of(job: &Job) -> Self {
        let (agent, token) = (Arc::clone(&job.agent), Arc::clone(&job.token));
        let time_limit = job.turn.time_limit;
        Live { at: job.at, agent_id: job.agent_id, claim: job.claim, agent, token, time_limit }
    }
}

impl Job {
    /// What a turn that the store started needs to be run.
    pub(super) fn of(started: Started, agent: Arc<dyn Agent>) -> Box<Self> {
        let load = Load::of(started.size());
        let Started { at, agent_id, message, turn, claim, .. } = started;
        Box::new(Job { at, agent_id, claim, turn, input: message, agent, token: Arc::default(), load })
    }
}

/// The number of a worker thread: none is given twice.
pub(super) type WorkerNumber = usize;

/// The turns of the executor: at most one agent a session, sessions first come, first served.
///
/// The store decided which turns run. This only keeps a new turn's agent from starting before
/// the old one of its session has returned, or was left behind.
#[derive(Default)]
pub(super) struct Schedule {
    /// By workspace and id: an id of the caller's may be that of another session elsewhere.
    lanes: HashMap<SessionRef, Lane>,
    /// The sessions that have a turn to start and no agent running, each once.
    ready: VecDeque<SessionRef>,
    /// The agents that were called and have not returned, by the workers that did.
    running: BTreeMap<WorkerNumber, Running>,
    /// What the turns to start hold.
    waiting: Load,
}

/// A session with an agent running, a turn to start, or both.
#[derive(Default)]
struct Lane {
    running: Option<WorkerNumber>,
    next: Option<Box<Job>>,
}

/// An agent that has not returned.
struct Running {
    live: Live,
    /// When its turn has run for as long as it may.
    limit: Option<Duration>,
    /// When it is left behind: it was told to stop.
    grace: Option<Duration>,
}

impl Running {
    /// Tells the agent to stop, by this time, where it was not told before. Who waits for that is yet to be woken.
    fn stop(&mut self, cause: Cause, grace: Duration) -> Live {
        self.live.token.trip(cause);
        self.grace.get_or_insert(grace);
        self.limit = None;
        self.live.clone()
    }
}

/// What time has brought.
#[derive(Default)]
pub(super) struct Due {
    /// The turns that have run for as long as they may. Their agents are told to stop, and who waits for that is yet
    /// to be woken; the ends are yet to be written.
    pub(super) limited: Vec<Live>,
    /// The workers whose agents were left behind.
    pub(super) abandoned: Vec<WorkerNumber>,
    /// When time brings more.
    pub(super) next: Option<Duration>,
}

impl Schedule {
    /// Takes in an accepted turn, and stops the agent that it interrupted, by this time. Answers with that
    /// one, which is over: who waits for its token is yet to be woken.
    ///
    /// Callers bring what the store answered them in any order; the epochs of the claims tell the
    /// order of the commits. A later claim of the session means that all before it are over.
    pub(super) fn accept(&mut self, job: Box<Job>, grace: Duration) -> Option<Live> {
        self.take_in(job, None, grace)
    }

    /// Takes in a turn that the end of this one promoted, as [`accept`](Self::accept) does. The agent of the one that
    /// ended has returned, or was told to stop: it is not told of the end.
    pub(super) fn accept_next(&mut self, job: Box<Job>, ended: TurnId, grace: Duration) -> Option<Live> {
        self.take_in(job, Some(ended), grace)
    }

    fn take_in(&mut self, job: Box<Job>, ended: Option<TurnId>, grace: Duration) -> Option<Live> {
        let at = job.at;
        let lane = self.lanes.entry(at).or_default();
        let running = lane.running.and_then(|worker| self.running.get_mut(&worker));
        let known =
            [running.as_ref().map(|running| running.live.claim.epoch), lane.next.as_ref().map(|job| job.claim.epoch)];
        if known.into_iter().flatten().any(|epoch| epoch >= job.claim.epoch) {
            return None;
        }
        self.waiting.add(job.load);
        let replaced = lane.next.replace(job);
        self.waiting.take(replaced.as_ref().map(|job| job.load).unwrap_or_default());
        if lane.running.is_none() && replaced.is_none() {
            self.ready.push_back(at);
        }
        let running = running.filter(|running| Some(running.live.claim.turn) != ended);
        running.map(|running| running.stop(Cause::Over, grace))
    }

    /// A turn was ended by neither its agent nor a later turn: gives up its start, or stops its agent by this time.
    /// Answers as [`accept`](Self::accept) does.
    pub(super) fn end(&mut self, at: SessionRef, turn: TurnId, grace: Duration) -> Option<Live> {
        let lane = self.lanes.get_mut(&at)?;
        if let Some(job) = lane.next.take_if(|job| job.claim.turn == turn) {
            self.waiting.take(job.load);
            if lane.running.is_none() {
                self.lanes.remove(&at);
                self.ready.retain(|ready| *ready != at);
            }
            return None;
        }
        let running = lane.running.and_then(|worker| self.running.get_mut(&worker))?;
        (running.live.claim.turn == turn).then(|| running.stop(Cause::Over, grace))
    }

    /// The next turn to start, now this worker's to run.
    pub(super) fn take(&mut self, worker: WorkerNumber) -> Option<Box<Job>> {
        while let Some(at) = self.ready.pop_front() {
            if let Some(lane) = self.lanes.get_mut(&at)
                && let Some(job) = lane.next.take()
            {
                lane.running = Some(worker);
                self.waiting.take(job.load);
                self.running.insert(worker, Running { live: Live::of(&job), limit: None, grace: None });
                return Some(job);
            }
        }
        None
    }

    /// The agent of this worker has started: its turn may run until then.
    pub(super) fn limit(&mut self, worker: WorkerNumber, until: Duration) {
        // One that was told to stop has its grace.
        if let Some(running) = self.running.get_mut(&worker).filter(|running| running.grace.is_none()) {
            running.limit = Some(until);
        }
    }

    /// The agent of this worker returned, or was left behind.
    pub(super) fn done(&mut self, worker: WorkerNumber) {
        let Some(Running { live, .. }) = self.running.remove(&worker) else { return };
        let Some(lane) = self.lanes.get_mut(&live.at) else { return };
        lane.running = None;
        if is_planted(Bug::PendingDropped) {
            self.waiting.take(lane.next.take().map(|job| job.load).unwrap_or_default());
        }
        if lane.next.is_some() {
            self.ready.push_back(live.at);
        } else {
            self.lanes.remove(&live.at);
        }
    }

    /// The session is no more: all its turns are over, and the claims of one that is made in its place begin anew.
    /// Answers with the one whose agent runs, as [`accept`](Self::accept) does.
    pub(super) fn forget(&mut self, at: SessionRef, grace: Duration) -> Option<Live> {
        let lane = self.lanes.get_mut(&at)?;
        if let Some(job) = lane.next.take() {
            self.waiting.take(job.load);
            if lane.running.is_none() {
                self.ready.retain(|ready| *ready != at);
            }
        }
        match lane.running.and_then(|worker| self.running.get_mut(&worker)) {
            // What comes next waits for its agent all the same.
            Some(running) => {
                let over = running.stop(Cause::Over, grace);
                running.live.claim.epoch = 0;
                Some(over)
            }
            None => {
                self.lanes.remove(&at);
                None
            }
        }
    }

    /// The agent's sessions are no more: as [`forget`](Self::forget) for each that is known.
    pub(super) fn forget_agent(&mut self, workspace: WorkspaceId, agent: AgentId, grace: Duration) -> Vec<Live> {
        let is_its = |lane: &Lane| {
            let running =
                lane.running.and_then(|worker| self.running.get(&worker)).map(|running| running.live.agent_id);
            running.or(lane.next.as_ref().map(|job| job.agent_id)) == Some(agent)
        };
        let its = self.lanes.iter().filter(|(at, lane)| at.workspace == workspace && is_its(lane));
        let its: Vec<SessionRef> = its.map(|(at, _)| *at).collect();
        its.into_iter().filter_map(|at| self.forget(at, grace)).collect()
    }

    /// What is due by now: the turns whose time is over, whose agents have until `grace` from now on, and the
    /// agents whose grace is over, of which at most `room` are left behind.
    pub(super) fn due(&mut self, now: Duration, grace: Duration, room: usize) -> Due {
        let mut due = Due::default();
        for (&worker, running) in &mut self.running {
            if running.limit.is_some_and(|limit| limit <= now) {
                running.stop(Cause::TimeLimit, grace);
                due.limited.push(running.live.clone());
            }
            if running.grace.is_some_and(|grace| grace <= now) {
                // Without room it stays, and so does its worker, until one of the others returns.
                if due.abandoned.len() < room {
                    due.abandoned.push(worker);
                }
                continue;
            }
            let next = [running.limit, running.grace].into_iter().flatten().min();
            due.next = [due.next, next].into_iter().flatten().min();
        }
        due.abandoned.iter().for_each(|&worker| self.done(worker));
        due
    }

    /// How many turns could start if there were threads for them.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// What the turns hold that wait to be started.
    pub(super) fn waiting(&self) -> Load {
        self.waiting
    }

    /// Tells all agents to stop and gives up what did not start. Answers with all turns that may
    /// not have ended; who waits for their tokens is yet to be woken.
    pub(super) fn cancel(&mut self) -> Vec<Live> {
        self.ready.clear();
        self.waiting = Load::default();
        let mut live = Vec::new();
        self.lanes.retain(|_, lane| {
            live.extend(lane.next.take().map(|job| Live::of(&job)));
            lane.running.is_some()
        });
        for running in self.running.values() {
            running.live.token.trip(Cause::Closing);
            live.push(running.live.clone());
        }
        live
    }
}
