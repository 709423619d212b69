//! Whether memory and threads of a long life level off.

use std::time::Duration;

use crate::child::{ABANDONED, SENDERS, WORKERS};
use crate::life::Sample;

/// Threads beside workers, abandoned ones and senders: the program's own three, and those of the engine's timer, writer,
/// checkpoints and log.
const OTHER_THREADS: u64 = 7;
/// How much more memory the end may take than the middle: a fifth, and what is in memory between two checkpoints.
const SLACK_KIB: u64 = 32 << 10;

/// The most in the middle, from two to three fifths of the life, and in its last fifth.
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    pub memory_kib: [u64; 2],
    pub threads: [u64; 2],
    pub abandoned: u64,
}

impl Level {
    pub fn of(samples: &[(Duration, Sample)], life: Duration) -> Self {
        let fifths = [2..3, 4..5].map(|fifths| life * fifths.start / 5..life * fifths.end / 5);
        let most = |number: fn(&Sample) -> u64| {
            fifths.clone().map(|part| {
                let within = samples.iter().filter(|(when, _)| part.contains(when));
                within.map(|(_, sample)| number(sample)).max().unwrap_or(0)
            })
        };
        let abandoned = samples.iter().map(|(_, sample)| sample.abandoned).max().unwrap_or(0);
        Level { memory_kib: most(|sample| sample.memory_kib), threads: most(|sample| sample.threads), abandoned }
    }

    /// Each bound that is passed.
    pub fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        let [middle, end] = self.memory_kib;
        let most = middle + middle / 5 + SLACK_KIB;
        if end > most {
            breaches
                .push(format!("memory does not level off: {middle} KiB in the middle, {end} at the end, over {most}"));
        }
        let most = (WORKERS + ABANDONED + SENDERS) as u64 + OTHER_THREADS;
        if let Some(threads) = self.threads.into_iter().find(|threads| *threads > most) {
            breaches.push(format!("{threads} threads; there may be {most}"));
        }
        let [middle, end] = self.threads;
        if end > middle + middle / 2 {
            breaches.push(format!("threads do not level off: {middle} in the middle, {end} at the end"));
        }
        if self.abandoned > ABANDONED as u64 {
            breaches.push(format!("{} agents were left behind at once; {ABANDONED} may be", self.abandoned));
        }
        breaches
    }
}
