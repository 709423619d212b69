//! Lines as they are written, field by field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use uuid::Uuid;

/// Lines in memory, the last of which may still be open.
#[derive(Debug, Default)]
pub(crate) struct Printer {
    out: Vec<u8>,
    is_open: bool,
}

impl Printer {
    /// A line of a kind, after the one before has ended.
    pub(crate) fn line(&mut self, kind: &str) -> &mut Self {
        self.begin();
        self.text("line", kind)
    }

    /// A line, after the one before has ended.
    pub(crate) fn begin(&mut self) -> &mut Self {
        self.end();
        self.out.push(b'{');
        self.is_open = true;
        self
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.out.extend_from_slice(b"}\n");
        }
    }

    /// About what it holds.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// What was printed since.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn number(&mut self, name: &str, number: impl Into<u64>) -> &mut Self {
        self.name(name);
        self.value(&number.into())
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.name(name);
        self.value(&text)
    }

    /// Nothing where there is none, as of all that may be there.
    pub(crate) fn maybe_text(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    pub(crate) fn maybe_number(&mut self, name: &str, number: Option<u64>) -> &mut Self {
        if let Some(number) = number {
            self.number(name, number);
        }
        self
    }

    pub(crate) fn id(&mut self, name: &str, id: [u8; 16]) -> &mut Self {
        self.name(name);
        self.value(&Uuid::from_bytes(id))
    }

    pub(crate) fn maybe_id(&mut self, name: &str, id: Option<[u8; 16]>) -> &mut Self {
        if let Some(id) = id {
            self.id(name, id);
        }
        self
    }

    /// 16 bytes in hexadecimal digits.
    pub(crate) fn maybe_hex(&mut self, name: &str, bytes: Option<[u8; 16]>) -> &mut Self {
        if let Some(bytes) = bytes {
            self.text(name, &format!("{:032x}", u128::from_be_bytes(bytes)));
        }
        self
    }

    /// Only where it is so.
    pub(crate) fn when(&mut self, name: &str, is_so: impl Into<Option<()>>) -> &mut Self {
        if is_so.into().is_some() {
            self.name(name);
            self.out.extend_from_slice(b"true");
        }
        self
    }

    /// Free JSON as it is; as a string, and under another name, where it would break the line or read as none.
    pub(crate) fn maybe_json(&mut self, name: &str, as_text: &str, json: Option<&str>) -> &mut Self {
        match json {
            None => {}
            Some(json) if json == "null" || json.contains(['\n', '\r']) => {
                self.text(as_text, json);
            }
            Some(json) => {
                self.name(name);
                self.out.extend_from_slice(json.as_bytes());
            }
        }
        self
    }

    pub(crate) fn base64(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.text(name, &STANDARD.encode(bytes))
    }

    /// An object in a field.
    pub(crate) fn object(&mut self, name: &str, print: impl FnOnce(&mut Self)) -> &mut Self {
        self.name(name);
        self.out.push(b'{');
        print(self);
        self.out.push(b'}');
        self
    }

    /// Objects in a list; nothing where there are none.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        all: impl IntoIterator<Item = T>,
        mut print: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        let mut separator = None;
        for one in all {
            match separator.replace(b',') {
                None => {
                    self.name(name);
                    self.out.push(b'[');
                }
                Some(comma) => self.out.push(comma),
            }
            self.out.push(b'{');
            print(self, one);
            self.out.push(b'}');
        }
        if separator.is_some() {
            self.out.push(b']');
        }
        self
    }

    /// Ids in a list; nothing where there are none.
    pub(crate) fn ids(&mut self, name: &str, ids: &[[u8; 16]]) -> &mut Self {
        if !ids.is_empty() {
            let ids: Vec<Uuid> = ids.iter().copied().map(Uuid::from_bytes).collect();
            self.name(name);
            self.value(&ids);
        }
        self
    }

    fn name(&mut self, name: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.value(&name);
        self.out.push(b':');
    }

    fn value(&mut self, value: &impl Serialize) -> &mut Self {
        // Writing a number, a text or a list of them to memory cannot fail.
        let _ = serde_json::to_writer(&mut self.out, value);
        self
    }
}
