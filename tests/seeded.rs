//! The suite is put to the test: with a fault planted in the default store, it must fail.
//!
//! A binary of its own with one test that plants: what is planted is planted in the whole process.

#[allow(dead_code, reason = "how much of it was met is asked where all of it is played")]
#[path = "faults/engine/mod.rs"]
mod engine;
#[path = "faults/rot/mod.rs"]
mod rot;
#[path = "faults/suite/mod.rs"]
mod suite;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use engine::images::Cuts;
use engine::points::Points;
use parlor::store::Store;
use suite::{closing, images, points};

use parlor::testkit::{Bug, ModelStore, claims, compare, plant, redb_store_in_blocks};

/// Seeds within which random runs must find a fault.
const SEEDS: u64 = 50;
const STEPS: u32 = 100;

/// Stores in a directory that goes away with them.
struct Stores(tempfile::TempDir);

impl Stores {
    fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Stores(made.expect("a temporary directory"))
    }

    /// A new one, whose blocks of positions are so small that a few messages fill many.
    fn make(&self) -> Arc<dyn Store> {
        let path = self.0.path().join(uuid::Uuid::new_v4().to_string());
        redb_store_in_blocks(path, 3).expect("the store opens")
    }
}

fn fails(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// Whether a run fails with a fault, and not without it.
///
/// # Panics
///
/// When it fails without it: then it says nothing of the fault.
fn shows(bug: Bug, run: impl Fn()) -> bool {
    plant(Some(bug));
    let failed = fails(&run);
    plant(None);
    assert!(!failed || !fails(&run), "what fails with {bug:?} fails without it");
    failed
}

/// The first seed of a suite that shows a fault.
fn seed_that_shows(bug: Bug, play: impl Fn(u64)) -> Option<u64> {
    (0..SEEDS).find(|seed| shows(bug, || play(*seed)))
}

/// Random operations, on the default store and the reference store.
fn compared(seed: u64) {
    let stores = Stores::new();
    compare(stores.make(), Arc::new(ModelStore::new()), seed, STEPS);
}

/// The subjects of the conformance suite of which a claim shows a fault.
fn subjects_that_show(bug: Bug, of: &[&'static str]) -> BTreeSet<&'static str> {
    let stores = Stores::new();
    let asked = claims().filter(|(subject, _, _)| of.contains(subject));
    asked.filter(|(_, _, check)| shows(bug, || check(&|| stores.make()))).map(|(subject, _, _)| subject).collect()
}

/// The fault suite in small.
fn play(seed: u64) {
    let images::Counts { images, kinds, .. } = images::play(seed, 4, 4);
    assert!(!kinds.is_empty() && kinds.len() <= suite::KINDS, "{kinds:?}");
    let points = points::play(seed, 64).points;
    closing::close_beside_writers(seed);
    assert!(images > 0 && points > 0, "{images} images, {points} points");
    let images = engine::images::play(seed, Cuts { every: 24, only: None, losses: 2 }).images;
    let points = engine::points::play(seed, Points::Every(64)).points;
    let rotten = rot::play(seed, 50).cases;
    assert!(images > 0 && points > 0 && rotten > 0, "{images} images, {points} points, {rotten} damaged files");
}

/// The faults that the suite of this one must catch. A new fault finds its place here or the suite does not compile.
fn suite_of(bug: Bug) -> &'static [Bug] {
    match bug {
        Bug::CursorOffByOne | Bug::TotalOffByOne | Bug::DeletionForgotten | Bug::CountForgotten => &Bug::IN_ANSWERS,
        Bug::LogUnsynced | Bug::ReadUnsynced | Bug::FileUnsynced => &Bug::IN_CRASHES,
        // In a binary of their own, which has the scheduler: tests/shuttle_seeded.
        Bug::FenceOpen | Bug::WokenEarly | Bug::PendingDropped | Bug::PromotedApart => &Bug::IN_SCHEDULES,
        Bug::RowUnchecked => &Bug::IN_ROT,
    }
}

#[test]
fn every_fault_is_one_that_a_suite_must_catch() {
    for bug in Bug::ALL {
        assert!(suite_of(*bug).contains(bug), "{bug:?} is planted nowhere");
    }
}

#[test]
fn a_planted_fault_is_caught_by_random_runs_and_a_claim_or_by_the_fault_suite() {
    std::panic::set_hook(Box::new(|_| {}));
    for bug in Bug::IN_ANSWERS {
        let seed = seed_that_shows(bug, compared);
        let subjects = subjects_that_show(bug, &["cursor", "listing", "delete", "sessions"]);
        println!("{bug:?}: seed {seed:?}, claims of {subjects:?}");
        assert!(seed.is_some(), "{SEEDS} random runs do not notice {bug:?}");
        assert!(!subjects.is_empty(), "no claim notices {bug:?}");
    }
    // Of the default store: what a schedule shows, in tests/shuttle_seeded, it shows of the reference store.
    let subjects = subjects_that_show(Bug::FenceOpen, &["fence"]);
    println!("{:?}: claims of {subjects:?}", Bug::FenceOpen);
    assert!(!subjects.is_empty(), "no claim notices {:?}", Bug::FenceOpen);
    for bug in Bug::IN_CRASHES {
        let seed = seed_that_shows(bug, |seed| assert!(images::play(seed, 4, 4).images > 0));
        println!("{bug:?}: seed {seed:?} of the fault suite");
        assert!(seed.is_some(), "{SEEDS} scripts of the fault suite do not notice {bug:?}");
    }
    for bug in [Bug::LogUnsynced, Bug::ReadUnsynced] {
        let cuts = Cuts { every: 8, only: None, losses: 4 };
        let seed = seed_that_shows(bug, |seed| assert!(engine::images::play(seed, cuts).images > 0));
        println!("{bug:?}: seed {seed:?} of an engine at work");
        assert!(seed.is_some(), "{SEEDS} scripts of an engine at work do not notice {bug:?}");
    }
    for bug in Bug::IN_ROT {
        // Files that were closed and one that was not.
        let seed = seed_that_shows(bug, |seed| assert!(rot::play(4 * seed, 10 * rot::A_FILE).cases > 0));
        println!("{bug:?}: damaged files from seed {seed:?} on");
        assert!(seed.is_some(), "no damaged file shows {bug:?}");
    }
    let caught = Bug::IN_ANSWERS.len() + Bug::IN_CRASHES.len() + Bug::IN_ROT.len() + 1;
    println!("{caught} planted faults are caught");
    play(0);
}
