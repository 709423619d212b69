//! What a handle may do: everything, or what the access key allows that it was reached with.
//!
//! A handle that trusted code made carries nothing and checks nothing. One that was made from an access key
//! carries its grant, hands it on to every handle made from it, and has it checked at every operation, by one read of the
//! store: the key must be there now, not be expired, and allow what is asked for.

mod act;

pub(crate) use act::Act;
#[cfg(feature = "testkit")]
pub(crate) use act::UNCHECKED;

use crate::error::{Error, ErrorKind, Result};
use crate::record::KeyRecord;
use crate::store::{SessionRef, Store};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, Weak};
use crate::time::Clock;

/// What an access key allows.
pub(crate) struct Grant {
    record: KeyRecord,
    /// Whether the key was there when the store closed; nobody revokes it afterwards.
    stood: AtomicBool,
}

impl Grant {
    fn check(&self, store: &dyn Store, clock: &dyn Clock, act: Act, at: Option<SessionRef>) -> Result<()> {
        if self.record.is_expired(clock.now()) {
            return Err(Error::unauthorized());
        }
        match store.key(self.record.id) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Error::unauthorized()),
            Err(error) if error.kind() == ErrorKind::Closed && self.stood.load(Ordering::SeqCst) => {}
            Err(error) => return Err(error),
        }
        let need = act.need();
        if need.is_met_by(&self.record) {
            return at.map_or(Ok(()), |at| self.check_session(store, at));
        }
        Err(Error::new(ErrorKind::Forbidden, format!("the access key does not allow {}", need.missing())))
    }
}

impl Grant {
    /// Of an agent key: the session is still one of its agent. One that is gone may have been made anew, with its id, for another.
    fn check_session(&self, store: &dyn Store, at: SessionRef) -> Result<()> {
        let Some(own) = self.record.agent_id else { return Ok(()) };
        match store.session(at) {
            Ok(session) if session.agent_id != own => Err(Error::not_found(format_args!("session {}", at.session))),
            // What else is the matter the operation says itself.
            _ => Ok(()),
        }
    }
}

/// What a handle carries: a grant, with the session that the handle is of; or nothing where trusted code made it.
#[derive(Clone, Default)]
pub(crate) struct Pass(Option<(Arc<Grant>, Option<SessionRef>)>);

impl Pass {
    /// Of trusted code.
    pub(crate) const TRUSTED: Pass = Pass(None);

    /// Refuses what the grant, if there is one, does not allow now: *unauthorized*, or *forbidden*.
    pub(crate) fn check(&self, store: &dyn Store, clock: &dyn Clock, act: Act) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some((grant, at)) => grant.check(store, clock, act, *at),
        }
    }

    /// Whether it is that of an agent key, which opens nothing else of its workspace.
    pub(crate) fn is_of_agent(&self) -> bool {
        self.0.as_ref().is_some_and(|(grant, _)| grant.record.agent_id.is_some())
    }

    /// The same for a handle of this session.
    pub(crate) fn of_session(&self, at: SessionRef) -> Pass {
        Pass(self.0.as_ref().map(|(grant, _)| (Arc::clone(grant), Some(at))))
    }
}

/// The grants that handles carry.
#[derive(Default)]
pub(crate) struct Grants(Mutex<Vec<Weak<Grant>>>);

impl Grants {
    /// A grant of this key.
    pub(crate) fn open(&self, record: KeyRecord) -> Pass {
        let grant = Arc::new(Grant { record, stood: AtomicBool::new(false) });
        let mut open = self.0.lock();
        // Those that nobody carries any more go when their number has doubled.
        if open.len() == open.capacity() {
            open.retain(|grant| grant.strong_count() > 0);
        }
        open.push(Arc::downgrade(&grant));
        Pass(Some((grant, None)))
    }

    /// Keeps for each which is still carried whether its key stands. The store is about to close, and who follows or waits is
    /// told the rest by what it kept.
    pub(crate) fn keep(&self, store: &dyn Store) {
        let open = std::mem::take(&mut *self.0.lock());
        for grant in open.iter().filter_map(Weak::upgrade) {
            // One that cannot be read opens nothing.
            let stands = store.key(grant.record.id).is_ok_and(|key| key.is_some());
            grant.stood.store(stands, Ordering::SeqCst);
        }
    }
}
