//! What a follower costs the file: nothing.

use std::path::Path;
use std::sync::Arc;
use std::{fs, thread};

use parlor::Engine;
use parlor::page::MessageQuery;

use super::Count;
use super::support::session;

const PAGE_BYTES: u64 = 4096;

/// How often a session is written to.
fn commits() -> usize {
    if std::env::var_os("PARLOR_LONG").is_some_and(|long| long == "1") { 20_000 } else { 2000 }
}

/// Whether somebody reads a session while it is written to.
#[derive(Clone, Copy, PartialEq)]
enum Readers {
    None,
    Idle,
}

/// The size of a file after many small commits.
fn size_after(commits: usize, readers: Readers, path: &Path) -> u64 {
    let engine = Engine::builder(path).open().unwrap();
    let session = session(&engine, "any");
    session.append(vec!["hello"; 1000]).unwrap();
    let mut held = Vec::new();
    if readers == Readers::Idle {
        let count = Arc::new(Count::default());
        // One that waits, one in the middle of what it read, one that was never asked; a page and
        // a walk that are begun; a watch that tells nobody.
        let (mut waits, mut lags) = (session.follow(1001), session.follow(0));
        assert!(count.poll(|cx| waits.poll_next(cx)).is_pending());
        assert_eq!(lags.next().unwrap().unwrap().number, 1);
        let listing = session.messages(MessageQuery::all());
        let mut walk = listing.iter();
        assert_eq!(walk.next().unwrap().unwrap().text(), "hello");
        held.push((waits, lags, session.follow(0), listing.page().unwrap(), listing, walk, session.changes(0, 1000)));
    }
    let watch = (readers == Readers::Idle).then(|| engine.workspace("acme").unwrap().watch());
    for _ in 0..commits {
        session.append(["hello"]).unwrap();
    }
    let size = fs::metadata(path).unwrap().len();
    // They are whole at the end: who lagged goes on, with nothing lost.
    for (waits, lags, idle, _, _, walk, _) in held {
        let last = 1001 + commits;
        assert_eq!(
            [waits.take(commits).count(), lags.take(last - 1).count(), idle.take(last).count()],
            [commits, last - 1, last]
        );
        assert!(walk.count() >= 999);
    }
    assert_eq!(watch.map_or(1, |mut watch| std::iter::from_fn(|| watch.try_next()).count()), 1);
    engine.close().unwrap();
    size
}

#[test]
fn who_follows_or_lists_for_as_long_as_it_likes_pins_no_pages() {
    let (commits, dir) = (commits(), tempfile::tempdir().unwrap());
    let paths = ["without", "with"].map(|name| dir.path().join(name));
    let [without, with] = thread::scope(|scope| {
        let [without, with] = &paths;
        let without = scope.spawn(|| size_after(commits, Readers::None, without));
        let with = scope.spawn(|| size_after(commits, Readers::Idle, with));
        [without, with].map(|thread| thread.join().unwrap())
    });
    println!("{commits} commits: {without} bytes without readers, {with} with");
    assert!(without.abs_diff(with) <= 4 * PAGE_BYTES, "{without} bytes without readers, {with} with");
}
