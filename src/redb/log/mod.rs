//! The log beside the file: what makes a group durable with one write and one sync, before redb does.
//!
//! A log is a file of segments, written with zeros when it is made: into reserved space alone, every sync would
//! write metadata too. Records go into one segment after another. What the database has for good is
//! [freed](Log::free), and its segments are used again. The layout stands in [`header`] and [`record`].
//!
//! # How it is used
//!
//! 1. Open: [`Opened::open`], [`Opened::records`] after the number that the database has; apply them, and make the
//!    database durable. Nothing else may be written to the database before step 2 is done: the old log
//!    could hold a record, of a number that is used again, that a crash had cut off from those before it.
//! 2. [`Log::make`] a new one, with a new id, in place of the old. Only then does the database name it.
//! 3. [`Log::append`] and [`Log::sync`] a group, at last [`Log::free`] what a checkpoint made durable.
//! 4. Close: a checkpoint, [`Log::free`], [`Log::remove`].
//!
//! # Why what is read is what was written
//!
//! * A number is written once in the life of a log: after a failed write the log takes no more, and one that
//!   found no space had not begun. So a whole record is the truth about its number, whenever it is found.
//! * A record says which number was synced before it. If one at or below it cannot be read, that is damage and no end.
//! * Several records may be written before one sync, and a power loss may keep a later one of them alone. Behind a
//!   gap that nothing proves synced, the log ends.
//! * A segment is used again only when the database has all of it, so what is left of an earlier lap is of no
//!   number that is asked for. Readers take the latest lap of a segment alone.
//!
//! It assumes that a power loss leaves each sector of 512 bytes as it was or as it was to be, which every disk of
//! today promises.

#[cfg(target_os = "linux")]
mod direct;
mod disk;
mod header;
#[cfg(any(test, feature = "testkit"))]
#[cfg_attr(not(test), allow(clippy::indexing_slicing, reason = "a test fails by panicking"))]
mod memory;
mod opened;
mod options;
mod record;
mod scan;
mod segments;
#[cfg(test)]
mod tests;

pub(in crate::redb) use disk::{Disk, DiskFile, FileDisk};
#[cfg(any(test, feature = "testkit"))]
pub(in crate::redb) use memory::{Fault, How, Memory, Survives};
pub(in crate::redb) use opened::Opened;
pub(in crate::redb) use options::{Options, Origin};

use std::io;

use self::header::Header;
use self::record::record_bytes;
use self::record::{Head, Salt};
use self::segments::Segments;
use super::fault;
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

/// A log that is written to. It belongs to one thread.
#[derive(Debug)]
pub(in crate::redb) struct Log {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    header: Header,
    salt: Salt,
    segments: Segments,
    appended: u64,
    synced: u64,
    /// Why no more is written, once a write or a sync failed.
    failed: Option<String>,
    /// The record being written; kept for its memory.
    record: Vec<u8>,
}

/// Whether a record can be appended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) enum Room {
    /// Yes.
    Fits,
    /// After a checkpoint, once [`Log::free`] was called.
    NeedsCheckpoint,
    /// It is larger than a segment.
    NeverFits,
}

impl Log {
    /// Makes a log of zeros under a temporary name, syncs it, and gives it its name in place of the log that
    /// stood there; then syncs the directory. So a crash leaves the old log or the new one, whole, and a temporary
    /// file at worst, which the next one to make a log removes. What the old one held, the database must
    /// have for good.
    ///
    /// # Errors
    ///
    /// Invalid argument: an option is out of its bounds. No space, storage: the old log may stand or the new one.
    pub(in crate::redb) fn make(disk: Arc<dyn Disk>, origin: Origin, options: Options) -> Result<Self> {
        options.check()?;
        let header = Header { origin, options };
        let file = Self::make_file(&*disk, header).map(Arc::from).map_err(|error| {
            // The first error says more. What stays under the temporary name harms nobody.
            let _ = disk.discard();
            failed(&*disk, "made", error)
        })?;
        Ok(Log {
            disk,
            file,
            header,
            salt: Salt::of(origin.log),
            segments: Segments::new(options.segment_bytes as usize, options.segments as usize, origin.after),
            appended: origin.after,
            synced: origin.after,
            failed: None,
            record: Vec::new(),
        })
    }

    fn make_file(disk: &dyn Disk, header: Header) -> io::Result<Box<dyn DiskFile>> {
        let file = disk.create()?;
        file.write_at(0, &header.block())?;
        file.write_zeros(header.segment_at(0), header.segment_at(header.options.segments))?;
        file.sync_data()?;
        disk.publish()?;
        disk.sync_directory()?;
        Ok(file)
    }

    /// What the log was told of itself when it was made.
    pub(in crate::redb) fn origin(&self) -> Origin {
        self.header.origin
    }

    /// The last number that was appended.
    pub(in crate::redb) fn appended(&self) -> u64 {
        self.appended
    }

