//! The specification of [`Store`] in code: one check a claim, each on a fresh store.

mod access;
mod agents;
mod append;
mod archive;
mod archive_stream;
mod changes;
mod control;
mod create;
mod cursor;
mod delete;
mod delete_session;
mod ends;
mod fence;
mod fork;
mod inputs;
mod interrupt;
mod listing;
mod mark;
mod names;
mod orphans;
mod outbox;
mod purge;
mod queue;
mod races;
mod refusals;
mod repeat;
mod rollback;
mod scene;
mod sender;
mod sessions;
mod submit;
mod times;
mod tools;
mod update;
mod usage;
mod walls;
mod whole;

use super::caught::caught;
use crate::error::ErrorKind;
use crate::store::Store;
use crate::sync::{Arc, Mutex};

/// A check of one claim on stores that the factory makes, new and empty each time. It panics
/// where the claim does not hold.
pub type Check = fn(&dyn Fn() -> Arc<dyn Store>);

/// Puts the named functions of a module into its `CLAIMS`.
macro_rules! subject {
    ($($name:ident),* $(,)?) => {
        /// The claims of this module.
        pub(super) const CLAIMS: &[(&str, super::Check)] = &[$((stringify!($name), $name)),*];
    };
}
use subject;

const SUBJECTS: [(&str, &[(&str, Check)]); 35] = [
    ("names", names::CLAIMS),
    ("agents", agents::CLAIMS),
    ("access", access::CLAIMS),
    ("walls", walls::CLAIMS),
    ("create", create::CLAIMS),
    ("sessions", sessions::CLAIMS),
    ("update", update::CLAIMS),
    ("append", append::CLAIMS),
    ("submit", submit::CLAIMS),
    ("interrupt", interrupt::CLAIMS),
    ("rollback", rollback::CLAIMS),
    ("queue", queue::CLAIMS),
    ("sender", sender::CLAIMS),
    ("control", control::CLAIMS),
    ("repeat", repeat::CLAIMS),
    ("refusals", refusals::CLAIMS),
    ("fence", fence::CLAIMS),
    ("ends", ends::CLAIMS),
    ("tools", tools::CLAIMS),
    ("usage", usage::CLAIMS),
    ("mark", mark::CLAIMS),
    ("times", times::CLAIMS),
    ("listing", listing::CLAIMS),
    ("cursor", cursor::CLAIMS),
    ("changes", changes::CLAIMS),
    ("delete", delete::CLAIMS),
    ("delete_session", delete_session::CLAIMS),
    ("purge", purge::CLAIMS),
    ("archive", archive::CLAIMS),
    ("fork", fork::CLAIMS),
    ("archive_stream", archive_stream::CLAIMS),
    ("orphans", orphans::CLAIMS),
    ("outbox", outbox::CLAIMS),
    ("races", races::CLAIMS),
    ("whole", whole::CLAIMS),
];

/// Every claim: its subject, its name and its check, to be run one by one.
///
/// [`conformance`] runs them all.
pub fn claims() -> impl Iterator<Item = (&'static str, &'static str, Check)> {
    SUBJECTS.into_iter().flat_map(|(subject, claims)| claims.iter().map(move |&(name, check)| (subject, name, check)))
}

/// Puts a store to every [claim](claims). `factory` makes a new and empty store at each call.
///
/// After each claim the stores that it used must [`verify`](Store::verify) without a breach.
///
/// # Panics
///
/// When a claim does not hold. All of them are tried first; the message names each that failed, and how.
///
/// ```no_run
/// # fn my_store() -> std::sync::Arc<dyn parlor::store::Store> { unimplemented!() }
/// parlor::testkit::conformance(|| my_store());
/// ```
pub fn conformance(factory: impl Fn() -> Arc<dyn Store>) {
    let failures: Vec<String> = claims()
        .filter_map(|(subject, name, check)| {
            let failure = failure_of(check, &factory)?;
            Some(format!("{subject}::{name}: {failure}"))
        })
        .collect();
    let all = claims().count();
    assert!(failures.is_empty(), "{} of {all} claims do not hold:\n{}", failures.len(), failures.join("\n"));
}

/// What a check panicked with, or a breach it left behind.
fn failure_of(check: Check, factory: &dyn Fn() -> Arc<dyn Store>) -> Option<String> {
    let made = Mutex::new(Vec::new());
    let remembering = || {
        let store = factory();
        made.lock().push(Arc::clone(&store));
        store
    };
    caught(|| {
        check(&remembering);
        for store in made.lock().iter() {
            match store.verify() {
                Ok(breaches) => assert!(breaches.is_empty(), "verify afterwards: {breaches:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "verify afterwards: {error}"),
            }
        }
    })
}
