//! What is kept for those who have not read to the end when the store closes.
//!
//! A reader of a change feed keeps a bookmark. When the engine closes, the last events after each
//! bookmark are read for it, a bounded number, so that who had kept up hears of the end however
//! late it is scheduled.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::Result;
use crate::id::{AgentId, WorkspaceId};
use crate::limit::FOLLOW_BATCH;
use crate::record::Change;
use crate::store::{SessionRef, Store};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, OnceLock, Ordering};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Tails {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    marks: BTreeMap<u64, Arc<Mark>>,
    /// The numbers of the latest events of sessions, for those who watch.
    newest: HashMap<SessionRef, u64>,
    /// Sessions whose archives are about to be shown, each as often as somebody archives it.
    archiving: HashMap<SessionRef, u32>,
}

/// Where a reader is, and what is there for it once the store closed.
struct Mark {
    at: SessionRef,
    read: AtomicU64,
    tail: OnceLock<Tail>,
    /// Whether the session was deleted: one of its id is another one.
    gone: AtomicBool,
    /// What is there for it if the session is archived now; and once it was, with the number of the event that tells so.
    archived: Mutex<Archived>,
}

#[derive(Default)]
struct Archived {
    tail: Tail,
    /// The event, and the archive's agent.
    event: Option<(u64, AgentId)>,
}

/// The last events that a reader had not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) events: Vec<Change>,
    /// Whether they are all there were.
    pub(crate) whole: bool,
}

impl Tails {
    /// A bookmark behind this event of the session.
    pub(crate) fn bookmark(self: &Arc<Self>, at: SessionRef, after: u64) -> Bookmark {
        let mark = Arc::new(Mark {
            at,
            read: AtomicU64::new(after),
            tail: OnceLock::new(),
            gone: AtomicBool::new(false),
            archived: Mutex::default(),
        });
        let mut kept = self.kept.lock();
        kept.next += 1;
        let number = kept.next;
        kept.marks.insert(number, Arc::clone(&mark));
        Bookmark { tails: Arc::clone(self), number, mark }
    }

    /// How many bookmarks there are.
    pub(crate) fn count(&self) -> usize {
        self.kept.lock().marks.len()
    }

    /// Tells every bookmark of the session that it was deleted.
    pub(crate) fn forget(&self, at: SessionRef) {
        for mark in self.kept.lock().marks.values().filter(|mark| mark.at == at) {
            mark.gone.store(true, Ordering::SeqCst);
        }
    }

    /// Tells every bookmark of a session of the workspace that is there no more, in an archive of another agent neither.
    pub(crate) fn forget_gone(&self, store: &dyn Store, workspace: WorkspaceId, agent: AgentId) {
        let marks: Vec<_> =
            self.kept.lock().marks.values().filter(|mark| mark.at.workspace == workspace).cloned().collect();
        for mark in marks {
            if mark.archived.lock().event.is_some_and(|(_, of)| of != agent) {
                continue;
            }
            if store.session(mark.at).is_err_and(|error| error.is_not_found()) {
                mark.gone.store(true, Ordering::SeqCst);
            }
        }
    }

