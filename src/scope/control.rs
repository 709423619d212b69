//! A session's turns beside the one that is sent: waiting, interrupting, stopping; what they consumed, and what a model
//! is to see of them.

use super::Session;
use crate::bell::Event;
use crate::error::Result;
use crate::executor::Whose;
use crate::grant::Act;
use crate::id::TurnId;
use crate::record::{ContextMark, NewTurn, Turn, Usage};
use crate::store::{Policy, SetContextMark, Stopped};
use crate::transcript::{self, TranscriptMessage};
use crate::wait::TurnHandle;

impl Session {
    /// As [`send`](Self::send), and this [`Policy`] says what happens when the session is busy.
    ///
    /// With an id of the caller's on the message a retry is safe whatever its policy: it answers with the first call's
    /// turn as it stands now, and starts, queues and interrupts nothing.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send); with [`Policy::FollowUp`] a *bad request* when the session never had a message; with
    /// [`Policy::Enqueue`] [`Overloaded`](crate::ErrorKind::Overloaded) at a [bound of the queue](crate::Builder::session_queue).
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// use parlor::Policy;
    ///
    /// session.send("Book a room in Tokio")?;
    /// // Takes the place of what it was asked before, which leaves no trace in the history.
    /// let turn = session.send_with(Policy::Rollback, "Book a room in Tokyo")?;
    /// assert_eq!(turn.wait()?.text(), "Book a room in Tokyo");
    /// # engine.close()
    /// # }
    /// ```
    pub fn send_with(&self, policy: Policy, turn: impl Into<NewTurn>) -> Result<TurnHandle> {
        self.submit(Act::SessionSendWith, turn.into(), policy)
    }

    /// As [`send`](Self::send), but in a busy session the turn waits until all turns before it have ended: its state is
    /// [`Queued`](crate::TurnState::Queued) until then. It is on disk as any other, so it waits through a close and a crash,
    /// and starts when an engine with the agent's behaviour opens the file.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), but never *conflict* for being busy; [`Overloaded`](crate::ErrorKind::Overloaded) at a
    /// [bound of the queue](crate::Builder::session_queue), where nothing is written.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().agent_fn("echo", |turn| Ok(turn.input().text())).open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// let turns = ["one", "two", "three"].map(|text| session.enqueue(text));
    /// for (turn, text) in turns.into_iter().zip(["one", "two", "three"]) {
    ///     assert_eq!(turn?.wait()?.text(), text);
    /// }
    /// # engine.close()
    /// # }
    /// ```
    pub fn enqueue(&self, turn: impl Into<NewTurn>) -> Result<TurnHandle> {
        self.submit(Act::SessionEnqueue, turn.into(), Policy::Enqueue)
    }

    /// Ends the running turn as *interrupted* (`request`), and starts the one that waits next in the same commit. Answers
    /// with the turn that ended; none where none was running.
    ///
    /// Whichever runs by then: to end one turn and no later one, use its handle's [`interrupt`](TurnHandle::interrupt).
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// assert_eq!(session.interrupt()?, None); // nothing was running
    /// # engine.close()
    /// # }
    /// ```
    pub fn interrupt(&self) -> Result<Option<Turn>> {
        self.core.check(Act::SessionInterrupt)?;
        self.core.executor.interrupt(self.whose())
    }

    /// Ends the running turn as *interrupted* (`request`), and all that wait as *interrupted* (`cancelled`), in one commit:
    /// then the session is idle.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted.
    pub fn stop(&self) -> Result<Stopped> {
        self.core.check(Act::SessionStop)?;
        self.core.executor.stop(self.whose())
    }

    /// Ends a turn that waits, as *interrupted* (`cancelled`). Its message stays.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when it is running or has ended, naming which;
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session has no such turn.
    pub fn cancel(&self, turn: TurnId) -> Result<Turn> {
        self.core.check(Act::SessionCancel)?;
        self.core.executor.cancel(self.whose(), turn)
    }

    fn whose(&self) -> Whose<'_> {
        Whose { at: self.at, agent_id: self.agent, agent: &self.agent_name }
    }

    /// What all turns of the session have consumed, as their agents [recorded](crate::TurnContext::record_usage) it.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// use parlor::{Engine, Usage};
    ///
    /// let engine = Engine::in_memory().agent_fn("echo", |turn| {
    ///     turn.record_usage(Usage { input: 1200, output: 80, cost_micros: 310, ..Usage::ZERO })?;
    ///     Ok(turn.input().text())
    /// });
    /// let engine = engine.open()?;
    /// let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// assert_eq!(session.send("hello")?.wait()?.turn.usage.input, 1200);
    /// session.send("again")?.wait()?;
    /// assert_eq!(session.usage()?.cost_micros, 620);
    /// # engine.close()
    /// # }
    /// ```
    pub fn usage(&self) -> Result<Usage> {
        Ok(self.core.store(Act::SessionUsage)?.session(self.at)?.usage)
    }

    /// Sets from which message on the [transcript](Self::transcript) shows the session, and the summary that stands for all
    /// before it; with `None` it shows all of it again. An agent sets it while its turn is running:
    /// [`TurnContext::set_context_mark`](crate::TurnContext::set_context_mark).
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) while a turn is running or waits,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a number past the one after the last message, or a summary
    /// over its bound.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// use parlor::ContextMark;
    ///
    /// let old = session.append(["I am Ada.", "I like tea.", "What do I like?"])?;
    /// session.set_context_mark(ContextMark::new(old[2].number, "The user is Ada, who likes tea."))?;
    /// let texts: Vec<_> = session.transcript()?.iter().map(|message| message.text()).collect();
    /// assert_eq!(texts, ["The user is Ada, who likes tea.", "What do I like?"]);
    /// # engine.close()
    /// # }
    /// ```
    pub fn set_context_mark(&self, mark: impl Into<Option<ContextMark>>) -> Result<()> {
        let mark = mark.into();
        mark.iter().try_for_each(ContextMark::check)?;
        let (store, _admission) = self.core.writing(Act::SessionSetContextMark)?;
        store.set_context_mark(SetContextMark { stamp: self.core.shared.stamp(), at: self.at, claim: None, mark })?;
        self.core.shared.bell.ring(self.at, self.agent, Event::Written);
        Ok(())
    }

    /// Where the transcript begins; none where it begins with the first message.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted.
    pub fn context_mark(&self) -> Result<Option<ContextMark>> {
        self.core.store(Act::SessionContextMark)?.context_mark(self.at)
    }

    /// The history as a model takes it, from the context mark on, and valid whatever happened: see
    /// [`transcript`](crate::transcript).
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over [`limit::TRANSCRIPT_MESSAGES`](crate::limit::TRANSCRIPT_MESSAGES) or
    /// [`limit::TRANSCRIPT_BYTES`](crate::limit::TRANSCRIPT_BYTES), [`Corrupt`](crate::ErrorKind::Corrupt) when one of the
    /// messages is damaged.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// use parlor::{NewMessage, ToolCall};
    ///
    /// let call = ToolCall::new("call_1", "lookup", "{}");
    /// session.append([NewMessage::text("hello"), NewMessage::calls([call])])?;
    /// let json = serde_json::to_value(session.transcript()?).unwrap();
    /// assert_eq!(json[1]["tool_calls"][0]["function"]["name"], "lookup");
    /// assert_eq!(json[2]["tool_call_id"], "call_1"); // nothing answered it, so a result is supplied
    /// # engine.close()
    /// # }
    /// ```
    pub fn transcript(&self) -> Result<Vec<TranscriptMessage>> {
        transcript::read(self.core.store(Act::SessionTranscript)?, self.at)
    }
}
