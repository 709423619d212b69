//! What users implement: [`Agent`], and what one is given to run a turn with.

use std::fmt;
use std::marker::PhantomData;

use crate::bell::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId};
use crate::limit;
use crate::page::Matching;
use crate::record::{Content, ContextMark, Json, Message, NewMessage, ToolCall, Turn, Usage};
use crate::shared::Shared;
use crate::store::{Claim, Emit, SessionRef, SetContextMark, Store};
use crate::sync::{Arc, AtomicBool, OnceLock, Ordering};
use crate::time::Timestamp;
use crate::transcript::{self, TranscriptMessage};

/// What an agent returns: an answer, or any error, which ends the turn as *failed* with its text.
pub type AgentResult<T = Reply> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The behaviour of an agent, registered under its name when the engine opens.
///
/// One value runs the turns of all sessions of that name, in all workspaces, several at once;
/// within a session never two. A closure will often do: [`agent_fn`].
///
/// ```
/// use parlor::{Agent, AgentResult, TurnContext};
///
/// struct Parrot {
///     times: usize,
/// }
///
/// impl Agent for Parrot {
///     fn run(&self, turn: &TurnContext) -> AgentResult {
///         for _ in 1..self.times {
///             turn.message(turn.input().text())?;
///         }
///         Ok(turn.input().text().into())
///     }
/// }
/// ```
pub trait Agent: Send + Sync + 'static {
    /// Runs one turn, on a worker thread of the engine's, and returns its final message, if any.
    ///
    /// It may take as long as it needs. When the turn was interrupted, its writes are refused and
    /// what it returns is dropped; [`TurnContext::check`] tells it to leave early.
    ///
    /// # Errors
    ///
    /// Any error ends the turn as *failed* and its text is kept; so does a panic.
    fn run(&self, turn: &TurnContext) -> AgentResult;
}

/// An agent made of a function.
///
/// ```
/// let echo = parlor::agent_fn(|turn| Ok(turn.input().text()));
/// # fn takes(_: impl parlor::Agent) {}
/// # takes(echo);
/// ```
pub fn agent_fn<F, R>(f: F) -> impl Agent
where
    F: Fn(&TurnContext) -> AgentResult<R> + Send + Sync + 'static,
    R: Into<Reply> + 'static,
{
    AgentFn { f, reply: PhantomData }
}

struct AgentFn<F, R> {
    f: F,
    reply: PhantomData<fn() -> R>,
}

impl<F, R> Agent for AgentFn<F, R>
where
    F: Fn(&TurnContext) -> AgentResult<R> + Send + Sync + 'static,
    R: Into<Reply> + 'static,
{
    fn run(&self, turn: &TurnContext) -> AgentResult {
        (self.f)(turn).map(Into::into)
    }
}

/// What an agent answers: the turn's final message, or none.
///
/// Made from a message, a text, an `Option` of a message, or `()`.
///
/// ```
/// use parlor::{NewMessage, Reply};
///
/// assert_eq!(Reply::from("done"), Reply::from(NewMessage::text("done")));
/// assert_eq!(Reply::from(()), Reply::none());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply(Option<Box<NewMessage>>);

impl Reply {
    /// The turn completes without a final message.
    pub fn none() -> Self {
        Reply(None)
    }

    pub(crate) fn into_message(self) -> Option<Box<NewMessage>> {
        self.0
    }
}

impl From<NewMessage> for Reply {
    fn from(message: NewMessage) -> Self {
        Reply(Some(Box::new(message)))
    }
}

impl From<Option<NewMessage>> for Reply {
    fn from(message: Option<NewMessage>) -> Self {
        Reply(message.map(Box::new))
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        NewMessage::from(text).into()
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        NewMessage::from(text).into()
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Reply::none()
    }
}

/// What the executor and a running agent share: how the agent learns that it is to stop, and
/// when it started.
#[derive(Debug, Default)]
pub(crate) struct Token {
    tripped: AtomicBool,
    started: OnceLock<Timestamp>,
}

