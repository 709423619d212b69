//! Archiving a session.

use uuid::Uuid;

use super::chunk::{Chunk, Cutter, Whole};
use super::listing::{record, show};
use super::read::Source;
use crate::error::{Error, Result};
use crate::limit::{ARCHIVE_CHUNK_BYTES, LOAD_STEP_BYTES};
use crate::progress::{OnProgress, Progress};
use crate::record::{ArchiveRecord, SessionRecord};
use crate::redb::RedbStore;
use crate::redb::cleaning::Held;
use crate::redb::codec::{ArchiveRow, CHANGE_ARCHIVED, ChangeRow, HeadRow, Id, NumberRow};
use crate::redb::load::{Kind, scaled};
use crate::redb::message::{check_at, check_idle};
use crate::redb::place::{self, Place};
use crate::redb::remnant::{self, Remnant};
use crate::redb::tables::{Table, archives, meta, sessions};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::redb::{scope, session};
use crate::store::ArchiveSession;
use crate::sync::Arc;
use crate::time::Timestamp;

/// Archives a session, step by step.
pub(in crate::redb) fn archive(
    store: &RedbStore,
    op: ArchiveSession,
    on: &mut OnProgress<'_>,
) -> Result<ArchiveRecord> {
    let mut begun = None;
    let archived = run(store, op, on, &mut begun);
    drop(begun);
    store.look()?;
    archived
}

fn run(
    store: &RedbStore,
    op: ArchiveSession,
    on: &mut OnProgress<'_>,
    begun: &mut Option<(u32, Held)>,
) -> Result<ArchiveRecord> {
    let mut work = store.read(|view| Work::begin(view, op))?;
    loop {
        let steps = store.read(|view| work.read(view))?;
        if work.source.is_done() {
            break;
        }
        let (done, total) = work.source.progress();
        Progress::new(done, total).tell(on)?;
        if steps == Full::Yes {
            let number = begin(store, begun, op.stamp.at)?;
            let chunks = std::mem::take(&mut work.chunks);
            store.write(chunks.size(), move |_| Ok((chunks.put(number)?, ())))?;
        }
    }
    let (_, total) = work.source.progress();
    Progress::new(total, total).tell(on)?;
    let (number, left) = (begun.as_ref().map(|(number, _)| *number), store.written()?.left.clone());
    let (bytes, finished) = (work.chunks.size(), work.finish()?);
    store.write(bytes + 4096, move |view| {
        let archived = finished.publish(view, number)?;
        left.note();
        Ok(archived)
    })
}

/// Whether it is time to write.
#[derive(PartialEq, Eq)]
enum Full {
    Yes,
    No,
}

/// A number for the archive, below which nobody clears away as long as it is held.
pub(super) fn begin(store: &RedbStore, begun: &mut Option<(u32, Held)>, now: Timestamp) -> Result<u32> {
    if let Some((number, _)) = begun {
        return Ok(*number);
    }
    let left = store.written()?.left.clone();
    let (number, held) = store.write(256, move |view| {
        let mut writes = WriteSet::default();
        let number = next(view, &mut writes)?;
        Remnant::Archive(number).put(&mut writes, now)?;
        Ok((writes, (number, left.hold(Remnant::Archive(number)))))
    })?;
    *begun = Some((number, held));
    Ok(number)
}

/// The next number of an archive.
fn next(view: &dyn Read, writes: &mut WriteSet) -> Result<u32> {
    let mut made = view.plain::<NumberRow>(Table::Meta, meta::ARCHIVES)?.unwrap_or(NumberRow { number: 0 });
    let number = scope::next_number(&mut made.number, "archives")?;
    writes.put(Table::Meta, meta::ARCHIVES, &made)?;
    Ok(number)
}

/// Chunks that are to be written, by their numbers.
#[derive(Default)]
pub(super) struct Chunks(Vec<(u32, Chunk)>);

impl Chunks {
    pub(super) fn push(&mut self, chunk: (u32, Chunk)) {
        self.0.push(chunk);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how many bytes they take.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|(_, chunk)| chunk.size() + 64).sum()
    }

    /// Puts them into an archive.
    pub(super) fn put(&self, archive: u32) -> Result<WriteSet> {
        let mut writes = WriteSet::default();
        for (number, chunk) in &self.0 {
            writes.put_new(Table::Archives, archives::chunk(archive, *number), &chunk.row())?;
        }
        Ok(writes)
    }
}

