//! Power that fails and disks that fail, at every operation of file and log: nothing that was acknowledged is lost,
//! nothing is half there, and nobody has read what is gone.
//!
//! And files that rot: right answers or typed errors. All of it is described in docs/reliability.md.
//!
//! Every failure names a seed; with `PARLOR_SEED` set to it that seed alone is played, as far as threads allow in the
//! same way. Where it names a number too, `PARLOR_AT` is for that moment or operation alone. `PARLOR_IMAGES`,
//! `PARLOR_POINTS`, `PARLOR_ENGINE_IMAGES`, `PARLOR_ENGINE_POINTS` and `PARLOR_ROTTEN` say how many are tried,
//! `PARLOR_LONG=1` a million, and `PARLOR_FIRST` from which seed on.

mod engine;
mod named;
mod rot;
mod suite;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use engine::images::Cuts;
use engine::points::Points;
use suite::{closing, images, points};

fn number(name: &str) -> Option<u64> {
    Some(env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// How many of something are tried.
fn wanted(name: &str, default: u64) -> u64 {
    let long = env::var("PARLOR_LONG").is_ok_and(|value| value == "1");
    number(name).unwrap_or(if long { 1_000_000 } else { default })
}

/// The seed that is played first.
fn first() -> u64 {
    number("PARLOR_FIRST").unwrap_or(0)
}

/// Where as much is tried as there is to be by default, each of these was met.
fn assert_met(what: &str, counts: &[(&str, u64)]) {
    let unmet: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect();
    assert!(unmet.is_empty(), "{what}: none of {unmet:?}");
}

/// Images of a test that is not told how many: about 20 seconds on two cores.
const IMAGES: u64 = 12_000;

#[test]
fn whatever_a_power_loss_leaves_has_all_that_was_acknowledged_and_nothing_by_halves() {
    let mut counts = images::Counts::default();
    match number("PARLOR_SEED") {
        Some(seed) => counts.add(images::play(seed, 4, 16)),
        None => {
            let wanted = wanted("PARLOR_IMAGES", IMAGES);
            let mut seed = first();
            while counts.images < wanted {
                counts.add(images::play(seed, 24, 8));
                seed += 1;
            }
            println!("{} scripts", seed - first());
            if wanted >= IMAGES {
                all_images(&counts);
            }
        }
    }
    println!("{counts:?}");
}

fn all_images(counts: &images::Counts) {
    let images::Counts {
        images,
        twice,
        gone_on,
        acked,
        syncs,
        shown,
        fenced,
        pages,
        raised,
        for_readers,
        changes,
        kinds,
    } = counts;
    assert_eq!(kinds.len(), suite::KINDS, "not all is done: {kinds:?}");
    let met = [("images", *images), ("twice", *twice), ("gone_on", *gone_on), ("syncs", *syncs), ("shown", *shown)];
    assert_met("power loss", &met);
    let met = [("fenced", *fenced), ("pages", *pages), ("raised", *raised), ("for_readers", *for_readers)];
    assert_met("power loss", &met);
    assert_met("power loss", &[("changes", *changes)]);
    assert!(acked > syncs, "{acked} operations in {syncs} syncs of the log: no group has several");
}

#[test]
fn what_a_close_refuses_was_not_written() {
    for seed in number("PARLOR_SEED").map_or(0..300, |seed| seed..seed + 1) {
        closing::close_beside_writers(seed);
    }
}

/// Points of a test that is not told how many: about 20 seconds on two cores.
const POINTS: u64 = 1_200;

#[test]
fn whatever_operation_fails_every_answer_is_true() {
    let mut counts = points::Counts::default();
    match number("PARLOR_SEED") {
        Some(seed) => counts.add(points::play(seed, 1)),
        None => {
            let wanted = wanted("PARLOR_POINTS", POINTS);
            let (next, all) = (AtomicU64::new(first()), Mutex::new(counts));
            let lock = || all.lock().expect("nobody failed with it");
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while lock().points < wanted {
                            let played = points::play(next.fetch_add(1, Ordering::SeqCst), 8);
                            lock().add(played);
                        }
                    });
                }
            });
            println!("{} scripts", next.into_inner() - first());
            counts = all.into_inner().expect("nobody failed with it");
            if wanted >= POINTS {
                all_points(&counts);
            }
        }
    }
    println!("{counts:?}");
}

