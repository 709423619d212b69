//! Draws the next operation: one that has a chance, one that must be refused, or one of the past again.

use super::op::Op;
use super::world::{Known, World};
use crate::id::{AgentId, MessageId, SessionId, ThreadId, TurnId, WorkspaceId};
use crate::page::{Direction, Matching, PageAt, Roles, SessionPlace, Types};
use crate::record::{ContextMark, MessageType, NewSession, NewTurn, Reason, Role, Ts};
use crate::store::{
    Append, Behaviour, Cancel, Claim, CreateSession, DeleteMessage, DeleteSession, Emit, EndOrphans, EnsureAgent,
    EnsureWorkspace, Finish, ForkSession, Interrupt, Policy, Promote, Purge, QueueBounds, Recovery, Runner, Runners,
    SessionRef, SessionsQuery, SetContextMark, Stop, Submit, UpdateSession,
};
use crate::time::Timestamp;

/// Most sessions of a run: few enough that operations meet.
const SESSIONS: usize = 5;

/// What a submit may do when busy.
const POLICIES: [Policy; 8] = [
    Policy::Reject,
    Policy::FollowUp,
    Policy::FollowUp,
    Policy::Interrupt,
    Policy::Enqueue,
    Policy::Enqueue,
    Policy::Enqueue,
    Policy::Rollback,
];

impl World {
    pub(super) fn draw(&mut self) -> Op {
        if self.agents.is_empty() {
            return self.draw_names();
        }
        if self.sessions.is_empty() && self.rng.percent(80) {
            return self.draw_creation();
        }
        match self.rng.below(100) {
            0..3 => self.draw_names(),
            3..5 => self.draw_scope(),
            5..10 => self.draw_creation(),
            10..12 => self.draw_archive(),
            12..18 => self.draw_repetition(),
            18..27 => self.draw_append(),
            27..44 => self.draw_submit(),
            44..56 => self.draw_emit(),
            56..58 => self.draw_outbox(),
            58..69 => self.draw_finish(),
            69..75 => self.draw_control(),
            75 if self.rng.percent(40) => self.draw_fork(),
            75 => self.draw_update(),
            76..78 => self.draw_deletion(),
            78..79 => self.draw_deletion_of_session(),
            79..90 => self.draw_messages(),
            _ => self.draw_read(),
        }
    }

    fn workspace(&mut self) -> WorkspaceId {
        if self.rng.percent(3) {
            return WorkspaceId::from_uuid(self.fresh());
        }
        let pick = self.rng.index(self.workspaces.len());
        self.workspaces.get(pick).copied().unwrap_or(WorkspaceId::from_uuid(uuid::Uuid::nil()))
    }

    /// Mostly an agent in its workspace.
    pub(super) fn agent(&mut self) -> (WorkspaceId, AgentId) {
        let pick = self.rng.index(self.agents.len());
        let Some((workspace, agent)) = self.agents.get(pick).copied() else {
            return (self.workspace(), AgentId::from_uuid(self.fresh()));
        };
        match self.rng.below(100) {
            0..3 => (self.workspace(), agent),
            3..5 => (workspace, AgentId::from_uuid(self.fresh())),
            _ => (workspace, agent),
        }
    }

    /// Mostly a session in its workspace; its place among the known ones goes with it.
    pub(super) fn place(&mut self) -> (SessionRef, Option<usize>) {
        // The first is the busiest, so that one conversation grows long.
        let pick = if self.rng.percent(50) { 0 } else { self.rng.index(self.sessions.len()) };
        self.place_at(pick)
    }

    /// Mostly a session of which this holds.
    pub(super) fn place_where(&mut self, wanted: fn(&Known) -> bool) -> (SessionRef, Option<usize>) {
        let such = (0..self.sessions.len()).filter(|index| self.sessions.get(*index).is_some_and(wanted));
        let such: Vec<usize> = such.collect();
        match self.rng.pick(&such).copied() {
            Some(pick) if self.rng.percent(75) => self.place_at(pick),
            _ => self.place(),
        }
    }

