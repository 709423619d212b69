//! Restoring the session of an archive.

use super::chunk::{Opened, open};
use super::listing::{self, Standing, find};
use super::outbox::move_outbox;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{OnProgress, Progress};
use crate::record::SessionRecord;
use crate::redb::RedbStore;
use crate::redb::codec::{self, CHANGE_RESTORED, ChangeRow, ChunkRow};
use crate::redb::load::{self, Loaded, Loader, Published, Trust, Unread};
use crate::redb::place;
use crate::redb::tables::{Table, archives, names};
use crate::redb::view::{self, Read};
use crate::redb::write_set::WriteSet;
use crate::store::RestoreArchive;

/// Restores an archive, step by step.
pub(in crate::redb) fn restore(
    store: &RedbStore,
    op: RestoreArchive,
    on: &mut OnProgress<'_>,
) -> Result<SessionRecord> {
    let archive = store.read(|view| {
        let archive = find(view, &op.archive)?;
        check_key(view, &archive)?;
        Ok(archive)
    })?;
    let (left, stamp) = (store.written()?.left.clone(), op.stamp);
    let (number, held) = store.write(256, move |view| load::begin(view, stamp, &left))?;
    let restored = load_and_publish(store, &archive, number, op, on);
    drop(held);
    store.look()?;
    restored
}

/// The key is free.
fn check_key(view: &dyn Read, archive: &Standing) -> Result<()> {
    let key = &archive.record.key;
    match place::named(view, &names::session_key(archive.agent, key))? {
        Some(_) => Err(Error::conflict(format!("session key {key:?} is in use by another session of the agent"))),
        None => Ok(()),
    }
}

fn load_and_publish(
    store: &RedbStore,
    archive: &Standing,
    number: u32,
    op: RestoreArchive,
    on: &mut OnProgress<'_>,
) -> Result<SessionRecord> {
    let (loaded, last) = match load(store, archive, number, on) {
        // Its chunks may be gone because it is.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            return Err(store.read(|view| find(view, &op.archive)).err().unwrap_or(error));
        }
        loaded => loaded?,
    };
    Progress::new(loaded.records(), loaded.records()).tell(on)?;
    let (archive, left) = (archive.clone(), store.written()?.left.clone());
    store.write(1 << 16, move |view| {
        let restored = publish(view, &archive, &loaded, last, &op)?;
        left.note();
        Ok(restored)
    })
}

/// Loads all of the session. Answers with what is left to be written.
fn load(store: &RedbStore, archive: &Standing, number: u32, on: &mut OnProgress<'_>) -> Result<(Loaded, WriteSet)> {
    let mut loader = Loader::new(number, Trust::Ours);
    let (mut unread, mut opened, mut waiting) = (Unread::default(), Opened::default(), WriteSet::default());
    for chunk in 0..archive.chunks {
        let stream = store.read(|view| read(view, archive, chunk))?;
        opened.add(&stream);
        unread.feed(&stream);
        loop {
            // Each step looks up what those before it wrote.
            write(store, std::mem::take(&mut waiting))?;
            let (writes, went) = store.read(|view| load::step(&mut loader, view, &mut unread))?;
            waiting = writes;
            if went.is_continue() {
                break;
            }
        }
        let (done, total) = loader.progress();
        if done < total {
            Progress::new(done, total).tell(on)?;
        }
    }
    opened.check(archive.bytes, archive.checksum)?;
    if !unread.is_empty() {
        return Err(Error::corrupt("an archive ends within a record"));
    }
    Ok((loader.finish()?, waiting))
}

fn write(store: &RedbStore, writes: WriteSet) -> Result<()> {
    if writes.is_empty() {
        return Ok(());
    }
    store.write(writes.size(), move |_| Ok((writes, ())))
}

/// What a chunk of an archive says.
fn read(view: &dyn Read, archive: &Standing, chunk: u32) -> Result<Vec<u8>> {
    let key = archives::chunk(archive.number, chunk);
    let read = view.row(Table::Archives, &key, |value| {
        open(&archive.id, chunk, &codec::decode::<ChunkRow<'_>>(Table::Archives, &key, value)?)
    })?;
    read.ok_or_else(|| view::missing("chunk of an archive", &key))
}

/// Gives back the session, and takes away the archive.
fn publish(
    view: &dyn Read,
    archive: &Standing,
    loaded: &Loaded,
    last: WriteSet,
    op: &RestoreArchive,
) -> Result<(WriteSet, SessionRecord)> {
    if find(view, &op.archive)? != *archive {
        return Err(Error::conflict(format!("archive {:?} is another one by now", op.archive.filename)));
    }
    if loaded.body.id != *archive.record.session_id.as_uuid().as_bytes() {
        return Err(Error::corrupt(format!("archive {:?} has another session", op.archive.filename)));
    }
    if !loaded.is_archived {
        return Err(Error::corrupt(format!(
            "the last event of archive {:?} does not tell that it is one",
            op.archive.filename
        )));
    }
    let published = Published {
        stamp: op.stamp,
        workspace: op.archive.workspace,
        agent: op.archive.agent,
        id: archive.record.session_id,
        label: op.label.clone().or_else(|| archive.record.label.clone()),
        event: Some(ChangeRow { kind: CHANGE_RESTORED, number: 0, id: None, state: 0 }),
    };
    let (writes, record) = load::publish(view, loaded, &published)?;
    let mut all = last;
    all.extend(writes);
    listing::hide(view, archive, op.stamp.at, &mut all)?;
    move_outbox(view, archive.session, loaded.session, &mut all)?;
    Ok((all, record))
}
