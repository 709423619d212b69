//! What was submitted and what was acknowledged, in which order; and what must therefore be there after a crash.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use parlor::Message;
use parlor::id::MessageId;
use parlor::store::{SessionRef, Store};

use super::content::Contents;
use super::random::Random;
use super::state::{self, Announced, State};
use super::walk::walk;

/// See the [module](self).
#[derive(Default)]
pub struct Record {
    inner: Mutex<Inner>,
    contents: Contents,
    /// Sessions that were walked, and pages of theirs.
    walks: AtomicU64,
    pages: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// Counts what happens.
    now: u64,
    /// Whether workspace and agent were acknowledged.
    is_set_up: bool,
    tracks: Vec<Track>,
    /// The session in which everybody writes.
    shared: Option<SessionRef>,
    batches: Vec<Batch>,
}

/// A session in which one client writes, one operation after the other.
struct Track {
    at: SessionRef,
    /// What it is after each operation.
    steps: Vec<Step>,
    /// So many of them are on disk for good, whatever their acknowledgements promise.
    settled: usize,
}

struct Step {
    /// None where it was deleted.
    state: Option<Arc<State>>,
    times: Times,
}

#[derive(Clone, Copy)]
struct Times {
    submitted: u64,
    acked: Option<u64>,
}

/// Messages that one operation wrote into the shared session.
struct Batch {
    ids: Vec<MessageId>,
    times: Times,
    written: Vec<Message>,
    is_settled: bool,
}

/// What a crash at a moment may not take.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Floor {
    is_set_up: bool,
    /// So many steps of each track.
    pub steps: Vec<usize>,
    batches: Vec<usize>,
    /// So many steps of each track a reader saw.
    pub seen: Vec<usize>,
}

impl Floor {
    /// What neither of the two may lose.
    pub fn and(&self, other: &Floor) -> Floor {
        let tracks = self.steps.len().max(other.steps.len());
        let at = |steps: &[usize], track: usize| steps.get(track).copied().unwrap_or(0);
        let steps = (0..tracks).map(|track| at(&self.steps, track).max(at(&other.steps, track))).collect();
        let batches: BTreeSet<_> = self.batches.iter().chain(&other.batches).copied().collect();
        let is_set_up = self.is_set_up || other.is_set_up;
        Floor { is_set_up, steps, batches: batches.into_iter().collect(), seen: self.seen.clone() }
    }
}

