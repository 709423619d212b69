//! The primary records of a session, and how they stand one after the other in a stream of bytes.
//!
//! ```text
//! kind (1 byte) | bytes of the row u32 | the row: its version (1 byte) and its payload, as they stand in a table
//! ```

use crate::error::{Error, Result};
use crate::redb::codec::{self, ChangeRow, HeadRow, MarkRow, MessageRow, Row, SessionRow, ThreadRow, TurnRow};

/// Most bytes that the row of one record may have.
const ROW_BYTES: usize = codec::VALUE_BYTES;

/// What a record is. The value is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::redb) enum Kind {
    Session = 1,
    Head = 2,
    Mark = 3,
    Thread = 4,
    Turn = 5,
    Message = 6,
    DeletedMessage = 7,
    Change = 8,
}

/// Whether a message is still shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) enum Kept {
    Shown,
    Deleted,
}

/// A primary record of a session.
#[derive(Debug)]
pub(in crate::redb) enum Record<'a> {
    /// What it is. Which workspace and agent it says does not matter.
    Session(SessionRow<'a>),
    /// Where it stands.
    Head(HeadRow),
    Mark(MarkRow<'a>),
    Thread(ThreadRow),
    Turn(TurnRow<'a>),
    Message(MessageRow<'a>, Kept),
    Change(ChangeRow),
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Session,
        Kind::Head,
        Kind::Mark,
        Kind::Thread,
        Kind::Turn,
        Kind::Message,
        Kind::DeletedMessage,
        Kind::Change,
    ];

    /// Appends a record of this kind to a stream: the version and the payload of its row.
    pub(in crate::redb) fn push(self, body: &[u8], stream: &mut Vec<u8>) -> Result<()> {
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= ROW_BYTES);
        let length = length.ok_or_else(|| Error::corrupt(format!("a row has {} bytes", body.len())))?;
        stream.push(self as u8);
        stream.extend(length.to_le_bytes());
        stream.extend(body);
        Ok(())
    }

    /// As [`push`](Self::push), of a row.
    pub(in crate::redb) fn push_row<'a, R: Row<'a>>(self, row: &R, stream: &mut Vec<u8>) -> Result<()> {
        self.push(&codec::encode_body(row)?, stream)
    }

    fn read(self, body: &[u8]) -> Result<Record<'_>> {
        Ok(match self {
            Kind::Session => Record::Session(codec::decode_body(body)?),
            Kind::Head => Record::Head(codec::decode_body(body)?),
            Kind::Mark => Record::Mark(codec::decode_body(body)?),
            Kind::Thread => Record::Thread(codec::decode_body(body)?),
            Kind::Turn => Record::Turn(codec::decode_body(body)?),
            Kind::Message => Record::Message(codec::decode_body(body)?, Kept::Shown),
            Kind::DeletedMessage => Record::Message(codec::decode_body(body)?, Kept::Deleted),
            Kind::Change => Record::Change(codec::decode_body(body)?),
        })
    }
}

impl Record<'_> {
    /// Appends it to a stream.
    pub(in crate::redb) fn push(&self, stream: &mut Vec<u8>) -> Result<()> {
        match self {
            Record::Session(row) => Kind::Session.push_row(row, stream),
            Record::Head(row) => Kind::Head.push_row(row, stream),
            Record::Mark(row) => Kind::Mark.push_row(row, stream),
            Record::Thread(row) => Kind::Thread.push_row(row, stream),
            Record::Turn(row) => Kind::Turn.push_row(row, stream),
            Record::Message(row, Kept::Shown) => Kind::Message.push_row(row, stream),
            Record::Message(row, Kept::Deleted) => Kind::DeletedMessage.push_row(row, stream),
            Record::Change(row) => Kind::Change.push_row(row, stream),
        }
    }
}

/// What of a stream has come and was not read yet. It holds one record, and what came with its end.
#[derive(Debug, Default)]
pub(in crate::redb) struct Unread {
    bytes: Vec<u8>,
    at: usize,
}

impl Unread {
    /// More of the stream has come.
    pub(in crate::redb) fn feed(&mut self, more: &[u8]) {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.at = 0;
        self.bytes.extend_from_slice(more);
    }

    /// The next record; none where not all of it has come.
    pub(in crate::redb) fn next(&mut self) -> Result<Option<Record<'_>>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((&[kind, a, b, c, d], rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let known = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
        let kind = known.ok_or_else(|| Error::corrupt(format!("a record has the unknown kind {kind}")))?;
        if length > ROW_BYTES {
            return Err(Error::corrupt(format!("a record has {length} bytes; it may have at most {ROW_BYTES}")));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.at += 5 + length;
        kind.read(body).map(Some)
    }

    /// Whether all that came was read.
    pub(in crate::redb) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }
}