    /// Whether a body of this length can be appended now.
    pub(in crate::redb) fn room(&self, body: usize) -> Room {
        let bytes = record_bytes(body);
        if bytes > self.segments.bytes() {
            Room::NeverFits
        } else if self.segments.spot(bytes).is_some() {
            Room::Fits
        } else {
            Room::NeedsCheckpoint
        }
    }

    /// Writes a record, without syncing it. Numbers rise; one is left out where the database has the group for good.
    ///
    /// # Errors
    ///
    /// *Nothing was written, and the log goes on*: invalid argument, the number is not greater than the last;
    /// too large, the record is larger than a segment; overloaded, there is no [room](Self::room) without a
    /// checkpoint.
    ///
    /// *The log takes no more*: outcome unknown, this record and those not synced may be in the file or not;
    /// storage, it failed before, and this record is not.
    pub(in crate::redb) fn append(&mut self, number: u64, body: &[u8]) -> Result<()> {
        self.check_sound()?;
        if number <= self.appended {
            return Err(Error::invalid(format!("log record number is {number}; it must be over {}", self.appended)));
        }
        let bytes = record_bytes(body.len());
        if bytes > self.segments.bytes() {
            let text = format!("log record has {bytes} bytes; a segment has {}", self.segments.bytes());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let Some(spot) = self.segments.spot(bytes) else {
            let text = format!("{} is full until the next checkpoint", self.disk.path().display());
            return Err(Error::new(ErrorKind::Overloaded, text));
        };
        let at = self.start_of(spot.segment) + spot.tail as u64;
        let head = Head { number, proved: self.synced, lap: spot.lap };
        head.write(body, at, self.salt, &mut self.record);
        if let Err(error) = self.file.write_at(at, &self.record) {
            return Err(self.give_up(error));
        }
        self.segments.take(spot, bytes, number);
        self.appended = number;
        Ok(())
    }

    /// Makes durable all that was appended: one sync of the file, and none where all is durable.
    ///
    /// # Errors
    ///
    /// Outcome unknown: what was appended since the last sync may be in the file or not, and the log takes
    /// no more. Storage: it failed before.
    pub(in crate::redb) fn sync(&mut self) -> Result<()> {
        self.check_sound()?;
        if self.synced < self.appended {
            let synced = if is_planted(Bug::LogUnsynced) { Ok(()) } else { self.file.sync_data() };
            return self.was_synced(self.appended, synced);
        }
        Ok(())
    }

    /// The file, to sync it while others write to the log.
    pub(in crate::redb) fn file(&self) -> Arc<dyn DiskFile> {
        Arc::clone(&self.file)
    }

    /// The file was synced, or not, after all up to this number was appended.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub(in crate::redb) fn was_synced(&mut self, until: u64, synced: io::Result<()>) -> Result<()> {
        match synced {
            Ok(()) => {
                self.synced = self.synced.max(until);
                Ok(())
            }
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Says that the database has all numbers up to this one for good. Segments that hold no others are used again.
    pub(in crate::redb) fn free(&mut self, up_to: u64) {
        self.segments.free(up_to);
    }

    /// Removes the log, all of which must be free, and syncs the directory.
    ///
    /// # Errors
    ///
    /// Invalid argument: not all of it is free; it stays. Storage: it may stay.
    pub(in crate::redb) fn remove(self) -> Result<()> {
        let Log { disk, file, appended, segments, .. } = self;
        let freed = segments.freed();
        if appended > freed {
            let text =
                format!("{} has records up to {appended}; only those up to {freed} are free", disk.path().display());
            return Err(Error::invalid(text));
        }
        // Not every system removes an open file.
        drop(file);
        disk.remove().and_then(|()| disk.sync_directory()).map_err(|error| failed(&*disk, "removed", error))
    }

    fn start_of(&self, segment: usize) -> u64 {
        // There are at most as many as a `u32` of the options says.
        self.header.segment_at(u32::try_from(segment).unwrap_or(u32::MAX))
    }

    fn check_sound(&self) -> Result<()> {
        let Some(why) = &self.failed else { return Ok(()) };
        let text = format!(
            "nothing is written until the file is opened again, since an earlier write to {} failed: {why}",
            self.disk.path().display()
        );
        Err(Error::new(ErrorKind::Storage, text))
    }

    /// After a write or a sync that failed: what the file holds is unknown, so it takes no more.
    fn give_up(&mut self, error: io::Error) -> Error {
        self.failed = Some(error.to_string());
        let text = format!(
            "{} cannot be written ({error}); whether the group is in it shows when the file is opened again",
            self.disk.path().display()
        );
        Error::new(ErrorKind::OutcomeUnknown, text).with_source(error)
    }
}

fn failed(disk: &dyn Disk, what: &str, error: io::Error) -> Error {
    let text = format!("{} cannot be {what}: {error}", disk.path().display());
    Error::new(fault::of_io(&error), text).with_source(error)
}
