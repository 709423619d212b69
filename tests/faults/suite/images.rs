//! The power fails at any operation of file or log, and each of the two keeps what it may.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use parlor::Durability;
use parlor::store::Store;
use parlor::testkit::{Failure, Loss, SimulatedDisk, Touch, Watcher};

use super::client::{self, Client, Went};
use super::kept;
use super::mode::Mode;
use super::named::Named;
use super::random::Random;
use super::reader::Reader;
use super::record::{Floor, Promise, Record};

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Disks as a power loss left them, each opened and compared.
    pub images: u64,
    /// Of those, after a second power loss, while the first was recovered from.
    pub twice: u64,
    /// Of those, written to, closed or cut off once more, and opened again.
    pub gone_on: u64,
    /// Operations acknowledged, and syncs of the log: a group has several operations where there are fewer.
    pub acked: u64,
    pub syncs: u64,
    /// Reads beside them that showed something.
    pub shown: u64,
    /// Writes of turns that no longer owned their session, all refused.
    pub fenced: u64,
    /// Pages of listings that were walked there and back.
    pub pages: u64,
    /// Cuts that may not take what a sync made durable after it was acknowledged.
    pub raised: u64,
    /// Of the images, those of a store that others can read.
    pub for_readers: u64,
    /// Changes of the disk that a cut could come before.
    pub changes: u64,
    /// The kinds of operations that were acknowledged.
    pub kinds: BTreeSet<String>,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.images += other.images;
        self.twice += other.twice;
        self.gone_on += other.gone_on;
        self.acked += other.acked;
        self.syncs += other.syncs;
        self.shown += other.shown;
        self.fenced += other.fenced;
        self.pages += other.pages;
        self.raised += other.raised;
        self.for_readers += other.for_readers;
        self.changes += other.changes;
        self.kinds.extend(other.kinds);
    }
}

/// A moment at which the power may fail.
struct Cut {
    /// Its number among the changes of the disk, and what was to be done next.
    number: u64,
    next: Touch,
    floor: Floor,
    disk: SimulatedDisk,
}

/// Takes a copy of the disk before some of its changes.
struct Cutter {
    seed: u64,
    promise: Promise,
    /// Every so many changes, about, a copy is taken.
    every: u64,
    record: Arc<Record>,
    reader: Arc<Reader>,
    changes: AtomicU64,
    syncs: AtomicU64,
    /// With deferred durability: what the sync of the log that is under way makes durable, and what the one before it did.
    synced: Mutex<[Floor; 2]>,
    /// Cuts that may not take what such a sync made durable.
    raised: AtomicU64,
    /// None once somebody found something.
    cuts: SyncSender<Cut>,
}

impl Cutter {
    /// Of the log: one at a time, so the one before is done.
    fn begin_sync(&self) {
        let [under_way, done] = &mut *self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        *done = std::mem::replace(under_way, self.record.floor(Promise::OnDisk));
    }

    /// What may not be lost from now on.
    fn floor(&self) -> Floor {
        let mut floor = self.record.floor(self.promise);
        if self.promise == Promise::OnDisk {
            floor.seen = self.reader.seen();
            return floor;
        }
        let [_, synced] = &*self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let raised = floor.and(synced);
        self.raised.fetch_add(u64::from(raised != floor), Ordering::SeqCst);
        raised
    }
}

struct Shared(Arc<Cutter>);

impl Watcher for Shared {
    fn before(&self, disk: &SimulatedDisk, next: Touch) {
        let cutter = &self.0;
        let number = cutter.changes.fetch_add(1, Ordering::SeqCst);
        if next == Touch::LogSync {
            cutter.syncs.fetch_add(1, Ordering::SeqCst);
        }
        // Who syncs the log holds nothing that a reader could wait for.
        if next == Touch::LogSync {
            cutter.reader.read_now();
            cutter.begin_sync();
        }
        if !Random::of(cutter.seed, number).one_in(cutter.every) {
            return;
        }
        // Before the copy: what was acknowledged or seen by now must be in it.
        let floor = cutter.floor();
        // Nobody takes it any more once something was found.
        let _ = cutter.cuts.send(Cut { number, next, floor, disk: disk.copy() });
    }
}

