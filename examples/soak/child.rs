//! The process that lives dangerously: an engine, those who send to it, and a note on standard output of everything that
//! it acknowledged.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, panic, process, thread};

use parlor::id::{SessionId, TurnId};
use parlor::testkit::{Bug, plant};
use parlor::{Engine, NewSession, QueueBounds, Session};

use crate::Failure;
use crate::part::{self, PANIC, pause};
use crate::random::Random;
use crate::sender::Sender;

pub const WORKSPACE: &str = "soak";
pub const AGENT: &str = "soak";
pub const SESSIONS: usize = 64;
/// Those of them that have half of the sends.
pub const BUSY_SESSIONS: usize = 8;
pub const SENDERS: usize = 8;
/// Fewer than sessions, so that turns wait for a worker too.
pub const WORKERS: usize = 24;
pub const ABANDONED: usize = 8;
/// Turns that wait in a session.
const QUEUE: u32 = 12;
/// All sessions are idle so soon after the last send: a full queue of the longest turns, several times over.
const DRAIN: Duration = Duration::from_secs(40);
/// How often the process tells how it stands.
const EVERY: Duration = Duration::from_millis(100);

/// The key of a session.
pub fn key(number: usize) -> String {
    format!("soak-{number:02}")
}

/// Lines on standard output: one write each, so that a kill leaves whole ones.
#[derive(Default)]
pub struct Notes(Mutex<()>);

impl Notes {
    fn line(&self, text: &str) {
        let _alone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        // Where nobody reads any more there is nobody to do this for.
        if out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
            process::exit(1);
        }
    }

    /// A send has returned with this turn.
    pub fn accepted(&self, session: SessionId, turn: TurnId) {
        self.line(&format!("accepted {session} {turn}"));
    }

    /// Something is not as it must be.
    pub fn breach(&self, what: impl std::fmt::Display) {
        self.line(&format!("breach {what}"));
    }
}

/// What the senders count.
#[derive(Default)]
pub struct Counts {
    pub busy: AtomicU64,
    pub overloaded: AtomicU64,
    pub asked: AtomicU64,
}

/// Lives until it is killed, or told to drain.
pub fn live(file: &Path, seed: u64, bug: Option<Bug>) -> Result<(), Failure> {
    plant(bug);
    quiet_panics();
    let notes: &'static Notes = Box::leak(Box::default());
    let counts = Counts::default();
    let engine = open(file, notes)?;
    let sessions = sessions(&engine)?;
    let mut random = Random::new(seed);
    let (draining, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                tell(&engine, &counts, notes);
                pause(EVERY);
            }
        });
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| Sender::new(&sessions, notes, &counts, random.fork()))
            .map(|sender| scope.spawn(|| sender.send_until(&draining)))
            .collect();
        wait_for("drain");
        draining.store(true, Ordering::SeqCst);
        for sender in senders {
            sender.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        }
        drain(&engine, &sessions, notes);
        over.store(true, Ordering::SeqCst);
    });
    let report = engine.close_within(DRAIN)?;
    if (report.interrupted, report.abandoned) != (0, 0) {
        notes.breach(format_args!("all was idle, and closing had {report:?} to do"));
    }
    notes.line("closed");
    Ok(())
}

fn open(file: &Path, notes: &'static Notes) -> parlor::Result<Engine> {
    let began = Instant::now();
    let engine = Engine::builder(file)
        .workers(WORKERS)
        .abandoned(ABANDONED)
        .grace(part::GRACE)
        .time_limit(part::TIME_LIMIT)
        .attempts(2)
        .session_queue(QueueBounds { turns: QUEUE, ..QueueBounds::default() })
        // What grows is not to be the cache.
        .cache_bytes(8 << 20)
        .agent_fn(AGENT, move |turn| part::play(turn, notes))
        .open()?;
    notes.line(&format!("opened {}", began.elapsed().as_micros()));
    Ok(engine)
}

fn sessions(engine: &Engine) -> parlor::Result<Vec<Session>> {
    let agent = engine.workspace(WORKSPACE)?.agent(AGENT)?;
    let one = |number| match agent.session_by_key(&key(number)) {
        Err(error) if error.is_not_found() => agent.create_session(NewSession::default().key(key(number))),
        found => found,
    };
    (0..SESSIONS).map(one).collect()
}

/// Nobody sends any more: every session becomes idle, and every agent that was left behind returns.
fn drain(engine: &Engine, sessions: &[Session], notes: &Notes) {
    let began = Instant::now();
    let left = || DRAIN.saturating_sub(began.elapsed());
    for (number, session) in sessions.iter().enumerate() {
        match session.idle().wait_timeout(left()) {
            Ok(record) if record.running_turn.is_none() && record.queued_turns == 0 => {}
            Ok(record) => notes.breach(format_args!(
                "session {number} is not idle after {DRAIN:?}: running {:?}, queued {}",
                record.running_turn, record.queued_turns
            )),
            Err(error) => notes.breach(format_args!("session {number} cannot be waited for: {error}")),
        }
    }
    let at_rest = |engine: &Engine| {
        let stats = engine.stats();
        (stats.abandoned, stats.running, stats.waiting_turns) == (0, 0, 0)
    };
    while !at_rest(engine) && !left().is_zero() {
        pause(part::GRACE);
    }
    if !at_rest(engine) {
        notes.breach(format_args!("all is idle, and the engine is at work: {:?}", engine.stats()));
    }
    notes.line(&format!("drained {}", began.elapsed().as_micros()));
}

/// One line of numbers, which [`Sample`](crate::life::Sample) reads.
fn tell(engine: &Engine, counts: &Counts, notes: &Notes) {
    let stats = engine.stats();
    let [busy, overloaded, asked] =
        [&counts.busy, &counts.overloaded, &counts.asked].map(|count| count.load(Ordering::Relaxed));
    let (memory, threads) = (status("VmRSS:"), status("Threads:"));
    let (abandoned, retired) = (stats.abandoned, stats.retired);
    notes.line(&format!("sample {memory} {threads} {abandoned} {retired} {asked} {busy} {overloaded}"));
}

/// A number of this process's, as Linux tells it; 0 elsewhere.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Waits until the parent says this. When it is gone, so is this process.
fn wait_for(word: &str) {
    for line in io::stdin().lock().lines() {
        if line.is_ok_and(|line| line == word) {
            return;
        }
    }
    process::exit(1);
}

/// Agents panic on purpose; every other panic is reported.
fn quiet_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&PANIC) {
            report(info);
        }
    }));
}
