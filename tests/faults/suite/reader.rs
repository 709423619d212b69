//! Who reads beside the clients, and notes how many operations of each track it saw. On a disk that is sound whatever it reads
//! is what a session is after some number of them, and no earlier one than it saw before.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use parlor::store::{SessionRef, Store};
use parlor::{ErrorKind, Result};

use super::record::Record;
use super::state::{self, State};

/// See the [module](self). It reads when it is asked to.
pub struct Reader {
    record: Arc<Record>,
    notes: Mutex<Notes>,
    moved: Condvar,
}

#[derive(Default)]
struct Notes {
    store: Option<Arc<dyn Store>>,
    asked: usize,
    read: usize,
    seen: Vec<usize>,
}

/// Whatever becomes of who reads, nobody waits for it any longer.
struct Ends<'r>(&'r Reader);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Reader {
    pub fn new(record: Arc<Record>) -> Self {
        Reader { record, notes: Mutex::default(), moved: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads from this store from now on.
    pub fn begin(&self, store: &Arc<dyn Store>) {
        self.lock().store = Some(Arc::clone(store));
    }

    /// Ends [`run`](Self::run).
    pub fn end(&self) {
        self.lock().store = None;
        self.moved.notify_all();
    }

    /// Reads whenever it is asked to, until it is ended. How many of its reads showed something.
    ///
    /// # Panics
    ///
    /// When a read fails but for a store that was closed, or shows what never was.
    pub fn run(&self) -> u64 {
        let _ends = Ends(self);
        let mut shown = 0;
        let mut notes = self.lock();
        while let Some(store) = notes.store.clone() {
            if notes.asked == notes.read {
                notes = self.moved.wait(notes).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            let (asked, mut seen) = (notes.asked, notes.seen.clone());
            drop(notes);
            shown += self.read(&*store, asked, &mut seen);
            notes = self.lock();
            (notes.read, notes.seen) = (asked, seen);
            self.moved.notify_all();
        }
        shown
    }

    /// Of all the records, and of one after the other all that is in it.
    fn read(&self, store: &dyn Store, asked: usize, seen: &mut Vec<usize>) -> u64 {
        let mut shown = 0;
        let places = self.record.places();
        seen.resize(seen.len().max(places.len()), 0);
        for (track, at) in places.iter().enumerate() {
            let seen = &mut seen[track];
            let mut look = Look { record: &self.record, track, at: *at, seen, shown: &mut shown };
            look.at(store.session(*at), |state| state.record.as_ref());
            if asked % places.len() == track {
                look.at(state::messages(store, *at), |state| state.record.as_ref().map(|_| &state.messages));
                look.at(state::changes(store, *at, 0), |state| state.record.as_ref().map(|_| &state.changes));
            }
        }
        shown
    }

    /// Lets it read once, and waits until it has.
    pub fn read_now(&self) {
        let mut notes = self.lock();
        notes.asked += 1;
        let asked = notes.asked;
        self.moved.notify_all();
        while notes.store.is_some() && notes.read < asked {
            notes = self.moved.wait(notes).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// What it has seen.
    pub fn seen(&self) -> Vec<usize> {
        self.lock().seen.clone()
    }
}

/// A look at one session.
struct Look<'l> {
    record: &'l Record,
    track: usize,
    at: SessionRef,
    seen: &'l mut usize,
    shown: &'l mut u64,
}

impl Look<'_> {
    /// What was read is what `part` of the session was after some operation, not before what was seen.
    fn at<T: PartialEq + Debug>(&mut self, read: Result<T>, part: impl Fn(&State) -> Option<&T>) {
        let read = match read {
            Ok(read) => Some(read),
            // It is not there yet, or not any more.
            Err(error) if error.is_not_found() => None,
            // A store that was closed shows nothing.
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => panic!("a reader of {:?} is told {error:?}", self.at),
        };
        let is_it = |state: Option<&State>| state.and_then(&part) == read.as_ref();
        let count = self.record.seen(self.track, *self.seen, is_it);
        *self.seen = count.unwrap_or_else(|| {
            panic!("a reader of {:?} saw {} operations, and then what never was: {read:#?}", self.at, self.seen)
        });
        *self.shown += u64::from(read.is_some());
    }
}