fn all_points(counts: &points::Counts) {
    let points::Counts { points, opening, refused, unknown, there, closes, no_space, for_readers } = *counts;
    let met = [("points", points), ("opening", opening), ("refused", refused), ("unknown", unknown), ("there", there)];
    assert_met("failing operations", &met);
    assert_met("failing operations", &[("closes", closes), ("no_space", no_space), ("for_readers", for_readers)]);
    assert!(there < unknown, "all {unknown} operations whose outcome was unknown were there");
}

/// In this one the disk fails to give a page while a file is opened: that says nothing of what is in the file.
#[test]
fn whatever_operation_fails_of_one_script_no_file_is_taken_for_a_damaged_one() {
    points::play(3, 1);
}

/// Damaged files of a test that is not told how many.
const ROTTEN: u64 = 2_000;

#[test]
fn whatever_rots_of_a_file_it_answers_truly_or_says_that_it_is_damaged() {
    let counts = match number("PARLOR_SEED") {
        Some(seed) => rot::play(seed, rot::A_FILE),
        None => rot::play(first(), wanted("PARLOR_ROTTEN", ROTTEN)),
    };
    println!("{counts:?}");
    if number("PARLOR_SEED").is_none() && counts.cases >= ROTTEN {
        all_rotten(&counts);
    }
}

fn all_rotten(counts: &rot::Counts) {
    let rot::Counts { cases, refused, closed, names, lacks, right, gone_on, in_files, in_logs, ended } = *counts;
    let met = [("cases", cases), ("refused", refused), ("closed", closed), ("names", names), ("lacks", lacks)];
    assert_met("rot", &met);
    let met = [("right", right), ("gone_on", gone_on), ("in_files", in_files), ("in_logs", in_logs), ("ended", ended)];
    assert_met("rot", &met);
}

/// Images and points of the whole engine, of tests that are not told how many.
const ENGINE_IMAGES: u64 = 1_500;
const ENGINE_POINTS: u64 = 100;

#[test]
fn whatever_a_power_loss_leaves_of_an_engine_at_work_has_all_that_was_acknowledged_or_seen() {
    let mut counts = engine::Counts::default();
    match number("PARLOR_SEED") {
        Some(seed) => counts.add(engine::images::play(seed, Cuts { every: 4, only: number("PARLOR_AT"), losses: 8 })),
        None => {
            let wanted = wanted("PARLOR_ENGINE_IMAGES", ENGINE_IMAGES);
            for seed in first().. {
                if counts.images >= wanted {
                    println!("{} scripts", seed - first());
                    break;
                }
                counts.add(engine::images::play(seed, Cuts { every: 48, only: None, losses: 4 }));
            }
            let numbers = [counts.twice, counts.gone_on, counts.again, counts.deferred, counts.shared];
            let is_all = numbers.iter().all(|number| *number > 0) && engine::missed(&counts).is_empty();
            assert!(wanted < ENGINE_IMAGES || is_all, "never {:?}: {counts:#?}", engine::missed(&counts));
        }
    }
    println!("{counts:?}");
}

#[test]
fn whatever_operation_fails_beneath_an_engine_at_work_every_answer_is_true() {
    let mut counts = engine::Counts::default();
    match (number("PARLOR_SEED"), number("PARLOR_AT")) {
        (Some(seed), Some(at)) => counts.add(engine::points::play(seed, Points::At(at))),
        (Some(seed), None) => counts.add(engine::points::play(seed, Points::Every(1))),
        (None, _) => {
            let wanted = wanted("PARLOR_ENGINE_POINTS", ENGINE_POINTS);
            for seed in first().. {
                if counts.points >= wanted {
                    println!("{} scripts", seed - first());
                    break;
                }
                counts.add(engine::points::play(seed, Points::Every(64)));
            }
            let is_all = counts.told > 0 && counts.refused.contains_key("waited beside");
            assert!(wanted < ENGINE_POINTS || is_all, "not all is done: {counts:#?}");
        }
    }
    println!("{counts:?}");
}
