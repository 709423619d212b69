//! Where a log may end that rots at its end.
//!
//! A record proves that those before it were synced, and nothing proves the last one: where that is damaged, and those right
//! before it too, the log ends earlier, and nobody can tell.

use std::collections::BTreeSet;
use std::ops::Range;

use parlor::Durability;
use parlor::testkit::SimulatedDisk;

use super::answers::{Answer, Known, ask};

/// Records begin at multiples of this.
const ALIGN: usize = 8;
/// Bytes of the block before the segments, and of a segment: no record stands in two of them.
const BLOCK: usize = 4096;
const SEGMENT: usize = 1 << 14;

/// A file after each step of a script, and what the next step wrote into its log.
#[derive(Default)]
pub struct Ends {
    images: Vec<SimulatedDisk>,
    /// Of each byte of the log the step that wrote it last, by the number of the image before it.
    wrote: Vec<Option<usize>>,
}

impl Ends {
    /// The last image is the file that is damaged.
    pub fn of(images: Vec<SimulatedDisk>) -> Self {
        let logs: Vec<_> = images.iter().map(log_of).collect();
        let mut wrote = vec![None; logs.last().map_or(0, Vec::len)];
        for (step, pair) in logs.windows(2).enumerate() {
            for range in differing(&pair[0], &pair[1]) {
                wrote[range].fill(Some(step));
            }
        }
        Ends { images, wrote }
    }

    /// Where the last record stands.
    pub fn last(&self) -> Option<Range<usize>> {
        let step = self.images.len().checked_sub(2);
        let is_last = |wrote: &Option<usize>| wrote.is_some() && *wrote == step;
        Some(self.wrote.iter().position(is_last)?..self.wrote.iter().rposition(is_last)? + 1)
    }

    /// Whether these answers are those of an earlier state than the last, and all that it lacks is damaged in this log.
    pub fn allow(&self, damaged: &[u8], known: &Known, answers: &[Answer]) -> bool {
        let sound = self.images.last().map(log_of).unwrap_or_default();
        let hit: BTreeSet<_> = (0..sound.len())
            .filter(|at| sound.get(*at) != damaged.get(*at))
            .filter_map(|at| self.wrote.get(at).copied().flatten())
            .collect();
        let asked = |image: &SimulatedDisk| {
            let store = image.copy().open(Durability::Sync).expect("it opens");
            ask(&*store, known)
        };
        for (step, pair) in self.images.windows(2).enumerate().rev() {
            if hit.contains(&step) {
                if asked(&pair[0]) == answers {
                    return true;
                }
            } else if self.wrote.contains(&Some(step)) || asked(&pair[0]) != asked(&pair[1]) {
                // A record that is whole, or what went into the file: nothing before it is lost.
                return false;
            }
        }
        false
    }
}

fn log_of(image: &SimulatedDisk) -> Vec<u8> {
    let log = image.files().into_iter().find(|(name, _)| name.ends_with("-log"));
    log.map(|(_, content)| content).unwrap_or_default()
}

/// In each segment from the first byte that differs to the last one, as records stand.
fn differing<'l>(before: &'l [u8], after: &'l [u8]) -> impl Iterator<Item = Range<usize>> + 'l {
    (BLOCK..after.len()).step_by(SEGMENT).filter_map(move |start| {
        let differs = |at: &usize| before.get(*at) != after.get(*at);
        let segment = start..(start + SEGMENT).min(after.len());
        let (first, last) = (segment.clone().find(differs)?, segment.rev().find(differs)?);
        Some(first / ALIGN * ALIGN..(last + 1).next_multiple_of(ALIGN))
    })
}