/// What was found after a crash.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// So many steps of each track, up to the last that has any.
    pub steps: Vec<usize>,
    batches: Vec<usize>,
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It is on disk.
    OnDisk,
    /// It is there if anything is that was submitted after it.
    InOrder,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn set_up(&self) {
        self.lock().is_set_up = true;
    }

    /// The track of a session, which may be about to be made.
    pub fn track(&self, at: SessionRef) -> usize {
        let mut inner = self.lock();
        if let Some(known) = inner.tracks.iter().position(|track| track.at == at) {
            return known;
        }
        inner.tracks.push(Track { at, steps: Vec::new(), settled: 0 });
        inner.tracks.len() - 1
    }

    pub fn places(&self) -> Vec<SessionRef> {
        self.lock().tracks.iter().map(|track| track.at).collect()
    }

    pub fn submit(&self, track: usize, state: Option<State>) {
        let mut inner = self.lock();
        let times = inner.submission();
        inner.tracks[track].steps.push(Step { state: state.map(Arc::new), times });
    }

    pub fn acknowledge(&self, track: usize) {
        let mut inner = self.lock();
        inner.now += 1;
        let now = inner.now;
        let step = inner.tracks[track].steps.last_mut().expect("it was submitted");
        step.times.acked = Some(now);
    }

    /// The last operation was refused: nothing of it may ever be seen.
    pub fn withdraw(&self, track: usize) {
        self.lock().tracks[track].steps.pop();
    }

    /// How many operations of a track were submitted and not refused.
    pub fn submitted(&self, track: usize) -> usize {
        self.lock().tracks[track].steps.len()
    }

    /// How many operations of a track, `seen` at least, lead to what a reader reads now; none where no such number does.
    pub fn seen(&self, track: usize, seen: usize, is_it: impl Fn(Option<&State>) -> bool) -> Option<usize> {
        let inner = self.lock();
        let track = &inner.tracks[track];
        (seen..=track.steps.len()).find(|count| is_it(track.after(*count)))
    }

    pub fn share(&self, at: SessionRef) {
        self.lock().shared = Some(at);
    }

    pub fn submit_batch(&self, ids: Vec<MessageId>) -> usize {
        let mut inner = self.lock();
        let times = inner.submission();
        inner.batches.push(Batch { ids, times, written: Vec::new(), is_settled: false });
        inner.batches.len() - 1
    }

    pub fn acknowledge_batch(&self, batch: usize, written: Vec<Message>) {
        let mut inner = self.lock();
        inner.now += 1;
        let now = inner.now;
        inner.batches[batch].times.acked = Some(now);
        inner.batches[batch].written = written;
    }

    /// It was refused. One whose ids nothing has is never there.
    pub fn withdraw_batch(&self, batch: usize) {
        self.lock().batches[batch].ids.clear();
    }

    /// The store was closed: what was acknowledged is on disk.
    pub fn settle(&self) {
        let mut inner = self.lock();
        for track in &mut inner.tracks {
            track.settled = track.acked();
        }
        inner.batches.iter_mut().for_each(|batch| batch.is_settled |= batch.times.acked.is_some());
    }

    /// What must be there from now on.
    pub fn floor(&self, promise: Promise) -> Floor {
        let inner = self.lock();
        let steps = inner.tracks.iter().map(|track| match promise {
            Promise::OnDisk => track.acked(),
            Promise::InOrder => track.settled,
        });
        let is_due = |batch: &Batch| batch.is_settled || promise == Promise::OnDisk && batch.times.acked.is_some();
        let batches = (0..).zip(&inner.batches).filter(|(_, batch)| is_due(batch)).map(|(number, _)| number);
        Floor { is_set_up: inner.is_set_up, steps: steps.collect(), batches: batches.collect(), seen: Vec::new() }
    }

    /// Compares a store with what must be in it.
    pub fn check(&self, store: &dyn Store, floor: &Floor) -> Result<Found, String> {
        let failed = |error: parlor::Error| format!("it cannot be read: {error:?}");
        let breaches = store.verify().map_err(failed)?;
        if !breaches.is_empty() {
            return Err(format!("it is broken: {breaches:#?}"));
        }
        let workspace = store.find_workspace(super::client::WORKSPACE).map_err(failed)?;
        if floor.is_set_up && workspace.is_none() {
            return Err("the workspace is lost".into());
        }
        let announced = Announced::of(store).map_err(failed)?;
        let mut there = HashMap::new();
        let (tracks, shared) = {
            let inner = self.lock();
            (inner.tracks.iter().map(|track| track.at).collect::<Vec<_>>(), inner.shared)
        };
        for at in tracks.into_iter().chain(shared) {
            if let Some(state) = State::beside(store, at, &announced).map_err(failed)? {
                there.insert(at, self.contents.fill(store, state).map_err(failed)?);
            }
        }
        if let Some(workspace) = workspace {
            let live = there.values().filter(|state| state.record.is_some()).count();
            let listed = state::sessions(store, workspace.id).map_err(failed)?;
            let at = |session| SessionRef { workspace: workspace.id, session };
            let strange = listed.iter().find(|session| !there.contains_key(&at(session.id)));
            if listed.len() != live || strange.is_some() {
                return Err(format!("{live} sessions are there, and {} listed; {strange:?}", listed.len()));
            }
            let archives = state::archives(store, workspace.id).map_err(failed)?;
            let strange = archives.iter().find(|archive| !there.contains_key(&at(archive.session_id)));
            let count = there.values().filter(|state| state.archive.is_some()).count();
            if archives.len() != count || strange.is_some() {
                return Err(format!("{count} archives are there, and {} listed; {strange:?}", archives.len()));
            }
        }
        self.walk(store, &there)?;
        self.lock().compare(&there, floor)
    }

    /// Walks a listing of one of the sessions.
    fn walk(&self, store: &dyn Store, there: &HashMap<SessionRef, State>) -> Result<(), String> {
        let mut random = Random::of(self.walks.fetch_add(1, Ordering::Relaxed), 0);
        let live = there.values().filter_map(|state| Some((state.record.as_ref()?, &state.messages)));
        let mut live: Vec<_> = live.collect();
        live.sort_by_key(|(record, _)| record.id);
        let Some((record, messages)) = random.pick(&live) else { return Ok(()) };
        let at = SessionRef { workspace: record.workspace_id, session: record.id };
        self.pages.fetch_add(walk(store, at, messages, &mut random)?, Ordering::Relaxed);
        Ok(())
    }

    /// How many pages were walked.
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }
}

impl Record {
    /// Compares what can be read of a store with what was acknowledged: there is no more and no less. What cannot be
    /// read shows nothing.
    pub fn check_published(&self, store: &dyn Store, floor: &Floor) -> Result<(), String> {
        for (number, at) in self.places().into_iter().enumerate() {
            let filled = |state| self.contents.fill(store, state);
            let Ok(state) = State::of(store, at).and_then(|state| state.map(filled).transpose()) else { continue };
            let found = self.lock().tracks[number].found(state.as_ref(), floor.steps[number])?;
            if found[0] != floor.steps[number] {
                return Err(format!("track {number} shows {found:?} operations, and {} are due", floor.steps[number]));
            }
        }
        Ok(())
    }
}

