//! The rows as they are stored: structs of their own, so that a record can grow without
//! touching old files.
//!
//! No recursion, no maps, no `usize`, nothing of a dependency's. Enums are bytes with values
//! given in `convert`. Ids are 16 bytes, times and `ts` microseconds, JSON its text.

use bincode::{BorrowDecode, Encode};

use super::{Row, Unreadable, Unwritable, from_bincode, to_bincode};
use crate::error::Result;

/// An id's bytes.
pub(in crate::redb) type Id = [u8; 16];

/// A row in bincode's form.
macro_rules! row {
    ($name:ty, $version:literal, $what:literal) => {
        impl<'a> Row<'a> for $name {
            const VERSION: u8 = $version;
            const WHAT: &'static str = $what;

            fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
                to_bincode(self, payload)
            }

            fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
                from_bincode(payload)
            }
        }
    };
}

/// The next dense numbers of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct CounterRow {
    /// Workspaces and agents made so far: they share their numbers, so either can own sessions.
    pub scopes: u32,
    /// Sessions made so far.
    pub sessions: u32,
    /// Those of them that are there no more.
    pub removed: u32,
}
row!(CounterRow, 1, "counters");

/// A session that was deleted, of which some may be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct RemnantRow {
    pub deleted_at: u64,
}
row!(RemnantRow, 1, "remnant");

/// That nothing that waits is run or announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct PausedRow {
    pub since: u64,
}
row!(PausedRow, 1, "pause");

/// How far the file has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct GroupRow {
    /// The last group that is in the file.
    pub number: u64,
    /// The log that may have later ones; none once it was closed.
    pub log: Option<Id>,
}
row!(GroupRow, 1, "group number");

/// What a waiting turn counts in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct QueuedRow {
    pub bytes: u64,
}
row!(QueuedRow, 1, "queued turn");

/// How much waits in all sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct WaitingRow {
    pub turns: u64,
    pub bytes: u64,
}
row!(WaitingRow, 1, "count of what waits");

/// A dense number that a name or an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct NumberRow {
    pub number: u32,
}
row!(NumberRow, 1, "index row");

/// How many live sessions a workspace or an agent has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct CountRow {
    pub sessions: u64,
}
row!(CountRow, 1, "session count");

/// How many agents a workspace has, or workspaces the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ScopeCountRow {
    pub scopes: u64,
}
row!(ScopeCountRow, 1, "count of workspaces or agents");

/// The label of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct LabelRow<'a> {
    pub label: &'a str,
}
row!(LabelRow<'a>, 1, "label");

/// An agent that was deleted, of which some may be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct HiddenRow {
    pub deleted_at: u64,
}
row!(HiddenRow, 1, "deleted agent");

/// An access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct KeyRow<'a> {
    /// What it opens, by id: what an access is checked with at every step looks nothing else up.
    pub workspace: Id,
    pub agent: Option<Id>,
    pub workspace_number: u32,
    /// 0 of a master key.
    pub agent_number: u32,
    pub scopes: u8,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    pub label: Option<&'a str>,
    pub created_at: u64,
    pub expires_at: Option<u64>,
}
row!(KeyRow<'a>, 1, "access key");

/// A workspace or an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ScopeRow<'a> {
    pub id: Id,
    pub name: &'a str,
    pub created_at: u64,
}
row!(ScopeRow<'a>, 1, "workspace or agent");

/// What a session is: rarely rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct SessionRow<'a> {
    pub id: Id,
    pub workspace: u32,
    pub agent: u32,
    pub agent_id: Id,
    pub agent_name: &'a str,
    pub key: &'a str,
    pub label: Option<&'a str>,
    pub chat_type: Option<&'a str>,
    pub last_channel: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub metadata: Option<&'a str>,
    pub profile: Option<&'a str>,
    pub created_at: u64,
    /// Of all inputs, where the id was the caller's.
    pub fingerprint: Option<Id>,
    pub forked: Option<ForkRow>,
}
row!(SessionRow<'a>, 1, "session");

/// What a session was forked from: a session, and its last message that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ForkRow {
    pub session: Id,
    pub message: Id,
    pub number: u32,
}

/// What was consumed; none of it where there is no such row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct UsageRow {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    pub reasoning: u64,
    pub cost_micros: u64,
}

/// Where a session's transcript begins, and what stands for all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct MarkRow<'a> {
    pub message: u32,
    pub summary: &'a str,
}
row!(MarkRow<'a>, 1, "context mark");

/// Where a session stands: rewritten by every operation on it, so small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct HeadRow {
    /// The last message, thread, turn and event: the counts of all there ever were.
    pub messages: u32,
    pub threads: u32,
    pub turns: u32,
    pub changes: u64,
    /// Of the last message.
    pub last_ts: u64,
    pub last_created_at: u64,
    pub updated_at: u64,
    /// The last claim's epoch.
    pub epoch: u64,
    /// The running turn's number; 0 when idle.
    pub running: u32,
    pub running_id: Option<Id>,
    /// Whether the turn that ended last failed.
    pub failed: bool,
    /// How many turns wait, and what they count together.
    pub queued: u32,
    pub queued_bytes: u64,
    pub usage: Option<UsageRow>,
    /// The first message of the transcript, where that was set; else 0.
    pub mark: u32,
    /// How often the session's own row was rewritten.
    pub body: u32,
}
row!(HeadRow, 1, "session head");

/// What the listings say of a session beside what it is: where it stands, again, so that a page of
/// sessions reads neighbouring rows and nothing else that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ListedRow {
    pub number: u32,
    pub messages: u32,
    pub changes: u64,
    pub running_id: Option<Id>,
    pub failed: bool,
    pub queued: u32,
    pub usage: Option<UsageRow>,
    pub mark: u32,
    pub body: u32,
}
row!(ListedRow, 1, "listed session");

