//! The history of a session as a model takes it: [`TranscriptMessage`]s that are always valid for the next call.
//!
//! A transcript is what [`Session::transcript`](crate::Session::transcript) and
//! [`TurnContext::transcript`](crate::TurnContext::transcript) answer. It is made of the session's messages from its
//! [`ContextMark`] on by these rules, none of which writes anything:
//!
//! * **It begins with the summary** of the context mark, as a `system` message, where there is a mark and its summary is not
//!   empty; then come the messages from the marked one on, in the order of their numbers, the soft-deleted ones left out.
//! * **A turn's messages stand together.** The message of a turn that waited stands where its turn began, not where it was
//!   sent: right before the first message that its turn wrote, and last while it has written none. So a model sees each
//!   question before its answer. The message of a turn that still waits is left out; that of one that ended without having
//!   written anything stays where it was sent.
//! * **A mark does not part a question from its answer.** Where all that a turn wrote stands behind the mark, the message that
//!   started it stands there too, although its number is before; an agent that sets a mark amid its turn parts what it wrote.
//! * **Calls and results are pairs.** Only an `assistant` message calls tools, and right behind it stand the results of its calls, one for each, in the order of the
//!   calls. A result answers the latest message before it that has a call of its id without a result yet.
//! * **A result that is missing is supplied:** its content is [`NO_RESULT`]. Nothing is stored.
//! * **A result that answers nothing is left out**, and so are calls of any other role's, and messages that say nothing:
//!   without content or with an empty text, and without images and calls. The content of a result may be empty.

mod read;

pub use read::read;

use std::collections::{HashMap, VecDeque};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::id::{MessageId, TurnId};
use crate::record::{CallJson, Content, ContextMark, Image, Message, Role, ToolCall, Turn, TurnState};

/// The content of a result that is supplied, because there is none.
pub const NO_RESULT: &str = "interrupted: no result";

/// A message of a transcript, in the shape that model APIs take.
///
/// Serialized it has `role`, `content` (a string, the blocks as they were given, or null), and where there are any
/// `tool_calls` (`id`, `type`, `function` with `name` and `arguments`), `tool_call_id` and `name`. Images have no form that all
/// APIs share: they are not serialized.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TranscriptMessage {
    /// Who speaks.
    pub role: Role,
    /// What it says, if anything.
    pub content: Option<Content>,
    /// The tool calls it asks for: an assistant's alone.
    pub tool_calls: Vec<ToolCall>,
    /// On a tool's result: the call it answers.
    pub tool_call_id: Option<String>,
    /// On a tool's result: the tool; else the speaker's name, if any.
    pub name: Option<String>,
    /// The images that came with it.
    pub images: Vec<Image>,
    /// The message of the session that it is; none for the summary, and for a result that was supplied.
    pub message: Option<MessageId>,
}

impl TranscriptMessage {
    fn of(message: &Message, tool_calls: Vec<ToolCall>) -> Self {
        TranscriptMessage {
            role: message.role,
            content: message.content.clone(),
            tool_calls,
            tool_call_id: None,
            name: message.name.clone(),
            images: message.images.clone(),
            message: Some(message.id),
        }
    }

    fn summary(mark: &ContextMark) -> Self {
        TranscriptMessage {
            role: Role::System,
            content: Some(Content::Text(mark.summary.clone())),
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
            images: Vec::new(),
            message: None,
        }
    }

    /// The result of a call, where there is one.
    fn result(call: &ToolCall, found: Option<&Message>) -> Self {
        let content =
            found.map_or_else(|| NO_RESULT.into(), |found| found.content.clone().unwrap_or_else(|| "".into()));
        TranscriptMessage {
            role: Role::Tool,
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: Some(call.id.clone()),
            name: found.and_then(|found| found.name.clone()).or_else(|| Some(call.name.clone())),
            images: found.map(|found| found.images.clone()).unwrap_or_default(),
            message: found.map(|found| found.id),
        }
    }

    /// The text of the content, or nothing: see [`Content::text`].
    pub fn text(&self) -> String {
        self.content.as_ref().map(Content::text).unwrap_or_default()
    }
}

