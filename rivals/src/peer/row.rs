//! A message as bytes: a fixed header with the text behind it, as the key-value peers and the floor keep it.

use super::{Result, Row};
use crate::corpus::{Class, Draft};

/// Bytes before the text.
const HEADER: usize = 16 + 1 + 1 + 4 + 8 + 8;

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

/// Puts the bytes of a message behind what stands in `bytes`; its number is in its key.
pub fn encode(bytes: &mut Vec<u8>, draft: &Draft, id: &[u8; 16], place: Place) {
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(&[draft.class.number(), 0]);
    bytes.extend_from_slice(&place.thread.to_be_bytes());
    bytes.extend_from_slice(&place.ts.to_be_bytes());
    bytes.extend_from_slice(&place.created_at.to_be_bytes());
    bytes.extend_from_slice(draft.text.as_bytes());
}

/// Reads the message of this number; none when it was soft-deleted.
pub fn decode(bytes: &[u8], number: u32) -> Result<Option<Row>> {
    let (header, text) = bytes.split_at_checked(HEADER).ok_or("a message is cut short")?;
    let (id, header) = header.split_at(16);
    if header[1] != 0 {
        return Ok(None);
    }
    Ok(Some(Row {
        number,
        id: id.try_into()?,
        class: Class::from_number(header[0]).ok_or("a message of no known class")?,
        thread: u32::from_be_bytes(header[2..6].try_into()?),
        ts: u64::from_be_bytes(header[6..14].try_into()?),
        created_at: u64::from_be_bytes(header[14..22].try_into()?),
        text: std::str::from_utf8(text)?.to_owned(),
    }))
}

/// Marks the bytes of a message as soft-deleted.
pub fn delete(bytes: &mut [u8]) {
    if let Some(mark) = bytes.get_mut(17) {
        *mark = 1;
    }
}
