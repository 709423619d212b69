//! Random lives of a log against a plain list.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// A group, of a body of this length.
    Append(usize),
    Sync,
    /// The database makes durable what the log has synced.
    Checkpoint,
    /// The database has a group for good that the log never saw.
    Unlogged,
    /// An operation soon fails.
    Fault(u64, How),
    /// The process dies, and the file is opened again.
    Kill,
    /// The power fails, and the file is opened again.
    PowerLoss(Survives),
}

fn survives() -> impl Strategy<Value = Survives> {
    (any::<u64>(), 0..8_usize).prop_map(|(seed, kind)| Survives::all(seed)[kind])
}

fn step() -> impl Strategy<Value = Step> {
    let other = std::io::ErrorKind::Other;
    let how = prop_oneof![
        Just(How::Once(other)),
        Just(How::Short(other)),
        Just(How::Forever(other)),
        Just(How::Once(std::io::ErrorKind::StorageFull)),
    ];
    prop_oneof![
        20 => (0..2000_usize).prop_map(Step::Append),
        10 => Just(Step::Sync),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Unlogged),
        1 => (0..6_u64, how).prop_map(|(soon, how)| Step::Fault(soon, how)),
        1 => Just(Step::Kill),
        2 => survives().prop_map(Step::PowerLoss),
    ]
}

/// A log, and beside it what must be true of it.
struct World {
    memory: Memory,
    log: Option<Log>,
    options: Options,
    /// The bodies of the groups, the one of number 1 first.
    groups: Vec<Vec<u8>>,
    /// What the database has for good.
    database: u64,
    /// What the log said is durable.
    synced: u64,
}

impl World {
    fn new(options: Options) -> Self {
        let memory = Memory::default();
        let log = Some(make(&memory, 0, options));
        World { memory, log, options, groups: Vec::new(), database: 0, synced: 0 }
    }

    fn last(&self) -> u64 {
        self.groups.len() as u64
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(length) => self.append(*length),
            Step::Sync => {
                if self.with(Log::sync).is_some() {
                    self.synced = self.last();
                }
            }
            Step::Checkpoint => self.checkpoint(self.synced),
            Step::Unlogged => {
                self.groups.push(body(self.last() + 1, 5000));
                self.synced = self.last();
                self.checkpoint(self.last());
            }
            Step::Fault(soon, how) => {
                self.memory.fail(Some(Fault { at: self.memory.operations() + soon, how: *how }));
            }
            Step::Kill => self.reopen(),
            Step::PowerLoss(survives) => {
                self.memory = self.memory.after_power_loss(|_| *survives);
                self.reopen();
            }
        }
    }

    fn append(&mut self, length: usize) {
        let (number, body) = (self.last() + 1, body(self.last() + 1, length));
        if self.log.as_ref().is_some_and(|log| log.room(length) == Room::NeedsCheckpoint) {
            self.step(&Step::Sync);
            self.checkpoint(self.synced);
        }
        let appended = self.with(|log| match log.append(number, &body) {
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(None),
            appended => appended.map(Some),
        });
        match appended {
            Some(Some(())) => self.groups.push(body),
            Some(None) => {}
            // It may be there.
            None => {
                self.groups.push(body);
                self.reopen();
            }
        }
    }

    fn checkpoint(&mut self, up_to: u64) {
        self.database = up_to;
        if let Some(log) = &mut self.log {
            log.free(up_to);
        }
    }

    /// Asks the log for something; when it fails, it is opened again, unless its caller sees to that.
    fn with<T>(&mut self, what: impl FnOnce(&mut Log) -> Result<T>) -> Option<T> {
        what(self.log.as_mut()?).ok()
    }

    /// What opening does: all that was synced is there, and what is there was written.
    fn reopen(&mut self) {
        self.memory.fail(None);
        self.log = None;
        let opened = Opened::open(&*self.memory.log(NAME), DATABASE).expect("it opens").expect("a log");
        let mut expected = self.database;
        let last = opened.records(self.database, |number, body| {
            expected += 1;
            assert_eq!(number, expected);
            assert!(self.groups[number as usize - 1] == body, "record {number} is not what was written");
            Ok(())
        });
        let last = last.expect("it is read");
        assert_eq!(last, expected);
        assert!((self.synced..=self.last()).contains(&last), "{last} of {} to {}", self.synced, self.last());
        drop(opened);
        self.groups.truncate(last as usize);
        (self.database, self.synced) = (last, last);
        self.log = Some(make(&self.memory, last, self.options));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_log_has_what_was_synced_and_nothing_that_was_not_written(
        segments in 1..5_u32,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(small(segments));
        for step in &steps {
            world.step(step);
        }
        world.reopen();
    }
}
