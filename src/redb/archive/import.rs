//! An archive in from a stream, which anybody may have made.
//!
//! All of the session is loaded below a number that never becomes a session: that holds every record to the others, in the
//! memory of a chunk, and what was loaded is cleared away again. What is kept is written anew from what was read, so no byte
//! of the stream is.

use std::io::Read as Stream;

use uuid::Uuid;

use super::chunk::{Cutter, Opened, open};
use super::container::{Header, read_chunk};
use super::listing::{record, show};
use super::write::{Chunks, begin};
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::limit::ARCHIVE_CHUNK_BYTES;
use crate::progress::{OnProgress, Progress};
use crate::record::ArchiveRecord;
use crate::redb::RedbStore;
use crate::redb::codec::{ArchiveRow, Id, SessionRow};
use crate::redb::hidden;
use crate::redb::load::{self, Kind, Loaded, Loader, Record, Trust, Unread, scaled};
use crate::redb::place;
use crate::redb::remnant::Remnant;
use crate::redb::scope;
use crate::redb::tables::{Table, meta};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::store::{ImportArchive, ImportIds};

/// Reads an archive from a stream, and checks all of it before it shows.
pub(in crate::redb) fn import(
    store: &RedbStore,
    op: &ImportArchive,
    from: &mut dyn Stream,
    on: &mut OnProgress<'_>,
) -> Result<ArchiveRecord> {
    let (agent, agent_name) = store.read(|view| {
        let agent = place::agent(view, place::workspace(view, op.workspace)?, op.agent)?;
        Ok((agent, scope::agent_name(view, agent)?))
    })?;
    let header = Header::read(from)?;
    let (left, stamp) = (store.written()?.left.clone(), op.stamp);
    let (number, held) = store.write(256, move |view| load::begin(view, stamp, &left))?;
    let mut begun = None;
    let begun_at = begin(store, &mut begun, stamp.at);
    let imported = begun_at.and_then(|archive| {
        let import = Import {
            store,
            op,
            agent,
            agent_name,
            header,
            archive,
            loader: Loader::new(number, Trust::Strangers),
            cutter: Cutter::new(*stamp.uuid(0).as_bytes()),
            unread: Unread::default(),
            opened: Opened::default(),
        };
        import.run(from, on)
    });
    drop((begun, held));
    store.look()?;
    imported
}

struct Import<'s> {
    store: &'s RedbStore,
    op: &'s ImportArchive,
    /// The agent's number.
    agent: u32,
    agent_name: String,
    header: Header,
    /// The archive's number.
    archive: u32,
    loader: Loader,
    cutter: Cutter,
    unread: Unread,
    opened: Opened,
}

