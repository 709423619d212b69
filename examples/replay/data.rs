//! Recorded conversations: one JSON object a line, sessions whole and one after the other.
//!
//! A line has the nine keys of [`Recorded`]. What a line says is data and is kept as it stands:
//! null and `""` are different contents, `arguments` is text, a `ts` may be missing or go back.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;

use parlor::{Content, MessageType, NewMessage, NewSession, Role, ToolCall, Ts, limit};
use serde::{Deserialize, Deserializer, Serialize};

/// What stops a replay: an error of the library, of a file, or a difference.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Most messages of one append.
const BATCH_MESSAGES: usize = 50;
/// Bytes after which an append takes no further message.
const BATCH_BYTES: usize = 1 << 20;

const _: () = assert!(BATCH_MESSAGES <= limit::BATCH_MESSAGES);

/// One conversation, in the order of its file.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Its name, which becomes the key of the session.
    pub session: String,
    /// Its messages; the place of each is its `seq`.
    pub messages: Vec<Recorded>,
    /// How many of them a fork has from the session that it was made of; none where it is no fork.
    pub copied: usize,
}

/// One line of a file. Every key must be there; the last five and `content` may be null.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The conversation it belongs to.
    pub session: String,
    /// Its place there, from 0 without gaps.
    pub seq: u64,
    /// Who speaks.
    pub role: Role,
    /// What it is in its turn.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// What it says.
    #[serde(deserialize_with = "present")]
    pub content: Option<String>,
    /// The tool calls it asks for; null where there are none, never an empty list.
    #[serde(deserialize_with = "present")]
    pub tool_calls: Option<Vec<Call>>,
    /// The call it answers.
    #[serde(deserialize_with = "present")]
    pub tool_call_id: Option<String>,
    /// The tool that answers.
    #[serde(deserialize_with = "present")]
    pub name: Option<String>,
    /// When it was said, in epoch seconds.
    #[serde(deserialize_with = "present")]
    pub ts: Option<Ts>,
}

/// A tool call, as model APIs write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Its id.
    pub id: String,
    /// Always `function` so far.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is called.
    pub function: Function,
}

/// The function of a tool call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The JSON text that the model wrote, which need not be JSON.
    pub arguments: String,
}

/// Reads a value that may be null but not missing: `Option` alone would take a missing key for null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(value)
}

impl Recorded {
    /// Its content as the library keeps it.
    pub fn content(&self) -> Option<Content> {
        self.content.clone().map(Content::Text)
    }

    /// Its tool calls as the library keeps them.
    pub fn calls(&self) -> Vec<ToolCall> {
        let calls = self.tool_calls.iter().flatten();
        calls
            .map(|call| ToolCall {
                id: call.id.clone(),
                kind: call.kind.clone(),
                name: call.function.name.clone(),
                arguments: call.function.arguments.clone(),
            })
            .collect()
    }

    /// The input that writes it.
    pub fn to_new(&self) -> NewMessage {
        let mut new = NewMessage::default().role(self.role).kind(self.kind).tool_calls(self.calls());
        new.content = self.content();
        new.tool_call_id = self.tool_call_id.clone();
        new.name = self.name.clone();
        new.ts = self.ts;
        new
    }
}

/// Where a turn's script begins: what a send hands to the agent, so that it finds its part in
/// the files, after a restart too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cue {
    /// The conversation.
    pub session: String,
    /// The `seq` of the user message that is answered.
    pub seq: usize,
}

/// A part of a conversation that is written by one operation or one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// What a fork begins with: messages without a turn, some of them in threads.
    Copied(Range<usize>),
    /// Messages without a turn, in one commit.
    Append(Range<usize>),
    /// One run of the agent.
    Turn(Exchange),
}

/// A user message, what the agent writes, and the answer that ends the turn, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// All of it; the first is the user message.
    pub range: Range<usize>,
    /// The final message: the last of the range.
    pub reply: Option<usize>,
}

impl Step {
    /// The messages it covers.
    pub fn range(&self) -> Range<usize> {
        match self {
            Step::Copied(range) | Step::Append(range) | Step::Turn(Exchange { range, .. }) => range.clone(),
        }
    }
}

impl Exchange {
    /// What the agent writes before it ends the turn.
    pub fn written(&self) -> Range<usize> {
        self.range.start + 1..self.reply.unwrap_or(self.range.end)
    }
}

