//! What is left of a deleted session, step by step, through crashes and beside damage.

use std::fs;
use std::path::Path;

use super::*;
use crate::error::Result;
use crate::id::{Stamp, WorkspaceId};
use crate::record::{NewMessage, NewSession};
use crate::redb::snapshot::Snapshot;
use crate::redb::writer::{Job, Task};
use crate::redb::{Options, RedbStore, verify};
use crate::store::{Append, CreateSession, EnsureAgent, EnsureWorkspace, SessionRef, Store};
use crate::sync::{Arc, Sender, bounded};
use crate::time::Timestamp;

/// A file, in which each session gets an id and the rows of so many messages.
struct Scene {
    store: RedbStore,
    dir: tempfile::TempDir,
}

fn open(dir: &Path) -> RedbStore {
    let options = Options { cache_bytes: 1 << 20, block: 1, ..Options::default() };
    RedbStore::open(&dir.join("a.parlor"), options).expect("it opens")
}

fn stamp() -> Stamp {
    Stamp::random(Timestamp::from_micros(1_777_573_302_000_000))
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Scene { store: open(dir.path()), dir }
    }

    fn written(&self) -> &crate::redb::Written {
        self.store.written().expect("it was opened to be written")
    }

    fn send(&self, job: Job) {
        let tasks = self.written().tasks.lock().clone().expect("it is open");
        tasks.send(Task::Job(job)).expect("the writer is there");
    }

    /// Keeps everybody from writing, until what is returned is sent something.
    fn hold(&self) -> Sender<()> {
        let ((arrived, arrival), (let_go, gate)) = (bounded(1), bounded::<()>(1));
        let (held, _) = Job::new(1, move |_| {
            let _ = (arrived.send(()), gate.recv());
            Ok((WriteSet::default(), ()))
        });
        self.send(held);
        arrival.recv().expect("the writer is held");
        let_go
    }

    /// A copy of everything, as a process leaves it that dies now.
    fn crash(&self) -> Self {
        let _held = self.hold();
        let _file = self.written().shared.database.lock();
        let dir = tempfile::tempdir().expect("a directory");
        for entry in fs::read_dir(self.dir.path()).expect("the directory") {
            let from = entry.expect("an entry").path();
            fs::copy(&from, dir.path().join(from.file_name().expect("a name"))).expect("a copy");
        }
        Scene { store: open(dir.path()), dir }
    }

    fn workspace(&self) -> WorkspaceId {
        let op = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
        self.store.ensure_workspace(op).expect("a workspace").id
    }

    fn session(&self, id: u128, messages: Vec<NewMessage>) -> SessionRef {
        let workspace = self.workspace();
        let op = EnsureAgent { stamp: stamp(), workspace, name: "greeter".into() };
        let agent = self.store.ensure_agent(op).expect("an agent").id;
        let new = NewSession::default().id(uuid::Uuid::from_u128(id));
        let op = CreateSession { stamp: stamp(), workspace, agent, new, first: None };
        let made = self.store.create_session(op).expect("a session").session;
        let at = SessionRef { workspace, session: made.id };
        let op = Append { stamp: stamp(), at, thread: None, messages };
        self.store.append(op).expect("they are appended");
        at
    }

    /// Deletes a session, and has nobody clear away what is left.
    fn hide(&self, at: SessionRef) {
        let op = DeleteSession { stamp: stamp(), at, only_at: None };
        self.store.write(1, move |view| delete(view, &op)).expect("it is deleted");
    }

    /// Takes one step; whether there was one to take.
    fn step(&self, rows: usize) -> bool {
        let step = move |view: &dyn Read| {
            let writes = step(view, rows, &|_| false)?;
            let any = writes.is_some();
            Ok((writes.unwrap_or_default(), any))
        };
        self.store.write(1, step).expect("a step")
    }

    fn published(&self) -> Arc<Snapshot> {
        self.written().shared.snapshot().expect("it is open")
    }

    /// Rows of a session of this number.
    fn rows(&self, session: u32) -> usize {
        let (from, to) = of_session(session);
        let between = (Bound::Included(from.as_slice()), Bound::Included(to.as_slice()));
        let mut rows = 0;
        let counted = self.published().scan(Table::Rows, between, Direction::Asc, &mut |_, _| {
            rows += 1;
            Ok(ControlFlow::Continue(()))
        });
        counted.map(|()| rows).expect("they can be counted")
    }

    /// Waits until the writer thread has nothing to clear away.
    fn wait_until_clear(&self) {
        while is_any(&*self.published()).expect("it can be read") {
            std::thread::yield_now();
        }
    }

    fn holds(&self) {
        assert_eq!(verify::all(&*self.published()).expect("it verifies"), Vec::<String>::new());
    }

    fn is_hidden(&self, at: SessionRef) -> bool {
        let (session, changes) = (self.store.session(at), self.store.changes(at, 0, 10));
        [session.err(), changes.err()].into_iter().all(|error| error.is_some_and(|error| error.is_not_found()))
    }

    fn write<T: Send + 'static>(&self, verb: impl FnOnce(&mut WriteSet) -> Result<T> + Send + 'static) -> T {
        let verb = |_: &dyn Read| {
            let mut writes = WriteSet::default();
            let said = verb(&mut writes)?;
            Ok((writes, said))
        };
        self.store.write(1, verb).expect("it is written")
    }
}

