//! Turns: the inputs and answers of the operations that start, queue, write in the name of, end and run them again.

use std::collections::BTreeSet;

use super::SessionRef;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, OwnerId, Stamp, TurnId};
use crate::limit;
use crate::record::{Message, NewMessage, NewTurn, Reason, Turn, TurnState, Usage};
use crate::time::{Duration, Timestamp};

/// Who runs the turns of one agent: what becomes their claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runner {
    /// The owner's incarnation.
    pub owner: OwnerId,
    /// How long the claim holds without renewal; `None` where the store is exclusive to its owner.
    pub lease: Option<Duration>,
    /// Whether it can run the agent at all.
    pub behaviour: Behaviour,
}

/// Whether the code of an agent is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// It is registered.
    Registered,
    /// It is not: what would start or queue a turn is *no behaviour*, what waits goes on waiting, and a repeated
    /// operation answers all the same.
    Missing,
    /// It is, but so much is at work that no more can be taken on: as with [`Missing`](Self::Missing), and what would start
    /// or queue a turn is *overloaded*.
    Overloaded,
}

impl Behaviour {
    /// Refuses to start or queue a turn that nobody can run.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Behaviour::Registered => Ok(()),
            Behaviour::Missing => Err(Error::new(ErrorKind::NoBehaviour, "no behaviour is registered for the agent")),
            Behaviour::Overloaded => {
                Err(Error::new(ErrorKind::Overloaded, "who runs the agent takes on no more turns"))
            }
        }
    }
}

/// The right to write in the name of a turn. Every write of a turn carries one, and the stored
/// claim is compared with it inside the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The turn.
    pub turn: TurnId,
    /// Who runs it.
    pub owner: OwnerId,
    /// The session's claims are numbered: a later one fences off all before.
    pub epoch: u64,
}

/// Who runs turns of many agents, and of which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runners {
    /// The owner's incarnation.
    pub owner: OwnerId,
    /// How long a claim holds without renewal; `None` where the store is exclusive to its owner.
    pub lease: Option<Duration>,
    /// The names of the agents whose code is registered.
    pub agents: BTreeSet<String>,
}

impl Runners {
    /// Who runs the turns of the agent of this name.
    pub fn of(&self, agent: &str) -> Runner {
        let known = self.agents.contains(agent);
        let behaviour = if known { Behaviour::Registered } else { Behaviour::Missing };
        Runner { owner: self.owner, lease: self.lease, behaviour }
    }
}

/// What a submit does when the session is busy: when a turn is running, or waits.
///
/// All but [`Reject`](Self::Reject) are accepted then. [`Enqueue`](Self::Enqueue) waits for all turns before it; the
/// others run at once, before what is queued, which goes on waiting. After each of them a turn of the session is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// *Conflict*; nothing is written. From document C.
    Reject,
    /// The running turn becomes *interrupted* (`follow_up`) in the same commit. A session that
    /// never had a message is a *bad request*. From document A.
    FollowUp,
    /// As [`FollowUp`](Self::FollowUp), and a session that never had a message is as good as any.
    Interrupt,
    /// The turn is *queued*, and promoted once all before it have ended. Past a bound of the queue it is
    /// *overloaded*. Where turns wait and none is running, the first of them starts in the same commit.
    Enqueue,
    /// As [`Interrupt`](Self::Interrupt), with the reason `rollback`, and all messages of the interrupted turn are
    /// soft-deleted first, the one that started it among them, so that no call of it stays open.
    Rollback,
}

/// How much may wait: at one of the bounds a submit that would queue is *overloaded*.
///
/// ```
/// use parlor::store::QueueBounds;
///
/// let bounds = QueueBounds { turns: 1, ..QueueBounds::default() };
/// assert!(bounds.check().is_ok());
/// assert!(QueueBounds { turns: 100_000, ..bounds }.check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Turns that wait in the session, at most [`limit::SESSION_QUEUE_TURNS_MAX`]; by default [`limit::SESSION_QUEUE_TURNS_DEFAULT`].
    pub turns: u32,
    /// Bytes of their inputs ([`NewTurn::size`]); by default [`limit::SESSION_QUEUE_BYTES_DEFAULT`].
    pub bytes: u64,
    /// Turns that wait in all sessions; by default [`limit::FILE_QUEUE_TURNS_DEFAULT`].
    pub all_turns: u64,
    /// Bytes of their inputs; by default [`limit::FILE_QUEUE_BYTES_DEFAULT`].
    pub all_bytes: u64,
}