impl ListedRow {
    /// Of a session that stands so.
    pub(in crate::redb) fn of(number: u32, head: &HeadRow) -> Self {
        let HeadRow { messages, changes, running_id, failed, queued, usage, mark, body, .. } = *head;
        ListedRow { number, messages, changes, running_id, failed, queued, usage, mark, body }
    }
}

/// A tool call of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct CallRow<'a> {
    pub id: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
    pub arguments: &'a str,
}

/// An image of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ImageRow<'a> {
    pub media_type: Option<&'a str>,
    pub data: &'a [u8],
}

/// What a message says and carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode)]
pub(in crate::redb) struct BodyRow<'a> {
    /// Content: 0 none, 1 text, 2 blocks.
    pub form: u8,
    pub content: &'a str,
    pub calls: Vec<CallRow<'a>>,
    pub tool_call_id: Option<&'a str>,
    pub name: Option<&'a str>,
    pub images: Vec<ImageRow<'a>>,
    pub artifacts: Vec<Id>,
    pub metadata: Option<&'a str>,
}

/// A message. Rewritten only to erase its body: what else can change of it stands in its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redb) struct MessageRow<'a> {
    pub id: Id,
    pub thread: Option<Id>,
    pub thread_number: u32,
    pub turn: Option<Id>,
    pub role: u8,
    pub kind: u8,
    pub synthetic: bool,
    pub ts: u64,
    pub created_at: u64,
    /// Of all inputs, where the id was the caller's.
    pub fingerprint: Option<Id>,
    pub body: BodyRow<'a>,
}

/// A block of packed numbers: of times, or of the positions of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) struct BlockRow<'a> {
    pub packed: &'a [u8],
}

/// The packed numbers are the payload.
impl<'a> Row<'a> for BlockRow<'a> {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "block";

    fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
        payload.extend_from_slice(self.packed);
        Ok(())
    }

    fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        Ok(BlockRow { packed: payload })
    }
}

/// What the closed blocks of a list hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct DirectoryRow<'a> {
    /// How many positions each has: 2 bytes each.
    pub counts: &'a [u8],
    /// Where each begins: 4 bytes each.
    pub firsts: &'a [u8],
}
row!(DirectoryRow<'a>, 1, "directory");

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ThreadRow {
    pub id: Id,
    pub created_at: u64,
}
row!(ThreadRow, 1, "thread");

/// Where to announce a turn's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct HookRow<'a> {
    pub url: &'a str,
    pub token: Option<&'a str>,
    pub secret: Option<&'a str>,
    pub include_messages: bool,
}

/// A turn.
#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct TurnRow<'a> {
    pub id: Id,
    pub thread: Id,
    pub thread_number: u32,
    pub message: Id,
    pub message_number: u32,
    pub state: u8,
    /// 0 where there is none.
    pub reason: u8,
    pub detail: Option<&'a str>,
    pub final_message: Option<Id>,
    pub messages: u32,
    pub attempt: u32,
    pub chain: u32,
    pub usage: Option<UsageRow>,
    pub user_params: Option<&'a str>,
    pub profile: Option<&'a str>,
    /// In nanoseconds.
    pub time_limit: Option<u64>,
    /// Kept until the turn ends, then moved to the outbox.
    pub webhook: Option<HookRow<'a>>,
    pub created_at: u64,
    pub started_at: Option<u64>,
    pub ended_at: Option<u64>,
}
row!(TurnRow<'a>, 1, "turn");

/// An event of the change feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ChangeRow {
    /// One of the `CHANGE_…` below.
    pub kind: u8,
    /// The message's or the turn's number and id: the feed is read without reading them. Of a context mark the number of
    /// its message, 0 for none.
    pub number: u32,
    pub id: Option<Id>,
    /// The turn's state.
    pub state: u8,
}

pub(in crate::redb) const CHANGE_CREATED: u8 = 1;
pub(in crate::redb) const CHANGE_MESSAGE: u8 = 2;
pub(in crate::redb) const CHANGE_DELETED: u8 = 3;
pub(in crate::redb) const CHANGE_TURN: u8 = 4;
pub(in crate::redb) const CHANGE_MARK: u8 = 5;
pub(in crate::redb) const CHANGE_ARCHIVED: u8 = 7;
pub(in crate::redb) const CHANGE_RESTORED: u8 = 8;
pub(in crate::redb) const CHANGE_UPDATED: u8 = 6;
pub(in crate::redb) const CHANGE_PURGED: u8 = 9;

row!(ChangeRow, 1, "change");

/// Who may write in the name of the running turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct ClaimRow {
    pub turn: Id,
    pub number: u32,
    pub owner: Id,
    pub epoch: u64,
    /// Until when it holds without renewal, in microseconds since the epoch; none on an exclusive file.
    pub lease: Option<u64>,
}
row!(ClaimRow, 1, "claim");

/// The end of a turn that is to be announced.
#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(in crate::redb) struct OutboxRow<'a> {
    pub workspace: Id,
    pub session: Id,
    pub turn: Id,
    pub state: u8,
    pub hook: HookRow<'a>,
    /// How often it was tried in vain.
    pub attempts: u32,
    pub due_at: Option<u64>,
    pub failed_at: Option<u64>,
    pub error: Option<&'a str>,
    /// What went when the row died: [`LACKS_TOKEN`], [`LACKS_SECRET`].
    pub lacks: u8,
}
row!(OutboxRow<'a>, 1, "outbox row");

pub(in crate::redb) const LACKS_TOKEN: u8 = 1;
pub(in crate::redb) const LACKS_SECRET: u8 = 2;