fn messages(count: usize) -> Vec<NewMessage> {
    vec![NewMessage::text("hello"); count]
}

#[test]
fn a_step_takes_no_more_than_it_may_and_the_last_takes_the_remnant() {
    let scene = Scene::new();
    let at = scene.session(1, messages(20));
    scene.hide(at);
    let (mut left, mut steps) = (scene.rows(1), 0);
    assert!(left > 60, "{left} rows");
    while scene.step(7) {
        let now = scene.rows(1);
        assert_eq!(now, left.saturating_sub(7));
        assert!(scene.is_hidden(at));
        scene.holds();
        (left, steps) = (now, steps + 1);
    }
    assert_eq!((left, is_any(&*scene.published()).expect("it can be read")), (0, false));
    assert!(!scene.step(7));
}

#[test]
fn one_step_takes_as_many_sessions_as_fit() {
    let scene = Scene::new();
    let sessions = [1, 2, 3, 4].map(|id| scene.session(id, messages(2)));
    sessions[..3].iter().for_each(|at| scene.hide(*at));
    let rows = scene.rows(1);
    // Of each of two all rows and the remnant; of the third one row.
    assert!(scene.step(2 * rows + 3));
    assert_eq!([1, 2, 3, 4].map(|session| scene.rows(session)), [0, 0, rows - 1, rows]);
    assert_eq!(all(&*scene.published()).expect("they can be read"), [3]);
    assert!(scene.step(usize::MAX) && !scene.step(usize::MAX));
    scene.holds();
    assert_eq!(scene.store.session(sessions[3]).expect("it is live").last_message, 2);
}

#[test]
fn a_step_over_large_rows_is_short() {
    let scene = Scene::new();
    let large = NewMessage::text("x".repeat(REMNANT_BYTES / 2));
    scene.hide(scene.session(1, vec![large; 5]));
    let mut taken = Vec::new();
    let mut left = scene.rows(1);
    while scene.step(usize::MAX) {
        taken.push(left - scene.rows(1));
        left = scene.rows(1);
    }
    // The messages stand first: two and two, and the fifth with all the small ones.
    assert_eq!((&taken[..2], taken.len(), left), (&[2, 2][..], 3, 0));
}

#[test]
fn a_crash_between_any_two_steps_leaves_what_the_next_opening_clears() {
    let scene = Scene::new();
    let (at, other) = (scene.session(1, messages(30)), scene.session(2, messages(3)));
    scene.hide(at);
    let mut more = true;
    while more {
        let after = scene.crash();
        assert!(after.is_hidden(at));
        after.holds();
        // Its place can be taken while it is cleared away.
        let again = after.session(1, messages(2));
        assert_eq!(after.store.session(again).expect("it is made").last_message, 2);
        after.wait_until_clear();
        assert_eq!((after.rows(1), after.store.session(other).expect("it is there").last_message), (0, 3));
        after.holds();
        more = scene.step(40);
    }
}

