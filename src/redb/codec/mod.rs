//! How rows become bytes, and the only place that names bincode.
//!
//! A value is an envelope around a payload:
//!
//! ```text
//! version (1 byte) | payload | checksum (4 bytes, little-endian)
//! ```
//!
//! The checksum covers table, key, version and payload, because redb checks its page checksums
//! only in repair: without it a flipped bit reads as other data, and a row that stands under
//! another's key reads as that other's. A decoder checks the length, the checksum and the
//! version first, decodes within a limit (a hostile length would otherwise abort the process),
//! and refuses bytes left over.

mod archive;
mod convert;
mod fingerprint;
#[cfg(feature = "testkit")]
mod hostile;
mod logged;
mod message;
mod rows;
#[cfg(test)]
mod tests;

pub(super) use archive::{ArchiveRow, ArchivedRow, ChunkRow};
pub(super) use convert::{
    json_text, kind_byte, kind_of, message_id, nanos, reason_byte, reason_of, role_byte, role_of, state_byte, state_of,
    turn_id, usage_of, usage_row,
};
pub(super) use fingerprint::{of_append, of_create, of_fork, of_send};
#[cfg(feature = "testkit")]
pub(crate) use hostile::check_rows;
pub(super) use logged::{Logged, patched};
pub(super) use rows::*;

use std::fmt::Write as _;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::tables::Table;
use crate::bug::{Bug, is_planted};
use crate::error::{Error, Result};
use crate::limit::{MESSAGE_BYTES, MESSAGE_ITEM_BYTES};

/// Most bytes that one value may have and that decoding one may take: a largest message and
/// what stands around it.
pub(super) const VALUE_BYTES: usize = MESSAGE_BYTES + (8 << 20);

const CONFIG: Configuration<LittleEndian, Varint, Limit<VALUE_BYTES>> =
    bincode::config::standard().with_limit::<VALUE_BYTES>();

/// Decoding takes memory for all calls and images of a message before it reads them, and that counts
/// against the limit: their size at the door is no less.
const _: () =
    assert!(size_of::<CallRow<'_>>() <= MESSAGE_ITEM_BYTES && size_of::<ImageRow<'_>>() <= MESSAGE_ITEM_BYTES);

const CHECKSUM_BYTES: usize = size_of::<u32>();

/// A kind of row: its current version, and its form. Most are bincode's; messages and blocks, which reading
/// a page is mostly about, have forms of their own.
///
/// A version is for good: a row written once is read by every later library, golden bytes in
/// the tests hold that.
pub(super) trait Row<'a>: Sized {
    /// The version that is written.
    const VERSION: u8;
    /// What an error calls it.
    const WHAT: &'static str;

    /// Appends its payload.
    fn write(&self, payload: &mut Vec<u8>) -> Result<(), Unwritable>;

    /// The row of a whole payload.
    fn read(payload: &'a [u8]) -> Result<Self, Unreadable>;
}

/// Why a row has no payload.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("its text is longer than 4 GiB")]
    TooLong,
    #[error(transparent)]
    Bincode(#[from] bincode::error::EncodeError),
}

/// Why a payload is no row.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("is cut short")]
    Cut,
    #[error("has bytes left over")]
    LeftOver,
    #[error("has text that is none")]
    Form,
    #[error("cannot be decoded")]
    Bincode(#[from] bincode::error::DecodeError),
}

/// Appends the bincode form of a value.
fn to_bincode(value: &impl bincode::Encode, payload: &mut Vec<u8>) -> Result<(), Unwritable> {
    bincode::encode_into_std_write(value, payload, CONFIG)?;
    Ok(())
}

/// The value whose bincode form the bytes begin with, and what follows it.
fn from_bincode_prefix<'a, T: bincode::BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Unreadable> {
    let (value, consumed) = bincode::borrow_decode_from_slice(bytes, CONFIG)?;
    Ok((value, bytes.get(consumed..).unwrap_or_default()))
}

/// The value whose bincode form is the whole payload.
fn from_bincode<'a, T: bincode::BorrowDecode<'a, ()>>(payload: &'a [u8]) -> Result<T, Unreadable> {
    match bincode::borrow_decode_from_slice(payload, CONFIG)? {
        (value, consumed) if consumed == payload.len() => Ok(value),
        _ => Err(Unreadable::LeftOver),
    }
}

fn checksum(table: Table, key: &[u8], body: &[u8]) -> u32 {
    let place = xxh3_64(key) ^ u64::from(table.tag()) << 56;
    // The low half: enough to tell damage (1 in 4 billion slips by), half the bytes.
    xxh3_64_with_seed(body, place) as u32
}

