//! What the events of a session tell, held to each other: verification reads a session's own feed by it, and what strangers
//! bring has to pass it.

use std::collections::BTreeSet;

use crate::record::TurnState;
use crate::redb::codec::{
    CHANGE_ARCHIVED, CHANGE_CREATED, CHANGE_DELETED, CHANGE_MARK, CHANGE_MESSAGE, CHANGE_PURGED, CHANGE_RESTORED,
    CHANGE_TURN, CHANGE_UPDATED, ChangeRow, state_of,
};

/// What was told so far.
#[derive(Debug, Default)]
pub(in crate::redb) struct Feed {
    /// Events.
    pub(in crate::redb) events: u64,
    /// Messages that were written.
    pub(in crate::redb) messages: u32,
    /// Messages that were soft-deleted.
    pub(in crate::redb) deleted: BTreeSet<u32>,
    /// Those of them that were erased.
    pub(in crate::redb) purged: BTreeSet<u32>,
    /// Turns that were accepted, and the one that the last event tells to be.
    pub(in crate::redb) turns: u32,
    pub(in crate::redb) accepted: Option<u32>,
    /// Turns that wait, and the one that is running; 0 where none is.
    pub(in crate::redb) queued: BTreeSet<u32>,
    pub(in crate::redb) running: u32,
    /// How often a turn was given its session, and how often of those it was given it again.
    pub(in crate::redb) epoch: u64,
    pub(in crate::redb) again: u64,
    /// Whether the turn that ended last failed.
    pub(in crate::redb) failed: bool,
    pub(in crate::redb) archived: bool,
    /// The context mark.
    pub(in crate::redb) mark: u32,
}

