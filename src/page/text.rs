//! Cursors as text: bytes in hexadecimal digits, with a checksum at the end.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};

pub(super) const CHECKSUM: usize = size_of::<u32>();

pub(super) fn invalid(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidCursor, format!("the cursor is invalid: {why}"))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    // The low half: a guard against slips of the pen, not against anybody.
    (xxh3_64(body) as u32).to_le_bytes()
}

/// Writes the text of these bytes.
pub(super) fn write_text(f: &mut fmt::Formatter<'_>, body: &[u8]) -> fmt::Result {
    body.iter().chain(&checksum(body)).try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The bytes of a text, of which there are so many.
pub(super) fn bytes_of(text: &str, body: usize) -> Result<Vec<u8>> {
    let due = 2 * (body + CHECKSUM);
    if text.len() != due {
        return Err(invalid(format_args!("it has {} bytes, a cursor has {due}", text.len())));
    }
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(invalid("it has a character that no cursor has")),
    };
    let pairs = text.as_bytes().as_chunks::<2>().0;
    let mut bytes: Vec<u8> =
        pairs.iter().map(|[high, low]| Ok(digit(high)? << 4 | digit(low)?)).collect::<Result<_>>()?;
    let (rest, sum) = bytes.split_last_chunk().ok_or_else(|| invalid("it is cut short"))?;
    if checksum(rest) != *sum {
        return Err(invalid("it was altered"));
    }
    bytes.truncate(body);
    Ok(bytes)
}

/// The next bytes.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, left) = rest.split_first_chunk().ok_or_else(|| invalid("it is cut short"))?;
    *rest = left;
    Ok(*taken)
}
