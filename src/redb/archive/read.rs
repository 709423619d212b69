//! Reading a session as a stream of its primary records, in parts, each from a state of its own.

use std::ops::{Bound, ControlFlow};

use crate::error::{Error, Result};
use crate::page::Direction;
use crate::redb::codec::{self, ChangeRow, HeadRow, MarkRow, MessageRow, Row, SessionRow, ThreadRow, TurnRow};
use crate::redb::load::{Kind, records};
use crate::redb::positions::{Times, told};
use crate::redb::tables::{Table, rows, sessions};
use crate::redb::view::{self, Read};

/// A session that is being read. What it reads must stand as it did at the beginning.
pub(super) struct Source {
    session: u32,
    /// Where it stood at the beginning.
    head: HeadRow,
    stage: Stage,
    /// What was read so far.
    done: u64,
}

/// Called with the number, the key and the value of a row, and the stream.
type EachRow<'a> = dyn FnMut(u64, &[u8], &[u8], &mut Vec<u8>) -> Result<()> + 'a;

/// What comes next, by its number.
#[derive(Clone, Copy)]
enum Stage {
    Thread(u32),
    /// A message, and before it the turn that it started, if it is that of the next turn.
    Message(u32, u32),
    Change(u64),
    End,
}

impl Source {
    /// Begins: what the session is, and where it will stand, are the first records.
    pub(super) fn open(
        view: &dyn Read,
        session: u32,
        head: HeadRow,
        will_stand: &HeadRow,
        stream: &mut Vec<u8>,
    ) -> Result<Self> {
        let key = sessions::body(session);
        let body = view.row(Table::Sessions, &key, |value| {
            let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
            // These are this file's own.
            Kind::Session.push_row(&SessionRow { workspace: 0, agent: 0, ..row }, stream)
        })?;
        body.ok_or_else(|| view::missing("session", &key))?;
        Kind::Head.push_row(will_stand, stream)?;
        if head.mark != 0 {
            let key = sessions::mark(session);
            let mark = view.row(Table::Sessions, &key, |value| {
                Kind::Mark.push(codec::body::<MarkRow<'_>>(Table::Sessions, &key, value)?, stream)
            })?;
            mark.ok_or_else(|| view::missing("context mark", &key))?;
        }
        Ok(Source { session, head, stage: Stage::Thread(1), done: 0 })
    }

    /// Whether all was read.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::End)
    }

