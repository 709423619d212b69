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
//! * Inputs were checked at the door ([`NewMessage::check`](crate::NewMessage::check) and the like); a store may rely on it.
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
//!   interrupting submit ends the old turn first (with a rollback its deletions; its synthetic results, its state). An end that promotes
//!   tells of the end, then that the promoted turn is running; a stop of the running turn's end, then of each cancelled one's, in order.
//! * A session's turns wait in the order in which they were accepted. It is *busy* while one is running or waits, and reads *running* then.
//! * A turn that is promoted or run again gets the session's next epoch, and its state is told again. A turn's `usage` and the
//!   session's are sums; one past 2^64 − 1 is *too large*.
//! * A turn that ends as interrupted or failed answers its open tool calls in the same commit:
//!   for each call in a not-deleted message of the turn (the one that started it included), in order, that no not-deleted message
//!   of the turn answers (one `tool` message answers one call of its `tool_call_id`), a message
//!   with role `tool`, type `tool_call`, the call's id and name, content
//!   `interrupted: <reason>`, `synthetic`, in the turn's thread; ids are [`Stamp::uuid`] from 0 on, in a submit from 3 on.

mod access;
mod agents;
mod archives;
mod messages;
mod outbox;
mod turns;

pub use access::{CreateKey, KeysQuery, Opens, RevokeKey, StoredKey};
pub use agents::{AgentsQuery, CreateAgent, DeleteAgent, LabelAgent};
pub use archives::{
    ArchiveRef, ArchiveSession, ArchivesQuery, DeleteArchive, ImportArchive, ImportIds, RestoreArchive,
};
pub use messages::{Append, DeleteMessage, Purge};
pub use outbox::{OutboxDelivered, OutboxFailed, OutboxKey, OutboxPage, OutboxPlace, OutboxQuery, OutboxRows, Redrive};
pub(crate) use turns::next_in_chain;
pub use turns::{
    Behaviour, Cancel, Claim, Emit, EndOrphans, Finish, Finished, Interrupt, Outcome, Policy, Promote, QueueBounds,
    Recovered, Recovery, Runner, Runners, Started, Stop, Stopped, Submit, Submitted, Waiting,
};

use std::io::{Read, Write};

