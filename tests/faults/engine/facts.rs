//! What an engine acknowledged and what somebody read in it, and what must therefore be there after a crash.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor::id::{MessageId, SessionId, TurnId};
use parlor::{Change, ChangeKind, Engine, Error, Message, Session, Turn, TurnState};

pub const WORKSPACE: &str = "acme";

/// Something that is true from now on.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Messages were acknowledged or read. One may be soft-deleted by a rollback.
    Message(SessionId, Box<Message>),
    /// A turn was accepted.
    Turn(SessionId, TurnId),
    /// A turn was seen in its terminal state.
    Ended(SessionId, Box<Turn>),
    /// A follower was told of an event.
    Told(SessionId, Change),
    /// A workspace has so many sessions: as many as came in as lines, or as were kept.
    Holds(String, u64),
}

/// How a session of the operator's stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Life {
    /// With these texts.
    Live(Vec<String>),
    /// Under this filename, or any where the archive's maker never learnt it.
    Archived(Option<String>),
    Gone,
}

/// A step of a session's life. One that was refused stays, not submitted.
#[derive(Debug, Clone)]
struct Step {
    life: Life,
    submitted: bool,
    acknowledged: bool,
}

/// See the [module](self).
#[derive(Default)]
pub struct Facts(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    facts: Vec<Fact>,
    lives: Vec<(SessionId, Vec<Step>)>,
}

/// What a crash at a moment may not take.
#[derive(Debug, Clone, Default)]
pub struct Floor {
    facts: usize,
    /// How each of the operator's sessions may stand.
    lives: Vec<(SessionId, Vec<Life>)>,
}

impl Facts {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn learn(&self, fact: Fact) {
        self.lock().facts.push(fact);
    }

    pub fn count(&self) -> usize {
        self.lock().facts.len()
    }

    /// A session of the operator's is about to stand so.
    pub fn submit(&self, session: SessionId, life: Life) {
        let mut inner = self.lock();
        let step = Step { life, submitted: true, acknowledged: false };
        match inner.lives.iter_mut().find(|(known, _)| *known == session) {
            Some((_, steps)) => steps.push(step),
            None => {
                let none = Step { life: Life::Gone, submitted: true, acknowledged: true };
                inner.lives.push((session, vec![none, step]));
            }
        }
    }

    /// It does.
    pub fn acknowledge(&self, session: SessionId, life: Option<Life>) {
        if let Some(step) = self.lock().last(session) {
            step.acknowledged = true;
            step.life = life.unwrap_or_else(|| step.life.clone());
        }
    }

    /// It does not, and never did.
    pub fn withdraw(&self, session: SessionId) {
        if let Some(step) = self.lock().last(session) {
            step.submitted = false;
        }
    }

    /// What is known now. To be asked before the disk is copied.
    pub fn floor(&self) -> Floor {
        let inner = self.lock();
        let lives = inner.lives.iter().map(|(session, steps)| {
            let last = steps.iter().rposition(|step| step.acknowledged).unwrap_or(0);
            let may = steps.iter().skip(last).filter(|step| step.submitted).map(|step| step.life.clone());
            (*session, may.collect())
        });
        Floor { facts: inner.facts.len(), lives: lives.collect() }
    }

    /// What came until the disk was copied may be there.
    pub fn widen(&self, floor: &mut Floor) {
        let later = self.floor();
        for (session, may) in later.lives {
            match floor.lives.iter_mut().find(|(known, _)| *known == session) {
                Some((_, known)) => known.extend(may),
                None => {
                    let mut may = may;
                    may.push(Life::Gone);
                    floor.lives.push((session, may));
                }
            }
        }
    }

    /// Compares an engine with what must be in it.
    pub fn check(&self, engine: &Engine, floor: &Floor) -> Result<(), String> {
        let failed = |error: Error| format!("it cannot be read: {error:?}");
        let breaches = engine.verify().map_err(failed)?;
        if !breaches.is_empty() {
            return Err(format!("it is broken: {breaches:#?}"));
        }
        let facts: Vec<Fact> = self.lock().facts.iter().take(floor.facts).cloned().collect();
        let mut there = There { engine, sessions: HashMap::new() };
        facts.iter().try_for_each(|fact| there.has(fact).map_err(|failure| format!("{fact:?}: {failure}")))?;
        for (session, may) in &floor.lives {
            let life = life_of(engine, *session).map_err(failed)?;
            let is_due = |due: &Life| match (due, &life) {
                (Life::Archived(None), Life::Archived(_)) => true,
                (due, life) => due == life,
            };
            if !may.iter().any(is_due) {
                return Err(format!("session {session} stands as {life:?}, and may stand as {may:#?}"));
            }
        }
        Ok(())
    }
}

