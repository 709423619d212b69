//! [`Store`]: the whole atomic operations that a storage must have, and their inputs and answers.
//!
//! An operation is atomic with its conditions inside: what the domain promises (one running
//! turn per session, the fence, idempotent ids, *conflict*) is decided where the data is. A
//! store needs neither clock nor randomness, both come with the operation's [`Stamp`].
//! `testkit::conformance` (feature `testkit`) is the specification of this trait in code.
//!
//! # What every store promises
//!
//! * An `Err` has written nothing, but for [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown).
//!   An `Ok` of a writing operation is durable, and every later read sees it.
//! * A read answers from one snapshot.
//! * Everything below a workspace is reached through it: what stands in another one is *not
//!   found*, and so is what stands in another session.
//! * Where several refusals apply, it is the first of these: closed; workspace, agent or session
//!   not found; fenced; invalid argument (the same id twice in a batch among them); an id that was
//!   used before; no behaviour; the named thread not found; bad request; busy, or the key taken; a bound passed.
//! * A repeated operation answers with the session and the turn as they stand now, without a claim
//!   and without naming a turn that the original interrupted. *The same inputs* is literal: a
//!   default is another input than the same value given.
//! * Inputs were checked at the door ([`NewMessage::check`] and the like); a store may rely on it.
//!
//! # The arithmetic all stores share
//!
//! * A session's `updated_at` becomes the greater of the stamp's time and its previous value, at
//!   every operation that changes the session. That value (call it *now*) is also the
//!   `created_at` of a turn or thread, and the `ended_at` of a turn; a `started_at` is at least
//!   the turn's `created_at`, and at most the *now* of the write that keeps it.
//! * A message's `created_at` is the greater of the stamp's time and the `created_at` of the
//!   message before it in the session, the soft-deleted ones included.
//! * A message's `ts` is: without a caller's, the greater of the stamp's time (held below
//!   2^52 − 2^40 µs) and the session's last `ts` + 1 µs; with a caller's, that one where it is
//!   greater than the last, else the last + 1 µs.
//! * Messages, turns, threads and events are numbered from 1 without gaps, each within its session.
//! * Events are written in the order of what happens: a session's creation; then, message by
//!   message, [`Message`](crate::record::ChangeKind::Message); then the turn's new state. An
//!   interrupting submit ends the old turn first (its synthetic results, its state).
//! * A turn that ends as interrupted or failed answers its open tool calls in the same commit:
//!   for each call in a not-deleted message of the turn (the one that started it included), in order, that no not-deleted message
//!   of the turn answers (one `tool` message answers one call of its `tool_call_id`), a message
//!   with role `tool`, type `tool_call`, the call's id and name, content
//!   `interrupted: <reason>`, `synthetic`, in the turn's thread; ids are [`Stamp::uuid`] from 0 on, in a submit from 3 on.

use crate::error::Result;
use crate::id::{AgentId, MessageId, OwnerId, SessionId, Stamp, ThreadId, TurnId, WorkspaceId};
pub use crate::page::{Damaged, Matched};
use crate::page::{Matching, PageAt};
use crate::record::{
    AgentRecord, Change, Message, NewMessage, NewSession, NewTurn, Reason, SessionRecord, ThreadRecord, Turn,
    TurnState, WebhookRow, WorkspaceRecord,
};
use crate::time::{Duration, Timestamp};

