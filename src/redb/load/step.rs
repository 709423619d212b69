//! One step of loading a session: records become rows, and are held to those before them.

use std::collections::BTreeMap;

use super::check::{self, corrupt};
use super::{Body, Kept, Loader, Record, Trust};
use crate::error::{Error, Result};
use crate::limit::{LOAD_STEP_BYTES, LOAD_STEP_ROWS, SESSION_ROWS};
use crate::record::{ContextMark, MessageType, TurnState};
use crate::redb::codec::{
    self, BodyRow, CHANGE_ARCHIVED, CHANGE_CREATED, CHANGE_DELETED, CHANGE_MARK, CHANGE_MESSAGE, CHANGE_PURGED,
    CHANGE_RESTORED, CHANGE_TURN, CHANGE_UPDATED, ChangeRow, HeadRow, Id, MarkRow, MessageRow, NumberRow, Row,
    SessionRow, ThreadRow, TurnRow, kind_of, role_of, state_of,
};
use crate::redb::place;
use crate::redb::positions::{BLOCK, Class, Entry, PositionsDraft};
use crate::redb::tables::{Table, rows};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;

/// See the [module](self).
pub(in crate::redb) struct Step<'v> {
    loader: &'v mut Loader,
    view: &'v dyn Read,
    positions: PositionsDraft<'v>,
    writes: WriteSet,
    /// What this step wrote, and looked up: numbers by ids, threads and turns by numbers.
    ids: BTreeMap<(u8, Id), u32>,
    threads: BTreeMap<u32, Id>,
    turns: BTreeMap<u32, TurnFacts>,
    rows: usize,
    bytes: usize,
}

/// What others are held to of a turn.
#[derive(Clone, Copy)]
struct TurnFacts {
    id: Id,
    thread: u32,
    first: u32,
    messages: u32,
    final_message: Option<Id>,
    state: TurnState,
}

/// Whether a message started its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    It,
    Not,
}

impl TurnFacts {
    fn of(row: &TurnRow<'_>) -> Result<Self> {
        let TurnRow { id, thread_number: thread, message_number: first, messages, final_message, .. } = *row;
        Ok(TurnFacts { id, thread, first, messages, final_message, state: state_of(row.state)? })
    }
}

