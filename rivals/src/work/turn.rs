//! Whole turns: send, an agent that answers at once, wait.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parlor::{Engine, NewMessage, NewSession, Session};

use crate::corpus::Draft;
use crate::line::{Better, Line};
use crate::measure::{Appends, Contender, all, interleaved, latency};
use crate::peer::floor::{FloorFile, Room};
use crate::peer::group::Direct;
use crate::peer::{Cache, Result, Writer};
use crate::rng::Rng;
use crate::run::Run;

/// Sessions that have turns, and threads that send.
const SESSIONS: usize = 64;
const SENDERS: usize = 8;

/// The workload in words.
const WORKLOAD: &str = "64 sessions of a file of their own, an agent that answers at once";

/// An engine with an agent that answers at once, and sessions of it.
struct Answering {
    engine: Engine,
    sessions: Vec<Session>,
}

impl Answering {
    fn open(directory: &Path) -> Result<Answering> {
        let engine = Engine::builder(directory.join("turns.parlor"))
            .cache_bytes(Cache::HOLDS)
            .agent_fn("answers", |_| Ok(NewMessage::text("done")))
            .open()?;
        let agent = engine.workspace("rivals")?.agent("answers")?;
        let sessions = (0..SESSIONS).map(|_| agent.create_session(NewSession::default()));
        let sessions = sessions.collect::<parlor::Result<_>>()?;
        Ok(Answering { engine, sessions })
    }
}

/// Turns, one after the other and many at once.
pub fn turns(run: &mut Run<'_>) -> Result {
    let [whole, many] = ["a whole turn: send, answer, wait; 1 thread", "turns, 64 sessions, 8 senders"];
    if !run.wants(whole) && !run.wants(many) {
        return Ok(());
    }
    let Answering { engine, sessions } = Answering::open(&run.directory)?;
    if run.wants(whole) {
        let line = one_after_the_other(run, whole, &sessions)?;
        run.push(line.times_floor(2.5, 1.6))?;
    }
    if run.wants(many) {
        let line = many_at_once(run, many, &sessions)?;
        run.push(line)?;
    }
    Ok(engine.close()?)
}

fn one_after_the_other(run: &mut Run<'_>, work: &str, sessions: &[Session]) -> Result<Line> {
    let floor = FloorFile::create(&run.directory.join("turn, floor"), Room::Preallocated)?;
    let (mut floor, mut choice, pool) = (Direct(floor), Rng::new(0), run.single.clone());
    let text = pool.first().and_then(|batch| batch.first()).map_or("", |draft| draft.text.as_str());
    let contenders = vec![
        Contender::new("parlor", |time| {
            let turn = || {
                let session = &sessions[choice.below(sessions.len() as u64) as usize];
                session.send(text)?.wait()?;
                Ok(())
            };
            Ok([latency(time, turn)?])
        }),
        // A turn is two commits.
        Contender::new("floor", |time| Ok([latency(time, || (0..2).try_for_each(|_| floor.append(0, &pool[0])))?])),
    ];
    let measured = interleaved(run.size.writing(), &mut run.rng, contenders)?;
    let line = Line::new(work, "µs", Better::Less).on(WORKLOAD, Cache::Holds.words());
    Ok(line.measured(measured.into_iter().map(|(name, [median])| (name, median))))
}

fn many_at_once(run: &mut Run<'_>, work: &str, sessions: &[Session]) -> Result<Line> {
    let (pool, done) = (run.single.clone(), AtomicU64::new(0));
    let appends = Appends { sessions: 0..SESSIONS as u32, pool: &pool };
    let mut writers: Vec<Box<dyn Writer + '_>> = Vec::new();
    writers.resize_with(SENDERS, || Box::new(Appending(sessions)));
    let contenders = vec![
        Contender::new("parlor", |time| Ok([send_and_wait(time, sessions)?])),
        Contender::new("appends", |time| Ok([appends.rate(time, 0, &mut writers, &done)?])),
    ];
    let measured = interleaved(run.size.writing(), &mut run.rng, contenders)?;
    let [turns, appends] = ["parlor", "appends"].map(|which| {
        let found = measured.iter().find(|(name, _)| name == which);
        found.map_or(0.0, |(_, [value])| *value)
    });
    let line = Line::new(work, "turns/s", Better::More).on(WORKLOAD, Cache::Holds.words());
    let line = line.measured([("parlor".to_owned(), turns), ("parlor, appends by 8 threads".to_owned(), appends)]);
    Ok(line.part_of("durable appends a second", appends, 0.35, 0.5))
}

/// Each sender has sessions of its own: it sends to all of them, and then waits for each. Turns a second.
fn send_and_wait(time: Duration, sessions: &[Session]) -> Result<f64> {
    let (began, turns) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let senders: Vec<_> = sessions
            .chunks(SESSIONS / SENDERS)
            .map(|own| {
                let turns = &turns;
                scope.spawn(move || {
                    while began.elapsed() < time {
                        let sent = own.iter().map(|session| session.send("hello"));
                        for turn in sent.collect::<parlor::Result<Vec<_>>>()? {
                            turn.wait()?;
                            turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        all(senders.into_iter().map(std::thread::ScopedJoinHandle::join))
    })?;
    Ok(turns.into_inner() as f64 / began.elapsed().as_secs_f64())
}

/// Appends to the same sessions, to compare turns with.
struct Appending<'a>(&'a [Session]);

impl Writer for Appending<'_> {
    fn append(&mut self, session: u32, drafts: &Arc<[Draft]>) -> Result {
        self.0[session as usize].append(drafts.iter().map(|draft| draft.text.as_str()))?;
        Ok(())
    }
}
