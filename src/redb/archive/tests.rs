//! Archives step by step: beside others, through crashes, and beside damage.

use std::ops::{Bound, ControlFlow};

use crate::error::ErrorKind;
use crate::id::Stamp;
use crate::page::{Direction, PageAt};
use crate::progress::Progress;
use crate::record::{ArchiveRecord, NewMessage, NewSession, SessionRecord};
use crate::redb::codec::{self, ArchiveRow, ChunkRow};
use crate::redb::tables::{Table, archives, of_session};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::redb::{Options, RedbStore, verify};
use crate::store::{
    Append, ArchiveRef, ArchiveSession, ArchivesQuery, CreateSession, DeleteArchive, EnsureAgent, EnsureWorkspace,
    RestoreArchive, SessionRef, Store,
};
use crate::time::Timestamp;

/// A file of small steps, in which a session is some messages of an agent.
struct Scene {
    store: RedbStore,
    dir: tempfile::TempDir,
}

fn stamp() -> Stamp {
    Stamp::random(Timestamp::from_micros(1_777_573_302_000_000))
}

fn open(dir: &std::path::Path) -> RedbStore {
    let options = Options { cache_bytes: 1 << 20, block: 1, ..Options::default() };
    RedbStore::open(&dir.join("a.parlor"), options).expect("it opens")
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Scene { store: open(dir.path()), dir }
    }

    /// As after a close, or a process that died where nothing was closed.
    fn reopen(self) -> Self {
        let Scene { store, dir } = self;
        drop(store);
        Scene { store: open(dir.path()), dir }
    }

    fn session(&self, messages: usize) -> SessionRef {
        let op = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
        let workspace = self.store.ensure_workspace(op).expect("a workspace").id;
        let op = EnsureAgent { stamp: stamp(), workspace, name: "greeter".into() };
        let agent = self.store.ensure_agent(op).expect("an agent").id;
        let op = CreateSession { stamp: stamp(), workspace, agent, new: NewSession::default(), first: None };
        let made = self.store.create_session(op).expect("a session").session;
        let at = SessionRef { workspace, session: made.id };
        for batch in (0..messages).collect::<Vec<_>>().chunks(100) {
            let messages = batch.iter().map(|n| NewMessage::text(format!("message {n} of some length"))).collect();
            let op = Append { stamp: stamp(), at, thread: None, messages };
            self.store.append(op).expect("they are appended");
        }
        at
    }

    fn archive(&self, at: SessionRef) -> ArchiveRef {
        let record = self.store.archive_session(ArchiveSession { stamp: stamp(), at }, &mut go_on).expect("an archive");
        reference(&record)
    }

    fn restore(&self, archive: &ArchiveRef) -> crate::Result<SessionRecord> {
        let op = RestoreArchive { stamp: stamp(), archive: archive.clone(), label: None };
        self.store.restore_archive(op, &mut go_on)
    }

    fn breaches(&self) -> Vec<String> {
        self.store.verify().expect("it verifies")
    }

    fn holds(&self) {
        assert_eq!(self.breaches(), Vec::<String>::new());
    }

    fn write(&self, verb: impl FnOnce(&dyn Read, &mut WriteSet) + Send + 'static) {
        let verb = move |view: &dyn Read| {
            let mut writes = WriteSet::default();
            verb(view, &mut writes);
            Ok((writes, ()))
        };
        self.store.write(1, verb).expect("it is written");
    }

    /// Keys of a table between two.
    fn keys(&self, table: Table, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let published = self.store.written().expect("it is open").shared.snapshot().expect("a snapshot");
        let between = (Bound::Included(from), Bound::Included(to));
        let scanned = published.scan(table, between, Direction::Asc, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        });
        scanned.map(|()| keys).expect("they are read")
    }

    fn chunks(&self) -> Vec<Vec<u8>> {
        self.keys(Table::Archives, &archives::chunk(0, 0), &archives::chunk(u32::MAX, u32::MAX))
    }

    /// Rows below sessions of any number.
    fn rows(&self) -> usize {
        self.keys(Table::Rows, &of_session(0).0, &of_session(u32::MAX).1).len()
    }

    /// Waits until the writer thread has nothing to clear away.
    fn wait_until_clear(&self) {
        let shared = &self.store.written().expect("it is open").shared;
        while crate::redb::remnant::is_any(&*shared.snapshot().expect("a snapshot")).expect("it can be read") {
            std::thread::yield_now();
        }
    }
}

fn reference(record: &ArchiveRecord) -> ArchiveRef {
    ArchiveRef { workspace: record.workspace_id, agent: record.agent_id, filename: record.filename.clone() }
}

#[test]
fn archiving_and_restoring_leave_nothing_behind() {
    let scene = Scene::new();
    let at = scene.session(300);
    let rows = scene.rows();
    let archive = scene.archive(at);
    scene.wait_until_clear();
    assert_eq!((scene.rows(), scene.chunks().len() > 3), (0, true));
    scene.holds();
    scene.restore(&archive).expect("it is restored");
    scene.wait_until_clear();
    // It was archived and restored.
    assert_eq!((scene.rows(), scene.chunks().len()), (rows + 2, 0));
    scene.holds();
}

#[test]
fn what_was_broken_off_is_cleared_away() {
    let scene = Scene::new();
    let at = scene.session(300);
    let rows = scene.rows();
    let mut stop_at_the_end =
        |progress: Progress| if progress.is_last() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let op = ArchiveSession { stamp: stamp(), at };
    let refused = scene.store.archive_session(op, &mut stop_at_the_end).expect_err("it is broken off");
    assert_eq!(refused.kind(), ErrorKind::Cancelled);
    scene.wait_until_clear();
    assert_eq!((scene.rows(), scene.chunks().len()), (rows, 0));
    let archive = scene.archive(at);
    scene.wait_until_clear();
    let chunks = scene.chunks();
    let op = RestoreArchive { stamp: stamp(), archive: archive.clone(), label: None };
    let refused = scene.store.restore_archive(op, &mut stop_at_the_end).expect_err("it is broken off");
    assert_eq!(refused.kind(), ErrorKind::Cancelled);
    scene.wait_until_clear();
    assert_eq!((scene.rows(), scene.chunks()), (0, chunks));
    scene.holds();
}