    fn place_at(&mut self, pick: usize) -> (SessionRef, Option<usize>) {
        let Some(at) = self.sessions.get(pick).map(|known| known.at) else {
            return (SessionRef { workspace: self.workspace(), session: SessionId::from_uuid(self.shared_id()) }, None);
        };
        match self.rng.below(100) {
            0..2 => (SessionRef { workspace: self.workspace(), ..at }, None),
            2..3 => (SessionRef { session: SessionId::from_uuid(self.fresh()), ..at }, None),
            // One that was deleted, and may have been made again.
            3..6 => (self.rng.pick(&self.gone).copied().unwrap_or(at), None),
            _ => (at, Some(pick)),
        }
    }

    pub(super) fn thread_of(&mut self, session: Option<usize>) -> ThreadId {
        // Now and then one of another session.
        let session = if self.rng.percent(5) { Some(self.rng.index(self.sessions.len())) } else { session };
        let known = session.and_then(|index| self.sessions.get(index));
        match known.and_then(|known| self.rng.pick(&known.threads)) {
            Some(thread) => *thread,
            None => ThreadId::from_uuid(self.fresh()),
        }
    }

    fn message_of(&mut self, session: Option<usize>) -> MessageId {
        let session = if self.rng.percent(5) { Some(self.rng.index(self.sessions.len())) } else { session };
        let known = session.and_then(|index| self.sessions.get(index));
        match known.and_then(|known| self.rng.pick(&known.messages)) {
            Some(message) => *message,
            None => MessageId::from_uuid(self.fresh()),
        }
    }

    fn turn_of(&mut self, session: Option<usize>) -> TurnId {
        let session = if self.rng.percent(5) { Some(self.rng.index(self.sessions.len())) } else { session };
        let known = session.and_then(|index| self.sessions.get(index));
        match known.and_then(|known| self.rng.pick(&known.turns)) {
            Some(turn) => *turn,
            None => TurnId::from_uuid(self.fresh()),
        }
    }

    /// Mostly the latest claim of the session; else an old one, or one that nobody gave.
    fn claim_of(&mut self, session: Option<usize>) -> Claim {
        let claims = session.and_then(|index| self.sessions.get(index)).map(|known| known.claims.as_slice());
        let claims = claims.unwrap_or_default();
        let pick = if self.rng.percent(85) { claims.last() } else { self.rng.pick(claims) }.copied();
        let nobodys = Claim { turn: TurnId::from_uuid(self.fresh()), owner: self.owner(), epoch: 1 };
        let claim = pick.unwrap_or(nobodys);
        match self.rng.below(100) {
            0 => Claim { epoch: claim.epoch + 1, ..claim },
            1 => Claim { epoch: claim.epoch.saturating_sub(1), ..claim },
            2 => Claim { owner: self.owner(), ..claim },
            3 => Claim { turn: self.turn_of(session), ..claim },
            _ => claim,
        }
    }

    fn draw_names(&mut self) -> Op {
        let name = self.rng.one(["acme", "beta", "Acme"]).to_owned();
        let agent = self.rng.one(["greeter", "booker"]).to_owned();
        match self.rng.below(6) {
            0 => Op::FindWorkspace(name),
            1 => Op::FindAgent(self.workspace(), agent),
            2 | 3 if !self.workspaces.is_empty() => {
                Op::EnsureAgent(EnsureAgent { stamp: self.stamp(), workspace: self.workspace(), name: agent })
            }
            _ => Op::EnsureWorkspace(EnsureWorkspace { stamp: self.stamp(), name }),
        }
    }

    fn runner(&mut self) -> Runner {
        let behaviour = match self.rng.below(100) {
            0..3 => Behaviour::Missing,
            3..5 => Behaviour::Overloaded,
            _ => Behaviour::Registered,
        };
        Runner { owner: self.owner(), lease: None, behaviour }
    }

    fn draw_creation(&mut self) -> Op {
        if self.sessions.len() >= SESSIONS {
            return self.draw_repetition();
        }
        let (workspace, agent) = self.agent();
        let first = self.rng.percent(40).then(|| (self.turn(None), self.runner()));
        Op::CreateSession(Box::new(CreateSession {
            stamp: self.stamp(),
            workspace,
            agent,
            new: self.new_session(),
            first,
        }))
    }

