//! Files that rot while nobody has them open: right answers or typed errors, and never a panic.
//!
//! * Opened with full verification, a damaged file answers as the sound one does, or is refused.
//! * Opened without, it may be refused; what it answers is true. What it cannot read it names as damaged. What cannot be
//!   reached any more may read as not there, and then [`verify`](parlor::store::Store::verify) names something.
//! * Nothing is answered as it once was: a page that is not the one that is due is refused, however whole its rows are.

mod answers;
mod damage;
mod ends;
mod going_on;
mod victim;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;

use parlor::store::Store;
use parlor::testkit::{SimulatedDisk, redb_store_in_blocks, redb_store_verified};
use parlor::{Durability, Error, ErrorKind, Result};

use self::answers::{Answer, Differs, ask};
use self::damage::Damage;
use self::victim::Victim;
use crate::suite::kept;
use crate::suite::random::Random;

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Damaged files, each opened with full verification and without.
    pub cases: u64,
    /// Those that full verification refused, and those that do not open without it either.
    pub refused: u64,
    pub closed: u64,
    /// Of those that opened, those that name damage, and those that lack something.
    pub names: u64,
    pub lacks: u64,
    /// Of those that opened, all of which was right.
    pub right: u64,
    /// Those that were written to as well.
    pub gone_on: u64,
    /// Those that stood in a directory, and not in memory.
    pub in_files: u64,
    /// Those whose log was damaged, and of those that opened, those whose log ended earlier than it had.
    pub in_logs: u64,
    pub ended: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.cases += other.cases;
        self.refused += other.refused;
        self.closed += other.closed;
        self.names += other.names;
        self.lacks += other.lacks;
        self.right += other.right;
        self.gone_on += other.gone_on;
        self.in_files += other.in_files;
        self.in_logs += other.in_logs;
        self.ended += other.ended;
    }
}

/// Cases of one file.
pub const A_FILE: u64 = 25;

/// Cases that may fail before the rest is left.
const FAILURES: usize = 5;

/// Plays so many cases from a seed on, on two threads.
///
/// # Panics
///
/// When a damaged file lies, panics, or fails in another way than it may. Every such case is named.
pub fn play(first: u64, cases: u64) -> Counts {
    silence_panics();
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let each = |number| {
            let (next, failures) = (&next, &failures);
            let work = move || {
                let mut counts = Counts::default();
                loop {
                    let file = next.fetch_add(1, Ordering::SeqCst);
                    if file * A_FILE >= cases {
                        return counts;
                    }
                    play_file(first + file, A_FILE.min(cases - file * A_FILE), number, &mut counts, failures);
                }
            };
            thread::Builder::new().name(format!("rot-{number}")).spawn_scoped(scope, work).expect("a thread starts")
        };
        let workers: Vec<_> = (0..2).map(each).collect();
        for worker in workers {
            counts.add(worker.join().expect("what it does is caught"));
        }
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    assert!(failures.is_empty(), "{counts:?}; {} failed:\n{}", failures.len(), failures.join("\n\n"));
    counts
}

/// Whatever panics on these threads and within a store is caught and judged by what comes of it; thousands of
/// messages would hide the one that counts.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let name = thread::current().name().unwrap_or_default().to_owned();
            if std::env::var_os("PARLOR_PANICS").is_some() || !name.starts_with("rot-") && !name.starts_with("parlor-")
            {
                before(panic);
            }
        }));
    });
}