impl Inner {
    fn last(&mut self, session: SessionId) -> Option<&mut Step> {
        self.lives.iter_mut().find(|(known, _)| *known == session).and_then(|(_, steps)| steps.last_mut())
    }
}

/// How a session stands.
fn life_of(engine: &Engine, id: SessionId) -> Result<Life, Error> {
    let Some(workspace) = engine.find_workspace(WORKSPACE)? else { return Ok(Life::Gone) };
    match workspace.session(id) {
        Ok(session) => {
            let texts = session.history(1000)?.iter().map(Message::text).collect();
            return Ok(Life::Live(texts));
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let Some(agent) = workspace.find_agent("desk")? else { return Ok(Life::Gone) };
    for page in 1.. {
        let archives = agent.archives((page, 100))?.items;
        if archives.is_empty() {
            break;
        }
        if let Some(archive) = archives.into_iter().find(|archive| archive.session_id == id) {
            // It can be read to its end.
            agent.archive(&archive.filename)?.export(std::io::sink())?;
            return Ok(Life::Archived(Some(archive.filename)));
        }
    }
    Ok(Life::Gone)
}

/// What was read of an engine.
struct There<'e> {
    engine: &'e Engine,
    sessions: HashMap<SessionId, Feed>,
}

struct Feed {
    session: Session,
    changes: Vec<Change>,
    deleted: HashSet<MessageId>,
}

impl There<'_> {
    fn feed(&mut self, id: SessionId) -> Result<&Feed, String> {
        if !self.sessions.contains_key(&id) {
            let feed = self.read(id).map_err(|error| format!("its feed cannot be read: {error:?}"))?;
            let is_dense = (1..).zip(&feed.changes).all(|(number, change)| change.number == number);
            if !is_dense {
                return Err(format!("its feed has gaps: {:?}", feed.changes));
            }
            self.sessions.insert(id, feed);
        }
        self.sessions.get(&id).ok_or_else(|| "it was not read".to_owned())
    }

    fn read(&self, id: SessionId) -> Result<Feed, Error> {
        let session = self.engine.workspace(WORKSPACE)?.session(id)?;
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let read = session.changes(changes.len() as u64, 1000)?;
            if read.is_empty() {
                break;
            }
            changes.extend(read);
        }
        let deleted = changes.iter().filter_map(|change| match change.kind {
            ChangeKind::Deleted(id) => Some(id),
            _ => None,
        });
        Ok(Feed { session, deleted: deleted.collect(), changes })
    }

    fn has(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Message(session, message) => self.feed(*session)?.has(message),
            Fact::Turn(session, turn) => {
                let feed = self.feed(*session)?;
                let states =
                    feed.changes.iter().filter(|change| matches!(change.kind, ChangeKind::Turn(id, _) if id == *turn));
                let ends =
                    states.filter(|change| matches!(change.kind, ChangeKind::Turn(_, state) if state.is_terminal()));
                let ends = ends.count();
                let state = feed.turn(*turn)?.state;
                match (state, ends) {
                    (TurnState::Queued, 0) => Ok(()),
                    (state, 1) if state.is_terminal() => Ok(()),
                    found => Err(format!("its state and how many ends it has are {found:?}")),
                }
            }
            Fact::Ended(session, turn) => {
                let found = self.feed(*session)?.turn(turn.id)?;
                if found == **turn { Ok(()) } else { Err(format!("it is {found:?}")) }
            }
            Fact::Told(session, change) => {
                let at = usize::try_from(change.number).unwrap_or(0).saturating_sub(1);
                match self.feed(*session)?.changes.get(at) {
                    Some(found) if found == change => Ok(()),
                    found => Err(format!("in its place stands {found:?}")),
                }
            }
            Fact::Holds(name, sessions) => {
                let failed = |error: Error| format!("it cannot be read: {error:?}");
                let found = self.engine.find_workspace(name).map_err(failed)?.ok_or("it is lost")?;
                let total = found.sessions((1, 1)).map_err(failed)?.meta.total;
                if total == *sessions { Ok(()) } else { Err(format!("it has {total} sessions")) }
            }
        }
    }
}

impl Feed {
    fn has(&self, due: &Message) -> Result<(), String> {
        let is_it = |change: &Change| matches!(change.kind, ChangeKind::Message(id) if id == due.id);
        if !self.changes.iter().any(is_it) {
            return Err("its feed does not tell of it".into());
        }
        match self.session.message(due.id) {
            Ok(found) if found == *due => Ok(()),
            Ok(found) => Err(format!("it is {found:?}")),
            Err(error) if error.is_not_found() && self.deleted.contains(&due.id) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    fn turn(&self, id: TurnId) -> Result<Turn, String> {
        self.session.turn(id).and_then(|turn| turn.get()).map_err(|error| format!("{error:?}"))
    }
}
