//! The thread of the file: now and then it writes into the file what is in memory alone, while writing goes on.
//!
//! It takes what was written until now, and the next groups go to memory of their own. Once the file has it for good,
//! readers read it there, the memory is given back, and the log's segments are used again.

use redb::Database;

use super::Noted;
use super::shared::Shared;
use crate::error::Result;
use crate::limit::CHECKPOINT_IDLE_MS;
use crate::redb::base::Base;
use crate::redb::codec::GroupRow;
use crate::redb::fault;
use crate::redb::put::{self, Kept};
use crate::redb::recent::Recent;
use crate::redb::snapshot::Layers;
use crate::redb::writer::Keeping;
use crate::sync::{Arc, Receiver, Silence, receive_within};
use crate::time::Duration;

/// There may be something to write, now or when nothing happens for a while.
pub(in crate::redb) struct Look;

/// The file, and how far it has come.
pub(in crate::redb) struct Filed {
    pub(super) database: Database,
    /// The last group that it has for good.
    pub(super) group: u64,
}

/// Whether the file lacked anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Something,
    Nothing,
}

/// What was written until a group, and no more.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    pub(super) recent: Arc<Recent>,
    /// The last group in it.
    pub(super) until: u64,
}

/// The thread's whole life: it ends when the store is closed.
pub(in crate::redb) fn run(shared: &Shared, looks: &Receiver<Look>) {
    let idle = Duration::from_millis(CHECKPOINT_IDLE_MS);
    loop {
        let seen = shared.shown.group();
        let is_any = shared.writer.lock().amount.is_any() && shared.shown.check_sound().is_ok();
        let next = match is_any {
            true => receive_within(looks, idle),
            false => looks.recv().map_err(|_| Silence::Gone),
        };
        match next {
            Ok(Look) if shared.writer.lock().look(shared) => checkpoint(shared),
            Err(Silence::TimedOut) if shared.shown.group() == seen => checkpoint(shared),
            Ok(Look) | Err(Silence::TimedOut) => {}
            Err(Silence::Gone) => return,
        }
    }
}

fn checkpoint(shared: &Shared) {
    let (frozen, named) = {
        let mut writer = shared.writer.lock();
        match writer.freeze(shared) {
            Some(frozen) => (frozen, writer.named),
            None => return,
        }
    };
    let row = GroupRow { number: frozen.until, log: named.map(|log| *log.as_bytes()) };
    let written = match shared.database.lock().as_mut() {
        Some(filed) => filed.put(&shared.keeping, [&frozen], row),
        // Closing has written it.
        None => return,
    };
    match written {
        Ok(Put::Something) => {
            let melted = shared.writer.lock().melt(shared, &frozen);
            melted.unwrap_or_else(|error| shared.fail(&error));
        }
        // A group that was too large for the log took it along.
        Ok(Put::Nothing) => {}
        Err(error) => shared.fail(&error),
    }
}

impl Filed {
    /// Writes what it lacks of these, the oldest first, in one commit.
    pub(super) fn put<'f>(
        &mut self,
        keeping: &Keeping,
        frozen: impl IntoIterator<Item = &'f Frozen>,
        row: GroupRow,
    ) -> Result<Put> {
        let lacking = self.lacking(frozen);
        if lacking.is_empty() {
            return Ok(Put::Nothing);
        }
        self.commit(&lacking, row, keeping.kept())?;
        Ok(Put::Something)
    }

    /// What it has now, to be read. Nobody but who has the writer may keep it: what reads the file holds up who compacts it.
    pub(super) fn base(&self) -> Result<Base> {
        fault::guarded(|| Base::last(&self.database))
    }

    /// Writes what it lacks of these, and the row in any case.
    pub(super) fn finish<'f>(&mut self, frozen: impl IntoIterator<Item = &'f Frozen>, row: GroupRow) -> Result<()> {
        let lacking = self.lacking(frozen);
        self.commit(&lacking, row, Kept::Durably)
    }

    fn lacking<'f>(&self, frozen: impl IntoIterator<Item = &'f Frozen>) -> Vec<&'f Recent> {
        let lacking = frozen.into_iter().filter(|frozen| frozen.until > self.group);
        lacking.map(|frozen| &*frozen.recent).collect()
    }

    fn commit(&mut self, recent: &[&Recent], row: GroupRow, kept: Kept) -> Result<()> {
        fault::committing(|| put::put(&self.database, recent, row, kept))?;
        self.group = row.number;
        Ok(())
    }
}

impl super::Writer {
    /// Whether the file should be written, or the log has no room left.
    pub(super) fn is_due(&self, shared: &Shared) -> bool {
        self.is_starved || self.amount.is_due(self.recent.bytes(), &shared.keeping)
    }

    /// What the thread of the file finds: whether it is time. Where it is not, or no longer, it has to be told of the next
    /// time: a log that got room without it may lack it again at the next group.
    pub(super) fn look(&mut self, shared: &Shared) -> bool {
        let is_due = self.is_due(shared);
        if !is_due {
            self.is_noted = self.is_noted.min(Noted::Something);
        }
        is_due
    }

    /// Takes what was written until now; the next groups go to memory of their own. None where there is nothing, or
    /// what was taken before is not in the file.
    pub(super) fn freeze(&mut self, shared: &Shared) -> Option<Frozen> {
        if self.frozen.is_some() || !self.amount.is_any() || shared.shown.check_sound().is_err() {
            return None;
        }
        let recent = std::mem::take(&mut self.recent);
        let frozen = Frozen { recent, until: shared.shown.group() };
        self.frozen = Some(frozen.clone());
        (self.amount, self.is_noted) = Default::default();
        let newest = vec![Arc::clone(&self.recent), Arc::clone(&frozen.recent)];
        shared.shown.arrange(|layers| Layers { recent: newest, ..layers });
        Some(frozen)
    }

    /// The file has what was taken, unless somebody else has seen to that: it is read from there, and the log is free
    /// of it.
    pub(super) fn melt(&mut self, shared: &Shared, frozen: &Frozen) -> Result<()> {
        if !self.frozen.as_ref().is_some_and(|taken| Arc::ptr_eq(&taken.recent, &frozen.recent)) {
            return Ok(());
        }
        let base = match shared.database.lock().as_ref() {
            Some(filed) => filed.base()?,
            // Closing has seen to it.
            None => return Ok(()),
        };
        self.frozen = None;
        self.free(shared, frozen.until);
        let (base, recent) = (Arc::new(base), vec![Arc::clone(&self.recent)]);
        shared.shown.arrange(|layers| Layers { base, recent, ..layers });
        Ok(())
    }
}
