//! What agents are just saying: the text that each has streamed since its turn last wrote. In memory alone, one text a
//! session, bounded; followers keep how far they have read it, so a slow one costs nothing.
//!
//! A text is replaced by the message it became. So that nobody is told a piece of it after that message, it is held
//! while the message is written: a follower is told nothing of it then, and looks again when that is done.

use crate::id::TurnId;
use crate::limit::DELTA_BYTES;
use crate::store::{Claim, SessionRef};
use crate::sync::{HashMap, Mutex};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Texts(Mutex<All>);

#[derive(Default)]
struct All {
    /// The number of the latest text.
    last: u64,
    texts: HashMap<SessionRef, Text>,
}

/// What an agent has streamed since its turn last wrote.
struct Text {
    number: u64,
    claim: Claim,
    /// The session's latest event when it began: what a follower is told before.
    after: u64,
    /// Bytes of its beginning that are kept no more.
    gone: u64,
    kept: String,
    /// Whether it is just becoming a message.
    held: bool,
}

/// What became of a piece.
pub(crate) enum Added {
    /// It was added.
    Yes,
    /// It begins a text: [`Texts::begin`] needs to know where.
    First,
    /// A later turn has the session.
    Late,
}

/// How far a follower has read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    number: u64,
    read: u64,
}

/// What a follower had not read of a text.
pub(crate) struct Piece {
    pub(crate) turn: TurnId,
    /// Bytes of the text before it.
    pub(crate) offset: u64,
    /// How many of them the follower was not told.
    pub(crate) missed: u64,
    pub(crate) text: String,
}

impl Texts {
    /// Adds a piece to the text of a turn, if it has begun one.
    pub(crate) fn add(&self, at: SessionRef, claim: &Claim, piece: &str) -> Added {
        match self.0.lock().texts.get_mut(&at) {
            Some(text) if text.claim == *claim => {
                text.push(piece);
                Added::Yes
            }
            Some(text) if text.claim.epoch > claim.epoch => Added::Late,
            _ => Added::First,
        }
    }

    /// Begins the text of a turn after this event of the session.
    pub(crate) fn begin(&self, at: SessionRef, claim: Claim, after: u64, piece: &str) -> Added {
        let all = &mut *self.0.lock();
        match all.texts.get_mut(&at) {
            Some(text) if text.claim.epoch > claim.epoch => return Added::Late,
            // Another thread of the agent's was faster.
            Some(text) if text.claim == claim => text.push(piece),
            _ => {
                all.last += 1;
                let mut text = Text { number: all.last, claim, after, gone: 0, kept: String::new(), held: false };
                text.push(piece);
                all.texts.insert(at, text);
            }
        }
        Added::Yes
    }

    /// Holds the text of a turn that is about to write. False where there is none.
    pub(crate) fn hold(&self, at: SessionRef, claim: &Claim) -> bool {
        let mut all = self.0.lock();
        let text = all.texts.get_mut(&at).filter(|text| text.claim == *claim);
        text.map(|text| text.held = true).is_some()
    }

    /// The turn could not write: its text goes on.
    pub(crate) fn release(&self, at: SessionRef, claim: &Claim) {
        if let Some(text) = self.0.lock().texts.get_mut(&at).filter(|text| text.claim == *claim) {
            text.held = false;
        }
    }

    /// The turn has written, or is over: its text became what it wrote.
    pub(crate) fn end(&self, at: SessionRef, claim: &Claim) {
        let mut all = self.0.lock();
        if all.texts.get(&at).is_some_and(|text| text.claim == *claim) {
            all.texts.remove(&at);
        }
    }

    /// What a follower who has been told the events up to `reached` has not read of the session's text, unless it is of
    /// a turn whose end it was told.
    pub(crate) fn read(&self, at: SessionRef, reached: u64, ended: Option<TurnId>, place: &mut Place) -> Option<Piece> {
        let all = self.0.lock();
        let text = all.texts.get(&at)?;
        if text.held || text.after > reached || Some(text.claim.turn) == ended {
            return None;
        }
        let read = if place.number == text.number { place.read } else { 0 };
        let offset = read.max(text.gone);
        let from = usize::try_from(offset - text.gone).unwrap_or(usize::MAX);
        let piece = text.kept.get(from..).filter(|piece| !piece.is_empty())?.to_owned();
        *place = Place { number: text.number, read: offset + piece.len() as u64 };
        Some(Piece { turn: text.claim.turn, offset, missed: offset - read, text: piece })
    }

    /// How many agents are streaming.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().texts.len()
    }
}

impl Text {
    fn push(&mut self, piece: &str) {
        self.kept.push_str(piece);
        if self.kept.len() <= DELTA_BYTES {
            return;
        }
        // Down to half of the bound, so that this is seldom.
        let mut cut = self.kept.len() - DELTA_BYTES / 2;
        while !self.kept.is_char_boundary(cut) {
            cut += 1;
        }
        self.kept.drain(..cut);
        self.gone += cut as u64;
    }
}
