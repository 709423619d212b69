//! The runtime under schedules that a test decides: who goes on at every lock, wake-up and atomic
//! access. Compiled under `--cfg shuttle` only, in a folder of its own so that nothing else is built anew:
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test --target-dir target/shuttle --test shuttle
//! ```
//!
//! Each claim runs under four schedulers of [shuttle](https://docs.rs/shuttle): `random`, `urw` (a random walk
//! that makes all interleavings about equally likely), `pct_3` and `pct_5` (few changes of threads at unlikely
//! places). They are mixed on purpose: each misses faults that another sees at once. Under `twice`, every
//! schedule is played again and must come out the same.
//!
//! A run has the same schedules always, so that what fails was caused by what changed. `PARLOR_LONG=1` makes it
//! a long one, each time with other schedules; `PARLOR_SCHEDULES` says how many of each claim and scheduler.
//!
//! # What failed, once more
//!
//! A failure prints its schedule, in hexadecimal. With it the claim fails in the same way, as often as is wanted:
//!
//! ```sh
//! PARLOR_SCHEDULE=9103… RUSTFLAGS="--cfg shuttle" cargo test --target-dir target/shuttle --test shuttle \
//!     -- --exact turns::a_retry_starts_nothing_twice::random --nocapture
//! ```
//!
//! Who blocks whom where nobody can go on any more, `SHUTTLE_CAPTURE_BACKTRACE=1` shows.
//!
//! That the suite sees faults at all is the claim of `tests/shuttle_seeded`, which plants some.
//!
//! # What it does not see
//!
//! Time, but for a clock that a claim drives: a wait with a time-out never ends by it. Memory that is weaker than sequentially consistent: the runtime
//! has no such access. redb: no schedule goes on inside it, and most claims run on the reference store.
#![cfg(shuttle)]

mod access;
mod archiving;
mod closing;
mod deleting;
mod following;
mod queueing;
mod replacing;
mod scene;
mod storage;
mod turns;
mod waiting;
mod workers;

use std::env;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler,
    UrwRandomScheduler,
};
use shuttle::{Config, MaxSteps, Runner};

/// How many schedules a claim is put to under each scheduler, and in a long run (`PARLOR_LONG=1`).
const SCHEDULES: [usize; 2] = [20_000, 1_000_000];
/// Many times the steps of any claim: who takes more goes round in circles.
const MOST_STEPS: usize = 20_000;
/// Enough for an agent's call through the store and back.
const STACK_BYTES: usize = 1 << 17;

/// Who decides.
#[derive(Clone, Copy)]
enum By {
    Random,
    Urw,
    Pct(usize),
    Twice,
}

/// Puts a claim to its schedules, or to one of this many where each takes long, or to the one that
/// is asked for.
fn explore(claim: fn(), by: By, one_in: usize) {
    if let Ok(schedule) = env::var("PARLOR_SCHEDULE") {
        return run(claim, ReplayScheduler::new_from_encoded(&schedule));
    }
    let long = env::var_os("PARLOR_LONG").is_some_and(|value| value == "1");
    let asked = env::var("PARLOR_SCHEDULES").ok().map(|text| text.parse().expect("PARLOR_SCHEDULES is a number"));
    let schedules = asked.unwrap_or(SCHEDULES[usize::from(long)]).div_ceil(one_in);
    println!("{} schedules", if matches!(by, By::Twice) { schedules.div_ceil(4) } else { schedules });
    let first = env::var("PARLOR_FIRST").ok().map(|text| text.parse().expect("PARLOR_FIRST is a number"));
    let seed = first.unwrap_or(if long { uuid::Uuid::new_v4().as_u64_pair().0 } else { 0 });
    match by {
        By::Random => run(claim, RandomScheduler::new_from_seed(seed, schedules)),
        By::Urw => run(claim, UrwRandomScheduler::new_from_seed(seed, schedules)),
        By::Pct(depth) => run(claim, PctScheduler::new_from_seed(seed, depth, schedules)),
        By::Twice => {
            // Other schedules than those of `random`, and a quarter of them: each counts for more.
            let schedules = RandomScheduler::new_from_seed(seed ^ 1, schedules.div_ceil(4));
            run(claim, UncontrolledNondeterminismCheckScheduler::new(schedules));
        }
    }
}

fn run(claim: fn(), scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    // It warns of orderings that it does not know: all of the library's are sequentially consistent.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(claim);
}

/// Each claim as a module, each scheduler as a test of it.
macro_rules! claims {
    (one in $one_in:literal: $($(#[$doc:meta])* fn $claim:ident() $body:block)*) => {
        $(
            $(#[$doc])*
            fn $claim() $body

            mod $claim {
                use crate::{By, explore};

                #[test]
                fn random() {
                    explore(super::$claim, By::Random, $one_in);
                }

                #[test]
                fn urw() {
                    explore(super::$claim, By::Urw, $one_in);
                }

                #[test]
                fn pct_3() {
                    explore(super::$claim, By::Pct(3), $one_in);
                }

                #[test]
                fn pct_5() {
                    explore(super::$claim, By::Pct(5), $one_in);
                }

                #[test]
                fn twice() {
                    explore(super::$claim, By::Twice, $one_in);
                }
            }
        )*
    };
    ($($claims:tt)*) => {
        $crate::claims! { one in 1: $($claims)* }
    };
}
pub(crate) use claims;
