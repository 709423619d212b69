//! What a session has, message by message and field by field, against what its file has.

use std::collections::HashSet;
use std::fmt::{self, Debug};

use parlor::page::{Direction, MessageQuery};
use parlor::{Json, Message, Session, SessionStatus, Ts, Turn, TurnState, limit};

use crate::data::{Conversation, Cue, Exchange, Failure, Recorded, Step};
use crate::feed::Feed;

/// The first thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The conversation.
    pub session: String,
    /// The message, where it is about one.
    pub seq: Option<usize>,
    /// The field, or what else was compared.
    pub field: String,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {:?}, ", self.session)?;
        if let Some(seq) = self.seq {
            write!(f, "seq {seq}, ")?;
        }
        write!(f, "{}: expected {}, found {}", self.field, self.expected, self.found)
    }
}

impl std::error::Error for Difference {}

/// Where a comparison is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The conversation.
    pub session: &'a str,
    /// The message, where it is about one.
    pub seq: Option<usize>,
}

impl Place<'_> {
    /// A difference, unless the two are equal.
    pub fn same<T: PartialEq + Debug>(&self, field: &str, expected: &T, found: &T) -> Result<(), Difference> {
        if expected == found {
            return Ok(());
        }
        let shown = |value: &T| format!("{value:?}").chars().take(300).collect::<String>();
        Err(self.difference(field, shown(expected), shown(found)))
    }

    /// A difference at this place.
    pub fn difference(&self, field: &str, expected: String, found: String) -> Difference {
        let (session, field) = (self.session.to_owned(), field.to_owned());
        Difference { session, seq: self.seq, field, expected, found }
    }
}

/// All messages of a session, oldest first.
pub fn stored(session: &Session) -> parlor::Result<Vec<Message>> {
    let all = MessageQuery::all().direction(Direction::Asc).limit(limit::PAGE_LIMIT_MAX);
    session.messages(all).iter().collect()
}

/// All turns of a session, oldest first.
pub fn turns(session: &Session) -> parlor::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for page in 1.. {
        let page = session.turns((page, limit::PAGE_LIMIT_MAX))?;
        if page.items.is_empty() {
            break;
        }
        turns.extend(page.items);
    }
    turns.reverse();
    Ok(turns)
}

/// Compares what every message says with the beginning of its file.
pub fn prefix(conversation: &Conversation, stored: &[Message]) -> Result<(), Difference> {
    for (seq, message) in stored.iter().enumerate() {
        let place = Place { session: &conversation.session, seq: Some(seq) };
        match conversation.messages.get(seq) {
            Some(recorded) => fields(&place, recorded, message)?,
            None => return Err(place.difference("message", "none".into(), format!("{:?}", message.text()))),
        }
    }
    Ok(())
}

/// Compares a whole session with its file, and answers with its messages.
///
/// # Errors
///
/// The first [`Difference`], or an error of a read.
pub fn session(session: &Session, conversation: &Conversation) -> Result<Vec<Message>, Failure> {
    let stored = stored(session)?;
    prefix(conversation, &stored)?;
    let end = Place { session: &conversation.session, seq: Some(stored.len()) };
    let missing = conversation.messages.get(stored.len()).map(|recorded| recorded.content.as_deref());
    if let Some(content) = missing {
        return Err(end.difference("message", format!("{content:?}"), "none".into()).into());
    }
    clock(conversation, &stored)?;
    exchanges(session, conversation, &stored)?;
    history(session, conversation, &stored)?;
    Ok(stored)
}

fn fields(place: &Place<'_>, recorded: &Recorded, message: &Message) -> Result<(), Difference> {
    place.same("role", &recorded.role, &message.role)?;
    place.same("type", &recorded.kind, &message.kind)?;
    place.same("content", &recorded.content(), &message.content)?;
    place.same("tool_calls", &recorded.calls(), &message.tool_calls)?;
    place.same("tool_call_id", &recorded.tool_call_id, &message.tool_call_id)?;
    place.same("name", &recorded.name, &message.name)?;
    place.same("images", &0, &message.images.len())?;
    place.same("artifact_ids", &0, &message.artifact_ids.len())?;
    place.same("metadata", &None, &message.metadata)?;
    place.same("synthetic", &false, &message.synthetic)
}

