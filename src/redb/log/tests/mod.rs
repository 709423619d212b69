//! The log held to its promises, on a disk in memory that fails and forgets.

mod damage;
mod faults;
mod file;
mod power;
mod random;

use uuid::Uuid;

use super::*;

const NAME: &str = "a.parlor-log";
const DATABASE: Uuid = Uuid::from_u128(7);
const NONE: [u64; 0] = [];

/// Segments so small that a few records fill one.
fn small(segments: u32) -> Options {
    Options { segment_bytes: 4096, segments }
}

/// Of a log of its own that begins after this number.
fn origin(after: u64) -> Origin {
    Origin { database: DATABASE, log: Uuid::new_v4(), after }
}

fn make(memory: &Memory, after: u64, options: Options) -> Log {
    Log::make(memory.log(NAME), origin(after), options).expect("it is made")
}

/// What a record of this number and length holds: like nothing else's.
fn body(number: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (number.wrapping_mul(0x9e37_79b9) ^ at.wrapping_mul(131) >> 2) as u8).collect()
}

/// The record of this number as the tests write it: each has its own length, from nothing to a third of a segment.
fn nth(number: u64) -> Vec<u8> {
    body(number, (number.wrapping_mul(397) % 1400) as usize)
}

/// Appends and syncs the records of these numbers.
fn write(log: &mut Log, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        log.append(number, &nth(number)).expect("it is written");
        log.sync().expect("it is synced");
    }
}

/// The numbers of the records after this one, each of which must hold what was written.
fn replay(memory: &Memory, after: u64) -> Result<Vec<u64>> {
    let Some(opened) = Opened::open(&*memory.log(NAME), DATABASE)? else { return Ok(Vec::new()) };
    let mut numbers = Vec::new();
    let last = opened.records(after, |number, body| {
        assert!(body == nth(number), "record {number} is not what was written");
        numbers.push(number);
        Ok(())
    })?;
    assert_eq!(last, opened.last(after)?);
    assert!(numbers.iter().copied().eq(after + 1..=last), "after {after} came {numbers:?}");
    Ok(numbers)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T>, kind: ErrorKind, text: &str) {
    let error = answer.expect_err("it is refused");
    assert_eq!((error.kind(), error.to_string().contains(text)), (kind, true), "{error}");
}

#[test]
fn what_was_appended_is_read_back_in_order() {
    let memory = Memory::default();
    let mut log = make(&memory, 10, small(3));
    assert_eq!(replay(&memory, 10).expect("it is read"), NONE);
    write(&mut log, 11..=15);
    assert_eq!(replay(&memory, 10).expect("it is read"), [11, 12, 13, 14, 15]);
    assert_eq!(replay(&memory, 13).expect("it is read"), [14, 15]);
    assert_eq!(replay(&memory, 15).expect("it is read"), NONE);
    assert_eq!(replay(&memory, 99).expect("it is read"), NONE);
}

#[test]
fn a_group_that_only_the_database_has_leaves_a_gap_that_is_none() {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(3));
    write(&mut log, [1, 2, 5, 6]);
    assert_eq!(replay(&memory, 4).expect("it is read"), [5, 6]);
    refused(replay(&memory, 1), ErrorKind::Corrupt, "record 3 is missing or damaged, but all up to 5 were synced");
}

#[test]
fn a_database_older_than_its_log_is_refused() {
    let memory = Memory::default();
    let _log = make(&memory, 10, small(1));
    refused(replay(&memory, 9), ErrorKind::Corrupt, "record 10 is missing");
}

#[test]
fn there_is_no_log_where_there_is_none() {
    let opened = Opened::open(&*Memory::default().log(NAME), DATABASE);
    assert!(opened.expect("it is looked for").is_none());
}

#[test]
fn segments_are_used_again_and_nothing_of_an_earlier_lap_comes_back() {
    for segments in 1..=3 {
        let memory = Memory::default();
        let mut log = make(&memory, 0, small(segments));
        for number in 1..=200 {
            if log.room(nth(number).len()) == Room::NeedsCheckpoint {
                refused(log.append(number, &nth(number)), ErrorKind::Overloaded, "full until the next checkpoint");
                log.free(number - 1);
                assert_eq!(log.room(nth(number).len()), Room::Fits);
            }
            write(&mut log, [number]);
            let all = replay(&memory, log.segments.freed()).expect("it is read");
            assert!(
                all.iter().copied().eq(log.segments.freed() + 1..=number),
                "{all:?} after {}",
                log.segments.freed()
            );
        }
        let length = memory.content(NAME).expect("the log").len();
        assert_eq!(length, 4096 * (1 + segments as usize));
    }
}

