//! Open, recover, run, close: [`Builder`] and [`Engine`].

mod access;
mod attached;
mod builder;
mod file;
mod lines;
mod pause;
mod retain;
#[cfg(feature = "testkit")]
mod simulated;

pub use builder::Builder;
pub use retain::{Retention, RetentionReport};

use std::fmt;
use std::path::Path;

use self::attached::Polling;
use self::pause::Paused;
use crate::delivery::Courier;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Report;
pub use crate::executor::Stats;
use crate::limit;
use crate::record::check_name;
use crate::record::{Turn, WebhookRow};
use crate::redb::RedbStore;
pub use crate::redb::{Durability, FileStats, TableStats};
use crate::scope::{Core, Door, Workspace};
use crate::shared::Phase;
use crate::store::EnsureWorkspace;
use crate::store::{OutboxPage, OutboxPlace, OutboxQuery, OutboxRows};
use crate::sync::{Arc, Mutex};
use crate::time::Duration;
use builder::Place;

/// An open file and the threads that run its agents: the one owner of both.
///
/// Everything else is reached through it, first of all a [`Workspace`]. [`close`](Self::close) ends it in
/// good order. Dropping it without waits for nothing: agents are told to stop, and what does not
/// end by itself is ended at the next open. The file is free again once the last handle and the last
/// agent are gone too.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("support.parlor");
/// use parlor::{Engine, NewSession};
///
/// let engine = Engine::builder(&path).agent_fn("greeter", |_| Ok("How can I help?")).open()?;
/// let session = engine.workspace("acme")?.agent("greeter")?.create_session(NewSession::default())?;
/// assert_eq!(session.send("hello")?.wait()?.text(), "How can I help?");
/// engine.close()?;
/// assert_eq!(session.send("hello").unwrap_err().kind(), parlor::ErrorKind::Closed);
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    core: Arc<Core>,
    grace: Duration,
    recovered: Vec<Turn>,
    /// The file, where the store is one of ours.
    file: Option<Arc<RedbStore>>,
    paused: Mutex<Option<Paused>>,
    delivery: Mutex<Option<Courier>>,
    /// Where another process writes.
    _polling: Option<Polling>,
    /// The process that opened it: a fork has none of its threads.
    process: u32,
}

