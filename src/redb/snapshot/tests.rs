//! Random groups, taken back, taken aside and put into the file, against a plain map for each state.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use proptest::prelude::*;
use redb::Database;
use redb::backends::InMemoryBackend;

use super::super::codec::GroupRow;

use super::super::put::{self, Kept};
use super::super::recent::Touched;
use super::super::tables::of_session;
use super::super::write_set::WriteSet;
use super::*;

const SESSIONS: u32 = 3;
/// Enough that the rows of a session in memory are taken more than once.
const NUMBERS: u32 = 60;
const KINDS: [rows::Kind; 2] = [rows::Kind::Message, rows::Kind::Turn];

/// A table and a key of it.
type At = (Table, Vec<u8>);

/// A row of some session, or the one that has nothing but the session's number for a key.
fn key(session: u32, kind: usize, number: u32) -> At {
    match KINDS.get(kind) {
        Some(kind) => (Table::Rows, rows::numbered(session, *kind, number).to_vec()),
        None => (Table::Claims, session.to_be_bytes().to_vec()),
    }
}

#[derive(Debug, Clone)]
enum Change {
    /// Rows whose numbers follow each other.
    Put {
        session: u32,
        kind: usize,
        from: u32,
        count: u32,
    },
    Remove {
        session: u32,
        kind: usize,
        from: u32,
        count: u32,
    },
    /// All of a session's rows up to one, or all there are.
    RemoveOfSession {
        session: u32,
        to: Option<(usize, u32)>,
    },
}

#[derive(Debug, Clone)]
enum Step {
    /// A group that is shown: the writes of its operations.
    Group(Vec<Vec<Change>>),
    /// One that is taken back.
    Undone(Vec<Change>),
    /// What was written is taken aside for the file.
    Freeze,
    /// The file has what was taken aside.
    Melt,
    /// Somebody reads on from the present state, until it is let go.
    Hold,
    LetGo(usize),
    /// One of the states that are read is read like this.
    Read(usize, Reading),
}

/// A way to read.
#[derive(Debug, Clone)]
enum Reading {
    Get((u32, usize, u32)),
    /// Between two keys, so many at most.
    Scan(Table, Bound<(u32, usize, u32)>, Bound<(u32, usize, u32)>, Direction, usize),
    Messages(u32, Vec<u32>),
}

fn place() -> impl Strategy<Value = (u32, usize, u32)> {
    (1..=SESSIONS, 0..3_usize, 0..NUMBERS)
}

fn run() -> impl Strategy<Value = (u32, usize, u32, u32)> {
    (place(), prop_oneof![3 => 1..3_u32, 1 => 1..NUMBERS])
        .prop_map(|((session, kind, from), count)| (session, kind, from, count.min(NUMBERS - from)))
}

fn change() -> impl Strategy<Value = Change> {
    let to = prop_oneof![1 => Just(None), 2 => (0..2_usize, 0..NUMBERS).prop_map(Some)];
    prop_oneof![
        8 => run().prop_map(|(session, kind, from, count)| Change::Put { session, kind, from, count }),
        3 => run().prop_map(|(session, kind, from, count)| Change::Remove { session, kind, from, count }),
        2 => (1..=SESSIONS, to).prop_map(|(session, to)| Change::RemoveOfSession { session, to }),
    ]
}

