//! Files that are not as they were left: damaged, cut off, another's, or made up.

use super::*;

use crate::redb::log::header::VERSION;
use xxhash_rust::xxh3::xxh3_64;

/// A log of two segments, both begun, the first of them twice: what the database has is 1 to `freed`.
struct Left {
    content: Vec<u8>,
    freed: u64,
    /// The last record, which nothing proves synced; all before it are.
    last: u64,
}

fn left() -> Left {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(2));
    let (mut number, mut freed) = (0, 0);
    while log.segments.lap() < 3 {
        if log.room(nth(number + 1).len()) == Room::NeedsCheckpoint {
            // All but what the second segment ends with.
            freed = log.segments.last_of(0);
            log.free(freed);
        }
        number += 1;
        write(&mut log, [number]);
    }
    write(&mut log, [number + 1]);
    Left { content: memory.content(NAME).expect("the log"), freed, last: number + 1 }
}

/// What is read of these bytes: a prefix of what was written, or corrupt.
fn read(left: &Left, content: Vec<u8>) -> Result<u64> {
    let numbers = replay(&Memory::with(NAME, content), left.freed).inspect_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    })?;
    Ok(numbers.last().copied().unwrap_or(left.freed))
}

/// Where the record of a number stands, head and body.
fn place_of(left: &Left, number: u64) -> std::ops::Range<usize> {
    let fields = [nth(number).len() as u64, number].map(u64::to_le_bytes).concat();
    let found = left.content.windows(fields.len()).rposition(|window| window == fields).expect("the record");
    let start = found - 16;
    start..start + record::HEAD_BYTES + nth(number).len()
}

#[test]
fn a_bad_bit_in_a_record_that_is_proved_synced_is_never_an_end() {
    let left = left();
    assert!(left.freed + 3 < left.last, "there are some to damage");
    for number in left.freed + 1..left.last {
        for at in place_of(&left, number) {
            for bit in 0..8 {
                let mut content = left.content.clone();
                content[at] ^= 1 << bit;
                let text = format!("record {number} is missing or damaged, but all up to {} were", left.last - 1);
                refused(read(&left, content), ErrorKind::Corrupt, &text);
            }
        }
    }
}

#[test]
fn a_bad_bit_anywhere_gives_what_was_written_or_is_noticed() {
    let left = left();
    let last = place_of(&left, left.last);
    for at in 0..left.content.len() {
        let mut content = left.content.clone();
        content[at] ^= 1 << (at % 8);
        match read(&left, content) {
            // The number of segments, and zeros: without them nothing is missing.
            read if (512..4096).contains(&at) => assert_eq!(read.expect("it is read"), left.last),
            Ok(reached) if last.contains(&at) => assert_eq!(reached, left.last - 1, "bit {at}"),
            Ok(reached) => assert!(reached == left.last && at >= 512, "bit {at}: {reached}"),
            Err(_) => assert!(!last.contains(&at), "the end is not proved synced"),
        }
    }
}

/// The last number that is proved synced by a record whose head does not reach into these sectors.
fn proved_outside(left: &Left, sectors: &[usize]) -> u64 {
    let is_sound = |number: &u64| {
        let start = place_of(left, *number).start;
        let mut heads = start / 512..=(start + record::HEAD_BYTES - 1) / 512;
        !heads.any(|sector| sectors.contains(&sector))
    };
    (left.freed + 1..=left.last).rev().find(is_sound).map_or(left.freed, |number| number - 1)
}

#[test]
fn zeroed_or_swapped_sectors_give_what_was_written_or_are_noticed() {
    let left = left();
    let sectors = left.content.len() / 512;
    for one in 0..sectors {
        let mut zeroed = left.content.clone();
        zeroed[one * 512..][..512].fill(0);
        if let Ok(reached) = read(&left, zeroed) {
            assert!(reached >= proved_outside(&left, &[one]), "sector {one}: {reached}");
        }
        for other in one + 1..sectors {
            let mut swapped = left.content.clone();
            let (before, after) = swapped.split_at_mut(other * 512);
            before[one * 512..][..512].swap_with_slice(&mut after[..512]);
            if let Ok(reached) = read(&left, swapped) {
                assert!(reached >= proved_outside(&left, &[one, other]), "sectors {one} and {other}: {reached}");
            }
        }
    }
}

