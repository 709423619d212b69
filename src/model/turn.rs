//! The verbs of a turn: submit, emit, finish, and the one way in which a turn ends.

use uuid::Uuid;

use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{MessageId, OwnerId, Stamp, ThreadId, TurnId};
use crate::limit::{REASON_BYTES, TURN_MESSAGES};
use crate::record::{
    ChangeKind, Content, Message, MessageType, NewMessage, NewTurn, Reason, Role, ThreadRecord, ToolCall, Turn,
    TurnState, Usage, Webhook, WebhookRow,
};
use crate::store::{
    Behaviour, Cancel, Claim, Emit, Finish, Finished, Interrupt, Outcome, Policy, Runner, SessionRef, Started, Stop,
    Stopped, Submit, Submitted, Waiting, next_in_chain,
};
use crate::sync::Arc;
use crate::time::Timestamp;

use super::session::{Origin, Place, Session, check_distinct, next_number, used};

/// A turn, who may write in its name, and where its end is to be announced.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub turn: Turn,
    /// None as long as it did not run.
    pub claim: Option<Claim>,
    pub webhook: Option<Webhook>,
    /// What it counts, or counted, in the queue.
    pub size: u64,
}

/// Which ids of the stamp a starting turn takes, and how far down a chain it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartIds {
    pub message: u32,
    pub thread: u32,
    pub turn: u32,
    pub chain: u32,
}

impl Session {
    pub fn run(&self, id: TurnId) -> Result<&Run> {
        let found = self.runs.iter().find(|run| run.turn.id == id);
        found.map(|run| &**run).ok_or_else(|| Error::not_found(format_args!("turn {id}")))
    }

    fn run_mut(&mut self, id: TurnId) -> Result<&mut Run> {
        let found = self.runs.iter_mut().find(|run| run.turn.id == id);
        found.map(Arc::make_mut).ok_or_else(|| Error::not_found(format_args!("turn {id}")))
    }

    /// The running turn; there is one at most.
    pub fn running(&self) -> Option<&Run> {
        self.runs.iter().map(|run| &**run).rfind(|run| run.turn.state == TurnState::Running)
    }

    /// The turns that wait, in their order.
    pub fn queued(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().map(|run| &**run).filter(|run| run.turn.state == TurnState::Queued)
    }

    /// How much waits.
    pub fn waiting(&self) -> Waiting {
        self.queued().fold(Waiting::default(), |sum, run| Waiting { turns: sum.turns + 1, bytes: sum.bytes + run.size })
    }

    pub fn is_busy(&self) -> bool {
        self.runs.iter().any(|run| !run.turn.state.is_terminal())
    }

    /// `others` is what waits in all other sessions.
    pub fn submit(&mut self, op: &Submit, others: Waiting) -> Result<Submitted> {
        let sender = op.sender.map(|claim| {
            self.check_claim(&claim)?;
            Ok(self.run(claim.turn)?.turn.chain)
        });
        let sender = sender.transpose()?;
        if let Some(original) = self.submitted_before(&op.new)? {
            return Ok(original);
        }
        op.runner.behaviour.check()?;
        if let Some(thread) = op.new.thread {
            self.thread(thread)?;
        }
        if op.policy == Policy::FollowUp && self.messages.is_empty() {
            return Err(Error::new(
                ErrorKind::BadRequest,
                format!("session {} never had a message; there is nothing to follow up", self.base.id),
            ));
        }
        if op.policy == Policy::Reject {
            self.check_idle()?;
        }
        let chain = next_in_chain(sender)?;
        self.touch(op.stamp.at);
        let ids = StartIds { message: 0, thread: 1, turn: 2, chain };
        if op.policy == Policy::Enqueue && self.is_busy() {
            let promoted = self.promote(op.runner)?.map(Box::new);
            let waiting = self.waiting();
            let all = Waiting { turns: others.turns + waiting.turns, bytes: others.bytes + waiting.bytes };
            op.queue.admit(op.new.size() as u64, waiting, all)?;
            let accepted = self.accept(&op.stamp, ids, &op.new, TurnState::Queued)?;
            return Ok(Submitted { promoted, ..accepted });
        }
        let interrupted = self.running().map(|run| run.turn.id);
        if let Some(turn) = interrupted {
            self.make_way(op, turn)?;
        }
        let accepted = self.accept(&op.stamp, ids, &op.new, TurnState::Running)?;
        let claim = Some(self.give(accepted.turn.id, op.runner.owner)?);
        Ok(Submitted { interrupted, claim, ..accepted })
    }