/// The rule of `ts` and `created_at`: the first rises strictly and is exactly the caller's where
/// that is greater than the last, else the last + 1 µs; without a caller's it is the wall clock's
/// in place of the caller's. The second never falls. Copies have those of what they are copied from.
fn clock(conversation: &Conversation, stored: &[Message]) -> Result<(), Difference> {
    let (mut last_ts, mut last_created, mut last_number) = (0, 0, 0);
    for (seq, (recorded, message)) in conversation.messages.iter().zip(stored).enumerate() {
        let place = Place { session: &conversation.session, seq: Some(seq) };
        let (ts, created) = (message.ts.as_micros(), message.created_at.as_micros());
        let within = |field: &str, least: u64, most: u64, found: u64| {
            let range = format!("{least} to {most} µs");
            let held = (least..=most).contains(&found);
            if held { Ok(()) } else { Err(place.difference(field, range, format!("{found} µs"))) }
        };
        within("created_at", last_created, u64::MAX, created)?;
        // The messages between the two, if any, were soft-deleted, and their clock is not known.
        let next = message.number == last_number + 1;
        let bound = recorded.ts.map(Ts::as_micros);
        let (least, most) = match bound {
            _ if seq < conversation.copied => (last_ts + 1, u64::MAX),
            Some(bound) if next => (bound.max(last_ts + 1), bound.max(last_ts + 1)),
            Some(bound) => (bound.max(last_ts + 1), u64::MAX),
            None if next && created > last_created => (created.max(last_ts + 1), created.max(last_ts + 1)),
            None if next => (last_ts + 1, created.max(last_ts + 1)),
            None => (last_ts + 1, u64::MAX),
        };
        within("ts", least, most, ts)?;
        (last_ts, last_created, last_number) = (ts, created, message.number);
    }
    Ok(())
}

/// Every user message has one completed turn of its own, with all that stands up to its end and
/// nothing else; what was appended has none, and what was copied stands in no turn.
fn exchanges(session: &Session, conversation: &Conversation, stored: &[Message]) -> Result<(), Failure> {
    let name = &conversation.session;
    let whole = Place { session: name, seq: None };
    let (completed, dead): (Vec<_>, Vec<_>) =
        turns(session)?.into_iter().partition(|turn| turn.state == TurnState::Completed);
    if let Some(turn) = dead.iter().find(|turn| !turn.state.is_terminal()) {
        return Err(whole.difference("turn", "a terminal state".into(), format!("{turn:?}")).into());
    }
    let mut completed = completed.iter();
    let mut threads = HashSet::new();
    for step in conversation.steps() {
        let start = Place { session: name, seq: Some(step.range().start) };
        let turn = match &step {
            Step::Copied(_) | Step::Append(_) => None,
            Step::Turn(exchange) => {
                let next = completed.next();
                let turn = next.ok_or_else(|| start.difference("turn", "completed".into(), "none".into()))?;
                start.same("thread of its own", &true, &threads.insert(turn.thread_id))?;
                ended(&start, exchange, turn, stored)?;
                Some(turn)
            }
        };
        for seq in step.range() {
            let place = Place { session: name, seq: Some(seq) };
            place.same("turn_id", &turn.map(|turn| turn.id), &stored[seq].turn_id)?;
            if seq >= conversation.copied {
                place.same("thread_id", &turn.map(|turn| turn.thread_id), &stored[seq].thread_id)?;
            }
        }
    }
    Ok(whole.same("turn too many", &None, &completed.next())?)
}

/// The record of a turn that played this part.
fn ended(place: &Place<'_>, exchange: &Exchange, turn: &Turn, stored: &[Message]) -> Result<(), Failure> {
    let cue = Cue { session: place.session.to_owned(), seq: exchange.range.start };
    place.same("turn.message_id", &stored[exchange.range.start].id, &turn.message_id)?;
    place.same("turn.final_message", &exchange.reply.map(|at| stored[at].id), &turn.final_message)?;
    place.same("turn.messages", &(exchange.range.len() - 1), &(turn.messages as usize))?;
    place.same("turn.user_params", &Some(Json::of(&cue)?), &turn.user_params)?;
    place.same("turn.reason", &None, &turn.reason)?;
    place.same("turn.ended_at", &true, &turn.ended_at.is_some_and(|end| end >= turn.created_at))?;
    Ok(())
}

/// The session's record and change feed: dense numbers, every message once, nothing running.
fn history(session: &Session, conversation: &Conversation, stored: &[Message]) -> Result<(), Failure> {
    let place = Place { session: &conversation.session, seq: None };
    let record = session.get()?;
    let feed = Feed::read(session).map_err(|why| format!("session {:?}: {why}", conversation.session))?;
    let numbers: Vec<_> = stored.iter().map(|message| (message.number, message.id)).collect();
    place.same("numbers", &feed.visible().collect(), &numbers)?;
    place.same("messages of dead turns, all deleted", &feed.dead, &feed.deleted)?;
    let key = if conversation.copied == 0 { conversation.session.clone() } else { session.id().to_string() };
    place.same("key", &key, &record.key)?;
    place.same("status", &SessionStatus::Idle, &record.status)?;
    place.same("running_turn", &None, &record.running_turn)?;
    place.same("turn left running", &None, &feed.running)?;
    place.same("last_message", &feed.written.len(), &(record.last_message as usize))?;
    place.same("last_change", &feed.last, &record.last_change)?;
    Ok(())
}
