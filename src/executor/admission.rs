//! Taking part: turns, writes and deletions that the store is being asked for, which a close waits for.

use super::load::Load;
use super::schedule::Job;
use super::worker::{Pool, State};
use crate::agent::{Agent, Token};
use crate::error::{Error, Result};
use crate::id::{AgentId, TurnId, WorkspaceId};
use crate::store::{SessionRef, Submitted};
use crate::sync::Arc;

/// The place of a turn that the store is being asked to accept, or of a write without one.
pub(crate) struct Admission<'a> {
    pool: &'a Arc<Pool>,
    /// The session, where its being deleted must wait for this.
    at: Option<SessionRef>,
    /// What the turn to come will hold, which has its place by now.
    load: Load,
}

impl Pool {
    /// Asks for one turn of a session, of so many bytes, to be taken in, before the store is asked to accept it: a turn that was
    /// accepted can then neither miss its thread nor slip through a close. Where there is no room for it, the answer says so:
    /// the store is asked all the same, for it may know the turn.
    pub(super) fn admit(self: &Arc<Self>, at: SessionRef, bytes: usize) -> Result<(Admission<'_>, Result<()>)> {
        let load = Load::of(bytes);
        self.enter(Some(at), |state| {
            let room = self.check_room(state).and_then(|()| {
                self.announcer.as_ref().map_or(Ok(()), |announcer| announcer.check_room())?;
                state.schedule.waiting().and(state.reserved).check(load, self.options.queue)?;
                self.ensure_one(state)
            });
            let load = if room.is_ok() { load } else { Load::default() };
            state.reserved.add(load);
            (load, room)
        })
    }

    /// Takes part, as soon as the session, if it is about one, is not being deleted.
    pub(super) fn enter<T>(
        self: &Arc<Self>,
        at: Option<SessionRef>,
        prepare: impl FnOnce(&mut State) -> (Load, T),
    ) -> Result<(Admission<'_>, T)> {
        let mut state = self.state.lock();
        while !state.closing && at.is_some_and(|at| state.is_held(at)) {
            self.answered.wait(&mut state);
        }
        if state.closing {
            return Err(Error::closed());
        }
        let (load, prepared) = prepare(&mut state);
        state.admitted += 1;
        if let Some(at) = at {
            *state.entering.entry(at).or_default() += 1;
        }
        Ok((Admission { pool: self, at, load }, prepared))
    }
}

impl<'a> Admission<'a> {
    /// One of a turn that may start when the one in hand of this session ends; none where the pool closes. It waits for
    /// no deletion: who deletes the session waits for this, or is told that it is busy.
    pub(super) fn of_next(pool: &'a Arc<Pool>, at: SessionRef) -> Option<Self> {
        let mut state = pool.state.lock();
        if state.closing {
            return None;
        }
        state.admitted += 1;
        *state.entering.entry(at).or_default() += 1;
        drop(state);
        Some(Admission { pool, at: Some(at), load: Load::default() })
    }

    /// Takes in what the store answered: starts the turn, unless it is the original of an earlier
    /// operation.
    pub(crate) fn start(self, at: SessionRef, agent_id: AgentId, submitted: Submitted, agent: Option<&Arc<dyn Agent>>) {
        if let Some(turn) = submitted.interrupted {
            self.pool.over(at, agent_id, turn);
        }
        // The store accepts a turn only where its agent's behaviour is registered.
        let Some(agent) = agent else { return };
        let Submitted { message, turn, claim, promoted, .. } = submitted;
        if let Some(started) = promoted {
            self.pool.accept(Job::of(*started, Arc::clone(agent)));
        }
        let Some(claim) = claim else { return };
        let (agent, token) = (Arc::clone(agent), Arc::<Token>::default());
        let load = self.load;
        self.pool.accept(Box::new(Job { at, agent_id, claim, turn, input: message, agent, token, load }));
    }

    /// Takes in that a turn was ended by a caller, and what started in its place.
    pub(super) fn ended(self, at: SessionRef, agent_id: AgentId, turn: TurnId, next: Option<Box<Job>>) {
        let pool = self.pool;
        let grace = pool.grace_from_now();
        let mut state = pool.state.lock();
        let stopped = state.schedule.end(at, turn, grace);
        if stopped.is_some() {
            pool.expect(&mut state, grace);
        }
        drop(state);
        pool.tell(stopped);
        pool.over(at, agent_id, turn);
        if let Some(next) = next {
            pool.accept(next);
        }
    }