#[test]
fn a_record_fills_a_segment_or_is_refused_beforehand() {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(1));
    let most = 4096 - record::HEAD_BYTES;
    assert_eq!(log.room(most + 1), Room::NeverFits);
    assert_eq!(log.room(usize::MAX), Room::NeverFits);
    refused(log.append(1, &vec![0; most + 1]), ErrorKind::TooLarge, "a segment has 4096");
    assert_eq!(log.room(most), Room::Fits);
    log.append(1, &body(1, most)).expect("it fits");
    assert_eq!(log.room(0), Room::NeedsCheckpoint);
    let opened = Opened::open(&*memory.log(NAME), DATABASE).expect("it opens").expect("a log");
    let last = opened.records(0, |_, read| {
        assert!(read == body(1, most));
        Ok(())
    });
    assert_eq!(last.expect("it is read"), 1);
}

#[test]
fn numbers_rise() {
    let memory = Memory::default();
    let mut log = make(&memory, 3, small(1));
    refused(log.append(3, b""), ErrorKind::InvalidArgument, "is 3; it must be over 3");
    write(&mut log, [4]);
    refused(log.append(4, b""), ErrorKind::InvalidArgument, "is 4; it must be over 4");
    log.append(u64::MAX, &nth(u64::MAX)).expect("it is written");
    refused(log.append(u64::MAX, b""), ErrorKind::InvalidArgument, "it must be over");
    assert_eq!(replay(&memory, 3).expect("it is read"), [4]);
}

#[test]
fn one_sync_makes_all_durable_that_was_appended_and_none_is_spent_on_nothing() {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(1));
    let before = memory.operations();
    log.append(1, &nth(1)).expect("it is written");
    log.append(2, &nth(2)).expect("it is written");
    log.sync().expect("it is synced");
    log.sync().expect("it is synced");
    assert_eq!(memory.operations() - before, 3);
    let after = memory.after_power_loss(|_| Survives::Nothing);
    assert_eq!(replay(&after, 0).expect("it is read"), [1, 2]);
}

#[test]
fn options_out_of_their_bounds_are_refused() {
    let cases = [
        (Options { segment_bytes: 4095, ..small(1) }, "segment_bytes of a log is 4095; it must be 4096 to 1073741824"),
        (Options { segment_bytes: (1 << 30) + 1, ..small(1) }, "it must be 4096 to 1073741824"),
        (Options { segment_bytes: 4097, ..small(1) }, "it must be a multiple of 4096"),
        (small(0), "segments of a log is 0; it must be 1 to 1024"),
        (small(1025), "segments of a log is 1025; it must be 1 to 1024"),
    ];
    for (options, text) in cases {
        let memory = Memory::default();
        refused(Log::make(memory.log(NAME), origin(0), options), ErrorKind::InvalidArgument, text);
        assert_eq!(memory.operations(), 0);
    }
}

#[test]
fn a_log_is_removed_when_all_of_it_is_free() {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(1));
    write(&mut log, 1..=2);
    log.free(1);
    log.free(0);
    refused(log.remove(), ErrorKind::InvalidArgument, "has records up to 2; only those up to 1 are free");
    assert_eq!(replay(&memory, 0).expect("it is read"), [1, 2]);

    let mut log = make(&memory, 2, small(1));
    write(&mut log, [3]);
    log.free(3);
    log.remove().expect("it is removed");
    assert!(memory.after_power_loss(|_| Survives::Nothing).names().is_empty());
}

#[test]
fn what_fails_while_replaying_ends_the_replay() {
    let memory = Memory::default();
    write(&mut make(&memory, 0, small(1)), 1..=3);
    let opened = Opened::open(&*memory.log(NAME), DATABASE).expect("it opens").expect("a log");
    let mut seen = Vec::new();
    let answer = opened.records(0, |number, _| {
        seen.push(number);
        if number == 2 { Err(Error::corrupt("the group is damaged")) } else { Ok(()) }
    });
    refused(answer, ErrorKind::Corrupt, "the group is damaged");
    assert_eq!(seen, [1, 2]);
}
