//! Sessions that are past what an application keeps.

use std::ops::ControlFlow;

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::limit::PAGE_LIMIT_MAX;
use crate::page::PageAt;
use crate::progress::{OnProgress, Progress};
use crate::record::{SessionRecord, SessionStatus};
use crate::scope::Core;
use crate::store::{ArchiveSession, DeleteSession, SessionRef, SessionsQuery, Store};
use crate::sync::Arc;
use crate::time::{Duration, Timestamp};

/// Which sessions an application keeps, and what becomes of the others: see [`Engine::retain`].
///
/// A session is past it when it changed last longer ago than [`older_than`](Self::older_than), or when as many as
/// [`keep_newest`](Self::keep_newest) of its workspace changed after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    action: Action,
    workspace: Option<WorkspaceId>,
    older_than: Option<Duration>,
    keep_newest: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Archive,
    Delete,
}

impl Retention {
    /// Moves sessions into archives of their agents.
    pub fn archive() -> Self {
        Self::new(Action::Archive)
    }

    /// Deletes sessions, for good.
    pub fn delete() -> Self {
        Self::new(Action::Delete)
    }

    fn new(action: Action) -> Self {
        Retention { action, workspace: None, older_than: None, keep_newest: None }
    }

    /// Of this workspace alone; by default of each, which counts for itself.
    #[must_use]
    pub fn workspace(mut self, id: WorkspaceId) -> Self {
        self.workspace = Some(id);
        self
    }

    /// Sessions that changed last longer ago than this, by the engine's clock.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Sessions behind the newest so many of a workspace; with 0, all.
    #[must_use]
    pub fn keep_newest(mut self, sessions: u64) -> Self {
        self.keep_newest = Some(sessions);
        self
    }

    fn check(&self) -> Result<()> {
        if self.older_than.is_some() || self.keep_newest.is_some() {
            return Ok(());
        }
        Err(Error::invalid("the retention says neither older_than nor keep_newest; it would take every session"))
    }
}

/// What [`Engine::retain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionReport {
    /// Sessions that were looked at.
    pub sessions: u64,
    /// Sessions that are archived now.
    pub archived: u64,
    /// Sessions that are deleted now.
    pub deleted: u64,
    /// Sessions that were past it and stay, because a turn of theirs is running or waits.
    pub busy: u64,
    /// Sessions that were past it and stay, because they changed before it was their turn.
    pub changed: u64,
    /// Sessions that stay because they are damaged or, to be archived, too large.
    pub failed: u64,
    /// Workspaces that are damaged, of whose sessions none was looked at, or not all.
    pub damaged_workspaces: u64,
}

impl Engine {
    /// Archives or deletes the sessions that are past a retention, one after the other, each by a commit of its own while
    /// others read and write.
    ///
    /// It is done when it is called, and nowhere else: an application calls it at its start, or once a day. A busy session
    /// stays, and so does one that changed after it was looked at, so that no message is lost which arrives meanwhile; the next
    /// call finds them.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// use parlor::Retention;
    /// use parlor::time::Duration;
    ///
    /// let agent = engine.workspace("acme")?.agent("greeter")?;
    /// for _ in 0..3 {
    ///     agent.create_session(Default::default())?;
    /// }
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// assert_eq!(engine.retain(Retention::archive().older_than(month))?.archived, 0);
    /// assert_eq!(engine.retain(Retention::archive().keep_newest(2))?.archived, 1);
    /// assert_eq!((agent.sessions(())?.meta.total, agent.archives(())?.meta.total), (2, 1));
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a retention that says neither an age nor a count,
    /// [`NotFound`](ErrorKind::NotFound) for a workspace that is not there; those of
    /// [`Session::archive`](crate::Session::archive) and [`Session::delete`](crate::Session::delete) that concern more than
    /// one session. What was done by then stays done.
    pub fn retain(&self, retention: Retention) -> Result<RetentionReport> {
        self.retain_with(retention, |_| ControlFlow::Continue(()))
    }

