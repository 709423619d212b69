//! Lines from a stream, each bounded before there is memory for it.

use std::io::{BufRead, ErrorKind as Io};

use crate::error::{Error, ErrorKind, Result};
use crate::limit::LINES_LINE_BYTES;

/// What of the buffer is kept between two lines: most have far less.
const KEPT_BYTES: usize = 1 << 20;

/// Reads lines, or all that is left, from a stranger's stream.
pub(crate) struct Reader<'r> {
    from: &'r mut dyn BufRead,
    /// The number of the last line that was read, from 1.
    number: u64,
    line: Vec<u8>,
    /// Whether the last line is to be read again.
    again: bool,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(from: &'r mut dyn BufRead) -> Self {
        Reader { from, number: 0, line: Vec::new(), again: false }
    }

    /// The number of the last line that was read.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line with its number, blank ones left out; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &str)>> {
        if !std::mem::take(&mut self.again) && !self.read()? {
            return Ok(None);
        }
        let number = self.number;
        self.text().map(|text| Some((number, text)))
    }

    /// The last line is the next one, too.
    pub(crate) fn unread(&mut self) {
        self.again = true;
    }

    /// The last line and all that follows it, as one text.
    pub(crate) fn rest(&mut self) -> Result<&str> {
        loop {
            self.line.push(b'\n');
            if !self.extend()? {
                return self.text();
            }
        }
    }

    /// Reads the next line that is not blank.
    fn read(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            self.line.shrink_to(KEPT_BYTES);
            self.number += 1;
            let came = self.extend()?;
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
            if !came {
                return Ok(false);
            }
        }
    }

    /// Takes in bytes up to the end of a line, which is left out. False at the end of the stream.
    fn extend(&mut self) -> Result<bool> {
        loop {
            let bytes = match self.from.fill_buf() {
                Err(error) if error.kind() == Io::Interrupted => continue,
                bytes => bytes.map_err(|error| {
                    Error::new(ErrorKind::Storage, format!("line {} cannot be read: {error}", self.number))
                        .with_source(error)
                })?,
            };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            if self.line.len() + taken.len() > LINES_LINE_BYTES {
                let text = format!("line {} has more than {LINES_LINE_BYTES} bytes (LINES_LINE_BYTES)", self.number);
                return Err(Error::new(ErrorKind::TooLarge, text));
            }
            self.line.extend_from_slice(taken);
            let (is_end, consumed) = (bytes.is_empty(), taken.len() + usize::from(end.is_some()));
            self.from.consume(consumed);
            if end.is_some() || is_end {
                return Ok(!is_end);
            }
        }
    }

    fn text(&self) -> Result<&str> {
        let number = self.number;
        std::str::from_utf8(&self.line).map_err(|error| {
            let text = format!("line {number} is no UTF-8 from byte {} on", error.valid_up_to());
            Error::invalid(text).with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _, repeat};

    use super::*;

    fn lines(mut bytes: &[u8]) -> Vec<(u64, String)> {
        let mut reader = Reader::new(&mut bytes);
        std::iter::from_fn(|| reader.next().expect("it is a line").map(|(n, line)| (n, line.to_owned()))).collect()
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_are_left_out() {
        let all = [(1, "a".to_owned()), (4, " b".to_owned()), (5, "c\r".to_owned())];
        assert_eq!(lines(b"a\n\n  \n b\nc\r\n\n"), all);
        assert_eq!(lines(b"a\n\n\t\n b\nc\r"), all);
        assert_eq!(lines(b" \n\n"), []);
    }

    #[test]
    fn a_line_can_be_read_again_and_all_that_follows_it() {
        let mut bytes: &[u8] = b"a\nb\n\nc";
        let mut reader = Reader::new(&mut bytes);
        assert_eq!(reader.next().expect("a line"), Some((1, "a")));
        reader.unread();
        assert_eq!(reader.next().expect("a line"), Some((1, "a")));
        assert_eq!(reader.rest().expect("text").trim_end(), "a\nb\n\nc");
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_bound() {
        let mut endless = BufReader::new(repeat(b'x'));
        let error = Reader::new(&mut endless).next().expect_err("it never ends");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let mut lines = BufReader::new(repeat(b'\n').take(1 << 20).chain(&[0xff_u8, b'\n'][..]));
        let error = Reader::new(&mut lines).next().expect_err("it is no text");
        assert_eq!(error.to_string(), "line 1048577 is no UTF-8 from byte 0 on");
        let mut endless = BufReader::new((&b"["[..]).chain(repeat(b'\n')));
        let mut reader = Reader::new(&mut endless);
        assert!(reader.next().is_ok());
        assert_eq!(reader.rest().expect_err("it never ends").kind(), ErrorKind::TooLarge);
    }
}
