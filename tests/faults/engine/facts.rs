//! What an engine acknowledged and what somebody read in it, and what must therefore be there after a crash.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor::id::{SessionId, TurnId};
use parlor::store::ImportIds;
use parlor::{Change, Engine, Error, ErrorKind, Message, Result, Turn, Workspace};

use super::lives::{Commits, Life, Lives, Span, Who};
use super::there::There;

/// Where people send, and the operator moves sessions.
pub const WORKSPACE: &str = "acme";

/// Something that is true from now on.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A message was acknowledged or read. One may be soft-deleted by a rollback.
    Message(SessionId, Box<Message>),
    /// A turn was accepted.
    Turn(SessionId, TurnId),
    /// A turn was seen in its terminal state.
    Ended(SessionId, Box<Turn>),
    /// A follower was told of an event.
    Told(SessionId, Change),
    /// A session of a workspace came in with these lines, and goes out with them.
    Lines(String, SessionId, String),
}

/// See the [module](self).
#[derive(Default)]
pub struct Facts {
    inner: Mutex<Inner>,
    /// What is in the streams of archives.
    unpacked: Mutex<HashMap<Vec<u8>, Vec<String>>>,
}

#[derive(Default)]
struct Inner {
    facts: Vec<Fact>,
    /// So many of them are on disk for good.
    settled: usize,
    lives: Lives,
    /// How often something was done, and how often it was refused as it may be.
    done: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Promise {
    /// It is on disk.
    #[default]
    OnDisk,
    /// It is there if anything is that came after it.
    InOrder,
}

/// What a crash at a moment may not take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Floor {
    /// So many facts are there; those up to the second number are, or are not there at all.
    facts: usize,
    known: usize,
    lives: Span,
}

impl Floor {
    /// Without what may be there or not.
    pub fn due(self) -> Self {
        Floor { known: self.facts, ..self }
    }
}

impl Facts {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn learn(&self, fact: Fact) {
        self.lock().facts.push(fact);
    }

    pub fn count(&self) -> usize {
        self.lock().facts.len()
    }

    /// Something was done.
    pub fn done(&self, what: &'static str) {
        *self.lock().done.entry(what).or_default() += 1;
    }

    /// Something was refused, as it may be.
    pub fn refused(&self, what: &'static str) {
        *self.lock().refused.entry(what).or_default() += 1;
    }

    /// What was done and what was refused, each with how often.
    pub fn acts(&self) -> [BTreeMap<&'static str, u64>; 2] {
        let inner = self.lock();
        [inner.done.clone(), inner.refused.clone()]
    }

    /// These are about to stand so, by one operation.
    pub fn submit(&self, lives: Vec<(Who, Life)>, commits: Commits) {
        self.lock().lives.submit(lives, commits);
    }

    /// They do.
    pub fn acknowledge(&self) {
        self.lock().lives.acknowledge();
    }

    /// They do not, and never did.
    pub fn withdraw(&self) {
        self.lock().lives.withdraw();
    }

    /// The archive that was made last has this filename.
    pub fn name(&self, filename: &str) {
        self.lock().lives.name(filename);
    }

    /// Everything that was acknowledged is on disk for good.
    pub fn settle(&self) {
        let mut inner = self.lock();
        inner.settled = inner.facts.len();
        inner.lives.settle();
    }

    /// What is known now. To be asked before the disk is copied.
    pub fn floor(&self, promise: Promise) -> Floor {
        let inner = self.lock();
        let (known, is_deferred) = (inner.facts.len(), promise == Promise::InOrder);
        let facts = if is_deferred { inner.settled } else { known };
        Floor { facts, known, lives: inner.lives.span(is_deferred) }
    }

    /// What came until the disk was copied may be there.
    pub fn widen(&self, floor: &mut Floor) {
        floor.lives.most = self.lock().lives.span(false).most;
    }

    /// Compares an engine with what must be in it.
    pub fn check(&self, engine: &Engine, floor: &Floor) -> std::result::Result<(), String> {
        let failed = |error: Error| format!("it cannot be read: {error:?}");
        let breaches = engine.verify().map_err(failed)?;
        if !breaches.is_empty() {
            return Err(format!("it is broken: {breaches:#?}"));
        }
        let facts: Vec<Fact> = self.lock().facts.iter().take(floor.known).cloned().collect();
        let mut there = There::of(engine);
        facts.iter().try_for_each(|fact| there.reach(fact))?;
        for (number, fact) in facts.iter().enumerate() {
            let is_due = number < floor.facts;
            if is_due || there.tells_of(fact)? {
                there.has(fact).map_err(|failure| format!("{fact:?}: {failure}"))?;
            }
        }
        there.check_law()?;
        let lives = self.lock().lives.clone();
        lives.check(floor.lives, |who| self.stands(engine, who).map_err(failed))
    }

    fn stands(&self, engine: &Engine, who: &Who) -> Result<Life> {
        match who {
            Who::Key(secret) => match engine.open_key(secret) {
                Ok(_) => Ok(Life::Opens),
                Err(error) if error.kind() == ErrorKind::Unauthorized => Ok(Life::Gone),
                Err(error) => Err(error),
            },
            Who::Session(workspace, id) => match engine.find_workspace(workspace)? {
                Some(workspace) => self.session_stands(&workspace, *id),
                None => Ok(Life::Gone),
            },
        }
    }

    fn session_stands(&self, workspace: &Workspace, id: SessionId) -> Result<Life> {
        match workspace.session(id) {
            Err(error) if error.is_not_found() => {}
            found => return Ok(Life::Live(found?.history(1000)?.iter().map(Message::text).collect())),
        }
        let Some(agent) = workspace.find_agent("desk")? else { return Ok(Life::Gone) };
        for page in 1.. {
            let archives = agent.archives((page, 100))?.items;
            if archives.is_empty() {
                break;
            }
            if let Some(archive) = archives.into_iter().find(|archive| archive.session_id == id) {
                let mut stream = Vec::new();
                agent.archive(&archive.filename)?.export(&mut stream)?;
                return Ok(Life::Archived(Some(archive.filename), self.unpacked(stream)?));
            }
        }
        Ok(Life::Gone)
    }

    /// The texts in the stream of an archive, which is the same on every disk that has it.
    fn unpacked(&self, stream: Vec<u8>) -> Result<Vec<String>> {
        let lock = || self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = lock().get(&stream) {
            return Ok(texts.clone());
        }
        let other = Engine::in_memory().open()?;
        let archive = other.workspace("elsewhere")?.agent("desk")?.import_archive(&*stream, ImportIds::Keep)?;
        let texts: Vec<_> = archive.restore()?.history(1000)?.iter().map(Message::text).collect();
        other.close()?;
        lock().insert(stream, texts.clone());
        Ok(texts)
    }
}