/// A session that is being archived.
struct Work {
    op: ArchiveSession,
    place: Place,
    body: Arc<SessionRecord>,
    /// Where the session stood at the beginning.
    head: HeadRow,
    /// Where it stands in the archive: it was archived.
    archived: HeadRow,
    id: Id,
    source: Source,
    cutter: Cutter,
    /// What is to be written.
    chunks: Chunks,
}

impl Work {
    fn begin(view: &dyn Read, op: ArchiveSession) -> Result<Self> {
        let place = place::find(view, op.at)?;
        let head: HeadRow = view.expected(Table::Sessions, &sessions::head(place.number))?;
        check_idle(&head, place.session)?;
        check_at(&head, place.session, op.only_at)?;
        let body = session::body(view, op.at, place.number, head.body)?;
        let updated_at = op.stamp.at.as_micros().max(head.updated_at);
        let archived = HeadRow { changes: head.changes + 1, updated_at, ..head };
        let id = *op.stamp.uuid(0).as_bytes();
        let mut cutter = Cutter::new(id);
        let source = Source::open(view, place.number, head, &archived, &mut cutter.stream)?;
        Ok(Work { op, place, body, head, archived, id, source, cutter, chunks: Chunks::default() })
    }

    /// The session is what it was, and stands where it stood.
    fn check_same(&self, view: &dyn Read) -> Result<()> {
        let changed = || Error::conflict(format!("session {} changed while it was being archived", self.place.session));
        // Deleted, or archived by somebody else, it is not found.
        if place::find(view, self.op.at)?.number != self.place.number {
            return Err(changed());
        }
        let head: HeadRow = view.expected(Table::Sessions, &sessions::head(self.place.number))?;
        check_idle(&head, self.place.session)?;
        if head == self.head { Ok(()) } else { Err(changed()) }
    }

    /// Reads a part of the session, and makes chunks of it.
    fn read(&mut self, view: &dyn Read) -> Result<Full> {
        self.check_same(view)?;
        let most = scaled(ARCHIVE_CHUNK_BYTES, view);
        self.source.read(view, &mut self.cutter.stream, most)?;
        while self.cutter.stream.len() >= most {
            let Some(chunk) = self.cutter.cut(most)? else { break };
            self.chunks.push(chunk);
        }
        if self.source.is_done() {
            // That it was archived is part of it.
            let event = ChangeRow { kind: CHANGE_ARCHIVED, number: 0, id: None, state: 0 };
            Kind::Change.push_row(&event, &mut self.cutter.stream)?;
            while let Some(chunk) = self.cutter.cut(most)? {
                self.chunks.push(chunk);
            }
        }
        let full = self.chunks.size() >= scaled(LOAD_STEP_BYTES, view);
        Ok(if full { Full::Yes } else { Full::No })
    }

    fn finish(self) -> Result<Finished> {
        let filename = self.op.filename();
        Ok(Finished { whole: self.cutter.whole(), records: self.source.progress().1 + 1, filename, work: self })
    }
}

/// All of a session was read.
struct Finished {
    work: Work,
    whole: Whole,
    records: u64,
    filename: String,
}

impl Finished {
    /// Shows the archive, of which all but the last chunks are there, and hides the session.
    fn publish(self, view: &dyn Read, begun: Option<u32>) -> Result<(WriteSet, ArchiveRecord)> {
        let Finished { work, whole, records, filename } = self;
        work.check_same(view)?;
        let mut writes = WriteSet::default();
        let number = match begun {
            Some(number) => number,
            None => next(view, &mut writes)?,
        };
        writes.extend(work.chunks.put(number)?);
        let (Place { number: session, workspace, agent, .. }, head) = (work.place, work.archived);
        let row = ArchiveRow {
            id: work.id,
            workspace,
            agent,
            session: *work.place.session.as_uuid().as_bytes(),
            number: session,
            filename: &filename,
            key: &work.body.key,
            label: work.body.label.as_deref(),
            messages: head.messages,
            turns: head.turns,
            changes: head.changes,
            usage: head.usage,
            created_at: work.body.created_at.as_micros(),
            archived_at: head.updated_at,
            chunks: whole.chunks,
            bytes: whole.bytes,
            records,
            checksum: whole.checksum,
        };
        if begun.is_some() {
            writes.remove(Table::Meta, Remnant::Archive(number).key());
        }
        show(view, &row, number, &mut writes)?;
        Remnant::Archived(session).put(&mut writes, work.op.stamp.at)?;
        remnant::hide(view, work.place, &work.head, &work.body.key, &mut writes)?;
        let agent = Uuid::from_bytes(scope::id(view, agent)?).into();
        Ok((writes, record(&row, work.op.at.workspace, agent)))
    }
}
