//! Free JSON, kept as the text it came in.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// A JSON value, kept byte for byte as it was given: key order, spaces and digits included.
/// Only the blanks around it are dropped. Two are equal when their texts are.
///
/// ```
/// use parlor::Json;
///
/// let json = Json::parse(r#"{"b": 1, "a": 2.50}"#)?;
/// assert_eq!(json.as_str(), r#"{"b": 1, "a": 2.50}"#);
/// assert_eq!(json.to_value()?["a"], 2.5);
/// assert_eq!(Json::from(serde_json::json!([1])).as_str(), "[1]");
/// # Ok::<(), parlor::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// Takes JSON text.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when it is no JSON.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let raw: &RawValue = serde_json::from_str(text.as_ref())
            .map_err(|source| Error::invalid(format!("text is not JSON: {source}")).with_source(source))?;
        Ok(Json(raw.get().into()))
    }

    /// Writes any serializable value as JSON.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the value has no JSON form.
    pub fn of(value: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_string(value)
            .map_err(|source| Error::invalid(format!("value has no JSON form: {source}")).with_source(source))?;
        Ok(Json(text.into()))
    }

    /// Text that this library checked when it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Json(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads it into a type of yours.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when it does not fit the type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.0)
            .map_err(|source| Error::invalid(format!("JSON does not fit: {source}")).with_source(source))
    }

    /// Reads it into a [`serde_json::Value`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when `serde_json` cannot hold it: nested deeper than
    /// 127, a number beyond a double, or half a surrogate pair in a string.
    pub fn to_value(&self) -> Result<serde_json::Value> {
        self.to()
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Json(value.to_string().into())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    /// Through `serde_json` only: the text is kept as it stands there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Json(raw.get().into()))
    }
}
