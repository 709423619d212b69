//! The verbs of a turn: submit, emit, finish, and the one way in which a turn ends.

use uuid::Uuid;

use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{MessageId, Stamp, ThreadId, TurnId};
use crate::limit::{REASON_BYTES, TURN_MESSAGES};
use crate::record::{
    ChangeKind, Content, Message, MessageType, NewMessage, NewTurn, Reason, Role, ThreadRecord, ToolCall, Turn,
    TurnState, Webhook, WebhookRow,
};
use crate::store::{Behaviour, Claim, Emit, Finish, Outcome, Policy, Runner, Submit, Submitted};
use crate::sync::Arc;
use crate::time::Timestamp;

use super::session::{Origin, Place, Session, check_distinct, next_number, used};

/// A turn, who may write in its name, and where its end is to be announced.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub turn: Turn,
    pub claim: Claim,
    pub webhook: Option<Webhook>,
}

/// Which ids of the stamp a starting turn takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartIds {
    pub message: u32,
    pub thread: u32,
    pub turn: u32,
}

/// A turn that nobody can run does not start.
pub(super) fn check_behaviour(runner: Runner) -> Result<()> {
    match runner.behaviour {
        Behaviour::Registered => Ok(()),
        Behaviour::Missing => Err(Error::new(ErrorKind::NoBehaviour, "no behaviour is registered for the agent")),
    }
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

    pub fn submit(&mut self, op: &Submit) -> Result<Submitted> {
        if let Some(original) = self.submitted_before(&op.new)? {
            return Ok(original);
        }
        check_behaviour(op.runner)?;
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
        self.touch(op.stamp.at);
        let interrupted = self.running().map(|run| run.turn.id);
        if let Some(turn) = interrupted {
            let mut ids = (3..).map(|n| op.stamp.uuid(n));
            self.end(&op.stamp, &mut ids, turn, &Outcome::Interrupted(Reason::FollowUp))?;
        }
        let started = self.start(&op.stamp, StartIds { message: 0, thread: 1, turn: 2 }, &op.new, op.runner)?;
        Ok(Submitted { interrupted, ..started })
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
        Ok(Submitted { message: written.message.clone(), turn: run.turn.clone(), claim: None, interrupted: None })
    }

    /// Writes a message and starts the turn that answers it; nothing may be running. A thread
    /// that the input names was found to be the session's.
    pub fn start(&mut self, stamp: &Stamp, ids: StartIds, new: &NewTurn, runner: Runner) -> Result<Submitted> {
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
            state: TurnState::Running,
            reason: None,
            detail: None,
            final_message: None,
            messages: 0,
            user_params: new.user_params.clone(),
            profile: new.profile.clone().or_else(|| self.base.profile.clone()),
            created_at: now,
            started_at: None,
            ended_at: None,
        };
        let epoch = self.runs.last().map_or(0, |run| run.claim.epoch) + 1;
        let claim = Claim { turn: turn_id, owner: runner.owner, epoch };
        self.runs.push(Arc::new(Run { turn: turn.clone(), claim, webhook: new.webhook.clone() }));
        self.tell(ChangeKind::Turn(turn_id, TurnState::Running));
        Ok(Submitted { message, turn, claim: Some(claim), interrupted: None })
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
        let messages = (0..).zip(&op.messages);
        messages.map(|(n, new)| self.say(&op.stamp, op.stamp.uuid(n), op.claim.turn, new, Origin::Turn)).collect()
    }

    pub fn finish(&mut self, op: &Finish) -> Result<Turn> {
        self.check_claim(&op.claim)?;
        self.touch(op.stamp.at);
        if let Some(at) = op.started_at {
            self.keep_started(&op.stamp, op.claim.turn, at)?;
        }
        self.end(&op.stamp, &mut (0..).map(|n| op.stamp.uuid(n)), op.claim.turn, &op.outcome)
    }

    /// The fence: only the claim that the turn runs under may write in its name.
    fn check_claim(&self, claim: &Claim) -> Result<()> {
        if self.running().is_some_and(|run| run.claim == *claim) || is_planted(Bug::FenceOpen) {
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
            self.outbox.push(WebhookRow {
                workspace_id: self.base.workspace_id,
                session_id: self.base.id,
                turn_id: turn,
                status: run.turn.state,
                webhook,
            });
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

/// As many characters of a text as [`REASON_BYTES`] hold.
fn cut(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        if kept.len() + character.len_utf8() > REASON_BYTES {
            break;
        }
        kept.push(character);
    }
    kept
}
