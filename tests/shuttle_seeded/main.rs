//! The suite of `tests/shuttle` is put to the test: with a fault planted in the runtime, it must fail.
//!
//! A binary of its own with one test, since what is planted is planted in the whole process.
#![cfg(shuttle)]

/// The claims of the suite as they stand there, to be called.
macro_rules! claims {
    ($($(#[$doc:meta])* fn $claim:ident() $body:block)*) => {
        $($(#[$doc])* pub(crate) fn $claim() $body)*
    };
}
pub(crate) use claims;

#[path = "../shuttle/queueing.rs"]
#[allow(dead_code, unused_imports, reason = "some of the claims are enough, and their macro is in sight")]
mod queueing;
#[path = "../shuttle/scene.rs"]
#[allow(dead_code, reason = "the claims of the suite use the rest")]
mod scene;
#[path = "../shuttle/turns.rs"]
#[allow(dead_code, unused_imports, reason = "some of the claims are enough, and their macro is in sight")]
mod turns;
#[path = "../shuttle/waiting.rs"]
#[allow(dead_code, unused_imports, reason = "some of the claims are enough, and their macro is in sight")]
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};

use parlor::testkit::{Bug, plant};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, UrwRandomScheduler};
use shuttle::{Config, Runner};

/// Schedules within which a fault must be found, by one of the schedulers.
const SCHEDULES: usize = 2_000;

fn fails(scheduler: impl Scheduler + 'static) -> bool {
    let mut config = Config::new();
    config.stack_size = 1 << 17;
    config.silence_warnings = true;
    config.failure_persistence = shuttle::FailurePersistence::None;
    let run = || {
        Runner::new(scheduler, config).run(|| {
            turns::a_follow_up_takes_the_place_of_the_running_turn();
            waiting::no_wake_up_is_lost();
            queueing::what_waits_is_promoted_in_the_commit_that_ends_the_turn_before();
        })
    };
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// Which of the schedulers finds something.
fn found() -> Vec<&'static str> {
    let found = [
        ("random", fails(RandomScheduler::new_from_seed(0, SCHEDULES))),
        ("urw", fails(UrwRandomScheduler::new_from_seed(0, SCHEDULES))),
        ("pct_3", fails(PctScheduler::new_from_seed(0, 3, SCHEDULES))),
        ("pct_5", fails(PctScheduler::new_from_seed(0, 5, SCHEDULES))),
    ];
    found.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect()
}

#[test]
fn a_planted_fault_is_caught_by_a_schedule() {
    std::panic::set_hook(Box::new(|_| {}));
    for bug in Bug::IN_SCHEDULES {
        plant(Some(bug));
        let found = found();
        plant(None);
        println!("{bug:?}: {found:?}");
        assert!(!found.is_empty(), "no schedule shows {bug:?}");
    }
    println!("{} planted faults are caught", Bug::IN_SCHEDULES.len());
    // The same schedules of the same claims.
    assert_eq!(found(), Vec::<&str>::new(), "nothing is planted any more");
}
