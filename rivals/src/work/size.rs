//! How large the files become.

use crate::args::Size;
use crate::disk;
use crate::line::{Better, Line};
use crate::peer::{Cache, Feed, Kind, Result};
use crate::plan::Plan;
use crate::run::Run;

/// Bytes a message, of files that were loaded and closed. Everyone keeps the change feed.
pub fn per_message(run: &mut Run<'_>) -> Result {
    let [by_length, by_disk] = ["bytes in the file per message", "bytes on the disk per message"];
    if !run.wants(by_length) && !run.wants(by_disk) {
        return Ok(());
    }
    let messages = run.size.messages();
    // No empty sessions: they would count as messages do.
    let plan = Plan::main(messages, 1 + (messages - messages / 10) / 1000);
    let (mut length, mut allocated) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let directory = run.directory.join("size").join(kind.name());
        let mut peer = kind.open(&directory, Cache::Default, Feed::With)?;
        peer.load(&plan, run.corpus)?;
        peer.reopen(Cache::Default)?;
        drop(peer);
        let size = disk::size(&directory)?;
        let each = |bytes: u64| bytes as f64 / f64::from(plan.messages());
        length.push((kind.name().to_owned(), each(size.length)));
        allocated.push((kind.name().to_owned(), each(size.allocated)));
        std::fs::remove_dir_all(&directory)?;
        run.say(&format!("loaded {messages} messages into {} for its size", kind.name()));
    }
    let payload = payload(run, &plan);
    let workload = format!("{} messages in {} sessions, each peer with the change feed", messages, plan.sessions.len());
    let line = |work, values: Vec<_>| {
        let line = Line::new(work, "bytes", Better::Less).on(workload.clone(), "does not matter").measured(values);
        line.measured([("floor".to_owned(), payload)])
    };
    let (by_length, by_disk) = (line(by_length, length), line(by_disk, allocated));
    run.push(by_length.part_of_sqlite(1.4, 1.1))?;
    run.push(by_disk)
}

/// Bytes of what a message says and of its header, on average: the floor.
fn payload(run: &Run<'_>, plan: &Plan) -> f64 {
    /// Id, session, number, class, thread, turn, two times.
    const HEADER: f64 = 16.0 + 4.0 + 4.0 + 1.0 + 4.0 + 4.0 + 8.0 + 8.0;
    let step = match run.size {
        Size::Quick => 1,
        Size::Full => 10,
    };
    let long = plan.sessions.first().map_or(0, |session| session.messages);
    let lengths: Vec<usize> = (1..=long).step_by(step).map(|number| run.corpus.message(0, number).text.len()).collect();
    HEADER + lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
}
