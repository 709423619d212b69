//! One turn, from its agent's start to its one end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Admission;
use super::schedule::{Job, Live};
use super::worker::Pool;
use crate::agent::{Agent, TurnContext};
use crate::bell::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{NewMessage, Reason, Usage};
use crate::shared::{Shared, Verdict};
use crate::store::{Behaviour, Finish, Finished, Outcome, Runner};
use crate::sync::Arc;

/// Runs the agent of a turn, and ends the turn. The caller holds no lock.
pub(super) fn run(pool: &Arc<Pool>, job: Job) {
    let (shared, live) = (&pool.shared, Live::of(&job));
    let lost = Lost { shared, live: &live };
    // Between the store's answer and this thread, a later turn may have ended this one.
    let over = match shared.store().turn(live.at, live.claim.turn) {
        Ok(turn) => turn.state.is_terminal(),
        // Or its session was deleted, which is refused while a turn of it runs.
        Err(error) => error.is_not_found(),
    };
    if !over {
        let outcome = outcome(shared, job, &live);
        end(pool, &live, outcome);
    }
    lost.forget();
}

/// How the turn ends by what its agent does.
fn outcome(shared: &Arc<Shared>, job: Job, live: &Live) -> Outcome {
    // Told to stop by an engine that closes; one that another turn interrupted has ended before.
    let closed = Outcome::Interrupted(Reason::Closed);
    if live.token.is_tripped() {
        return closed;
    }
    let Job { at, agent_id, claim, turn, input, agent, token } = job;
    let started_at = token.start(shared.clock.now());
    let context =
        TurnContext { shared: Arc::clone(shared), at, agent: agent_id, claim, turn, input, token, started_at };
    match call(&*agent, &context) {
        Returned::Reply(reply) => Outcome::Completed(reply),
        Returned::Error(_) if live.token.is_tripped() => closed,
        Returned::Error(text) => Outcome::Failed(Reason::Error, Some(text)),
        Returned::Panic(text) => Outcome::Failed(Reason::Panic, Some(text)),
    }
}

/// Notices a worker that unwinds with a turn in hand, for those who wait for the turn.
struct Lost<'a> {
    shared: &'a Shared,
    live: &'a Live,
}

impl Lost<'_> {
    /// The turn ended as it should.
    fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        let turn = self.live.claim.turn;
        let text = format!("the worker of turn {turn} panicked in the storage");
        self.shared.judge(turn, Verdict::Lost(ErrorKind::Storage, text));
        self.shared.bell.ring(self.live.at, self.live.agent_id, Event::Ended);
    }
}

/// How an agent came back.
enum Returned {
    Reply(Option<Box<NewMessage>>),
    Error(String),
    Panic(String),
}

/// Calls the agent: the only place that runs a user's code on a worker, and that catches its panic.
fn call(agent: &dyn Agent, context: &TurnContext) -> Returned {
    // The agent may leave its own state broken by a panic; that state is its own to guard.
    let returned = catch_unwind(AssertUnwindSafe(|| match agent.run(context) {
        Ok(reply) => Returned::Reply(reply.into_message()),
        // The error's text is the user's code too, and so is its drop.
        Err(error) => Returned::Error(error.to_string()),
    }));
    returned.unwrap_or_else(|payload| Returned::Panic(panic_text(payload)))
}

/// The text of a panic, as the standard library prints it.
fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => match other.downcast::<&'static str>() {
            Ok(text) => return (*text).to_owned(),
            Err(other) => {
                // A payload of the user's may panic in its drop; what that leaves is leaked.
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(other))) {
                    std::mem::forget(second);
                }
                "panic without a text"
            }
        },
    };
    text.to_owned()
}

/// Ends a turn by this outcome, or by the failure to write it. A turn that ended before stays as it ended.
///
/// What is promoted in its place is taken in before a close can miss it; an executor that closes promotes nothing.
fn end(pool: &Arc<Pool>, live: &Live, outcome: Outcome) {
    let (shared, place) = (&pool.shared, Admission::of_next(pool));
    let next = place.as_ref().map(|_| shared.runner(Behaviour::Registered));
    let ended = match finish(shared, live, outcome, next) {
        // What the agent answered cannot stand: the turn ends all the same.
        Err(error) if is_of_content(&error) => {
            finish(shared, live, Outcome::Failed(Reason::Error, Some(error.to_string())), next)
        }
        answer => answer,
    };
    match ended {
        Ok(Finished { next: Some(started), .. }) => pool.accept(Job::of(*started, Arc::clone(&live.agent))),
        Ok(_) => {}
        // Nothing was written here: who ended the turn, or deleted its session, rings for it.
        Err(error) if error.is_fenced() || error.is_not_found() => return,
        Err(error) if error.kind() != ErrorKind::Closed => {
            shared.judge(live.claim.turn, Verdict::Lost(error.kind(), error.to_string()));
        }
        Err(_) => {}
    }
    shared.bell.ring(live.at, live.agent_id, Event::Ended);
}

fn is_of_content(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::Conflict)
}

/// Ends a turn because the engine closes, and keeps how it ended for those who wait for it: the
/// store may be closed before they read it.
pub(super) fn close(shared: &Shared, live: &Live) -> Result<()> {
    let ended = finish(shared, live, Outcome::Interrupted(Reason::Closed), None);
    let ended = match ended {
        // Its agent, or another turn, was faster.
        Err(error) if error.is_fenced() => shared.store().turn(live.at, live.claim.turn),
        ended => ended.map(|finished| finished.turn),
    };
    let turn = match ended {
        // Its session was deleted after that: there is nothing to tell.
        Err(error) if error.is_not_found() => return Ok(()),
        ended => ended?,
    };
    let reply = shared.reply_of(live.at, &turn)?.map(Box::new);
    shared.judge(turn.id, Verdict::Ended(Box::new(turn), reply));
    shared.bell.ring(live.at, live.agent_id, Event::Ended);
    Ok(())
}

/// The one commit that ends a turn.
fn finish(shared: &Shared, live: &Live, outcome: Outcome, next: Option<Runner>) -> Result<Finished> {
    if let Outcome::Completed(Some(reply)) = &outcome {
        reply.check()?;
    }
    let (stamp, started_at) = (shared.stamp(), live.token.started_at());
    let (at, claim, usage) = (live.at, live.claim, Usage::ZERO);
    shared.store().finish(Finish { stamp, at, claim, started_at, outcome, usage, next })
}