impl Token {
    /// Tells the agent to stop.
    pub(crate) fn trip(&self) {
        self.tripped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::SeqCst)
    }

    /// Keeps the time the agent started, the first one given.
    pub(crate) fn start(&self, now: Timestamp) -> Timestamp {
        *self.started.get_or_init(|| now)
    }

    pub(crate) fn started_at(&self) -> Option<Timestamp> {
        self.started.get().copied()
    }
}

/// A turn as its agent sees it: what it is to answer, what was said before, and the right to
/// write in the turn's name.
///
/// Every write is one commit, on disk when the call returns, and fenced: once the turn was
/// interrupted or ended it is refused as [`Fenced`](ErrorKind::Fenced) and leaves no trace.
pub struct TurnContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) at: SessionRef,
    pub(crate) agent: AgentId,
    pub(crate) claim: Claim,
    pub(crate) turn: Turn,
    pub(crate) input: Message,
    pub(crate) token: Arc<Token>,
    pub(crate) started_at: Timestamp,
}

impl TurnContext {
    /// The message that started the turn.
    pub fn input(&self) -> &Message {
        &self.input
    }

    /// The turn as it was accepted.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// The session the turn runs in.
    pub fn session_id(&self) -> SessionId {
        self.at.session
    }

    /// What the sender handed to the agent for this turn.
    pub fn user_params(&self) -> Option<&Json> {
        self.turn.user_params.as_ref()
    }

    /// The profile to run with: the sender's for this turn, else the session's.
    pub fn profile(&self) -> Option<&Json> {
        self.turn.profile.as_ref()
    }

    /// The newest `limit` messages of the session, oldest first, of all roles and types. The
    /// input is among them.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) unless `limit` is 1 to 1,000, [`Corrupt`](ErrorKind::Corrupt)
    /// when one of the messages is damaged.
    pub fn history(&self, limit: u32) -> Result<Vec<Message>> {
        history(self.shared.store(), self.at, limit)
    }

    /// Writes one message of the turn. Its role is `assistant` where it names none.
    ///
    /// # Errors
    ///
    /// Those of [`emit_all`](Self::emit_all).
    pub fn emit(&self, message: impl Into<NewMessage>) -> Result<Message> {
        let written = self.emit_all([message.into()])?;
        written.into_iter().next().ok_or_else(|| Error::new(ErrorKind::Storage, "the store wrote no message"))
    }

    /// Writes messages of the turn in one commit: 1 to [`limit::BATCH_MESSAGES`] at a time and
    /// at most [`limit::TURN_MESSAGES`] in a turn.
    ///
    /// # Errors
    ///
    /// [`Fenced`](ErrorKind::Fenced) once the turn was interrupted or ended. [`InvalidArgument`](ErrorKind::InvalidArgument)
    /// for a message out of bounds, a `final_message` (that is what the agent returns) or no message at all,
    /// [`TooLarge`](ErrorKind::TooLarge) over a bound of size or number, [`Conflict`](ErrorKind::Conflict) for an id that
    /// the session already has.
    pub fn emit_all<I>(&self, messages: I) -> Result<Vec<Message>>
    where
        I: IntoIterator,
        I::Item: Into<NewMessage>,
    {
        let messages = checked_batch(messages)?;
        let (at, claim, started_at) = (self.at, self.claim, self.started_at);
        let (stamp, usage) = (self.shared.stamp(), Usage::ZERO);
        let op = Emit { stamp, at, claim, started_at, messages, usage };
        let written = self.shared.store().emit(op)?;
        self.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(written)
    }

    /// Says something on the way: writes a message of the assistant's.
    ///
    /// # Errors
    ///
    /// Those of [`emit_all`](Self::emit_all).
    pub fn message(&self, text: impl Into<String>) -> Result<Message> {
        self.emit(NewMessage::text(text))
    }

    /// Writes the call of a tool, under a new id. Where the turn is interrupted or fails before
    /// the call has its result, the engine writes one in its place.
    ///
    /// # Errors
    ///
    /// Those of [`emit_all`](Self::emit_all).
    pub fn tool_call(&self, name: impl Into<String>, arguments: impl Into<String>) -> Result<ToolCall> {
        let id = format!("call_{}", self.shared.stamp().uuid(0).simple());
        let call = ToolCall::new(id, name, arguments);
        self.emit(NewMessage::calls([call.clone()]))?;
        Ok(call)
    }

