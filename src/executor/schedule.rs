//! Which turn runs next: a value without threads, which the executor keeps under its one mutex.

use std::collections::VecDeque;

use crate::agent::{Agent, Token};
use crate::id::{AgentId, TurnId};
use crate::record::{Message, Turn};
use crate::store::{Claim, SessionRef, Started};
use crate::sync::{Arc, HashMap};

/// A turn that the store accepted, and what is to run it.
pub(crate) struct Job {
    pub(crate) at: SessionRef,
    pub(crate) agent_id: AgentId,
    pub(crate) claim: Claim,
    pub(crate) turn: Turn,
    pub(crate) input: Message,
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) token: Arc<Token>,
}

/// What it takes to end a turn that is the executor's.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) at: SessionRef,
    pub(super) agent_id: AgentId,
    pub(super) claim: Claim,
    pub(super) agent: Arc<dyn Agent>,
    pub(super) token: Arc<Token>,
}

impl Live {
    pub(super) fn of(job: &Job) -> Self {
        let (agent, token) = (Arc::clone(&job.agent), Arc::clone(&job.token));
        Live { at: job.at, agent_id: job.agent_id, claim: job.claim, agent, token }
    }
}

impl Job {
    /// What a turn that the store started needs to be run.
    pub(super) fn of(started: Started, agent: Arc<dyn Agent>) -> Box<Self> {
        let Started { at, agent_id, message, turn, claim, .. } = started;
        Box::new(Job { at, agent_id, claim, turn, input: message, agent, token: Arc::default() })
    }
}