    /// As [`retain`](Self::retain), and this is called after each session that was past it, with the number of sessions that were
    /// looked at and of all there are: a break cancels it.
    ///
    /// # Errors
    ///
    /// Those of [`retain`](Self::retain); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn retain_with(
        &self,
        retention: Retention,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<RetentionReport> {
        retention.check()?;
        let (core, store) = (&self.core, self.core.shared.open()?);
        let now = core.shared.clock.now().as_micros();
        let age = |age: Duration| u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        let since = retention.older_than.map_or(0, |older| now.saturating_sub(age(older)));
        let (workspaces, damaged_workspaces) = match retention.workspace {
            Some(id) => (vec![store.workspace(id)?.id], 0),
            None => all_workspaces(store)?,
        };
        let report = RetentionReport { damaged_workspaces, ..RetentionReport::default() };
        core.long(&mut on, |on| {
            let since = Timestamp::from_micros(since);
            let mut run = Run { core, store, retention, since, report, total: 0, on };
            for workspace in workspaces {
                match run.workspace(workspace) {
                    // It keeps no other from its turn.
                    Err(error) if error.kind() == ErrorKind::Corrupt => run.report.damaged_workspaces += 1,
                    went => went?,
                }
            }
            Progress::new(run.report.sessions, run.report.sessions).finish(run.on);
            Ok(run.report)
        })
    }
}

/// Those that can be read, and how many cannot.
fn all_workspaces(store: &dyn Store) -> Result<(Vec<WorkspaceId>, u64)> {
    let (mut all, mut damaged) = (Vec::new(), 0);
    for page in 1.. {
        let found = store.workspaces(PageAt { page, limit: PAGE_LIMIT_MAX })?;
        all.extend(found.items.iter().map(|workspace| workspace.id));
        damaged += found.damaged.len() as u64;
        if page.saturating_mul(u64::from(PAGE_LIMIT_MAX)) >= found.total {
            break;
        }
    }
    Ok((all, damaged))
}

/// A retention under way.
struct Run<'r, 'o> {
    core: &'r Arc<Core>,
    store: &'r dyn Store,
    retention: Retention,
    /// What changed last before this is too old.
    since: Timestamp,
    report: RetentionReport,
    /// How many sessions there are in the workspaces so far.
    total: u64,
    on: &'r mut OnProgress<'o>,
}

impl Run<'_, '_> {
    fn workspace(&mut self, workspace: WorkspaceId) -> Result<()> {
        let page = PageAt { page: 1, limit: PAGE_LIMIT_MAX };
        let (mut after, mut newer, before) = (None, 0_u64, self.report.sessions);
        loop {
            let listed = self.store.sessions(SessionsQuery { workspace, agent: None, page, after })?;
            self.total = self.total.max(before.saturating_add(listed.total));
            // One that cannot be read cannot be told by its age.
            let damaged = listed.damaged.len() as u64;
            (self.report.sessions, self.report.failed) = (self.report.sessions + damaged, self.report.failed + damaged);
            newer = newer.saturating_add(damaged);
            for session in &listed.items {
                self.report.sessions += 1;
                let is_past =
                    session.updated_at < self.since || self.retention.keep_newest.is_some_and(|newest| newer >= newest);
                newer = newer.saturating_add(1);
                if is_past {
                    self.session(session)?;
                    let done = self.report.sessions;
                    Progress::new(done, self.total.max(done + 1)).tell(self.on)?;
                }
            }
            after = listed.last;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// One that is past it.
    fn session(&mut self, session: &SessionRecord) -> Result<()> {
        if session.status == SessionStatus::Running {
            self.report.busy += 1;
            return Ok(());
        }
        let (core, store, stamp) = (self.core, self.store, self.core.shared.stamp());
        let at = SessionRef { workspace: session.workspace_id, session: session.id };
        let only_at = Some(session.last_change);
        let done = match self.retention.action {
            Action::Delete => core.delete_session(store, DeleteSession { stamp, at, only_at }, session.agent_id),
            Action::Archive => {
                let _admission = core.executor.admit_write()?;
                let (done, on) = (self.report.sessions, &mut *self.on);
                let progress = Progress::new(done, self.total.max(done + 1));
                let op = ArchiveSession { stamp, at, only_at };
                core.archive_session(store, op, session.agent_id, &mut |_| on(progress)).map(drop)
            }
        };
        match (done, self.retention.action) {
            (Ok(()), Action::Delete) => self.report.deleted += 1,
            (Ok(()), Action::Archive) => self.report.archived += 1,
            (Err(error), _) => match error.kind() {
                ErrorKind::Conflict => self.report.changed += 1,
                // Somebody else was first.
                ErrorKind::NotFound => {}
                ErrorKind::Corrupt | ErrorKind::TooLarge => self.report.failed += 1,
                _ => return Err(error),
            },
        }
        Ok(())
    }
}