impl Engine {
    /// How to open the file at this path.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::at(Place::File(path.as_ref().to_owned()))
    }

    /// How to open an engine that keeps everything in memory, and loses it when it is closed: for tests.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// let engine = parlor::Engine::in_memory().agent_fn("greeter", |_| Ok("Hi!")).open()?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// assert_eq!(session.send("hello")?.wait()?.text(), "Hi!");
    /// # engine.close()
    /// # }
    /// ```
    pub fn in_memory() -> Builder {
        Builder::at(Place::Memory)
    }

    /// The workspace of this name, 1 to 255 characters, made when it is missing.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn workspace(&self, name: &str) -> Result<Workspace> {
        check_name("workspace name", name)?;
        let op = EnsureWorkspace { stamp: self.core.shared.stamp(), name: name.to_owned() };
        Ok(Workspace::new(Door::trusted(&self.core), self.core.shared.open()?.ensure_workspace(op)?))
    }

    /// The workspace of this name, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a name out of bounds.
    pub fn find_workspace(&self, name: &str) -> Result<Option<Workspace>> {
        check_name("workspace name", name)?;
        let found = self.core.shared.open()?.find_workspace(name)?;
        Ok(found.map(|record| Workspace::new(Door::trusted(&self.core), record)))
    }

    /// The turns that a process that died left running, as this open ended them: *failed*, with
    /// the reason `crash`.
    pub fn recovered(&self) -> &[Turn] {
        &self.recovered
    }

    /// The ends of turns that wait to be announced, oldest session first, at most `limit`: 1 to
    /// [`limit::OUTBOX_LIMIT_MAX`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a limit out of bounds,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`Storage`](crate::ErrorKind::Storage) when they cannot be read.
    pub fn outbox(&self, limit: u32) -> Result<Vec<WebhookRow>> {
        check_outbox_limit(limit)?;
        self.core.shared.open()?.outbox(limit)
    }

    /// Announcements that failed for the last time, oldest session first, at most `limit`: 1 to
    /// [`limit::OUTBOX_LIMIT_MAX`]. The next page goes on where the one before says.
    /// [`Session::redrive`](crate::Session::redrive) has them tried again.
    ///
    /// # Errors
    ///
    /// Those of [`outbox`](Self::outbox).
    pub fn dead_letters(&self, after: impl Into<Option<OutboxPlace>>, limit: u32) -> Result<OutboxPage> {
        check_outbox_limit(limit)?;
        self.core.shared.open()?.outbox_page(OutboxQuery { rows: OutboxRows::Dead, after: after.into(), limit })
    }

    /// What the engine is at, in numbers.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// let engine = parlor::Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
    /// let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// assert_eq!(engine.stats().workers, 0, "they start on demand");
    /// session.send("hello")?.wait()?;
    /// assert_eq!((engine.stats().workers, engine.stats().abandoned), (1, 0));
    /// # engine.close()
    /// # }
    /// ```
    pub fn stats(&self) -> Stats {
        self.core.executor.stats()
    }

    /// Checks everything that must hold between the records of the file, and describes each
    /// breach: empty when all is well.
    ///
    /// # Errors
    ///
    /// [`Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    pub fn verify(&self) -> Result<Vec<String>> {
        self.core.shared.open()?.verify()
    }

    /// Takes no more work, ends the running turns as *interrupted* (`closed`), waits for their
    /// agents up to the [grace period](Builder::grace), and closes the file.
    ///
    /// An agent that does not return by then is left to itself: its thread goes on until it
    /// returns, but can write nothing. Who waits for a turn learns how it ended, or that the
    /// engine is closed; who follows or watches is told what was left, and then the end.
    ///
    /// # Errors
    ///
    /// The first error of an end that could not be written, or of the storage. The engine is
    /// closed all the same. [`Closed`](crate::ErrorKind::Closed) in a fork of the process that opened it, where
    /// nothing happens.
    pub fn close(self) -> Result<()> {
        let grace = self.grace;
        self.close_within(grace).map(drop)
    }

    /// The same as [`close`](Self::close), with another time than the grace period for the agents to return, and a
    /// report of what there was to do.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let (begun, begins) = std::sync::mpsc::channel();
    /// # let begun = std::sync::Mutex::new(begun);
    /// use std::time::Duration;
    ///
    /// let engine = parlor::Engine::in_memory()
    ///     .agent_fn("patient", move |turn| {
    /// #       begun.lock().unwrap().send(()).unwrap();
    ///         turn.cancel_token().wait();
    ///         Ok(())
    ///     })
    ///     .open()?;
    /// let session = engine.workspace("acme")?.agent("patient")?.create_session(Default::default())?;
    /// session.send("hello")?;
    /// # begins.recv().unwrap();
    /// let report = engine.close_within(Duration::from_secs(60))?;
    /// assert_eq!((report.ended + report.interrupted, report.abandoned), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`close`](Self::close).
    pub fn close_within(self, longest: Duration) -> Result<CloseReport> {
        if self.is_forked() {
            return Err(Error::new(ErrorKind::Closed, format!("the engine was opened by process {}", self.process)));
        }
        self.core.shared.advance(Phase::Closing);
        let deadline = self.core.shared.clock.monotonic().saturating_add(longest);
        let delivery = self.delivery.lock().take();
        delivery.iter().for_each(Courier::stop);
        let ended = self.core.executor.close(longest);
        delivery.iter().for_each(|delivery| delivery.join(deadline));
        self.core.shared.keep_tails();
        let closed = self.core.shared.store().close();
        let Report { ended, interrupted, abandoned } = ended.and_then(|report| closed.map(|()| report))?;
        Ok(CloseReport { ended, interrupted, abandoned })
    }

    /// Whether this is a fork of the process that opened it. Its threads did not come along, and whatever
    /// they held at that moment is locked for good: there is nothing to end and nobody to wait for.
    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }
}

/// What [`Engine::close_within`] had to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// How many turns that were taken for running had ended by themselves when it came to them.
    pub ended: usize,
    /// How many turns it ended as *interrupted* (`closed`).
    pub interrupted: usize,
    /// How many agents have not returned, those that were left behind earlier among them. Their threads go on
    /// until they do, and can write nothing.
    pub abandoned: usize,
}

fn check_outbox_limit(limit: u32) -> Result<()> {
    if (1..=limit::OUTBOX_LIMIT_MAX).contains(&limit) {
        return Ok(());
    }
    Err(Error::invalid(format!("limit is {limit}; it must be 1 to {}", limit::OUTBOX_LIMIT_MAX)))
}

impl Drop for Engine {
    /// Tells the agents to stop and waits for nothing; after [`Engine::close`] it has nothing to do.
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        self.core.shared.advance(Phase::Closing);
        self.delivery.lock().iter().for_each(Courier::stop);
        self.core.executor.abandon();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NewSession, TurnState};
    use crate::sync::bounded;

    #[test]
    fn in_a_fork_a_close_ends_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (here, arrived) = bounded(1);
        let (let_go, gate) = bounded::<()>(1);
        let engine = Engine::builder(dir.path().join("a.parlor")).grace(Duration::ZERO).agent_fn("worker", move |_| {
            here.send(())?;
            Ok(gate.recv()?)
        });
        let mut engine = engine.open().expect("an engine");
        let agent = engine.workspace("acme").and_then(|acme| acme.agent("worker")).expect("an agent");
        let session = agent.create_session(NewSession::default()).expect("a session");
        let turn = session.send("hello").expect("a turn");
        arrived.recv().expect("its agent has started");

        // What a fork sees: another process of the same memory.
        engine.process = engine.process.wrapping_add(1);
        assert_eq!(engine.close().expect_err("it is another's").kind(), ErrorKind::Closed);
        // The process that opened it goes on.
        let_go.send(()).expect("its agent waits");
        assert_eq!(turn.wait().expect("it ends").state(), TurnState::Completed);
    }
}