impl Feed {
    /// Takes in the next event, or says what is wrong with it. Where its id leads is not looked at.
    pub(in crate::redb) fn next(&mut self, row: &ChangeRow) -> Result<(), &'static str> {
        (self.events, self.accepted) = (self.events + 1, None);
        if (row.kind == CHANGE_CREATED) != (self.events == 1) {
            return Err("a creation tells of itself first, and once");
        }
        if (row.kind == CHANGE_TURN) != (row.state != 0) {
            return Err("it tells of a state that is none of its kind's");
        }
        if self.archived != (row.kind == CHANGE_RESTORED) {
            return Err("while a session is archived nothing happens but that it is restored");
        }
        match (row.kind, row.id, row.number) {
            (CHANGE_CREATED | CHANGE_UPDATED, None, 0) => {}
            (CHANGE_ARCHIVED, None, 0) => self.archived = true,
            (CHANGE_RESTORED, None, 0) => self.archived = false,
            (CHANGE_MARK, None, mark) if mark <= self.messages.saturating_add(1) => self.mark = mark,
            (CHANGE_MESSAGE, Some(_), message) if message == self.messages.saturating_add(1) => self.messages = message,
            (CHANGE_DELETED, Some(_), message) if (1..=self.messages).contains(&message) => {
                if !self.deleted.insert(message) {
                    return Err("its message was deleted before");
                }
            }
            (CHANGE_PURGED, Some(_), message) if self.deleted.contains(&message) => {
                if !self.purged.insert(message) {
                    return Err("its message was erased before");
                }
            }
            (CHANGE_TURN, Some(_), turn) => {
                return self.turn(turn, state_of(row.state).map_err(|_| "it tells of an unknown state")?);
            }
            _ => return Err("it tells of what was not there then"),
        }
        Ok(())
    }

    /// A turn is in a state from now on.
    fn turn(&mut self, turn: u32, state: TurnState) -> Result<(), &'static str> {
        let is_new = turn == self.turns.saturating_add(1);
        if is_new {
            (self.turns, self.accepted) = (turn, Some(turn));
        }
        match state {
            TurnState::Queued if is_new => {
                self.queued.insert(turn);
            }
            TurnState::Running if self.running == turn => {
                self.again += 1;
                self.epoch += 1;
            }
            TurnState::Running if self.running == 0 && (self.queued.remove(&turn) || is_new) => {
                self.running = turn;
                self.epoch += 1;
            }
            TurnState::Queued | TurnState::Running => return Err("its turn cannot have come to this state"),
            _ => {
                if self.running == turn && turn != 0 {
                    self.running = 0;
                } else if !self.queued.remove(&turn) {
                    return Err("its turn neither ran nor waited");
                }
                self.failed = state == TurnState::Failed;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redb::codec::state_byte;

    fn told(events: &[ChangeRow]) -> Result<Feed, &'static str> {
        let mut feed = Feed::default();
        events.iter().try_for_each(|row| feed.next(row)).map(|()| feed)
    }

    fn plain(kind: u8) -> ChangeRow {
        ChangeRow { kind, number: 0, id: None, state: 0 }
    }

    fn of(kind: u8, number: u32) -> ChangeRow {
        ChangeRow { number, id: Some([1; 16]), ..plain(kind) }
    }

    fn turn(number: u32, state: TurnState) -> ChangeRow {
        ChangeRow { state: state_byte(state), ..of(CHANGE_TURN, number) }
    }

    #[test]
    fn a_whole_life_is_taken_in() {
        let feed = told(&[
            plain(CHANGE_CREATED),
            of(CHANGE_MESSAGE, 1),
            turn(1, TurnState::Running),
            of(CHANGE_MESSAGE, 2),
            turn(2, TurnState::Queued),
            turn(1, TurnState::Running),
            turn(1, TurnState::Completed),
            turn(2, TurnState::Running),
            ChangeRow { number: 3, ..plain(CHANGE_MARK) },
            turn(2, TurnState::Failed),
            of(CHANGE_DELETED, 2),
            of(CHANGE_PURGED, 2),
            plain(CHANGE_ARCHIVED),
            plain(CHANGE_RESTORED),
        ]);
        let feed = feed.expect("nothing is wrong");
        assert_eq!((feed.events, feed.messages, feed.turns, feed.epoch, feed.again), (14, 2, 2, 3, 1));
        assert_eq!((feed.failed, feed.archived, feed.mark, feed.running), (true, false, 3, 0));
        assert_eq!((feed.deleted, feed.purged), (BTreeSet::from([2]), BTreeSet::from([2])));
    }

    #[test]
    fn what_cannot_have_happened_is_refused() {
        let created = plain(CHANGE_CREATED);
        let (first, second) = (of(CHANGE_MESSAGE, 1), of(CHANGE_MESSAGE, 2));
        let runs = |number| turn(number, TurnState::Running);
        let waits = |number| turn(number, TurnState::Queued);
        let ends = |number| turn(number, TurnState::Completed);
        let wrong: [&[ChangeRow]; 16] = [
            &[first],
            &[created, created],
            &[created, second],
            &[created, of(CHANGE_DELETED, 1)],
            &[created, first, of(CHANGE_DELETED, 1), of(CHANGE_DELETED, 1)],
            &[created, first, of(CHANGE_PURGED, 1)],
            &[created, first, of(CHANGE_DELETED, 1), of(CHANGE_PURGED, 1), of(CHANGE_PURGED, 1)],
            &[created, ChangeRow { state: 1, ..first }],
            &[created, plain(CHANGE_RESTORED)],
            &[created, plain(CHANGE_ARCHIVED), first],
            &[created, runs(2)],
            &[created, runs(1), runs(2)],
            &[created, runs(1), waits(1)],
            &[created, ends(1)],
            &[created, runs(1), ends(1), ends(1)],
            &[created, waits(1), runs(1), ends(1), runs(1)],
        ];
        for events in wrong {
            assert!(told(events).is_err(), "{events:?}");
            let (last, before) = events.split_last().expect("there are events");
            assert!(told(before).is_ok(), "it is the last one that is wrong: {last:?}");
        }
    }
}
