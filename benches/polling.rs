//! A poll with a cursor: nothing new, one message, a full page; by filter and by the size of the session.
//!
//! ```sh
//! cargo bench --bench polling                           # 10,000 and 100,000 messages
//! cargo bench --bench polling -- quarter/nothing/1000000
//! PARLOR_LONG=1 cargo bench --bench polling             # a million too
//! ```

mod session;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use parlor::page::Direction;

/// How many messages are new.
const NEW: [(&str, usize); 3] = [("nothing", 0), ("one", 1), ("fifty", 50)];

fn polls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poll");
    group.sample_size(50).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for size in session::sizes() {
        let loaded = session::load(size).expect("a session");
        for (name, query) in session::filters() {
            let newest = loaded.session.messages(query.limit(100)).page().expect("a page").items;
            for (new, behind) in NEW {
                // A filter that matches few messages has no page full of new ones.
                let Some(cursor) = newest.get(behind).map(|message| message.ts) else { continue };
                let listing = loaded.session.messages(query.gts(cursor).direction(Direction::Asc));
                group.bench_function(BenchmarkId::new(format!("{name}/{new}"), size), |bencher| {
                    bencher.iter(|| black_box(listing.page().expect("a page")));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, polls);
criterion_main!(benches);
