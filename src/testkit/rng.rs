//! Random numbers that a seed repeats, or that bytes give.

use std::collections::VecDeque;

/// Splitmix64, for which every seed is a good one; or what a fuzzer decides.
#[derive(Debug, Clone)]
pub(super) struct Rng {
    state: u64,
    /// Where decisions come from instead, until there are no more.
    bytes: Option<VecDeque<u8>>,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng { state: seed, bytes: None }
    }

    /// Every decision is read from these bytes, as few a decision as will do; zeros where there are no more.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Rng { state: 0, bytes: Some(bytes.iter().copied().collect()) }
    }

    /// Whether it was made of bytes and they have run out.
    pub fn is_spent(&self) -> bool {
        self.bytes.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// A number like no other: it decides nothing, so bytes are not spent on it.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let drawn = match &mut self.bytes {
            None => self.next(),
            Some(bytes) => {
                let needed = (u64::BITS - bound.saturating_sub(1).leading_zeros()).div_ceil(u8::BITS);
                (0..needed).fold(0, |drawn, _| drawn << 8 | u64::from(bytes.pop_front().unwrap_or(0)))
            }
        };
        drawn.checked_rem(bound).unwrap_or(0)
    }

    /// An index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Whether something of this likelihood happens.
    pub fn percent(&mut self, likelihood: u64) -> bool {
        self.below(100) < likelihood
    }

    /// One of these, if there is any.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }

    /// One of these.
    pub fn one<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        const { assert!(N > 0) };
        of[self.index(N)]
    }
}