impl Import<'_> {
    fn run(mut self, from: &mut dyn Stream, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        let (most, mut waiting, mut packed) =
            (self.store.read(|view| Ok(scaled(ARCHIVE_CHUNK_BYTES, view)))?, 0, Vec::new());
        for number in 0..self.header.chunks {
            let stream = read_chunk(from, &mut packed, |row| open(&self.header.id, number, row))?;
            self.opened.add(&stream);
            self.opened.check_within(self.header.bytes)?;
            self.unread.feed(&stream);
            waiting += stream.len();
            // However small the chunks are, the steps are not.
            if waiting < most && number + 1 < self.header.chunks {
                continue;
            }
            waiting = 0;
            self.load(most)?;
            let (done, total) = self.loader.progress();
            if done < total {
                Progress::new(done, total).tell(on)?;
            }
        }
        self.opened.check(self.header.bytes, self.header.checksum)?;
        if !self.unread.is_empty() {
            return Err(Error::corrupt("the archive ends within a record"));
        }
        let records = self.loader.progress().0;
        if records != self.header.records {
            return Err(Error::corrupt(format!("the archive has {records} records, not {}", self.header.records)));
        }
        self.publish(records, on)
    }

    /// Loads what has come, and keeps it.
    fn load(&mut self, most: usize) -> Result<()> {
        loop {
            let Import { store, op, agent_name, loader, cutter, unread, .. } = self;
            let stream = &mut cutter.stream;
            let mut keep = |record: &Record<'_>| keep(record, op, agent_name, stream);
            let (writes, went) = store.read(|view| load::step_with(loader, view, unread, &mut keep))?;
            if !writes.is_empty() {
                store.write(writes.size(), move |_| Ok((writes, ())))?;
            }
            if let Some(body) = self.loader.body() {
                let id = self.session(&body.id);
                self.store.read(|view| check_free(view, self.op, id))?;
            }
            self.put(most, Rest::Waits)?;
            if went.is_continue() {
                return Ok(());
            }
        }
    }

    /// Writes the chunks there are, and the rest where that is all.
    fn put(&mut self, most: usize, rest: Rest) -> Result<()> {
        let mut chunks = Chunks::default();
        while self.cutter.stream.len() >= most || rest == Rest::Goes {
            let Some(chunk) = self.cutter.cut(most)? else { break };
            chunks.push(chunk);
        }
        if chunks.is_empty() {
            return Ok(());
        }
        let archive = self.archive;
        self.store.write(chunks.size(), move |_| Ok((chunks.put(archive)?, ())))
    }

    /// The session's id in this store.
    fn session(&self, said: &Id) -> SessionId {
        SessionId::from_uuid(match self.op.ids {
            ImportIds::Keep => Uuid::from_bytes(*said),
            ImportIds::New => self.op.stamp.uuid(1),
        })
    }

    fn publish(mut self, records: u64, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        let most = self.store.read(|view| Ok(scaled(ARCHIVE_CHUNK_BYTES, view)))?;
        self.put(most, Rest::Goes)?;
        let whole = self.cutter.whole();
        let (archive, id, op) = (self.archive, *self.op.stamp.uuid(0).as_bytes(), *self.op);
        let asked = self.agent;
        let (store, loaded) =
            (self.store, std::mem::replace(&mut self.loader, Loader::new(0, Trust::Strangers)).finish()?);
        if !loaded.is_archived {
            return Err(Error::corrupt("the last event of the archive does not tell that it is one"));
        }
        let session = self.session(&loaded.body.id);
        Progress::new(records, records).tell(on)?;
        store.write(4096, move |view| {
            let workspace = place::workspace(view, op.workspace)?;
            let agent = place::agent(view, workspace, op.agent)?;
            if agent != asked {
                return Err(Error::not_found(format_args!("agent {}, as it was when the import began,", op.agent)));
            }
            check_free(view, &op, session)?;
            let Loaded { session: number, body, head, .. } = &loaded;
            let filename = op.filename(session);
            let row = ArchiveRow {
                id,
                workspace,
                agent,
                session: *session.as_uuid().as_bytes(),
                number: *number,
                filename: &filename,
                key: &body.key,
                label: body.new.label.as_deref(),
                messages: head.messages,
                turns: head.turns,
                changes: head.changes,
                usage: head.usage,
                created_at: body.created_at,
                archived_at: head.updated_at,
                chunks: whole.chunks,
                bytes: whole.bytes,
                records,
                checksum: whole.checksum,
            };
            let mut writes = WriteSet::default();
            hidden::dislodge(view, workspace, session, op.stamp.at, &mut writes)?;
            writes.remove(Table::Meta, Remnant::Archive(archive).key());
            // What was loaded goes: its remnant stays.
            if view.get(Table::Meta, &meta::remnant(*number))?.is_none() {
                return Err(Error::corrupt(format!("session number {number} is not being loaded")));
            }
            show(view, &row, archive, &mut writes)?;
            Ok((writes, record(&row, op.workspace, op.agent)))
        })
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Rest {
    Waits,
    Goes,
}

/// Writes a record as this store has it.
fn keep(record: &Record<'_>, op: &ImportArchive, agent_name: &str, stream: &mut Vec<u8>) -> Result<()> {
    let Record::Session(row) = record else { return record.push(stream) };
    let row =
        SessionRow { workspace: 0, agent: 0, agent_id: *op.agent.as_uuid().as_bytes(), agent_name, ..row.clone() };
    Kind::Session.push_row(
        &match op.ids {
            ImportIds::Keep => row,
            // Nobody brought the id: no call can be a repetition of one that did.
            ImportIds::New => SessionRow { id: *op.stamp.uuid(1).as_bytes(), fingerprint: None, ..row },
        },
        stream,
    )
}

/// No session has the id, and none that is archived.
fn check_free(view: &dyn Read, op: &ImportArchive, session: SessionId) -> Result<()> {
    let workspace = place::workspace(view, op.workspace)?;
    if hidden::holder(view, workspace, session)?.is_some() || load::is_archived(view, workspace, session)? {
        return Err(Error::conflict(format!("session {session} is there")));
    }
    Ok(())
}
