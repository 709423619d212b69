//! The fields of one object, taken one after the other by name; what is left is not known.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Unknown;
use crate::error::{Error, Result};
use crate::limit::LINES_FIELDS;
use crate::record::{Json, MessageType, Reason, Role, Ts, TurnState};

/// The fields of an object of a line.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    line: u64,
    /// The fields that it stands in, each with a point behind it.
    within: &'static str,
    fields: Vec<(String, &'a RawValue)>,
}

/// A value that a field may have.
pub(crate) trait Value<'a>: Sized {
    /// What it must be.
    const WHAT: &'static str;

    fn read(raw: &'a RawValue) -> Option<Self>;
}

macro_rules! value {
    ($($type:ty, $what:literal;)+) => {
        $(impl<'a> Value<'a> for $type {
            const WHAT: &'static str = $what;

            fn read(raw: &'a RawValue) -> Option<Self> {
                serde_json::from_str(raw.get()).ok()
            }
        })+
    };
}

value! {
    bool, "true or false";
    u32, "an integer of 0 to 2^32 - 1";
    u64, "an integer of 0 to 2^64 - 1";
    String, "a string";
    Uuid, "a UUID";
    Role, "user, assistant, system or tool";
    MessageType, "message, final_message or tool_call";
    TurnState, "completed, interrupted or failed";
    Reason, "a reason";
    Ts, "epoch seconds";
}

impl<'a> Value<'a> for &'a RawValue {
    const WHAT: &'static str = "JSON";

    fn read(raw: &'a RawValue) -> Option<Self> {
        Some(raw)
    }
}

/// 16 bytes in hexadecimal digits.
impl<'a> Value<'a> for [u8; 16] {
    const WHAT: &'static str = "32 hexadecimal digits";

    fn read(raw: &'a RawValue) -> Option<Self> {
        let text = String::read(raw)?;
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(&text, 16).ok()).flatten()?;
        Some(number.to_be_bytes())
    }
}

/// Bytes in base64.
impl<'a> Value<'a> for Vec<u8> {
    const WHAT: &'static str = "base64";

    fn read(raw: &'a RawValue) -> Option<Self> {
        STANDARD.decode(String::read(raw)?).ok()
    }
}

impl<'a> Fields<'a> {
    /// The fields of a line.
    pub(crate) fn of(line: u64, text: &'a str) -> Result<Self> {
        Self::read(line, "", text)
    }

    /// Those of the object that a text is, which stands in these fields.
    fn read(line: u64, within: &'static str, text: &'a str) -> Result<Self> {
        let fields = serde_json::from_str(text).map_err(|source| {
            let what = if within.is_empty() { "" } else { ": " };
            let name = within.trim_end_matches('.');
            let bound = format_args!("no JSON object of at most {LINES_FIELDS} fields, each once");
            Error::invalid(format!("line {line}{what}{name} is {bound}: {source}")).with_source(source)
        });
        fields.map(|Pairs(fields)| Fields { line, within, fields })
    }

    /// The line that they stand in.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Whether there is a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// A refusal of a value.
    pub(crate) fn refusal(&self, name: &str, text: &str, bound: impl fmt::Display) -> Error {
        super::at(self.line, Error::unreadable(&format!("{}{name}", self.within), text, bound))
    }

    /// The value of a field; none where it is not there, or null.
    pub(crate) fn may<T: Value<'a>>(&mut self, name: &'static str) -> Result<Option<T>> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        T::read(raw).map(Some).ok_or_else(|| self.refusal(name, raw.get(), T::WHAT))
    }

    /// The value of a field that must be there.
    pub(crate) fn need<T: Value<'a>>(&mut self, name: &'static str) -> Result<T> {
        let (line, within) = (self.line, self.within);
        self.may(name)?
            .ok_or_else(|| Error::invalid(format!("line {line}: {within}{name} is missing; it must be {}", T::WHAT)))
    }

    /// Free JSON: as it stands in a field, or as a string in another one, where its text has line breaks or is `null`.
    pub(crate) fn json(&mut self, name: &'static str, as_text: &'static str) -> Result<Option<String>> {
        let (raw, text) = (self.raw(name), self.may::<String>(as_text)?);
        match (raw, text) {
            (None, None) => Ok(None),
            (Some(raw), None) => Ok(Some(raw.get().to_owned())),
            (None, Some(text)) => match Json::parse(&text) {
                Ok(json) => Ok(Some(json.as_str().to_owned())),
                Err(_) => Err(self.refusal(as_text, &text, "JSON")),
            },
            (Some(raw), Some(_)) => Err(self.refusal(name, raw.get(), format_args!("none beside {as_text}"))),
        }
    }

    /// The values of a list in a field, at most so many; none where it is not there.
    pub(crate) fn list(&mut self, name: &'static str, most: usize) -> Result<Vec<&'a RawValue>> {
        let Some(raw) = self.raw(name) else { return Ok(Vec::new()) };
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        Items { most }
            .deserialize(&mut reader)
            .map_err(|_| self.refusal(name, raw.get(), format_args!("a list of at most {most}")))
    }

    /// The objects of a list in a field, at most so many; `within` is its name with a point behind it.
    pub(crate) fn objects<T>(
        &mut self,
        (name, within): (&'static str, &'static str),
        most: usize,
        unknown: &mut Unknown,
        mut each: impl FnMut(&mut Fields<'a>, &mut Unknown) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for raw in self.list(name, most)? {
            let mut fields = Fields::read(self.line, within, raw.get())?;
            all.push(each(&mut fields, unknown)?);
            fields.rest(unknown);
        }
        Ok(all)
    }

    /// The object in a field; none where it is not there.
    pub(crate) fn object<T>(
        &mut self,
        (name, within): (&'static str, &'static str),
        unknown: &mut Unknown,
        each: impl FnOnce(&mut Fields<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let mut fields = Fields::read(self.line, within, raw.get())?;
        let read = each(&mut fields)?;
        fields.rest(unknown);
        Ok(Some(read))
    }

    /// Counts what nobody asked for.
    pub(crate) fn rest(self, unknown: &mut Unknown) {
        for (name, _) in self.fields {
            unknown.add(&format!("{}{name}", self.within));
        }
    }

    fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, raw) = self.fields.swap_remove(place);
        (raw.get() != "null").then_some(raw)
    }
}

/// The fields of an object.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if fields.len() >= LINES_FIELDS {
                        return Err(A::Error::custom("there are more"));
                    }
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom("one is there twice"));
                    }
                    fields.push((name, map.next_value()?));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object).map(Pairs)
    }
}

/// The values of a list, which are not more than so many.
struct Items {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() >= self.most {
                return Err(A::Error::custom("there are more"));
            }
            items.push(item);
        }
        Ok(items)
    }
}