    /// Ends the running turn for the one that comes.
    fn make_way(&mut self, op: &Submit, turn: TurnId) -> Result<()> {
        let reason = match op.policy {
            Policy::Rollback => Reason::Rollback,
            _ => Reason::FollowUp,
        };
        if op.policy == Policy::Rollback {
            let of_turn = self.visible().filter(|message| message.turn_id == Some(turn));
            let hidden: Vec<MessageId> = of_turn.map(|message| message.id).collect();
            hidden.into_iter().for_each(|message| self.hide(message));
        }
        let mut ids = (3..).map(|n| op.stamp.uuid(n));
        self.end(&op.stamp, &mut ids, turn, &Outcome::Interrupted(reason)).map(drop)
    }

    /// The original of a submit whose message id the session already has.
    fn submitted_before(&self, new: &NewTurn) -> Result<Option<Submitted>> {
        let Some(written) = new.message.id.and_then(|id| self.written(id)) else { return Ok(None) };
        match (&written.origin, written.message.turn_id) {
            (Origin::Submit(input), Some(turn)) if input == new => Ok(Some(self.original_of(self.run(turn)?)?)),
            _ => Err(used(&written.message)),
        }
    }

    /// The answer to the repeated operation that started this turn before.
    pub fn original_of(&self, run: &Run) -> Result<Submitted> {
        let id = run.turn.message_id;
        let written = self.written(id).ok_or_else(|| Error::corrupt(format!("message {id} of a turn is missing")))?;
        let (message, turn) = (written.message.clone(), run.turn.clone());
        Ok(Submitted { message, turn, claim: None, interrupted: None, promoted: None, replayed: true })
    }

    /// Writes a message and the turn that answers it, which is to be given a claim unless it waits. A thread
    /// that the input names was found to be the session's.
    pub fn accept(&mut self, stamp: &Stamp, ids: StartIds, new: &NewTurn, state: TurnState) -> Result<Submitted> {
        let now = self.touch(stamp.at);
        let thread_id = match new.thread {
            Some(thread) => thread,
            None => self.open_thread(ThreadId::from_uuid(stamp.uuid(ids.thread)), now)?,
        };
        let turn_id = TurnId::from_uuid(stamp.uuid(ids.turn));
        let place = Place {
            id: MessageId::from_uuid(stamp.uuid(ids.message)),
            thread: Some(thread_id),
            turn: Some(turn_id),
            role: Role::User,
        };
        let message = self.write(stamp, place, &new.message, Origin::Submit(new.clone()))?;
        let turn = Turn {
            id: turn_id,
            session_id: self.base.id,
            thread_id,
            message_id: message.id,
            number: next_number("turns", self.runs.last().map(|run| run.turn.number))?,
            state,
            reason: None,
            detail: None,
            final_message: None,
            messages: 0,
            attempt: 1,
            chain: ids.chain,
            usage: Usage::ZERO,
            user_params: new.user_params.clone(),
            profile: new.profile.clone().or_else(|| self.base.profile.clone()),
            time_limit: new.time_limit,
            created_at: now,
            started_at: None,
            ended_at: None,
        };
        let (webhook, size) = (new.webhook.clone(), new.size() as u64);
        self.runs.push(Arc::new(Run { turn: turn.clone(), claim: None, webhook, size }));
        self.tell(ChangeKind::Turn(turn_id, state));
        Ok(Submitted { message, turn, claim: None, interrupted: None, promoted: None, replayed: false })
    }

