//! Every row is removed, damaged, moved, copied to a neighbouring key, and exchanged with the next of its form.

use super::planted::{Planted, Row};
use super::scene;
use crate::redb::codec::{self, BlockRow, CountRow};
use crate::redb::tables::Table;

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breach {
    Removed,
    Damaged,
    /// To a neighbouring key, where its checksum is right.
    Moved,
    /// The same, and stays where it was.
    Copied,
    /// With the next row of its form, both with right checksums.
    Exchanged,
}

use Breach::{Copied, Exchanged, Moved, Removed};

/// What need not be named, and why. One that is named in every case is needed no more.
struct Excuse {
    breaches: &'static [Breach],
    what: &'static str,
    when: fn(&Planted, &Row) -> bool,
    why: &'static str,
}

const fn excuse(breaches: &'static [Breach], what: &'static str, why: &'static str) -> Excuse {
    Excuse { breaches, what, when: |_, _| true, why }
}

fn counts_none(_: &Planted, row: &Row) -> bool {
    codec::decode::<CountRow>(row.table, &row.key, &row.value).is_ok_and(|row| row.sessions == 0)
}

fn is_empty(_: &Planted, row: &Row) -> bool {
    codec::decode::<BlockRow<'_>>(row.table, &row.key, &row.value).is_ok_and(|row| row.packed.is_empty())
}

/// Any form.
const ANY: &str = "";

const EXCUSES: [Excuse; 12] = [
    excuse(&[Removed], "group number", "a file into which no checkpoint came has none"),
    excuse(&[Removed], "pause", "it says by standing there that what waits is paused, and goes when it is not"),
    excuse(&[Removed, Copied, Moved], "label", "an agent has the label that it was given, or none"),
    excuse(&[Removed], "outbox row", "an end that was announced has none"),
    Excuse {
        when: counts_none,
        ..excuse(&[Removed], "session count", "none is the count of a workspace or an agent that never had a session")
    },
    Excuse {
        when: counts_none,
        ..excuse(&[Removed], "archive count", "none is the count of a workspace or an agent that never had an archive")
    },
    excuse(&[Copied], "remnant", "a remnant of what is cleared away already clears nothing"),
    excuse(&[Copied], "remnant of an archived session", "a remnant of what is cleared away already clears nothing"),
    Excuse {
        when: Planted::is_left,
        ..excuse(&[Removed, Copied, Moved, Exchanged], ANY, "what is left of what went may be any part of it")
    },
    Excuse { when: is_empty, ..excuse(&[Removed], "block of a list", "a block that is not there is empty") },
    excuse(&[Exchanged], "change", "of two events that do not follow from each other either may be the first"),
    excuse(
        &[Exchanged],
        "queued turn",
        "what a turn counts is added up: which of a session's counts how much, its row does not say",
    ),
];

/// The sweep as it goes.
struct Sweep {
    planted: Planted,
    used: [u32; EXCUSES.len()],
    unnamed: Vec<String>,
    total: u32,
}

impl Sweep {
    /// Verifies what was planted. A breach is to name the row's table, and what one of these is of.
    fn verify(&mut self, breach: Breach, row: &Row, of: &[&Row]) {
        self.total += 1;
        let things: Vec<String> = of.iter().flat_map(|row| row.things()).collect();
        if self.planted.names(row.table, &things) {
            return;
        }
        let is_excuse = |excuse: &Excuse| {
            excuse.breaches.contains(&breach)
                && [row.what(), ANY].contains(&excuse.what)
                && (excuse.when)(&self.planted, row)
        };
        match EXCUSES.iter().position(is_excuse) {
            Some(excuse) => self.used[excuse] += 1,
            None => {
                let (what, key, breaches) = (row.what(), codec::hex(&row.key), self.planted.breaches());
                self.unnamed.push(format!("{breach:?} {what} {key}, {things:?} in {breaches:?}"));
            }
        }
    }

    fn removed(&mut self, row: &Row) {
        self.planted.remove(row);
        self.verify(Removed, row, &[row]);
        self.planted.put(row);
    }

    fn damaged(&mut self, row: &Row) {
        let mut damaged = row.clone();
        if let Some(first) = damaged.value.first_mut() {
            *first ^= 0x40;
        }
        self.planted.put(&damaged);
        self.verify(Breach::Damaged, row, &[row]);
        self.planted.put(row);
    }

    /// To the keys that differ in one bit: in the first number, in what says the form, and at the end.
    fn copied(&mut self, row: &Row) {
        let length = row.key.len();
        let mut places = vec![0, 3, 4, length / 2, length - 1];
        places.retain(|place| *place < length);
        places.dedup();
        for place in places {
            let mut key = row.key.clone();
            key[place] ^= 1;
            if self.planted.has(row.table, &key) {
                continue;
            }
            let other = row.under(key);
            self.planted.put(&other);
            self.verify(Copied, row, &[&other, row]);
            if place == length - 1 {
                self.planted.remove(row);
                self.verify(Moved, row, &[&other, row]);
                self.planted.put(row);
            }
            self.planted.remove(&other);
        }
    }

    fn exchanged(&mut self, row: &Row, next: &Row) {
        let both = [row.under(next.key.clone()), next.under(row.key.clone())];
        if both.contains(row) {
            return;
        }
        both.iter().for_each(|row| self.planted.put(row));
        self.verify(Exchanged, row, &[row, next]);
        [row, next].into_iter().for_each(|row| self.planted.put(row));
    }
}

#[test]
fn every_row_that_is_removed_damaged_moved_copied_or_exchanged_is_named() {
    let mut sweep = Sweep { planted: scene::planted(), used: [0; EXCUSES.len()], unnamed: Vec::new(), total: 0 };
    let rows = sweep.planted.rows();
    for (n, row) in rows.iter().enumerate() {
        sweep.removed(row);
        sweep.damaged(row);
        sweep.copied(row);
        if let Some(next) = rows[n + 1..].iter().find(|next| next.what() == row.what()) {
            sweep.exchanged(row, next);
        }
    }
    let (unnamed, total) = (sweep.unnamed.len(), sweep.total);
    assert!(
        unnamed == 0,
        "{unnamed} of {total} breaches are not named:\n{}",
        sweep.unnamed[..unnamed.min(60)].join("\n")
    );
    assert!(total > 3000, "{total} breaches are few");
    for (excuse, used) in EXCUSES.iter().zip(sweep.used) {
        assert!(used > 0, "{}: it is named in every case, that {} needs no excuse", excuse.what, excuse.why);
    }
    assert_eq!(sweep.planted.breaches(), Vec::<String>::new(), "every breach was undone");
    assert!(Table::ALL.iter().all(|table| rows.iter().any(|row| row.table == *table)));
}
