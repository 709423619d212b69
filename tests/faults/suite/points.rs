//! An operation of file or log fails: every answer is true, nothing of a failed group is seen, and the file opens again.

use std::io::ErrorKind as Io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parlor::store::Store;
use parlor::testkit::{Failure, Loss, SimulatedDisk};
use parlor::{Durability, Error, ErrorKind};

use super::client::{self, Client, Went};
use super::images::beside;
use super::mode::Mode;
use super::named::Named;
use super::random::Random;
use super::record::{Found, Promise, Record};

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Operations that failed, each in a run of its own.
    pub points: u64,
    /// Of those, met while the file was opened or made.
    pub opening: u64,
    /// Operations of the store that were refused, and those whose outcome was unknown.
    pub refused: u64,
    pub unknown: u64,
    /// Of the unknown ones, those that were there after all.
    pub there: u64,
    /// Closes that failed.
    pub closes: u64,
    /// Full disks.
    pub no_space: u64,
    /// Runs of a store that others can read.
    pub for_readers: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.points += other.points;
        self.opening += other.opening;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.there += other.there;
        self.closes += other.closes;
        self.no_space += other.no_space;
        self.for_readers += other.for_readers;
    }
}

/// How an operation fails.
const FAILURES: [Failure; 6] = [
    Failure::Once(Io::Other),
    Failure::Forever(Io::Other),
    Failure::Short(Io::Other),
    Failure::Once(Io::StorageFull),
    Failure::Forever(Io::StorageFull),
    Failure::Short(Io::StorageFull),
];

/// Plays the script of a seed with each of its operations failing in turn, or with about one of `every`.
///
/// # Panics
///
/// When an answer was not true, or the file does not open again.
pub fn play(seed: u64, every: u64) -> Counts {
    let _named = Named::seed(seed);
    let mut counts = Counts::default();
    let mut at = Random::of(seed, 1).below(every);
    loop {
        let mut random = Random::of(seed, at);
        let how = random.pick(&FAILURES).unwrap_or(FAILURES[0]);
        let mut point = Point::new(seed, at, how);
        let met = point.play(&mut random);
        if !met {
            return counts;
        }
        counts.add(point.counts);
        at += 1 + random.below(2 * every - 1);
    }
}

/// A run in which one operation fails.
struct Point {
    /// What it is called in a failure.
    name: String,
    seed: u64,
    at: u64,
    disk: SimulatedDisk,
    record: Arc<Record>,
    clients: Vec<Client>,
    how: Failure,
    mode: Mode,
    /// What an acknowledgement promises of the disk.
    promise: Promise,
    counts: Counts,
}

impl Point {
    fn new(seed: u64, at: u64, how: Failure) -> Self {
        let record = Arc::new(Record::default());
        // Several, so that groups have several operations, and one is applied while another is synced.
        let count = if seed % 3 == 2 { 3 } else { 1 };
        let clients = Client::several(count, seed, &record);
        let disk = SimulatedDisk::new();
        disk.fail(at, how);
        let name = format!("PARLOR_SEED={seed}: operation {at} fails as {how:?}");
        let mode = Mode::of(seed, Duration::from_millis(1 + seed % 7));
        let for_readers = u64::from(mode == Mode::ForReaders);
        let counts = Counts { points: 1, for_readers, ..Counts::default() };
        Point { name, seed, at, disk, record, clients, how, mode, promise: mode.promise(), counts }
    }

    /// Whether the script has such an operation.
    fn play(&mut self, random: &mut Random) -> bool {
        for life in 0..3 {
            let steps = 3 + Random::of(self.seed, 100 + life).below(12);
            let Some(store) = self.open() else {
                self.counts.opening += 1;
                self.reopen(random);
                return true;
            };
            self.clients.iter_mut().for_each(Client::begin_life);
            let went = self.live(&store, steps);
            let closed = store.close();
            if let Err(error) = &closed {
                self.counts.closes += 1;
                assert!(!matches!(error.kind(), ErrorKind::Closed | ErrorKind::Corrupt), "{}: {error:?}", self.name);
            }
            drop(store);
            if !went || closed.is_err() {
                self.reopen(random);
                return true;
            }
            self.record.settle();
        }
        // All went well although something failed: what nobody needed.
        if self.disk.operations() > self.at {
            self.reopen(random);
            return true;
        }
        false
    }