#[test]
fn a_log_that_was_cut_off_is_noticed() {
    let left = left();
    for length in 0..left.content.len() {
        let cut = left.content[..length].to_vec();
        refused(read(&left, cut), ErrorKind::Corrupt, "is damaged");
    }
    let memory = Memory::default();
    let _log = make(&memory, 0, small(3));
    let cut = memory.content(NAME).expect("the log")[..8192].to_vec();
    refused(replay(&Memory::with(NAME, cut), 0), ErrorKind::Corrupt, "it has 8192 bytes and must have 16384");
    let longer = [&left.content[..], &[0]].concat();
    refused(read(&left, longer), ErrorKind::Corrupt, "it has 12289 bytes and must have 12288");
}

#[test]
fn records_of_another_log_are_none() {
    let memory = Memory::default();
    write(&mut make(&memory, 0, small(1)), 1..=3);
    let old = memory.content(NAME).expect("the log");
    let _log = make(&memory, 0, small(1));
    let mut content = memory.content(NAME).expect("the log");
    content[4096..].copy_from_slice(&old[4096..]);
    assert_eq!(replay(&Memory::with(NAME, content), 0).expect("it is read"), NONE);
}

#[test]
fn a_record_at_another_place_is_none() {
    let memory = Memory::default();
    write(&mut make(&memory, 0, small(1)), 1..=3);
    let content = memory.content(NAME).expect("the log");
    let begins = content.windows(8).rposition(|window| window == 3_u64.to_le_bytes()).expect("the record") - 24;
    for shift in [8, 64, 512] {
        let mut content = content.clone();
        content[begins..].rotate_right(shift);
        assert_eq!(replay(&Memory::with(NAME, content), 0).expect("it is read"), [1, 2]);
    }
}

#[test]
fn the_log_of_another_database_is_refused() {
    let memory = Memory::default();
    let _log = make(&memory, 0, small(1));
    let before = memory.content(NAME);
    let answer = Opened::open(&*memory.log(NAME), Uuid::from_u128(8));
    refused(answer, ErrorKind::Corrupt, "a.parlor-log is the log of database 00000000-0000-0000-0000-000000000007");
    assert!(memory.content(NAME) == before);
}

#[test]
fn a_newer_format_is_refused_and_so_is_none() {
    let memory = Memory::default();
    let _log = make(&memory, 0, small(1));
    let content = memory.content(NAME).expect("the log");
    for (version, kind, text) in [
        (VERSION + 1, ErrorKind::NewerFormat, "has format 2; this library reads up to 1"),
        (0, ErrorKind::Corrupt, "has format 0; this library reads 1"),
    ] {
        let mut content = content.clone();
        content[8..12].copy_from_slice(&version.to_le_bytes());
        refused(replay(&Memory::with(NAME, content.clone()), 0), ErrorKind::Corrupt, "is damaged");
        let checksum = xxh3_64(&content[..504]);
        content[504..512].copy_from_slice(&checksum.to_le_bytes());
        refused(replay(&Memory::with(NAME, content), 0), kind, text);
    }
}

