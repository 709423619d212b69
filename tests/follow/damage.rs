//! What a follower makes of a damaged file: it tells what is lost, and goes on.

use std::path::Path;
use std::sync::Arc;

use parlor::store::Store;
use parlor::{Engine, ErrorKind, Follow, Session};
use redb::{Database, ReadableTable, Table, TableDefinition};

use super::support::{Faulty, echo, on_every_store, session};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// The key of an event of the first session (docs/format.md).
fn event(number: u64) -> Vec<u8> {
    [&1u32.to_be_bytes()[..], &[3], &number.to_be_bytes()].concat()
}

/// A file whose first session has ten events.
fn file(path: &Path) {
    let engine = Engine::builder(path).open().unwrap();
    session(&engine, "any").append(vec!["hello"; 9]).unwrap();
    engine.close().unwrap();
}

/// What becomes of a row: none loses it.
type Damage = fn(&[u8]) -> Option<Vec<u8>>;

const FLIPPED: Damage = |row| {
    let mut row = row.to_vec();
    row[1] ^= 1;
    Some(row)
};
const LOST: Damage = |_| None;

/// The rows that share a value: each behind its length, which is 0 where there is none.
fn unpacked(mut pack: &[u8]) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    while let Some((length, rest)) = pack.split_first_chunk() {
        let (row, rest) = rest.split_at(u16::from_le_bytes(*length).into());
        rows.push(row.to_vec());
        pack = rest;
    }
    rows
}

fn packed(rows: &[Vec<u8>]) -> Vec<u8> {
    rows.iter().flat_map(|row| [&(row.len() as u16).to_le_bytes()[..], row].concat()).collect()
}

/// Changes rows of the file.
fn rows(path: &Path, change: impl FnOnce(&mut Table<'_, &'static [u8], &'static [u8]>)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(ROWS).unwrap());
    transaction.commit().unwrap();
}

/// The one session of a file.
fn only_session(engine: &Engine) -> Session {
    let workspace = engine.workspace("acme").unwrap();
    workspace.session(workspace.sessions(()).unwrap().items[0].id).unwrap()
}

/// What a follower tells without waiting: numbers of events, and the errors with the position
/// that each leads to.
fn told(follow: &mut Follow) -> Vec<Result<u64, (u64, ErrorKind, String)>> {
    let mut told = Vec::new();
    while let Some(item) = follow.try_next() {
        let item = item.map_err(|error| (follow.reached(), error.kind(), error.to_string()));
        told.push(item.map(|change| change.number));
    }
    told
}

/// Runs a check with the session's followers on a file with this damage.
fn after(keys: &[u64], by: Damage, check: impl Fn(&Session)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    file(&path);
    rows(&path, |rows| {
        // They share a value, which stands under the first one's key.
        let mut events = unpacked(rows.get(&event(1)[..]).unwrap().unwrap().value());
        for key in keys {
            let row = &mut events[*key as usize - 1];
            *row = by(row).unwrap_or_default();
        }
        rows.insert(&event(1)[..], &packed(&events)[..]).unwrap();
    });
    let engine = Engine::builder(&path).open().unwrap();
    check(&only_session(&engine));
    engine.close().unwrap();
}

/// The item is one *corrupt* that names the event and leads past it.
#[track_caller]
fn is_corrupt_at(item: &Result<u64, (u64, ErrorKind, String)>, number: u64) {
    let Err((position, kind, text)) = item else { panic!("event {number} is damaged, but was told as {item:?}") };
    assert_eq!((*position, *kind), (number, ErrorKind::Corrupt), "{text}");
    assert!(text.contains(&format!("event {number} cannot be read")), "{text}");
}

#[test]
fn a_damaged_event_is_one_item_that_names_it_and_the_follower_goes_on() {
    // The first, two neighbours, and the last.
    after(&[1, 4, 5, 10], FLIPPED, |session| {
        let mut follow = session.follow(0);
        let told = told(&mut follow);
        assert_eq!(told.len(), 10, "{told:?}");
        for (item, number) in told.iter().zip(1..) {
            if [1, 4, 5, 10].contains(&number) {
                is_corrupt_at(item, number);
            } else {
                assert_eq!(*item, Ok(number));
            }
        }
        assert!(!follow.is_ended());
        session.append(["and on"]).unwrap();
        assert_eq!(follow.next().unwrap().unwrap().number, 11);
        // Another one who asks at the damage is told the same.
        let mut other = session.follow(4);
        assert_eq!(other.next().unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(other.next().unwrap().unwrap().number, 6);
    });
}

#[test]
fn events_that_are_lost_are_one_item_and_the_follower_goes_on() {
    after(&[4, 5, 6], LOST, |session| {
        let told = told(&mut session.follow(0));
        assert_eq!(told.len(), 8, "{told:?}");
        let Err((position, kind, text)) = &told[3] else { panic!("a hole was not told: {told:?}") };
        assert_eq!((*position, *kind), (6, ErrorKind::Corrupt));
        assert!(text.contains("events 4 to 6 are missing"), "{text}");
        assert_eq!((&told[2], &told[4]), (&Ok(3), &Ok(7)));
    });
}

#[test]
fn what_stands_past_the_last_event_is_no_event_and_ends_the_follower() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    file(&path);
    rows(&path, |rows| drop(rows.insert(&event(99)[..], &packed(&[b"no row".to_vec()])[..]).unwrap()));
    let engine = Engine::builder(&path).open().unwrap();
    let session = only_session(&engine);
    let mut follow = session.follow(0);
    let told = told(&mut follow);
    assert!(told[..10].iter().zip(1..).all(|(item, number)| *item == Ok(number)), "{told:?}");
    assert!(matches!(&told[10..], [Err((10, ErrorKind::Corrupt, _))]), "{told:?}");
    assert!(follow.is_ended() && follow.next().is_none());
    // What is written in its place is told all the same.
    session.append(["11"]).unwrap();
    assert_eq!(session.follow(10).next().unwrap().unwrap().number, 11);
    engine.close().unwrap();
}

#[test]
fn an_error_of_the_storage_is_the_last_item_and_a_new_follower_resumes() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = Arc::clone(&faulty) as _;
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let mut follow = session.follow(0);
        assert_eq!(follow.next().unwrap().unwrap().number, 1);
        faulty.fail_read(ErrorKind::Storage);
        session.append(["hello"]).unwrap();
        assert_eq!(told(&mut follow), [Err((1, ErrorKind::Storage, "the storage is broken".into()))]);
        faulty.heal();
        assert!(follow.is_ended() && follow.next().is_none());
        assert_eq!(told(&mut session.follow(follow.reached())), [Ok(2)]);
        engine.close().unwrap();
    });
}

#[test]
fn a_session_that_cannot_be_read_is_an_item_of_a_watch_and_the_others_follow() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = Arc::clone(&faulty) as _;
        let engine = echo(&store);
        let (one, other) = (session(&engine, "echo"), session(&engine, "echo"));
        let mut watch = engine.workspace("acme").unwrap().watch();
        one.append(["hello"]).unwrap();
        other.append(["hello"]).unwrap();
        faulty.fail_read(ErrorKind::Corrupt);
        assert_eq!(watch.next().unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
        faulty.heal();
        assert_eq!(watch.next().unwrap().unwrap().session, other.id());
        assert!(watch.try_next().is_none());
        engine.close().unwrap();
    });
}
