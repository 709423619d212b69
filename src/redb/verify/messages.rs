//! Messages and threads: numbers, clocks, and the threads and turns that they stand in.

use super::{Check, Of, Session};
use crate::error::Result;
use crate::id::SessionId;
use crate::record::MessageType;
use crate::redb::codec::{self, Id, MessageRow, ThreadRow, TurnRow, kind_of, role_of};
use crate::redb::load::Written;
use crate::redb::place;
use crate::redb::positions::{Class, Times};
use crate::redb::tables::{Table, rows};

/// What the messages of a session are, as far as other rows are held to it.
#[derive(Default)]
pub(super) struct Seen {
    /// Those that are shown, and those of them that stand in threads.
    pub(super) shown: u64,
    pub(super) in_threads: u64,
    /// Those that were soft-deleted.
    pub(super) deleted: u64,
    /// Those that cannot be read.
    pub(super) damaged: u64,
    written: Written,
}

/// What a message is held to of its turn.
#[derive(Clone, Copy)]
struct OfTurn {
    id: Id,
    number: u32,
    thread: u32,
    /// The number of the message that started it, and how many it counts besides.
    first: u32,
    messages: u32,
    final_message: Option<Id>,
}

/// Of neighbours the thread and the turn are most often the same.
#[derive(Default)]
struct Last {
    thread: Option<(u32, Id)>,
    turn: Option<OfTurn>,
    ts: u64,
    created_at: u64,
}

