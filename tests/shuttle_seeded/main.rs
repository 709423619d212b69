//! The suite of `tests/shuttle` is put to the test: with a fault planted in the runtime, it must fail.
//!
//! A binary of its own with one test, since what is planted is planted in the whole process.
#![cfg(shuttle)]

#[path = "../shuttle/scene.rs"]
#[allow(dead_code, reason = "the claims of the suite use the rest")]
mod scene;

use std::panic::{AssertUnwindSafe, catch_unwind};

use parlor::Reply;
use parlor::testkit::{Bug, plant};
use scene::{Scene, completed, echo, held, waiter};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, UrwRandomScheduler};
use shuttle::{Config, Runner};

/// Schedules within which a fault must be found, by one of the schedulers.
const SCHEDULES: usize = 2_000;

/// A turn that is waited for, and followed up while its agent runs and writes.
fn claim() {
    let (begun, go) = held();
    let gates = (begun.clone(), go.clone());
    let scene = Scene::open(2, move |turn, log| {
        if turn.input().text() == "one" {
            gates.0.open();
            gates.1.pass();
            log.expect(turn.message("late").is_err(), "an interrupted agent cannot write");
        }
        echo(turn, log)
    });
    let session = scene.session();
    let one = session.send("one").unwrap();
    let waiting = waiter(&one);
    begun.pass();
    let two = session.follow_up("two").unwrap();
    go.open();
    waiting.join().unwrap().unwrap();
    completed(&two, &two.wait().unwrap(), "two");
    scene.close();
}

/// An agent that answers at once, and who waits for it.
fn answer() {
    let scene = Scene::open(1, |turn, _| Ok(Reply::from(turn.input().text())));
    let turn = scene.session().send("hello").unwrap();
    completed(&turn, &turn.wait().unwrap(), "hello");
    scene.close();
}

/// An agent with a turn that waits for it: the session is never without one that runs.
fn promotion() {
    let scene = Scene::open(1, |turn, log| echo(turn, log));
    let session = scene.session();
    let [_, two] = ["one", "two"].map(|text| session.enqueue(text).unwrap());
    let record = session.get().unwrap();
    assert!(record.running_turn.is_some() || record.queued_turns == 0, "a turn waits for nobody");
    completed(&two, &two.wait().unwrap(), "two");
    scene.close();
}

fn fails(scheduler: impl Scheduler + 'static) -> bool {
    let mut config = Config::new();
    config.stack_size = 1 << 17;
    config.silence_warnings = true;
    config.failure_persistence = shuttle::FailurePersistence::None;
    let run = || {
        Runner::new(scheduler, config).run(|| {
            claim();
            answer();
            promotion();
        })
    };
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn a_planted_fault_is_caught_by_a_schedule() {
    std::panic::set_hook(Box::new(|_| {}));
    for bug in Bug::IN_SCHEDULES {
        plant(Some(bug));
        let found = [
            ("random", fails(RandomScheduler::new_from_seed(0, SCHEDULES))),
            ("urw", fails(UrwRandomScheduler::new_from_seed(0, SCHEDULES))),
            ("pct_3", fails(PctScheduler::new_from_seed(0, 3, SCHEDULES))),
            ("pct_5", fails(PctScheduler::new_from_seed(0, 5, SCHEDULES))),
        ];
        plant(None);
        println!("{bug:?}: {found:?}");
        assert!(found.iter().any(|(_, found)| *found), "no schedule shows {bug:?}");
    }
    assert!(!fails(RandomScheduler::new_from_seed(0, SCHEDULES)), "nothing is planted any more");
}
