//! Streams of strangers as archives.

use std::cell::Cell;
use std::ops::ControlFlow;

use uuid::Uuid;

use super::snapshot::SessionSnapshot;
use crate::error::{ErrorKind, Result};
use crate::id::{OwnerId, Stamp};
use crate::page::PageAt;
use crate::progress::Progress;
use crate::record::{ContextMark, NewMessage, NewSession, ToolCall};
use crate::redb::{Options, RedbStore, pack, unpack};
use crate::store::{
    Append, ArchiveRef, ArchiveSession, ArchivesQuery, Behaviour, CreateSession, DeleteArchive, DeleteMessage,
    EnsureAgent, EnsureWorkspace, Finish, ImportArchive, ImportIds, Outcome, RestoreArchive, Runner, SessionRef,
    SetContextMark, Store,
};
use crate::time::Timestamp;

/// What the chunks of the stream of an exported archive say, one after the other: its records.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt) where it is no sound archive.
pub fn unpack_archive(stream: &[u8]) -> Result<Vec<u8>> {
    unpack(stream)
}

/// A stream whose chunks, each of at most so many bytes, say these records, whatever they are, with all checksums and counts
/// right: so that what stands behind those is reached.
///
/// # Errors
///
/// None but that there are more chunks than can be.
pub fn pack_archive(records: &[u8], most: usize) -> Result<Vec<u8>> {
    pack(records, most)
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A store in memory, with an agent.
struct Place {
    store: RedbStore,
    at: ArchiveRef,
    stamps: Cell<u64>,
}

impl Place {
    fn new() -> Result<Self> {
        let store = RedbStore::in_memory(Options { cache_bytes: 1 << 20, block: 2, ..Options::default() })?;
        let stamp = Stamp::new(Timestamp::from_micros(1_777_573_302_000_000), 1 << 20);
        let workspace = store.ensure_workspace(EnsureWorkspace { stamp, name: "acme".into() })?.id;
        let agent = store.ensure_agent(EnsureAgent { stamp, workspace, name: "greeter".into() })?.id;
        Ok(Place { store, at: ArchiveRef { workspace, agent, filename: String::new() }, stamps: Cell::new(1) })
    }

    fn stamp(&self) -> Stamp {
        let stamps = self.stamps.get() + 1;
        self.stamps.set(stamps);
        Stamp::new(Timestamp::from_micros(1_777_573_302_000_000 + stamps), stamps << 20)
    }

    /// The stream of a session with a little of everything.
    fn exported(&self) -> Result<Vec<u8>> {
        let ArchiveRef { workspace, agent, .. } = self.at;
        let runner =
            Runner { owner: OwnerId::from_uuid(Uuid::from_u128(1)), lease: None, behaviour: Behaviour::Registered };
        let new = NewSession::default().key("k").label("l");
        let call = NewMessage::calls([ToolCall::new("c", "look", "{}")]);
        let first = Some((call.clone().into(), runner));
        let op = CreateSession { stamp: self.stamp(), workspace, agent, new, first };
        let created = self.store.create_session(op)?;
        let at = SessionRef { workspace, session: created.session.id };
        let Some(claim) = created.first.and_then(|first| first.claim) else { return Ok(Vec::new()) };
        let outcome = Outcome::Completed(Some(Box::new("done".into())));
        let stamp = self.stamp();
        self.store.finish(Finish {
            stamp,
            at,
            claim,
            started_at: None,
            outcome,
            usage: crate::record::Usage { input: 3, ..Default::default() },
            next: None,
        })?;
        let op = Append { stamp: self.stamp(), at, thread: None, messages: vec![call, "b".into(), "c".into()] };
        let written = self.store.append(op)?;
        let mark = Some(ContextMark::new(2, "so far"));
        self.store.set_context_mark(SetContextMark { stamp: self.stamp(), at, claim: None, mark })?;
        if let Some(message) = written.first() {
            self.store.delete_message(DeleteMessage { stamp: self.stamp(), at, message: message.id })?;
        }
        let archive =
            self.store.archive_session(ArchiveSession { stamp: self.stamp(), at, only_at: None }, &mut go_on)?;
        let archive = ArchiveRef { filename: archive.filename, ..self.at.clone() };
        let mut stream = Vec::new();
        self.store.export_archive(&archive, &mut stream, &mut go_on)?;
        self.store.delete_archive(DeleteArchive { stamp: self.stamp(), archive })?;
        Ok(stream)
    }

    /// Imports a stream; what came of it can be restored, or there is nothing.
    fn import(&self, stream: &[u8], ids: ImportIds) {
        let ArchiveRef { workspace, agent, .. } = self.at;
        let op = ImportArchive { stamp: self.stamp(), workspace, agent, ids };
        let imported = self.store.import_archive(op, &mut &stream[..], &mut go_on);
        let all = ArchivesQuery { workspace, agent: None, page: PageAt::default() };
        let there = self.store.archives(all).expect("they can be listed").items;
        match imported {
            Ok(record) => {
                assert_eq!(there, std::slice::from_ref(&record));
                let archive = ArchiveRef { filename: record.filename, ..self.at.clone() };
                let op = RestoreArchive { stamp: self.stamp(), archive, label: None };
                let session = self.store.restore_archive(op, &mut go_on).expect("what was imported can be restored");
                let at = SessionRef { workspace, session: session.id };
                self.holds();
                SessionSnapshot::of(&self.store, at).expect("it can be read");
                let op = Append { stamp: self.stamp(), at, thread: None, messages: vec!["it goes on".into()] };
                self.store.append(op).expect("it goes on");
            }
            Err(error) => {
                let kinds = [ErrorKind::Corrupt, ErrorKind::TooLarge, ErrorKind::NewerFormat];
                assert!(kinds.contains(&error.kind()), "{error:?}");
                assert_eq!(there, [], "nothing of it shows");
            }
        }
        self.holds();
    }

    fn holds(&self) {
        assert_eq!(self.store.verify().expect("it verifies"), Vec::<String>::new());
    }
}

/// Imports what these bytes make of an archive: the first chooses whether they are a stream as they are, or records, or say what
/// is changed of the records of a sound one, in pieces of 4 bytes (where, and what).
///
/// # Panics
///
/// When the import panics, changes anything and refuses, or lets in what does not verify or cannot be restored.
pub fn check_archive(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let place = Place::new().expect("a store in memory");
    let sound = place.exported().expect("it is exported");
    let stream = match how % 4 {
        0 => rest.to_vec(),
        1 => pack(rest, 1 + usize::from(how)).expect("it is packed"),
        2 => changed(sound, rest),
        _ => {
            let records = unpack(&sound).expect("it is sound");
            pack(&changed(records, rest), 1 + 4 * usize::from(how)).expect("it is packed")
        }
    };
    place.import(&stream, if how & 4 == 0 { ImportIds::Keep } else { ImportIds::New });
}

/// Bytes with some of them changed, put in or taken out.
fn changed(mut bytes: Vec<u8>, how: &[u8]) -> Vec<u8> {
    for piece in how.as_chunks::<4>().0 {
        let [what, high, low, value] = *piece;
        let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
        let length = usize::from(value).min(bytes.len().saturating_sub(at));
        match (what % 6, bytes.get_mut(at)) {
            (0 | 1, Some(byte)) => *byte = value,
            (2, Some(byte)) => *byte ^= 1 << (value % 8),
            (3, Some(_)) => bytes.insert(at, value),
            (4, Some(_)) => drop(bytes.drain(at..at + length)),
            (_, Some(_)) => {
                let copied: Vec<u8> = bytes.iter().skip(at).take(length).copied().collect();
                let to = (at * 7 + usize::from(what)) % bytes.len();
                bytes.splice(to..to, copied);
            }
            (_, None) => {}
        }
    }
    bytes
}
