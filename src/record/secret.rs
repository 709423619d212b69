//! The secrets of access keys, as text and as what is kept of them.
//!
//! ```text
//! pmk_ or pak_ | key id (32 hex digits) | _ | 256 random bits (64 hex digits) | checksum (8 hex digits)
//! ```
//!
//! Of a secret its SHA-256 is stored, over the text without the checksum, so that the kind and the id are part of it.
//! A hash that is slow on purpose, as for passwords, would add nothing: it is there to make guessing dear
//! where there is little to guess, and of 256 random bits none can be guessed at any speed.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, ErrorKind, Result};
use crate::id::KeyId;
use crate::sync::fill_random;

/// What a store keeps of a secret.
pub type SecretHash = [u8; 32];

const PREFIX_BYTES: usize = 4;
const ID_DIGITS: usize = 32;
const RANDOM_DIGITS: usize = 64;
const SUM_DIGITS: usize = 8;
/// All before the checksum.
const HASHED_BYTES: usize = PREFIX_BYTES + ID_DIGITS + 1 + RANDOM_DIGITS;

/// What the secret of an access key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Master,
    Agent,
}

impl KeyKind {
    const fn prefix(self) -> &'static str {
        match self {
            KeyKind::Master => "pmk_",
            KeyKind::Agent => "pak_",
        }
    }
}

/// The secret of an access key. It is shown once, when the key is made; the file has its hash alone.
///
/// `Debug` shows nothing of it, there is no `Display`, and its memory is overwritten when it is dropped. A secret
/// that begins with `pmk_` is that of a master key, one with `pak_` that of an agent key.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, to be handed to who is to have it, and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A new one, of a key with this id, and its hash.
    pub(crate) fn make(kind: KeyKind, id: KeyId) -> Result<(Self, SecretHash)> {
        let mut random = Zeroizing::new([0; RANDOM_DIGITS / 2]);
        if !fill_random(&mut *random) {
            return Err(Error::new(ErrorKind::Storage, "the system has no randomness for a secret"));
        }
        // As long as it will be, so that it is never moved and left behind.
        let mut text = Zeroizing::new(String::with_capacity(HASHED_BYTES + SUM_DIGITS));
        text.push_str(kind.prefix());
        push_hex(&mut text, id.as_uuid().as_bytes());
        text.push('_');
        push_hex(&mut text, &*random);
        let hash = Sha256::digest(text.as_bytes()).into();
        let sum = checksum(text.as_bytes());
        push_hex(&mut text, &sum);
        Ok((Secret(text), hash))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret that somebody brought: of which key it says it is, and its hash.
pub(crate) struct Presented {
    pub(crate) kind: KeyKind,
    pub(crate) id: KeyId,
    hash: SecretHash,
}

impl Presented {
    /// Reads a secret; none where it has not the form of one.
    ///
    /// What is told from it before the hash, its form and its id, is no secret.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (hashed, sum) = text.as_bytes().split_at_checked(HASHED_BYTES)?;
        let mut due = String::with_capacity(SUM_DIGITS);
        push_hex(&mut due, &checksum(hashed));
        if sum != due.as_bytes() {
            return None;
        }
        let kind = [KeyKind::Master, KeyKind::Agent].into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let (id, random) = text.get(PREFIX_BYTES..HASHED_BYTES)?.split_once('_')?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if id.len() != ID_DIGITS || random.len() != RANDOM_DIGITS || !is_hex(id) || !is_hex(random) {
            return None;
        }
        let id = KeyId::from_uuid(Uuid::try_parse(id).ok()?);
        Some(Presented { kind, id, hash: Sha256::digest(hashed).into() })
    }

    /// Whether it is the secret of which this is the hash; of none where there is no such key. It takes as long
    /// whatever the answer is.
    pub(crate) fn is(&self, stored: Option<&SecretHash>) -> bool {
        let none = [0; 32];
        let same = self.hash.ct_eq(stored.unwrap_or(&none));
        bool::from(same) && stored.is_some()
    }
}