/// Plays the script of a seed, and tries what a power loss leaves at about one of `every` changes of the disk, in
/// `losses` ways each.
///
/// # Panics
///
/// When what a power loss left is not what must be there.
pub fn play(seed: u64, every: u64, losses: u64) -> Counts {
    let _named = Named::seed(seed);
    let (cuts, queue) = sync_channel(4);
    let queue = Arc::new(Mutex::new(queue));
    let record = Arc::new(Record::default());
    let mode = Mode::of(seed, Duration::from_millis(1 + Random::of(seed, 4).below(20)));
    let promise = mode.promise();
    let reader = Arc::new(Reader::new(Arc::clone(&record)));
    let cutter = Arc::new(Cutter {
        seed,
        promise,
        every,
        record: Arc::clone(&record),
        reader: Arc::clone(&reader),
        changes: AtomicU64::new(0),
        syncs: AtomicU64::new(0),
        synced: Mutex::default(),
        raised: AtomicU64::new(0),
        cuts,
    });
    thread::scope(|scope| {
        let checkers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, record) = (Arc::clone(&queue), Arc::clone(&record));
                scope.spawn(move || check_all(seed, losses, &queue, &record))
            })
            .collect();
        drop(queue);
        // The cutter, and with it the queue's other end, ends with the script.
        let mut counts = script(seed, mode, cutter);
        for checker in checkers {
            match checker.join() {
                Ok(checked) => counts.add(checked),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        counts.pages = record.pages();
        counts.for_readers = if mode == Mode::ForReaders { counts.images } else { 0 };
        counts
    })
}

/// The script of a seed: lives of a store, each of which ends with a close. What was done but for the images.
fn script(seed: u64, mode: Mode, cutter: Arc<Cutter>) -> Counts {
    let mut random = Random::of(seed, 1);
    let (record, reader) = (Arc::clone(&cutter.record), Arc::clone(&cutter.reader));
    let disk = SimulatedDisk::new().watched(Shared(Arc::clone(&cutter)));
    let count = random.pick(&[1, 1, 2, 3, 4]).unwrap_or(1);
    let mut clients = Client::several(count, seed, &record);
    let (mut acked, mut shown) = (0, 0);
    for life in 0..2 + random.below(2) {
        let store = mode.open(&disk).expect("it opens");
        let names = client::set_up(&*store).expect("it is set up");
        record.share(client::shared(names.0));
        client::make_shared(&*store, names).expect("the shared session is made");
        if mode.promise() == Promise::OnDisk {
            record.set_up();
        }
        clients.iter_mut().for_each(Client::begin_life);
        let steps = 5 + random.below(60) / count;
        let closes_early = life > 0 && random.one_in(3);
        let lived = live(&store, &mut clients, steps, closes_early, &reader);
        (acked, shown) = (acked + lived.0, shown + lived.1);
        // Dropped without a close, it closes by itself.
        if random.one_in(5) && !closes_early {
            drop(store);
        } else if !closes_early {
            store.close().expect("it closes");
        }
        record.set_up();
        record.settle();
    }
    let (syncs, changes) = (cutter.syncs.load(Ordering::SeqCst), cutter.changes.load(Ordering::SeqCst));
    let fenced = clients.iter().map(|client| client.fenced).sum();
    let kinds = clients.into_iter().flat_map(|client| client.kinds).collect();
    let raised = cutter.raised.load(Ordering::SeqCst);
    Counts { acked, syncs, shown, fenced, raised, changes, kinds, ..Counts::default() }
}

