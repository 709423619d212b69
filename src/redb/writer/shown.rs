//! What readers see: the state after the last group that was made durable.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::redb::snapshot::{Layers, Snapshot};
use crate::redb::view::{Around, Stage};
use crate::sync::{Arc, Mutex, Parker, RwLock, Weak};
use crate::time::{Duration, Stopwatch};

/// See the [module](self).
pub(super) struct Shown {
    /// None once closed, or lost.
    published: RwLock<Option<Arc<Snapshot>>>,
    state: Mutex<State>,
}

/// How often it is looked whether somebody still reads.
pub(super) const LOOK: Duration = Duration::from_micros(200);

struct State {
    /// The last group that is shown.
    group: u64,
    /// What it is read from; none once closed, or lost.
    layers: Option<Layers>,
    is_closed: bool,
    /// The states that somebody may be reading, by their groups, which rise.
    read: VecDeque<(u64, Weak<Snapshot>)>,
    /// Why no more is written, once a write failed.
    failed: Option<String>,
}

impl Shown {
    /// The state after a group.
    pub(super) fn new(group: u64, layers: Layers) -> Self {
        let (layers, read) = (Some(layers), VecDeque::new());
        let mut state = State { group, layers, is_closed: false, read, failed: None };
        Shown { published: RwLock::new(state.snapshot()), state: Mutex::new(state) }
    }

    /// What readers see.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let published = self.published.read().clone();
        published.ok_or_else(|| self.state.lock().nothing())
    }

    /// The last group that is shown.
    pub(super) fn group(&self) -> u64 {
        self.state.lock().group
    }

    /// What the next group is written over.
    pub(super) fn layers(&self) -> Result<Layers> {
        let state = self.state.lock();
        state.layers.clone().ok_or_else(|| state.nothing())
    }

    /// The group of the oldest state that somebody may be reading.
    pub(super) fn oldest(&self) -> u64 {
        let mut state = self.state.lock();
        while state.read.front().is_some_and(|(_, state)| state.strong_count() == 0) {
            state.read.pop_front();
        }
        state.read.front().map_or(state.group, |(group, _)| *group)
    }

    /// Shows the state after a group.
    pub(super) fn show(&self, group: u64) {
        self.change(|state| state.group = group);
    }

    /// Shows the state after a group in which as many sessions were made and removed as in the one before it.
    pub(super) fn show_as_old(&self, group: u64) {
        let age = self.snapshot().ok().and_then(|before| before.known_age());
        self.change(|state| state.group = group);
        if let Some((snapshot, age)) = self.snapshot().ok().zip(age) {
            snapshot.has_age(age);
        }
    }

    /// From now on states are read by other layers.
    pub(super) fn arrange(&self, layers: impl FnOnce(Layers) -> Layers) {
        self.change(|state| state.layers = state.layers.take().map(layers));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        // Under the lock, so that a later state is never replaced by an earlier one.
        if let Some(snapshot) = state.snapshot() {
            self.published.write().replace(snapshot);
        }
    }

    /// Does something while nobody reads, and shows the same state again, read from what it answers. *Conflict* where
    /// somebody goes on reading for longer than so; then nothing was done. Where it fails otherwise, there is nothing to read from.
    pub(super) fn alone(&self, longest: Duration, what: impl FnOnce(Around) -> Result<Layers>) -> Result<()> {
        let mut state = self.state.lock();
        // Held to the end: who wants to read waits.
        let mut published = self.published.write();
        let Some(layers) = state.layers.take() else { return Err(state.nothing()) };
        published.take();
        let began = Stopwatch::start();
        while state.read.iter().any(|(_, read)| read.strong_count() > 0) {
            if began.elapsed() >= longest {
                state.layers = Some(layers);
                *published = state.snapshot();
                let text = format!("somebody has read the file for {longest:?}: is a backup or an export under way?");
                return Err(Error::new(ErrorKind::Conflict, text));
            }
            // Nothing tells when a reader is done.
            Parker::default().park_timeout(LOOK);
        }
        let around = layers.around.clone();
        drop(layers);
        let layers = what(around).inspect_err(|error| state.fail(error))?;
        state.layers = Some(layers);
        *published = state.snapshot();
        Ok(())
    }

    /// Nothing is shown any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        (state.layers, state.is_closed) = (None, true);
        self.published.write().take();
    }

    /// No more is written: what the disk has is not known.
    pub(super) fn fail(&self, why: &Error) {
        self.state.lock().fail(why);
    }

    /// Refuses once a write failed.
    pub(super) fn check_sound(&self) -> Result<()> {
        let state = self.state.lock();
        let Some(why) = &state.failed else { return Ok(()) };
        let text = format!("nothing is written until the file is opened again, since an earlier write failed: {why}");
        Err(Error::new(ErrorKind::Storage, text))
    }
}

impl State {
    fn fail(&mut self, why: &Error) {
        self.failed.get_or_insert_with(|| why.to_string());
    }

    /// Why there is nothing to read from.
    fn nothing(&self) -> Error {
        if self.is_closed {
            return Error::closed();
        }
        let why = self.failed.as_deref().unwrap_or("what it is read from was lost");
        Error::new(ErrorKind::Storage, format!("nothing is read until the file is opened again: {why}"))
    }

    fn snapshot(&mut self) -> Option<Arc<Snapshot>> {
        let snapshot = Arc::new(Snapshot::new(self.layers.clone()?, self.group, Stage::Published));
        self.read.push_back((self.group, Arc::downgrade(&snapshot)));
        Some(snapshot)
    }
}
