//! A close beside writers: what is refused as closed was not written.

use std::sync::Arc;
use std::thread;

use parlor::testkit::SimulatedDisk;
use parlor::{Durability, ErrorKind};

use super::client::{self, Client, Went};
use super::named::Named;
use super::random::Random;
use super::record::{Promise, Record};

/// Closes a store in the midst of its clients' writes.
///
/// # Panics
///
/// When an operation that was refused is there, or one that was acknowledged is not.
pub fn close_beside_writers(seed: u64) {
    let _named = Named::seed(seed);
    let record = Arc::new(Record::default());
    let disk = SimulatedDisk::new();
    let store = disk.open(Durability::Sync).expect("it opens");
    client::set_up(&*store).expect("it is set up");
    let mut random = Random::of(seed, 3);
    let before = random.below(30);
    thread::scope(|scope| {
        for (number, mut client) in Client::several(3, seed, &record).into_iter().enumerate() {
            let store = &store;
            scope.spawn(move || {
                for step in 0.. {
                    if number == 0 && step == before {
                        store
                            .close()
                            .unwrap_or_else(|error| panic!("PARLOR_SEED={seed}: it does not close: {error:?}"));
                    }
                    if let Went::Failed(error) = client.step(&**store, false) {
                        assert_eq!(error.kind(), ErrorKind::Closed, "PARLOR_SEED={seed}: {error:?}");
                        break;
                    }
                }
            });
        }
    });
    drop(store);
    let store = disk.open(Durability::Sync).expect("it opens");
    let floor = record.floor(Promise::OnDisk);
    record.check(&*store, &floor).unwrap_or_else(|failure| panic!("PARLOR_SEED={seed}: closed: {failure}"));
}