impl Conversation {
    /// Cuts the conversation into steps: what stands before the first user message, then one turn
    /// a user message. A final message ends its turn wherever it stands; what follows it up to
    /// the next user message is appended. So is, in a fork, what is left of a turn that it was made amid.
    pub fn steps(&self) -> Vec<Step> {
        let mut at = self.copied;
        let mut steps: Vec<_> = (at > 0).then_some(Step::Copied(0..at)).into_iter().collect();
        while let Some(message) = self.messages.get(at) {
            let step = if message.role == Role::User { Step::Turn(self.exchange(at)) } else { self.batch(at) };
            at = step.range().end;
            steps.push(step);
        }
        steps
    }

    /// The conversation as a fork has it that was made at its middle message, whatever that is.
    pub fn forked(&self) -> Conversation {
        Conversation { copied: self.messages.len().div_ceil(2), ..self.clone() }
    }

    /// As much of the conversation as was played before it was forked: up to the end of the step that its middle is in.
    pub fn before_fork(&self) -> Conversation {
        let middle = self.messages.len().div_ceil(2);
        let end = self.steps().iter().map(|step| step.range().end).find(|end| *end >= middle);
        let messages = self.messages.iter().take(end.unwrap_or(middle)).cloned().collect();
        Conversation { messages, ..self.clone() }
    }

    /// The turn of the user message at this place.
    pub fn exchange(&self, user: usize) -> Exchange {
        let ends = |at: usize| {
            let next = self.messages.get(at);
            next.is_none_or(|next| next.role == Role::User || next.kind == MessageType::FinalMessage)
        };
        // A turn takes a bounded number of messages beside its end; a longer one is cut there.
        let most = user + 1 + limit::TURN_MESSAGES as usize;
        let mut end = user + 1;
        while end < most && !ends(end) {
            end += 1;
        }
        let answers = |last: &&Recorded| last.role == Role::Assistant && last.kind == MessageType::FinalMessage;
        match self.messages.get(end).filter(answers) {
            Some(_) => Exchange { range: user..end + 1, reply: Some(end) },
            None => Exchange { range: user..end, reply: None },
        }
    }

    fn batch(&self, start: usize) -> Step {
        let mut bytes = 0;
        let rest = self.messages.iter().skip(start).take(BATCH_MESSAGES);
        let taken = rest.take_while(|message| {
            let fits = message.role != Role::User && bytes < BATCH_BYTES;
            bytes += message.content.as_ref().map_or(0, String::len);
            fits
        });
        Step::Append(start..start + taken.count())
    }
}

/// Reads all conversations of these files into memory.
///
/// # Errors
///
/// A line that is not of the format, or that the library would refuse, as `file:line: why`.
pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Vec<Conversation>, Failure> {
    let mut reader = Reader::default();
    for file in files {
        let file = file.as_ref();
        let name = file.display();
        let mut lines = BufReader::new(File::open(file).map_err(|error| format!("{name}: {error}"))?);
        reader.current = None;
        let mut text = Vec::new();
        for number in 1_u64.. {
            text.clear();
            let line = lines.read_until(b'\n', &mut text).map_err(Failure::from);
            match line.and_then(|bytes| if bytes == 0 { Ok(None) } else { parse(&text).map(Some) }) {
                Ok(None) => break,
                Ok(Some(recorded)) => reader.take(recorded).map_err(|why| format!("{name}:{number}: {why}"))?,
                Err(why) => return Err(format!("{name}:{number}: {why}").into()),
            }
        }
    }
    Ok(reader.conversations)
}

/// The conversations read so far.
#[derive(Default)]
struct Reader {
    conversations: Vec<Conversation>,
    names: HashSet<String>,
    /// The one that the file is in: an earlier file's is not gone on with.
    current: Option<usize>,
}

impl Reader {
    fn take(&mut self, recorded: Recorded) -> Result<(), Failure> {
        let current = self.current.and_then(|at| self.conversations.get_mut(at));
        let current = current.filter(|current| current.session == recorded.session);
        let place = current.as_ref().map_or(0, |current| current.messages.len());
        if recorded.seq != place as u64 {
            return Err(format!("seq is {}; it must be {place}", recorded.seq).into());
        }
        if let Some(current) = current {
            current.messages.push(recorded);
            return Ok(());
        }
        let session = recorded.session.clone();
        NewSession::default().key(&session).check()?;
        if !self.names.insert(session.clone()) {
            return Err(format!("session {session:?} was there before, and ended").into());
        }
        self.current = Some(self.conversations.len());
        self.conversations.push(Conversation { session, messages: vec![recorded], copied: 0 });
        Ok(())
    }
}

fn parse(line: &[u8]) -> Result<Recorded, Failure> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let recorded: Recorded =
        serde_json::from_slice(line).map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))?;
    if recorded.tool_calls.as_ref().is_some_and(Vec::is_empty) {
        return Err("tool_calls is an empty list; it must be null or have calls".into());
    }
    recorded.to_new().check()?;
    Ok(recorded)
}
