//! The same random operations on two stores, whose answers must agree.

mod access;
mod archives;
mod draw;
mod inputs;
mod op;
mod outbox;
mod readers;
mod world;

use self::op::{Op, apply};
use self::world::World;
use super::caught::caught;
use super::rng::Rng;
use super::snapshot::{Snapshot, assert_same};
use crate::store::Store;
use crate::sync::Arc;

/// A store under comparison.
pub trait Subject {
    /// The store, as it is open now.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes it and opens it again, where that means something. What was acknowledged must still be there.
    fn reopen(&mut self) {}
}

impl Subject for Arc<dyn Store> {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self)
    }
}

/// Does the same `steps` random operations on two empty stores and compares every answer: equal
/// values, or errors of the same kind. Now and then, and at the end, all that can be read is compared.
///
/// The operations are all of [`Store`]'s, the refused ones included: several workspaces, agents
/// and sessions, ids and keys used again on purpose, old claims, clocks that jump either way.
/// Beside them readers begin at any page of any listing and read on now and then, through links and cursors:
/// each page must show what is due, so that a reader sees every later matching message exactly once,
/// in the order of commits. The same seed gives the same operations.
///
/// # Panics
///
/// When the stores differ, or a reader is shown anything else. The message holds the seed, the step,
/// the operation and both answers.
///
/// ```no_run
/// # fn my_store() -> std::sync::Arc<dyn parlor::store::Store> { unimplemented!() }
/// parlor::testkit::compare(my_store(), my_store(), 7, 100);
/// ```
pub fn compare(a: Arc<dyn Store>, b: Arc<dyn Store>, seed: u64, steps: u32) {
    let (mut a, mut b) = (a, b);
    compare_with(&mut a, &mut b, seed, steps);
}

/// Like [`compare`], with stores that are closed and opened again between steps.
///
/// # Panics
///
/// As [`compare`].
pub fn compare_with(a: &mut dyn Subject, b: &mut dyn Subject, seed: u64, steps: u32) {
    run_caught(a, b, Rng::new(seed), steps, &format!("seed {seed}"));
}

/// Like [`compare_with`], with every decision read from these bytes, until they run out: for a fuzzer, which
/// learns which bytes lead where. About 10 to 40 bytes make a step.
///
/// # Panics
///
/// As [`compare`].
pub fn compare_bytes(a: &mut dyn Subject, b: &mut dyn Subject, bytes: &[u8]) {
    run_caught(a, b, Rng::of_bytes(bytes), u32::MAX, "the run of these bytes");
}

/// How many operations a failure shows: often the cause is among them.
const SHOWN: usize = 5;

fn run_caught(a: &mut dyn Subject, b: &mut dyn Subject, rng: Rng, steps: u32, name: &str) {
    let mut done = Vec::new();
    if let Some(failure) = caught(|| run(a, b, World::new(rng), steps, &mut done)) {
        let from = done.len().saturating_sub(SHOWN);
        let shown = (from + 1..).zip(done.iter().skip(from)).map(|(step, op)| format!("step {step}: {op:?}"));
        let shown = shown.collect::<Vec<_>>().join("\n");
        panic!("{name} fails in step {}, the last of these:\n{shown}\n{failure}", done.len());
    }
}

fn run(a: &mut dyn Subject, b: &mut dyn Subject, mut world: World, steps: u32, done: &mut Vec<Op>) {
    for _ in 0..steps {
        if world.rng.is_spent() {
            break;
        }
        let op = world.draw();
        // Kept before it is done: a store may panic, too.
        done.push(op.clone());
        let (left, right) = (apply(&*a.store(), &op), apply(&*b.store(), &op));
        assert_same(&left, &right);
        if let Ok(answer) = left {
            world.learn(&op, &answer);
        }
        if world.rng.percent(2) {
            a.reopen();
            b.reopen();
        }
        world.read_on(&[&*a.store(), &*b.store()]);
        if world.rng.percent(4) {
            assert_all_reads_same(&*a.store(), &*b.store(), &world);
        }
    }
    world.read_to_the_end(&[&*a.store(), &*b.store()]);
    assert_all_reads_same(&*a.store(), &*b.store(), &world);
}

fn assert_all_reads_same(a: &dyn Store, b: &dyn Store, world: &World) {
    let of = |store| Snapshot::of(store, &world.workspaces);
    assert_same(&of(a), &of(b));
    for (what, store) in [("one", a), ("the other", b)] {
        match store.verify() {
            Ok(breaches) if breaches.is_empty() => {}
            answer => panic!("all reads are the same, but {what} verifies as {answer:?}"),
        }
    }
}
