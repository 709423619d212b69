//! How that stands which somebody moves as a whole, one step after the other: sessions, and access keys.

use std::collections::BTreeSet;

use parlor::id::SessionId;

/// What is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A session of a workspace.
    Session(String, SessionId),
    /// An access key, by its secret.
    Key(String),
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// A session, with these texts.
    Live(Vec<String>),
    /// In an archive with these texts, under this filename, or any where the archive's maker never learnt it.
    Archived(Option<String>, Vec<String>),
    /// A key that opens what it is for.
    Opens,
    Gone,
}

impl Life {
    /// Whether this is how it was to stand.
    fn is(&self, due: &Life) -> bool {
        match (self, due) {
            (Life::Archived(_, texts), Life::Archived(None, due)) => texts == due,
            (found, due) => found == due,
        }
    }
}

/// A step of one of them. One that was refused stays, not submitted.
#[derive(Debug, Clone)]
struct Step {
    who: Who,
    life: Life,
    /// Its number among all; those of one operation have the same.
    number: u64,
    submitted: bool,
}

/// How an operation comes to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// As a whole, or not at all.
    One,
    /// One thing after the other.
    Several,
}

/// All steps, in order: one is submitted when the one before it has come to an end.
#[derive(Debug, Clone, Default)]
pub struct Lives {
    steps: Vec<Step>,
    submitted: u64,
    /// Which operations take several commits.
    parted: BTreeSet<u64>,
    /// Up to this number all are there that were not refused, or on disk for good.
    acknowledged: u64,
    settled: u64,
}

/// What a crash may leave of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// All up to the first number, and none after the last.
    pub least: u64,
    pub most: u64,
}

impl Lives {
    /// These are about to stand so, by one operation.
    pub fn submit(&mut self, lives: Vec<(Who, Life)>, commits: Commits) {
        self.submitted += 1;
        let number = self.submitted;
        if commits == Commits::Several {
            self.parted.insert(number);
        }
        self.steps.extend(lives.into_iter().map(|(who, life)| Step { who, life, number, submitted: true }));
    }

    /// They do.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.submitted;
    }

    /// They do not, and never did.
    pub fn withdraw(&mut self) {
        let last = self.submitted;
        self.steps.iter_mut().filter(|step| step.number == last).for_each(|step| step.submitted = false);
        self.acknowledge();
    }

    /// The archive that was made last has this filename.
    pub fn name(&mut self, filename: &str) {
        if let Some(Life::Archived(name, _)) = self.steps.last_mut().map(|step| &mut step.life) {
            *name = Some(filename.to_owned());
        }
    }

    /// All that was acknowledged is on disk for good.
    pub fn settle(&mut self) {
        self.settled = self.acknowledged;
    }

    /// What a crash at this moment may not take, and what it may leave.
    pub fn span(&self, is_deferred: bool) -> Span {
        Span { least: if is_deferred { self.settled } else { self.acknowledged }, most: self.submitted }
    }

    /// Compares how they stand with how they may: as after some of the steps, in order. Of the operation that was under way a
    /// part may be there.
    pub fn check(&self, span: Span, find: impl Fn(&Who) -> Result<Life, String>) -> Result<(), String> {
        let mut known: Vec<&Who> = Vec::new();
        for step in self.steps.iter().filter(|step| step.number <= span.most) {
            if !known.contains(&&step.who) {
                known.push(&step.who);
            }
        }
        // After how many operations this may be, times two; an odd number where a part of the next one is there.
        let may = |count: &u64| count.is_multiple_of(2) || self.parted.contains(&count.div_ceil(2));
        let mut done: Vec<u64> = (2 * span.least..=2 * span.most).filter(may).collect();
        for who in known {
            let found = find(who)?;
            let (steps, gone) = (self.of(who, span.most), Life::Gone);
            // It stands so from a part of its step on, up to a part of its next one.
            let from = steps.iter().map(|step| (2 * step.number - 1, &step.life));
            let until = steps.iter().map(|step| 2 * step.number - 1).chain([u64::MAX]);
            let all = [(0, &gone)].into_iter().chain(from).zip(until);
            let spans: Vec<_> =
                all.filter(|((_, life), _)| found.is(life)).map(|((from, _), until)| from..=until).collect();
            let (before, is_in) = (done.clone(), |count: &u64| spans.iter().any(|span| span.contains(count)));
            done.retain(is_in);
            if done.is_empty() {
                let may: Vec<_> = steps.iter().map(|step| (step.number, &step.life)).collect();
                return Err(format!(
                    "{who:?} stands as {found:?}; its steps are {may:#?}, and twice as many are done as {before:?}"
                ));
            }
        }
        Ok(())
    }

    fn of(&self, who: &Who, most: u64) -> Vec<&Step> {
        self.steps.iter().filter(|step| step.submitted && step.number <= most && step.who == *who).collect()
    }
}