impl Check<'_> {
    pub(super) fn messages(&mut self, session: &Session) -> Result<Seen> {
        let (number, head) = (session.number, &session.head);
        let (mut last, mut seen) = (Last::default(), Seen::default());
        let mut times = Times::new(self.view, number, head.messages);
        self.dense(number, rows::Kind::Message, head.messages, |check, message, key, value| {
            let read = codec::decode::<MessageRow<'_>>(Table::Rows, key, value);
            let Some(row) = check.unless_damaged(read)? else {
                seen.damaged += 1;
                return Ok(());
            };
            check.id(number, rows::Kind::MessageId, &row.id, message)?;
            if let Err(error) = row.record(SessionId::from_uuid(uuid::Uuid::nil()), message) {
                seen.damaged += 1;
                check.breach_in(number, format_args!("message {message}: {error}"));
                return Ok(());
            }
            if row.ts <= last.ts || row.created_at < last.created_at || row.created_at > head.updated_at {
                check.breach_in(number, format_args!("message {message} is out of its time"));
            }
            (last.ts, last.created_at) = (row.ts, row.created_at);
            check.entry(number, message, &row, &mut times, &mut seen)?;
            check.thread_of(number, message, &row, &mut last)?;
            check.turn_of(number, message, &row, &mut last, &mut seen)
        })?;
        if (last.ts, last.created_at) != (head.last_ts, head.last_created_at) && seen.damaged == 0 {
            let text = "the head's clocks are not those of the last message";
            self.breach(&[Table::Sessions, Table::Rows], Of::Session(number), text);
        }
        for (turn, missing) in seen.written.missing().take_while(|_| seen.damaged == 0) {
            self.breach_in(number, format_args!("turn {turn} counts {missing} messages more than there are"));
        }
        self.positions(session, &seen)?;
        self.indexed(number, rows::Kind::MessageId, head.messages, |check, message| {
            let key = rows::numbered(number, rows::Kind::Message, message);
            check.view.row(Table::Rows, &key, |value| {
                codec::decode::<MessageRow<'_>>(Table::Rows, &key, value).map(|row| row.id)
            })
        })?;
        Ok(seen)
    }

    /// A message agrees with its entry in the times.
    fn entry(
        &mut self,
        session: u32,
        message: u32,
        row: &MessageRow<'_>,
        times: &mut Times<'_>,
        seen: &mut Seen,
    ) -> Result<()> {
        let Some(entry) = self.unless_damaged(times.entry(message))? else {
            self.breach_in(session, format_args!("message {message} has no entry in the times"));
            return Ok(());
        };
        let class = Class::of(role_of(row.role)?, kind_of(row.kind)?);
        if (entry.ts(), entry.class()) != (row.ts, class) {
            self.breach_in(session, format_args!("message {message} and its entry in the times differ"));
        }
        if entry.is_deleted() {
            seen.deleted += 1;
        } else {
            seen.shown += 1;
            seen.in_threads += u64::from(row.thread_number != 0);
        }
        Ok(())
    }

    /// A message stands in a thread that is there, or in none.
    fn thread_of(&mut self, session: u32, message: u32, row: &MessageRow<'_>, last: &mut Last) -> Result<()> {
        let due = match (row.thread_number, row.thread) {
            (0, None) => return Ok(()),
            (number, Some(id)) => (number, id),
            (_, None) => {
                self.breach_in(session, format_args!("message {message} has a thread's number and no id"));
                return Ok(());
            }
        };
        if last.thread != Some(due) && self.is_thread(session, due)? {
            last.thread = Some(due);
        } else if last.thread != Some(due) {
            self.breach_in(session, format_args!("message {message} stands in thread {}, which is another", due.0));
        }
        Ok(())
    }

    /// Whether the thread of a number has this id; one that is damaged may.
    pub(super) fn is_thread(&self, session: u32, (number, id): (u32, Id)) -> Result<bool> {
        let read = self.plain::<ThreadRow>(Table::Rows, &rows::numbered(session, rows::Kind::Thread, number))?;
        Ok(read.is_none_or(|row| row.is_some_and(|row| row.id == id)))
    }

    /// A message is one that its turn counts, in the turn's thread, and the final one where the turn says so.
    fn turn_of(
        &mut self,
        session: u32,
        message: u32,
        row: &MessageRow<'_>,
        last: &mut Last,
        seen: &mut Seen,
    ) -> Result<()> {
        let Some(id) = row.turn else { return Ok(()) };
        if last.turn.is_none_or(|turn| turn.id != id) {
            last.turn = match self.unless_damaged(self.find_turn(session, &id))? {
                Some(Some(turn)) => Some(turn),
                Some(None) => {
                    self.breach_in(session, format_args!("message {message} is of a turn that is not there"));
                    return Ok(());
                }
                // It is named where the turns are.
                None => return Ok(()),
            };
        }
        let Some(turn) = last.turn else { return Ok(()) };
        let mut wrong = |what: &str| self.breach_in(session, format_args!("message {message}: {what} {}", turn.number));
        if row.thread_number != turn.thread {
            wrong("it is not in the thread of its turn");
        }
        let is_final = turn.final_message == Some(row.id);
        if message == turn.first {
            seen.written.begin(turn.number, turn.messages);
            if is_final {
                wrong("it started, and is the final one of, turn");
            }
            return Ok(());
        }
        if !seen.written.more(turn.number) {
            wrong("it is one more than are counted by turn");
        }
        if is_final != (kind_of(row.kind)? == MessageType::FinalMessage) {
            wrong("it is a final message, or said to be, but not both, in turn");
        }
        Ok(())
    }

    /// The turn that has an id.
    fn find_turn(&self, session: u32, id: &Id) -> Result<Option<OfTurn>> {
        let Some(number) = place::number(self.view, session, rows::Kind::TurnId, id)? else { return Ok(None) };
        let key = rows::numbered(session, rows::Kind::Turn, number);
        let turn = self.view.row(Table::Rows, &key, |value| {
            let row: TurnRow<'_> = codec::decode(Table::Rows, &key, value)?;
            let TurnRow { id, thread_number: thread, message_number: first, messages, final_message, .. } = row;
            Ok(OfTurn { id, number, thread, first, messages, final_message })
        })?;
        Ok(turn.filter(|turn| turn.id == *id))
    }

    pub(super) fn threads(&mut self, session: &Session) -> Result<()> {
        let (number, head) = (session.number, &session.head);
        self.dense(number, rows::Kind::Thread, head.threads, |check, thread, key, value| {
            let read = codec::decode::<ThreadRow>(Table::Rows, key, value);
            let Some(row) = check.unless_damaged(read)? else { return Ok(()) };
            if row.created_at > head.updated_at {
                check.breach_in(number, format_args!("thread {thread} is out of its time"));
            }
            check.id(number, rows::Kind::ThreadId, &row.id, thread)
        })?;
        self.indexed(number, rows::Kind::ThreadId, head.threads, |check, thread| {
            let key = rows::numbered(number, rows::Kind::Thread, thread);
            Ok(check.view.plain::<ThreadRow>(Table::Rows, &key)?.map(|row| row.id))
        })
    }
}
