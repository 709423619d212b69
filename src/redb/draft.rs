//! A session under change: what every verb that writes to a session goes through.
//!
//! A draft holds the session's head as it will be, and the writes so far. It numbers messages,
//! threads, turns and events, keeps the two clocks, and at the end writes the head and moves the
//! session to the front of the listings.

use super::codec::{
    self, BodyRow, ChangeRow, HeadRow, Id, ListedRow, MessageRow, NumberRow, ThreadRow, kind_byte, role_byte,
};
use super::place::{self, Place};
use super::positions::{Class, Entry, PositionsDraft};
use super::queue::{self, Change};
use super::scope;
use super::tables::{Table, activity, rows, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Stamp, WorkspaceId};
use crate::limit::SESSION_ROWS;
use crate::record::{Message, MessageType, NewMessage, Role, Ts};
use crate::store::{SessionRef, Waiting};
use crate::time::{Timestamp, ts_micros};

/// See the [module](self).
pub(super) struct Draft<'v> {
    pub(super) view: &'v dyn Read,
    pub(super) stamp: Stamp,
    pub(super) place: Place,
    pub(super) head: HeadRow,
    pub(super) positions: PositionsDraft<'v>,
    pub(super) writes: WriteSet,
    /// Where the listings have it now; none for a new session.
    listed_at: Option<u64>,
    /// What of its turns waited before; nothing in a new session.
    pub(super) waited: Waiting,
}

/// Where a session stands in which nothing has happened.
pub(super) const NEW_HEAD: HeadRow = HeadRow {
    messages: 0,
    threads: 0,
    turns: 0,
    changes: 0,
    last_ts: 0,
    last_created_at: 0,
    updated_at: 0,
    epoch: 0,
    running: 0,
    running_id: None,
    failed: false,
    queued: 0,
    queued_bytes: 0,
    usage: None,
    mark: 0,
    body: 0,
};

/// A thread or a turn that a message stands in: its number and its id.
pub(super) type Within = Option<(u32, Id)>;

/// A message on its way into the session, all but what the session gives it.
pub(super) struct Incoming<'a> {
    pub(super) new: &'a NewMessage,
    pub(super) id: Id,
    pub(super) role: Role,
    pub(super) kind: MessageType,
    pub(super) thread: Within,
    pub(super) turn: Within,
    pub(super) synthetic: bool,
    pub(super) fingerprint: Option<Id>,
}

impl<'v> Draft<'v> {
    /// Opens a live session for change.
    pub(super) fn open(view: &'v dyn Read, at: SessionRef, stamp: Stamp) -> Result<Self> {
        Self::open_place(view, place::find(view, at)?, stamp)
    }

    /// Opens a session whose place is known.
    pub(super) fn open_place(view: &'v dyn Read, place: Place, stamp: Stamp) -> Result<Self> {
        let head: HeadRow = view.expected(Table::Sessions, &sessions::head(place.number))?;
        let positions = PositionsDraft::new(view, place.number, head.messages);
        let (listed_at, waited) = (Some(head.updated_at), queue::waiting(&head));
        Ok(Draft { view, stamp, place, listed_at, waited, head, positions, writes: WriteSet::default() })
    }

    /// A session that is being made.
    pub(super) fn new(view: &'v dyn Read, place: Place, stamp: Stamp, writes: WriteSet) -> Self {
        Draft {
            view,
            stamp,
            place,
            head: NEW_HEAD,
            positions: PositionsDraft::new(view, place.number, 0),
            writes,
            listed_at: None,
            waited: Waiting::default(),
        }
    }

    /// The session's time: never before its last change.
    pub(super) fn now(&self) -> u64 {
        self.stamp.at.as_micros().max(self.head.updated_at)
    }

    /// When an agent started: not before its turn was accepted, and not after now.
    pub(super) fn started_at(&self, at: Timestamp, created_at: u64) -> u64 {
        at.as_micros().max(created_at).min(self.now())
    }

    /// The next event.
    pub(super) fn change(&mut self, row: ChangeRow) -> Result<()> {
        self.head.changes += 1;
        self.writes.put(Table::Rows, rows::change(self.place.number, self.head.changes), &row)
    }