    /// Takes in that a turn was ended by a caller which had not started.
    pub(super) fn cancelled(&self, at: SessionRef, agent_id: AgentId, turn: TurnId) {
        self.pool.over(at, agent_id, turn);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        self.answered(&mut state);
        state.admitted -= 1;
        state.reserved.take(self.load);
        if state.closing && state.admitted == 0 {
            self.pool.quiet.notify_all();
        }
    }
}

impl Admission<'_> {
    /// The session's being deleted need not wait for this any more.
    fn answered(&mut self, state: &mut State) {
        let Some(at) = self.at.take() else { return };
        if let Some(entering) = state.entering.get_mut(&at) {
            *entering -= 1;
            if *entering == 0 {
                state.entering.remove(&at);
            }
        }
        if state.is_held(at) {
            self.pool.answered.notify_all();
        }
    }
}

impl State {
    /// Whether the session, or an agent of its workspace, is being deleted.
    fn is_held(&self, at: SessionRef) -> bool {
        self.deleting.contains(&at) || self.emptying.contains(&at.workspace)
    }
}

/// The place of a session's deletion that the store is being asked for.
pub(crate) struct Deletion<'a> {
    gate: Gate<'a>,
    admission: Admission<'a>,
}

impl<'a> Deletion<'a> {
    pub(super) fn new(gate: Gate<'a>, admission: Admission<'a>) -> Self {
        Deletion { gate, admission }
    }

    /// The session is no more: what is known of it is forgotten, and one may be made in its place. A close
    /// still waits for what is returned.
    pub(crate) fn done(self) -> Admission<'a> {
        let Deletion { gate, mut admission } = self;
        let pool = gate.pool;
        let grace = pool.grace_from_now();
        let mut state = pool.state.lock();
        let stopped = state.schedule.forget(gate.at, grace);
        if stopped.is_some() {
            pool.expect(&mut state, grace);
        }
        admission.answered(&mut state);
        drop(state);
        pool.tell(stopped);
        admission
    }
}

/// Keeps turns of a session, and one made in its place, from being taken in until it is dropped.
pub(super) struct Gate<'a> {
    pool: &'a Arc<Pool>,
    at: SessionRef,
}

impl<'a> Gate<'a> {
    /// One that is kept by now.
    pub(super) fn new(pool: &'a Arc<Pool>, at: SessionRef) -> Self {
        Gate { pool, at }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.pool.state.lock().deleting.remove(&self.at);
        self.pool.answered.notify_all();
    }
}

impl Pool {
    /// Asks for an agent of the workspace to be deleted. Which sessions are its the store alone knows, so until that is
    /// [done](AgentDeletion::done) nothing of any session of the workspace is taken in.
    pub(super) fn admit_agent_deletion(self: &Arc<Self>, workspace: WorkspaceId) -> Result<AgentDeletion<'_>> {
        let mut state = self.state.lock();
        while !state.closing && state.emptying.contains(&workspace) {
            self.answered.wait(&mut state);
        }
        if state.closing {
            return Err(Error::closed());
        }
        state.emptying.insert(workspace);
        state.admitted += 1;
        // None is added any more, and the store answers those that are there.
        while state.entering.keys().any(|at| at.workspace == workspace) {
            self.answered.wait(&mut state);
        }
        drop(state);
        let admission = Admission { pool: self, at: None, load: Load::default() };
        Ok(AgentDeletion { gate: WorkspaceGate { pool: self, workspace }, admission })
    }
}

/// The place of an agent's deletion that the store is being asked for.
pub(crate) struct AgentDeletion<'a> {
    gate: WorkspaceGate<'a>,
    admission: Admission<'a>,
}

impl<'a> AgentDeletion<'a> {
    /// The agent and its sessions are no more: as [`Deletion::done`] for each of them.
    pub(crate) fn done(self, agent: AgentId) -> Admission<'a> {
        let AgentDeletion { gate, admission } = self;
        let WorkspaceGate { pool, workspace } = &gate;
        let grace = pool.grace_from_now();
        let mut state = pool.state.lock();
        let stopped = state.schedule.forget_agent(*workspace, agent, grace);
        if !stopped.is_empty() {
            pool.expect(&mut state, grace);
        }
        drop(state);
        stopped.into_iter().for_each(|live| pool.tell(Some(live)));
        admission
    }
}

/// Keeps what is about sessions of a workspace from being taken in until it is dropped.
struct WorkspaceGate<'a> {
    pool: &'a Arc<Pool>,
    workspace: WorkspaceId,
}

impl Drop for WorkspaceGate<'_> {
    fn drop(&mut self) {
        self.pool.state.lock().emptying.remove(&self.workspace);
        self.pool.answered.notify_all();
    }
}
