//! Checkpoints when nobody writes, and writers who wait for one.

use std::io::ErrorKind as Io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::super::*;
use crate::id::{SessionId, Stamp};
use crate::record::{NewMessage, NewSession};
use crate::redb::{Failure, Options, RedbStore, SimulatedDisk, Touch, Watcher};
use crate::store::{Append, CreateSession, EnsureAgent, EnsureWorkspace, SessionRef, Store};
use crate::time::Timestamp;

/// Once it is armed, the next sync of the file says that it has arrived, and waits until it is let go.
struct Gate(Mutex<Option<(Sender<()>, Receiver<()>)>>);

impl Watcher for Arc<Gate> {
    fn before(&self, _disk: &SimulatedDisk, touch: Touch) {
        if touch != Touch::FileSync {
            return;
        }
        let armed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((arrive, let_go)) = armed {
            // A test that failed waits for nobody.
            let _ = (arrive.send(()), let_go.recv());
        }
    }
}

impl Gate {
    /// Where the arrival is told, and where it is let go.
    fn arm(&self) -> (Receiver<()>, Sender<()>) {
        let ((arrive, arrived), (go, let_go)) = (channel(), channel());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((arrive, let_go));
        (arrived, go)
    }
}

/// A store on a disk whose file can be kept from being synced.
struct Scene {
    disk: SimulatedDisk,
    gate: Arc<Gate>,
    store: Arc<RedbStore>,
    at: SessionRef,
}

fn stamp(seed: u64) -> Stamp {
    Stamp::new(Timestamp::from_micros(1_777_573_302_000_000), seed)
}

impl Scene {
    fn new() -> Self {
        let (disk, gate) = (SimulatedDisk::new(), Arc::new(Gate(Mutex::new(None))));
        let store = disk.watched(Arc::clone(&gate)).store(Options::default()).expect("it opens");
        let workspace = store.ensure_workspace(EnsureWorkspace { stamp: stamp(1), name: "acme".into() });
        let workspace = workspace.expect("a workspace").id;
        let agent = store.ensure_agent(EnsureAgent { stamp: stamp(2), workspace, name: "greeter".into() });
        let (agent, session) = (agent.expect("an agent").id, SessionId::from_uuid(Uuid::from_u128(9)));
        let new = NewSession::default().id(session);
        let op = CreateSession { stamp: stamp(3), workspace, agent, new, first: None };
        store.create_session(op).expect("a session");
        Scene { disk, gate, store: Arc::new(store), at: SessionRef { workspace, session } }
    }

    fn shared(&self) -> &Shared {
        &self.store.written().expect("it is open to be written").shared
    }

    fn append(store: &RedbStore, at: SessionRef, seed: u64) -> Result<()> {
        // Two of these fill a segment of the log.
        let messages = vec![NewMessage::text("x".repeat(6_000))];
        store.append(Append { stamp: stamp(seed), at, thread: None, messages }).map(drop)
    }

    /// Somebody writes more than the log has room for, until he waits for the checkpoint under way, whose sync
    /// waits to be let go.
    fn starve(&self) -> (JoinHandle<Vec<Result<()>>>, Sender<()>) {
        let (arrived, go) = self.gate.arm();
        let (store, at) = (Arc::clone(&self.store), self.at);
        let writer = thread::spawn(move || (10..30).map(|seed| Self::append(&store, at, seed)).collect());
        arrived.recv().expect("a checkpoint has begun");
        while !self.shared().writer.lock().is_starved {
            thread::yield_now();
        }
        (writer, go)
    }

    /// What is there after it was closed and opened again.
    fn messages(&self) -> u32 {
        let store = self.disk.open(Durability::Sync).expect("it opens again");
        store.session(self.at).expect("it is there").last_message
    }
}

#[test]
fn who_finds_no_room_in_the_log_waits_for_the_checkpoint_and_goes_on() {
    let scene = Scene::new();
    let (writer, go) = scene.starve();
    go.send(()).expect("the checkpoint waits");
    for answer in writer.join().expect("the writer ends") {
        answer.expect("there was room in the end");
    }
    scene.store.close().expect("it closes");
    assert_eq!(scene.messages(), 20);
}

#[test]
fn a_checkpoint_that_fails_refuses_who_waits_for_it() {
    let scene = Scene::new();
    let (writer, go) = scene.starve();
    scene.disk.fail(scene.disk.operations(), Failure::Forever(Io::Other));
    go.send(()).expect("the checkpoint waits");
    let answers = writer.join().expect("the writer ends");
    let written = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert!(0 < written && written < answers.len(), "{written} were written");
    for refused in answers.into_iter().skip(written) {
        assert_eq!(refused.expect_err("nothing is written any more").kind(), ErrorKind::Storage);
    }
    scene.store.close().expect_err("the disk fails");
    scene.disk.mend();
    assert_eq!(scene.messages(), u32::try_from(written).expect("a few"));
}

#[test]
fn a_close_refuses_who_waits_for_room() {
    let scene = Scene::new();
    let (writer, go) = scene.starve();
    let store = Arc::clone(&scene.store);
    let closer = thread::spawn(move || store.close());
    // Who waits for room lets others have the lock; who closes keeps it until the checkpoint is done.
    while scene.shared().writer.try_lock().is_some() {
        thread::yield_now();
    }
    go.send(()).expect("the checkpoint waits");
    closer.join().expect("it closes").expect("it closes well");
    let answers = writer.join().expect("the writer ends");
    let written = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert!(0 < written && written < answers.len(), "{written} were written");
    for refused in answers.into_iter().skip(written) {
        assert_eq!(refused.expect_err("it is closed").kind(), ErrorKind::Closed);
    }
    assert_eq!(scene.messages(), u32::try_from(written).expect("a few"));
}

#[test]
fn when_nobody_writes_any_more_the_file_gets_what_it_lacks() {
    let scene = Scene::new();
    let (arrived, go) = scene.gate.arm();
    Scene::append(&scene.store, scene.at, 10).expect("it is written");
    let lacks = |shared: &Shared| shared.database.lock().as_ref().map(|file| file.group) < Some(shared.shown.group());
    assert!(lacks(scene.shared()), "it is in the log alone");
    arrived.recv().expect("a checkpoint has begun");
    go.send(()).expect("it waits");
    while lacks(scene.shared()) {
        thread::yield_now();
    }
    // Its log has been told so.
    while scene.shared().writer.lock().frozen.is_some() {
        thread::yield_now();
    }
    assert!(!scene.shared().writer.lock().amount.is_any());
    scene.store.close().expect("it closes");
    assert_eq!(scene.messages(), 1);
}
