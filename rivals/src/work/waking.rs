//! How long after the commit a waiter wakes.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use parlor::{Engine, NewMessage, NewSession, TurnHandle};

use crate::line::{Better, Line};
use crate::measure::quantile;
use crate::peer::Result;
use crate::run::Run;

/// From the moment that anyone can read the turn's end until the thread that waits for it goes on.
/// Another thread reads again and again to see that moment, and so takes a processor of its own.
pub fn of_a_waiter(run: &mut Run<'_>) -> Result {
    let work = "waking a waiter after the commit, p99";
    if !run.wants(work) {
        return Ok(());
    }
    let (go, gate) = channel();
    let gate = Mutex::new(gate);
    let engine = Engine::builder(run.directory.join("waking.parlor"))
        .agent_fn("waits", move |_| {
            let gate = gate.lock().map_err(|_| "poisoned")?;
            gate.recv()?;
            Ok(NewMessage::text("done"))
        })
        .open()?;
    let session = engine.workspace("rivals")?.agent("waits")?.create_session(NewSession::default())?;
    let count = run.size.samples();
    let mut waits = Vec::with_capacity(count);
    let (watch, watched) = channel();
    let (tell, told) = channel();
    std::thread::scope(|scope| -> Result {
        let watcher = scope.spawn(move || see_ends(&watched, |seen| tell.send(seen).map_err(Into::into)));
        let measured = (|| {
            while waits.len() < count {
                let turn = session.send("hello")?;
                watch.send(turn.clone())?;
                go.send(())?;
                turn.wait()?;
                let woken = Instant::now();
                let seen = told.recv()?;
                waits.push(woken.saturating_duration_since(seen).as_secs_f64() * 1e6);
            }
            Ok(())
        })();
        drop(watch);
        watcher.join().map_err(|_| "the watcher panicked")?.and(measured)
    })?;
    engine.close()?;
    let workload = format!("{count} turns of one session, another thread watching for the commit");
    let line = Line::new(work, "µs", Better::Less).on(workload, "32 MiB, the default");
    run.push(line.measured([("parlor".to_owned(), quantile(&mut waits, 0.99))]).at_most(200.0, 50.0))
}

/// Tells of each turn when its end could first be read.
fn see_ends(turns: &Receiver<TurnHandle>, mut tell: impl FnMut(Instant) -> Result) -> Result {
    for turn in turns {
        while !turn.get()?.state.is_terminal() {
            std::thread::yield_now();
        }
        tell(Instant::now())?;
    }
    Ok(())
}