fn play_file(seed: u64, cases: u64, worker: u64, counts: &mut Counts, failures: &Mutex<Vec<String>>) {
    let victim = Victim::of(seed);
    let directory = tempfile::Builder::new().prefix("rot").tempdir_in(memory()).expect("a directory");
    for number in 0..cases {
        let mut random = Random::of(seed, number);
        let which = random.below(victim.files.len() as u64) as usize;
        let (file, content) = &victim.files[which];
        let damage = match victim.ends.last().filter(|_| is_log(file) && random.one_in(3)) {
            Some(last) => Damage::draw_at_end(&mut random, last),
            None => Damage::draw(&mut random, content),
        };
        let mut files = victim.files.clone();
        files[which].1 = damage.of(content);
        let name = format!("PARLOR_SEED={seed}, case {number}: {file} {damage:?}");
        // What ends the whole process leaves this.
        fs::write(kept::place(&format!("rot-{worker}")), &name).expect("it is written");
        let place = match random.one_in(8) {
            true => Place::Files(directory.path().to_owned()),
            false => Place::Memory,
        };
        counts.cases += 1;
        counts.in_files += u64::from(matches!(place, Place::Files(_)));
        counts.in_logs += u64::from(is_log(file));
        let case = Case { victim: &victim, files: &files, place };
        if let Err(failure) = case.check(&mut random, counts) {
            let kept = kept::keep(&format!("rot-{seed}-{number}"), &files);
            let mut failures = failures.lock().expect("nobody panics with it");
            failures.push(format!("{name}; the files are in {}: {failure}", kept.display()));
        }
        if failures.lock().expect("nobody panics with it").len() >= FAILURES {
            return;
        }
    }
}

fn is_log(name: &str) -> bool {
    name.ends_with("-log")
}

/// Where files are quick, if there is such a place.
fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Where the damaged files stand.
enum Place {
    Memory,
    Files(PathBuf),
}

/// How far they are trusted.
#[derive(Clone, Copy)]
enum Trust {
    Verify,
    Clean,
}

/// Damaged files in their place, which can be opened there, and once more.
enum At {
    Disk(SimulatedDisk),
    Path(PathBuf),
}

impl At {
    fn open(&self, trust: Trust) -> Result<Arc<dyn Store>> {
        match (self, trust) {
            (At::Disk(disk), Trust::Verify) => disk.open_verified(Durability::Sync),
            (At::Disk(disk), Trust::Clean) => disk.open(Durability::Sync),
            (At::Path(path), Trust::Verify) => redb_store_verified(path, SimulatedDisk::BLOCK),
            (At::Path(path), Trust::Clean) => redb_store_in_blocks(path, SimulatedDisk::BLOCK),
        }
    }
}

struct Case<'c> {
    victim: &'c Victim,
    files: &'c [(String, Vec<u8>)],
    place: Place,
}

/// A file that is open.
struct Open {
    store: Arc<dyn Store>,
    at: At,
}