/// Every client does so many steps, or as many as it can before the store is closed. How many operations were acknowledged,
/// and how many reads beside them showed something.
fn live(store: &Arc<dyn Store>, clients: &mut [Client], steps: u64, closes_early: bool, reader: &Reader) -> (u64, u64) {
    let (acked, mut shown) = (AtomicU64::new(0), 0);
    let most = steps * clients.len() as u64;
    thread::scope(|scope| {
        reader.begin(store);
        let reads = scope.spawn(|| reader.run());
        let writers: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let acked = &acked;
                scope.spawn(move || {
                    for _ in 0..steps {
                        match client.step(&**store, true) {
                            Went::Well => {
                                let count = acked.fetch_add(1, Ordering::SeqCst);
                                if closes_early && count == most / 2 {
                                    store.close().expect("it closes");
                                }
                            }
                            Went::Refused => {}
                            Went::Failed(error) => {
                                assert!(closes_early && error.kind() == parlor::ErrorKind::Closed, "{error:?}");
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        reader.end();
        match reads.join() {
            Ok(reads) => shown = reads,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        if let Some(panic) = ended.into_iter().find_map(Result::err) {
            std::panic::resume_unwind(panic);
        }
    });
    if closes_early {
        // Closed already, unless too few steps went well.
        let _ = store.close();
    }
    (acked.into_inner(), shown)
}

fn check_all(seed: u64, losses: u64, queue: &Mutex<Receiver<Cut>>, record: &Record) -> Counts {
    let mut counts = Counts::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(cut) = next else { return counts };
        for number in 0..losses {
            let loss_seed = Random::of(seed ^ cut.number, number).next();
            check_image(&cut, loss_seed, record, &mut counts).unwrap_or_else(|failure| {
                let loss = Loss::of_seed(loss_seed);
                let name = format!("image-{seed}-{}-{number}", cut.number);
                let kept = kept::keep_image(&name, &cut.disk, &cut.disk.after_power_loss(loss));
                panic!(
                    "PARLOR_SEED={seed}: the power fails at change {} of the disk, before {:?}, and {loss:?}; {kept}: \
                     {failure}",
                    cut.number, cut.next,
                )
            });
        }
    }
}

fn check_image(cut: &Cut, seed: u64, record: &Record, counts: &mut Counts) -> Result<(), String> {
    let mut random = Random::of(seed, 2);
    let image = || cut.disk.after_power_loss(Loss::of_seed(seed));
    let disk = image();
    let (store, operations) = open(&disk)?;
    let found = record.check(&*store, &cut.floor)?;
    counts.images += 1;
    if random.one_in(8) {
        counts.gone_on += 1;
        go_on(&disk, store, record, &cut.floor, &mut random)?;
    }
    if random.one_in(6) {
        counts.images += 1;
        counts.twice += 1;
        let disk = image();
        let at = random.below(operations);
        disk.fail(at, Failure::Cut);
        let is_open = disk.open(Durability::Sync).is_ok();
        let loss = Loss::of_seed(random.next());
        let (store, _) = open(&disk.after_power_loss(loss)).map_err(|failure| {
            format!("cut again at operation {at} of the opening (it opens: {is_open}), and {loss:?}: {failure}")
        })?;
        let after = record.check(&*store, &cut.floor).map_err(|failure| {
            format!("cut again at operation {at} of the opening (it opens: {is_open}), and {loss:?}: {failure}")
        })?;
        if after != found {
            return Err(format!("cut again at operation {at} of the opening, {loss:?}: {found:?} became {after:?}"));
        }
    }
    Ok(())
}

/// What there is beside the file. Where the making was cut off between its name and the temporary one, the file has both.
pub fn beside(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.files().into_iter().map(|(name, _)| name);
    names.filter(|name| !["a.parlor", "a.parlor.new"].contains(&name.as_str())).collect()
}

/// Opens it, and says how many operations that took.
fn open(disk: &SimulatedDisk) -> Result<(Arc<dyn Store>, u64), String> {
    let opened = catch_unwind(AssertUnwindSafe(|| disk.open(Durability::Sync)));
    let store =
        opened.map_err(|_| "opening panics".to_owned())?.map_err(|error| format!("it does not open: {error:?}"))?;
    Ok((store, disk.operations()))
}

/// Writes, closes or loses power once more, and opens again.
fn go_on(
    disk: &SimulatedDisk,
    store: Arc<dyn Store>,
    record: &Record,
    floor: &Floor,
    random: &mut Random,
) -> Result<(), String> {
    let failed = |error: parlor::Error| format!("it does not go on: {error:?}");
    let found = record.check(&*store, floor)?;
    // A new log, whose groups have numbers that the one before it may have had.
    let names: Vec<_> = (0..1 + random.below(4)).map(|number| format!("elsewhere {number}")).collect();
    for name in &names {
        client::write_elsewhere(&*store, name).map_err(failed)?;
    }
    let closes = random.one_in(2);
    let (store, what) = if closes {
        store.close().map_err(failed)?;
        let files = beside(disk);
        if !files.is_empty() {
            return Err(format!("after a close there are {files:?} too"));
        }
        (open(disk)?.0, "another close".to_owned())
    } else {
        let loss = Loss::of_seed(random.next());
        let what = format!("{} writes and another power loss, {loss:?}", names.len());
        let (store, _) = open(&disk.after_power_loss(loss)).map_err(|failure| format!("after {what}: {failure}"))?;
        (store, what)
    };
    let after = record.check(&*store, floor).map_err(|failure| format!("after {what}: {failure}"))?;
    if after != found {
        return Err(format!("after {what} {found:?} became {after:?}"));
    }
    for name in names {
        let written = store.find_workspace(&name).map_err(failed)?;
        written.ok_or_else(|| format!("{name:?} is lost after {what}"))?;
    }
    Ok(())
}
