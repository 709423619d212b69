//! Who uses an engine at once: senders, those who wait, followers, and a reader of pages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use parlor::page::{Direction, MessageQuery};
use parlor::store::Policy;
use parlor::{Error, ErrorKind, Message, Result, Session, TurnContext, TurnHandle, TurnReport};

use super::facts::{Fact, Facts};
use crate::suite::random::Random;

/// What went wrong, where that ends what somebody does.
pub type Went = Result<()>;

/// Longer than anything takes that comes to an end.
const LONG: Duration = Duration::from_secs(600);

/// Runs the turns: says something, calls a tool, and now and then goes on until it is told to stop.
pub fn agent(turn: &TurnContext, facts: &Facts) -> parlor::AgentResult {
    let id = turn.session_id();
    let text = turn.input().text();
    let learn = |message: Message| facts.learn(Fact::Message(id, Box::new(message)));
    let steps = text.bytes().map(usize::from).sum::<usize>() % 7;
    for step in 0..steps {
        turn.check()?;
        match step % 3 {
            0 => {
                learn(turn.message(format!("{text}, step {step}"))?);
                facts.done("message");
            }
            1 => {
                let call = turn.tool_call("look", "{}")?;
                facts.done("tool call");
                if steps != 5 {
                    learn(turn.tool_result(&call, format!("found {step}"))?);
                }
            }
            _ => {
                turn.record_usage(parlor::Usage { input: 1, ..parlor::Usage::ZERO })?;
                facts.done("usage");
            }
        }
    }
    match steps {
        3 => Err("it fails".into()),
        4 => Ok(().into()),
        _ => Ok(format!("{text}, done").into()),
    }
}

/// An answer; none where it was refused in one of the ways in which it may be here.
pub fn unless<T>(facts: &Facts, what: &'static str, may: &[ErrorKind], answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if may.contains(&error.kind()) => {
            facts.refused(what);
            Ok(None)
        }
        answer => done(facts, what, answer).map(Some),
    }
}

/// An answer to what nothing is in the way of.
pub fn done<T>(facts: &Facts, what: &'static str, answer: Result<T>) -> Result<T> {
    answer.inspect(|_| facts.done(what))
}

/// How turns are waited for.
#[derive(Clone, Copy)]
pub enum Waits<'w> {
    /// By who sent them, before sending more.
    Inline,
    /// By somebody beside, until the engine is closed: where the storage fails, a turn may never end.
    Beside(&'w Waiters),
}

/// Who waits beside.
#[derive(Default)]
pub struct Waiters(Mutex<Vec<Receiver<Result<TurnReport>>>>);

impl Waiters {
    fn wait(&self, turn: TurnHandle) {
        let (tell, told) = channel();
        // Nobody may be left to tell it to.
        thread::spawn(move || drop(tell.send(turn.wait())));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    /// All have come back, once the engine is closed. What they were told but ends, and that it was closed before the end.
    pub fn join(self, facts: &Facts) -> Vec<Error> {
        let all = self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
        let came = all.map(|told| told.recv_timeout(LONG).expect("who waits comes back when the engine is closed"));
        let ended = came.map(|told| -> Went {
            let report = done(facts, "waited beside", told)?;
            facts.learn(Fact::Ended(report.turn.session_id, Box::new(report.turn)));
            Ok(())
        });
        let errors: Vec<Error> = ended.filter_map(Result::err).collect();
        errors.iter().for_each(|_| facts.refused("waited beside"));
        errors.into_iter().filter(|error| error.kind() != ErrorKind::Closed).collect()
    }
}

/// Sends to a session of its own, with every policy, and to what it has sent.
pub struct Sender<'s> {
    session: &'s Session,
    facts: &'s Facts,
    random: Random,
    waits: Waits<'s>,
    turns: Vec<TurnHandle>,
    /// Whether the session ever had a message, and a turn, that somebody was told of.
    has_messages: bool,
    has_turns: bool,
}

const SENDS: [(Policy, &str); 5] = [
    (Policy::Reject, "send"),
    (Policy::FollowUp, "follow up"),
    (Policy::Interrupt, "send and interrupt"),
    (Policy::Enqueue, "enqueue"),
    (Policy::Rollback, "send and roll back"),
];

impl<'s> Sender<'s> {
    pub fn new(session: &'s Session, facts: &'s Facts, random: Random, waits: Waits<'s>) -> Result<Self> {
        let has_messages = session.get()?.last_message > 0;
        let has_turns = session.turns(1)?.meta.total > 0;
        Ok(Sender { session, facts, random, waits, turns: Vec::new(), has_messages, has_turns })
    }