impl Serialize for TranscriptMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let calls: Vec<_> = self.tool_calls.iter().map(CallJson::from).collect();
        let has = [!calls.is_empty(), self.tool_call_id.is_some(), self.name.is_some()];
        let mut out = serializer.serialize_struct("TranscriptMessage", 2 + has.iter().filter(|has| **has).count())?;
        out.serialize_field("role", &self.role)?;
        out.serialize_field("content", &self.content)?;
        if !calls.is_empty() {
            out.serialize_field("tool_calls", &calls)?;
        }
        if let Some(id) = &self.tool_call_id {
            out.serialize_field("tool_call_id", id)?;
        }
        if let Some(name) = &self.name {
            out.serialize_field("name", name)?;
        }
        out.end()
    }
}

/// The transcript of these messages, which rise by number, and of what is known of the turns that may be out of place.
fn of(mark: Option<&ContextMark>, messages: Vec<Message>, turns: &HashMap<TurnId, Turn>) -> Vec<TranscriptMessage> {
    let placed = in_place(messages, turns);
    let mut pairs = paired(&placed);
    let summary = mark.filter(|mark| !mark.summary.is_empty()).map(TranscriptMessage::summary);
    let mut transcript: Vec<_> = summary.into_iter().collect();
    for (place, message) in placed.iter().enumerate().filter(|(_, message)| message.role != Role::Tool) {
        let calls = if message.role == Role::Assistant { message.tool_calls.as_slice() } else { &[] };
        let is_silent = message.content.as_ref().is_none_or(|content| *content == Content::Text(String::new()));
        if is_silent && message.images.is_empty() && calls.is_empty() {
            continue;
        }
        transcript.push(TranscriptMessage::of(message, calls.to_vec()));
        for (nth, call) in calls.iter().enumerate() {
            let found = pairs.remove(&(place, nth)).and_then(|result| placed.get(result));
            transcript.push(TranscriptMessage::result(call, found));
        }
    }
    transcript
}

/// The messages in the order in which their turns ran, without those that still wait.
fn in_place(messages: Vec<Message>, turns: &HashMap<TurnId, Turn>) -> Vec<Message> {
    let known = |message: &Message| message.turn_id.and_then(|id| turns.get(&id));
    let is_input = |message: &Message| known(message).is_some_and(|turn| turn.message_id == message.id);
    let wrote: HashMap<TurnId, MessageId> =
        messages.iter().rev().filter(|message| !is_input(message)).fold(HashMap::new(), |mut first, message| {
            first.extend(message.turn_id.map(|turn| (turn, message.id)));
            first
        });
    let mut moved: HashMap<TurnId, Message> = HashMap::new();
    let (mut placed, mut last) = (Vec::with_capacity(messages.len()), None);
    for message in messages {
        let turn = known(&message).filter(|turn| turn.message_id == message.id);
        match turn.map(|turn| (turn.id, turn.state)) {
            Some((_, TurnState::Queued)) => {}
            Some((id, _)) if wrote.contains_key(&id) => drop(moved.insert(id, message)),
            Some((_, TurnState::Running)) => last = Some(message),
            _ => {
                placed.extend(message.turn_id.and_then(|id| moved.remove(&id)));
                placed.push(message);
            }
        }
    }
    placed.extend(last);
    placed
}

/// Which call, by its message's place and its own among that message's, is answered by which result.
fn paired(placed: &[Message]) -> HashMap<(usize, usize), usize> {
    let mut open: HashMap<&str, Vec<(usize, VecDeque<usize>)>> = HashMap::new();
    let mut pairs = HashMap::new();
    for (place, message) in placed.iter().enumerate() {
        if message.role == Role::Assistant {
            for (nth, call) in message.tool_calls.iter().enumerate() {
                let of_id = open.entry(&call.id).or_default();
                match of_id.last_mut().filter(|(latest, _)| *latest == place) {
                    Some((_, calls)) => calls.push_back(nth),
                    None => of_id.push((place, VecDeque::from([nth]))),
                }
            }
        }
        let answered = message.tool_call_id.as_deref().filter(|_| message.role == Role::Tool);
        let Some(of_id) = answered.and_then(|id| open.get_mut(id)) else { continue };
        if let Some((asked, calls)) = of_id.last_mut() {
            if let Some(nth) = calls.pop_front() {
                pairs.insert((*asked, nth), place);
            }
            if calls.is_empty() {
                of_id.pop();
            }
        }
    }
    pairs
}