    /// None where it fails.
    fn open(&self) -> Option<Arc<dyn Store>> {
        match self.mode.open(&self.disk) {
            Ok(store) => Some(store),
            Err(error) => {
                let met = self.disk.operations() > self.at;
                let is_true =
                    [ErrorKind::Storage, ErrorKind::NoSpace, ErrorKind::OutcomeUnknown].contains(&error.kind());
                assert!(met && is_true, "{}: it does not open: {error:?}", self.name);
                None
            }
        }
    }

    /// Every client does so many steps. Whether none of them failed.
    fn live(&mut self, store: &Arc<dyn Store>, steps: u64) -> bool {
        let mut failures = match client::set_up(&**store) {
            Ok(_) => Vec::new(),
            Err(error) => vec![error],
        };
        if failures.is_empty() {
            self.record.set_up();
            failures = thread::scope(|scope| {
                let each = |client| {
                    let name = &self.name;
                    scope.spawn(move || step_on(client, &**store, steps, name))
                };
                let clients: Vec<_> = self.clients.iter_mut().map(each).collect();
                clients
                    .into_iter()
                    .flat_map(|client| client.join().unwrap_or_else(|panic| resume_unwind(panic)))
                    .collect()
            });
        }
        for error in &failures {
            self.failed(error);
        }
        if let Some(error) = failures.last() {
            // Where the storage answers, reads go on.
            let floor = self.record.floor(Promise::OnDisk);
            let shown = self.record.check_published(&**store, &floor);
            shown.unwrap_or_else(|failure| panic!("{}: after {error:?}: {failure}", self.name));
            let loss = Loss::of_seed(self.at);
            self.check(&self.disk.after_power_loss(loss), &format!("while open, a power loss, {loss:?}"));
        }
        if failures.iter().any(|error| error.kind() == ErrorKind::OutcomeUnknown) {
            self.refuses_more(store);
        }
        failures.is_empty()
    }

    /// Something failed: it says so truly.
    fn failed(&mut self, error: &Error) {
        assert!(self.disk.operations() > self.at, "{}: nothing failed yet, and it says {error:?}", self.name);
        match error.kind() {
            ErrorKind::OutcomeUnknown => self.counts.unknown += 1,
            ErrorKind::NoSpace => {
                self.counts.no_space += 1;
                self.counts.refused += 1;
                let full = [Failure::Once, Failure::Forever, Failure::Short].map(|how| how(Io::StorageFull));
                assert!(full.contains(&self.how), "{}: {error:?}", self.name);
            }
            ErrorKind::Storage => self.counts.refused += 1,
            _ => panic!("{}: it says {error:?}", self.name),
        }
    }

    /// After an unknown outcome everything that writes is refused.
    fn refuses_more(&self, store: &Arc<dyn Store>) {
        let error = client::write_elsewhere(&**store, "elsewhere").expect_err("it was broken");
        let is_true = [ErrorKind::Storage, ErrorKind::NoSpace].contains(&error.kind());
        assert!(is_true, "{}: after an unknown outcome it says {error:?}", self.name);
    }

