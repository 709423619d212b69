//! How long after an interrupt was accepted the old agent can know of it.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use parlor::{AgentResult, Engine, NewSession, Session, TurnContext};

use crate::line::{Better, Line};
use crate::measure::quantile;
use crate::peer::Result;
use crate::run::Run;

/// From the moment that anyone can read that the turn was interrupted until its token has tripped. The
/// agent looks at both again and again.
pub fn of_an_agent(run: &mut Run<'_>) -> Result {
    let work = "interrupt accepted to the old agent's token trips, p99";
    if !run.wants(work) {
        return Ok(());
    }
    let (started, starts) = channel();
    let (tell, told) = channel();
    let tell = Mutex::new((started, tell));
    let session: Arc<OnceLock<Session>> = Arc::default();
    let seen_by_agent = Arc::clone(&session);
    let engine = Engine::builder(run.directory.join("interrupt.parlor"))
        .agent_fn("looks", move |turn| {
            let (started, tell) = tell.lock().map_err(|_| "poisoned")?.clone();
            started.send(())?;
            let session = seen_by_agent.get().ok_or("no session yet")?;
            tell.send(interrupted(turn, session)?)?;
            Ok(())
        })
        .open()?;
    let made = engine.workspace("rivals")?.agent("looks")?.create_session(NewSession::default())?;
    let session = session.get_or_init(|| made);
    let count = run.size.samples();
    let mut delays = Vec::with_capacity(count);
    session.send("hello")?;
    starts.recv()?;
    while delays.len() < count {
        session.follow_up("no, this")?;
        delays.push(told.recv()?);
        starts.recv()?;
    }
    // Closing interrupts the last one.
    engine.close()?;
    let workload = format!("{count} follow-ups in one session, an agent that looks all the time");
    let line = Line::new(work, "ms", Better::Less).on(workload, "32 MiB, the default");
    run.push(line.measured([("parlor".to_owned(), quantile(&mut delays, 0.99))]).at_most(1.0, 0.2))
}

/// Looks until the turn was interrupted and the token says so: milliseconds between the two.
fn interrupted(turn: &TurnContext, session: &Session) -> AgentResult<f64> {
    let handle = session.turn(turn.turn().id)?;
    let (mut accepted, mut tripped) = (None, None);
    loop {
        if tripped.is_none() && turn.is_cancelled() {
            tripped = Some(Instant::now());
        }
        if accepted.is_none() && (tripped.is_some() || handle.get()?.state.is_terminal()) {
            accepted = Some(Instant::now());
        }
        if let (Some(accepted), Some(tripped)) = (accepted, tripped) {
            return Ok(tripped.saturating_duration_since(accepted).as_secs_f64() * 1e3);
        }
        std::thread::yield_now();
    }
}
