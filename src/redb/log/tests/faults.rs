//! Operations that fail.

use super::*;

use std::io::ErrorKind as Io;

#[test]
fn after_a_write_or_a_sync_that_failed_the_log_takes_no_more() {
    for (offset, how) in [
        (0, How::Once(Io::Other)),
        (0, How::Short(Io::Other)),
        (0, How::Once(Io::StorageFull)),
        (1, How::Once(Io::Other)),
        (1, How::Once(Io::StorageFull)),
    ] {
        let memory = Memory::default();
        let mut log = make(&memory, 0, small(1));
        write(&mut log, [1]);
        memory.fail(Some(Fault { at: memory.operations() + offset, how }));
        let answer = log.append(2, &nth(2)).and_then(|()| log.sync());
        refused(answer, ErrorKind::OutcomeUnknown, "a.parlor-log cannot be written");
        memory.fail(None);
        let before = memory.operations();
        refused(log.append(3, &nth(3)), ErrorKind::Storage, "nothing is written until the file is opened again");
        refused(log.sync(), ErrorKind::Storage, "nothing is written until the file is opened again");
        assert_eq!(memory.operations(), before);

        let numbers = replay(&memory, 0).expect("it is read");
        assert!(numbers == [1] || numbers == [1, 2], "{numbers:?}");
        for survives in (0..50).flat_map(Survives::all) {
            let numbers = replay(&memory.after_power_loss(|_| survives), 0).expect("it is read");
            assert!(numbers == [1] || numbers == [1, 2], "{numbers:?}");
        }
    }
}

/// Why what is replayed must be made durable anew: the system's cache may be all that has it.
#[test]
fn a_record_whose_sync_failed_may_be_read_and_then_be_gone() {
    let (mut kept, mut gone) = (0, 0);
    for round in 0..40 {
        let memory = Memory::default();
        let mut log = make(&memory, 1, small(1));
        log.append(2, &nth(2)).expect("it is written");
        // The number of the operation decides what it leaves.
        (0..round).for_each(|_| drop(memory.open(NAME)));
        memory.fail(Some(Fault { at: memory.operations(), how: How::Once(Io::Other) }));
        refused(log.sync(), ErrorKind::OutcomeUnknown, "told to fail");
        assert_eq!(replay(&memory, 1).expect("it is read"), [2]);
        let file = memory.open(NAME).expect("it opens").expect("the log");
        file.sync_data().expect("a later sync says that all is well");
        match replay(&memory.after_power_loss(|_| Survives::Everything), 1).expect("it is read")[..] {
            [] => gone += 1,
            _ => kept += 1,
        }
    }
    assert!(kept > 0 && gone > 0, "{kept} kept, {gone} gone");
}

#[test]
fn a_full_disk_has_no_new_log_and_keeps_the_old_one() {
    let memory = Memory::default();
    write(&mut make(&memory, 0, small(1)), 1..=2);
    for capacity in [8192, 8193, 12288, 16383] {
        memory.hold(Some(capacity));
        let answer = Log::make(memory.log(NAME), origin(2), small(1));
        refused(answer, ErrorKind::NoSpace, "a.parlor-log cannot be made");
        assert_eq!(memory.names(), [NAME]);
        assert_eq!(replay(&memory, 0).expect("it is read"), [1, 2]);
    }
}

/// Makes a log over an old one, fills it until it begins a second lap, and removes it.
fn live(memory: &Memory, acknowledged: &mut u64, freed: &mut u64) -> Result<()> {
    let mut log = Log::make(memory.log(NAME), origin(2), small(2))?;
    for number in 3..=16 {
        if log.room(nth(number).len()) == Room::NeedsCheckpoint {
            *freed = *acknowledged;
            log.free(*freed);
        }
        log.append(number, &nth(number))?;
        log.sync()?;
        *acknowledged = number;
    }
    *freed = *acknowledged;
    log.free(*freed);
    log.remove()
}

#[test]
fn whichever_operation_fails_what_was_acknowledged_is_there() {
    let ways = [How::Once(Io::Other), How::Forever(Io::Other), How::Short(Io::Other), How::Once(Io::StorageFull)];
    let mut failures = 0;
    for how in ways {
        for at in 0.. {
            let memory = Memory::default();
            write(&mut make(&memory, 0, small(1)), 1..=2);
            let before = memory.operations();
            memory.fail(Some(Fault { at: before + at, how }));
            let (mut acknowledged, mut freed) = (2, 2);
            let lived = live(&memory, &mut acknowledged, &mut freed);
            let was_reached = memory.operations() > before + at;
            memory.fail(None);
            if !was_reached {
                lived.expect("nothing failed");
                break;
            }
            failures += u32::from(lived.is_err());
            let when = || format!("operation {at}, {how:?}: {acknowledged} of {lived:?}");
            for memory in
                Survives::all(at).map(|survives| memory.after_power_loss(|_| survives)).iter().chain([&memory])
            {
                let numbers = replay(memory, freed).unwrap_or_else(|error| panic!("{}: {error}", when()));
                let last = numbers.last().copied().unwrap_or(freed);
                assert!((acknowledged..=acknowledged + 1).contains(&last), "{}: {last}", when());
            }
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn a_log_that_cannot_be_read_says_so() {
    let memory = Memory::default();
    write(&mut make(&memory, 0, small(1)), 1..=2);
    let before = memory.operations();
    replay(&memory, 0).expect("it is read");
    let reads = memory.operations() - before;
    for at in 0..reads {
        memory.fail(Some(Fault { at: memory.operations() + at, how: How::Once(Io::Other) }));
        refused(replay(&memory, 0), ErrorKind::Storage, "a.parlor-log cannot be opened");
    }
}