impl Case<'_> {
    fn check(&self, random: &mut Random, counts: &mut Counts) -> Result<(), String> {
        let verified =
            caught(|| self.open(Trust::Verify)).map_err(|panic| format!("verified, opening panics: {panic}"))?;
        let is_sound = verified.is_ok();
        match verified {
            Ok(open) => self.check_verified(&*open.store)?,
            Err(error) => {
                counts.refused += 1;
                self.refused(&error).map_err(|failure| format!("verified, {failure}"))?;
            }
        }
        let open = match caught(|| self.open(Trust::Clean)).map_err(|panic| format!("opening panics: {panic}"))? {
            Ok(open) => open,
            Err(error) => {
                counts.closed += 1;
                return self.refused(&error);
            }
        };
        let differs = self.answers(&*open.store, counts)?;
        counts.names += u64::from(differs.names);
        counts.lacks += u64::from(differs.lacks);
        counts.right += u64::from(differs == Differs::default());
        let verified = caught(|| open.store.verify()).map_err(|panic| format!("verifying panics: {panic}"))?;
        let is_named = match verified {
            Ok(breaches) => !breaches.is_empty(),
            Err(error) if [ErrorKind::Corrupt, ErrorKind::Storage].contains(&error.kind()) => true,
            Err(error) => return Err(format!("verifying fails: {error:?}")),
        };
        if differs != Differs::default() && !is_named {
            return Err(format!("{differs:?}, and verify names nothing"));
        }
        if is_sound && differs != Differs::default() {
            return Err(format!("{differs:?}, and full verification found nothing"));
        }
        if random.one_in(4) {
            counts.gone_on += 1;
            self.go_on(open, random)?;
        }
        Ok(())
    }

    fn open(&self, trust: Trust) -> Result<Open> {
        let at = match &self.place {
            Place::Memory => At::Disk(SimulatedDisk::holding(self.files.iter().cloned())),
            Place::Files(directory) => {
                for entry in fs::read_dir(directory).expect("it is read") {
                    fs::remove_file(entry.expect("an entry").path()).expect("it is removed");
                }
                for (name, content) in self.files {
                    fs::write(directory.join(name), content).expect("it is written");
                }
                At::Path(directory.join("a.parlor"))
            }
        };
        Ok(Open { store: at.open(trust)?, at })
    }

    /// What a file answers that was fully verified.
    fn check_verified(&self, store: &dyn Store) -> Result<(), String> {
        let answers =
            caught(|| ask(store, &self.victim.known)).map_err(|panic| format!("verified, it panics: {panic}"))?;
        if self.ends_earlier(&answers) {
            return Ok(());
        }
        match answers.iter().zip(&self.victim.truth).find(|(answer, truth)| answer != truth) {
            None => Ok(()),
            Some((answer, truth)) => Err(format!("verified, it answers {answer:#?}\n--- and due is\n{truth:#?}")),
        }
    }

    /// Whether all is as it was before some of the last operations, whose records are damaged and not proved.
    fn ends_earlier(&self, answers: &[Answer]) -> bool {
        let log = self.files.iter().find(|file| is_log(&file.0));
        answers != self.victim.truth
            && log.is_some_and(|(_, damaged)| self.victim.ends.allow(damaged, &self.victim.known, answers))
    }

    /// What one answers that was not.
    fn answers(&self, store: &dyn Store, counts: &mut Counts) -> Result<Differs, String> {
        let answers = caught(|| ask(store, &self.victim.known)).map_err(|panic| format!("it panics: {panic}"))?;
        let mut all = Differs::default();
        if self.ends_earlier(&answers) {
            counts.ended += 1;
            return Ok(all);
        }
        for (answer, truth) in answers.iter().zip(&self.victim.truth) {
            let differs = answer.against(truth, &self.victim.truth)?;
            all.lacks |= differs.lacks;
            all.names |= differs.names;
        }
        Ok(all)
    }

    /// Whether this is a way in which it may be refused.
    fn refused(&self, error: &Error) -> Result<(), String> {
        match error.kind() {
            // A damaged format row may say anything.
            ErrorKind::Corrupt | ErrorKind::NewerFormat => Ok(()),
            _ => Err(format!("it is refused as {error:?}")),
        }
    }

    /// Writes to it, closes it and opens it again.
    fn go_on(&self, open: Open, random: &mut Random) -> Result<(), String> {
        let Open { store, at } = open;
        caught(|| going_on::write(&*store, &self.victim.known, random))
            .map_err(|panic| format!("writing panics: {panic}"))??;
        let closed = caught(|| store.close()).map_err(|panic| format!("closing panics: {panic}"))?;
        closed.or_else(|error| going_on::refusal("close", &error))?;
        drop(store);
        let again = caught(|| at.open(Trust::Clean));
        match again.map_err(|panic| format!("opening it once more panics: {panic}"))? {
            Ok(store) => caught(|| going_on::check(&*store, self.victim))
                .map_err(|panic| format!("written to, it panics: {panic}"))??,
            Err(error) => self.refused(&error)?,
        }
        match &at {
            At::Disk(_) => Ok(()),
            At::Path(path) => {
                caught(|| going_on::whole(path)).map_err(|panic| format!("as a whole, it panics: {panic}"))?
            }
        }
    }
}

/// Its result, or the text of its panic.
fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"no text").to_string(),
    })
}
