//! What the writer, the log, the readers and the closing share.

use redb::{Database, ReadableDatabase, WriteTransaction};
use uuid::Uuid;

use super::Writer;
use super::durability::Durability;
use super::flow::Flow;
use super::logger::Entry;
use crate::error::Result;
use crate::redb::codec::GroupRow;
use crate::redb::file::Opened;
use crate::redb::log::{Disk, Log, Options, Origin};
use crate::redb::view::{self, Around, Snapshot, Stage, View};
use crate::redb::write_set::OpenTables;
use crate::redb::{fault, file};
use crate::sync::{Arc, Mutex, RwLock, Sender};

/// How what is written is kept.
#[derive(Debug)]
pub(in crate::redb) enum Keeping {
    /// In a log, and now and then in the file.
    Log { disk: Arc<dyn Disk>, file: Uuid, segment_bytes: u32, durability: Durability },
    /// In memory alone.
    Memory,
}

/// See the [module](self).
pub(in crate::redb) struct Shared {
    /// The file; none once closed.
    pub(super) database: Mutex<Option<Database>>,
    /// The published state; none once closed.
    pub(in crate::redb) published: RwLock<Option<Arc<Snapshot>>>,
    /// The log; none before the first write and once closed.
    pub(super) log: Mutex<Option<Log>>,
    /// Whoever writes holds it.
    pub(super) writer: Mutex<Writer>,
    pub(super) flow: Flow,
    pub(in crate::redb) keeping: Keeping,
    pub(super) around: Around,
}

impl Shared {
    pub(in crate::redb) fn new(opened: Opened, block: u32) -> Result<Self> {
        let Opened { database, group, keeping } = opened;
        let around = Around::new(block);
        let published = fault::guarded(|| snapshot(&database, &around))?;
        let (durability, segment_bytes) = match keeping {
            Keeping::Log { durability, segment_bytes, .. } => (durability, segment_bytes as usize),
            Keeping::Memory => (Durability::Sync, 0),
        };
        Ok(Shared {
            writer: Mutex::new(Writer::new(segment_bytes)),
            database: Mutex::new(Some(database)),
            published: RwLock::new(Some(Arc::new(published))),
            log: Mutex::new(None),
            flow: Flow::new(group, durability),
            keeping,
            around,
        })
    }

    /// Publishes and answers what has its turn.
    pub(super) fn settle(&self) {
        self.flow.settle(&self.published);
    }

    /// Gives the writer its way to the thread of the log.
    pub(in crate::redb) fn log_to(&self, entries: Sender<Entry>) {
        self.writer.lock().entries = Some(entries);
    }

    /// The tables of a transaction.
    pub(super) fn tables<'t>(&self, transaction: &'t WriteTransaction) -> Result<OpenTables<'t>> {
        View::open(self.around.clone(), Stage::Open, |table| {
            transaction.open_table(table.definition()).map_err(fault::table)
        })
    }

    /// Makes the log of a file that has none, from a group on. The file has yet to name it.
    pub(super) fn make_log(&self, after: u64) -> Result<Option<Log>> {
        let Keeping::Log { disk, file, segment_bytes, .. } = &self.keeping else { return Ok(None) };
        // Made whole at once: a log that grew could find the disk full after a group was applied.
        let options = Options { segment_bytes: *segment_bytes, first_segments: 2, most_segments: 2 };
        let origin = Origin { database: *file, log: Uuid::new_v4(), after };
        Log::make(Arc::clone(disk), origin, options).map(Some)
    }

    /// Closes the file after the commit under way; reads under way are told so. What was written is made
    /// durable in it, and the log is gone.
    pub(in crate::redb) fn close(&self) -> Result<()> {
        // Whoever writes has it until the flow knows of the group. Otherwise a group that redb has would not be counted
        // here, and nobody would answer it where the log goes before it was synced.
        let mut writer = self.writer.lock();
        let Some(database) = self.database.lock().take() else { return Ok(()) };
        self.published.write().take();
        let finished = fault::guarded(|| self.finish(&database));
        if let Err(error) = &finished {
            self.flow.fail(&error.to_string());
        }
        self.settle();
        // The thread of the log ends with it.
        writer.entries = None;
        drop(writer);
        let closed = database.close().map_err(fault::closing);
        finished.and(closed)?;
        // Waits for the sync under way.
        match self.log.lock().take() {
            Some(mut log) => {
                log.free(self.flow.last());
                log.remove()
            }
            None => Ok(()),
        }
    }

    /// The last checkpoint, after which the file has no log.
    fn finish(&self, database: &Database) -> Result<()> {
        self.flow.check_sound()?;
        if self.log.lock().is_none() {
            return Ok(());
        }
        let number = self.flow.last();
        file::checkpoint(database, GroupRow { number, log: None })?;
        self.flow.synced(number);
        Ok(())
    }
}

/// The last state of a database.
pub(super) fn snapshot(database: &Database, around: &Around) -> Result<Snapshot> {
    view::snapshot(around.clone(), &database.begin_read().map_err(fault::transaction)?)
}