    /// Writes the result of a tool call.
    ///
    /// # Errors
    ///
    /// Those of [`emit_all`](Self::emit_all).
    pub fn tool_result(&self, call: &ToolCall, content: impl Into<Content>) -> Result<Message> {
        self.emit(NewMessage::result(call, content))
    }

    /// The history as a model takes it, from the context mark on: see [`transcript`](crate::transcript). The input is
    /// among it, what still waits is not.
    ///
    /// # Errors
    ///
    /// Those of [`Session::transcript`](crate::Session::transcript).
    pub fn transcript(&self) -> Result<Vec<TranscriptMessage>> {
        transcript::read(self.shared.store(), self.at)
    }

    /// Sets where the session's transcript begins, and the summary of all before: see
    /// [`Session::set_context_mark`](crate::Session::set_context_mark).
    ///
    /// # Errors
    ///
    /// [`Fenced`](ErrorKind::Fenced) once the turn was interrupted or ended; [`InvalidArgument`](ErrorKind::InvalidArgument)
    /// for a number past the one after the last message, or a summary over its bound.
    pub fn set_context_mark(&self, mark: impl Into<Option<ContextMark>>) -> Result<()> {
        let mark = mark.into();
        mark.iter().try_for_each(ContextMark::check)?;
        let (stamp, at, claim) = (self.shared.stamp(), self.at, Some(self.claim));
        self.shared.store().set_context_mark(SetContextMark { stamp, at, claim, mark })?;
        self.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(())
    }

    /// Records what the turn has consumed since it was last told: it adds up in the turn and in its session, and is
    /// on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`Fenced`](ErrorKind::Fenced) once the turn was interrupted or ended, [`TooLarge`](ErrorKind::TooLarge) where a sum
    /// would be over 2^64 − 1.
    pub fn record_usage(&self, usage: Usage) -> Result<()> {
        let (stamp, at, claim, started_at) = (self.shared.stamp(), self.at, self.claim, self.started_at);
        let op = Emit { stamp, at, claim, started_at, messages: Vec::new(), usage };
        self.shared.store().emit(op)?;
        self.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(())
    }

    /// A place to leave the agent from with `?`.
    ///
    /// It asks no storage: between two checks a write may be refused already.
    ///
    /// # Errors
    ///
    /// [`Fenced`](ErrorKind::Fenced) when the turn was interrupted or the engine closes.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(ErrorKind::Fenced, format!("turn {} was told to stop", self.turn.id)));
        }
        Ok(())
    }

    /// Whether the turn was interrupted or the engine closes.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_tripped()
    }
}

impl fmt::Debug for TurnContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnContext").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// The newest `limit` messages of a session, oldest first.
pub(crate) fn history(store: &dyn Store, at: SessionRef, limit: u32) -> Result<Vec<Message>> {
    let mut found = store.messages(at, Matching::history(limit)?)?;
    if let Some(damaged) = found.damaged.pop() {
        // A history with a hole would not tell of it.
        return Err(Error::corrupt(damaged.error));
    }
    found.items.reverse();
    Ok(found.items)
}

/// The messages of one commit, each within its bounds, and not too many of them.
pub(crate) fn checked_batch<I>(messages: I) -> Result<Vec<NewMessage>>
where
    I: IntoIterator,
    I::Item: Into<NewMessage>,
{
    // One more than there may be is enough to refuse a sequence without an end.
    let messages: Vec<NewMessage> = messages.into_iter().take(limit::BATCH_MESSAGES + 1).map(Into::into).collect();
    if messages.is_empty() {
        return Err(Error::invalid("batch has 0 messages; it must have at least 1"));
    }
    if messages.len() > limit::BATCH_MESSAGES {
        let most = limit::BATCH_MESSAGES;
        let text = format!("batch has more than {most} messages; it may have at most {most} (BATCH_MESSAGES)");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    messages.iter().try_for_each(NewMessage::check)?;
    let bytes: usize = messages.iter().map(NewMessage::size).sum();
    if bytes > limit::BATCH_BYTES {
        let most = limit::BATCH_BYTES;
        let text = format!("batch has {bytes} bytes; it may have at most {most} (BATCH_BYTES)");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(messages)
}