    fn draw_append(&mut self) -> Op {
        let (at, known) = self.place_where(Known::is_idle);
        let thread = self.rng.percent(20).then(|| self.thread_of(known));
        Op::Append(Append { stamp: self.stamp(), at, thread, messages: self.batch(known) })
    }

    fn draw_submit(&mut self) -> Op {
        let (at, known) = self.place();
        let thread = self.rng.percent(20).then(|| self.thread_of(known));
        let new = NewTurn { thread, ..self.turn(known) };
        let (policy, queue) = (self.rng.one(POLICIES), self.queue_bounds());
        let sender = self.rng.percent(15).then(|| self.claim_of(known));
        Op::Submit(Box::new(Submit { stamp: self.stamp(), at, new, policy, runner: self.runner(), sender, queue }))
    }

    /// Mostly room enough.
    fn queue_bounds(&mut self) -> QueueBounds {
        let mut bounds = QueueBounds::default();
        match self.rng.below(20) {
            0 => bounds.turns = self.rng.one([0, 1, 2]),
            1 => bounds.bytes = self.rng.below(20),
            2 => bounds.all_turns = self.rng.below(4),
            3 => bounds.all_bytes = self.rng.below(40),
            _ => {}
        }
        bounds
    }

    /// Mostly somebody to run what waits.
    fn next(&mut self) -> Option<Runner> {
        self.rng.percent(80).then(|| self.runner())
    }

    fn runners(&mut self) -> Runners {
        let agents = ["greeter", "booker"].into_iter().filter(|_| self.rng.percent(80)).map(str::to_owned);
        let agents = agents.collect();
        Runners { owner: self.owner(), lease: None, agents }
    }

    /// What is done to turns by others than their agents.
    fn draw_control(&mut self) -> Op {
        let (at, known) = self.place_where(|known| !known.is_idle());
        let stamp = self.stamp();
        match self.rng.below(7) {
            0 => {
                let turn = self.rng.percent(50).then(|| self.turn_of(known));
                Op::Interrupt(Interrupt { stamp, at, turn, reason: self.rng.one(Reason::ALL), next: self.next() })
            }
            1 => Op::Stop(Stop { stamp, at, reason: self.rng.one(Reason::ALL) }),
            2 => {
                let queued = known.and_then(|index| self.sessions.get(index)).map(|known| known.queued.as_slice());
                let queued = self.rng.pick(queued.unwrap_or_default()).copied();
                let turn = if self.rng.percent(80) { queued } else { None };
                Op::Cancel(Cancel { stamp, at, turn: turn.unwrap_or_else(|| self.turn_of(known)) })
            }
            3 => Op::Promote(Promote { stamp, runners: self.runners(), limit: self.rng.one([0, 1, 2, 10]) }),
            4 => self.draw_mark(),
            _ => {
                let (runners, limit) = (self.runners(), self.rng.one([1, 2, 10]));
                let recovery = match self.rng.below(2) {
                    0 => Recovery::End,
                    _ => Recovery::RunAgain { attempts: self.rng.one([1, 2, 3]), runners: runners.clone() },
                };
                Op::EndOrphans(EndOrphans { stamp, owner: runners.owner, limit, recovery })
            }
        }
    }

    fn draw_update(&mut self) -> Op {
        let (at, _) = self.place();
        Op::UpdateSession(Box::new(UpdateSession { stamp: self.stamp(), at, update: self.update() }))
    }

    fn draw_fork(&mut self) -> Op {
        let (at, known) = self.place();
        let new = if self.rng.percent(60) { self.new_session() } else { NewSession::default() };
        Op::ForkSession(Box::new(ForkSession { stamp: self.stamp(), at, message: self.message_of(known), new }))
    }

    fn draw_mark(&mut self) -> Op {
        let (at, known) = if self.rng.percent(50) { self.place_where(Known::is_idle) } else { self.place() };
        let last = known.and_then(|index| self.sessions.get(index)).map_or(0, |known| known.last_number);
        let message = u32::try_from(self.rng.below(u64::from(last) + 4)).unwrap_or_default();
        let mark = self.rng.percent(80).then(|| ContextMark::new(message, self.rng.one(["so far", ""])));
        let claim = self.rng.percent(50).then(|| self.claim_of(known));
        Op::SetContextMark(SetContextMark { stamp: self.stamp(), at, claim, mark })
    }

