//! What users implement: [`Agent`], and what one is given to run a turn with.

mod batch;
mod cancel;
mod context;
mod feed;
mod reply;

pub(crate) use batch::{checked_batch, history};
pub use cancel::CancelToken;
pub(crate) use cancel::{Cause, Token};
pub use context::TurnContext;
pub(crate) use feed::{Feed, TakesTurns};
pub use reply::Reply;

use std::marker::PhantomData;

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
