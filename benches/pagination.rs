//! A page of 50, with its exact total: by filter, by depth, by the size of the session.
//!
//! ```sh
//! cargo bench --bench pagination                        # 10,000 and 100,000 messages
//! cargo bench --bench pagination -- quarter/deep/1000000
//! PARLOR_LONG=1 cargo bench --bench pagination          # a million too
//! ```

mod session;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Where in the listing: its first page, after half of it, after 95 %.
const DEPTHS: [(&str, u64); 3] = [("newest", 0), ("half", 50), ("deep", 95)];

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page of 50");
    group.sample_size(50).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for size in session::sizes() {
        let loaded = session::load(size).expect("a session");
        for (name, query) in session::filters() {
            let pages = loaded.session.messages(query).page().expect("a page").meta.total_pages;
            for (depth, percent) in DEPTHS {
                let listing = loaded.session.messages(query.page((pages * percent / 100).max(1)));
                group.bench_function(BenchmarkId::new(format!("{name}/{depth}"), size), |bencher| {
                    bencher.iter(|| black_box(listing.page().expect("a page")));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, pages);
criterion_main!(benches);