    /// Some time around the clock's.
    fn started_at(&mut self) -> Timestamp {
        let (now, by) = (self.now().as_micros(), self.rng.below(1000));
        Timestamp::from_micros(if self.rng.percent(50) { now.saturating_add(by) } else { now.saturating_sub(by) })
    }

    fn draw_emit(&mut self) -> Op {
        let (at, known) = self.place_where(|known| known.running);
        let mut messages = self.batch(known);
        if self.rng.percent(90) {
            for message in &mut messages {
                message.kind = message.kind.filter(|kind| *kind != MessageType::FinalMessage);
            }
        }
        let claim = self.claim_of(known);
        let (started_at, usage) = (self.started_at(), self.usage());
        if !usage.is_zero() && self.rng.percent(30) {
            messages.clear();
        }
        Op::Emit(Emit { stamp: self.stamp(), at, claim, started_at, messages, usage })
    }

    fn draw_finish(&mut self) -> Op {
        let (at, known) = self.place_where(|known| known.running);
        let started_at = self.rng.percent(50).then(|| self.started_at());
        let (claim, outcome) = (self.claim_of(known), self.outcome(known));
        let (usage, next) = (self.usage(), self.next());
        Op::Finish(Finish { stamp: self.stamp(), at, claim, started_at, outcome, usage, next })
    }

    fn draw_deletion(&mut self) -> Op {
        let (at, known) = self.place();
        match self.rng.below(4) {
            0 => Op::Purge(Purge { stamp: self.stamp(), at, message: Some(self.message_of(known)) }),
            1 => Op::Purge(Purge { stamp: self.stamp(), at, message: None }),
            _ => Op::DeleteMessage(DeleteMessage { stamp: self.stamp(), at, message: self.message_of(known) }),
        }
    }

    fn draw_deletion_of_session(&mut self) -> Op {
        let (at, _) = self.place_where(Known::is_idle);
        Op::DeleteSession(DeleteSession { stamp: self.stamp(), at, only_at: self.only_at() })
    }

    /// The number of an event that may be the latest of a session.
    pub(super) fn only_at(&mut self) -> Option<u64> {
        self.rng.percent(20).then(|| self.rng.below(12))
    }

    /// An operation of the past again, as it was or with one thing changed.
    fn draw_repetition(&mut self) -> Op {
        let pick = self.rng.index(self.past.len());
        let Some(mut op) = self.past.get(pick).cloned() else { return self.draw_read() };
        let other = self.rng.percent(40);
        match &mut op {
            Op::CreateSession(op) => {
                op.stamp = self.stamp();
                if let Some((_, runner)) = &mut op.first {
                    *runner = self.runner();
                }
                if other {
                    self.change_creation(op);
                }
            }
            Op::Append(op) => {
                op.stamp = self.stamp();
                if other {
                    self.change_append(op);
                }
            }
            Op::Submit(op) => {
                (op.stamp, op.runner) = (self.stamp(), self.runner());
                op.policy = self.rng.one(POLICIES);
                if other {
                    op.new = self.other_turn(&op.new);
                }
            }
            _ => {}
        }
        op
    }

    fn change_creation(&mut self, op: &mut CreateSession) {
        let new = self.new_session();
        match self.rng.below(6) {
            0 => op.new.key = new.key,
            1 => op.new.label = new.label,
            2 => op.new.metadata = new.metadata,
            3 => (op.workspace, op.agent) = self.agent(),
            4 => op.first = op.first.take().map(|(turn, runner)| (self.other_turn(&turn), runner)),
            _ => op.first = None,
        }
    }

    fn change_append(&mut self, op: &mut Append) {
        match self.rng.below(5) {
            0 => drop(op.messages.pop()),
            1 => op.messages.reverse(),
            2 => op.messages.push(self.message(None)),
            3 => op.thread = None,
            _ => op.messages.iter_mut().for_each(|message| message.role = Some(Role::Assistant)),
        }
        if op.messages.is_empty() {
            op.messages = self.batch(None);
        }
    }

