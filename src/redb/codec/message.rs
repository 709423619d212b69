//! A message's row: a fixed header with the text behind it, and what few messages have after that.
//!
//! ```text
//! flags (1) | role (1) | type (1) | id (16) | ts (8) | created_at (8) | thread number (4) | length of the content (4)
//! | thread id (16)? | turn id (16)? | fingerprint (16)? | content | the rest (bincode)?
//! ```
//!
//! Pages read fifty of these and little else: read by hand, a row takes a third of the time that it
//! takes field by field.

use bincode::{BorrowDecode, Encode};

use super::{BodyRow, CallRow, Id, ImageRow, MessageRow, Row, Unreadable, Unwritable, from_bincode, to_bincode};
use crate::error::Result;

/// The bits of the flags; the form of the content stands above them.
const THREAD: u8 = 1;
const TURN: u8 = 1 << 1;
const FINGERPRINT: u8 = 1 << 2;
const SYNTHETIC: u8 = 1 << 3;
const REST: u8 = 1 << 4;
const FORM_SHIFT: u32 = 5;

/// What few messages have.
#[derive(Debug, Encode, BorrowDecode)]
struct RestRow<'a> {
    calls: Vec<CallRow<'a>>,
    tool_call_id: Option<&'a str>,
    name: Option<&'a str>,
    images: Vec<ImageRow<'a>>,
    artifacts: Vec<Id>,
    metadata: Option<&'a str>,
}

impl BodyRow<'_> {
    fn has_rest(&self) -> bool {
        let BodyRow { form: _, content: _, calls, tool_call_id, name, images, artifacts, metadata } = self;
        !calls.is_empty()
            || tool_call_id.is_some()
            || name.is_some()
            || !images.is_empty()
            || !artifacts.is_empty()
            || metadata.is_some()
    }
}

/// Takes fields off the front of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Unreadable> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Unreadable::Cut)?;
        self.0 = rest;
        Ok(field)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.array::<1>().map(|[byte]| *byte)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn text(&mut self, length: u32) -> Result<&'a str, Unreadable> {
        let length = usize::try_from(length).map_err(|_| Unreadable::Cut)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Cut)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Unreadable::Form)
    }

    /// An id, where this bit of the flags is set.
    fn id(&mut self, flags: u8, bit: u8) -> Result<Option<Id>, Unreadable> {
        if flags & bit == 0 { Ok(None) } else { self.array().copied().map(Some) }
    }
}

impl<'a> Row<'a> for MessageRow<'a> {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "message";

    fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
        let MessageRow { id, thread, thread_number, turn, role, kind, synthetic, ts, created_at, fingerprint, body } =
            self;
        let there = [
            (THREAD, thread.is_some()),
            (TURN, turn.is_some()),
            (FINGERPRINT, fingerprint.is_some()),
            (SYNTHETIC, *synthetic),
            (REST, body.has_rest()),
        ];
        let flags =
            there.iter().filter(|(_, is_there)| *is_there).fold(body.form << FORM_SHIFT, |all, (bit, _)| all | bit);
        let length = u32::try_from(body.content.len()).map_err(|_| Unwritable::TooLong)?;
        payload.extend([flags, *role, *kind]);
        payload.extend(id);
        payload.extend(ts.to_le_bytes());
        payload.extend(created_at.to_le_bytes());
        payload.extend(thread_number.to_le_bytes());
        payload.extend(length.to_le_bytes());
        for id in [thread, turn, fingerprint].into_iter().flatten() {
            payload.extend(id);
        }
        payload.extend(body.content.as_bytes());
        if body.has_rest() {
            let BodyRow { form: _, content: _, calls, tool_call_id, name, images, artifacts, metadata } = body;
            let rest = (calls, tool_call_id, name, images, artifacts, metadata);
            to_bincode(&rest, payload)?;
        }
        Ok(())
    }

    #[inline]
    fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        let mut fields = Fields(payload);
        let flags = fields.byte()?;
        let has = |bit: u8| flags & bit != 0;
        let (role, kind) = (fields.byte()?, fields.byte()?);
        let id = *fields.array()?;
        let (ts, created_at) = (fields.u64()?, fields.u64()?);
        let (thread_number, length) = (fields.u32()?, fields.u32()?);
        let (thread, turn) = (fields.id(flags, THREAD)?, fields.id(flags, TURN)?);
        let fingerprint = fields.id(flags, FINGERPRINT)?;
        let content = fields.text(length)?;
        let mut body = BodyRow { form: flags >> FORM_SHIFT, content, ..BodyRow::default() };
        if has(REST) {
            let RestRow { calls, tool_call_id, name, images, artifacts, metadata } = from_bincode(fields.0)?;
            body = BodyRow { calls, tool_call_id, name, images, artifacts, metadata, ..body };
        } else if !fields.0.is_empty() {
            return Err(Unreadable::LeftOver);
        }
        let synthetic = has(SYNTHETIC);
        Ok(MessageRow { id, thread, thread_number, turn, role, kind, synthetic, ts, created_at, fingerprint, body })
    }
}