#[test]
fn sizes_that_no_log_has_are_refused_though_their_checksum_is_right() {
    let memory = Memory::default();
    let _log = make(&memory, 0, small(1));
    let content = memory.content(NAME).expect("the log");
    for at in [12, 16] {
        for value in [0, 3, 4097, u32::MAX] {
            let mut content = content.clone();
            content[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let checksum = xxh3_64(&content[..504]);
            content[504..512].copy_from_slice(&checksum.to_le_bytes());
            refused(replay(&Memory::with(NAME, content), 0), ErrorKind::Corrupt, "is damaged");
        }
    }
}

#[test]
fn bytes_of_chance_are_no_log_and_no_record() {
    let memory = Memory::default();
    let _log = make(&memory, 0, small(2));
    let header = memory.content(NAME).expect("the log")[..4096].to_vec();
    let mut state = 0x1234_5678_9abc_def0_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for round in 0..200 {
        let length = [0, 11, 511, 512, 4095, 4096, 8192, 12288][round % 8];
        let noise: Vec<u8> = (0..length).map(|_| draw()).collect();
        refused(replay(&Memory::with(NAME, noise), 0), ErrorKind::Corrupt, "is damaged");
        let body: Vec<u8> = (0..8192).map(|_| draw() & [0xff, 0x01, 0x80][round % 3]).collect();
        assert_eq!(replay(&Memory::with(NAME, [header.clone(), body].concat()), 0).expect("it is read"), NONE);
    }
}

/// A head of an earlier lap reads again where a newer write was lost, with newer records in what was its body.
#[test]
fn records_within_what_was_an_earlier_body_are_found() {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(1));
    log.append(1, &body(1, 3500)).expect("it is written");
    let before = memory.content(NAME).expect("the log");
    log.sync().expect("it is synced");
    log.append(2, &body(2, 100)).expect("it is written");
    log.free(2);
    for number in 3..=5 {
        log.append(number, &body(number, 600)).expect("it is written");
        log.sync().expect("it is synced");
    }
    let mut content = memory.content(NAME).expect("the log");
    content[4096..4608].copy_from_slice(&before[4096..4608]);
    let read = replay(&Memory::with(NAME, content), 2);
    refused(read, ErrorKind::Corrupt, "record 3 is missing or damaged, but all up to 4 were synced");
}

/// What a database that is older than it should be must not be given.
#[test]
fn of_a_segment_the_latest_lap_alone_is_read() {
    let memory = Memory::default();
    let mut log = make(&memory, 0, small(1));
    for number in 1..=3 {
        log.append(number, &body(number, 900)).expect("it is written");
        log.sync().expect("it is synced");
    }
    log.free(3);
    let before = memory.content(NAME).expect("the log");
    for number in 4..=5 {
        log.append(number, &body(number, 1300)).expect("it is written");
    }
    let now = memory.content(NAME).expect("the log");
    // The later lap before what is left of the earlier one, and behind it.
    let (mut first, mut second) = (now.clone(), now);
    first[4096 + 1500..].copy_from_slice(&before[4096 + 1500..]);
    first[4096 + 100] ^= 1;
    second[4096..4096 + 1344].copy_from_slice(&before[4096..4096 + 1344]);
    for (content, after) in [(first, 2), (second, 0)] {
        let text = format!("record {} is missing or damaged, but all up to 3 were synced", after + 1);
        refused(replay(&Memory::with(NAME, content), after), ErrorKind::Corrupt, &text);
    }
}

/// Heads that are sound, of bodies that are torn, as close as they can stand: made by someone who knows how.
#[test]
fn a_file_made_to_keep_its_reader_busy_does_not() {
    let memory = Memory::default();
    let options = Options { segment_bytes: 1 << 20, segments: 1 };
    let log = make(&memory, 0, options);
    let mut content = memory.content(NAME).expect("the log");
    let (body, mut record) = (vec![1; 1 << 16], Vec::new());
    let whole = content.len() - 2 * body.len();
    for at in (4096..whole).step_by(record::HEAD_BYTES) {
        Head { number: 1, proved: 0, lap: 1 }.write(&body, at as u64, log.salt, &mut record);
        content[at..at + record::HEAD_BYTES].copy_from_slice(&record[..record::HEAD_BYTES]);
    }
    Head { number: 2, proved: 0, lap: 1 }.write(&body, whole as u64, log.salt, &mut record);
    content[whole..whole + record.len()].copy_from_slice(&record);
    let scan = |from: usize| scan::Scan::new(&content[from..], from as u64, log.salt);
    assert_eq!(scan(whole).filter(|found| found.body.is_some()).count(), 1, "it is sound");
    assert_eq!(scan(4096).filter(|found| found.body.is_some()).count(), 0, "and no longer looked at");
}
