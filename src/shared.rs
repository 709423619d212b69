//! What every part of an open engine shares: the store, the clock, the bell, and how far the
//! engine is from its end.

use std::collections::HashMap;

use crate::bell::{Bell, Scope, Watching};
use crate::error::{Error, ErrorKind, Result};
use crate::grant::{Act, Grants, Pass};
use crate::id::{OwnerId, Stamp, TurnId};
use crate::live::Texts;
use crate::poll::Polls;
use crate::record::{Message, Turn};
use crate::store::{Behaviour, Runner, SessionRef, Store};
use crate::sync::{Arc, AtomicBool, AtomicU8, Mutex, Ordering};
use crate::tail::Tails;
use crate::time::Clock;

/// How far an engine is from its end. It only moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It takes work.
    Open = 0,
    /// It takes none, and ends the turns it runs.
    Closing = 1,
    /// It ends no more turns: who still waits is answered *closed*.
    Closed = 2,
}

/// What a waiter is to know of a turn and cannot read from the store.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It ended like this while the engine closed: the store may be closed by now.
    Ended(Box<Turn>, Option<Box<Message>>),
    /// Its end could not be written: it stands as running until the file is opened again.
    Lost(ErrorKind, String),
}

/// See the [module](self).
pub(crate) struct Shared {
    store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) texts: Texts,
    pub(crate) grants: Grants,
    /// Where another process writes.
    polls: Option<Polls>,
    owner: OwnerId,
    phase: AtomicU8,
    /// What waits is not to be started.
    is_paused: AtomicBool,
    verdicts: Mutex<HashMap<TurnId, Verdict>>,
}

impl Shared {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let owner = OwnerId::from_uuid(Stamp::random(clock.now()).uuid(0));
        let phase = AtomicU8::new(Phase::Open as u8);
        let (bell, tails, texts, grants, polls, verdicts) = Default::default();
        let is_paused = AtomicBool::new(false);
        Shared { store, clock, bell, tails, texts, grants, polls, owner, phase, is_paused, verdicts }
    }

    /// Of a store that another process writes.
    pub(crate) fn polled(store: Arc<dyn Store>, clock: Arc<dyn Clock>, polls: Polls) -> Self {
        Shared { polls: Some(polls), ..Self::new(store, clock) }
    }

    /// Refuses what a handle that carries this may not do now.
    pub(crate) fn check(&self, pass: &Pass, act: Act) -> Result<()> {
        pass.check(self.store(), &*self.clock, act)
    }

    /// Looks for what another process has written.
    pub(crate) fn poll(&self) {
        if let Some(polls) = &self.polls {
            polls.look(&self.bell);
        }
    }

    /// Keeps from now on which sessions of these change.
    pub(crate) fn watch(&self, scope: Scope) -> Watching {
        let watching = self.bell.watch(scope);
        if let Some(polls) = &self.polls {
            polls.begin(scope);
        }
        watching
    }

    /// The store, while the engine takes work.
    pub(crate) fn open(&self) -> Result<&dyn Store> {
        if self.phase() == Phase::Open { Ok(self.store()) } else { Err(Error::closed()) }
    }

    /// The store, whatever the phase: for those who end what was begun.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// When an operation that begins now happens.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::random(self.clock.now())
    }

    /// Who this engine is.
    pub(crate) fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Who runs the turns of this engine. Its file is its own, so no claim needs renewal.
    pub(crate) fn runner(&self, behaviour: Behaviour) -> Runner {
        Runner { owner: self.owner, lease: None, behaviour }
    }

    /// Whether the turns that wait for those before them are not to be started, though those end.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    /// From now on they are not.
    pub(crate) fn pause(&self) {
        self.is_paused.store(true, Ordering::SeqCst);
    }

    /// From now on they are.
    pub(crate) fn unpause(&self) {
        self.is_paused.store(false, Ordering::SeqCst);
    }

    /// How far the engine is from its end.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Open,
            1 => Phase::Closing,
            _ => Phase::Closed,
        }
    }

    /// Goes on to this phase; nothing happens where it was reached before.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
    }

    /// Keeps what those who follow or watch have yet to read: the store is about to close.
    pub(crate) fn keep_tails(&self) {
        self.grants.keep(self.store());
        self.tails.keep(self.store(), self.bell.untold());
    }

    /// The final message of a turn that ended; none where there is none, or it was soft-deleted since.
    pub(crate) fn reply_of(&self, at: SessionRef, turn: &Turn) -> Result<Option<Message>> {
        match turn.final_message.map(|reply| self.store.message(at, reply)) {
            Some(Err(error)) if error.is_not_found() => Ok(None),
            reply => reply.transpose(),
        }
    }

    /// Keeps what a waiter could not read.
    pub(crate) fn judge(&self, turn: TurnId, verdict: Verdict) {
        self.verdicts.lock().insert(turn, verdict);
    }

    /// Forgets the verdict on a turn, which ended in the store after all.
    pub(crate) fn acquit(&self, turn: TurnId) {
        self.verdicts.lock().remove(&turn);
    }

    /// What was kept about a turn: how it ended, or why its end is not known.
    pub(crate) fn verdict(&self, turn: TurnId) -> Option<Result<(Turn, Option<Message>)>> {
        match self.verdicts.lock().get(&turn)? {
            Verdict::Ended(turn, reply) => Some(Ok((Turn::clone(turn), reply.as_deref().cloned()))),
            Verdict::Lost(kind, text) => Some(Err(Error::new(*kind, text.clone()))),
        }
    }
}
