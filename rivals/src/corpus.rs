//! What is said: the messages that every peer stores, made from a seed.

use std::sync::Arc;

use crate::rng::{Rng, mix};

/// A role and a type of message in one number: what listings filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// What a user says.
    User,
    /// What the assistant says on the way: a quarter of all.
    Assistant,
    /// What the assistant says at the end.
    Final,
    /// A call of a tool.
    Call,
    /// What a tool answered.
    Tool,
    /// An instruction: one message in ten thousand.
    System,
}

impl Class {
    /// All there are, in the order of their numbers.
    pub const ALL: [Class; 6] = [Class::User, Class::Assistant, Class::Final, Class::Call, Class::Tool, Class::System];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The class of this number.
    pub fn from_number(number: u8) -> Option<Class> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// A message that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who speaks, and what it is.
    pub class: Class,
    /// What it says.
    pub text: String,
}

/// Median length of a text, in bytes.
const MEDIAN: f64 = 300.0;
/// How far lengths spread: with it the mean is half as much again as the median.
const SPREAD: f64 = 0.9;
/// No text is longer, so that one draw cannot decide a run.
const LONGEST: f64 = 16_384.0;
/// One message in so many is an instruction.
const RARE: u32 = 10_000;

/// The words there are, and a seed that says how they follow each other.
pub struct Corpus {
    seed: u64,
    words: Vec<String>,
}

impl Corpus {
    /// The corpus of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let word = |rng: &mut Rng| {
            let letters = 2 + rng.below(9);
            (0..letters).map(|_| char::from(b'a' + rng.below(26) as u8)).collect()
        };
        let words = (0..2048).map(|_| word(&mut rng)).collect();
        Corpus { seed, words }
    }

    /// The `number`-th message of a session, from 1.
    pub fn message(&self, session: u32, number: u32) -> Draft {
        let mut rng = Rng::new(mix(self.seed ^ mix(u64::from(session) << 32 | u64::from(number))));
        let class = match rng.below(20) {
            _ if number % RARE == RARE / 2 => Class::System,
            0..5 => Class::User,
            5..10 => Class::Assistant,
            10..12 => Class::Final,
            12..16 => Class::Call,
            _ => Class::Tool,
        };
        Draft { class, text: self.text(&mut rng) }
    }

    /// Messages of a session from a number on.
    pub fn messages(&self, session: u32, first: u32, count: u32) -> Arc<[Draft]> {
        (first..first + count).map(|number| self.message(session, number)).collect()
    }

    /// Batches to append while time is taken: made before, so that making them costs nothing then.
    pub fn pool(&self, batches: u32, size: u32) -> Vec<Arc<[Draft]>> {
        (0..batches).map(|batch| self.messages(u32::MAX, batch * size + 1, size)).collect()
    }

    fn text(&self, rng: &mut Rng) -> String {
        let length = (MEDIAN * (SPREAD * rng.normal()).exp()).clamp(1.0, LONGEST) as usize;
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&self.words[rng.below(self.words.len() as u64) as usize]);
        }
        text.truncate(length);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_the_assistants_and_the_median_text_has_300_bytes() {
        let corpus = Corpus::new(1);
        let drafts = corpus.messages(0, 1, 20_000);
        let quarter = drafts.iter().filter(|draft| draft.class == Class::Assistant).count();
        assert!((4_600..5_400).contains(&quarter), "{quarter} of 20,000");
        assert_eq!(drafts.iter().filter(|draft| draft.class == Class::System).count(), 2);
        let mut lengths: Vec<_> = drafts.iter().map(|draft| draft.text.len()).collect();
        lengths.sort_unstable();
        assert!((285..315).contains(&lengths[10_000]), "median {}", lengths[10_000]);
    }

    #[test]
    fn the_same_seed_says_the_same() {
        assert_eq!(Corpus::new(7).message(3, 4), Corpus::new(7).message(3, 4));
        assert_ne!(Corpus::new(7).message(3, 4), Corpus::new(8).message(3, 4));
    }
}
