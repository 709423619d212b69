//! What came of it all, as a table.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use parlor::id::TurnId;

use crate::ledger::Ledger;
use crate::level::Level;
use crate::life::{End, Life, Sample};

/// Breaches that are printed.
const SHOWN: usize = 20;

#[derive(Debug, Default)]
pub struct Summary {
    accepted: HashSet<TurnId>,
    turns: usize,
    ends: Vec<(String, u64)>,
    lives: u64,
    kills: u64,
    asked: u64,
    busy: u64,
    overloaded: u64,
    retired: u64,
    worst_open: Duration,
    drained: Duration,
    pub level: Level,
    pub breaches: Vec<String>,
}

impl Summary {
    /// Takes in what a process told.
    pub fn hear(&mut self, life: &mut Life, end: End) {
        self.lives += 1;
        self.kills += u64::from(end == End::Killed);
        self.accepted.extend(life.accepted.values().flatten());
        let Sample { asked, busy, overloaded, retired, .. } =
            life.samples.last().map(|(_, sample)| *sample).unwrap_or_default();
        self.asked += asked;
        self.busy += busy;
        self.overloaded += overloaded;
        self.retired += retired;
        self.worst_open = self.worst_open.max(life.opened.unwrap_or_default());
        self.drained = self.drained.max(life.drained.unwrap_or_default());
        self.breaches.append(&mut life.breaches);
    }

    /// Takes in what the files said.
    pub fn take(&mut self, ledger: &mut Ledger) {
        self.turns = ledger.turns();
        self.ends = ledger.ends.iter().map(|((state, why), count)| (format!("{state} {why}"), *count)).collect();
        self.worst_open = self.worst_open.max(ledger.worst_open);
        self.breaches.append(&mut ledger.breaches);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, value: fmt::Arguments<'_>| writeln!(f, "{what:<28}{:>22}", value.to_string());
        row("turns accepted", format_args!("{}", self.accepted.len()))?;
        row("turns in the file", format_args!("{}", self.turns))?;
        for (end, count) in &self.ends {
            row(&format!("  {end}"), format_args!("{count}"))?;
        }
        row("sends", format_args!("{}", self.asked))?;
        row("  refused, busy", format_args!("{}", self.busy))?;
        row("  refused, overloaded", format_args!("{}", self.overloaded))?;
        row("lives · kills", format_args!("{} · {}", self.lives, self.kills))?;
        row("worst open", format_args!("{} ms", self.worst_open.as_millis()))?;
        row("until all was idle", format_args!("{} ms", self.drained.as_millis()))?;
        row("abandoned at once, at most", format_args!("{}", self.level.abandoned))?;
        row("abandoned and retired", format_args!("{}", self.retired))?;
        let [middle, end] = self.level.memory_kib.map(|kib| kib / 1024);
        row("memory, middle · end", format_args!("{middle} · {end} MiB"))?;
        let [middle, end] = self.level.threads;
        row("threads, middle · end", format_args!("{middle} · {end}"))?;
        row("breaches", format_args!("{}", self.breaches.len()))?;
        for breach in self.breaches.iter().take(SHOWN) {
            writeln!(f, "breach: {breach}")?;
        }
        if self.breaches.is_empty() { writeln!(f, "all is well") } else { writeln!(f, "BROKEN") }
    }
}
