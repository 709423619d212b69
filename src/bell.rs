//! The bell: who waits for which session, who watches which scope, and how they are woken.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::store::SessionRef;
use crate::sync::{Arc, HashMap, Mutex, OnceLock, Waker};

/// What happened in a session, and what a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// An agent has said something that is not written.
    Streamed,
    /// Something was written.
    Written,
    /// A turn ended, which is written too.
    Ended,
}

/// What a watch is of: an agent's sessions, or all of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) workspace: WorkspaceId,
    pub(crate) agent: Option<AgentId>,
}

/// Wakes those who wait for something of a session. It carries no news: who is woken reads
/// the store. For a watch it keeps which sessions rang and were not told yet, each once.
///
/// To wait is to register first, then read, then sleep. A write that the read did not see
/// rings after the registration, so nothing is lost.
#[derive(Default)]
pub(crate) struct Bell {
    waiting: Mutex<Waiting>,
    /// Who announces the ends of turns, where somebody does.
    announcer: OnceLock<Announcer>,
}

/// Is told of each session in which a turn ended.
pub(crate) type Announcer = Box<dyn Fn(SessionRef) + Send + Sync>;

#[derive(Default)]
struct Waiting {
    next: u64,
    /// Those who want least first: whom an event wakes is at the front.
    sessions: HashMap<SessionRef, BTreeMap<(Event, u64), Waker>>,
    watches: HashMap<Scope, BTreeMap<u64, Changed>>,
    /// Nothing more is told to watches.
    closed: bool,
}

impl Waiting {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What a watch has yet to tell, oldest first, and who sleeps until there is something.
#[derive(Default)]
struct Changed {
    queue: VecDeque<SessionId>,
    queued: HashSet<SessionId>,
    /// The one that was asked for last, and may not have been read yet.
    telling: Option<SessionId>,
    waker: Option<Waker>,
}

impl Changed {
    /// Takes in a session that rang; who is to be woken for it.
    fn add(&mut self, session: SessionId) -> Option<Waker> {
        if self.queued.insert(session) {
            self.queue.push_back(session);
        }
        self.waker.take()
    }
}

/// What a watch hears when it asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This session rang.
    Changed(SessionId),
    /// No session rang since.
    Nothing,
    /// None will ring any more.
    Closed,
}

impl Bell {
    /// Has `waker` woken at the next event of the session that is at least `wanted`.
    pub(crate) fn register(self: &Arc<Self>, at: SessionRef, wanted: Event, waker: Waker) -> Registration {
        let mut waiting = self.waiting.lock();
        let number = waiting.number();
        waiting.sessions.entry(at).or_default().insert((wanted, number), waker);
        Registration { bell: Arc::clone(self), at, place: (wanted, number) }
    }

    /// Keeps from now on which sessions of these ring.
    pub(crate) fn watch(self: &Arc<Self>, scope: Scope) -> Watching {
        let mut waiting = self.waiting.lock();
        let number = waiting.number();
        waiting.watches.entry(scope).or_default().insert(number, Changed::default());
        Watching { bell: Arc::clone(self), scope, number }
    }

    /// Has the announcer told of every end from now on; only the first one is.
    pub(crate) fn on_end(&self, announcer: Announcer) {
        // A second one would announce what the first does.
        let _ = self.announcer.set(announcer);
    }

    /// Tells the announcer of a session that has something to announce.
    pub(crate) fn announce(&self, at: SessionRef) {
        if let Some(announcer) = self.announcer.get() {
            announcer(at);
        }
    }

