//! Single stories of disks that fail, step by step.

use std::io::ErrorKind as Io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parlor::id::{MessageId, SessionId, Stamp};
use parlor::store::{Append, CreateSession, SessionRef, Store};
use parlor::testkit::{Failure, Loss, SimulatedDisk, Touch, Watcher};
use parlor::{Durability, ErrorKind, Message, NewMessage, NewSession, Result, Timestamp};
use uuid::Uuid;

use crate::suite::client;

/// Once it is armed, the next sync of the log fails.
#[derive(Clone, Default)]
struct FailsToSync(Arc<AtomicBool>);

impl Watcher for FailsToSync {
    fn before(&self, disk: &SimulatedDisk, next: Touch) {
        if next == Touch::LogSync && self.0.swap(false, Ordering::SeqCst) {
            disk.fail(disk.operations(), Failure::Once(Io::Other));
        }
    }
}

fn stamp(seed: u64) -> Stamp {
    Stamp::new(Timestamp::from_micros(1_777_573_302_000_000), seed)
}

/// A session, made where it is missing.
fn session(store: &dyn Store) -> Result<SessionRef> {
    let (workspace, agent) = client::set_up(store)?;
    let new = NewSession::default().id(SessionId::from_uuid(Uuid::from_u128(9)));
    let made = store.create_session(CreateSession { stamp: stamp(5), workspace, agent, new, first: None })?;
    Ok(SessionRef { workspace, session: made.session.id })
}

/// Appends a message with an id of the caller's, so that it may be sent again.
fn append(store: &dyn Store, at: SessionRef, id: u128) -> Result<Vec<Message>> {
    let message = NewMessage::text(id.to_string()).id(MessageId::from_uuid(Uuid::from_u128(id)));
    store.append(Append { stamp: stamp(id as u64), at, thread: None, messages: vec![message] })
}

fn message(store: &dyn Store, at: SessionRef, id: u128) -> Result<Message> {
    store.message(at, MessageId::from_uuid(Uuid::from_u128(id)))
}

/// Every kind of loss of the file with every kind of loss of the log.
fn losses() -> impl Iterator<Item = Loss> {
    let kinds = || 0..Loss::KINDS;
    kinds().flat_map(move |file| kinds().flat_map(move |log| (0..4).map(move |seed| Loss::new(file, log, log, seed))))
}

/// The steps of which each by itself is survived: the log cannot be synced; the file is opened again, and the record
/// is read from where the failed sync left it, in the memory of the system alone; the caller sends its message
/// again, and is told that it is there; the power fails.
#[test]
fn after_a_failed_sync_a_reopening_an_idempotent_retry_and_a_power_loss_the_message_is_there() {
    for retries in [true, false] {
        let fails = FailsToSync::default();
        let disk = SimulatedDisk::new();
        let watched = disk.watched(fails.clone());

        // A message is acknowledged.
        let store = watched.open(Durability::Sync).expect("it opens");
        let at = session(&*store).expect("a session");
        append(&*store, at, 100).expect("it is appended");

        // The next sync of the log fails: the second message is in doubt, nobody can read it, nothing more is written.
        fails.0.store(true, Ordering::SeqCst);
        let error = append(&*store, at, 101).expect_err("the sync fails");
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        assert!(!fails.0.load(Ordering::SeqCst), "it was the sync of the log that failed");
        assert_eq!(message(&*store, at, 101).expect_err("it is in doubt").kind(), ErrorKind::NotFound);
        message(&*store, at, 100).expect("what was published can be read");
        assert_eq!(append(&*store, at, 102).expect_err("it is refused").kind(), ErrorKind::Storage);

        // The process dies: the disk is as it was, with what the system remembers.
        let left = disk.copy();
        drop(store);

        // The file is opened again. The second message is read, or sent again.
        let store = left.open(Durability::Sync).expect("it opens again");
        if retries {
            append(&*store, at, 101).expect("it is there or it is written now");
        } else {
            message(&*store, at, 101).expect("the system remembers it");
        }

        // The power fails.
        for loss in losses() {
            let after = left.after_power_loss(loss).open(Durability::Sync).expect("it opens after a power loss");
            for id in [100, 101] {
                let read = message(&*after, at, id);
                assert!(read.is_ok(), "retries: {retries}; {loss:?}: message {id}: {read:?}");
            }
            assert_eq!(after.verify().expect("it is read"), Vec::<String>::new(), "{loss:?}");
        }
    }
}

#[test]
fn a_disk_that_is_full_when_the_log_is_made_is_no_space_and_room_is_all_it_takes() {
    let disk = SimulatedDisk::new();
    disk.open(Durability::Sync).expect("it opens").close().expect("it closes");
    let used: usize = disk.files().iter().map(|(_, content)| content.len()).sum();
    let mut made = 0;
    for room in (0..80 << 10).step_by(1 << 10) {
        let disk = disk.copy();
        disk.hold(Some(used as u64 + room));
        let store = disk.open(Durability::Sync).expect("it opens where there is no room");
        let refused = session(&*store);
        let Err(error) = refused else {
            assert!(room > 48 << 10, "a log of three segments of 16 KiB was made in {room} bytes");
            made += 1;
            continue;
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{room} bytes: {error}");
        assert!(store.find_workspace(client::WORKSPACE).expect("it is read").is_none(), "nothing was written");

        // As it is, it opens on the full disk.
        let copy = disk.copy();
        copy.hold(Some(used as u64 + room));
        let again = copy.open(Durability::Sync).expect("it opens while the disk is full");
        assert!(again.find_workspace(client::WORKSPACE).expect("it is read").is_none());
        drop(again);

        // Somebody makes room.
        disk.hold(None);
        let at = session(&*store).expect("there is room now");
        append(&*store, at, 100).expect("it is appended");
        store.close().expect("it closes");
        let store = disk.open(Durability::Sync).expect("it opens");
        message(&*store, at, 100).expect("it is there");
    }
    assert!(made > 0, "there is room at last");
}