use crate::error::Result;
use crate::id::{AgentId, KeyId, MessageId, SessionId, Stamp, ThreadId, TurnId, WorkspaceId};
pub use crate::page::{Damaged, Matched};
use crate::page::{Matching, PageAt, SessionPlace};
use crate::progress::OnProgress;
use crate::record::{
    AgentRecord, ArchiveRecord, Change, ContextMark, KeyRecord, Message, NewSession, NewTurn, SessionRecord,
    SessionUpdate, ThreadRecord, Turn, WebhookRow, WorkspaceRecord,
};

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

    /// A workspace by its id.
    fn workspace(&self, id: WorkspaceId) -> Result<WorkspaceRecord>;

    /// All workspaces, in the order of their names (by bytes), with their exact total.
    fn workspaces(&self, page: PageAt) -> Result<Listed<WorkspaceRecord>>;

    /// Makes an agent. A name that another agent of the workspace has is a *conflict*.
    ///
    /// With an id of the caller's that the workspace already has: the agent as it stands, where it has this name
    /// (nothing is written, its label may be another by now), else *conflict*.
    fn create_agent(&self, op: CreateAgent) -> Result<AgentRecord>;

    /// An agent by its id.
    fn agent(&self, workspace: WorkspaceId, id: AgentId) -> Result<AgentRecord>;

    /// The agents of a workspace, in the order of their names (by bytes), with their exact total.
    fn agents(&self, op: AgentsQuery) -> Result<Listed<AgentRecord>>;

    /// Gives an agent another label, or none. Answers with the agent as it stands then.
    fn label_agent(&self, op: LabelAgent) -> Result<AgentRecord>;

    /// Deletes an agent and all that it holds, for good: its sessions, its archives and its access keys; *conflict* while one of its
    /// sessions is busy.
    ///
    /// From its commit on the agent and everything below it are *not found*, as [`delete_session`](Self::delete_session)
    /// has it for a session: by id, by name and by key, in the listings and totals of the workspace, and in the outbox. Its
    /// name and its id are free, and so are the ids of its sessions, archived ones too. A store may give back the space bit by bit
    /// afterwards, as long as that shows nowhere.
    fn delete_agent(&self, op: DeleteAgent) -> Result<()>;

    /// Makes an access key. A workspace has at most one master key (see [`Opens`]), and at most
    /// [`limit::WORKSPACE_KEYS`](crate::limit::WORKSPACE_KEYS) keys, over which it is *too large*.
    fn create_key(&self, op: CreateKey) -> Result<KeyRecord>;

    /// The access key of this id, in whatever workspace; none where it was revoked, or its agent deleted. One that is
    /// expired is there all the same: a store knows no clock.
    fn key(&self, id: KeyId) -> Result<Option<StoredKey>>;

    /// The access keys of a workspace or of an agent of it, the newest id first, with their exact total.
    fn keys(&self, op: KeysQuery) -> Result<Listed<KeyRecord>>;

    /// Revokes an access key of the workspace: it is there no more. One of another workspace is *not found*.
    fn revoke_key(&self, op: RevokeKey) -> Result<()>;

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

    /// Changes what a session says of itself, also while a turn is running or waits. Where nothing of it would change,
    /// nothing is written and no event is told. The inputs that made the session stay what a repeated creation is compared with.
    fn update_session(&self, op: UpdateSession) -> Result<SessionRecord>;

    /// Makes a session of the same agent with the messages of another one up to one of them, that one included.
    ///
    /// Copied are those that are not soft-deleted, all that they say and carry, with their `ts` and `created_at`; in threads
    /// where they stood in some. They are numbered anew, have new ids ([`Stamp::uuid`] of their number; of a thread that of its
    /// number behind those of all messages), and stand in no turn. The context mark is copied where it begins with one of
    /// them or right behind, and told last. Everything else is as in a session that is made by
    /// [`create_session`](Self::create_session); `updated_at` is the greatest of the stamp's time and the times that were copied.
    /// It may be *busy*; a message that is not there, or was soft-deleted, is *not found*. An id of the caller's that the workspace
    /// has: the original where every input is the same, else *conflict*. `on` is called after each step, and may cancel it.
    fn fork_session(&self, op: ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord>;

    /// Deletes a session and all that it holds, for good; *conflict* while it is busy.
    ///
    /// From its commit on the session and everything below it are *not found*, by id and by key; listings and
    /// totals have it no more, and its ends leave the [outbox](Self::outbox). Its key and its id are free: whatever
    /// was used before in it is used no more, and a session made again in its place is another one, with numbers,
    /// `ts` and epochs from the beginning. Nothing is told in a feed: the feed goes too. A store may give back the
    /// space bit by bit afterwards, as long as that shows nowhere.
    fn delete_session(&self, op: DeleteSession) -> Result<()>;

    /// Moves a session, and all that it holds, out of the live tables into an archive of its agent.
    ///
    /// A busy session is a *conflict*. It may take long, and others go on meanwhile, in this session too: if the session changed
    /// before the commit that shows the archive, that change stands and the archiving is a *conflict*. `on` is asked between
    /// the steps, and once more, with all done, before that commit: a break is *cancelled*.
    ///
    /// From that commit on the session and everything below it are *not found*, by id and by key; listings and totals have it
    /// no more. Its key is free; its id is not: a creation with it is a *conflict*. Its last event tells of the archiving, at the
    /// session's *now*, which is the record's `archived_at`. What of it waits in the [outbox](Self::outbox) stays there, in its
    /// place, and the operations on the outbox reach it as before.
    fn archive_session(&self, op: ArchiveSession, on: &mut OnProgress<'_>) -> Result<ArchiveRecord>;

    /// The archives of an agent or of the workspace, newest first (`archived_at`, then the one archived last), with their
    /// exact total.
    fn archives(&self, op: ArchivesQuery) -> Result<Listed<ArchiveRecord>>;

    /// An archive; one of another agent is *not found*.
    fn archive(&self, at: &ArchiveRef) -> Result<ArchiveRecord>;

    /// Gives back the session of an archive, with all that it held as it was, and the archive is gone, in one commit.
    ///
    /// It has one event more, which tells of that. It is the youngest session of the store, and so are its announcements in the
    /// outbox. Its key in use by a live session is a *conflict*; an archive that cannot be read is *corrupt*. Nothing has changed
    /// then. `on` is asked as by [`archive_session`](Self::archive_session).
    fn restore_archive(&self, op: RestoreArchive, on: &mut OnProgress<'_>) -> Result<SessionRecord>;

    /// Writes an archive into a stream, for a store of the same kind to [import](Self::import_archive). `on` is asked between
    /// the steps. A stream that cannot be written is *storage*; what was written to it then is no archive.
    fn export_archive(&self, at: &ArchiveRef, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()>;

    /// Reads an archive from a stream, which anybody may have made, as an archive of an agent. It reads no further than the
    /// archive goes.
    ///
    /// All of it is checked before anything shows: what is no sound archive is *corrupt*, one over its bound *too large*, and
    /// nothing has changed then. It has its session's key, label and times; nothing of it waits in the outbox. `on` is asked as by
    /// [`archive_session`](Self::archive_session).
    fn import_archive(&self, op: ImportArchive, from: &mut dyn Read, on: &mut OnProgress<'_>) -> Result<ArchiveRecord>;

    /// Deletes an archive for good, and with it what of its session waits in the outbox. The session's id is free. A damaged one
    /// can be deleted, too.
    fn delete_archive(&self, op: DeleteArchive) -> Result<()>;

    /// A thread of a session.
    fn thread(&self, at: SessionRef, thread: ThreadId) -> Result<ThreadRecord>;

    /// Writes messages without a turn, in one commit; *conflict* while the session is busy.
    ///
    /// The role is `user` and the type `message` where the input names none (see
    /// [`NewMessage::kind_or_default`](crate::NewMessage::kind_or_default)). With ids of the caller's that the session already has:
    /// the originals, before busy is checked, where each of the batch was written by an append
    /// with the same inputs (the message as given, and the thread); where only some were, or with
    /// other inputs, *conflict*.
    fn append(&self, op: Append) -> Result<Vec<Message>>;

    /// Writes a user's message and starts a turn that answers it, by the policy when the session is
    /// busy: see [`Policy`]. A message id that the session already has, from a submit with
    /// the same inputs (all but the policy): the original, with nothing written or interrupted,
    /// before anything but the sender's claim is checked; else *conflict*. A named thread must be the session's.
    fn submit(&self, op: Submit) -> Result<Submitted>;

    /// Writes messages of a running turn, in one commit. *Fenced* when the claim does not hold.
    ///
    /// The role is `assistant` where the input names none. A `final_message` is an *invalid
    /// argument*: that is the end's. More messages than [`limit::TURN_MESSAGES`](crate::limit::TURN_MESSAGES)
    /// in the turn are *too large*; an id that the session already has is a *conflict*. Without messages it
    /// adds up the usage alone, and tells no event.
    fn emit(&self, op: Emit) -> Result<Vec<Message>>;

    /// Ends a running turn: final message, terminal state, outbox row and session status in one
    /// commit, and the promotion of the turn that waits next, where the operation says who runs it and its behaviour
    /// is registered. *Fenced* when the claim does not hold.
    ///
    /// A waiting turn that cannot be read is passed over: what is damaged must keep no other turn from ending.
    fn finish(&self, op: Finish) -> Result<Finished>;

    /// Ends the running turn as *interrupted*, whoever runs it, and promotes the one that waits next, as
    /// [`finish`](Self::finish) does. None where no turn is running, or another than the one that is named; then nothing is
    /// written.
    fn interrupt(&self, op: Interrupt) -> Result<Option<Finished>>;

    /// Ends the running turn as *interrupted*, and all that wait as *interrupted* (`cancelled`), in one commit.
    /// Nothing is written where there are none.
    fn stop(&self, op: Stop) -> Result<Stopped>;

    /// Ends a turn that waits as *interrupted* (`cancelled`). One in another state is a *conflict* that names it.
    fn cancel(&self, op: Cancel) -> Result<Turn>;

    /// Starts the first waiting turn of sessions in which none is running, the oldest session's first, at most `limit`
    /// in one commit, as far as the behaviour of their agents is registered. None where there is nothing to start.
    fn promote(&self, op: Promote) -> Result<Vec<Started>>;

    /// Soft-deletes a message: hidden everywhere, its number kept. Already deleted is *not found*.
    fn delete_message(&self, op: DeleteMessage) -> Result<()>;

    /// Erases what soft-deleted messages say and carry: content, tool calls, names, images, artifacts, metadata. Their numbers, ids,
    /// `ts`, roles and what repeats are told by stay, and each is told in the feed. Answers how many were erased; those in which
    /// nothing is left to erase are passed over. One message that is not soft-deleted is a *conflict*. All of a session
    /// may be erased in several commits.
    fn purge(&self, op: Purge) -> Result<u64>;

    /// A message by its id; a soft-deleted one is *not found*.
    fn message(&self, at: SessionRef, message: MessageId) -> Result<Message>;

    /// The messages of a session that match, with their exact total and greatest `ts`.
    fn messages(&self, at: SessionRef, matching: Matching) -> Result<Matched>;

    /// How much waits in all sessions. It costs the same however much that is.
    fn waiting(&self) -> Result<Waiting>;

    /// A turn by its id.
    fn turn(&self, at: SessionRef, turn: TurnId) -> Result<Turn>;

    /// The turns of a session, newest first.
    fn turns(&self, at: SessionRef, page: PageAt) -> Result<Listed<Turn>>;

    /// The events of a session after this number, oldest first, at most `limit`.
    fn changes(&self, at: SessionRef, after: u64, limit: u32) -> Result<Vec<Change>>;

    /// Ends turns that another owner left running, as *failed* with reason `crash` and no detail, or gives them to
    /// the one who asks: see [`Recovery`]. The oldest session's first, at most `limit` in one commit; answers with those.
    /// Nothing is promoted.
    fn end_orphans(&self, op: EndOrphans) -> Result<Recovered>;

    /// Sets where the session's transcript begins, or that it begins with its first message.
    ///
    /// Under a claim, which may be *fenced*, or while the session is not busy, else *conflict*. A number past the one after the session's last
    /// message is an *invalid argument*. What is set already is set again, and told again.
    fn set_context_mark(&self, op: SetContextMark) -> Result<()>;

    /// Where the session's transcript begins; none where it begins with its first message.
    fn context_mark(&self, at: SessionRef) -> Result<Option<ContextMark>>;

    /// The ends that wait to be announced, oldest session first, each session's in the order of its ends, at most `limit`.
    fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>>;

    /// Rows of the outbox, page by page: the first pending one of each session, or the dead ones. What cannot be read is
    /// left out, and stops nothing else.
    ///
    /// A page that goes on after another shows every row that was there all the time, and none twice.
    fn outbox_page(&self, op: OutboxQuery) -> Result<OutboxPage>;

    /// The first pending row of a session: the only one that may be tried. None where there is none.
    fn outbox_head(&self, at: SessionRef) -> Result<Option<WebhookRow>>;

    /// A pending row was announced: it goes, and its token and secret with it. One that is dead or gone is *not found*.
    ///
    /// This and the operations below change nothing else of the session, and tell no event.
    fn outbox_delivered(&self, op: OutboxDelivered) -> Result<()>;

    /// A try of a pending row failed, as [`OutboxDelivered`] else. It counts as one attempt more, and the row keeps the
    /// error, cut to [`limit::REASON_BYTES`](crate::limit::REASON_BYTES). Without a next time it is *dead*, and its token and
    /// secret are gone: that it had them is kept. Answers with the row as it stands then.
    fn outbox_failed(&self, op: OutboxFailed) -> Result<WebhookRow>;

    /// Dead rows of a session are pending again, at once and with no attempt behind them, and where they stood before.
    /// Answers with how many. A turn that is named and has no dead row is *not found*; a row that had a token or a secret is
    /// an *invalid argument* without one in its place, for all of them.
    fn redrive(&self, op: Redrive) -> Result<u32>;

    /// Checks every invariant between the tables, and describes each breach.
    fn verify(&self) -> Result<Vec<String>>;

    /// Answers once everything that was acknowledged is on disk, at once where nothing is acknowledged before that.
    ///
    /// It is asked before something leaves the process: nobody outside may hear of what a crash could take back.
    fn sync(&self) -> Result<()>;

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
    /// Which page; its number is 1 where `after` says where it begins.
    pub page: PageAt,
    /// Behind what it begins, whether there is such a session or not: those before are not even looked at.
    pub after: Option<SessionPlace>,
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
    /// Of sessions: the last of the page, where more come behind it.
    pub last: Option<SessionPlace>,
}

/// Input of [`Store::delete_session`].
#[derive(Debug, Clone, Copy)]
pub struct DeleteSession {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// Only while this is the number of its latest event, else it is a *conflict*: what came meanwhile stays.
    pub only_at: Option<u64>,
}

/// Input of [`Store::fork_session`].
#[derive(Debug, Clone)]
pub struct ForkSession {
    /// When.
    pub stamp: Stamp,
    /// The session that is forked.
    pub at: SessionRef,
    /// Its last message that is copied.
    pub message: MessageId,
    /// What the new session says of itself.
    pub new: NewSession,
}

/// Input of [`Store::update_session`].
#[derive(Debug, Clone)]
pub struct UpdateSession {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// What changes.
    pub update: SessionUpdate,
}

/// Input of [`Store::set_context_mark`].
#[derive(Debug, Clone)]
pub struct SetContextMark {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The right to do so while a turn is running.
    pub claim: Option<Claim>,
    /// The mark, or none.
    pub mark: Option<ContextMark>,
}
