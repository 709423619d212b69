//! Messages and sessions as bytes: a fixed header with the texts behind it, as the key-value peers and
//! the floor keep them.

use super::{Listed, Result, Row};
use crate::corpus::{Class, Draft};

/// What a writer gives a message beside what was drafted.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The number of its thread; 0 for none.
    pub thread: u32,
    /// Its place on the session's cursor clock.
    pub ts: u64,
    /// When it was written.
    pub created_at: u64,
}

/// Reads bytes from the front.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take<const N: usize>(&mut self) -> Result<&'b [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("a row is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(*self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(*self.take()?))
    }

    /// A text behind its length; none of length 0.
    fn text(&mut self) -> Result<Option<String>> {
        let length = usize::from(u16::from_be_bytes(*self.take()?));
        let (text, rest) = self.0.split_at_checked(length).ok_or("a row is cut short")?;
        self.0 = rest;
        Ok(if length == 0 { None } else { Some(std::str::from_utf8(text)?.to_owned()) })
    }

    fn rest(self) -> Result<String> {
        Ok(std::str::from_utf8(self.0)?.to_owned())
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Puts the bytes of a message behind what stands in `bytes`; its number is in its key.
pub fn encode(bytes: &mut Vec<u8>, draft: &Draft, id: &[u8; 16], place: Place) {
    bytes.extend_from_slice(&[0, draft.class.number()]);
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(&place.thread.to_be_bytes());
    // No turn.
    bytes.extend_from_slice(&0u32.to_be_bytes());
    bytes.extend_from_slice(&place.ts.to_be_bytes());
    bytes.extend_from_slice(&place.created_at.to_be_bytes());
    // No tool call, no name, nothing more.
    (0..3).for_each(|_| put_text(bytes, ""));
    bytes.extend_from_slice(draft.text.as_bytes());
}

/// Reads the message of this number; none when it was soft-deleted.
pub fn decode(bytes: &[u8], number: u32) -> Result<Option<Row>> {
    let mut bytes = Bytes(bytes);
    if bytes.u8()? != 0 {
        return Ok(None);
    }
    Ok(Some(Row {
        number,
        class: Class::from_number(bytes.u8()?).ok_or("a message of no known class")?,
        id: *bytes.take()?,
        thread: bytes.u32()?,
        turn: bytes.u32()?,
        ts: bytes.u64()?,
        created_at: bytes.u64()?,
        tool_call_id: bytes.text()?,
        name: bytes.text()?,
        more: bytes.text()?,
        text: bytes.rest()?,
    }))
}

/// Marks the bytes of a message as soft-deleted.
pub fn delete(bytes: &mut [u8]) {
    if let Some(mark) = bytes.first_mut() {
        *mark = 1;
    }
}

/// What a listing shows of a session, but for when it changed, which is in its key.
pub fn encode_listed(listed: &Listed) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&listed.id);
    bytes.push(listed.status);
    bytes.extend_from_slice(&listed.last.to_be_bytes());
    bytes.extend_from_slice(&listed.created_at.to_be_bytes());
    put_text(&mut bytes, listed.label.as_deref().unwrap_or_default());
    bytes.extend_from_slice(listed.key.as_bytes());
    bytes
}

/// Reads what a listing shows of a session.
pub fn decode_listed(bytes: &[u8], updated_at: u64) -> Result<Listed> {
    let mut bytes = Bytes(bytes);
    Ok(Listed {
        updated_at,
        id: *bytes.take()?,
        status: bytes.u8()?,
        last: bytes.u32()?,
        created_at: bytes.u64()?,
        label: bytes.text()?,
        key: bytes.rest()?,
    })
}
