//! Who uses an engine at once: senders, followers, a reader of pages, and an operator.

use std::io::{BufReader, sink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parlor::id::SessionId;
use parlor::page::{Direction, MessageQuery};
use parlor::store::{ImportIds, Policy};
use parlor::testkit::{SimulatedDisk, redb_store_in_blocks};
use parlor::{
    AgentHandle, Archive, Engine, ErrorKind, ImportOptions, Message, NewSession, Result, Retention, Session,
    TurnContext, TurnHandle,
};
use uuid::Uuid;

use super::facts::{Fact, Facts, Life, WORKSPACE};
use crate::suite::random::Random;

/// What went wrong, where that ends what somebody does.
pub type Went = Result<()>;

/// Runs the turns: says something, calls a tool, and now and then goes on until it is told to stop.
pub fn agent(turn: &TurnContext, facts: &Facts) -> parlor::AgentResult {
    let id = turn.session_id();
    let text = turn.input().text();
    let learn = |message: Message| facts.learn(Fact::Message(id, Box::new(message)));
    let steps = text.bytes().map(usize::from).sum::<usize>() % 7;
    for step in 0..steps {
        turn.check()?;
        match step % 3 {
            0 => learn(turn.message(format!("{text}, step {step}"))?),
            1 => {
                let call = turn.tool_call("look", "{}")?;
                if steps != 5 {
                    learn(turn.tool_result(&call, format!("found {step}"))?);
                }
            }
            _ => turn.record_usage(parlor::Usage { input: 1, ..parlor::Usage::ZERO })?,
        }
    }
    match steps {
        3 => Err("it fails".into()),
        4 => Ok(().into()),
        _ => Ok(format!("{text}, done").into()),
    }
}

/// Whether an answer is one of those that a sound engine gives to somebody who did not look first.
fn is_refused<T>(answer: &Result<T>) -> bool {
    let kinds = [ErrorKind::Conflict, ErrorKind::BadRequest, ErrorKind::NotFound, ErrorKind::Overloaded];
    answer.as_ref().is_err_and(|error| kinds.contains(&error.kind()))
}

fn passed<T>(answer: Result<T>) -> Result<Option<T>> {
    if is_refused(&answer) { Ok(None) } else { answer.map(Some) }
}

/// Sends to a session of its own, with every policy, and to what it has sent.
pub fn send(session: &Session, facts: &Facts, random: &mut Random, steps: u64, waits: bool) -> Went {
    let mut turns: Vec<TurnHandle> = Vec::new();
    for step in 0..steps {
        let text = format!("{} {step}", random.below(1000));
        let policies = [Policy::Reject, Policy::FollowUp, Policy::Interrupt, Policy::Enqueue, Policy::Rollback];
        let policy = random.pick(&policies).unwrap_or(Policy::Reject);
        match random.below(12) {
            0..=5 => {
                if let Some(turn) = passed(session.send_with(policy, text))? {
                    facts.learn(Fact::Turn(session.id(), turn.id()));
                    turns.push(turn);
                }
            }
            6 => {
                let written = passed(session.append([text, "and more".repeat(random.below(600) as usize)]))?;
                let written = written.into_iter().flatten();
                written.for_each(|message| facts.learn(Fact::Message(session.id(), Box::new(message))));
            }
            7 if random.one_in(2) => drop(session.purge()?),
            7 => drop(session.rename(Some(&text))?),
            8 => drop(session.interrupt()?),
            9 if random.one_in(2) => drop(session.stop()?),
            9 => {
                if let Some(turn) = turns.last() {
                    passed(session.cancel(turn.id()))?;
                }
            }
            _ if waits => {
                if let Some(turn) = turns.pop() {
                    let ended = turn.wait()?;
                    facts.learn(Fact::Ended(session.id(), Box::new(ended.turn)));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Follows a session until the engine is closed or fails.
pub fn follow(session: &Session, facts: &Facts) {
    let mut follow = session.follow(0);
    while !follow.is_ended() {
        // What fails is told before the end, as is that it was closed before all was told.
        if let Some(Ok(change)) = follow.next_timeout(Duration::from_secs(600)) {
            facts.learn(Fact::Told(session.id(), change));
        }
    }
}

/// Reads pages of sessions, in turn, until it is told to stop.
pub fn read(sessions: &[Session], facts: &Facts, stop: &AtomicBool, random: &mut Random) {
    while !stop.load(Ordering::SeqCst) {
        let Some(session) = sessions.get(random.below(sessions.len() as u64) as usize) else { return };
        let query = MessageQuery::all()
            .limit(20)
            .direction(random.pick(&[Direction::Asc, Direction::Desc]).unwrap_or(Direction::Asc));
        // What cannot be read shows nothing.
        let Ok(page) = session.messages(query.page(1 + random.below(4))).page() else { continue };
        if facts.count() > 4_000 {
            return;
        }
        page.items.into_iter().for_each(|message| facts.learn(Fact::Message(session.id(), Box::new(message))));
    }
}

/// Moves whole sessions, and looks after the file.
pub struct Operator<'o> {
    pub engine: &'o Engine,
    pub facts: &'o Facts,
    pub random: Random,
    /// Where backups go.
    pub directory: &'o Path,
}

impl Operator<'_> {
    pub fn work(&mut self, steps: u64) -> Went {
        let agent = self.engine.workspace(WORKSPACE)?.agent("desk")?;
        for _ in 0..steps {
            match self.random.below(8) {
                0..=4 => self.move_session(&agent)?,
                5 => {
                    passed(self.engine.compact())?;
                }
                6 => self.back_up()?,
                _ if self.random.one_in(2) => self.import()?,
                _ => self.retain()?,
            }
        }
        Ok(())
    }

    /// Does this to a session, which then stands so.
    fn step<T>(&self, session: SessionId, life: Life, step: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        self.facts.submit(session, life);
        let done = step();
        match &done {
            Ok(_) => self.facts.acknowledge(session, None),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
            Err(_) => self.facts.withdraw(session),
        }
        passed(done)
    }

    /// A session goes through all that one can.
    fn move_session(&mut self, agent: &AgentHandle) -> Went {
        let id = SessionId::from_uuid(Uuid::from_u64_pair(self.random.next() | 1, self.random.next()));
        self.step(id, Life::Live(Vec::new()), || agent.create_session(NewSession::default().id(id)))?;
        let session = agent.session(id)?;
        let texts: Vec<_> =
            (0..1 + self.random.below(5)).map(|nth| format!("{nth} {}", self.random.below(1000))).collect();
        let written = self.step(id, Life::Live(texts.clone()), || session.append(texts.clone()))?;
        let last = written.and_then(|written| written.last().map(|message| message.id));
        if let Some(last) = last.filter(|_| self.random.one_in(3)) {
            let fork = SessionId::from_uuid(Uuid::from_u64_pair(self.random.next() | 1, self.random.next()));
            self.step(fork, Life::Live(texts.clone()), || session.fork(last, NewSession::default().id(fork)))?;
        }
        if self.random.one_in(4) {
            return self.step(id, Life::Gone, || session.delete()).map(drop);
        }
        let Some(archive) = self.step(id, Life::Archived(None), || session.archive())? else { return Ok(()) };
        self.facts.acknowledge(id, Some(Life::Archived(Some(archive.filename().to_owned()))));
        match self.random.below(4) {
            0 => self.step(id, Life::Gone, || archive.delete()).map(drop),
            1 => self.step(id, Life::Live(texts), || archive.restore()).map(drop),
            _ => self.hand_on(agent, id, &archive),
        }
    }

    /// An archive leaves as a stream and comes back as one.
    fn hand_on(&self, agent: &AgentHandle, id: SessionId, archive: &Archive) -> Went {
        let mut stream = Vec::new();
        archive.export(&mut stream)?;
        self.step(id, Life::Gone, || archive.delete())?;
        self.step(id, Life::Archived(None), || agent.import_archive(&*stream, ImportIds::Keep)).map(drop)
    }

    /// The copy opens, and is whole.
    fn back_up(&mut self) -> Went {
        let path =
            self.directory.join(format!("{}.parlor", Uuid::from_u64_pair(self.random.next(), self.random.next())));
        self.engine.backup(&path)?;
        let copy = redb_store_in_blocks(&path, SimulatedDisk::BLOCK)?;
        assert_eq!(copy.verify()?, Vec::<String>::new(), "a backup is whole");
        copy.close()?;
        std::fs::remove_file(&path).map_err(|error| panic!("{error}"))
    }

    /// Of a workspace the newest session is kept.
    fn retain(&mut self) -> Went {
        let name = format!("to be kept {}", self.random.next());
        let workspace = self.engine.workspace(&name)?;
        let agent = workspace.agent("desk")?;
        for _ in 0..3 {
            agent.create_session(NewSession::default())?;
        }
        let what = if self.random.one_in(2) { Retention::archive() } else { Retention::delete() };
        let report = self.engine.retain(what.workspace(workspace.id()).keep_newest(1))?;
        assert_eq!((report.archived + report.deleted, report.busy + report.changed), (2, 0), "{report:?}");
        self.facts.learn(Fact::Holds(name, 1));
        Ok(())
    }

    /// A workspace of another engine comes in as lines.
    fn import(&mut self) -> Went {
        let name = format!("from elsewhere {}", self.random.next());
        let other = Engine::in_memory().open()?;
        let agent = other.workspace(&name)?.agent("desk")?;
        let count = 1 + self.random.below(3);
        for _ in 0..count {
            agent.create_session(NewSession::default())?.append(["one", "two"])?;
        }
        let mut lines = Vec::new();
        other.export(&mut lines)?;
        other.close()?;
        self.engine.import(BufReader::new(&*lines), ImportOptions::default())?;
        self.facts.learn(Fact::Holds(name, count));
        self.engine.export(sink()).map(drop)
    }
}