impl Default for QueueBounds {
    fn default() -> Self {
        QueueBounds {
            turns: limit::SESSION_QUEUE_TURNS_DEFAULT,
            bytes: limit::SESSION_QUEUE_BYTES_DEFAULT,
            all_turns: limit::FILE_QUEUE_TURNS_DEFAULT,
            all_bytes: limit::FILE_QUEUE_BYTES_DEFAULT,
        }
    }
}

impl QueueBounds {
    /// Checks that the bounds themselves are within theirs.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument), naming the bound and its value.
    pub fn check(&self) -> Result<()> {
        if self.turns > limit::SESSION_QUEUE_TURNS_MAX {
            let (turns, most) = (self.turns, limit::SESSION_QUEUE_TURNS_MAX);
            return Err(Error::invalid(format!(
                "queue turns is {turns}; it must be 0 to {most} (SESSION_QUEUE_TURNS_MAX)"
            )));
        }
        Ok(())
    }

    /// Refuses a turn of this size where so much waits already: in its session, and in all.
    pub(crate) fn admit(&self, size: u64, session: Waiting, all: Waiting) -> Result<()> {
        let bounds = [
            ("turns of the session would wait", session.turns.saturating_add(1), self.turns.into()),
            ("bytes would wait in the session", session.bytes.saturating_add(size), self.bytes),
            ("turns of all sessions would wait", all.turns.saturating_add(1), self.all_turns),
            ("bytes would wait in all sessions", all.bytes.saturating_add(size), self.all_bytes),
        ];
        match bounds.into_iter().find(|(_, due, most)| due > most) {
            None => Ok(()),
            Some((what, due, most)) => {
                Err(Error::new(ErrorKind::Overloaded, format!("{due} {what}; at most {most} may")))
            }
        }
    }
}

/// How much waits for the turns before it: what [`QueueBounds`] bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Queued turns.
    pub turns: u64,
    /// Bytes of their inputs ([`NewTurn::size`]).
    pub bytes: u64,
}

/// Input of [`Store::submit`](super::Store::submit). Without a caller's, the message's id is the stamp's id 0; a new
/// thread's is 1 and the turn's 2 (the ones from 3 on are for synthetic results).
#[derive(Debug, Clone)]
pub struct Submit {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The turn.
    pub new: NewTurn,
    /// What to do when busy.
    pub policy: Policy,
    /// Who runs it.
    pub runner: Runner,
    /// The session's own turn whose agent sends it, if one does: *fenced* where that claim does not hold. The turn is
    /// one further in its [chain](Turn::chain), which is *too large* past [`limit::CHAIN_TURNS`].
    pub sender: Option<Claim>,
    /// How much may wait.
    pub queue: QueueBounds,
}

/// Answer of [`Store::submit`](super::Store::submit).
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The message as it was written.
    pub message: Message,
    /// The turn.
    pub turn: Turn,
    /// The claim to run it with; none when it waits, or is the original of an earlier operation.
    pub claim: Option<Claim>,
    /// The turn that this one interrupted.
    pub interrupted: Option<TurnId>,
    /// The turn that started in its stead, where turns waited and none was running.
    pub promoted: Option<Box<Started>>,
    /// Whether it is the original of an earlier operation, and nothing was written.
    pub replayed: bool,
}

/// A turn that is now running, and all that it takes to run it.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Its session.
    pub at: SessionRef,
    /// The session's agent.
    pub agent_id: AgentId,
    /// The name that the agent's behaviour is registered under.
    pub agent_name: String,
    /// The message it is to answer.
    pub message: Message,
    /// The turn.
    pub turn: Turn,
    /// The claim to run it with.
    pub claim: Claim,
}

impl Started {
    /// Bytes of the message and of what the sender handed to the agent.
    pub fn size(&self) -> usize {
        let json = [&self.turn.user_params, &self.turn.profile];
        self.message.size() + json.into_iter().flatten().map(|json| json.as_str().len()).sum::<usize>()
    }
}

