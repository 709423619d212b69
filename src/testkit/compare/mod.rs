//! The same random operations on two stores, whose answers must agree.

mod draw;
mod inputs;
mod op;
mod world;

use std::fmt::Debug;

use self::op::apply;
use self::world::World;
use super::snapshot::{Snapshot, difference};
use crate::error::Result;
use crate::store::Store;
use crate::sync::{Arc, panicking};

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
/// The same seed gives the same operations.
///
/// # Panics
///
/// When the stores differ. The message holds the seed, the step, the operation and both answers.
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
/// When the stores differ. The message holds the seed, the step, the operation and both answers.
pub fn compare_with(a: &mut dyn Subject, b: &mut dyn Subject, seed: u64, steps: u32) {
    let mut world = World::new(seed);
    let mut place = Place { seed, step: 0, op: "the first reads".into() };
    for step in 1..=steps {
        let op = world.draw();
        place = Place { seed, step, op: format!("{op:?}") };
        let (left, right) = (apply(&*a.store(), &op), apply(&*b.store(), &op));
        place.assert_same(&left, &right);
        if let Ok(answer) = left {
            world.learn(&op, &answer);
        }
        if world.rng.percent(2) {
            place.op = "reopening".into();
            a.reopen();
            b.reopen();
        }
        if world.rng.percent(4) {
            place.assert_all_reads_same(&*a.store(), &*b.store(), &world);
        }
    }
    place.assert_all_reads_same(&*a.store(), &*b.store(), &world);
}

/// Where in a run we are: named by every failure, also where a store itself panics.
struct Place {
    seed: u64,
    step: u32,
    op: String,
}

impl Place {
    fn fail(&self, what: &str) -> ! {
        panic!("seed {}, step {}: {}\n{what}", self.seed, self.step, self.op)
    }

    fn assert_same<T: PartialEq + Debug>(&self, left: &Result<T>, right: &Result<T>) {
        match (left, right) {
            (Ok(left), Ok(right)) => {
                if let Some(difference) = difference(left, right) {
                    self.fail(&format!("the answers differ at {difference}"));
                }
            }
            (Err(left), Err(right)) if left.kind() == right.kind() => {}
            _ => self.fail(&format!("--- one\n{left:#?}\n--- other\n{right:#?}")),
        }
    }

    fn assert_all_reads_same(&mut self, a: &dyn Store, b: &dyn Store, world: &World) {
        self.op.insert_str(0, "reading all after ");
        let of = |store| Snapshot::of(store, world.workspaces());
        self.assert_same(&of(a), &of(b));
        for store in [a, b] {
            match store.verify() {
                Ok(breaches) if breaches.is_empty() => {}
                answer => self.fail(&format!("verify: {answer:?}")),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if panicking() {
            // The panic may be the store's own, which does not know where it is.
            eprintln!("compare stopped at seed {}, step {}: {}", self.seed, self.step, self.op);
        }
    }
}
