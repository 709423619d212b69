//! A disk in memory, for tests: it fails where it is told to, and shows what a power loss may leave.
//!
//! It keeps apart what was written and what was synced. Operations of all its files are counted, so that each can
//! be failed in turn.

mod loss;
mod state;

pub(in crate::redb) use loss::Survives;
pub(in crate::redb) use state::{Fault, How};

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use self::loss::{Change, place};
use self::state::{Naming, State, Stored};
use super::disk::{Disk, DiskFile};
use crate::sync::{Arc, Mutex};

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(in crate::redb) struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// The place of a log of this name.
    pub(in crate::redb) fn log(&self, name: &str) -> Arc<dyn Disk> {
        Arc::new(MemoryLog { memory: self.clone(), log: name.into(), temporary: format!("{name}.new") })
    }

    /// How many operations there were.
    pub(in crate::redb) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// From now on this fails, or nothing.
    pub(in crate::redb) fn fail(&self, fault: Option<Fault>) {
        self.0.lock().fault = fault;
    }

    /// From now on all files together have no more bytes than this.
    pub(in crate::redb) fn hold(&self, capacity: Option<u64>) {
        self.0.lock().capacity = capacity;
    }

    /// Opens a file; none where there is none.
    pub(in crate::redb) fn open(&self, name: &str) -> io::Result<Option<Box<dyn DiskFile>>> {
        let mut state = self.0.lock();
        state.begin_whole()?;
        Ok(state.names.get(name).map(|file| self.file(*file)))
    }

    /// Makes an empty file.
    pub(in crate::redb) fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.begin_whole()?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Stored::default());
        state.rename(Naming::Made(name.into(), file));
        Ok(self.file(file))
    }

    fn file(&self, file: usize) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { memory: self.clone(), file })
    }

    /// Gives a file another name, in place of the one that has it.
    pub(in crate::redb) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.name(from, Naming::Renamed(from.into(), to.into()))
    }

    /// Gives a file another name beside its own, which nobody else may have.
    pub(in crate::redb) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_whole()?;
        let file = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.rename(Naming::Made(to.into(), file));
        Ok(())
    }

    /// Removes a file. Who has it open has it still.
    pub(in crate::redb) fn remove(&self, name: &str) -> io::Result<()> {
        self.name(name, Naming::Removed(name.into()))
    }

    fn name(&self, name: &str, naming: Naming) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_whole()?;
        if !state.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(naming);
        Ok(())
    }

    /// Makes durable which names there are.
    pub(in crate::redb) fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_whole()?;
        state.durable_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
    }

    /// The disk as it may be after a power loss. `survives` says what is left of a file's changes by the
    /// name that it has; of the directory's, by no name.
    pub(in crate::redb) fn after_power_loss(&self, survives: impl Fn(&str) -> Survives) -> Memory {
        let state = self.0.lock();
        let mut names = state.durable_names.clone();
        let kept = survives("").of_directory(state.unsynced_names.len());
        state.unsynced_names.iter().take(kept).for_each(|naming| naming.apply(&mut names));
        let files = names.iter().map(|(name, file)| {
            let mut stored = state.files[*file].clone();
            stored.settle(survives(name));
            Stored { content: stored.durable.clone(), ..stored }
        });
        let files = files.collect();
        let names: BTreeMap<_, _> = names.into_keys().enumerate().map(|(file, name)| (name, file)).collect();
        let durable_names = names.clone();
        Memory(Arc::new(Mutex::new(State { files, names, durable_names, ..State::default() })))
    }

    /// Another disk with the same past, which goes its own way.
    pub(in crate::redb) fn copy(&self) -> Memory {
        Memory(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// The names that there are.
    pub(in crate::redb) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// What a file holds.
    pub(in crate::redb) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(name).map(|file| state.files[*file].content.clone())
    }

    /// A disk with these files, which hold this for good.
    pub(in crate::redb) fn holding(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut state = State::default();
        for (file, (name, content)) in files.into_iter().enumerate() {
            state.names.insert(name, file);
            state.files.push(Stored { durable: content.clone(), content, unsynced: Vec::new() });
        }
        state.durable_names = state.names.clone();
        Memory(Arc::new(Mutex::new(state)))
    }

    /// A disk with one file.
    #[cfg(test)]
    pub(in crate::redb) fn with(name: &str, content: Vec<u8>) -> Self {
        Self::holding([(name.to_owned(), content)])
    }
}

#[derive(Debug)]
struct MemoryFile {
    memory: Memory,
    file: usize,
}

impl MemoryFile {
    fn with<T>(&self, what: impl FnOnce(&mut Stored) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.memory.0.lock();
        state.begin_whole()?;
        what(&mut state.files[self.file])
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.content.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|file| {
            file.change(Change::SetLen(len));
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| {
            let read = file.content.get(place(offset)..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(read.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory.0.lock().write(self.file, offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.memory.0.lock().sync(self.file)
    }
}

/// The place of a log on the disk.
#[derive(Debug)]
struct MemoryLog {
    memory: Memory,
    log: PathBuf,
    temporary: String,
}

impl MemoryLog {
    fn name(&self) -> &str {
        self.log.to_str().unwrap_or_default()
    }
}

impl Disk for MemoryLog {
    fn path(&self) -> &Path {
        &self.log
    }

    fn open(&self) -> io::Result<Option<Box<dyn DiskFile>>> {
        self.memory.open(self.name())
    }

    fn create(&self) -> io::Result<Box<dyn DiskFile>> {
        self.discard()?;
        self.memory.create(&self.temporary)
    }

    fn publish(&self) -> io::Result<()> {
        self.memory.rename(&self.temporary, self.name())
    }

    fn discard(&self) -> io::Result<()> {
        match self.memory.remove(&self.temporary) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn remove(&self) -> io::Result<()> {
        self.memory.remove(self.name())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
}