    pub fn work(mut self, steps: u64) -> Went {
        (0..steps).try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: u64) -> Went {
        let (session, facts) = (self.session, self.facts);
        let text = format!("{} {step}", self.random.below(1000));
        match self.random.below(12) {
            0..=5 => self.send(text),
            6 => self.append(text),
            7 if self.random.one_in(2) => done(facts, "purge", session.purge()).map(drop),
            7 => done(facts, "rename", session.rename(Some(&text))).map(drop),
            8 => done(facts, "interrupt", session.interrupt()).map(drop),
            9 if self.random.one_in(2) => done(facts, "stop", session.stop()).map(drop),
            9 => match self.turns.last() {
                // It runs, or has ended.
                Some(turn) => unless(facts, "cancel", &[ErrorKind::Conflict], session.cancel(turn.id())).map(drop),
                None => Ok(()),
            },
            _ => self.wait(),
        }
    }

    fn send(&mut self, text: String) -> Went {
        let (policy, what) = self.random.pick(&SENDS).unwrap_or(SENDS[0]);
        let may: &[ErrorKind] = match policy {
            Policy::Reject if self.has_turns => &[ErrorKind::Conflict],
            Policy::FollowUp if !self.has_messages => &[ErrorKind::BadRequest],
            _ => &[],
        };
        let answer = self.session.send_with(policy, text);
        assert!(may != [ErrorKind::BadRequest] || answer.is_err(), "a follow-up where nothing was ever said");
        if let Some(turn) = unless(self.facts, what, may, answer)? {
            self.facts.learn(Fact::Turn(self.session.id(), turn.id()));
            self.turns.push(turn);
            (self.has_messages, self.has_turns) = (true, true);
        }
        Ok(())
    }

    fn append(&mut self, text: String) -> Went {
        let may: &[ErrorKind] = if self.has_turns { &[ErrorKind::Conflict] } else { &[] };
        let more = "and more".repeat(self.random.below(600) as usize);
        let written = unless(self.facts, "append", may, self.session.append([text, more]))?;
        self.has_messages |= written.is_some();
        let written = written.into_iter().flatten();
        written.for_each(|message| self.facts.learn(Fact::Message(self.session.id(), Box::new(message))));
        Ok(())
    }

    fn wait(&mut self) -> Went {
        let Some(turn) = self.turns.pop() else { return Ok(()) };
        match self.waits {
            Waits::Inline => {
                let ended = done(self.facts, "wait", turn.wait())?;
                self.facts.learn(Fact::Ended(self.session.id(), Box::new(ended.turn)));
            }
            Waits::Beside(waiters) => waiters.wait(turn),
        }
        Ok(())
    }
}

/// Follows a session until the engine is closed or fails. What it was told of but events; that it was closed before all was
/// told is one of the ways to end.
pub fn follow(session: &Session, facts: &Facts) -> Vec<Error> {
    let (mut follow, mut last, mut errors) = (session.follow(0), 0, Vec::new());
    while !follow.is_ended() {
        match follow.next_timeout(LONG) {
            Some(Ok(change)) => {
                assert_eq!(change.number, last + 1, "a follower is told of each event in turn");
                last = change.number;
                facts.learn(Fact::Told(session.id(), change));
                facts.done("follow");
            }
            Some(Err(error)) if error.kind() == ErrorKind::Closed => assert!(follow.is_ended(), "it says {error:?}"),
            Some(Err(error)) => errors.push(error),
            None => {}
        }
    }
    errors
}

/// Reads pages of sessions, in turn, until it is told to stop.
pub fn read(sessions: &[Session], facts: &Facts, stop: &AtomicBool, random: &mut Random) -> Went {
    for _ in 0..200 {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let Some(session) = sessions.get(random.below(sessions.len() as u64) as usize) else { break };
        let direction = random.pick(&[Direction::Asc, Direction::Desc]).unwrap_or(Direction::Asc);
        let query = MessageQuery::all().limit(20).direction(direction);
        let page = done(facts, "page", session.messages(query.page(1 + random.below(4))).page())?;
        let is_in_order = page.items.is_sorted_by(|one, other| match direction {
            Direction::Asc => one.number < other.number,
            _ => one.number > other.number,
        });
        assert!(is_in_order && page.meta.total >= page.items.len() as u64, "{direction:?}: {page:?}");
        page.items.into_iter().for_each(|message| facts.learn(Fact::Message(session.id(), Box::new(message))));
    }
    Ok(())
}
