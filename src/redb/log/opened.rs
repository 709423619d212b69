//! A log that was left behind, and what of it is to be replayed.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::disk::{Disk, DiskFile};
use super::header::Header;
use super::options::{BLOCK_BYTES, Origin};
use super::record::Salt;
use super::scan::Scan;
use crate::error::{Error, Result};
use crate::redb::fault;

/// A log that stands beside its database. Reading it changes nothing.
///
/// To be dropped before a new log takes its place: not every system renames over an open file.
#[derive(Debug)]
pub(in crate::redb) struct Opened {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    header: Header,
    salt: Salt,
}

/// Records of one segment whose numbers follow each other.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
}

/// What was found in a segment.
#[derive(Debug)]
struct Surveyed {
    index: u32,
    lap: u64,
    /// Of the latest lap, and only of numbers that were asked for.
    runs: Vec<Run>,
}

/// What of a log is to be replayed.
#[derive(Debug)]
struct Survey {
    /// In the order in which they were written.
    segments: Vec<Surveyed>,
    /// The last record of the unbroken sequence, or what was asked after.
    last: u64,
}

impl Opened {
    /// Opens the log of a database; none where there is none.
    ///
    /// # Errors
    ///
    /// Newer format. Corrupt: damaged, too short, or the log of another database.
    pub(in crate::redb) fn open(disk: &dyn Disk, database: Uuid) -> Result<Option<Self>> {
        let path = disk.path();
        let Some(file) = disk.open().map_err(|error| failed(path, error))? else { return Ok(None) };
        let len = file.len().map_err(|error| failed(path, error))?;
        if len < u64::from(BLOCK_BYTES) {
            return Err(Error::corrupt(format!("{} is damaged: it has {len} bytes", path.display())));
        }
        let mut block = vec![0; BLOCK_BYTES as usize];
        file.read_at(0, &mut block).map_err(|error| failed(path, error))?;
        let header = Header::read(&block, path)?;
        if header.origin.database != database {
            let text = format!(
                "{} is the log of database {}, not of {database}, which stands beside it",
                path.display(),
                header.origin.database
            );
            return Err(Error::corrupt(text));
        }
        let due = header.segment_at(header.options.segments);
        if len != due {
            let text = format!("{} is damaged: it has {len} bytes and must have {due}", path.display());
            return Err(Error::corrupt(text));
        }
        Ok(Some(Opened { file, path: path.to_owned(), header, salt: Salt::of(header.origin.log) }))
    }

    /// What the log was told of itself when it was made.
    pub(in crate::redb) fn origin(&self) -> Origin {
        self.header.origin
    }

    /// The last number that a replay from `after` on would reach: `after` itself where the log has no more.
    ///
    /// # Errors
    ///
    /// Those of [`records`](Self::records).
    pub(in crate::redb) fn last(&self, after: u64) -> Result<u64> {
        Ok(self.survey(after, &mut self.buffer())?.last)
    }

    /// Calls `each` with every record after number `after`, in order, and answers with the last number. Takes
    /// the memory of one segment.
    ///
    /// What was written after the last sync may be there or not; it is there up to the first that is not whole.
    ///
    /// # Errors
    ///
    /// Corrupt, before the first call: a record is missing or damaged that is proved to have been synced.
    /// Storage. What `each` fails with.
    pub(in crate::redb) fn records(&self, after: u64, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<u64> {
        let mut buffer = self.buffer();
        let survey = self.survey(after, &mut buffer)?;
        let mut reached = after;
        for segment in survey.segments.iter().filter(|segment| !segment.runs.is_empty()) {
            for found in self.scan(segment.index, &mut buffer)? {
                let Some(body) = found.body else { continue };
                if reached < survey.last && reached.checked_add(1) == Some(found.head.number) {
                    reached = found.head.number;
                    each(reached, body)?;
                }
            }
        }
        if reached == survey.last {
            return Ok(reached);
        }
        Err(self.corrupt(format_args!("record {reached} was the last to be read again, of {}", survey.last)))
    }

    /// Room for a segment: the file has one, so this is no more than its length.
    fn buffer(&self) -> Vec<u8> {
        vec![0; self.header.options.segment_bytes as usize]
    }

    fn scan<'a>(&self, index: u32, buffer: &'a mut [u8]) -> Result<Scan<'a>> {
        let start = self.header.segment_at(index);
        self.file.read_at(start, buffer).map_err(|error| failed(&self.path, error))?;
        Ok(Scan::new(buffer, start, self.salt))
    }

    fn survey(&self, after: u64, buffer: &mut [u8]) -> Result<Survey> {
        let mut proved = self.header.origin.after;
        let mut segments = Vec::new();
        for index in 0..self.header.options.segments {
            let mut segment = Surveyed { index, lap: 0, runs: Vec::new() };
            for found in self.scan(index, buffer)? {
                let head = found.head;
                // True whatever became of the record itself.
                proved = proved.max(head.proved);
                if head.lap > segment.lap {
                    segment.lap = head.lap;
                    segment.runs.clear();
                }
                if head.lap == segment.lap && found.body.is_some() && head.number > after {
                    segment.note(head.number);
                }
            }
            segments.push(segment);
        }
        segments.sort_by_key(|segment| segment.lap);
        let last = self.unbroken(after, &segments)?;
        // After what the database has, nothing of the log is needed, whatever it proves.
        if last < proved {
            let missing = last.saturating_add(1);
            let text = format_args!("record {missing} is missing or damaged, but all up to {proved} were synced");
            return Err(self.corrupt(text));
        }
        Ok(Survey { segments, last })
    }

    /// The last number of the sequence that begins after `after`. One behind a gap was written when the record
    /// in the gap was not synced yet, or it would prove so.
    fn unbroken(&self, after: u64, segments: &[Surveyed]) -> Result<u64> {
        let mut last = after;
        for run in segments.iter().flat_map(|segment| &segment.runs) {
            if run.first <= last {
                return Err(self.corrupt(format_args!("record {} comes after record {last}", run.first)));
            }
            if last.checked_add(1) != Some(run.first) {
                break;
            }
            last = run.last;
        }
        Ok(last)
    }

    fn corrupt(&self, what: std::fmt::Arguments<'_>) -> Error {
        Error::corrupt(format!("{} is damaged: {what}", self.path.display()))
    }
}

impl Surveyed {
    fn note(&mut self, number: u64) {
        match self.runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(number) => run.last = number,
            _ => self.runs.push(Run { first: number, last: number }),
        }
    }
}

/// A failed access to a log that is only read.
fn failed(path: &Path, error: std::io::Error) -> Error {
    fault::file(path.display(), error)
}