    /// What was read so far, and what there is.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.done, records(&self.head))
    }

    /// Reads on until the stream has so many bytes, or the end.
    pub(super) fn read(&mut self, view: &dyn Read, stream: &mut Vec<u8>, most: usize) -> Result<()> {
        while stream.len() < most && !self.is_done() {
            self.stage = match self.stage {
                Stage::Thread(next) if next > self.head.threads => Stage::Message(1, 1),
                Stage::Thread(next) => Stage::Thread(self.threads(view, next, stream, most)?),
                Stage::Message(next, _) if next > self.head.messages => Stage::Change(1),
                Stage::Message(next, turn) => self.messages(view, (next, turn), stream, most)?,
                Stage::Change(next) if next > self.head.changes => Stage::End,
                Stage::Change(next) => Stage::Change(self.changes(view, next, stream, most)?),
                Stage::End => Stage::End,
            };
        }
        Ok(())
    }

    fn threads(&mut self, view: &dyn Read, next: u32, stream: &mut Vec<u8>, most: usize) -> Result<u32> {
        let number = |key: &[u8]| rows::number(key).map(u64::from);
        let keys = [next, self.head.threads].map(|number| rows::numbered(self.session, rows::Kind::Thread, number));
        let read =
            self.each(view, (&keys[0], &keys[1]), next.into(), number, stream, most, &mut |_, key, value, out| {
                Kind::Thread.push(codec::body::<ThreadRow>(Table::Rows, key, value)?, out)
            })?;
        Ok(u32::try_from(read).unwrap_or(u32::MAX))
    }

    fn changes(&mut self, view: &dyn Read, next: u64, stream: &mut Vec<u8>, most: usize) -> Result<u64> {
        let number = |key: &[u8]| key.last_chunk().map(|number| u64::from_be_bytes(*number));
        let keys = [next, self.head.changes].map(|number| rows::change(self.session, number));
        self.each(view, (&keys[0], &keys[1]), next, number, stream, most, &mut |_, key, value, out| {
            Kind::Change.push(codec::body::<ChangeRow>(Table::Rows, key, value)?, out)
        })
    }

    fn messages(
        &mut self,
        view: &dyn Read,
        (next, mut turn): (u32, u32),
        stream: &mut Vec<u8>,
        most: usize,
    ) -> Result<Stage> {
        let (session, turns) = (self.session, self.head.turns);
        let number = |key: &[u8]| rows::number(key).map(u64::from);
        let keys = [next, self.head.messages].map(|number| rows::numbered(session, rows::Kind::Message, number));
        let mut times = Times::new(view, session, self.head.messages);
        let mut read_turns = 0;
        // Read ahead: of most messages there is no turn to begin with.
        let mut due = turn_of(view, session, turn, turns)?;
        let mut each = |number: u64, key: &[u8], value: &[u8], out: &mut Vec<u8>| {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if let Some((_, body)) = due.take_if(|(message, _)| *message <= number) {
                Kind::Turn.push(&body, out)?;
                (turn, read_turns) = (turn + 1, read_turns + 1);
                due = turn_of(view, session, turn, turns)?;
            }
            let entry = told(view, session, &mut times, number)?;
            let entry =
                entry.ok_or_else(|| Error::corrupt(format!("whether message {number} was deleted cannot be told")))?;
            let kind = if entry.is_deleted() { Kind::DeletedMessage } else { Kind::Message };
            kind.push(codec::body::<MessageRow<'_>>(Table::Rows, key, value)?, out)
        };
        let read = self.each(view, (&keys[0], &keys[1]), next.into(), number, stream, most, &mut each)?;
        self.done += read_turns;
        Ok(Stage::Message(u32::try_from(read).unwrap_or(u32::MAX), turn))
    }

    /// Calls `each` for the dense rows between two keys, from a number on, until the stream has so many bytes. Answers with
    /// the number after the last one.
    #[expect(clippy::too_many_arguments, reason = "what is read of three kinds, said once")]
    fn each(
        &mut self,
        view: &dyn Read,
        (from, to): (&[u8], &[u8]),
        mut next: u64,
        number: impl Fn(&[u8]) -> Option<u64>,
        stream: &mut Vec<u8>,
        most: usize,
        each: &mut EachRow<'_>,
    ) -> Result<u64> {
        let first = next;
        view.scan(Table::Rows, (Bound::Included(from), Bound::Included(to)), Direction::Asc, &mut |key, value| {
            if number(key) != Some(next) {
                return Err(missing(self.session, next));
            }
            each(next, key, value, stream)?;
            next += 1;
            Ok(if stream.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if next == first {
            return Err(missing(self.session, next));
        }
        self.done += next - first;
        Ok(next)
    }
}

/// The row of a turn, and the number of the message that started it; none where there are no more.
fn turn_of(view: &dyn Read, session: u32, turn: u32, turns: u32) -> Result<Option<(u32, Vec<u8>)>> {
    if turn > turns {
        return Ok(None);
    }
    let key = rows::numbered(session, rows::Kind::Turn, turn);
    let read = view.row(Table::Rows, &key, |value| {
        let body = codec::body::<TurnRow<'_>>(Table::Rows, &key, value)?;
        Ok((codec::decode_body::<TurnRow<'_>>(body)?.message_number, body.to_vec()))
    })?;
    read.map(Some).ok_or_else(|| view::missing(<TurnRow<'_> as Row<'_>>::WHAT, &key))
}

fn missing(session: u32, number: u64) -> Error {
    Error::corrupt(format!("session {session}: row {number} of a kind is missing"))
}
