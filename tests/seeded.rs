//! The suite is put to the test: with a fault planted in the default store, it must fail.
//!
//! A binary of its own with one test that plants: what is planted is planted in the whole process.

#[path = "faults/engine/mod.rs"]
mod engine;
#[path = "faults/rot/mod.rs"]
mod rot;
#[path = "faults/suite/mod.rs"]
mod suite;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

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

/// The first seed whose random run fails.
fn seed_that_fails(seeds: u64) -> Option<u64> {
    (0..seeds).find(|seed| {
        let stores = Stores::new();
        fails(|| compare(stores.make(), Arc::new(ModelStore::new()), *seed, STEPS))
    })
}

/// The subjects of the conformance suite of which a claim fails.
fn subjects_that_fail(of: &[&'static str]) -> BTreeSet<&'static str> {
    let stores = Stores::new();
    let asked = claims().filter(|(subject, _, _)| of.contains(subject));
    asked.filter(|(_, _, check)| fails(|| check(&|| stores.make()))).map(|(subject, _, _)| subject).collect()
}

/// The fault suite in small.
fn play(seed: u64) {
    let images::Counts { images, kinds, .. } = images::play(seed, 4, 4);
    assert!(!kinds.is_empty() && kinds.len() <= suite::KINDS, "{kinds:?}");
    let points = points::play(seed, 64).points;
    closing::close_beside_writers(seed);
    assert!(images > 0 && points > 0, "{images} images, {points} points");
    let (images, points) = (engine::play(seed, 24, 2).images, engine::play_points(seed, 64).points);
    let rotten = rot::play(seed, 50).cases;
    assert!(images > 0 && points > 0 && rotten > 0, "{images} images, {points} points, {rotten} damaged files");
}

/// The faults that the suite of this one must catch. A new fault finds its place here or the suite does not compile.
fn suite_of(bug: Bug) -> &'static [Bug] {
    match bug {
        Bug::CursorOffByOne | Bug::TotalOffByOne | Bug::DeletionForgotten => &Bug::IN_ANSWERS,
        Bug::LogUnsynced | Bug::ReadUnsynced | Bug::FileUnsynced => &Bug::IN_CRASHES,
        // In a binary of their own, which has the scheduler: tests/shuttle_seeded.
        Bug::FenceOpen | Bug::WokenEarly | Bug::PendingDropped | Bug::PromotedApart => &Bug::IN_SCHEDULES,
        Bug::RowUnchecked => &Bug::IN_ROT,
    }
}

#[test]
fn every_fault_is_one_that_a_suite_must_catch() {
    let all = Bug::IN_ANSWERS.iter().chain(&Bug::IN_CRASHES).chain(&Bug::IN_SCHEDULES).chain(&Bug::IN_ROT);
    let numbers: BTreeSet<_> = all
        .map(|bug| {
            assert!(suite_of(*bug).contains(bug), "{bug:?} is in another list");
            *bug as u8
        })
        .collect();
    let count = u8::try_from(numbers.len()).expect("they are few");
    assert!(numbers.into_iter().eq(1..=count), "one of them stands in no list");
}

#[test]
fn a_planted_fault_is_caught_by_random_runs_and_a_claim_or_by_the_fault_suite() {
    std::panic::set_hook(Box::new(|_| {}));
    let subjects = ["cursor", "listing", "delete"];
    for bug in Bug::IN_ANSWERS {
        plant(Some(bug));
        let (seed, failed) = (seed_that_fails(SEEDS), subjects_that_fail(&subjects));
        plant(None);
        println!("{bug:?}: seed {seed:?}, claims of {failed:?}");
        assert!(seed.is_some(), "{SEEDS} random runs do not notice {bug:?}");
        assert!(!failed.is_empty(), "no claim notices {bug:?}");
    }
    for bug in Bug::IN_CRASHES {
        plant(Some(bug));
        let seed = (0..SEEDS).find(|seed| fails(|| assert!(images::play(*seed, 4, 4).images > 0)));
        plant(None);
        println!("{bug:?}: seed {seed:?} of the fault suite");
        assert!(seed.is_some(), "{SEEDS} scripts of the fault suite do not notice {bug:?}");
    }
    for bug in [Bug::LogUnsynced, Bug::ReadUnsynced] {
        plant(Some(bug));
        let seed = (0..SEEDS).find(|seed| fails(|| assert!(engine::play(*seed, 8, 4).images > 0)));
        plant(None);
        println!("{bug:?}: seed {seed:?} of an engine at work");
        assert!(seed.is_some(), "{SEEDS} scripts of an engine at work do not notice {bug:?}");
    }
    for bug in Bug::IN_ROT {
        plant(Some(bug));
        let is_caught = fails(|| assert!(rot::play(0, 1_000).cases > 0));
        plant(None);
        println!("{bug:?}: damaged files show it: {is_caught}");
        assert!(is_caught, "1,000 damaged files do not show {bug:?}");
    }
    let caught = Bug::IN_ANSWERS.len() + Bug::IN_CRASHES.len() + Bug::IN_ROT.len();
    println!("{caught} planted faults are caught");
    assert_eq!(seed_that_fails(5), None, "nothing is planted any more");
    assert_eq!(subjects_that_fail(&subjects), BTreeSet::new(), "nothing is planted any more");
    play(0);
}
