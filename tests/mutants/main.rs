//! The tests that tell mutants of the rules, in one binary: one to compile and to link where dozens are built in a row.
//!
//! What is here runs in binaries of its own in `cargo test`; see *Mutants* in docs/reliability.md.

#[path = "../access/main.rs"]
mod access;
#[path = "../archive/main.rs"]
mod archive;
#[path = "../backup.rs"]
mod backup;
#[path = "../conformance.rs"]
mod conformance;
#[path = "../cursor.rs"]
mod cursor;
#[path = "../delete.rs"]
mod delete;
#[path = "../delivery.rs"]
mod delivery;
#[path = "../ends.rs"]
mod ends;
#[path = "../feeding.rs"]
mod feeding;
#[path = "../file.rs"]
mod file;
#[path = "../follow/main.rs"]
mod follow;
#[path = "../grace.rs"]
mod grace;
#[path = "../hook.rs"]
mod hook;
#[path = "../idle.rs"]
mod idle;
#[path = "../keys.rs"]
mod keys;
#[path = "../lines/main.rs"]
mod lines;
#[path = "../listing.rs"]
mod listing;
#[path = "../load.rs"]
mod load;
#[path = "../log.rs"]
mod log;
#[path = "../faults/named.rs"]
mod named;
#[path = "../page.rs"]
mod page;
#[path = "../queue.rs"]
mod queue;
#[path = "../retain.rs"]
mod retain;
#[path = "../scope.rs"]
mod scope;
#[path = "../secrets.rs"]
mod secrets;
#[allow(dead_code, reason = "named.rs uses its clients alone")]
#[path = "../faults/suite/mod.rs"]
mod suite;
#[path = "../transcript.rs"]
mod transcript;
#[path = "../turns.rs"]
mod turns;
#[path = "../waiting.rs"]
mod waiting;
#[path = "../wire.rs"]
mod wire;
