//! Numbers of messages, of which there may be as many as a stranger's stream has: a bit for each.

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redb) struct Numbers {
    bits: Vec<u64>,
    len: u64,
}

impl Numbers {
    /// Takes a number in; whether it was not there. It takes memory up to the number: at most that of a message that came.
    pub(in crate::redb) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let is_new = !self.contains(number);
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= bit;
        }
        self.len += u64::from(is_new);
        is_new
    }

    pub(in crate::redb) fn contains(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// How many there are.
    pub(in crate::redb) fn len(&self) -> u64 {
        self.len
    }
}

fn place(number: u32) -> (usize, u64) {
    ((number / u64::BITS) as usize, 1 << (number % u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_there_once() {
        let mut numbers = Numbers::default();
        let taken = [1, 64, 63, 1, 100_000, 64].map(|number| numbers.insert(number));
        assert_eq!((taken, numbers.len()), ([true, true, true, false, true, false], 4));
        assert!(numbers.bits.len() <= 100_000 / 64 + 1, "{} words", numbers.bits.len());
        let there = |number: &u32| numbers.contains(*number);
        assert_eq!((0..100_100).filter(there).collect::<Vec<_>>(), [1, 63, 64, 100_000]);
    }
}
