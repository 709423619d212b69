//! After a crash: what the log has and the file lacks is put into the file, before anyone reads or writes it.

use std::path::Path;

use redb::Database;

use super::base::Base;
use super::codec::GroupRow;
use super::file::{LogLoss, Said};
use super::log::{Disk, Opened};
use super::put::{self, Kept};
use super::snapshot::Layers;
use super::view::Around;
use super::{BLOCK, fault, replay};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

/// The log that the file was left with; none where it needs none.
///
/// A log that the file does not name was made for it, or was done with: all it could hold is in the file.
pub(super) fn left_behind(path: &Path, disk: &Arc<dyn Disk>, said: &Said, loss: LogLoss) -> Result<Option<Opened>> {
    let found = match Opened::open(&**disk, said.id) {
        // What cannot be told is no obstacle to one who is ready to do without it.
        Err(error) if error.kind() == ErrorKind::Corrupt && loss == LogLoss::Accept => None,
        found => found?,
    };
    let Some(named) = said.group.log else { return Ok(None) };
    match found.filter(|log| log.origin().log.as_bytes() == &named) {
        Some(log) => Ok(Some(log)),
        None if loss == LogLoss::Accept => Ok(None),
        None => {
            let text = format!(
                "{} was not closed, and {}, which has its last writes, is not its log any more or gone; accept_log_loss() \
                 opens the file without them",
                path.display(),
                disk.path().display()
            );
            Err(Error::new(ErrorKind::LogMissing, text))
        }
    }
}

/// Puts into the file what only its log has, durably, and removes the log. The last group that is in the file.
///
/// A record may have been read from where a failed sync left it, in the memory of the system alone: so it is made
/// durable anew before anybody hears of it.
pub(super) fn recover(database: &Database, disk: &Arc<dyn Disk>, said: &Said, log: Option<Opened>) -> Result<u64> {
    let mut number = said.group.number;
    if said.group.log.is_none() {
        return Ok(number);
    }
    let row = |number| GroupRow { number, log: None };
    let Some(log) = log else {
        put::put(database, &[], row(number), Kept::Durably)?;
        return Ok(number);
    };
    let (layers, recent) = replay::over(Layers::of(Base::last(database)?, Around::new(BLOCK)));
    number = log.records(number, |number, record| replay::record(&layers, number, record))?;
    drop(layers);
    put::put(database, &[&recent], row(number), Kept::Durably)?;
    // Not every system removes an open file.
    drop(log);
    disk.remove().and_then(|()| disk.sync_directory()).map_err(|error| fault::file(disk.path().display(), error))?;
    Ok(number)
}