    /// Wakes all who wait for this event of the session, which is this agent's, and all who watch it.
    pub(crate) fn ring(&self, at: SessionRef, agent: AgentId, event: Event) {
        let mut woken = Vec::new();
        {
            let waiting = &mut *self.waiting.lock();
            if let Some(entries) = waiting.sessions.get_mut(&at) {
                let rest = entries.split_off(&(event, u64::MAX));
                woken.extend(std::mem::replace(entries, rest).into_values());
                if entries.is_empty() {
                    waiting.sessions.remove(&at);
                }
            }
            let told = !waiting.closed && event != Event::Streamed;
            for agent in [None, Some(agent)].into_iter().filter(|_| told) {
                let watches = waiting.watches.get_mut(&Scope { workspace: at.workspace, agent });
                for changed in watches.into_iter().flat_map(BTreeMap::values_mut) {
                    woken.extend(changed.add(at.session));
                }
            }
        }
        // A waker is code of an executor's: it may do anything, so it runs outside the lock.
        wake_all(woken);
        if event == Event::Ended {
            self.announce(at);
        }
    }

    /// Wakes all who wait for something of any session.
    pub(crate) fn wake_waiting(&self) {
        let sessions = std::mem::take(&mut self.waiting.lock().sessions);
        wake_all(sessions.into_values().flat_map(BTreeMap::into_values).collect());
    }

    /// Wakes all who wait or watch, so that each looks whether it still may: an access key was revoked.
    pub(crate) fn wake_all(&self) {
        self.wake_waiting();
        let mut woken = Vec::new();
        {
            let waiting = &mut *self.waiting.lock();
            let watches = waiting.watches.values_mut().flat_map(BTreeMap::values_mut);
            woken.extend(watches.filter_map(|changed| changed.waker.take()));
        }
        wake_all(woken);
    }

    /// Keeps for the watches of this scope that a session of it rang, and wakes them.
    pub(crate) fn tell(&self, scope: Scope, session: SessionId) {
        let mut woken = Vec::new();
        {
            let waiting = &mut *self.waiting.lock();
            let watches = waiting.watches.get_mut(&scope).filter(|_| !waiting.closed);
            for changed in watches.into_iter().flat_map(BTreeMap::values_mut) {
                woken.extend(changed.add(session));
            }
        }
        wake_all(woken);
    }

    /// Whether anybody watches this scope.
    pub(crate) fn is_watched(&self, scope: Scope) -> bool {
        self.waiting.lock().watches.contains_key(&scope)
    }

    /// Wakes everybody: nothing more will happen.
    pub(crate) fn ring_all(&self) {
        let mut woken = Vec::new();
        {
            let waiting = &mut *self.waiting.lock();
            waiting.closed = true;
            let sessions = std::mem::take(&mut waiting.sessions);
            woken.extend(sessions.into_values().flat_map(BTreeMap::into_values));
            let watches = waiting.watches.values_mut().flat_map(BTreeMap::values_mut);
            woken.extend(watches.filter_map(|changed| changed.waker.take()));
        }
        wake_all(woken);
    }

    /// How many wait for a session, and how many watches there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        let waiters = waiting.sessions.values().map(BTreeMap::len).sum();
        (waiters, waiting.watches.values().map(BTreeMap::len).sum())
    }

    /// The sessions that watches have yet to tell, each once; among them those that they are just telling.
    pub(crate) fn untold(&self) -> HashSet<SessionRef> {
        let waiting = self.waiting.lock();
        let watches = waiting.watches.iter().flat_map(|(scope, all)| all.values().map(move |one| (scope, one)));
        let untold = watches.flat_map(|(scope, changed)| {
            let sessions = changed.queue.iter().chain(&changed.telling);
            sessions.map(|session| SessionRef { workspace: scope.workspace, session: *session })
        });
        untold.collect()
    }
}

/// Wakes all of them, also when one panics.
pub(crate) fn wake_all(wakers: Vec<Waker>) {
    struct Rest(std::vec::IntoIter<Waker>);

    impl Drop for Rest {
        fn drop(&mut self) {
            // After a panic the others are woken on the way out; a second one ends the process.
            self.0.by_ref().for_each(Waker::wake);
        }
    }

    let mut rest = Rest(wakers.into_iter());
    rest.0.by_ref().for_each(Waker::wake);
}

