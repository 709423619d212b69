//! Makes the golden files: all of them anew, into a folder.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, bounded};
use parlor::store::{ArchivesQuery, ImportArchive};
use parlor::testkit::{ManualClock, SimulatedDisk, Touch, Watcher};
use parlor::{Durability, Engine, ImportIds, NewSession, Timestamp};

use super::place::{Place, go_on, hook, ok};
use super::{ARCHIVE, BACKUP, CLOSED, KILLED, KILLED_LOG, LINES, scene};

/// The names that a simulated disk has for the file and its log.
const FILE: &str = "a.parlor";
const LOG: &str = "a.parlor-log";

/// What of a file is told of in its table `meta` until it is cleared away: what these keys begin with.
const REMNANTS: [u8; 4] = [3, 6, 7, 16];

/// Makes them all.
pub fn all(folder: &Path) {
    let closed = closed();
    write(folder, CLOSED, &closed);
    let archive = archive(&closed);
    write(folder, ARCHIVE, &archive);
    write(folder, LINES, &lines(folder));
    let [file, log] = killed(&archive);
    write(folder, KILLED, &file);
    write(folder, KILLED_LOG, &log);
    backup(&closed, &folder.join(BACKUP));
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("it is written");
}

fn file_of(disk: &SimulatedDisk, name: &str) -> Vec<u8> {
    disk.files().into_iter().find(|(found, _)| found == name).expect("it is on the disk").1
}

fn holding(file: &[u8]) -> SimulatedDisk {
    SimulatedDisk::holding([(FILE.to_owned(), file.to_vec())]).in_real_blocks()
}

/// A file in which everything has happened, closed, with nothing left to clear away.
fn closed() -> Vec<u8> {
    let disk = SimulatedDisk::new().in_real_blocks();
    let mut place = Place::new(ok(disk.open(Durability::Sync)), 0);
    scene::play(&mut place);
    ok(place.store.close());
    cleared(&disk);
    file_of(&disk, FILE)
}

/// Waits until nothing is left of what went.
fn cleared(disk: &SimulatedDisk) {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("copy");
    let is_any = || {
        fs::write(&copy, file_of(disk, FILE)).expect("it is written");
        let database = redb::Database::open(&copy).expect("it is redb's");
        let read = redb::ReadableDatabase::begin_read(&database).expect("it can be read");
        let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
        let table = read.open_table(table).expect("it is there");
        let mut rows = redb::ReadableTable::iter(&table).expect("it can be read");
        rows.any(|row| row.is_ok_and(|(key, _)| key.value().first().is_some_and(|kind| REMNANTS.contains(kind))))
    };
    while is_any() {
        let store = ok(disk.open(Durability::Sync));
        // Its writer begins as soon as it is open.
        std::thread::yield_now();
        ok(store.close());
    }
}

/// The archive of the session `archived`, as a stream.
fn archive(closed: &[u8]) -> Vec<u8> {
    let mut place = Place::new(ok(holding(closed).open(Durability::Sync)), 2000);
    place.enter("acme", "greeter");
    let (workspace, agent) = (place.workspace, Some(place.agent));
    let archives = ok(place.store.archives(ArchivesQuery { workspace, agent, page: Default::default() }));
    let record = archives.items.into_iter().find(|archive| archive.key == "archived").expect("it is there");
    let archive = parlor::store::ArchiveRef { workspace, agent: place.agent, filename: record.filename };
    let mut stream = Vec::new();
    ok(place.store.export_archive(&archive, &mut stream, &mut go_on));
    stream
}

/// An engine's time.
fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_777_600_000_000_000))
}

/// What the closed file exports.
fn lines(folder: &Path) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("copy");
    fs::copy(folder.join(CLOSED), &copy).expect("a copy");
    let engine = ok(Engine::builder(&copy).clock(clock()).open());
    let mut lines = Vec::new();
    ok(engine.export(&mut lines));
    ok(engine.close());
    lines
}

/// A file and its log as a kill leaves them: a turn runs and others wait, a session was just archived, and an archive is being
/// imported.
fn killed(archive: &[u8]) -> [Vec<u8>; 2] {
    let disk = SimulatedDisk::new().in_real_blocks();
    let (at, happened) = AtNext::step(None);
    let mut place = Place::new(ok(disk.watched(at.clone()).open(Durability::Sync)), 0);
    place.enter("acme", "greeter");
    place.label("Greeter");
    let archived = place.create(NewSession::default().key("just archived"));
    place.answered(archived, hook("https://example.com/all"));
    let other = place.create(NewSession::default().key("idle"));
    place.append(other, ["hello".into(), "nobody is there".into()]);
    scene::waiting(&place, Some("running"));
    let (stamp, ids) = (place.stamp(), ImportIds::New);
    let op = ImportArchive { stamp, workspace: place.workspace, agent: place.agent, ids };
    let mut killed = None;
    let imported = place.store.import_archive(op, &mut &*archive, &mut |progress| {
        if progress.done < progress.total {
            return ControlFlow::Continue(());
        }
        // All of it is there, and does not show yet.
        at.arm();
        place.archive(archived);
        killed = happened.recv().ok();
        ControlFlow::Break(())
    });
    assert_eq!(imported.expect_err("it was broken off").kind(), parlor::ErrorKind::Cancelled);
    let killed = killed.expect("something was to be cleared away");
    [FILE, LOG].map(|name| file_of(&killed, name))
}

/// A backup of what the closed file has, taken just after an agent was deleted.
fn backup(closed: &[u8], to: &Path) {
    let _ = fs::remove_file(to);
    let (let_go, gate) = bounded(0);
    let (at, happened) = AtNext::step(Some(gate));
    let engine = ok(Engine::builder("golden").clock(clock()).open_on(&holding(closed).watched(at.clone())));
    let acme = ok(engine.workspace("acme"));
    // The first write makes the log.
    ok(ok(acme.agent("helper")).set_label("Still helps"));
    at.arm();
    ok(ok(acme.agent("archivist")).delete());
    happened.recv().expect("something is to be cleared away");
    ok(engine.backup(to));
    drop(let_go);
    ok(engine.close());
}

/// Tells of the disk as it is when something is about to be written behind the next sync of the log: behind what its caller asks
/// for, what is left is cleared away. Waits there, if there is a gate, until that is open.
#[derive(Clone)]
struct AtNext(Arc<Inner>);

struct Inner {
    step: Mutex<Step>,
    tell: Sender<SimulatedDisk>,
    gate: Option<Receiver<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Idle,
    Armed,
    Synced,
}

impl AtNext {
    fn step(gate: Option<Receiver<()>>) -> (Self, Receiver<SimulatedDisk>) {
        let (tell, told) = bounded(1);
        (AtNext(Arc::new(Inner { step: Mutex::new(Step::Idle), tell, gate })), told)
    }

    fn arm(&self) {
        *self.0.step.lock().expect("nobody panicked") = Step::Armed;
    }
}

impl Watcher for AtNext {
    fn before(&self, disk: &SimulatedDisk, touch: Touch) {
        let Inner { step, tell, gate } = &*self.0;
        let mut now = step.lock().expect("nobody panicked");
        match (*now, touch) {
            (Step::Armed, Touch::LogSync) => *now = Step::Synced,
            (Step::Synced, Touch::LogWrite) => {
                *now = Step::Idle;
                drop(now);
                tell.send(disk.copy()).expect("somebody wants to know");
                // Once its keeper is gone it is open.
                let _ = gate.as_ref().map(Receiver::recv);
            }
            _ => {}
        }
    }
}