    /// Gives the session to a turn.
    pub fn give(&mut self, turn: TurnId, owner: OwnerId) -> Result<Claim> {
        self.epoch += 1;
        let claim = Claim { turn, owner, epoch: self.epoch };
        self.run_mut(turn)?.claim = Some(claim);
        Ok(claim)
    }

    /// Starts the turn that waits next, unless one is running or nobody can run it.
    pub fn promote(&mut self, runner: Runner) -> Result<Option<Started>> {
        let next = self.queued().next().map(|run| run.turn.id);
        let Some(turn) = next.filter(|_| self.running().is_none() && runner.behaviour == Behaviour::Registered) else {
            return Ok(None);
        };
        self.run_mut(turn)?.turn.state = TurnState::Running;
        self.started(turn, runner.owner).map(Some)
    }

    /// A turn is running from now on, under a new claim.
    fn started(&mut self, turn: TurnId, owner: OwnerId) -> Result<Started> {
        self.tell(ChangeKind::Turn(turn, TurnState::Running));
        let claim = self.give(turn, owner)?;
        let run = self.run(turn)?;
        let id = run.turn.message_id;
        let written = self.written(id).ok_or_else(|| Error::corrupt(format!("message {id} of a turn is missing")))?;
        let base = &self.base;
        Ok(Started {
            at: SessionRef { workspace: base.workspace_id, session: base.id },
            agent_id: base.agent_id,
            agent_name: base.agent_name.clone(),
            message: written.message.clone(),
            turn: run.turn.clone(),
            claim,
        })
    }

    /// Runs a turn again, that another owner left running.
    pub fn run_again(&mut self, at: Timestamp, turn: TurnId, owner: OwnerId) -> Result<Started> {
        self.touch(at);
        self.run_mut(turn)?.turn.attempt += 1;
        self.started(turn, owner)
    }

    /// Ends the running turn, if there is one and no other is meant, and promotes the next.
    pub fn interrupt(&mut self, op: &Interrupt) -> Result<Option<Finished>> {
        let meant = op.turn.map(|turn| self.run(turn).map(|run| run.turn.id)).transpose()?;
        let running = self.running().map(|run| run.turn.id);
        let Some(turn) = running.filter(|running| meant.is_none_or(|meant| meant == *running)) else { return Ok(None) };
        self.touch(op.stamp.at);
        let mut ids = (0..).map(|n| op.stamp.uuid(n));
        let turn = self.end(&op.stamp, &mut ids, turn, &Outcome::Interrupted(op.reason))?;
        let next = op.next.map(|runner| self.promote(runner)).transpose()?.flatten().map(Box::new);
        Ok(Some(Finished { turn, next }))
    }

    /// Ends the running turn and all that wait.
    pub fn stop(&mut self, op: &Stop) -> Result<Stopped> {
        let mut stopped = Stopped::default();
        if !self.is_busy() {
            return Ok(stopped);
        }
        self.touch(op.stamp.at);
        let mut ids = (0..).map(|n| op.stamp.uuid(n));
        if let Some(turn) = self.running().map(|run| run.turn.id) {
            stopped.turn = Some(self.end(&op.stamp, &mut ids, turn, &Outcome::Interrupted(op.reason))?);
        }
        let waiting: Vec<TurnId> = self.queued().map(|run| run.turn.id).collect();
        for turn in waiting {
            let outcome = Outcome::Interrupted(Reason::Cancelled);
            stopped.cancelled.push(self.end(&op.stamp, &mut ids, turn, &outcome)?);
        }
        Ok(stopped)
    }

    /// Ends a turn that waits.
    pub fn cancel(&mut self, op: &Cancel) -> Result<Turn> {
        let state = self.run(op.turn)?.turn.state;
        if state != TurnState::Queued {
            return Err(Error::conflict(format!(
                "turn {} is {}; only a queued one is cancelled",
                op.turn,
                state.as_str()
            )));
        }
        self.touch(op.stamp.at);
        let mut ids = (0..).map(|n| op.stamp.uuid(n));
        self.end(&op.stamp, &mut ids, op.turn, &Outcome::Interrupted(Reason::Cancelled))
    }

