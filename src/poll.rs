//! Asking instead of listening: where another process writes, no write rings the bell, so it is rung for what is found
//! to have changed.

use crate::bell::{Bell, Scope};
use crate::error::Result;
use crate::id::SessionId;
use crate::sync::{Arc, HashMap, Mutex};

/// What is asked.
pub(crate) trait Source: Send + Sync {
    /// A number that every commit changes.
    fn group(&self) -> Result<u64>;

    /// All sessions of a scope with the number of their latest event, as one state has them; those that
    /// changed first come first, as far as clocks tell.
    fn active(&self, scope: Scope) -> Result<Vec<(SessionId, u64)>>;
}

/// See the [module](self).
pub(crate) struct Polls {
    source: Arc<dyn Source>,
    known: Mutex<Known>,
}

/// What was found last.
#[derive(Default)]
struct Known {
    /// None at first, and where it could not be read.
    group: Option<u64>,
    /// Of each scope that is watched.
    scopes: HashMap<Scope, HashMap<SessionId, u64>>,
}

impl Polls {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Polls { source, known: Mutex::default() }
    }

    /// A watch of these sessions has begun: what changes from now on is told to it.
    pub(crate) fn begin(&self, scope: Scope) {
        let mut known = self.known.lock();
        // Where it cannot be read, the next look tells all there are rather than none.
        let active = || self.source.active(scope).unwrap_or_default().into_iter().collect();
        known.scopes.entry(scope).or_insert_with(active);
    }

    /// Wakes all who wait for a session and tells watches what changed, if anything was written since the last look.
    pub(crate) fn look(&self, bell: &Bell) {
        let Some(changed) = self.changed(bell) else { return };
        // A waker may do anything, such as begin a watch, so it runs outside the lock.
        changed.into_iter().for_each(|(scope, session)| bell.tell(scope, session));
        bell.wake_waiting();
    }

    /// The sessions that changed in the scopes that are watched; none where nothing was written.
    fn changed(&self, bell: &Bell) -> Option<Vec<(Scope, SessionId)>> {
        let known = &mut *self.known.lock();
        known.scopes.retain(|scope, _| bell.is_watched(*scope));
        // Read before the sessions: what is written meanwhile is found by the next look.
        let group = self.source.group().ok();
        if group.is_some() && group == known.group {
            return None;
        }
        known.group = group;
        let mut changed = Vec::new();
        for (scope, before) in &mut known.scopes {
            let Ok(active) = self.source.active(*scope) else {
                known.group = None;
                continue;
            };
            let news = active.iter().filter(|(session, change)| before.get(session) != Some(change));
            changed.extend(news.map(|(session, _)| (*scope, *session)));
            let active: HashMap<_, _> = active.into_iter().collect();
            changed.extend(before.keys().filter(|session| !active.contains_key(session)).map(|gone| (*scope, *gone)));
            *before = active;
        }
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bell::{Heard, Watching};
    use crate::error::Error;
    use crate::id::WorkspaceId;

    #[derive(Default)]
    struct File(Mutex<State>);

    #[derive(Default)]
    struct State {
        group: u64,
        sessions: Vec<(SessionId, u64)>,
        is_damaged: bool,
    }

    impl File {
        fn write(&self, sessions: &[(u128, u64)]) {
            let mut file = self.0.lock();
            file.group += 1;
            file.sessions = sessions.iter().map(|(session, change)| (id(*session), *change)).collect();
        }
    }

    impl Source for File {
        fn group(&self) -> Result<u64> {
            Ok(self.0.lock().group)
        }

        fn active(&self, _scope: Scope) -> Result<Vec<(SessionId, u64)>> {
            let file = self.0.lock();
            if file.is_damaged { Err(Error::corrupt("it is damaged")) } else { Ok(file.sessions.clone()) }
        }
    }

    fn id(session: u128) -> SessionId {
        SessionId::from_uuid(uuid::Uuid::from_u128(session))
    }

    fn told(watching: &Watching) -> Vec<u128> {
        std::iter::from_fn(|| match watching.next(None) {
            Heard::Changed(session) => Some(session.as_uuid().as_u128()),
            Heard::Nothing | Heard::Closed => None,
        })
        .collect()
    }

    #[test]
    fn a_watch_is_told_what_changed_since_it_began_what_is_new_and_what_is_gone() {
        let (file, bell) = (Arc::<File>::default(), Arc::<Bell>::default());
        let polls = Polls::new(Arc::clone(&file) as Arc<dyn Source>);
        file.write(&[(1, 1), (2, 1), (3, 1)]);
        polls.look(&bell);
        file.write(&[(1, 1), (2, 1), (3, 2)]);
        let scope = Scope { workspace: WorkspaceId::from_uuid(uuid::Uuid::from_u128(1)), agent: None };
        let watching = bell.watch(scope);
        polls.begin(scope);
        polls.look(&bell);
        assert_eq!(told(&watching), [0_u128; 0], "what was there when it began");
        file.write(&[(2, 1), (4, 1), (3, 7)]);
        polls.look(&bell);
        assert_eq!(told(&watching), [4, 3, 1]);
        polls.look(&bell);
        assert_eq!(told(&watching), [0_u128; 0]);

        // What could not be read is looked at again, also when nothing is written since.
        file.write(&[(2, 2)]);
        file.0.lock().is_damaged = true;
        polls.look(&bell);
        file.0.lock().is_damaged = false;
        polls.look(&bell);
        let mut all = told(&watching);
        all.sort_unstable();
        assert_eq!(all, [2, 3, 4]);
        drop(watching);
        polls.look(&bell);
        assert!(polls.known.lock().scopes.is_empty(), "nobody watches");
    }
}