/// How far down a chain a turn is whose sender's turn is so far down.
pub(crate) fn next_in_chain(sender: Option<u32>) -> Result<u32> {
    let chain = sender.map_or(0, |chain| chain.saturating_add(1));
    if chain > limit::CHAIN_TURNS {
        let most = limit::CHAIN_TURNS;
        let text =
            format!("an agent has started {most} turns of its session in a row; it may start {most} (CHAIN_TURNS)");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(chain)
}

/// Input of [`Store::emit`](super::Store::emit). Without a caller's, the `n`-th message's id is the stamp's id `n`.
#[derive(Debug, Clone)]
pub struct Emit {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The right to do so.
    pub claim: Claim,
    /// When the agent started: kept by the first write of the turn.
    pub started_at: Timestamp,
    /// The messages: at least one, unless it is for the usage.
    pub messages: Vec<NewMessage>,
    /// What was consumed since the last write; adds up in the turn and in the session.
    pub usage: Usage,
}

/// How a turn ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The agent returned, with an answer or without. The answer's role is `assistant` where it
    /// names none, its type `final_message`; another role or type is an *invalid argument*, an
    /// id that the session already has a *conflict*.
    Completed(Option<Box<NewMessage>>),
    /// Something ended it before its agent did.
    Interrupted(Reason),
    /// The agent failed: why, and the text of it.
    Failed(Reason, Option<String>),
}

impl Outcome {
    /// The state it leads to.
    pub const fn state(&self) -> TurnState {
        match self {
            Outcome::Completed(_) => TurnState::Completed,
            Outcome::Interrupted(_) => TurnState::Interrupted,
            Outcome::Failed(..) => TurnState::Failed,
        }
    }
}

/// Input of [`Store::finish`](super::Store::finish). Without a caller's, the answer's id is the stamp's id 0.
#[derive(Debug, Clone)]
pub struct Finish {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The right to do so.
    pub claim: Claim,
    /// When the agent started, if it did: kept when the turn's earlier writes did not keep one.
    pub started_at: Option<Timestamp>,
    /// How it ends.
    pub outcome: Outcome,
    /// What was consumed since the last write; adds up in the turn and in the session.
    pub usage: Usage,
    /// Who runs the turn that waits next; none where it is to go on waiting.
    pub next: Option<Runner>,
}

/// Answer of [`Store::finish`](super::Store::finish) and [`Store::interrupt`](super::Store::interrupt).
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The turn as it ended.
    pub turn: Turn,
    /// The turn that was promoted in the same commit.
    pub next: Option<Box<Started>>,
}

/// Input of [`Store::interrupt`](super::Store::interrupt). Synthetic results have the stamp's ids from 0 on.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The turn, which is to be the running one; none for whichever is.
    pub turn: Option<TurnId>,
    /// Why.
    pub reason: Reason,
    /// Who runs the turn that waits next; none where it is to go on waiting.
    pub next: Option<Runner>,
}

/// Input of [`Store::stop`](super::Store::stop). Synthetic results have the stamp's ids from 0 on, from one turn to the next.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// Why the running turn ends.
    pub reason: Reason,
}

/// Answer of [`Store::stop`](super::Store::stop).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stopped {
    /// The turn that was running.
    pub turn: Option<Turn>,
    /// The turns that waited, in their order.
    pub cancelled: Vec<Turn>,
}

/// Input of [`Store::cancel`](super::Store::cancel). Synthetic results have the stamp's ids from 0 on.
#[derive(Debug, Clone, Copy)]
pub struct Cancel {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The turn, which waits.
    pub turn: TurnId,
}

/// Input of [`Store::promote`](super::Store::promote).
#[derive(Debug, Clone)]
pub struct Promote {
    /// When.
    pub stamp: Stamp,
    /// Who runs them.
    pub runners: Runners,
    /// How many at most.
    pub limit: u32,
}

/// Input of [`Store::end_orphans`](super::Store::end_orphans). The ids of synthetic results run on from one turn to the next.
#[derive(Debug, Clone)]
pub struct EndOrphans {
    /// When.
    pub stamp: Stamp,
    /// Whose turns are no orphans: the one who asks.
    pub owner: OwnerId,
    /// How many at most.
    pub limit: u32,
    /// What becomes of them.
    pub recovery: Recovery,
}

/// What becomes of the turns that a process left running when it died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// They end as *failed* (`crash`).
    End,
    /// They run again, under a new claim, as long as their [`attempt`](Turn::attempt) is below this one, and their agent is among the
    /// runners', which are the asking owner's. The others end.
    RunAgain {
        /// The greatest attempt there may be.
        attempts: u32,
        /// Who runs them.
        runners: Runners,
    },
}

/// Answer of [`Store::end_orphans`](super::Store::end_orphans).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// The turns that ended.
    pub ended: Vec<Turn>,
    /// The turns that run again.
    pub again: Vec<Started>,
}

impl Recovered {
    /// How many turns it is about.
    pub fn len(&self) -> usize {
        self.ended.len() + self.again.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