/// The value of a row that is to stand under this key.
pub(super) fn encode<'a, R: Row<'a>>(table: Table, key: &[u8], row: &R) -> Result<Vec<u8>> {
    let mut value = vec![R::VERSION];
    row.write(&mut value)
        .map_err(|source| Error::invalid(format!("{} cannot be encoded", R::WHAT)).with_source(source))?;
    if value.len() + CHECKSUM_BYTES > VALUE_BYTES {
        return Err(Error::invalid(format!(
            "{} has {} bytes encoded; it may have at most {VALUE_BYTES}",
            R::WHAT,
            value.len()
        )));
    }
    let sum = checksum(table, key, &value);
    value.extend_from_slice(&sum.to_le_bytes());
    Ok(value)
}

/// The row that stands under this key, borrowed from its value.
#[inline]
pub(super) fn decode<'a, R: Row<'a>>(table: Table, key: &[u8], value: &'a [u8]) -> Result<R> {
    match opened(table, key, value, R::VERSION).map(R::read) {
        Ok(Ok(row)) => Ok(row),
        Ok(Err(why)) => Err(damaged(R::WHAT, key, &why.to_string()).with_source(why)),
        Err(why) => Err(damaged(R::WHAT, key, &why)),
    }
}

/// The version and the payload of a row that stands under this key and is sound.
pub(super) fn body<'a, R: Row<'a>>(table: Table, key: &[u8], value: &'a [u8]) -> Result<&'a [u8]> {
    decode::<R>(table, key, value)?;
    Ok(value.split_last_chunk::<CHECKSUM_BYTES>().map_or(value, |(body, _)| body))
}

/// The version and the payload of a row that stands in no table.
pub(super) fn encode_body<'a, R: Row<'a>>(row: &R) -> Result<Vec<u8>> {
    let mut body = vec![R::VERSION];
    row.write(&mut body)
        .map_err(|source| Error::invalid(format!("{} cannot be encoded", R::WHAT)).with_source(source))?;
    Ok(body)
}

/// The row of a version and a payload that stand in no table.
pub(super) fn decode_body<'a, R: Row<'a>>(body: &'a [u8]) -> Result<R> {
    let what = R::WHAT;
    let (version, payload) = body.split_first().ok_or_else(|| Error::corrupt(format!("{what} is cut short")))?;
    if *version != R::VERSION {
        let known = R::VERSION;
        return Err(Error::corrupt(format!("{what} has version {version}; {known} is known")));
    }
    R::read(payload).map_err(|why| Error::corrupt(format!("{what} {why}")).with_source(why))
}

/// Whether a value is what was written under this key: its checksum alone is compared.
pub(super) fn is_sealed(table: Table, key: &[u8], value: &[u8]) -> bool {
    let sealed = value.split_last_chunk::<CHECKSUM_BYTES>();
    sealed.is_some_and(|(body, sum)| checksum(table, key, body) == u32::from_le_bytes(*sum))
}

/// A sound value as it would be under another key, for a test that plants it there.
#[cfg(test)]
pub(super) fn resealed(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    let (body, _) = value.split_last_chunk::<CHECKSUM_BYTES>().expect("a value has a checksum");
    [body, &checksum(table, key, body).to_le_bytes()].concat()
}

/// The payload of a sound envelope; else what is wrong with it.
fn opened<'a>(table: Table, key: &[u8], value: &'a [u8], known: u8) -> Result<&'a [u8], String> {
    if value.len() > VALUE_BYTES {
        return Err("is longer than any row".to_owned());
    }
    let (body, sum) = value.split_last_chunk::<CHECKSUM_BYTES>().ok_or("is cut short")?;
    if checksum(table, key, body) != u32::from_le_bytes(*sum) && !is_planted(Bug::RowUnchecked) {
        return Err("fails its checksum".to_owned());
    }
    let (version, payload) = body.split_first().ok_or("is cut short")?;
    if *version != known {
        return Err(format!("has version {version}; {known} is known"));
    }
    Ok(payload)
}

#[cold]
fn damaged(what: &str, key: &[u8], why: &str) -> Error {
    Error::corrupt(format!("{what} at {} {why}", hex(key)))
}

pub(super) fn hex(key: &[u8]) -> String {
    let mut out = String::with_capacity(2 * key.len().min(64));
    for byte in key.iter().take(64) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
