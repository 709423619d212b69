//! Power that fails.

use super::*;

const SEEDS: u64 = 200;

#[test]
fn the_last_record_is_there_or_not_and_those_that_were_synced_are_there() {
    let (mut whole, mut absent) = (0, 0);
    // The last record begins at every sector of a segment but those where it would not fit.
    for filled in (0..2048).step_by(128) {
        let memory = Memory::default();
        let mut log = make(&memory, 0, small(1));
        log.append(1, &body(1, filled)).expect("it is written");
        log.sync().expect("it is synced");
        log.append(2, &body(2, 1900)).expect("it is written");
        for survives in (0..SEEDS).flat_map(Survives::all) {
            let after = memory.after_power_loss(|_| survives);
            let opened = Opened::open(&*after.log(NAME), DATABASE).expect("it opens").expect("a log");
            let last = opened.records(0, |number, read| {
                assert!(read == body(number, [filled, 1900][number as usize - 1]), "{survives:?}");
                Ok(())
            });
            match last.expect("it is read") {
                1 => absent += 1,
                2 => whole += 1,
                other => panic!("{survives:?}: {other}"),
            }
        }
    }
    assert!(whole > 1000 && absent > 1000, "{whole} whole, {absent} absent");
}

#[test]
fn of_several_unsynced_records_those_up_to_the_first_torn_one_are_there() {
    let mut ends = [0; 5];
    for seed in 0..SEEDS {
        let memory = Memory::default();
        let mut log = make(&memory, 0, small(2));
        write(&mut log, [1]);
        for number in 2..=4 {
            log.append(number, &nth(number)).expect("it is written");
        }
        for survives in Survives::all(seed) {
            let numbers = replay(&memory.after_power_loss(|_| survives), 0).expect("it is read");
            ends[numbers.len()] += 1;
        }
    }
    assert!(ends[0] == 0 && ends[1..].iter().all(|count| *count > 0), "{ends:?}");
}

/// A lap begins over an earlier one, and the power fails before it is synced.
#[test]
fn a_segment_begun_again_shows_nothing_of_its_earlier_lap() {
    for seed in 0..SEEDS {
        let memory = Memory::default();
        let mut log = make(&memory, 0, small(1));
        let mut number = 1;
        while log.room(nth(number).len()) == Room::Fits {
            write(&mut log, [number]);
            number += 1;
        }
        log.free(number - 1);
        log.append(number, &nth(number)).expect("it is written");
        for survives in Survives::all(seed) {
            let numbers = replay(&memory.after_power_loss(|_| survives), number - 1).expect("it is read");
            assert!(numbers.is_empty() || numbers == [number], "{survives:?}: {numbers:?}");
        }
    }
}

/// What a database and its log go through, up to where an operation fails.
#[derive(Debug, Default)]
struct Life {
    /// What the database has for good.
    database: u64,
    /// What the log said is durable.
    synced: u64,
    appended: u64,
}

impl Life {
    fn live(&mut self, memory: &Memory) -> Result<()> {
        let mut log = Log::make(memory.log(NAME), origin(0), small(2))?;
        self.write(&mut log, 6)?;
        // It dies, is opened again, and what was replayed is made durable.
        drop(log);
        self.database = replay(memory, self.database)?.last().copied().unwrap_or(self.database);
        let mut log = Log::make(memory.log(NAME), origin(self.database), small(2))?;
        for _ in 0..3 {
            self.write(&mut log, 5)?;
            self.database = self.synced;
            log.free(self.database);
        }
        log.remove()
    }

    fn write(&mut self, log: &mut Log, groups: u64) -> Result<()> {
        for group in 0..groups {
            if log.room(nth(self.appended + 1).len()) == Room::NeedsCheckpoint {
                self.database = self.synced;
                log.free(self.database);
            }
            log.append(self.appended + 1, &nth(self.appended + 1))?;
            self.appended += 1;
            if group % 3 != 1 {
                log.sync()?;
                self.synced = self.appended;
            }
        }
        log.sync()?;
        self.synced = self.appended;
        Ok(())
    }

    /// Holds a disk to what was said.
    fn check(&self, memory: &Memory, when: &str) {
        let numbers = replay(memory, self.database).unwrap_or_else(|error| panic!("{when}: {error}: {self:?}"));
        let last = numbers.last().copied().unwrap_or(self.database);
        // The record under way may be there too.
        assert!((self.synced..=self.appended + 1).contains(&last), "{when}: {last} of {self:?}");
    }
}

#[test]
fn whenever_the_power_fails_what_was_synced_is_there() {
    let whole = Memory::default();
    let mut life = Life::default();
    life.live(&whole).expect("nothing fails");
    assert_eq!((life.database, life.synced, whole.names().len()), (21, 21, 0));
    for at in 0..whole.operations() {
        let memory = Memory::default();
        memory.fail(Some(Fault { at, how: How::Cut }));
        let mut life = Life::default();
        life.live(&memory).expect_err("the power fails");
        for seed in 0..4 {
            for (one, other) in Survives::all(seed).into_iter().zip(Survives::all(seed + 3).into_iter().rev()) {
                let when = format!("operation {at}, {one:?}, directory {other:?}");
                life.check(&memory.after_power_loss(|name| if name.is_empty() { other } else { one }), &when);
                life.check(&memory.after_power_loss(|_| one), &when);
            }
        }
    }
}

#[test]
fn a_log_under_way_to_its_name_is_no_log() {
    for at in 0.. {
        let memory = Memory::default();
        memory.fail(Some(Fault { at, how: How::Cut }));
        if Log::make(memory.log(NAME), origin(0), small(2)).is_ok() {
            break;
        }
        for survives in (0..8).flat_map(Survives::all) {
            let after = memory.after_power_loss(|_| survives);
            assert_eq!(replay(&after, 0).expect("it is read"), NONE);
            // And what is left of it is in nobody's way.
            let mut log = make(&after, 0, small(1));
            write(&mut log, [1]);
            assert_eq!(after.names(), [NAME]);
        }
    }
}
