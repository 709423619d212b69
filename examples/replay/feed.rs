//! The change feed of a session, read whole and held to its law.

use std::collections::HashSet;
use std::error::Error;

use parlor::id::{MessageId, TurnId};
use parlor::{ChangeKind, Session, TurnState, limit};

/// What the change feed of a session tells.
#[derive(Debug, Default)]
pub struct Feed {
    /// Every message that was ever written, in the order of their numbers.
    pub written: Vec<MessageId>,
    /// Those that were soft-deleted.
    pub deleted: HashSet<MessageId>,
    /// Those of turns that did not complete, the messages that started them included.
    pub dead: HashSet<MessageId>,
    /// The turn that is running.
    pub running: Option<TurnId>,
    /// How often it was archived and restored.
    pub archived: [u32; 2],
    /// The number of the latest event.
    pub last: u64,
    /// What the running turn has so far; of no turn, the last message.
    exchange: Vec<MessageId>,
}

impl Feed {
    /// Reads the feed from its first event on.
    ///
    /// # Errors
    ///
    /// Numbers with a gap; a message deleted that was not there; a turn that began while another
    /// ran, or ended without having begun.
    pub fn read(session: &Session) -> Result<Feed, Box<dyn Error + Send + Sync>> {
        let mut feed = Feed::default();
        loop {
            let changes = session.changes(feed.last, limit::CHANGES_LIMIT_MAX)?;
            if changes.is_empty() {
                return Ok(feed);
            }
            for change in changes {
                if change.number != feed.last + 1 {
                    return Err(format!("change {} follows {}", change.number, feed.last).into());
                }
                feed.last = change.number;
                feed.take(&change.kind).map_err(|why| format!("change {}: {why}", change.number))?;
            }
        }
    }

    /// The messages that are not deleted, each with its number.
    pub fn visible(&self) -> impl Iterator<Item = (u32, MessageId)> {
        (1..).zip(self.written.iter().copied()).filter(|(_, id)| !self.deleted.contains(id))
    }

    fn take(&mut self, kind: &ChangeKind) -> Result<(), String> {
        match *kind {
            ChangeKind::Created if self.last == 1 => {}
            ChangeKind::Message(id) => {
                if self.running.is_none() {
                    // The one that starts a turn stands right before the turn's first state.
                    self.exchange.clear();
                }
                self.written.push(id);
                self.exchange.push(id);
            }
            ChangeKind::Deleted(id) => {
                if !self.written.contains(&id) || !self.deleted.insert(id) {
                    return Err(format!("message {id} is deleted and was not there"));
                }
            }
            ChangeKind::Turn(id, TurnState::Running) => {
                if let Some(running) = self.running.replace(id) {
                    return Err(format!("turn {id} began while {running} ran"));
                }
            }
            ChangeKind::Turn(id, state) if state.is_terminal() => {
                if self.running.take() != Some(id) {
                    return Err(format!("turn {id} became {state:?} and was not running"));
                }
                let exchange = std::mem::take(&mut self.exchange);
                if state != TurnState::Completed {
                    self.dead.extend(exchange);
                }
            }
            ChangeKind::Archived if self.running.is_none() => self.archived[0] += 1,
            ChangeKind::Restored if self.archived[0] == self.archived[1] + 1 => self.archived[1] += 1,
            other => return Err(format!("{other:?} is out of place")),
        }
        Ok(())
    }
}
