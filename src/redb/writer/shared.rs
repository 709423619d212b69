//! What the writer, the log, the readers and the closing share.

use uuid::Uuid;

use super::Writer;
use super::checkpoint::{Filed, Frozen, Look};
use super::durability::Durability;
use super::shown::Shown;
use super::syncing::Unsynced;
use crate::error::{Error, Result};
use crate::limit::CHECKPOINT_GROUPS;
use crate::redb::base::Base;
use crate::redb::codec::GroupRow;
use crate::redb::fault;
use crate::redb::file::Opened;
use crate::redb::log::{Disk, Log, Options, Origin};
use crate::redb::put::Kept;
use crate::redb::snapshot::{Layers, Snapshot};
use crate::redb::view::Around;
use crate::sync::{Arc, Condvar, Mutex, Sender};

/// Segments of the log: one that is written to, and two that the checkpoint under way may yet free.
const SEGMENTS: u32 = 3;

/// How what is written is kept.
#[derive(Debug)]
pub(in crate::redb) enum Keeping {
    /// In a log, and now and then in the file.
    Log { disk: Arc<dyn Disk>, file: Uuid, segment_bytes: u32, checkpoint_groups: u32, durability: Durability },
    /// In the file, each group by a commit of its own.
    File,
    /// In memory alone.
    Memory,
}

impl Keeping {
    /// Bytes of a segment of the log.
    pub(super) fn segment_bytes(&self) -> usize {
        match self {
            Keeping::Log { segment_bytes, .. } => *segment_bytes as usize,
            Keeping::File | Keeping::Memory => usize::MAX,
        }
    }

    /// Groups after which there is a checkpoint.
    pub(super) fn checkpoint_groups(&self) -> u32 {
        match self {
            Keeping::Log { checkpoint_groups, .. } => *checkpoint_groups,
            Keeping::File | Keeping::Memory => CHECKPOINT_GROUPS,
        }
    }

    /// How a commit of the file is kept.
    pub(super) fn kept(&self) -> Kept {
        match self {
            Keeping::Log { .. } | Keeping::File => Kept::Durably,
            Keeping::Memory => Kept::InMemory,
        }
    }
}

/// See the [module](self).
pub(in crate::redb) struct Shared {
    /// The file; none once closed.
    pub(in crate::redb) database: Mutex<Option<Filed>>,
    /// The log; none before the first write and once closed.
    pub(super) log: Mutex<Option<Log>>,
    /// Whoever writes holds it.
    pub(super) writer: Mutex<Writer>,
    /// The log may have room again. Goes with the writer's lock.
    pub(super) freed: Condvar,
    pub(super) shown: Shown,
    pub(in crate::redb) keeping: Keeping,
}

impl Shared {
    pub(in crate::redb) fn new(opened: Opened, block: u32) -> Result<Self> {
        let Opened { database, group, keeping } = opened;
        let base = fault::guarded(|| Base::last(&database))?;
        let writer = Writer::new();
        let layers = Layers { recent: vec![Arc::clone(&writer.recent)], ..Layers::of(base, Around::new(block)) };
        Ok(Shared {
            writer: Mutex::new(writer),
            shown: Shown::new(group, layers),
            database: Mutex::new(Some(Filed { database, group })),
            log: Mutex::new(None),
            freed: Condvar::new(),
            keeping,
        })
    }

    /// What readers see.
    pub(in crate::redb) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.shown.snapshot()
    }

    /// How many groups are newer than the oldest state that somebody may be reading.
    pub(in crate::redb) fn groups_since_oldest(&self) -> u64 {
        self.shown.group().saturating_sub(self.shown.oldest())
    }

    /// Whether what is written goes into a log.
    pub(super) fn is_logged(&self) -> bool {
        matches!(self.keeping, Keeping::Log { .. })
    }

    /// Whether a write is acknowledged before it is on the disk.
    pub(in crate::redb) fn defers(&self) -> bool {
        matches!(self.keeping, Keeping::Log { durability: Durability::Deferred(_), .. })
    }

    /// No more is written, and who waits to write is told so.
    pub(super) fn fail(&self, why: &Error) {
        self.shown.fail(why);
        self.freed.notify_all();
    }

    /// Gives the writer its way to the thread of the file, and to the one that syncs the log, where there is to be one.
    pub(in crate::redb) fn connect(&self, looks: Sender<Look>, unsynced: Option<Sender<Unsynced>>) {
        let mut writer = self.writer.lock();
        (writer.looks, writer.unsynced) = (Some(looks), unsynced);
    }

    /// Makes the log of a file that has none, from a group on. The file has yet to name it.
    pub(super) fn make_log(&self, after: u64) -> Result<Option<Log>> {
        let Keeping::Log { disk, file, segment_bytes, .. } = &self.keeping else { return Ok(None) };
        // Made whole: a log that grew could find the disk full after a group was applied.
        let options = Options { segment_bytes: *segment_bytes, segments: SEGMENTS };
        let origin = Origin { database: *file, log: Uuid::new_v4(), after };
        Log::make(Arc::clone(disk), origin, options).map(Some)
    }

    /// Closes the file after the commit under way; reads under way are told so. What was written is made
    /// durable in it, and the log is gone.
    pub(in crate::redb) fn close(&self) -> Result<()> {
        // Whoever writes has it until everyone of the group can be answered.
        let mut writer = self.writer.lock();
        // Waits for the checkpoint under way.
        let Some(mut filed) = self.database.lock().take() else { return Ok(()) };
        writer.is_closed = true;
        self.shown.close();
        let finished = fault::guarded_writing(|| self.finish(&writer, &mut filed));
        if let Err(error) = &finished {
            self.fail(error);
        }
        // Their threads end with them.
        (writer.unsynced, writer.looks) = (None, None);
        drop(writer);
        self.freed.notify_all();
        // The last thing that redb does is a commit of its own.
        let closed = fault::guarded_writing(|| filed.database.close().map_err(fault::closing));
        finished.and(closed)?;
        match self.log.lock().take() {
            Some(mut log) => {
                log.free(self.shown.group());
                log.remove()
            }
            None => Ok(()),
        }
    }

    /// The last checkpoint, after which the file has no log.
    fn finish(&self, writer: &Writer, filed: &mut Filed) -> Result<()> {
        self.shown.check_sound()?;
        if self.log.lock().is_none() {
            return Ok(());
        }
        let number = self.shown.group();
        let newest = Frozen { recent: Arc::clone(&writer.recent), until: number };
        let row = GroupRow { number, log: None };
        filed.finish(writer.frozen.iter().chain([&newest]), row)
    }
}