/// A place in the list of those to wake; given up when dropped.
pub(crate) struct Registration {
    bell: Arc<Bell>,
    at: SessionRef,
    place: (Event, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.bell.waiting.lock();
        let Some(entries) = waiting.sessions.get_mut(&self.at) else { return };
        let gone = entries.remove(&self.place);
        if entries.is_empty() {
            waiting.sessions.remove(&self.at);
        }
        drop(waiting);
        // The waker's own drop runs outside the lock too.
        drop(gone);
    }
}

/// A place in the list of those who watch; given up when dropped.
pub(crate) struct Watching {
    bell: Arc<Bell>,
    scope: Scope,
    number: u64,
}

impl Watching {
    /// What it watches.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// The session that rang longest ago and was not told yet. Where there is none, `waker` is
    /// woken when one rings, or when none will any more.
    pub(crate) fn next(&self, waker: Option<Waker>) -> Heard {
        let mut waiting = self.bell.waiting.lock();
        let closed = waiting.closed;
        let watches = waiting.watches.get_mut(&self.scope);
        let Some(changed) = watches.and_then(|watches| watches.get_mut(&self.number)) else { return Heard::Closed };
        changed.telling = changed.queue.pop_front();
        if let Some(session) = changed.telling {
            changed.queued.remove(&session);
            return Heard::Changed(session);
        }
        // What a busy time took is given back.
        (changed.queue, changed.queued) = Default::default();
        if closed {
            return Heard::Closed;
        }
        let before = waker.and_then(|waker| changed.waker.replace(waker));
        drop(waiting);
        drop(before);
        Heard::Nothing
    }

