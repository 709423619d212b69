//! Giving back the space of free pages. Nobody writes meanwhile, and who wants to read waits.

use redb::CompactionError;

use super::checkpoint::Filed;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::limit::COMPACT_WAIT_MS;
use crate::redb::codec::GroupRow;
use crate::redb::fault;
use crate::redb::put::{self, Kept};
use crate::redb::snapshot::Layers;
use crate::redb::writer::shown::LOOK;
use crate::sync::{Arc, Parker};
use crate::time::{Duration, Stopwatch};

/// How long it waits for those who read.
const LONGEST: Duration = Duration::from_millis(COMPACT_WAIT_MS);

impl Shared {
    /// Compacts the file, once nobody reads it.
    pub(in crate::redb) fn compact(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        writer.check(self)?;
        let number = self.shown.group();
        // What is in memory alone goes into the file first, so that it is all there is to read.
        writer.commit(self, number, None).inspect_err(|error| self.fail(error))?;
        let row = GroupRow { number, log: writer.named.map(|log| *log.as_bytes()) };
        let mut compacted = Ok(());
        let alone = self.shown.alone(LONGEST, |around| {
            let mut database = self.database.lock();
            let filed = database.as_mut().ok_or_else(Error::closed)?;
            compacted = compact(filed, row, self.keeping.kept());
            Ok(Layers { recent: vec![Arc::clone(&writer.recent)], ..Layers::of(filed.base()?, around) })
        });
        let compacted = alone.and(compacted);
        match &compacted {
            // Refused before it began.
            Err(error) if error.kind() != ErrorKind::Conflict => self.fail(error),
            _ => {}
        }
        compacted
    }
}

/// Nobody else has the file.
fn compact(filed: &mut Filed, row: GroupRow, kept: Kept) -> Result<()> {
    let began = Stopwatch::start();
    fault::guarded_writing(|| {
        loop {
            match filed.database.compact() {
                // Whoever read last may still be giving back what it read from.
                Err(CompactionError::TransactionInProgress) if began.elapsed() < LONGEST => {
                    Parker::default().park_timeout(LOOK);
                }
                compacted => return compacted.map(drop).map_err(compaction),
            }
        }
    })?;
    // Compaction leaves a file that the next opening after a crash would read whole, until the next commit.
    put::put(&filed.database, &[], row, kept)
}

fn compaction(error: CompactionError) -> Error {
    match error {
        CompactionError::Storage(error) => fault::storage(error),
        error => Error::new(ErrorKind::Conflict, format!("another process reads the file: {error}")),
    }
}
