//! A look at a file before it is touched: through handles that cannot write, so that one that cannot be opened is refused
//! as it was.

use std::fs::File;
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{DatabaseError, ReadableDatabase, StorageBackend};

use super::checked::Checked;
use super::file::{Options, Said};
use super::log::Disk;
use super::overlay::Overlay;
use super::{fault, file, recovery};
use crate::error::Result;
use crate::sync::Arc;

/// Reads what the file says of itself, and what its log has. What is wrong with it is found when it is opened for
/// writing, where it is not found here.
pub(super) fn untouched(path: &Path, disk: &Arc<dyn Disk>, options: Options) -> Result<()> {
    fault::guarded_opening(path, || {
        let failed = |error| fault::file(path.display(), error);
        let file = File::open(path).map_err(failed)?;
        let storage = FileBackend::new(file).map_err(|error| fault::database(path, error))?;
        match file::builder(options).open_read_only_with_backend(Checked::new(storage)) {
            Ok(database) => at(path, disk, &database.begin_read().map_err(fault::transaction)?, options),
            Err(DatabaseError::RepairAborted) => recovered(path, disk, options),
            // Opening it for writing says what is wrong, and who has it.
            Err(_) => Ok(()),
        }
    })
}

/// The same for a file that was not closed: it is recovered for it in memory, and will be again, on disk.
///
/// Whoever has it open meanwhile, or opens it, changes file and log one after the other, and a look between the two would
/// find a log missing that is not needed any more. So it is locked; where it cannot be, somebody has it, and opening it for
/// writing says so.
fn recovered(path: &Path, disk: &Arc<dyn Disk>, options: Options) -> Result<()> {
    let failed = |error| fault::file(path.display(), error);
    let file = File::open(path).map_err(failed)?;
    let Some(_lock) = Lock::of(path, &file)? else { return Ok(()) };
    let opened = file::builder(options).create_with_backend(Checked::new(Overlay::new(file).map_err(failed)?));
    let database = opened.map_err(|error| fault::database(path, error))?;
    at(path, disk, &database.begin_read().map_err(fault::transaction)?, options)
}

/// Nobody else writes the file while it is there.
struct Lock(FileBackend);

impl Lock {
    /// None where somebody has the file.
    fn of(path: &Path, file: &File) -> Result<Option<Self>> {
        let file = file.try_clone().map_err(|error| fault::file(path.display(), error))?;
        let storage = FileBackend::new(file).map_err(|error| fault::database(path, error))?;
        let is_taken = matches!(storage.try_lock_shared_range(Bound::Unbounded, Bound::Unbounded), Ok(false));
        Ok((!is_taken).then(|| Lock(storage)))
    }
}

impl Drop for Lock {
    /// By its own act: a process that is being started has the file open too until it begins, and would keep the lock.
    fn drop(&mut self) {
        // The handle goes, and the lock with it.
        let _ = self.0.close();
    }
}

/// Whether the file is one that this version opens, and its log one that it can be recovered from.
pub(super) fn at(
    path: &Path,
    disk: &Arc<dyn Disk>,
    transaction: &redb::ReadTransaction,
    options: Options,
) -> Result<()> {
    let said = Said::by(path, transaction)?;
    match recovery::left_behind(path, disk, &said, options.log_loss)? {
        Some(log) => log.last(said.group.number).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::ErrorKind;
    use crate::id::Stamp;
    use crate::redb::log::FileDisk;
    use crate::redb::{LogLoss, RedbStore, Sharing};
    use crate::store::{EnsureWorkspace, Store};
    use crate::time::Timestamp;

    #[test]
    fn the_lock_of_a_look_ends_with_it_whoever_has_inherited_the_handle() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.parlor");
        RedbStore::open(&path, Options::default()).and_then(|store| store.close()).expect("it is made");
        let file = File::open(&path).expect("it is there");
        // As a process has it that another thread is starting.
        let inherited = file.try_clone().expect("a second handle");
        let lock = Lock::of(&path, &file).expect("it is asked").expect("nobody has it");
        let error = RedbStore::open(&path, Options::default()).map(drop).expect_err("it is looked at");
        assert_eq!(error.kind(), ErrorKind::AlreadyOpen);
        drop((lock, file));
        RedbStore::open(&path, Options::default())
            .and_then(|store| store.close())
            .expect("nobody looks at it any more");
        drop(inherited);
    }

    #[test]
    fn a_file_that_somebody_has_open_is_not_judged_by_how_its_log_stands_meanwhile() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, copy) = (dir.path().join("a.parlor"), dir.path().join("b.parlor"));
        for sharing in [Sharing::Nobody, Sharing::Readers] {
            let options = Options { sharing, ..Options::default() };
            let store = RedbStore::open(&path, Options::default()).expect("it opens");
            let op = EnsureWorkspace { stamp: Stamp::new(Timestamp::from_micros(1), 1), name: format!("{sharing:?}") };
            store.ensure_workspace(op).expect("it is written");
            // As one sees it who looks when the log was just removed, and the file that does without it not yet read.
            let log = dir.path().join("a.parlor-log");
            fs::rename(&log, dir.path().join("aside")).expect("there is a log");
            fs::copy(&path, &copy).expect("a copy");
            let look = |path: &Path| {
                let disk: Arc<dyn Disk> = Arc::new(FileDisk::beside(path).expect("its directory"));
                recovered(path, &disk, options)
            };
            look(&path).expect("somebody has it, so nothing is said of it");
            let error = RedbStore::open(&path, options).map(drop).expect_err("somebody has it");
            assert_eq!(error.kind(), ErrorKind::AlreadyOpen);
            assert_eq!(look(&copy).expect_err("nobody has the copy").kind(), ErrorKind::LogMissing);
            // What was looked at is free.
            let options = Options { log_loss: LogLoss::Accept, ..options };
            RedbStore::open(&copy, options).and_then(|store| store.close()).expect("it opens");
            fs::rename(dir.path().join("aside"), &log).expect("it is back");
            store.close().expect("it closes");
        }
    }
}
