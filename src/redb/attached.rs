//! A file that another process may be writing, opened for reading: every read takes the newest commit.
//!
//! The process that writes opened the file for shared readers: it has no log, so its commits are all there is. What a
//! reader finds is durable: redb shows another process the commit before the last until the last one is synced.

use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};

use redb::{Builder, ConcurrencyMode, DatabaseError, ReadOnlyDatabase, ReadableDatabase};

use super::base::Base;
use super::codec::{self, GroupRow, ListedRow};
use super::file::{self, Options, Said};
use super::hidden::Hidden;
use super::snapshot::{Layers, Snapshot};
use super::tables::{Table, activity, meta};
use super::view::{Around, Read, Stage};
use super::{fault, place};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::page::Direction;
use crate::sync::Mutex;

/// See the [module](self).
pub(super) struct Attached {
    path: PathBuf,
    /// None once closed.
    database: Mutex<Option<ReadOnlyDatabase>>,
    around: Around,
}

impl Attached {
    /// Opens a file for reading.
    pub(super) fn open(path: &Path, options: Options) -> Result<Self> {
        file::check_for_reading(path)?;
        let once = |why: &str| {
            let text = format!("{} {why}; open it for writing once", path.display());
            Error::new(ErrorKind::OpenForWritingOnce, text)
        };
        fault::guarded_opening(path, || {
            let database = share(&mut file::builder(options)).open_read_only(path).map_err(|error| match error {
                DatabaseError::RepairAborted => once("was not closed, and nobody writes it").with_source(error),
                error => fault::database(path, error),
            })?;
            let said = Said::by(path, &database.begin_read().map_err(fault::transaction)?)?;
            if said.group.log.is_some() {
                return Err(once("was not closed, and its log has writes that it lacks"));
            }
            let around = Around::new(options.block);
            Ok(Attached { path: path.to_owned(), database: Mutex::new(Some(database)), around })
        })
    }

    /// The file as it is now.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let transaction = match self.database.lock().as_ref() {
            Some(database) => database.begin_read().map_err(fault::transaction)?,
            None => return Err(Error::closed()),
        };
        let layers = Layers::of(Base::of(&transaction)?, self.around.clone());
        // All that the file has, whatever its number.
        Ok(Snapshot::new(layers, u64::MAX, Stage::Published))
    }

    /// Nothing can be written through it.
    pub(super) fn refusal(&self) -> Error {
        let text = format!("{} is attached to be read; who has it open for writing writes", self.path.display());
        Error::new(ErrorKind::Forbidden, text)
    }

    /// Gives the file free; reads under way are told so.
    pub(super) fn close(&self) -> Result<()> {
        let database = self.database.lock().take().ok_or_else(Error::closed)?;
        database.close().map_err(fault::closing)
    }
}

/// One process writes, others read.
pub(super) fn share(builder: &mut Builder) -> &mut Builder {
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter)
}

/// The number of the last group that is in the file.
pub(super) fn group(view: &dyn Read) -> Result<u64> {
    let row: Option<GroupRow> = view.plain(Table::Meta, meta::GROUP)?;
    Ok(row.unwrap_or_default().number)
}

/// Every session of a workspace or an agent with the number of its latest event; of one that cannot be read, the
/// greatest number.
pub(super) fn active(view: &dyn Read, workspace: WorkspaceId, agent: Option<AgentId>) -> Result<Vec<(SessionId, u64)>> {
    let workspace = place::workspace(view, workspace)?;
    let scope = match agent {
        Some(agent) => place::agent(view, workspace, agent)?,
        None => workspace,
    };
    let (from, to) = activity::bounds(scope);
    let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
    let (mut active, hidden) = (Vec::new(), Hidden::of(view)?);
    view.scan(Table::Activity, between, Direction::Asc, &mut |key, value| {
        if let Ok((_, session)) = activity::last(key) {
            let row: Option<ListedRow> = codec::decode(Table::Activity, key, value).ok();
            let is_hidden = row.map_or(Ok(false), |row| hidden.has(view, row.number))?;
            if !is_hidden {
                active.push((session, row.map_or(u64::MAX, |row| row.changes)));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(active)
}
