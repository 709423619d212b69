//! How many messages each turn wrote, held to what the turn counts. Only the turns at work are remembered.

use std::collections::BTreeMap;

/// The turns that have messages to come, and how many.
#[derive(Debug, Default)]
pub(in crate::redb) struct Written {
    left: BTreeMap<u32, u32>,
}

impl Written {
    /// The message that started a turn has come, which counts so many more.
    pub(in crate::redb) fn begin(&mut self, turn: u32, messages: u32) {
        if messages > 0 {
            self.left.insert(turn, messages);
        }
    }

    /// A turn wrote a message; whether it counts one more than those that came before.
    pub(in crate::redb) fn more(&mut self, turn: u32) -> bool {
        let Some(left) = self.left.get_mut(&turn) else { return false };
        *left -= 1;
        if *left == 0 {
            self.left.remove(&turn);
        }
        true
    }

    /// The turns that count more messages than came, and how many more.
    pub(in crate::redb) fn missing(&self) -> impl Iterator<Item = (u32, u32)> {
        self.left.iter().map(|(turn, left)| (*turn, *left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_as_many_messages_as_it_counts() {
        let mut written = Written::default();
        written.begin(1, 2);
        written.begin(2, 0);
        written.begin(3, 1);
        assert!(written.more(1) && written.more(1) && !written.more(1));
        assert!(!written.more(2), "it counts none");
        assert_eq!(written.missing().collect::<Vec<_>>(), [(3, 1)]);
    }
}