fn bound() -> impl Strategy<Value = Bound<(u32, usize, u32)>> {
    prop_oneof![
        4 => place().prop_map(Bound::Included),
        4 => place().prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    let table = prop_oneof![4 => Just(Table::Rows), 1 => Just(Table::Claims)];
    let most = prop_oneof![Just(usize::MAX), 0..80_usize];
    let direction = prop_oneof![Just(Direction::Asc), Just(Direction::Desc)];
    let numbers = prop::collection::btree_set(0..NUMBERS, 0..30).prop_map(Vec::from_iter);
    prop_oneof![
        2 => place().prop_map(Reading::Get),
        3 => (table, bound(), bound(), direction, most).prop_map(|(a, b, c, d, e)| Reading::Scan(a, b, c, d, e)),
        2 => (1..=SESSIONS, numbers).prop_map(|(session, at)| Reading::Messages(session, at)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let changes = || prop::collection::vec(change(), 1..5);
    prop_oneof![
        8 => prop::collection::vec(changes(), 1..4).prop_map(Step::Group),
        1 => changes().prop_map(Step::Undone),
        1 => Just(Step::Freeze),
        1 => Just(Step::Melt),
        3 => Just(Step::Hold),
        2 => any::<usize>().prop_map(Step::LetGo),
        20 => (any::<usize>(), reading()).prop_map(|(state, reading)| Step::Read(state, reading)),
    ]
}

/// A state as it must be.
type Rows = BTreeMap<At, Vec<u8>>;

/// What a writer has, and beside it what must be true of it.
struct World {
    database: Database,
    layers: Layers,
    /// The last group that is shown.
    group: u64,
    /// Of the writes that were taken aside.
    frozen: Option<u64>,
    /// What was ever written, so that no value is like another.
    written: u32,
    rows: Rows,
    /// The states that somebody reads, the oldest first.
    held: Vec<(Snapshot, u64, Rows)>,
}

impl World {
    fn new() -> Self {
        let database = redb::Builder::new().create_with_backend(InMemoryBackend::new()).expect("a database");
        let transaction = database.begin_write().expect("a transaction");
        for table in Table::ALL {
            transaction.open_table(table.definition()).expect("a table");
        }
        transaction.commit().expect("it commits");
        let base = Base::last(&database).expect("it is read");
        let layers = Layers { recent: vec![Arc::default()], ..Layers::of(base, Around::new(1)) };
        World { database, layers, group: 0, frozen: None, written: 0, rows: Rows::new(), held: Vec::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Group(operations) => {
                let mut touched = Touched::default();
                for operation in operations {
                    self.apply(operation, &mut touched);
                    // What comes next in the group is written over this.
                    self.assert_whole(&self.snapshot(self.group + 1, Stage::Open), &self.rows);
                }
                self.group += 1;
            }
            Step::Undone(changes) => {
                let (before, mut touched) = (self.rows.clone(), Touched::default());
                self.apply(changes, &mut touched);
                self.layers.recent[0].undo(self.group + 1, touched);
                self.rows = before;
                self.assert_whole(&self.snapshot(self.group, Stage::Published), &self.rows);
            }
            Step::Freeze if self.frozen.is_none() => {
                self.frozen = Some(self.group);
                self.layers.recent.insert(0, Arc::default());
            }
            Step::Melt => {
                let Some(number) = self.frozen.take() else { return };
                let recent = self.layers.recent.pop().expect("what was taken aside");
                let row = GroupRow { number, log: None };
                put::put(&self.database, &[&recent], row, Kept::InMemory).expect("it is put");
                self.layers.base = Arc::new(Base::last(&self.database).expect("it is read"));
            }
            Step::Hold => {
                let snapshot = self.snapshot(self.group, Stage::Published);
                self.held.push((snapshot, self.group, self.rows.clone()));
            }
            Step::LetGo(which) if !self.held.is_empty() => {
                self.held.remove(which % self.held.len());
            }
            Step::Read(which, reading) => match self.held.get(which % (self.held.len() + 1)) {
                Some((snapshot, _, rows)) => assert_reads(snapshot, rows, reading),
                None => assert_reads(&self.snapshot(self.group, Stage::Published), &self.rows, reading),
            },
            Step::Freeze | Step::LetGo(_) => {}
        }
    }

    fn snapshot(&self, group: u64, stage: Stage) -> Snapshot {
        Snapshot::new(self.layers.clone(), group, stage)
    }

    fn apply(&mut self, changes: &[Change], touched: &mut Touched) {
        let mut writes = WriteSet::default();
        for change in changes {
            match *change {
                Change::Put { session, kind, from, count } => {
                    for number in from..from + count {
                        let (table, key) = key(session, kind, number);
                        self.written += 1;
                        // So long that few rows fill a pack, and now and then one alone more than fills it.
                        let length =
                            if self.written.is_multiple_of(17) { 5000 } else { 4 + self.written as usize * 97 % 900 };
                        let mut value = self.written.to_be_bytes().to_vec();
                        value.resize(length, 7);
                        self.rows.insert((table, key.clone()), value.clone());
                        writes.put_value(table, key, value);
                    }
                }
                Change::Remove { session, kind, from, count } => {
                    for number in from..from + count {
                        let (table, key) = key(session, kind, number);
                        self.rows.remove(&(table, key.clone()));
                        writes.remove(table, key);
                    }
                }
                Change::RemoveOfSession { session, to } => {
                    let (from, last) = of_session(session);
                    let (table, to) = match to {
                        Some((kind, number)) => key(session, kind, number),
                        None => (if session == 1 { Table::Claims } else { Table::Rows }, last.to_vec()),
                    };
                    self.rows.retain(|(of, key), _| *of != table || !(&from[..]..=&to[..]).contains(&&key[..]));
                    writes.remove_of_session(table, session, to);
                }
            }
        }
        let oldest = self.held.first().map_or(self.group, |(_, group, _)| *group);
        self.layers.recent[0].apply(self.group + 1, writes, oldest, touched);
    }

    fn assert_whole(&self, snapshot: &Snapshot, rows: &Rows) {
        for table in [Table::Rows, Table::Claims] {
            for direction in Direction::ALL {
                let whole = Reading::Scan(table, Bound::Unbounded, Bound::Unbounded, direction, usize::MAX);
                assert_reads(snapshot, rows, &whole);
            }
        }
    }

    fn finish(self) {
        self.assert_whole(&self.snapshot(self.group, Stage::Published), &self.rows);
        for (snapshot, _, rows) in &self.held {
            self.assert_whole(snapshot, rows);
        }
    }
}

fn assert_reads(snapshot: &Snapshot, rows: &Rows, reading: &Reading) {
    match reading {
        Reading::Get((session, kind, number)) => {
            let (table, key) = key(*session, *kind, *number);
            let found = snapshot.get(table, &key).expect("it is read").map(|guard| guard.value().to_vec());
            assert_eq!(found.as_ref(), rows.get(&(table, key)), "{reading:?} of group {}", snapshot.group);
        }
        Reading::Scan(table, from, to, direction, most) => {
            // A claim's key among those of rows is a bound like any other.
            let [from, to] = [from, to].map(|bound| bound.map(|(session, kind, number)| key(session, kind, number).1));
            let [from, to] = [&from, &to].map(|bound| bound.as_ref().map(Vec::as_slice));
            let mut found = Vec::new();
            let each = &mut |key: &[u8], value: &[u8]| {
                found.push((key.to_vec(), value.to_vec()));
                Ok(if found.len() >= *most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            };
            snapshot.scan(*table, (from, to), *direction, each).expect("it is read");
            let within = rows
                .iter()
                .filter(|((of, key), _)| of == table && RangeBounds::<[u8]>::contains(&(from, to), &key[..]));
            let mut due: Vec<_> = within.map(|((_, key), value)| (key.clone(), value.clone())).collect();
            if *direction == Direction::Desc {
                due.reverse();
            }
            due.truncate((*most).max(1));
            assert!(found == due, "{reading:?} of group {} shows\n{found:?}\nand not\n{due:?}", snapshot.group);
        }
        Reading::Messages(session, numbers) => {
            let mut found = Vec::new();
            let each = &mut |number, value: Result<Option<&[u8]>>| {
                found.push((number, value.expect("it is read").map(<[u8]>::to_vec)));
                Ok(())
            };
            snapshot.messages(*session, numbers, each).expect("it is read");
            let due = |number: &u32| (*number, rows.get(&key(*session, 0, *number)).cloned());
            let due: Vec<_> = numbers.iter().map(due).collect();
            assert!(found == due, "{reading:?} of group {} shows\n{found:?}\nand not\n{due:?}", snapshot.group);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_state_is_read_as_its_groups_left_it_whatever_is_written_since(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}
