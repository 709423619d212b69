//! A turn as its agent sees it.

use std::fmt;

use super::batch::{checked_batch, history};
use super::cancel::{CancelToken, Token};
use super::feed::Feed;
use crate::bell::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId};
use crate::live::Added;
use crate::record::{Content, ContextMark, Json, Message, NewMessage, NewTurn, ToolCall, Turn, Usage};
use crate::shared::Shared;
use crate::store::{Claim, Emit, SessionRef, SetContextMark};
use crate::sync::Arc;
use crate::time::Timestamp;
use crate::transcript::{self, TranscriptMessage};
use crate::wait::TurnHandle;

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
    pub(crate) feed: Feed,
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

    /// How many turns in a row agents of this session have started by sending to it, up to this one: 0 where somebody
    /// else sent. At most [`CHAIN_TURNS`](crate::limit::CHAIN_TURNS).
    pub fn chain(&self) -> u32 {
        self.turn.chain
    }

    /// Sends to the agent's own session: the turn waits until this one and those that wait already have ended, and is
    /// one further in the [chain](Self::chain). It may be waited for anywhere but in this agent, which it waits for.
    ///
    /// [`Session::send`](crate::Session::send) does the same on the agent's own thread.
    ///
    /// # Errors
    ///
    /// [`Fenced`](ErrorKind::Fenced) once the turn was interrupted or ended; [`TooLarge`](ErrorKind::TooLarge) at the bound
    /// of the chain; else those of [`Session::enqueue`](crate::Session::enqueue).
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// let engine = parlor::Engine::in_memory()
    ///     .agent_fn("counter", |turn| {
    ///         if turn.chain() < 3 {
    ///             turn.send("once more")?;
    ///         }
    ///         Ok(format!("{}", turn.chain()))
    ///     })
    ///     .open()?;
    /// let session = engine.workspace("acme")?.agent("counter")?.create_session(Default::default())?;
    /// session.send("count")?;
    /// session.idle().wait()?;
    /// assert_eq!(session.history(1)?[0].text(), "3");
    /// # engine.close()
    /// # }
    /// ```
    pub fn send(&self, turn: impl Into<NewTurn>) -> Result<TurnHandle> {
        self.feed.send(self, turn.into())
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

    /// Writes messages of the turn in one commit: 1 to [`BATCH_MESSAGES`](crate::limit::BATCH_MESSAGES) at a time and
    /// at most [`TURN_MESSAGES`](crate::limit::TURN_MESSAGES) in a turn.
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
        let held = self.shared.texts.hold(at, &claim);
        match self.shared.store().emit(op) {
            Ok(written) => {
                self.shared.texts.end(at, &claim);
                self.shared.bell.ring(at, self.agent, Event::Written);
                Ok(written)
            }
            Err(error) => {
                if held {
                    self.shared.texts.release(at, &claim);
                    self.shared.bell.ring(at, self.agent, Event::Streamed);
                }
                Err(error)
            }
        }
    }

    /// Tells who follows the session [live](crate::LiveFeed) a piece of what the turn is about to write, at once. It is
    /// never stored: what counts is the message that the agent writes or returns, which is to have the whole text.
    ///
    /// All pieces since the turn last wrote are one text; the next write takes its place. It costs no more however
    /// many follow; of a text of more than [`DELTA_BYTES`](crate::limit::DELTA_BYTES) the beginning is kept no more.
    ///
    /// # Errors
    ///
    /// [`Fenced`](ErrorKind::Fenced) when the turn was interrupted, has run for as long as it may, or the engine
    /// closes, so `?` leaves the agent as [`check`](Self::check) does; the error of the storage when the session
    /// cannot be read.
    pub fn delta(&self, piece: impl AsRef<str>) -> Result<()> {
        self.check()?;
        let (texts, piece) = (&self.shared.texts, piece.as_ref());
        let mut added = texts.add(self.at, &self.claim, piece);
        if let Added::First = added {
            let after = self.shared.store().session(self.at)?.last_change;
            added = texts.begin(self.at, self.claim, after, piece);
        }
        // Whoever ended the turn tells its agent first and then ends its text: one that came between is ended here.
        if matches!(added, Added::Late) || self.is_cancelled() {
            texts.end(self.at, &self.claim);
            return Err(self.told_to_stop());
        }
        self.shared.bell.ring(self.at, self.agent, Event::Streamed);
        Ok(())
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
    /// [`Fenced`](ErrorKind::Fenced) when the turn was interrupted, has run for as long as it may, or the engine closes.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(self.told_to_stop());
        }
        Ok(())
    }

    fn told_to_stop(&self) -> Error {
        Error::new(ErrorKind::Fenced, format!("turn {} was told to stop", self.turn.id))
    }

    /// Whether the turn was interrupted, has run for as long as it may, or the engine closes.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_tripped()
    }

    /// The same, to be waited for on a thread or awaited, for an agent that waits for something else meanwhile.
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken::new(&self.shared, &self.token)
    }
}

impl fmt::Debug for TurnContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnContext").field("turn", &self.turn).finish_non_exhaustive()
    }
}