#[test]
fn who_still_reads_an_old_state_brings_no_deleted_session_back() {
    let scene = Scene::new();
    let at = scene.session(1, messages(1));
    let old = scene.published();
    scene.store.delete_session(DeleteSession { stamp: stamp(), at, only_at: None }).expect("it is deleted");
    let found = |view: &Snapshot| place::session(view, at).ok();
    assert_eq!((found(&old), found(&scene.published()), found(&old)), (Some(1), None, Some(1)));
    scene.session(1, messages(1));
    let new = scene.published();
    for _ in 0..2 {
        assert_eq!((found(&new), found(&old)), (Some(2), Some(1)));
    }
    // Nor does one who was slow to read see what was not made yet.
    let later = scene.session(2, messages(1));
    place::session(&*scene.published(), later).expect("it is there");
    assert!(place::session(&*new, later).expect_err("not yet").is_not_found());
}

#[test]
fn in_one_group_a_session_is_gone_for_all_after_its_deletion() {
    let scene = Scene::new();
    let at = scene.session(1, messages(1));
    // The place is known to every later read of this state.
    scene.store.session(at).expect("it is there");
    let hide = DeleteSession { stamp: stamp(), at, only_at: None };
    let let_go = scene.hold();
    let (first, deleted) = Job::new(1, move |view| delete(view, &hide));
    let append = Append { stamp: stamp(), at, thread: None, messages: messages(1) };
    let (second, appended) = Job::new(1, move |view| message::append(view, &append));
    scene.send(first);
    scene.send(second);
    let_go.send(()).expect("the writer waits");
    deleted.recv().expect("an answer").expect("it is deleted");
    assert!(appended.recv().expect("an answer").expect_err("it is gone").is_not_found());
    scene.holds();
}

#[test]
fn space_that_was_cleared_is_used_again() {
    let mut scene = Scene::new();
    let path = scene.dir.path().join("a.parlor");
    let mut sizes = Vec::new();
    for _ in 0..24 {
        let at = scene.session(1, vec![NewMessage::text("x".repeat(1000)); 200]);
        scene.store.delete_session(DeleteSession { stamp: stamp(), at, only_at: None }).expect("it is deleted");
        scene.wait_until_clear();
        // What is in memory alone shows in the file by then.
        scene.store.close().expect("it closes");
        scene.store = open(scene.dir.path());
        sizes.push(fs::metadata(&path).expect("the file is there").len());
    }
    assert!(sizes[23] <= 2 * sizes[3], "it grows and grows: {sizes:?}");
}

#[test]
fn rows_without_a_session_or_a_remnant_are_named_and_so_is_a_remnant_of_a_live_session() {
    let scene = Scene::new();
    let (gone, live) = (scene.session(1, messages(3)), scene.session(2, messages(3)));
    scene.hide(gone);
    let rows = scene.rows(2);
    let remnant = RemnantRow { deleted_at: 1 };
    scene.write(move |writes| {
        writes.put(Table::Meta, meta::remnant(2), &remnant)?;
        // What fails its checksum may be any other's.
        writes.put_value(Table::Meta, meta::remnant(1).to_vec(), vec![1, 1, 0, 0, 0, 0]);
        Ok(())
    });
    let breaches = verify::all(&*scene.published()).expect("it verifies");
    for due in ["below no session", "session 2: its remnant", "remnant at 0300000001"] {
        assert!(breaches.iter().any(|breach| breach.contains(due)), "{due:?} is not among {breaches:?}");
    }
    assert!(!scene.step(usize::MAX), "no row is taken of a session that is live, or of none that was deleted");
    assert_eq!(scene.rows(2), rows);
    assert_eq!(scene.store.session(live).expect("it is there").last_message, 3);
}