    /// Numbers and writes a message.
    pub(super) fn message(&mut self, incoming: &Incoming<'_>) -> Result<Message> {
        let session = self.place.number;
        let number = next(&mut self.head.messages, "messages")?;
        let last = self.head.last_ts;
        self.head.last_ts = match incoming.new.ts.map(Ts::as_micros) {
            Some(given) if given > last => given,
            Some(_) => last + 1,
            None => ts_micros(self.stamp.at).max(last + 1),
        };
        self.head.last_created_at = self.stamp.at.as_micros().max(self.head.last_created_at);
        let row = MessageRow {
            id: incoming.id,
            thread: incoming.thread.map(|(_, id)| id),
            thread_number: incoming.thread.map_or(0, |(number, _)| number),
            turn: incoming.turn.map(|(_, id)| id),
            role: role_byte(incoming.role),
            kind: kind_byte(incoming.kind),
            synthetic: incoming.synthetic,
            ts: self.head.last_ts,
            created_at: self.head.last_created_at,
            fingerprint: incoming.fingerprint,
            body: BodyRow::of(incoming.new),
        };
        self.writes.put_new(Table::Rows, rows::numbered(session, rows::Kind::Message, number), &row)?;
        let entry = Entry::new(row.ts, Class::of(incoming.role, incoming.kind));
        self.positions.push(number, entry, row.thread_number)?;
        self.index(rows::Kind::MessageId, &incoming.id, number)?;
        self.change(ChangeRow { kind: codec::CHANGE_MESSAGE, number, id: Some(incoming.id), state: 0 })?;
        row.record(self.place.session, number)
    }

    /// Opens a thread.
    pub(super) fn thread(&mut self, id: Id) -> Result<(u32, Id)> {
        let number = next(&mut self.head.threads, "threads")?;
        let row = ThreadRow { id, created_at: self.now() };
        self.writes.put(Table::Rows, rows::numbered(self.place.number, rows::Kind::Thread, number), &row)?;
        self.index(rows::Kind::ThreadId, &id, number)?;
        Ok((number, id))
    }

    /// From an id to its number.
    pub(super) fn index(&mut self, kind: rows::Kind, id: &Id, number: u32) -> Result<()> {
        self.writes.put(Table::Rows, rows::by_id(self.place.number, kind, id), &NumberRow { number })
    }

    /// Whether the session already has a message of this id, the soft-deleted ones included.
    pub(super) fn has_message(&self, id: &Id) -> Result<bool> {
        Ok(place::number(self.view, self.place.number, rows::Kind::MessageId, id)?.is_some())
    }

    /// The session as an operation refers to it.
    pub(super) fn at(&self) -> Result<SessionRef> {
        let workspace = WorkspaceId::from_uuid(uuid::Uuid::from_bytes(scope::id(self.view, self.place.workspace)?));
        Ok(SessionRef { workspace, session: self.place.session })
    }

    /// Writes the head, moves the session in the listings, and counts what waits in all sessions.
    pub(super) fn seal(self) -> Result<WriteSet> {
        let (view, mut change) = (self.view, Change::default());
        let mut writes = self.seal_beside(&mut change)?;
        change.write(view, &mut writes)?;
        Ok(writes)
    }

    /// As [`seal`](Self::seal), for one of several sessions: what waits in all is counted by the caller, once.
    pub(super) fn seal_beside(mut self, change: &mut Change) -> Result<WriteSet> {
        change.add(self.waited, queue::waiting(&self.head));
        let Place { number, workspace, agent, session } = self.place;
        let id = session.as_uuid().as_bytes();
        self.head.updated_at = self.now();
        let now = self.head.updated_at;
        self.writes.put(Table::Sessions, sessions::head(number), &self.head)?;
        self.positions.write(&mut self.writes)?;
        let listed = ListedRow::of(number, &self.head);
        for scope in [workspace, agent] {
            if let Some(before) = self.listed_at.filter(|before| *before != now) {
                self.writes.remove(Table::Activity, activity::at(scope, before, id));
            }
            self.writes.put(Table::Activity, activity::at(scope, now, id), &listed)?;
        }
        Ok(self.writes)
    }
}

/// The next dense number.
pub(super) fn next(count: &mut u32, what: &str) -> Result<u32> {
    if *count >= SESSION_ROWS {
        return Err(Error::new(ErrorKind::TooLarge, format!("the session has {count} {what}, the most there can be")));
    }
    *count += 1;
    Ok(*count)
}