/// The turns of the executor: at most one agent a session, sessions first come, first served.
///
/// The store decided which turns run. This only keeps a new turn's agent from starting before
/// the old one of its session has returned.
#[derive(Default)]
pub(super) struct Schedule {
    /// By workspace and id: an id of the caller's may be that of another session elsewhere.
    lanes: HashMap<SessionRef, Lane>,
    /// The sessions that have a turn to start and no agent running, each once.
    ready: VecDeque<SessionRef>,
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
        let at = job.at;
        let lane = self.lanes.entry(at).or_default();
        let known = [lane.running.as_ref().map(|live| live.claim.epoch), lane.next.as_ref().map(|job| job.claim.epoch)];
        if known.into_iter().flatten().any(|epoch| epoch >= job.claim.epoch) {
            return;
        }
        if let Some(live) = &lane.running {
            live.token.trip();
        }
        let replaced = lane.next.replace(job);
        if lane.running.is_none() && replaced.is_none() {
            self.ready.push_back(at);
        }
    }

    /// A turn was ended, by neither its agent nor a later turn: stops the agent, or gives up its start.
    pub(super) fn end(&mut self, at: SessionRef, turn: TurnId) {
        let Some(lane) = self.lanes.get_mut(&at) else { return };
        if let Some(live) = lane.running.as_ref().filter(|live| live.claim.turn == turn) {
            live.token.trip();
        }
        if lane.next.take_if(|job| job.claim.turn == turn).is_some() && lane.running.is_none() {
            self.lanes.remove(&at);
            self.ready.retain(|ready| *ready != at);
        }
    }

    /// The next turn to start, now this caller's to run.
    pub(super) fn take(&mut self) -> Option<Box<Job>> {
        while let Some(at) = self.ready.pop_front() {
            if let Some(lane) = self.lanes.get_mut(&at)
                && let Some(job) = lane.next.take()
            {
                lane.running = Some(Live::of(&job));
                return Some(job);
            }
        }
        None
    }

    /// The agent of this session returned.
    pub(super) fn done(&mut self, at: SessionRef) {
        let Some(lane) = self.lanes.get_mut(&at) else { return };
        lane.running = None;
        if lane.next.is_some() {
            self.ready.push_back(at);
        } else {
            self.lanes.remove(&at);
        }
    }

    /// The session is no more: all its turns are over, and the claims of one that is made in its place begin anew.
    pub(super) fn forget(&mut self, at: SessionRef) {
        let Some(lane) = self.lanes.get_mut(&at) else { return };
        if lane.next.take().is_some() && lane.running.is_none() {
            self.ready.retain(|ready| *ready != at);
        }
        match &mut lane.running {
            // What comes next waits for its agent all the same.
            Some(live) => {
                live.token.trip();
                live.claim.epoch = 0;
            }
            None => drop(self.lanes.remove(&at)),
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
                live.push(running.clone());
            }
            lane.running.is_some()
        });
        live
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::agent::agent_fn;
    use crate::id::{MessageId, OwnerId, SessionId, ThreadId, WorkspaceId};
    use crate::record::{MessageType, Role, Ts};
    use crate::time::Timestamp;

    fn at(workspace: u128, session: u128) -> SessionRef {
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(workspace));
        SessionRef { workspace, session: SessionId::from_uuid(Uuid::from_u128(session)) }
    }

    fn job(session: u128, epoch: u64) -> Box<Job> {
        job_of(at(1, session), epoch)
    }

    fn job_of(at: SessionRef, epoch: u64) -> Box<Job> {
        let (time, session) = (Timestamp::from_micros(1), at.session);
        let id = Uuid::from_u128(u128::from(epoch));
        let (turn, message) = (TurnId::from_uuid(id), MessageId::from_uuid(id));
        Box::new(Job {
            at,
            agent_id: AgentId::from_uuid(id),
            claim: Claim { turn, owner: OwnerId::from_uuid(id), epoch },
            turn: Turn::new(turn, session, ThreadId::from_uuid(id), message, 1, time),
            input: Message::new(message, session, 1, Role::User, MessageType::Message, Ts::ZERO, time),
            agent: Arc::new(agent_fn(|_| Ok(()))),
            token: Arc::default(),
        })
    }

    /// Takes the next turn, and answers with its session and its epoch.
    fn take(schedule: &mut Schedule) -> Option<(u128, u64)> {
        schedule.take().map(|job| (job.at.session.as_uuid().as_u128(), job.claim.epoch))
    }

    #[test]
    fn sessions_are_served_in_the_order_they_came() {
        let mut schedule = Schedule::default();
        [job(1, 1), job(2, 1), job(3, 1)].into_iter().for_each(|job| schedule.accept(job));
        // A follow-up to a turn that did not start keeps the place of its session.
        schedule.accept(job(1, 2));
        assert_eq!(schedule.ready(), 3);
        assert_eq!((take(&mut schedule), take(&mut schedule)), (Some((1, 2)), Some((2, 1))));
        // One to a turn that runs waits for its agent, and then for the others.
        schedule.accept(job(1, 3));
        assert_eq!(schedule.ready(), 1);
        schedule.done(at(1, 1));
        assert_eq!((take(&mut schedule), take(&mut schedule), take(&mut schedule)), (Some((3, 1)), Some((1, 3)), None));
    }

    #[test]
    fn a_later_claim_stops_the_running_agent_and_an_earlier_one_comes_too_late() {
        let mut schedule = Schedule::default();
        schedule.accept(job(1, 2));
        // Accepted before it by the store, but brought here after it.
        schedule.accept(job(1, 1));
        let running = schedule.take().expect("the later one");
        assert_eq!(running.claim.epoch, 2);
        schedule.accept(job(1, 1));
        assert!(!running.token.is_tripped());
        schedule.done(running.at);
        assert_eq!(take(&mut schedule), None, "the earlier one never runs");

        schedule.accept(job(1, 3));
        let running = schedule.take().expect("the only one");
        schedule.accept(job(1, 4));
        assert!(running.token.is_tripped());
        assert_eq!(take(&mut schedule), None, "the old agent has not returned");
        schedule.done(running.at);
        assert_eq!(take(&mut schedule), Some((1, 4)));
    }

    #[test]
    fn sessions_of_one_id_in_two_workspaces_have_nothing_to_do_with_each_other() {
        let mut schedule = Schedule::default();
        schedule.accept(job_of(at(1, 1), 2));
        let running = schedule.take().expect("the first");
        schedule.accept(job_of(at(2, 1), 1));
        assert_eq!(take(&mut schedule), Some((1, 1)), "it waits for nobody");
        assert!(!running.token.is_tripped());
    }

    #[test]
    fn claims_of_a_session_that_is_made_again_begin_anew() {
        let mut schedule = Schedule::default();
        schedule.accept(job(1, 7));
        schedule.forget(at(1, 1));
        assert_eq!((take(&mut schedule), schedule.ready()), (None, 0), "what did not start is over");
        schedule.accept(job(1, 1));
        let running = schedule.take().expect("the first of the session made again");
        schedule.accept(job(1, 2));
        schedule.forget(at(1, 1));
        assert!(running.token.is_tripped());
        schedule.accept(job(1, 1));
        assert_eq!(take(&mut schedule), None, "the old agent has not returned");
        schedule.done(running.at);
        assert_eq!(take(&mut schedule), Some((1, 1)));
        schedule.done(running.at);
        assert!(schedule.lanes.is_empty());
    }

    #[test]
    fn cancelling_stops_what_runs_and_gives_up_what_waits() {
        let mut schedule = Schedule::default();
        [job(1, 1), job(2, 1)].into_iter().for_each(|job| schedule.accept(job));
        let running = schedule.take().expect("the first");
        schedule.accept(job(1, 2));
        let mut live: Vec<_> =
            schedule.cancel().iter().map(|live| (live.at.session.as_uuid().as_u128(), live.claim.epoch)).collect();
        live.sort_unstable();
        assert_eq!(live, [(1, 1), (1, 2), (2, 1)]);
        assert!(running.token.is_tripped());
        schedule.done(running.at);
        assert_eq!((take(&mut schedule), schedule.ready()), (None, 0));
        assert!(schedule.lanes.is_empty());
    }
}
