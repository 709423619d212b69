//! `ts`: the cursor clock of a session.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::limit::TS_MICROS_MAX;

/// Microseconds in a second.
const MICROS: u64 = 1_000_000;

/// A value of a session's cursor clock: microseconds since the Unix epoch, strictly
/// increasing in commit order within the session.
///
/// Prints as epoch seconds with a fraction, and reads back exactly. In JSON it is a number.
/// Digits finer than 1 µs are dropped.
///
/// ```
/// use parlor::Ts;
///
/// let ts: Ts = "1746038518.0000429".parse()?;
/// assert_eq!(ts.as_micros(), 1_746_038_518_000_042);
/// assert_eq!(ts.to_string(), "1746038518.000042");
/// assert_eq!("1.746038518e9".parse::<Ts>()?.to_string(), "1746038518");
/// assert!("-1".parse::<Ts>().is_err());
/// # Ok::<(), parlor::Error>(())
/// ```
///
/// From document A, whose `ts` is in whole seconds and can go back or be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ts(u64);

impl Ts {
    /// Before every message: the cursor of one who has read nothing.
    pub const ZERO: Ts = Ts(0);

    /// The greatest there can be: 2^52 − 1 µs, in the year 2112.
    pub const MAX: Ts = Ts(TS_MICROS_MAX);

    /// From microseconds since the epoch, at most 2^52 − 1.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) past the bound.
    pub fn from_micros(micros: u64) -> Result<Self> {
        if micros > TS_MICROS_MAX {
            return Err(Error::invalid(format!(
                "ts is {micros} microseconds; it must be at most {TS_MICROS_MAX} (2^52 - 1)"
            )));
        }
        Ok(Ts(micros))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Epoch seconds as a double: the nearest to this `ts`, whose shortest form is this `ts` again.
    pub fn as_seconds(self) -> f64 {
        // Below 2^53, so the cast is exact, and one correctly rounded division follows.
        self.0 as f64 / MICROS as f64
    }

    /// From epoch seconds, read in the shortest decimal form of the double.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when negative, not finite or past the bound.
    pub fn from_seconds(seconds: f64) -> Result<Self> {
        // Prints no exponent, and `NaN` and `inf`, which are refused, where it is no number.
        seconds.to_string().parse()
    }

    /// A text that is no `ts`, given under this name.
    pub(crate) fn unreadable(name: &str, text: &str) -> Error {
        Error::unreadable(name, text, format_args!("epoch seconds from 0 to {}", Ts::MAX))
    }
}

impl FromStr for Ts {
    type Err = Error;

    /// Reads decimal text, with a fraction or an exponent where there is one.
    fn from_str(text: &str) -> Result<Self> {
        decimal_micros(text).filter(|micros| *micros <= TS_MICROS_MAX).map(Ts).ok_or_else(|| Ts::unreadable("ts", text))
    }
}

/// `text` × 10^6 without its fraction, exactly; `None` when it is no number, negative, or
/// beyond 64 bits.
fn decimal_micros(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() && fraction.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The value in microseconds has this many digits before its point.
    let before_point = i64::try_from(whole.len()).ok()? + i64::from(exponent) + 6;
    let mut micros: u64 = 0;
    let mut seen = 0;
    for digit in digits() {
        if seen >= before_point {
            break;
        }
        seen += 1;
        micros = micros.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if micros == 0 {
        return Some(0);
    }
    while seen < before_point {
        seen += 1;
        micros = micros.checked_mul(10)?;
    }
    Some(micros)
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / MICROS, self.0 % MICROS);
        if micros == 0 {
            return write!(f, "{seconds}");
        }
        let fraction = format!("{micros:06}");
        write!(f, "{seconds}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Ts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(MICROS) {
            return serializer.serialize_u64(self.0 / MICROS);
        }
        serializer.serialize_f64(self.as_seconds())
    }
}

impl<'de> Deserialize<'de> for Ts {
    /// From a JSON number, through `serde_json` only: its digits are read as they stand there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text: a double would round digits that are only to be dropped.
        let number = Box::<RawValue>::deserialize(deserializer)?;
        number.get().parse().map_err(D::Error::custom)
    }
}
