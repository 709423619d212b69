//! One turn, from its agent's start to its one end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Admission;
use super::hook::{Hook, TurnEnd};
use super::schedule::{Job, Live, WorkerNumber};
use super::worker::Pool;
use crate::agent::{Agent, Cause, Feed, TakesTurns, TurnContext};
use crate::bell::Event;
use crate::bug::{Bug, is_planted};
use crate::error::{Error, ErrorKind, Result};
use crate::here;
use crate::record::{NewMessage, Reason, Usage};
use crate::shared::{Shared, Verdict};
use crate::store::{Behaviour, Finish, Finished, Outcome, Promote, Runner, Runners, Started};
use crate::sync::Arc;
use crate::time::Duration;
use crate::trace::TurnSpan;

/// Runs the agent of a turn, and ends the turn. The caller holds no lock.
pub(super) fn run(pool: &Arc<Pool>, worker: WorkerNumber, job: Job) {
    let shared = &pool.shared;
    let live = Live::of(&job);
    // Between the store's answer and this thread, a later turn may have ended this one.
    let over = match shared.store().turn(live.at, live.claim.turn) {
        Ok(turn) => turn.state.is_terminal(),
        // Or its session was deleted, which is refused while a turn of it runs.
        Err(error) => error.is_not_found(),
    };
    if !over {
        let span = TurnSpan::new(shared, live.at, &job.turn);
        span.within(|| {
            let outcome = outcome(pool, worker, job, &live);
            span.ends(&outcome);
            end(pool, &live, outcome);
            span.used(shared, live.at, live.claim.turn);
        });
    }
}

/// How the turn ends by what its agent does.
fn outcome(pool: &Arc<Pool>, worker: WorkerNumber, job: Job, live: &Live) -> Outcome {
    let limit = pool.time_limit(live);
    if live.token.is_tripped() {
        return cut_short(live, limit);
    }
    let Job { at, agent_id, claim, turn, input, agent, token, load: _ } = job;
    let started_at = token.start(pool.shared.clock.now());
    if let Some(limit) = limit {
        pool.limit(worker, limit);
    }
    let shared = Arc::clone(&pool.shared);
    let feed = Feed::new(Arc::clone(&agent), Arc::clone(pool) as Arc<dyn TakesTurns>);
    let context = TurnContext { shared, at, agent: agent_id, claim, turn, input, token, feed, started_at };
    let _inside = here::enter(at, claim);
    match call(&*agent, &context) {
        Returned::Reply(reply) => Outcome::Completed(reply),
        Returned::Error(_) if live.token.is_tripped() => cut_short(live, limit),
        Returned::Error(text) => Outcome::Failed(Reason::Error, Some(text)),
        Returned::Panic(text) => Outcome::Failed(Reason::Panic, Some(text)),
    }
}

/// How a turn ends whose agent was told to stop, or whose worker was lost.
fn cut_short(live: &Live, limit: Option<Duration>) -> Outcome {
    match live.token.cause() {
        // Told to stop by an engine that closes; one that another turn interrupted has ended before.
        Some(Cause::Closing | Cause::Over) => Outcome::Interrupted(Reason::Closed),
        Some(Cause::TimeLimit) => {
            let detail = limit.map(|limit| format!("a turn may run for {limit:?}"));
            Outcome::Failed(Reason::TimeLimit, detail)
        }
        None => Outcome::Failed(Reason::LostWorker, None),
    }
}

/// Ends a turn whose agent may not have returned.
pub(super) fn end_cut_short(pool: &Arc<Pool>, live: &Live) {
    end(pool, live, cut_short(live, pool.time_limit(live)));
}

/// Ends a turn whose worker was lost.
pub(super) fn end_lost(pool: &Arc<Pool>, live: &Live) {
    let lost = Lost { shared: &pool.shared, live };
    end_cut_short(pool, live);
    lost.forget();
}

/// Notices a second worker that unwinds with a turn in hand, for those who wait for the turn.
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

