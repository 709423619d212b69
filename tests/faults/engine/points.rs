//! An operation of the disk fails beneath an engine at work.

use std::io::ErrorKind::{Other, StorageFull};
use std::sync::Arc;

use parlor::testkit::{Failure, Loss, SimulatedDisk};
use parlor::{Error, ErrorKind};

use super::facts::Facts;
use super::people::Waiters;
use super::{Counts, Mode, check, keep, live};
use crate::suite::random::Random;

const FAILURES: [Failure; 5] = [
    Failure::Once(Other),
    Failure::Forever(Other),
    Failure::Short(Other),
    Failure::Once(StorageFull),
    Failure::Forever(StorageFull),
];

/// Which operations fail, each in a run of its own.
#[derive(Debug, Clone, Copy)]
pub enum Points {
    /// About one of so many.
    Every(u64),
    /// The one of this number.
    At(u64),
}

/// Plays the script of a seed with some operation of the disk failing in each run.
///
/// # Panics
///
/// When an answer was not true, or the file does not open again.
pub fn play(seed: u64, points: Points) -> Counts {
    let mut counts = Counts::default();
    let (mut at, every) = match points {
        Points::Every(every) => (Random::of(seed, 2).below(every), Some(every)),
        Points::At(at) => (at, None),
    };
    loop {
        let mut random = Random::of(seed, at);
        let Some(point) = play_one(seed, at, &mut random) else { return counts };
        counts.add(point);
        let Some(every) = every else { return counts };
        at += 1 + random.below(2 * every - 1);
    }
}

/// None where the script has no such operation.
fn play_one(seed: u64, at: u64, random: &mut Random) -> Option<Counts> {
    let how = random.pick(&FAILURES).unwrap_or(Failure::Cut);
    let name = format!("PARLOR_SEED={seed} PARLOR_AT={at}: it fails as {how:?}");
    let (facts, disk, mode) = (Arc::new(Facts::default()), SimulatedDisk::new(), Mode::of_seed(seed));
    disk.fail(at, how);
    let mut is_told = false;
    for _ in 0..2 {
        let steps = 4 + random.below(6);
        let failed = match mode.open(&disk, &facts) {
            Ok(engine) => live(engine, &facts, random, steps, Some(Waiters::default())),
            Err(error) => vec![error],
        };
        let kinds = [ErrorKind::Storage, ErrorKind::NoSpace, ErrorKind::OutcomeUnknown];
        let is_true = |error: &Error| disk.operations() > at && kinds.contains(&error.kind());
        assert!(failed.iter().all(is_true), "{name}: somebody is told {failed:?}");
        if !failed.is_empty() {
            is_told = true;
            break;
        }
        facts.settle();
    }
    if disk.operations() <= at {
        return None;
    }
    disk.mend();
    let floor = facts.floor(mode.promise());
    let loss = Loss::of_seed(random.next());
    for (disk, what) in [(disk.after_power_loss(loss), format!("after {loss:?}")), (disk, "opened again".to_owned())] {
        let before = disk.copy();
        check(&disk, &facts, &floor).unwrap_or_else(|failure| {
            let kept = keep(&format!("engine-{seed}-at-{at}"), &[("disk", &before)]);
            panic!("{name}: {what}: {failure}\nits files are in {}", kept.display())
        });
    }
    Some(Counts { points: 1, told: u64::from(is_told), ..Counts::of(&facts) })
}
