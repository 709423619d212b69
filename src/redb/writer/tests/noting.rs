//! The thread of the file is told whenever the log is full.

use super::*;
use crate::redb::write_set::WriteSet;

/// A group that puts a row of its own, of so many bytes.
fn group(shared: &Shared, bytes: usize) {
    let number = shared.shown.group();
    let (job, answer) = Job::new(bytes, move |_| {
        let mut writes = WriteSet::default();
        writes.put_value(Table::Names, number.to_be_bytes().to_vec(), vec![7; bytes]);
        Ok((writes, ()))
    });
    Writer::group(shared, shared.writer.lock(), vec![job]);
    answer.recv().expect("an answer").expect("it is written");
}

/// Writes as long as that does not have to wait, and then says that it would; answers with how many groups that were.
fn fill(shared: &Shared, bytes: usize) -> u32 {
    let mut groups = 0;
    while shared.writer.lock().has_room(shared) {
        group(shared, bytes);
        groups += 1;
    }
    let mut writer = shared.writer.lock();
    writer.is_starved = true;
    writer.note(shared);
    groups
}

#[test]
fn a_log_that_is_full_again_is_told_of_though_the_thread_of_the_file_looked_when_it_had_room() {
    let keeping = match logged() {
        Keeping::Log { disk, file, segment_bytes, durability, .. } => {
            Keeping::Log { disk, file, segment_bytes, durability, checkpoint_groups: u32::MAX }
        }
        other => other,
    };
    let segment = keeping.segment_bytes();
    let (_, shared) = opened(keeping);
    let (looks, looked) = bounded(4);
    shared.connect(looks, None);
    // The first group makes the log. Of the others three fill a segment, and after two of them the largest record has no room.
    group(&shared, 1);
    let bytes = segment * 3 / 10;
    (0..6).for_each(|_| group(&shared, bytes));
    let taken = || looked.try_iter().count();
    assert!(taken() > 0 && shared.writer.lock().look(&shared), "two segments are full");

    let frozen = shared.writer.lock().freeze(&shared).expect("there is something");
    assert_eq!(fill(&shared, bytes), 2);
    assert!(taken() > 0, "the log is full");
    let row = GroupRow { number: frozen.until, log: shared.writer.lock().named.map(|log| *log.as_bytes()) };
    let put = shared.database.lock().as_mut().expect("it is open").put(&shared.keeping, [&frozen], row);
    assert_eq!(put.expect("it is put"), Put::Something);
    shared.writer.lock().melt(&shared, &frozen).expect("it is read from the file");
    assert_eq!(shared.shown.layers().expect("it is open").recent.len(), 1, "what the file has is kept in memory");
    assert!(!shared.writer.lock().look(&shared), "the thread looks before the writer goes on, and nothing is due");

    assert!(fill(&shared, bytes) > 0, "there was room");
    assert!(taken() > 0, "the log is full again");
    assert!(shared.writer.lock().look(&shared));
}
