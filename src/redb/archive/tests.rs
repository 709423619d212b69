//! Archives step by step: beside others, through crashes, and beside damage.

use std::ops::{Bound, ControlFlow};

use crate::error::ErrorKind;
use crate::id::Stamp;
use crate::page::{Direction, PageAt};
use crate::progress::Progress;
use crate::record::{ArchiveRecord, NewMessage, NewSession, SessionRecord};
use crate::redb::codec::{self, ChunkRow};
use crate::redb::tables::{Table, archives, of_session};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::redb::{Options, RedbStore};
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
        let record = self
            .store
            .archive_session(ArchiveSession { stamp: stamp(), at, only_at: None }, &mut go_on)
            .expect("an archive");
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
    let op = ArchiveSession { stamp: stamp(), at, only_at: None };
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

#[test]
fn an_archive_stays_through_closing_and_opening() {
    let scene = Scene::new();
    let at = scene.session(150);
    let archive = scene.archive(at);
    let scene = scene.reopen();
    scene.holds();
    scene.restore(&archive).expect("it is restored");
    let scene = scene.reopen();
    scene.holds();
    assert_eq!(scene.store.session(at).expect("it is there").last_message, 150);
}

impl Scene {
    /// What an archive that cannot be read is good for: nothing but to be listed and deleted.
    fn is_damaged(&self, archive: &ArchiveRef, rows: usize) {
        let refused = self.restore(archive).expect_err("it is damaged");
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
        self.wait_until_clear();
        assert_eq!(self.rows(), rows, "nothing is left of the attempt");
        assert!(!self.breaches().is_empty(), "verification names it");
        let query = ArchivesQuery { workspace: archive.workspace, agent: Some(archive.agent), page: PageAt::default() };
        let listed = self.store.archives(query).expect("they are listed");
        assert_eq!((listed.total, listed.items.len()), (1, 1));
        let op = DeleteArchive { stamp: stamp(), archive: archive.clone() };
        self.store.delete_archive(op).expect("it is deleted");
        self.wait_until_clear();
        self.holds();
        assert_eq!(self.chunks().len(), 0);
    }
}

#[test]
fn a_damaged_chunk_is_corrupt_and_its_archive_can_be_deleted() {
    type Damage = fn(&[Vec<u8>], &dyn Read, &mut WriteSet);
    let damages: [Damage; 4] = [
        |keys, _, writes| writes.remove(Table::Archives, keys[2].as_slice()),
        |keys, _, writes| writes.remove(Table::Archives, keys[keys.len() - 1].as_slice()),
        |keys, view, writes| {
            let mut value = view.get(Table::Archives, &keys[1]).expect("read").expect("it is there").value().to_vec();
            value[20] ^= 1;
            writes.put_value(Table::Archives, keys[1].clone(), value);
        },
        // Sound where they stand, but in each other's place.
        |keys, view, writes| {
            for (from, to) in [(1, 2), (2, 1)] {
                let value = view.get(Table::Archives, &keys[from]).expect("read").expect("it is there");
                let row: ChunkRow<'_> =
                    codec::decode(Table::Archives, &keys[from], value.value()).expect("it is sound");
                writes.put(Table::Archives, keys[to].as_slice(), &row).expect("it is put");
            }
        },
    ];
    for damage in damages {
        let scene = Scene::new();
        scene.session(20);
        let archive = scene.archive(scene.session(300));
        scene.wait_until_clear();
        let (rows, keys) = (scene.rows(), scene.chunks());
        scene.write(move |view, writes| damage(&keys, view, writes));
        scene.is_damaged(&archive, rows);
    }
}

#[test]
fn an_archive_that_is_deleted_while_it_is_restored_is_not_found() {
    let scene = Scene::new();
    let archive = scene.archive(scene.session(300));
    scene.wait_until_clear();
    let mut delete = |_: Progress| {
        // What is loaded is no matter of the cleaning; the chunks are, once the archive is gone.
        if !scene.chunks().is_empty() {
            scene
                .store
                .delete_archive(DeleteArchive { stamp: stamp(), archive: archive.clone() })
                .expect("it is deleted");
            while !scene.chunks().is_empty() {
                std::thread::yield_now();
            }
        }
        ControlFlow::Continue(())
    };
    let op = RestoreArchive { stamp: stamp(), archive: archive.clone(), label: None };
    let refused = scene.store.restore_archive(op, &mut delete).expect_err("there is nothing to restore any more");
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    scene.wait_until_clear();
    assert_eq!(scene.rows(), 0);
    scene.holds();
}

#[test]
fn an_archive_whose_row_is_damaged_is_deleted_by_the_listing() {
    let scene = Scene::new();
    let archive = scene.archive(scene.session(30));
    scene.wait_until_clear();
    scene.write(|_, writes| writes.put_value(Table::Archives, archives::row(1), vec![1, 2, 3]));
    scene.is_damaged(&archive, 0);
}

#[test]
fn whatever_leads_to_an_archive_is_verified() {
    let all = |scene: &Scene| scene.keys(Table::Archives, &[0], &[9]);
    let scene = Scene::new();
    scene.archive(scene.session(30));
    let keys = all(&scene);
    assert!(keys.len() >= 7, "{keys:?}");
    for key in keys {
        let (removed, kept) = (key.clone(), std::sync::mpsc::channel());
        scene.write(move |view, writes| {
            let value = view.get(Table::Archives, &removed).expect("read").expect("it is there").value().to_vec();
            kept.0.send(value).expect("it is kept");
            writes.remove(Table::Archives, removed);
        });
        assert!(!scene.breaches().is_empty(), "{key:?} is missing, and nobody says so");
        let (back, value) = (key.clone(), kept.1.recv().expect("it was kept"));
        scene.write(move |_, writes| writes.put_value(Table::Archives, back, value));
        scene.holds();
    }
    for stray in [
        archives::chunk(7, 0),
        archives::chunk(1, 999),
        archives::filename(2, "another"),
        archives::session(1, &[1; 16]),
        archives::listed(1, 5, 1),
        vec![6],
    ] {
        let put = stray.clone();
        scene.write(move |_, writes| {
            writes.put(Table::Archives, put, &codec::NumberRow { number: 1 }).expect("it is put");
        });
        assert!(!scene.breaches().is_empty(), "{stray:?} is too much, and nobody says so");
        scene.write(move |_, writes| writes.remove(Table::Archives, stray));
        scene.holds();
    }
}
