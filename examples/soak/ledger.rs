//! What every file must say after any life: each accepted turn is there, and has ended once, or waits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use parlor::id::{MessageId, SessionId, TurnId};
use parlor::page::{Direction, MessageQuery};
use parlor::{Change, ChangeKind, Engine, Reason, Role, Session, SessionStatus, TurnState, limit};

use crate::Failure;
use crate::child::{AGENT, WORKSPACE};

/// What is known of all sessions: the feeds as far as they were read.
#[derive(Debug, Default)]
pub struct Ledger {
    sessions: BTreeMap<SessionId, Account>,
    /// Turns that have ended, by how and why.
    pub ends: BTreeMap<(&'static str, &'static str), u64>,
    pub breaches: Vec<String>,
    /// The longest that the file took to open.
    pub worst_open: Duration,
}

/// A session's feed, read up to its last event.
#[derive(Debug, Default, PartialEq)]
struct Account {
    last: u64,
    turns: HashMap<TurnId, TurnState>,
    running: Option<TurnId>,
}

/// What may be left in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Turns that wait.
    Waiting,
    /// Nothing.
    Nothing,
}

impl Ledger {
    /// Opens the file and reads what came since the last time. These turns were accepted meanwhile.
    pub fn check(
        &mut self,
        file: &Path,
        accepted: &HashMap<SessionId, Vec<TurnId>>,
        left: Left,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        // Without the agent's behaviour nothing that waits starts.
        let engine = Engine::builder(file).open()?;
        self.worst_open = self.worst_open.max(began.elapsed());
        self.breaches.extend(engine.verify()?.into_iter().map(|breach| format!("verify: {breach}")));
        for session in sessions(&engine)? {
            let (id, mut account) = (session.id(), self.sessions.remove(&session.id()).unwrap_or_default());
            self.catch_up(&session, &mut account)?;
            self.look(&session, &account, left)?;
            self.sessions.insert(id, account);
        }
        for (session, turns) in accepted {
            let known = self.sessions.get(session).map(|account| &account.turns);
            let is_lost = |turn: &&TurnId| known.is_none_or(|known| !known.contains_key(turn));
            let lost =
                turns.iter().filter(is_lost).map(|turn| format!("turn {turn} of {session} was accepted and is lost"));
            self.breaches.extend(lost);
        }
        Ok(engine.close()?)
    }

    /// Reads every feed once more from its beginning, and every message: the same, and none written for a turn after its
    /// end.
    pub fn check_whole(&mut self, file: &Path) -> Result<(), Failure> {
        let engine = Engine::builder(file).open()?;
        let mut anew = Ledger::default();
        for session in sessions(&engine)? {
            let mut account = Account::default();
            let wrote = writers(&session, &mut self.breaches)?;
            let mut ended = HashSet::new();
            for change in events(&session, 0)? {
                match change.kind {
                    ChangeKind::Turn(turn, state) if state.is_terminal() => drop(ended.insert(turn)),
                    ChangeKind::Message(message) => {
                        if let Some(turn) = wrote.get(&message).filter(|turn| ended.contains(turn)) {
                            self.breaches.push(format!("message {message} was written after the end of turn {turn}"));
                        }
                    }
                    _ => {}
                }
                anew.take(&session, &mut account, change);
            }
            if self.sessions.get(&session.id()) != Some(&account) {
                self.breaches.push(format!("the feed of session {} is not what it was", session.id()));
            }
        }
        self.breaches.append(&mut anew.breaches);
        Ok(engine.close()?)
    }

    /// How many turns there are.
    pub fn turns(&self) -> usize {
        self.sessions.values().map(|account| account.turns.len()).sum()
    }

    /// Reads what is new in the feed, and how the turns ended that did.
    fn catch_up(&mut self, session: &Session, account: &mut Account) -> Result<(), Failure> {
        for change in events(session, account.last)? {
            self.take(session, account, change);
            let ChangeKind::Turn(id, state) = change.kind else { continue };
            if !state.is_terminal() {
                continue;
            }
            let turn = session.turn(id)?.get()?;
            if turn.reason == Some(Reason::Closed) {
                self.breaches.push(format!("turn {id} was ended as closed, and the engine was not"));
            }
            if turn.state != state {
                self.breaches.push(format!("turn {id} became {state:?} and is {:?}", turn.state));
            }
            let reason = turn.reason.map_or("", Reason::as_str);
            *self.ends.entry((state.as_str(), reason)).or_default() += 1;
        }
        Ok(())
    }