    /// Whether none will ring any more and all that rang were told.
    pub(crate) fn is_over(&self) -> bool {
        let waiting = self.bell.waiting.lock();
        let changed = waiting.watches.get(&self.scope).and_then(|watches| watches.get(&self.number));
        waiting.closed && changed.is_none_or(|changed| changed.queue.is_empty())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut waiting = self.bell.waiting.lock();
        let Some(watches) = waiting.watches.get_mut(&self.scope) else { return };
        let gone = watches.remove(&self.number);
        if watches.is_empty() {
            waiting.watches.remove(&self.scope);
        }
        drop(waiting);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, Ordering, Wake};

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Count {
        fn get(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn workspace(n: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn agent(n: u128) -> AgentId {
        AgentId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn at(workspace_number: u128, session: u128) -> SessionRef {
        let session = SessionId::from_uuid(uuid::Uuid::from_u128(session));
        SessionRef { workspace: workspace(workspace_number), session }
    }

    #[test]
    fn a_ring_wakes_who_waits_for_it_once_and_nobody_else() {
        let (bell, ends, writes, other) =
            (Arc::new(Bell::default()), Arc::<Count>::default(), Arc::<Count>::default(), Arc::<Count>::default());
        let _ends = bell.register(at(1, 1), Event::Ended, Arc::clone(&ends).into());
        let _writes = bell.register(at(1, 1), Event::Written, Arc::clone(&writes).into());
        // A session of the same id in another workspace is another one.
        let _other = bell.register(at(2, 1), Event::Written, Arc::clone(&other).into());
        let counts = || [&ends, &writes, &other].map(|count| count.get());

        bell.ring(at(1, 1), agent(1), Event::Written);
        assert_eq!(counts(), [0, 1, 0]);
        bell.ring(at(1, 1), agent(1), Event::Ended);
        bell.ring(at(1, 1), agent(1), Event::Ended);
        assert_eq!(counts(), [1, 1, 0]);
        bell.ring_all();
        assert_eq!(counts(), [1, 1, 1]);
        assert!(bell.waiting.lock().sessions.is_empty());
    }

    #[test]
    fn a_dropped_registration_is_forgotten() {
        let (bell, count) = (Arc::new(Bell::default()), Arc::<Count>::default());
        let first = bell.register(at(1, 1), Event::Ended, Arc::clone(&count).into());
        let second = bell.register(at(1, 1), Event::Ended, Arc::clone(&count).into());
        drop(first);
        bell.ring(at(1, 1), agent(1), Event::Ended);
        assert_eq!(count.get(), 1);
        // Its entry was taken by the ring: dropping it now removes nobody else's.
        let third = bell.register(at(1, 1), Event::Ended, Arc::clone(&count).into());
        drop(second);
        bell.ring(at(1, 1), agent(1), Event::Ended);
        assert_eq!(count.get(), 2);
        drop(third);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn a_watch_keeps_each_session_of_its_scope_once_in_the_order_they_rang() {
        let bell = Arc::new(Bell::default());
        let of = |agent| bell.watch(Scope { workspace: workspace(1), agent });
        let (all, one, other) = (of(None), of(Some(agent(1))), of(Some(agent(2))));
        for (place, owner) in [(at(1, 1), 1), (at(1, 2), 2), (at(2, 3), 1), (at(1, 1), 1)] {
            bell.ring(place, agent(owner), Event::Written);
        }
        assert_eq!(bell.untold(), HashSet::from([at(1, 1), at(1, 2)]));
        let rest = |watching: &Watching| {
            std::iter::from_fn(|| match watching.next(None) {
                Heard::Changed(session) => Some(session.as_uuid().as_u128()),
                _ => None,
            })
            .collect::<Vec<_>>()
        };
        assert_eq!((rest(&all), rest(&one), rest(&other)), (vec![1, 2], vec![1], vec![2]));
        // What was told once is told again when it rings again.
        bell.ring(at(1, 2), agent(2), Event::Ended);
        assert_eq!((rest(&all), rest(&one), rest(&other)), (vec![2], vec![], vec![2]));
        // Who was told which one has yet to read it, until it asks again.
        bell.ring(at(1, 1), agent(1), Event::Written);
        assert_eq!(
            [&all, &one].map(|watching| watching.next(None)),
            [(); 2].map(|()| Heard::Changed(at(1, 1).session))
        );
        assert_eq!(bell.untold(), HashSet::from([at(1, 1)]));
        assert_eq!((rest(&all), rest(&one), bell.untold()), (vec![], vec![], HashSet::new()));
    }

    #[test]
    fn a_watch_is_woken_once_when_there_is_something_and_when_there_is_no_more() {
        let (bell, count) = (Arc::new(Bell::default()), Arc::<Count>::default());
        let watching = bell.watch(Scope { workspace: workspace(1), agent: None });
        let next = || watching.next(Some(Arc::clone(&count).into()));
        assert_eq!(next(), Heard::Nothing);
        bell.ring(at(2, 1), agent(1), Event::Written);
        assert_eq!(count.get(), 0);
        bell.ring(at(1, 1), agent(1), Event::Written);
        bell.ring(at(1, 2), agent(1), Event::Written);
        assert_eq!(count.get(), 1);
        assert_eq!(next(), Heard::Changed(at(1, 1).session));
        assert_eq!(next(), Heard::Changed(at(1, 2).session));
        assert_eq!((next(), next()), (Heard::Nothing, Heard::Nothing));
        assert_eq!(Arc::strong_count(&count), 2, "of two wakers the later one is kept");
        bell.ring(at(1, 1), agent(1), Event::Written);
        assert_eq!((count.get(), watching.is_over()), (2, false));
        bell.ring_all();
        bell.ring(at(1, 2), agent(1), Event::Written);
        assert_eq!((next(), watching.is_over()), (Heard::Changed(at(1, 1).session), true), "what rang before the end");
        assert_eq!(next(), Heard::Closed);
        drop(watching);
        assert!(bell.waiting.lock().watches.is_empty());
    }
}
