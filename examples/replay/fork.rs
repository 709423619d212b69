//! A session that is forked at the middle of its conversation, and its fork.

use std::collections::{HashMap, HashSet};

use parlor::id::SessionId;
use parlor::record::ForkedFrom;
use parlor::{Change, Message, NewSession, Session, SessionRecord, TranscriptMessage, Turn, limit};
use uuid::Uuid;

use crate::compare::{self, Difference, Place};
use crate::data::{Conversation, Failure};

/// The id of a session's fork: a run that goes on finds by it what an earlier one made.
pub fn id(source: SessionId) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(source.as_uuid().as_u128() ^ (1 << 40)))
}

/// Forks a session at the last message that is to be copied, or finds the fork that was made before.
///
/// # Errors
///
/// The library's, and a [`Difference`] when there is no such message.
pub fn make(source: &Session, forked: &Conversation) -> Result<Session, Failure> {
    let stored = compare::stored(source)?;
    let last = last(&stored, forked)?;
    Ok(source.fork(last.id, NewSession::default().id(id(source.id())))?)
}

/// The last message that is copied.
fn last<'m>(stored: &'m [Message], forked: &Conversation) -> Result<&'m Message, Difference> {
    let seq = forked.copied.saturating_sub(1);
    let place = Place { session: &forked.session, seq: Some(seq) };
    stored.get(seq).ok_or_else(|| place.difference("message to fork at", "one".into(), "none".into()))
}

/// All that can be read of a session: none of it may change by what becomes of its fork.
pub struct State {
    record: SessionRecord,
    messages: Vec<Message>,
    turns: Vec<Turn>,
    changes: Vec<Change>,
    transcript: Vec<TranscriptMessage>,
}

impl State {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The library's.
    pub fn of(session: &Session) -> parlor::Result<State> {
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let after = changes.last().map_or(0, |change| change.number);
            let more = session.changes(after, limit::CHANGES_LIMIT_MAX)?;
            if more.is_empty() {
                break;
            }
            changes.extend(more);
        }
        let (record, transcript) = (session.get()?, session.transcript()?);
        let (messages, turns) = (compare::stored(session)?, compare::turns(session)?);
        Ok(State { record, messages, turns, changes, transcript })
    }

    /// Compares it with what there is now.
    ///
    /// # Errors
    ///
    /// The first [`Difference`], or an error of a read.
    pub fn compare(&self, session: &Session, conversation: &Conversation) -> Result<(), Failure> {
        let now = State::of(session)?;
        let place = Place { session: &conversation.session, seq: None };
        place.same("record, after it was forked", &self.record, &now.record)?;
        place.same("messages, after it was forked", &self.messages, &now.messages)?;
        place.same("turns, after it was forked", &self.turns, &now.turns)?;
        place.same("changes, after it was forked", &self.changes, &now.changes)?;
        place.same("transcript, after it was forked", &self.transcript, &now.transcript)?;
        Ok(())
    }
}

/// Compares what a fork has of its source with what stands there: the same but for ids, turns and numbers, in threads of
/// its own that part the messages as those of the source do.
///
/// # Errors
///
/// The first [`Difference`], or an error of a read.
pub fn copies(
    (source, originals): (&Session, &[Message]),
    (fork, stored): (&Session, &[Message]),
    forked: &Conversation,
) -> Result<(), Failure> {
    let whole = Place { session: &forked.session, seq: None };
    let last = last(originals, forked)?;
    let from = ForkedFrom { session: source.id(), message: last.id, number: last.number };
    whole.same("forked_from", &Some(from), &fork.get()?.forked_from)?;
    whole.same("forked_from of the source", &None, &source.get()?.forked_from)?;

    let taken: HashSet<_> = originals.iter().map(|message| message.id).collect();
    let mut threads = HashMap::new();
    for (seq, (original, copy)) in originals.iter().zip(stored).take(forked.copied).enumerate() {
        let place = Place { seq: Some(seq), ..whole };
        place.same("id of the copy, of its own", &false, &taken.contains(&copy.id))?;
        place.same(
            "original in the fork",
            &true,
            &fork.message(original.id).is_err_and(|error| error.is_not_found()),
        )?;
        let mut expected = original.clone();
        (expected.id, expected.session_id) = (copy.id, fork.id());
        (expected.turn_id, expected.number) = (None, seq as u32 + 1);
        if let (Some(old), Some(new)) = (original.thread_id, copy.thread_id) {
            expected.thread_id = Some(*threads.entry(old).or_insert(new));
        }
        place.same("copy", &expected, copy)?;
    }
    let new: HashSet<_> = threads.values().collect();
    whole.same("threads of the copies", &threads.len(), &new.len())?;
    let mut records = Vec::new();
    for (old, new) in &threads {
        whole.same("thread of the source in the fork", &true, &fork.thread(*old).is_err())?;
        records.push((source.thread(*old)?.record().clone(), fork.thread(*new)?.record().clone()));
    }
    records.sort_by_key(|(old, _)| old.number);
    for (number, (old, new)) in (1..).zip(&records) {
        let expected = (fork.id(), number, old.created_at);
        whole.same("thread of the copies", &expected, &(new.session_id, new.number, new.created_at))?;
    }
    Ok(())
}
