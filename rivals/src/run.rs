//! A run: what it measures with, and the lines it has so far.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::args::Size;
use crate::check;
use crate::corpus::{Corpus, Draft};
use crate::line::Line;
use crate::measure::Turns;
use crate::peer::floor::Lists;
use crate::peer::{Cache, Feed, Kind, Peer, Result};
use crate::plan::Plan;
use crate::rng::Rng;

impl Size {
    /// Messages of the main workload.
    pub const fn messages(self) -> u32 {
        match self {
            Size::Quick => 100_000,
            Size::Full => 1_000_000,
        }
    }

    /// The messages of the main workload, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Size::Quick => "100,000 messages",
            Size::Full => "a million messages",
        }
    }

    /// Turns of reading.
    pub const fn reading(self) -> Turns {
        match self {
            Size::Quick => Turns { rounds: 5, each: Duration::from_millis(60) },
            Size::Full => Turns { rounds: 9, each: Duration::from_millis(200) },
        }
    }

    /// Turns of reading what is held to no bar.
    pub const fn glancing(self) -> Turns {
        match self {
            Size::Quick => Turns { rounds: 3, each: Duration::from_millis(30) },
            Size::Full => Turns { rounds: 5, each: Duration::from_millis(100) },
        }
    }

    /// Turns of writing: longer, since a disk is less even than memory.
    pub const fn writing(self) -> Turns {
        match self {
            Size::Quick => Turns { rounds: 5, each: Duration::from_millis(300) },
            Size::Full => Turns { rounds: 9, each: Duration::from_millis(1000) },
        }
    }

    /// As many samples as a far quantile needs.
    pub const fn samples(self) -> usize {
        match self {
            Size::Quick => 2_000,
            Size::Full => 20_000,
        }
    }
}

/// Why a line is skipped in a quick run.
pub const A_MILLION: &str = "needs a million messages: run without --quick";

/// Sessions that reads choose from: enough that no one of them stays in the processor's caches.
pub const SAMPLE: std::ops::Range<u32> = 1..65;

/// A run of all work, or of what was asked for.
pub struct Run<'c> {
    /// How much.
    pub size: Size,
    /// What is said.
    pub corpus: &'c Corpus,
    /// Messages to append, one at a time and a hundred.
    pub single: Vec<Arc<[Draft]>>,
    /// See [`single`](Self::single).
    pub hundred: Vec<Arc<[Draft]>>,
    /// This run's own.
    pub directory: PathBuf,
    /// In which order contenders have their turns.
    pub rng: Rng,
    lines: Vec<Line>,
    only: Vec<String>,
    json: Option<File>,
    began: Instant,
}

impl<'c> Run<'c> {
    /// A run that has measured nothing yet.
    pub fn new(size: Size, corpus: &'c Corpus, directory: &Path, only: Vec<String>, json: Option<File>) -> Self {
        Run {
            size,
            corpus,
            single: corpus.pool(4096, 1),
            hundred: corpus.pool(64, 100),
            directory: directory.to_owned(),
            rng: Rng::new(0),
            lines: Vec::new(),
            only,
            json,
            began: Instant::now(),
        }
    }

    /// Whether this work was asked for.
    pub fn wants(&self, work: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| work.contains(text.as_str()))
    }

    /// Whether any work was asked for that has one of these words in its name: else what it needs is
    /// not even loaded.
    pub fn wants_any(&self, words: &[&str]) -> bool {
        let named = |text: &String| words.iter().any(|word| text.contains(word) || word.contains(text.as_str()));
        self.only.is_empty() || self.only.iter().any(named)
    }

    /// Takes a line into the report.
    pub fn push(&mut self, line: Line) -> Result {
        if let Some(json) = &mut self.json {
            // Each as soon as it is known: what ends early has something to show.
            writeln!(json, "{}", line.json())?;
        }
        self.say(&format!("measured {}", line.work));
        self.lines.push(line);
        Ok(())
    }

    /// The lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Tells how far it has come.
    pub fn say(&self, what: &str) {
        eprintln!("{:7.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

/// A peer of a set, and how many messages it has acknowledged since it was loaded.
pub struct Member {
    /// Which.
    pub kind: Kind,
    /// Open.
    pub peer: Box<dyn Peer>,
    /// Messages.
    pub acknowledged: AtomicU64,
}

/// All peers, loaded with the same.
pub struct Set {
    /// What was loaded.
    pub plan: Plan,
    /// The peers, parlor first.
    pub members: Vec<Member>,
    /// Some of it as plain lists.
    pub lists: Lists,
    /// What the peers were opened with.
    pub cache: Cache,
    /// What it is, in words.
    pub words: String,
    /// Where its files are.
    pub directory: PathBuf,
    known: Vec<u32>,
}

impl Set {
    /// Opens all peers in a directory of their own, loads them, and compares what they answer for the
    /// sessions that are to be `known`.
    pub fn load(run: &Run<'_>, name: &str, words: String, plan: Plan, feed: Feed, known: Vec<u32>) -> Result<Set> {
        let directory = run.directory.join(name);
        let mut members = Vec::new();
        for kind in Kind::ALL {
            let began = Instant::now();
            let mut peer = kind.open(&directory.join(kind.name()), Cache::Holds, feed)?;
            peer.load(&plan, run.corpus).map_err(|error| format!("{}: {error}", kind.name()))?;
            let seconds = began.elapsed().as_secs_f64();
            run.say(&format!("loaded {} messages into {} in {seconds:.1} s", plan.messages(), kind.name()));
            members.push(Member { kind, peer, acknowledged: AtomicU64::new(0) });
        }
        let lists = Lists::new(&plan, run.corpus, &known);
        let set = Set { plan, members, lists, cache: Cache::Holds, words, known, directory };
        set.check(run)?;
        Ok(set)
    }

    /// The directory of a peer.
    pub fn directory(&self, kind: Kind) -> PathBuf {
        self.directory.join(kind.name())
    }

    /// Compares what all peers answer.
    pub fn check(&self, run: &Run<'_>) -> Result {
        for Member { kind, peer, .. } in &self.members {
            check::alike(&**peer, &self.lists, &self.plan, &self.known)
                .map_err(|error| format!("{}: {error}", kind.name()))?;
        }
        run.say("all answer alike");
        Ok(())
    }

    /// Opens all peers again.
    pub fn reopen(&mut self, cache: Cache) -> Result {
        self.cache = cache;
        for Member { kind, peer, .. } in &mut self.members {
            peer.reopen(cache).map_err(|error| format!("{}: {error}", kind.name()))?;
        }
        Ok(())
    }

    /// Counts the messages of every peer: as many as were loaded and acknowledged.
    pub fn count(&self, run: &Run<'_>) -> Result {
        let loaded = u64::from(self.plan.messages());
        if self.members.iter().all(|member| member.acknowledged.load(Ordering::Relaxed) == 0) {
            return Ok(());
        }
        for Member { kind, peer, acknowledged } in &self.members {
            let expected = loaded + acknowledged.load(Ordering::Relaxed);
            let found = check::messages(&**peer, 0..self.plan.sessions.len() as u32)?;
            if found != expected {
                return Err(format!("{} has {found} messages, not {expected}", kind.name()).into());
            }
        }
        run.say("all have every message they acknowledged");
        Ok(())
    }
}