/// Tells a hook of an end: it is the user's code too, and runs on a thread of its own.
pub(super) fn tell(hook: &dyn Hook, end: &TurnEnd) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook.turn_ended(end))) {
        // The panic hook has reported it. What is left of it may panic when it is dropped.
        panic_text(payload);
    }
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
/// What is promoted in its place is taken in before a close can miss it; a pool that closes promotes nothing.
fn end(pool: &Arc<Pool>, live: &Live, outcome: Outcome) {
    let (shared, place) = (&*pool.shared, Admission::of_next(pool, live.at));
    let apart = is_planted(Bug::PromotedApart);
    let next = place.as_ref().filter(|_| !apart && !shared.is_paused()).map(|_| shared.runner(Behaviour::Registered));
    // What it was just saying is over with it; nobody is told of that after the end.
    shared.texts.hold(live.at, &live.claim);
    if is_planted(Bug::WokenEarly) {
        shared.bell.ring(live.at, live.agent_id, Event::Ended);
    }
    let ended = match finish(shared, live, outcome, next) {
        // What the agent answered cannot stand: the turn ends all the same.
        Err(error) if is_of_content(&error) => {
            finish(shared, live, Outcome::Failed(Reason::Error, Some(error.to_string())), next)
        }
        answer => answer,
    };
    shared.texts.end(live.at, &live.claim);
    match ended {
        // Nothing was written here: who ended the turn, or deleted its session, rings for it.
        Err(error) if error.is_fenced() || error.is_not_found() => return,
        Err(error) if error.kind() != ErrorKind::Closed => {
            shared.judge(live.claim.turn, Verdict::Lost(error.kind(), error.to_string()));
        }
        Err(_) => {}
        Ok(Finished { next, .. }) => {
            pool.announce(live);
            let next = if apart { promote_apart(shared, live) } else { next };
            if let Some(started) = next {
                pool.accept_next(Job::of(*started, Arc::clone(&live.agent)), live.claim.turn);
            }
        }
    }
    if !is_planted(Bug::WokenEarly) {
        shared.bell.ring(live.at, live.agent_id, Event::Ended);
    }
}

/// The fault [`Bug::PromotedApart`].
fn promote_apart(shared: &Shared, live: &Live) -> Option<Box<Started>> {
    let agents = [shared.store().session(live.at).ok()?.agent_name].into();
    let runners = Runners { owner: shared.owner(), lease: None, agents };
    let started = shared.store().promote(Promote { stamp: shared.stamp(), runners, limit: 1 }).ok()?;
    started.into_iter().next().map(Box::new)
}

fn is_of_content(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::Conflict)
}

/// Who ended a turn while the engine closed.
pub(super) enum Closed {
    /// The close did.
    Here,
    /// Its agent, another turn, or a deletion was faster.
    Elsewhere,
}

/// Ends a turn because the engine closes, and keeps how it ended for those who wait for it: the
/// store may be closed before they read it.
pub(super) fn close(pool: &Pool, live: &Live) -> Result<Closed> {
    let shared = &*pool.shared;
    let (closed, ended) = match finish(shared, live, Outcome::Interrupted(Reason::Closed), None) {
        Err(error) if error.is_fenced() => (Closed::Elsewhere, shared.store().turn(live.at, live.claim.turn)),
        ended => (Closed::Here, ended.map(|finished| finished.turn)),
    };
    let turn = match ended {
        // Its session was deleted after that: there is nothing to tell.
        Err(error) if error.is_not_found() => return Ok(Closed::Elsewhere),
        ended => ended?,
    };
    if matches!(closed, Closed::Here) {
        pool.announce(live);
    }
    shared.texts.end(live.at, &live.claim);
    let reply = shared.reply_of(live.at, &turn)?.map(Box::new);
    shared.judge(turn.id, Verdict::Ended(Box::new(turn), reply));
    shared.bell.ring(live.at, live.agent_id, Event::Ended);
    Ok(closed)
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
