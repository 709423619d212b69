//! Who reads beside the clients, and notes how many operations of each track it saw.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use parlor::store::Store;

use super::record::Record;

/// See the [module](self). It reads when it is asked to.
pub struct Reader {
    record: Arc<Record>,
    notes: Mutex<Notes>,
    moved: Condvar,
}

#[derive(Default)]
struct Notes {
    store: Option<Arc<dyn Store>>,
    asked: u64,
    read: u64,
    seen: Vec<usize>,
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

    /// Reads whenever it is asked to, until it is ended.
    pub fn run(&self) {
        let mut notes = self.lock();
        while let Some(store) = notes.store.clone() {
            if notes.asked == notes.read {
                notes = self.moved.wait(notes).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            let (asked, mut seen) = (notes.asked, notes.seen.clone());
            drop(notes);
            self.read(&*store, &mut seen);
            notes = self.lock();
            (notes.read, notes.seen) = (asked, seen);
            self.moved.notify_all();
        }
    }

    fn read(&self, store: &dyn Store, seen: &mut Vec<usize>) {
        for (track, at) in self.record.places().into_iter().enumerate() {
            seen.resize(seen.len().max(track + 1), 0);
            let read = match store.session(at) {
                // It is not there yet, or not any more.
                Err(error) if error.is_not_found() => Ok(None),
                read => read.map(Some),
            };
            // A store that was closed shows nothing.
            let count = read.ok().and_then(|read| self.record.seen(track, seen[track], read.as_ref()));
            seen[track] = count.unwrap_or(seen[track]);
        }
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