/// The storage of an engine. Every method is one atomic operation; see the [module](self).
pub trait Store: Send + Sync + 'static {
    /// The workspace of this name, made when it is missing.
    fn ensure_workspace(&self, op: EnsureWorkspace) -> Result<WorkspaceRecord>;

    /// The workspace of this name, if there is one.
    fn find_workspace(&self, name: &str) -> Result<Option<WorkspaceRecord>>;

    /// The agent of this name, made when it is missing. An unknown workspace is *not found*.
    fn ensure_agent(&self, op: EnsureAgent) -> Result<AgentRecord>;

    /// The agent of this name, if there is one. An unknown workspace is *not found*.
    fn find_agent(&self, workspace: WorkspaceId, name: &str) -> Result<Option<AgentRecord>>;

    /// Makes a session, and starts its first turn where the operation brings one.
    ///
    /// A key in use by another live session of the agent is a *conflict*. With an id of the
    /// caller's that the workspace already has: the original where every input is the same
    /// (the first turn's too; nothing is written), else *conflict*.
    fn create_session(&self, op: CreateSession) -> Result<Created>;

    /// A session by its id.
    fn session(&self, at: SessionRef) -> Result<SessionRecord>;

    /// A live session by its key.
    fn session_by_key(&self, workspace: WorkspaceId, agent: AgentId, key: &str) -> Result<SessionRecord>;

    /// The sessions of an agent or of the workspace, newest activity first (`updated_at`, then
    /// newest id), with their exact total.
    fn sessions(&self, op: SessionsQuery) -> Result<Listed<SessionRecord>>;

    /// Deletes a session and all that it holds, for good; *conflict* while a turn is running.
    ///
    /// From its commit on the session and everything below it are *not found*, by id and by key; listings and
    /// totals have it no more, and its ends leave the [outbox](Self::outbox). Its key and its id are free: whatever
    /// was used before in it is used no more, and a session made again in its place is another one, with numbers,
    /// `ts` and epochs from the beginning. Nothing is told in a feed: the feed goes too. A store may give back the
    /// space bit by bit afterwards, as long as that shows nowhere.
    fn delete_session(&self, op: DeleteSession) -> Result<()>;

    /// A thread of a session.
    fn thread(&self, at: SessionRef, thread: ThreadId) -> Result<ThreadRecord>;

    /// Writes messages without a turn, in one commit; *conflict* while a turn is running.
    ///
    /// The role is `user` and the type `message` where the input names none (see
    /// [`NewMessage::kind_or_default`]). With ids of the caller's that the session already has:
    /// the originals, before busy is checked, where each of the batch was written by an append
    /// with the same inputs (the message as given, and the thread); where only some were, or with
    /// other inputs, *conflict*.
    fn append(&self, op: Append) -> Result<Vec<Message>>;

    /// Writes a user's message and starts a turn that answers it, by the policy when one is
    /// running: see [`Policy`]. A message id that the session already has, from a submit with
    /// the same inputs (all but the policy): the original, with nothing written or interrupted,
    /// before anything else is checked; else *conflict*. A named thread must be the session's.
    fn submit(&self, op: Submit) -> Result<Submitted>;

    /// Writes messages of a running turn, in one commit. *Fenced* when the claim does not hold.
    ///
    /// The role is `assistant` where the input names none. A `final_message` is an *invalid
    /// argument*: that is the end's. More messages than [`limit::TURN_MESSAGES`](crate::limit::TURN_MESSAGES)
    /// in the turn are *too large*; an id that the session already has is a *conflict*.
    fn emit(&self, op: Emit) -> Result<Vec<Message>>;

    /// Ends a running turn: final message, terminal state, outbox row and session status in one
    /// commit. *Fenced* when the claim does not hold.
    fn finish(&self, op: Finish) -> Result<Turn>;

    /// Soft-deletes a message: hidden everywhere, its number kept. Already deleted is *not found*.
    fn delete_message(&self, op: DeleteMessage) -> Result<()>;

    /// A message by its id; a soft-deleted one is *not found*.
    fn message(&self, at: SessionRef, message: MessageId) -> Result<Message>;

    /// The messages of a session that match, with their exact total and greatest `ts`.
    fn messages(&self, at: SessionRef, matching: Matching) -> Result<Matched>;

    /// A turn by its id.
    fn turn(&self, at: SessionRef, turn: TurnId) -> Result<Turn>;

    /// The turns of a session, newest first.
    fn turns(&self, at: SessionRef, page: PageAt) -> Result<Listed<Turn>>;

    /// The events of a session after this number, oldest first, at most `limit`.
    fn changes(&self, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>>;

    /// Ends turns that another owner left running, as *failed* with reason `crash` and no detail,
    /// the oldest session's first, at most `limit` in one commit; answers with the ones it ended.
    fn end_orphans(&self, op: EndOrphans) -> Result<Vec<Turn>>;

    /// The ends that wait to be announced, oldest session first, at most `limit`.
    fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>>;

    /// Checks every invariant between the tables, and describes each breach.
    fn verify(&self) -> Result<Vec<String>>;

    /// Ends the store: what was acknowledged is on disk, later operations are *closed*.
    fn close(&self) -> Result<()>;
}

