//! What stands on the disk: files with their past, names, and the operation that is to fail.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::loss::{Change, Dice, Survives, place};

/// An operation that fails.
#[derive(Debug, Clone, Copy)]
pub(in crate::redb) struct Fault {
    /// Its number, from 0, as [`Memory::operations`](super::Memory::operations) counts.
    pub(in crate::redb) at: u64,
    pub(in crate::redb) how: How,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redb) enum How {
    /// It alone. A failed sync leaves a part of what it should have made durable so that no later one does.
    Once(ErrorKind),
    /// It and every later one.
    Forever(ErrorKind),
    /// It alone, if it is a write then with a part of it written.
    Short(ErrorKind),
    /// The power fails: nothing more is done.
    Cut,
}

/// Changes the directory.
#[derive(Debug, Clone)]
pub(super) enum Naming {
    Made(String, usize),
    Renamed(String, String),
    Removed(String),
}

impl Naming {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Naming::Made(name, file) => drop(names.insert(name.clone(), *file)),
            Naming::Removed(name) => drop(names.remove(name)),
            Naming::Renamed(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// A file with its past.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// As it reads.
    pub(super) content: Vec<u8>,
    /// What a power loss cannot take.
    pub(super) durable: Vec<u8>,
    /// What the next sync makes durable.
    pub(super) unsynced: Vec<Change>,
}

impl Stored {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.content);
        self.unsynced.push(change);
    }

    pub(super) fn settle(&mut self, survives: Survives) {
        for change in survives.of(&self.unsynced) {
            change.apply(&mut self.durable);
        }
        self.unsynced.clear();
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) files: Vec<Stored>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) unsynced_names: Vec<Naming>,
    pub(super) operations: u64,
    pub(super) fault: Option<Fault>,
    pub(super) capacity: Option<u64>,
}

/// What an operation that fails does all the same.
enum Failing {
    /// Nothing.
    Clean(io::Error),
    /// A part.
    Partly(io::Error),
}

impl State {
    /// Counts an operation, and says how it fails if it does.
    fn begin(&mut self) -> Result<(), Failing> {
        let number = self.operations;
        self.operations += 1;
        let Some(fault) = self.fault else { return Ok(()) };
        let says = |kind: ErrorKind| io::Error::new(kind, format!("operation {number} is told to fail"));
        match fault.how {
            How::Once(kind) if number == fault.at => Err(Failing::Partly(says(kind))),
            How::Short(kind) if number == fault.at => Err(Failing::Partly(says(kind))),
            How::Forever(kind) if number >= fault.at => Err(Failing::Partly(says(kind))),
            How::Cut if number >= fault.at => Err(Failing::Clean(says(ErrorKind::Other))),
            _ => Ok(()),
        }
    }

    /// The same for what does nothing when it fails.
    pub(super) fn begin_whole(&mut self) -> io::Result<()> {
        self.begin().map_err(|failing| match failing {
            Failing::Clean(error) | Failing::Partly(error) => error,
        })
    }

    pub(super) fn write(&mut self, file: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut count, mut failed) = (bytes.len(), Ok(()));
        match self.begin() {
            Ok(()) => {}
            Err(Failing::Partly(error)) if matches!(self.fault.map(|fault| fault.how), Some(How::Short(_))) => {
                (count, failed) = (Dice(self.operations).below(count), Err(error));
            }
            Err(Failing::Clean(error) | Failing::Partly(error)) => return Err(error),
        }
        let used: usize = self.files.iter().map(|file| file.content.len()).sum();
        let Some(stored) = self.files.get_mut(file) else { return Err(ErrorKind::NotFound.into()) };
        if let Some(capacity) = self.capacity {
            let end = stored.content.len().max(place(at)) + place(capacity).saturating_sub(used);
            let room = end.saturating_sub(place(at));
            if room < count {
                (count, failed) = (room, Err(io::Error::new(ErrorKind::StorageFull, "the disk is full")));
            }
        }
        if count > 0 {
            stored.change(Change::Write { at, bytes: bytes[..count].to_vec() });
        }
        failed
    }

    pub(super) fn sync(&mut self, file: usize) -> io::Result<()> {
        let begun = self.begin();
        let seed = self.operations;
        let Some(stored) = self.files.get_mut(file) else { return Err(ErrorKind::NotFound.into()) };
        match begun {
            Ok(()) => {
                stored.settle(Survives::Everything);
                Ok(())
            }
            Err(Failing::Partly(error)) => {
                // The system takes pages for clean that it failed to write.
                stored.settle(Survives::Sectors(seed));
                Err(error)
            }
            Err(Failing::Clean(error)) => Err(error),
        }
    }

    pub(super) fn rename(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }
}