    /// The commit that archives a session may come from now on. Who finds it gone sleeps until it is known why.
    pub(crate) fn begin_archiving(&self, at: SessionRef) -> Archiving<'_> {
        *self.kept.lock().archiving.entry(at).or_default() += 1;
        Archiving { tails: self, at }
    }

    /// Reads what is left for every bookmark of a session that is about to be archived.
    pub(crate) fn keep_of(&self, store: &dyn Store, at: SessionRef) {
        for mark in self.marks_of(at) {
            // As below.
            let tail = read(store, at, mark.read.load(Ordering::SeqCst)).unwrap_or_default();
            mark.archived.lock().tail = tail;
        }
    }

    /// Tells every bookmark of a session of the agent that it was archived, by which event.
    pub(crate) fn archived(&self, at: SessionRef, agent: AgentId, event: u64) {
        for mark in self.marks_of(at) {
            mark.archived.lock().event = Some((event, agent));
        }
    }

    fn marks_of(&self, at: SessionRef) -> Vec<Arc<Mark>> {
        self.kept.lock().marks.values().filter(|mark| mark.at == at).cloned().collect()
    }

    /// Reads what is left for every bookmark, and the latest numbers of these sessions. The store
    /// is about to close.
    pub(crate) fn keep(&self, store: &dyn Store, watched: HashSet<SessionRef>) {
        let marks: Vec<_> = self.kept.lock().marks.values().cloned().collect();
        for mark in marks {
            // What cannot be read is as if it were too much: its reader is told to come back.
            let tail = read(store, mark.at, mark.read.load(Ordering::SeqCst)).unwrap_or_default();
            // A second close finds the tail of the first.
            let _ = mark.tail.set(tail);
        }
        let newest = watched.into_iter().filter_map(|at| Some((at, newest(store, at).ok()?))).collect();
        self.kept.lock().newest = newest;
    }

    /// The number of the session's latest event when the store closed, if a watch had yet to tell it.
    pub(crate) fn newest(&self, at: SessionRef) -> Option<u64> {
        self.kept.lock().newest.get(&at).copied()
    }
}

/// The number of the session's latest event; 0 where the session is gone.
pub(crate) fn newest(store: &dyn Store, at: SessionRef) -> Result<u64> {
    match store.session(at) {
        Err(error) if error.is_not_found() => Ok(0),
        record => Ok(record?.last_change),
    }
}

/// The events after a number, no more than a reader would take at once.
fn read(store: &dyn Store, at: SessionRef, after: u64) -> Result<Tail> {
    let last = store.session(at)?.last_change;
    let events = store.changes(at, after, FOLLOW_BATCH)?;
    let read = events.last().map_or(after, |event| event.number);
    Ok(Tail { whole: read >= last, events })
}

/// A session is being archived. Dropped once the commit has come and the bookmarks were told, or does not come.
pub(crate) struct Archiving<'t> {
    tails: &'t Tails,
    at: SessionRef,
}

impl Drop for Archiving<'_> {
    fn drop(&mut self) {
        let archiving = &mut self.tails.kept.lock().archiving;
        match archiving.get_mut(&self.at) {
            Some(times) if *times > 1 => *times -= 1,
            _ => drop(archiving.remove(&self.at)),
        }
    }
}

/// Where a reader is in the feed of a session; given up when dropped.
pub(crate) struct Bookmark {
    tails: Arc<Tails>,
    number: u64,
    mark: Arc<Mark>,
}

impl Bookmark {
    /// The session.
    pub(crate) fn at(&self) -> SessionRef {
        self.mark.at
    }

    /// Moves it behind this event, which was read.
    pub(crate) fn turn_to(&self, number: u64) {
        self.mark.read.store(number, Ordering::SeqCst);
    }

    /// Whether the session was deleted since.
    pub(crate) fn is_gone(&self) -> bool {
        self.mark.gone.load(Ordering::SeqCst)
    }

    /// Whether the session may be archived by now, which is not told yet.
    pub(crate) fn is_being_archived(&self) -> bool {
        self.tails.kept.lock().archiving.contains_key(&self.mark.at)
    }

    /// What was kept behind it when the session was archived, and the number of the event that tells so; none where it was not.
    pub(crate) fn archived(&self) -> Option<(Tail, u64)> {
        let archived = self.mark.archived.lock();
        archived.event.map(|(event, _)| (archived.tail.clone(), event))
    }

    /// What was kept behind it when the store closed.
    pub(crate) fn tail(&self) -> Option<&Tail> {
        self.mark.tail.get()
    }
}

impl Drop for Bookmark {
    fn drop(&mut self) {
        self.tails.kept.lock().marks.remove(&self.number);
    }
}
