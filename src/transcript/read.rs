//! What a transcript is made of, read from a store in short reads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::TranscriptMessage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TurnId;
use crate::limit::{HISTORY_LIMIT_MAX, PAGE_LIMIT_MAX, TRANSCRIPT_BYTES, TRANSCRIPT_MESSAGES};
use crate::page::{Direction, Matching, PageAt};
use crate::record::{Content, ContextMark, Message, Turn, TurnState};
use crate::store::{SessionRef, Store};

/// The transcript of a session in a store, by the rules of the [module](super).
///
/// It is several short reads: what is written meanwhile may be in it or not.
///
/// # Errors
///
/// Those of [`Session::transcript`](crate::Session::transcript).
pub fn read(store: &dyn Store, at: SessionRef) -> Result<Vec<TranscriptMessage>> {
    let mark = store.context_mark(at)?;
    let mut messages = messages(store, at, mark.as_ref())?;
    let mut turns = waiting(store, at)?;
    let asked = if mark.is_some() { all(&messages) } else { out_of_place(&messages) };
    for id in asked {
        if let Entry::Vacant(unknown) = turns.entry(id) {
            unknown.insert(store.turn(at, id)?);
        }
    }
    if let Some(mark) = &mark {
        for message in passed(store, at, mark, &messages, &turns)? {
            let after = messages.iter().position(|other| other.number > message.number).unwrap_or(messages.len());
            messages.insert(after, message);
        }
    }
    Ok(super::of(mark.as_ref(), messages, &turns))
}

/// The messages from the mark on.
fn messages(store: &dyn Store, at: SessionRef, mark: Option<&ContextMark>) -> Result<Vec<Message>> {
    let mut bytes = mark.map_or(0, |mark| mark.summary.len());
    let mut past = mark.map(|mark| mark.message.saturating_sub(1)).filter(|past| *past > 0);
    let mut all: Vec<Message> = Vec::new();
    loop {
        let matching = Matching { past, direction: Direction::Asc, ..Matching::history(HISTORY_LIMIT_MAX)? };
        let mut found = store.messages(at, matching)?;
        if let Some(damaged) = found.damaged.pop() {
            // A transcript with a hole would not tell of it.
            return Err(Error::corrupt(damaged.error));
        }
        let Some(last) = found.items.last() else { return Ok(all) };
        past = Some(last.number);
        bytes += found.items.iter().map(size).sum::<usize>();
        all.append(&mut found.items);
        let bounds = [
            ("messages", all.len(), TRANSCRIPT_MESSAGES, "TRANSCRIPT_MESSAGES"),
            ("bytes", bytes, TRANSCRIPT_BYTES, "TRANSCRIPT_BYTES"),
        ];
        if let Some((what, due, most, name)) = bounds.into_iter().find(|(_, due, most, _)| due > most) {
            let text = format!("transcript has {due} {what} or more; it may have at most {most} ({name})");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
    }
}

/// Bytes of what a transcript takes of a message.
fn size(message: &Message) -> usize {
    let content = match &message.content {
        None => 0,
        Some(Content::Text(text)) => text.len(),
        Some(Content::Blocks(json)) => json.as_str().len(),
    };
    let calls = message.tool_calls.iter().map(|c| c.id.len() + c.kind.len() + c.name.len() + c.arguments.len());
    content + calls.sum::<usize>() + message.images.iter().map(|image| image.data.len()).sum::<usize>()
}

/// The running turn and those that wait, which are the newest of the session or close to them.
fn waiting(store: &dyn Store, at: SessionRef) -> Result<HashMap<TurnId, Turn>> {
    let session = store.session(at)?;
    let mut found = HashMap::new();
    let mut left = session.queued_turns as usize + usize::from(session.running_turn.is_some());
    let mut page = 1;
    while left > 0 {
        let listed = store.turns(at, PageAt { page, limit: PAGE_LIMIT_MAX })?;
        if let Some(damaged) = listed.damaged.first() {
            return Err(Error::corrupt(damaged.error.clone()));
        }
        if listed.items.is_empty() {
            break;
        }
        let open =
            listed.items.into_iter().filter(|turn| [TurnState::Queued, TurnState::Running].contains(&turn.state));
        for turn in open {
            left = left.saturating_sub(1);
            found.insert(turn.id, turn);
        }
        page += 1;
    }
    Ok(found)
}

fn all(messages: &[Message]) -> Vec<TurnId> {
    let mut all: Vec<_> = messages.iter().filter_map(|message| message.turn_id).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The turns whose message may have waited: what follows it is another turn's. One that never waited is asked about too
/// where it wrote nothing, or where others were sent while it ran.
fn out_of_place(messages: &[Message]) -> Vec<TurnId> {
    let mut seen: HashMap<TurnId, ()> = HashMap::new();
    let mut asked = Vec::new();
    for (message, next) in messages.iter().zip(messages.iter().skip(1)) {
        let Some(turn) = message.turn_id else { continue };
        if seen.insert(turn, ()).is_none() && next.turn_id != Some(turn) {
            asked.push(turn);
        }
    }
    asked
}

/// Messages before the mark whose turns have written behind it alone.
fn passed(
    store: &dyn Store,
    at: SessionRef,
    mark: &ContextMark,
    messages: &[Message],
    turns: &HashMap<TurnId, Turn>,
) -> Result<Vec<Message>> {
    let mut passed = Vec::new();
    for turn in turns.values().filter(|turn| turn.state != TurnState::Queued) {
        let of_turn = || messages.iter().filter(|message| message.turn_id == Some(turn.id));
        let has_input = of_turn().any(|message| message.id == turn.message_id);
        if has_input || of_turn().count() < turn.messages as usize {
            continue;
        }
        match store.message(at, turn.message_id) {
            Ok(message) if message.number < mark.message => passed.push(message),
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    passed.sort_by_key(|message| message.number);
    Ok(passed)
}