    /// One event: the life of a turn goes one way, and ends once.
    fn take(&mut self, session: &Session, account: &mut Account, change: Change) {
        let mut breach = |what: String| {
            self.breaches.push(format!("session {}, change {}: {what}", session.id(), change.number));
        };
        if change.number != account.last + 1 {
            breach(format!("it follows {}", account.last));
        }
        account.last = change.number;
        let ChangeKind::Turn(id, state) = change.kind else { return };
        let before = account.turns.insert(id, state);
        match (before, state) {
            (None, TurnState::Queued) => {}
            (None | Some(TurnState::Queued), TurnState::Running) => {
                if let Some(running) = account.running.replace(id) {
                    breach(format!("turn {id} began while {running} ran"));
                }
            }
            // Its process died, and it is run again.
            (Some(TurnState::Running), TurnState::Running) => {}
            (Some(TurnState::Running), state) if state.is_terminal() => {
                if account.running.take() != Some(id) {
                    breach(format!("turn {id} ended while another ran"));
                }
            }
            (Some(TurnState::Queued), TurnState::Interrupted) => {}
            (before, state) => breach(format!("turn {id} was {before:?} and became {state:?}")),
        }
    }

    /// The session is as its feed says.
    fn look(&mut self, session: &Session, account: &Account, left: Left) -> Result<(), Failure> {
        let (id, record) = (session.id(), session.get()?);
        let waiting = account.turns.values().filter(|state| **state == TurnState::Queued).count();
        if let Some(turn) = account.running.or(record.running_turn) {
            self.breaches.push(format!("turn {turn} of session {id} is running, and nobody runs it"));
        }
        if record.queued_turns as usize != waiting || (record.status == SessionStatus::Running) != (waiting > 0) {
            self.breaches.push(format!("{waiting} turns of session {id} wait by its feed: {record:?}"));
        }
        if left == Left::Nothing && waiting > 0 {
            self.breaches.push(format!("session {id} is stuck: {waiting} of its turns wait"));
        }
        Ok(())
    }
}

fn sessions(engine: &Engine) -> Result<Vec<Session>, Failure> {
    let Some(workspace) = engine.find_workspace(WORKSPACE)? else { return Ok(Vec::new()) };
    let Some(agent) = workspace.find_agent(AGENT)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for page in 1_u64.. {
        let records = agent.sessions((page, limit::PAGE_LIMIT_MAX))?.items;
        if records.is_empty() {
            break;
        }
        for record in records {
            all.push(agent.session(record.id)?);
        }
    }
    Ok(all)
}

/// The events of a session after this number.
fn events(session: &Session, after: u64) -> Result<Vec<Change>, Failure> {
    let mut events: Vec<Change> = Vec::new();
    loop {
        let after = events.last().map_or(after, |change| change.number);
        let more = session.changes(after, limit::CHANGES_LIMIT_MAX)?;
        if more.is_empty() {
            return Ok(events);
        }
        events.extend(more);
    }
}

/// Which turn wrote each message, and whether it says so. What started the turn was there before it, and what a rollback
/// deleted is not shown.
fn writers(session: &Session, breaches: &mut Vec<String>) -> Result<HashMap<MessageId, TurnId>, Failure> {
    let all = MessageQuery::all().direction(Direction::Asc).limit(limit::PAGE_LIMIT_MAX);
    let mut wrote = HashMap::new();
    for message in session.messages(all).iter() {
        let message = message?;
        if let Some(turn) = message.turn_id {
            let text = message.text();
            if message.role == Role::Assistant && !text.is_empty() && !text.ends_with(&turn.to_string()) {
                breaches.push(format!("message {} of turn {turn} says {text:?}", message.id));
            }
            wrote.insert(message.id, turn);
        }
    }
    Ok(wrote)
}