    /// Opens it again, on a disk that is sound again, with and without a power loss before and after.
    fn reopen(&mut self, random: &mut Random) {
        let floor = self.record.floor(self.promise);
        self.disk.mend();
        let loss = Loss::of_seed(random.next());
        self.check(&self.disk.after_power_loss(loss), &format!("after a power loss, {loss:?}"));

        let store = self.disk.open(Durability::Sync).unwrap_or_else(|error| panic!("{}: then {error:?}", self.name));
        let found =
            self.record.check(&*store, &floor).unwrap_or_else(|failure| panic!("{}: then {failure}", self.name));
        // What can be read now, others may act on.
        for _ in 0..2 {
            let loss = Loss::of_seed(random.next());
            let after = self.check(&self.disk.after_power_loss(loss), &format!("opened, and a power loss, {loss:?}"));
            assert!(after == found, "{}: {found:?} became {after:?} after {loss:?}", self.name);
        }
        if self.promise == Promise::InOrder {
            // What its clients know may be gone.
            return self.close(store, &found);
        }
        let retries = random.one_in(2);
        let retried =
            self.clients.iter_mut().filter(|_| retries).filter_map(|client| client.retry(&*store).then_some(()));
        if retried.count() > 0 {
            let loss = Loss::of_seed(random.next());
            let what = format!("opened, an idempotent retry, and a power loss, {loss:?}");
            let floor = self.record.floor(Promise::OnDisk);
            let image = self.disk.after_power_loss(loss).open(Durability::Sync);
            let image = image.unwrap_or_else(|error| panic!("{}: {what}: {error:?}", self.name));
            self.record.check(&*image, &floor).unwrap_or_else(|failure| panic!("{}: {what}: {failure}", self.name));
        }
        for client in &mut self.clients {
            self.counts.there += u64::from(client.settle(&found.steps));
        }
        self.go_on(store);
    }

    fn check(&self, disk: &SimulatedDisk, what: &str) -> Found {
        let floor = self.record.floor(self.promise);
        let store = disk.open(Durability::Sync).unwrap_or_else(|error| panic!("{}: {what}: {error:?}", self.name));
        self.record.check(&*store, &floor).unwrap_or_else(|failure| panic!("{}: {what}: {failure}", self.name))
    }

    /// Writes some more, closes, and finds it all.
    fn go_on(&mut self, store: Arc<dyn Store>) {
        client::set_up(&*store).unwrap_or_else(|error| panic!("{}: it does not go on: {error:?}", self.name));
        for _ in 0..4 {
            for client in &mut self.clients {
                if let Went::Failed(error) = client.step(&*store, false) {
                    panic!("{}: it does not go on: {error:?}", self.name);
                }
            }
        }
        let floor = self.record.floor(Promise::OnDisk);
        let found =
            self.record.check(&*store, &floor).unwrap_or_else(|failure| panic!("{}: then {failure}", self.name));
        self.close(store, &found);
    }

    /// Writes once more, closes, and finds it all.
    fn close(&self, store: Arc<dyn Store>, found: &Found) {
        let other = client::write_elsewhere(&*store, "elsewhere");
        other.unwrap_or_else(|error| panic!("{}: it does not go on: {error:?}", self.name));
        store.close().unwrap_or_else(|error| panic!("{}: it does not close: {error:?}", self.name));
        assert!(beside(&self.disk).is_empty(), "{}: after a close there are {:?}", self.name, beside(&self.disk));
        assert_eq!(self.check(&self.disk, "closed and opened"), *found, "{}: closed and opened", self.name);
    }
}

/// Does so many steps, or fewer once some failed. What failed.
fn step_on(client: &mut Client, store: &dyn Store, steps: u64, name: &str) -> Vec<Error> {
    let mut failures = Vec::new();
    for _ in 0..steps {
        match client.step(store, false) {
            Went::Well => {
                let is_broken = failures.iter().any(|error: &Error| error.kind() == ErrorKind::OutcomeUnknown);
                assert!(!is_broken, "{name}: something is written after an unknown outcome");
            }
            Went::Refused => {}
            Went::Failed(error) => failures.push(error),
        }
        if failures.len() == 3 || client.unknown.is_some() {
            break;
        }
    }
    failures
}