impl Inner {
    fn submission(&mut self) -> Times {
        self.now += 1;
        Times { submitted: self.now, acked: None }
    }

    fn compare(&self, there: &HashMap<SessionRef, State>, floor: &Floor) -> Result<Found, String> {
        let mut steps = Vec::new();
        for (number, track) in self.tracks.iter().enumerate() {
            let due = floor.steps.get(number).copied().unwrap_or(0);
            let seen = floor.seen.get(number).copied().unwrap_or(0);
            let found = track.found(there.get(&track.at), due.max(seen));
            steps.push(found.map_err(|failure| format!("track {number}, {due} due, {seen} seen: {failure}"))?);
        }
        let batches = match self.shared.and_then(|at| there.get(&at)) {
            Some(state) => self.batches_in(&state.messages)?,
            None => Vec::new(),
        };
        if let Some(lost) = floor.batches.iter().find(|batch| !batches.contains(batch)) {
            return Err(format!("batch {lost} is lost; there are {batches:?}"));
        }
        let mut steps = self.in_order(&steps, &batches)?;
        // Tracks that came later have nothing.
        steps.truncate(steps.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        Ok(Found { steps, batches })
    }

    /// The batches that are there: each whole, and as it was acknowledged.
    fn batches_in(&self, messages: &[Message]) -> Result<Vec<usize>, String> {
        let mut found = Vec::new();
        let mut rest = messages;
        while let Some(first) = rest.first() {
            let batch = self.batches.iter().position(|batch| batch.ids.first() == Some(&first.id));
            let number = batch.ok_or_else(|| format!("nobody wrote, or as the first of its batch, {first:?}"))?;
            let batch = &self.batches[number];
            let (own, after) = rest.split_at(batch.ids.len().min(rest.len()));
            let is_whole = own.iter().map(|message| message.id).eq(batch.ids.iter().copied());
            if !is_whole || !batch.written.is_empty() && own != batch.written {
                return Err(format!("batch {number} is not as it was written: {own:#?}"));
            }
            found.push(number);
            rest = after;
        }
        Ok(found)
    }

    /// What was acknowledged before something was submitted stands before it. Each track has so many operations as one
    /// of these numbers says, which rise; the least that this allows.
    fn in_order(&self, possible: &[Vec<usize>], batches: &[usize]) -> Result<Vec<usize>, String> {
        let mut at = vec![0; possible.len()];
        loop {
            let counts: Vec<usize> = at.iter().zip(possible).map(|(at, counts)| counts[*at]).collect();
            let tracks = || self.tracks.iter().zip(&counts);
            let there = tracks().flat_map(|(track, count)| track.steps.iter().take(*count).map(|step| step.times));
            let there = there.chain(batches.iter().map(|batch| self.batches[*batch].times));
            let latest = there.map(|times| times.submitted).max().unwrap_or(0);
            let is_gap = |times: Times| times.acked.is_some_and(|acked| acked < latest);
            let lacks =
                |(track, count): (&Track, &usize)| track.steps.iter().skip(*count).any(|step| is_gap(step.times));
            let lost =
                self.batches.iter().enumerate().find(|(nth, batch)| is_gap(batch.times) && !batches.contains(nth));
            let Some(track) = tracks().position(lacks) else {
                return match lost {
                    None => Ok(counts),
                    Some((lost, _)) => Err(format!("batch {lost} is lost, and later ones are there: {batches:?}")),
                };
            };
            at[track] += 1;
            if at[track] == possible[track].len() {
                let text = "is lost that was acknowledged before something that is there";
                return Err(format!("something of track {track} {text}: {counts:?}, {batches:?}"));
            }
        }
    }
}

impl Track {
    fn acked(&self) -> usize {
        self.steps.iter().take_while(|step| step.times.acked.is_some()).count()
    }

    /// What it is after so many operations.
    fn after(&self, count: usize) -> Option<&State> {
        self.steps.get(count.checked_sub(1)?)?.state.as_deref()
    }

    /// After how many operations, so many at least, it is as it was found: one number or more. That there is no
    /// session does not say which deletion was the last.
    fn found(&self, state: Option<&State>, least: usize) -> Result<Vec<usize>, String> {
        let counts = |from| (from..=self.steps.len()).filter(|count| self.after(*count) == state).collect::<Vec<_>>();
        let found = counts(least);
        if !found.is_empty() {
            return Ok(found);
        }
        let earlier = counts(0);
        if !earlier.is_empty() {
            return Err(format!("{:?} is as it was after {earlier:?} operations", self.at));
        }
        let alike = |step: &&Step| {
            step.state.as_ref().map(|state| state.changes.len()) == state.map(|state| state.changes.len())
        };
        let due: Vec<_> = self.steps.iter().filter(alike).map(|step| &step.state).collect();
        Err(format!("{:?} is as it never was: {state:#?}\n--- like it are\n{due:#?}", self.at))
    }
}