    fn other_turn(&mut self, of: &NewTurn) -> NewTurn {
        let mut turn = self.turn(None);
        turn.message.id = of.message.id;
        match self.rng.below(5) {
            0 => NewTurn { message: turn.message, ..of.clone() },
            3 => NewTurn { time_limit: turn.time_limit, ..of.clone() },
            1 => NewTurn { webhook: turn.webhook, ..of.clone() },
            2 => NewTurn { profile: turn.profile, ..of.clone() },
            _ => NewTurn { thread: None, ..of.clone() },
        }
    }

    /// Some types and some roles.
    pub(super) fn filters(&mut self) -> (Types, Roles) {
        let types: Types = MessageType::ALL.into_iter().filter(|_| self.rng.percent(60)).collect();
        let roles: Roles = Role::ALL.into_iter().filter(|_| self.rng.percent(60)).collect();
        (
            if types.is_empty() || self.rng.percent(30) { Types::ALL } else { types },
            if roles.is_empty() || self.rng.percent(40) { Roles::ALL } else { roles },
        )
    }

    /// A cursor around what matters: the session's last `ts`.
    pub(super) fn gts(&mut self, session: Option<usize>) -> Ts {
        let last = session.and_then(|index| self.sessions.get(index)).map_or(0, |known| known.last_ts);
        let before = last.saturating_sub(self.rng.below(5_000_000));
        Ts::from_micros(self.rng.one([0, last, last.saturating_sub(1), last / 2, before])).unwrap_or_default()
    }

    fn draw_messages(&mut self) -> Op {
        let (at, known) = self.place();
        let last_number = known.and_then(|index| self.sessions.get(index)).map_or(0, |known| known.last_number);
        let (types, roles) = self.filters();
        let past = self.rng.below(u64::from(last_number) + 2);
        let matching = Matching {
            thread: self.rng.percent(20).then(|| self.thread_of(known)),
            types,
            roles,
            gts: if self.rng.percent(60) { Ts::ZERO } else { self.gts(known) },
            past: self.rng.percent(30).then_some(u32::try_from(past).unwrap_or(u32::MAX)),
            direction: self.rng.one(Direction::ALL),
            offset: self.rng.one([0, 0, 0, 0, 0, 0, 1, 2, 10, u64::MAX]),
            limit: self.rng.one([1, 2, 5, 50, 1000]),
        };
        Op::Messages(at, matching)
    }

    pub(super) fn page(&mut self) -> PageAt {
        PageAt { page: self.rng.one([1, 1, 1, 2, 3, u64::MAX]), limit: self.rng.one([1, 2, 3, 50, 100]) }
    }

    fn draw_read(&mut self) -> Op {
        let (at, known) = self.place();
        match self.rng.below(10) {
            0 => Op::Session(at),
            9 => Op::ContextMark(at),
            1 => {
                let pick = self.rng.index(self.sessions.len());
                match self.sessions.get(pick).map(|known| (known.at.workspace, known.agent, known.key.clone())) {
                    Some((workspace, agent, key)) if self.rng.percent(80) => Op::SessionByKey(workspace, agent, key),
                    _ => {
                        let (workspace, agent) = self.agent();
                        Op::SessionByKey(workspace, agent, self.rng.one(["k", "l", "m", "K"]).into())
                    }
                }
            }
            2 => {
                let (workspace, agent) = self.agent();
                let agent = self.rng.percent(50).then_some(agent);
                let after =
                    self.rng.percent(30).then(|| SessionPlace { updated_at: self.started_at(), session: at.session });
                let page = if after.is_some() { PageAt { page: 1, ..self.page() } } else { self.page() };
                Op::Sessions(SessionsQuery { workspace, agent, page, after })
            }
            3 => Op::Thread(at, self.thread_of(known)),
            4 => Op::Message(at, self.message_of(known)),
            5 => Op::Turn(at, self.turn_of(known)),
            6 => Op::Turns(at, self.page()),
            7 => {
                let after = self.rng.below(40);
                Op::Changes(at, after, self.rng.one([1, 2, 7, 1000]))
            }
            _ => match self.rng.below(3) {
                0 => Op::OutboxHead(at),
                1 => self.draw_outbox_page(),
                _ => Op::Outbox(self.rng.one([1, 3, 1000])),
            },
        }
    }
}
