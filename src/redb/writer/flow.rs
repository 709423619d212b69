//! The order in which groups are published and answered: that of their numbers, each once it is durable and
//! applied, whichever comes last.

use std::collections::VecDeque;

use super::durability::Durability;
use super::job::Job;
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::redb::snapshot::{Layers, Snapshot};
use crate::redb::view::Stage;
use crate::sync::{Arc, Condvar, Mutex, RwLock, Weak};

/// Groups that may be applied before the first of them is durable: while the disk syncs one, the next runs.
const AHEAD: usize = 2;

/// A group that was applied.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) group: Vec<Job>,
}

struct State {
    /// The last group that was applied.
    applied: u64,
    /// The last group that a crash cannot take back.
    synced: u64,
    waiting: VecDeque<Done>,
    /// The last group that readers see.
    shown: u64,
    /// What they read it from; none once closed.
    layers: Option<Layers>,
    /// The states that somebody may be reading, by their groups, which rise.
    read: VecDeque<(u64, Weak<Snapshot>)>,
    /// Why no more is written, once a write failed.
    failed: Option<String>,
}

/// See the [module](self).
pub(super) struct Flow {
    durability: Durability,
    state: Mutex<State>,
    moved: Condvar,
}

impl Flow {
    /// Goes on after a group that is durable, and published.
    pub(super) fn new(after: u64, durability: Durability, layers: Layers, published: &Arc<Snapshot>) -> Self {
        let state = State {
            applied: after,
            synced: after,
            waiting: VecDeque::new(),
            shown: after,
            layers: Some(layers),
            read: VecDeque::from([(after, Arc::downgrade(published))]),
            failed: None,
        };
        Flow { durability, state: Mutex::new(state), moved: Condvar::new() }
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    /// The last group that was applied.
    pub(super) fn last(&self) -> u64 {
        self.state.lock().applied
    }

    /// The last group that is published.
    pub(super) fn shown(&self) -> u64 {
        self.state.lock().shown
    }

    /// Whether every group that was applied is durable and answered.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && state.synced == state.applied
    }

    /// What the next group is written over.
    pub(super) fn layers(&self) -> Result<Layers> {
        self.state.lock().layers.clone().ok_or_else(Error::closed)
    }

    /// From now on the same states are read from other layers.
    pub(super) fn arrange(&self, published: &RwLock<Option<Arc<Snapshot>>>, arranged: impl FnOnce(Layers) -> Layers) {
        let mut state = self.state.lock();
        state.layers = state.layers.take().map(arranged);
        state.publish(published);
    }

    /// Nothing is read any more.
    pub(super) fn forget(&self) {
        self.state.lock().layers = None;
    }

    /// The group of the oldest state that somebody may be reading.
    pub(super) fn oldest(&self) -> u64 {
        let mut state = self.state.lock();
        while state.read.front().is_some_and(|(_, state)| state.strong_count() == 0) {
            state.read.pop_front();
        }
        state.read.front().map_or(state.shown, |(group, _)| *group)
    }

    /// Waits while too many groups are applied and not durable.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.state.lock();
        while state.waiting.len() >= AHEAD && state.failed.is_none() {
            self.moved.wait(&mut state);
        }
    }

    /// Refuses once a write failed.
    pub(super) fn check_sound(&self) -> Result<()> {
        let state = self.state.lock();
        let Some(why) = &state.failed else { return Ok(()) };
        let text = format!("nothing is written until the file is opened again, since an earlier write failed: {why}");
        Err(Error::new(ErrorKind::Storage, text))
    }

    /// A group was applied.
    pub(super) fn applied(&self, done: Done) {
        let mut state = self.state.lock();
        state.applied = done.number;
        state.waiting.push_back(done);
    }

    /// Everything up to this group is durable. After a failure that changes nothing: what is in doubt by then was told
    /// so, and a later group would show it.
    pub(super) fn synced(&self, number: u64) {
        let mut state = self.state.lock();
        if state.failed.is_none() {
            state.synced = state.synced.max(number);
        }
    }

    /// No more is written. What is not durable by now may be or not.
    pub(super) fn fail(&self, why: &str) {
        self.state.lock().failed.get_or_insert_with(|| why.to_owned());
    }

    /// Publishes and answers what has its turn.
    pub(super) fn settle(&self, published: &RwLock<Option<Arc<Snapshot>>>) {
        let mut state = self.state.lock();
        let mut answered = Vec::new();
        let before = state.shown;
        while let Some(first) = state.waiting.front() {
            let sound = state.failed.is_none();
            if first.number > state.synced && !(sound && self.durability != Durability::Sync) {
                break;
            }
            let Some(done) = state.waiting.pop_front() else { break };
            state.shown = done.number;
            answered.extend(done.group);
        }
        if is_planted(Bug::ReadUnsynced) {
            state.shown = state.applied;
        }
        let lost = match &state.failed {
            Some(why) => Some((why.clone(), state.waiting.drain(..).flat_map(|done| done.group).collect::<Vec<_>>())),
            None => None,
        };
        if state.shown != before {
            state.publish(published);
        }
        drop(state);
        self.moved.notify_one();
        for job in answered {
            job.operation.answer(Ok(()));
        }
        if let Some((why, group)) = lost {
            let text =
                format!("a write failed ({why}); whether this one is on disk shows when the file is opened again");
            refuse(group, &Error::new(ErrorKind::OutcomeUnknown, text));
        }
    }
}

impl State {
    /// Readers see what is to be shown. Under the state's lock, so that a later state is never replaced by an
    /// earlier one.
    fn publish(&mut self, published: &RwLock<Option<Arc<Snapshot>>>) {
        let Some(layers) = self.layers.clone() else { return };
        let snapshot = Arc::new(Snapshot::new(layers, self.shown, Stage::Published));
        let mut published = published.write();
        // None once closed.
        if published.is_some() {
            self.read.push_back((self.shown, Arc::downgrade(&snapshot)));
            published.replace(snapshot);
        }
    }
}

/// Answers everyone of a group with an error.
pub(super) fn refuse(group: Vec<Job>, error: &Error) {
    for job in group {
        // Errors are not `Clone`: each caller gets its own of the same kind and text.
        job.operation.answer(Err(Error::new(error.kind(), error.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redb::snapshot::Base;
    use crate::redb::view::Around;
    use crate::redb::write_set::WriteSet;
    use crate::redb::{Options, file};

    #[test]
    fn a_group_that_was_made_durable_beside_a_failure_is_in_doubt_with_those_before_it() {
        let file = file::in_memory_alone(Options::default()).expect("a file");
        let layers = Layers::of(Base::last(&file.database).expect("its tables"), Around::new(1));
        let shown = Arc::new(Snapshot::new(layers.clone(), 0, Stage::Published));
        let flow = Flow::new(0, Durability::Sync, layers, &shown);
        let published = RwLock::new(Some(Arc::clone(&shown)));
        let group = |number| {
            let (job, answer) = Job::new(1, |_| Ok((WriteSet::default(), ())));
            flow.applied(Done { number, group: vec![job] });
            answer
        };
        // One whose sync fails while the next is committed for good.
        let answers = [1, 2].map(group);
        flow.fail("the disk is gone");
        flow.synced(2);
        flow.settle(&published);
        for answer in answers {
            let error = answer.recv().expect("an answer").expect_err("it is in doubt");
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
        }
        let published = published.into_inner().expect("it is open");
        assert!(Arc::ptr_eq(&published, &shown), "nobody reads what is in doubt");
    }
}