/// A session, reached through its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionRef {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The session.
    pub session: SessionId,
}

/// Input of [`Store::ensure_workspace`]. The record's id is the stamp's id 0.
#[derive(Debug, Clone)]
pub struct EnsureWorkspace {
    /// When.
    pub stamp: Stamp,
    /// Its name: 1 to 255 characters.
    pub name: String,
}

/// Input of [`Store::ensure_agent`]. The record's id is the stamp's id 0.
#[derive(Debug, Clone)]
pub struct EnsureAgent {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name: 1 to 255 characters.
    pub name: String,
}

/// Input of [`Store::create_session`]. Without a caller's, the session's id is the stamp's id 0
/// and the first message's 1; the thread's is 2 and the turn's 3.
#[derive(Debug, Clone)]
pub struct CreateSession {
    /// When.
    pub stamp: Stamp,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// The session.
    pub new: NewSession,
    /// The first turn, and who runs it. It names no thread.
    pub first: Option<(NewTurn, Runner)>,
}

/// Who runs a turn: what becomes its claim.
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
    /// It is not: what would start a turn is *no behaviour*, a repeated operation answers all the same.
    Missing,
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

/// Answer of [`Store::create_session`].
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// The session.
    pub session: SessionRecord,
    /// What its first turn is, where the operation brought one.
    pub first: Option<Submitted>,
    /// Whether it is the original of an earlier operation, and nothing was written.
    pub replayed: bool,
}

/// Input of [`Store::sessions`].
#[derive(Debug, Clone, Copy)]
pub struct SessionsQuery {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// One agent's, or the whole workspace's.
    pub agent: Option<AgentId>,
    /// Which page.
    pub page: PageAt,
}

/// Items of a page, and how many there are in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// How many there are.
    pub total: u64,
    /// What stands on the page and cannot be read.
    pub damaged: Vec<Damaged>,
}

/// Input of [`Store::delete_session`].
#[derive(Debug, Clone, Copy)]
pub struct DeleteSession {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
}

/// Input of [`Store::append`]. Without a caller's, the `n`-th message's id is the stamp's id `n`.
#[derive(Debug, Clone)]
pub struct Append {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// A thread of it for all of them.
    pub thread: Option<ThreadId>,
    /// The messages: at least one.
    pub messages: Vec<NewMessage>,
}

/// What a submit does when a turn is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// *Conflict*; nothing is written. From document C.
    Reject,
    /// The running turn becomes *interrupted* (`follow_up`) in the same commit. A session that
    /// never had a message is a *bad request*. From document A.
    FollowUp,
}

/// Input of [`Store::submit`]. Without a caller's, the message's id is the stamp's id 0; a new
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
}

/// Answer of [`Store::submit`].
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The message as it was written.
    pub message: Message,
    /// The turn.
    pub turn: Turn,
    /// The claim to run it with; none when it is the original of an earlier operation.
    pub claim: Option<Claim>,
    /// The turn that this one interrupted.
    pub interrupted: Option<TurnId>,
}

/// Input of [`Store::emit`]. Without a caller's, the `n`-th message's id is the stamp's id `n`.
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
    /// The messages: at least one.
    pub messages: Vec<NewMessage>,
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

/// Input of [`Store::finish`]. Without a caller's, the answer's id is the stamp's id 0.
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
}

/// Input of [`Store::delete_message`].
#[derive(Debug, Clone, Copy)]
pub struct DeleteMessage {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The message.
    pub message: MessageId,
}

/// Input of [`Store::end_orphans`]. The ids of synthetic results run on from one turn to the next.
#[derive(Debug, Clone, Copy)]
pub struct EndOrphans {
    /// When.
    pub stamp: Stamp,
    /// Whose turns are no orphans: the one who asks.
    pub owner: OwnerId,
    /// How many at most.
    pub limit: u32,
}