impl Drop for Presented {
    fn drop(&mut self) {
        self.hash.zeroize();
    }
}

/// Tells a text that was cut or mistyped before anything is looked up; no secret depends on it.
fn checksum(text: &[u8]) -> [u8; SUM_DIGITS / 2] {
    // The low half.
    (xxh3_64(text) as u32).to_be_bytes()
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
}

/// Reads a text as the secret of an access key, for a fuzzer: as it is, and with its checksum made right. What is read must be the
/// text itself.
///
/// # Panics
///
/// When what was read makes another text.
#[cfg(feature = "testkit")]
#[allow(clippy::panic, reason = "a check reports by panicking")]
pub(crate) fn check_secret(text: &str) {
    let repaired = text.get(..HASHED_BYTES).map(|hashed| {
        let mut repaired = hashed.to_owned();
        push_hex(&mut repaired, &checksum(hashed.as_bytes()));
        repaired
    });
    for text in [Some(text), repaired.as_deref()].into_iter().flatten() {
        let Some(read) = Presented::read(text) else { continue };
        let mut again = String::from(read.kind.prefix());
        push_hex(&mut again, read.id.as_uuid().as_bytes());
        assert!(text.starts_with(&again) && text.len() == HASHED_BYTES + SUM_DIGITS, "{text:?} was read as {again:?}");
        assert!(!read.is(None) && !read.is(Some(&[0; 32])), "{text:?} is the secret of no key");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(kind: KeyKind) -> (Secret, SecretHash) {
        Secret::make(kind, KeyId::from_uuid(Uuid::from_u128(7))).expect("a secret")
    }

    #[test]
    fn a_secret_names_its_kind_and_its_key_and_is_read_again() {
        for kind in [KeyKind::Master, KeyKind::Agent] {
            let (secret, hash) = made(kind);
            assert!(secret.expose().starts_with(kind.prefix()));
            let read = Presented::read(secret.expose()).expect("its form");
            assert_eq!((read.kind, read.id), (kind, KeyId::from_uuid(Uuid::from_u128(7))));
            assert!(read.is(Some(&hash)));
            assert!(!read.is(None) && !read.is(Some(&[0; 32])) && !read.is(Some(&made(kind).1)));
        }
    }

    #[test]
    fn no_two_secrets_are_the_same_and_none_is_shown() {
        let (one, other) = (made(KeyKind::Master).0, made(KeyKind::Master).0);
        assert_ne!(one.expose(), other.expose());
        assert_eq!(format!("{one:?}"), "Secret");
    }

    #[test]
    fn a_digit_that_is_another_makes_it_none() {
        let (secret, hash) = made(KeyKind::Agent);
        let text = secret.expose();
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).expect("text");
            assert!(Presented::read(&changed).is_none_or(|read| !read.is(Some(&hash))), "{at}");
        }
        assert!(Presented::read(&text[..text.len() - 1]).is_none());
        assert!(Presented::read(&format!("{text}0")).is_none());
        assert!(Presented::read(&text.to_uppercase()).is_none());
    }

    #[test]
    fn another_kind_with_its_checksum_made_right_is_another_secret() {
        let (secret, hash) = made(KeyKind::Agent);
        let mut forged = format!("pmk_{}", &secret.expose()[PREFIX_BYTES..HASHED_BYTES]);
        let sum = checksum(forged.as_bytes());
        push_hex(&mut forged, &sum);
        let read = Presented::read(&forged).expect("its form");
        assert!(read.kind == KeyKind::Master && !read.is(Some(&hash)));
    }

    proptest! {
        #[test]
        fn whatever_is_brought_is_read_or_refused(text in "(pmk_|pak_|\\PC{0,4})[0-9a-f_é]{0,120}") {
            check_secret(&text);
        }
    }
}