impl Loader {
    /// Goes on with what the view has of the session, all that was loaded before.
    pub(in crate::redb) fn step<'v>(&'v mut self, view: &'v dyn Read) -> Step<'v> {
        let positions = PositionsDraft::new(view, self.session, self.seen.messages);
        Step {
            view,
            positions,
            loader: self,
            writes: WriteSet::default(),
            ids: BTreeMap::new(),
            threads: BTreeMap::new(),
            turns: BTreeMap::new(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl Step<'_> {
    /// Whether it is time to write what has come.
    pub(in crate::redb) fn is_full(&self) -> bool {
        self.rows >= scaled(LOAD_STEP_ROWS, self.view) || self.bytes >= scaled(LOAD_STEP_BYTES, self.view)
    }

    /// What is to be written.
    pub(in crate::redb) fn write(mut self) -> Result<WriteSet> {
        self.positions.write(&mut self.writes)?;
        Ok(self.writes)
    }

    /// The next record.
    pub(in crate::redb) fn push(&mut self, record: &Record<'_>) -> Result<()> {
        match record {
            Record::Session(row) => self.session(row),
            Record::Head(row) => self.head(row),
            Record::Mark(row) => self.mark(row),
            Record::Thread(row) => self.thread(row),
            Record::Turn(row) => self.turn(row),
            Record::Message(row, kept) => self.message(row, *kept),
            Record::Change(row) => self.change(row),
        }
    }

    fn session(&mut self, row: &SessionRow<'_>) -> Result<()> {
        if self.loader.body.is_some() {
            return Err(corrupt("a second session"));
        }
        let new = check::session(row, self.loader.trust)?;
        let SessionRow { id, created_at, fingerprint, forked, .. } = *row;
        self.loader.body = Some(Body { id, new, key: row.key.to_owned(), created_at, fingerprint, forked });
        Ok(())
    }

    fn head(&mut self, row: &HeadRow) -> Result<()> {
        let body = self.loader.body.as_ref().filter(|_| self.loader.head.is_none());
        let body = body.ok_or_else(|| corrupt("where a session stands, out of its place"))?;
        check::head(row, body.created_at)?;
        self.loader.head = Some(*row);
        Ok(())
    }

    /// Where the session is said to stand; not before that has come.
    fn said(&self) -> Result<HeadRow> {
        self.loader.head.ok_or_else(|| corrupt("a record before what the session is"))
    }

    fn mark(&mut self, row: &MarkRow<'_>) -> Result<()> {
        let head = self.said()?;
        let mark = ContextMark::new(row.message, row.summary);
        if self.loader.mark.is_some() || row.message != head.mark || mark.check().is_err() {
            return Err(corrupt(format_args!("context mark {}", row.message)));
        }
        self.loader.mark = Some(mark);
        Ok(())
    }

    fn thread(&mut self, row: &ThreadRow) -> Result<()> {
        let head = self.said()?;
        let seen = &mut self.loader.seen;
        let number = next(&mut seen.threads, head.threads, "threads")?;
        if seen.messages > 0 || row.created_at > head.updated_at {
            return Err(corrupt(format_args!("thread {number}, out of its place")));
        }
        self.put_numbered(rows::Kind::Thread, number, row)?;
        self.index(rows::Kind::ThreadId, row.id, number)?;
        self.threads.insert(number, row.id);
        Ok(())
    }

    fn turn(&mut self, row: &TurnRow<'_>) -> Result<()> {
        let head = self.said()?;
        let seen = &mut self.loader.seen;
        let number = next(&mut seen.turns, head.turns, "turns")?;
        let first = seen.messages.saturating_add(1);
        if seen.due.replace((number, row.id, row.message)).is_some() || row.message_number != first {
            return Err(corrupt(format_args!("turn {number} does not begin with message {first}")));
        }
        let usage = codec::usage_of(row.usage);
        let sum = seen.usage.unwrap_or_default().checked_add(usage);
        seen.usage = Some(sum.ok_or_else(|| corrupt("the usage is past its bound"))?);
        seen.finals[0] += u32::from(row.final_message.is_some());
        seen.again += u64::from(row.attempt.saturating_sub(1));
        check::turn(row, number, head.updated_at, self.loader.trust)?;
        self.in_thread(row.thread_number, row.thread)?;
        self.put_numbered(rows::Kind::Turn, number, row)?;
        self.index(rows::Kind::TurnId, row.id, number)?;
        self.turns.insert(number, TurnFacts::of(row)?);
        Ok(())
    }

    fn message(&mut self, row: &MessageRow<'_>, kept: Kept) -> Result<()> {
        let head = self.said()?;
        let seen = &mut self.loader.seen;
        let number = next(&mut seen.messages, head.messages, "messages")?;
        if row.ts <= seen.last_ts || row.created_at < seen.last_created_at {
            return Err(corrupt(format_args!("message {number} goes back in time")));
        }
        (seen.last_ts, seen.last_created_at) = (row.ts, row.created_at);
        let due = seen.due.take();
        if seen.changes > 0 {
            return Err(corrupt(format_args!("message {number}, out of its place")));
        }
        check::message(row, number, head.updated_at, self.loader.trust)?;
        match row.thread {
            Some(id) => self.in_thread(row.thread_number, id)?,
            None if row.thread_number == 0 => {}
            None => return Err(corrupt(format_args!("the thread of message {number}"))),
        }
        self.of_turn(row, number, due)?;
        self.put_numbered(rows::Kind::Message, number, row)?;
        self.index(rows::Kind::MessageId, row.id, number)?;
        let entry = Entry::new(row.ts, Class::of(role_of(row.role)?, kind_of(row.kind)?));
        self.positions.push(number, entry, row.thread_number)?;
        if kept == Kept::Deleted {
            self.positions.delete(number, row.thread_number)?;
            self.loader.seen.deleted += 1;
            if self.loader.trust == Trust::Strangers && row.body != BodyRow::default() {
                self.loader.seen.kept_bodies.insert(number);
            }
        }
        Ok(())
    }

    /// A message is of the turn that it says, and the one that is due where one is.
    fn of_turn(&mut self, row: &MessageRow<'_>, number: u32, due: Option<(u32, Id, Id)>) -> Result<()> {
        let wrong = || corrupt(format_args!("the turn of message {number}"));
        if let Some((_, turn, message)) = due
            && (row.turn, row.id) != (Some(turn), message)
        {
            return Err(wrong());
        }
        let Some(id) = row.turn else { return Ok(()) };
        let turn = self.number(rows::Kind::TurnId, &id)?.ok_or_else(wrong)?;
        let facts = self.turn_facts(turn)?;
        if facts.id != id || facts.thread != row.thread_number {
            return Err(wrong());
        }
        self.loader.seen.finals[1] += u32::from(facts.final_message == Some(row.id));
        if self.loader.trust == Trust::Strangers
            && !self.is_counted(row, turn, &facts, due.map_or(Started::Not, |_| Started::It))?
        {
            return Err(wrong());
        }
        Ok(())
    }

    /// Whether a message is one that its turn counts, and its final one where it is one. The one that started it is none of both.
    fn is_counted(&mut self, row: &MessageRow<'_>, turn: u32, facts: &TurnFacts, started: Started) -> Result<bool> {
        let is_final = facts.final_message == Some(row.id);
        let written = &mut self.loader.seen.written;
        if started == Started::It {
            written.begin(turn, facts.messages);
            return Ok(!is_final);
        }
        Ok(written.more(turn) && is_final == (kind_of(row.kind)? == MessageType::FinalMessage))
    }

    fn change(&mut self, row: &ChangeRow) -> Result<()> {
        let head = self.said()?;
        let seen = &mut self.loader.seen;
        if seen.changes >= head.changes {
            return Err(corrupt(format_args!("more than {} events", head.changes)));
        }
        seen.changes += 1;
        let number = seen.changes;
        let wrong = || corrupt(format_args!("event {number}"));
        if self.loader.trust == Trust::Strangers {
            seen.feed.next(row).map_err(|why| corrupt(format_args!("event {number}: {why}")))?;
        }
        match (row.kind, row.id, row.number) {
            (CHANGE_CREATED, None, 0) if number == 1 => {}
            _ if number == 1 => return Err(wrong()),
            (CHANGE_RESTORED, None, 0) if seen.archived => seen.archived = false,
            // While it is archived nothing else happens.
            _ if seen.archived => return Err(wrong()),
            (CHANGE_MESSAGE, Some(id), message) => {
                seen.events[0] += 1;
                if message != seen.events[0] || self.number(rows::Kind::MessageId, &id)? != Some(message) {
                    return Err(wrong());
                }
            }
            (CHANGE_PURGED, Some(_), message) if seen.kept_bodies.contains(&message) => return Err(wrong()),
            (CHANGE_DELETED | CHANGE_PURGED, Some(id), message) => {
                seen.events[1] += u32::from(row.kind == CHANGE_DELETED);
                let is_deleted = |step: &Self| step.positions.is_deleted(message);
                if self.number(rows::Kind::MessageId, &id)? != Some(message) || !is_deleted(self)? {
                    return Err(wrong());
                }
            }
            (CHANGE_TURN, Some(id), turn) => self.change_of_turn(id, turn, state_of(row.state)?, wrong)?,
            (CHANGE_MARK, None, mark) if mark <= head.messages.saturating_add(1) => seen.mark = mark,
            (CHANGE_ARCHIVED, None, 0) => seen.archived = true,
            (CHANGE_UPDATED, None, 0) => {}
            _ => return Err(wrong()),
        }
        let key = rows::change(self.loader.session, number);
        self.put(Table::Rows, key, row)
    }

    fn change_of_turn(&mut self, id: Id, turn: u32, state: TurnState, wrong: impl Fn() -> Error) -> Result<()> {
        if self.number(rows::Kind::TurnId, &id)? != Some(turn) {
            return Err(wrong());
        }
        let TurnFacts { state: ended, first, .. } = self.turn_facts(turn)?;
        let seen = &mut self.loader.seen;
        // Of strangers: a turn is told of right behind the message that started it.
        if seen.feed.accepted == Some(turn) && seen.feed.messages != first {
            return Err(wrong());
        }
        seen.events[2] += u32::from(state == TurnState::Running);
        if state.is_terminal() {
            seen.events[3] += 1;
            seen.failed = state == TurnState::Failed;
            if state != ended {
                return Err(wrong());
            }
        }
        Ok(())
    }

    /// The thread of this number has this id.
    fn in_thread(&mut self, number: u32, id: Id) -> Result<()> {
        let wrong = || corrupt(format_args!("thread {number}"));
        if number == 0 || number > self.loader.seen.threads {
            return Err(wrong());
        }
        let found = match self.threads.get(&number) {
            Some(found) => *found,
            None => {
                let row: ThreadRow = self.view.expected(Table::Rows, &self.key(rows::Kind::Thread, number))?;
                self.threads.insert(number, row.id);
                row.id
            }
        };
        if found == id { Ok(()) } else { Err(wrong()) }
    }

    fn turn_facts(&mut self, number: u32) -> Result<TurnFacts> {
        if let Some(facts) = self.turns.get(&number) {
            return Ok(*facts);
        }
        let key = self.key(rows::Kind::Turn, number);
        let read = self
            .view
            .row(Table::Rows, &key, |value| TurnFacts::of(&codec::decode::<TurnRow<'_>>(Table::Rows, &key, value)?))?;
        let facts = read.ok_or_else(|| corrupt(format_args!("turn {number}")))?;
        self.turns.insert(number, facts);
        Ok(facts)
    }

    /// The number of what has this id.
    fn number(&self, kind: rows::Kind, id: &Id) -> Result<Option<u32>> {
        match self.ids.get(&(kind as u8, *id)) {
            Some(number) => Ok(Some(*number)),
            None => place::number(self.view, self.loader.session, kind, id),
        }
    }

    /// From an id, which nothing has yet, to its number.
    fn index(&mut self, kind: rows::Kind, id: Id, number: u32) -> Result<()> {
        if self.number(kind, &id)?.is_some() || id == Id::default() {
            return Err(corrupt(format_args!("the id {} a second time, or none", codec::hex(&id))));
        }
        self.ids.insert((kind as u8, id), number);
        self.put(Table::Rows, rows::by_id(self.loader.session, kind, &id), &NumberRow { number })
    }

    fn key(&self, kind: rows::Kind, number: u32) -> [u8; 9] {
        rows::numbered(self.loader.session, kind, number)
    }

    fn put_numbered<'a, R: Row<'a>>(&mut self, kind: rows::Kind, number: u32, row: &R) -> Result<()> {
        self.put(Table::Rows, self.key(kind, number), row)
    }

    fn put<'a, R: Row<'a>>(&mut self, table: Table, key: impl Into<Vec<u8>>, row: &R) -> Result<()> {
        let key = key.into();
        let value = codec::encode(table, &key, row)?;
        (self.rows, self.bytes) = (self.rows + 1, self.bytes + key.len() + value.len());
        self.writes.put_new_value(table, key, value);
        Ok(())
    }
}

/// The size of a step. Small blocks of positions are a test's, and go with small steps.
pub(in crate::redb) fn scaled(most: usize, view: &dyn Read) -> usize {
    (most * view.block().min(BLOCK) as usize / BLOCK as usize).max(1)
}

/// The next dense number, of as many as there are said to be.
fn next(count: &mut u32, said: u32, what: &str) -> Result<u32> {
    if *count >= said.min(SESSION_ROWS) {
        return Err(corrupt(format_args!("more than {said} {what}")));
    }
    *count += 1;
    Ok(*count)
}