    fn open_thread(&mut self, id: ThreadId, created_at: Timestamp) -> Result<ThreadId> {
        let number = next_number("threads", self.threads.last().map(|thread| thread.number))?;
        self.threads.push(ThreadRecord { id, session_id: self.base.id, number, created_at });
        Ok(id)
    }

    pub fn emit(&mut self, op: &Emit) -> Result<Vec<Message>> {
        self.check_claim(&op.claim)?;
        if op.messages.iter().any(|new| new.kind == Some(MessageType::FinalMessage)) {
            return Err(Error::invalid("message type is final_message; only the end of a turn writes one"));
        }
        check_distinct(&op.messages)?;
        op.messages.iter().try_for_each(|new| self.check_unused(new))?;
        let turn = &self.run(op.claim.turn)?.turn;
        let messages = u64::from(turn.messages) + op.messages.len() as u64;
        if messages > u64::from(TURN_MESSAGES) {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "turn {} would have {messages} messages; it may have at most {TURN_MESSAGES} (TURN_MESSAGES)",
                    turn.id
                ),
            ));
        }
        self.touch(op.stamp.at);
        self.keep_started(&op.stamp, op.claim.turn, op.started_at)?;
        self.consume(op.claim.turn, op.usage)?;
        let messages = (0..).zip(&op.messages);
        messages.map(|(n, new)| self.say(&op.stamp, op.stamp.uuid(n), op.claim.turn, new, Origin::Turn)).collect()
    }

    pub fn finish(&mut self, op: &Finish) -> Result<Finished> {
        self.check_claim(&op.claim)?;
        self.touch(op.stamp.at);
        self.consume(op.claim.turn, op.usage)?;
        if let Some(at) = op.started_at {
            self.keep_started(&op.stamp, op.claim.turn, at)?;
        }
        let turn = self.end(&op.stamp, &mut (0..).map(|n| op.stamp.uuid(n)), op.claim.turn, &op.outcome)?;
        let next = op.next.map(|runner| self.promote(runner)).transpose()?.flatten().map(Box::new);
        Ok(Finished { turn, next })
    }

    /// Adds up what was consumed.
    fn consume(&mut self, turn: TurnId, usage: Usage) -> Result<()> {
        let sum = |before: Usage| before.checked_add(usage).ok_or_else(|| too_much(turn));
        self.base.usage = sum(self.base.usage)?;
        let run = self.run_mut(turn)?;
        run.turn.usage = sum(run.turn.usage)?;
        Ok(())
    }

    /// The fence: only the claim that the turn runs under may write in its name.
    pub fn check_claim(&self, claim: &Claim) -> Result<()> {
        if self.running().is_some_and(|run| run.claim == Some(*claim)) || is_planted(Bug::FenceOpen) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Fenced,
            format!("turn {} does not run under epoch {} of owner {}", claim.turn, claim.epoch, claim.owner),
        ))
    }

    fn check_unused(&self, new: &NewMessage) -> Result<()> {
        match new.id.and_then(|id| self.written(id)) {
            Some(written) => Err(Error::conflict(format!("message id {} was used before", written.message.id))),
            None => Ok(()),
        }
    }

    /// Keeps when the agent started, where it is not known yet.
    fn keep_started(&mut self, stamp: &Stamp, turn: TurnId, at: Timestamp) -> Result<()> {
        let now = self.base.updated_at.max(stamp.at);
        let turn = &mut self.run_mut(turn)?.turn;
        turn.started_at = turn.started_at.or(Some(at.max(turn.created_at).min(now)));
        Ok(())
    }

    /// Writes a message in the name of a turn.
    fn say(&mut self, stamp: &Stamp, id: Uuid, turn: TurnId, new: &NewMessage, origin: Origin) -> Result<Message> {
        let run = self.run_mut(turn)?;
        run.turn.messages += 1;
        let thread = Some(run.turn.thread_id);
        let place = Place { id: MessageId::from_uuid(id), thread, turn: Some(turn), role: Role::Assistant };
        self.write(stamp, place, new, origin)
    }

    /// Ends a running turn: its last messages, its state, its outbox row. `ids` are for synthetic results.
    pub fn end(
        &mut self,
        stamp: &Stamp,
        ids: &mut dyn Iterator<Item = Uuid>,
        turn: TurnId,
        outcome: &Outcome,
    ) -> Result<Turn> {
        let (mut reason, mut detail, mut final_message) = (None, None, None);
        match outcome {
            Outcome::Completed(None) => {}
            Outcome::Completed(Some(answer)) => final_message = Some(self.answer(stamp, turn, answer)?.id),
            Outcome::Interrupted(why) => reason = Some(*why),
            Outcome::Failed(why, text) => {
                reason = Some(*why);
                detail = text.as_deref().map(cut);
            }
        }
        if let Some(reason) = reason {
            for (call, id) in self.open_calls(turn).into_iter().zip(ids) {
                let result = NewMessage::result(&call, Content::Text(format!("interrupted: {reason}")));
                self.say(stamp, id, turn, &result, Origin::Synthetic)?;
            }
        }
        let ended_at = self.touch(stamp.at);
        let run = self.run_mut(turn)?;
        run.turn = Turn {
            state: outcome.state(),
            reason,
            detail,
            final_message,
            ended_at: Some(ended_at),
            ..run.turn.clone()
        };
        let run = run.clone();
        if let Some(webhook) = run.webhook {
            let (workspace, session, number) = (self.base.workspace_id, self.base.id, self.changes.len() as u64 + 1);
            self.outbox.push(WebhookRow::new(workspace, session, turn, run.turn.state, webhook, number));
        }
        self.tell(ChangeKind::Turn(turn, run.turn.state));
        Ok(run.turn)
    }

    /// Writes the answer that completes a turn.
    fn answer(&mut self, stamp: &Stamp, turn: TurnId, new: &NewMessage) -> Result<Message> {
        if let Some(role) = new.role.filter(|role| *role != Role::Assistant) {
            return Err(Error::invalid(format!("role of a final message is {role}; it must be assistant")));
        }
        if let Some(kind) = new.kind.filter(|kind| *kind != MessageType::FinalMessage) {
            return Err(Error::invalid(format!("type of a final message is {kind}; it must be final_message")));
        }
        self.check_unused(new)?;
        let new = new.clone().kind(MessageType::FinalMessage);
        self.say(stamp, stamp.uuid(0), turn, &new, Origin::Turn)
    }

    /// The tool calls of a turn that nothing answers, in order. A call and a `tool` message of
    /// its id make a pair: an id that was called twice needs two.
    fn open_calls(&self, turn: TurnId) -> Vec<ToolCall> {
        let of_turn = || self.visible().filter(|message| message.turn_id == Some(turn));
        let mut answers: Vec<&String> = of_turn()
            .filter(|message| message.role == Role::Tool)
            .filter_map(|message| message.tool_call_id.as_ref())
            .collect();
        let mut open = Vec::new();
        for call in of_turn().flat_map(|message| &message.tool_calls) {
            match answers.iter().position(|id| **id == call.id) {
                Some(answer) => drop(answers.remove(answer)),
                None => open.push(call.clone()),
            }
        }
        open
    }
}

/// What usage past its bound is refused with.
fn too_much(turn: TurnId) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the usage of turn {turn}, or of its session, would be over 2^64 - 1"))
}

/// As many characters of a text as [`REASON_BYTES`] hold.
pub(super) fn cut(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        if kept.len() + character.len_utf8() > REASON_BYTES {
            break;
        }
        kept.push(character);
    }
    kept
}
