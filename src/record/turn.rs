//! Turns: one run of the agent each, and the input that starts one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::session::check_json;
use super::{Content, Json, NewMessage, Usage, Webhook};
use crate::error::{Error, Result};
use crate::id::{MessageId, SessionId, ThreadId, TurnId};
use crate::limit;
use crate::time::{Duration, Timestamp};

/// Where a turn is in its life. The last three are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TurnState {
    /// It waits for the turns before it.
    Queued,
    /// Its session is its own, and its agent runs or is about to.
    Running,
    /// Its agent returned, with a final message or without.
    Completed,
    /// Something ended it before its agent did.
    Interrupted,
    /// Its agent failed, or was lost.
    Failed,
}

impl TurnState {
    /// Whether it can change no more.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, TurnState::Queued | TurnState::Running)
    }

    /// Its name, as queries and JSON write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            TurnState::Queued => "queued",
            TurnState::Running => "running",
            TurnState::Completed => "completed",
            TurnState::Interrupted => "interrupted",
            TurnState::Failed => "failed",
        }
    }
}

/// Why a turn was interrupted or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A follow-up took its place.
    FollowUp,
    /// The engine closed.
    Closed,
    /// Its agent returned an error.
    Error,
    /// Its agent panicked.
    Panic,
    /// The process that ran it died.
    Crash,
    /// Its agent ran for longer than it may.
    TimeLimit,
    /// The worker that ran it was lost before it could write the end.
    LostWorker,
    /// Somebody asked for it.
    Request,
    /// It was cancelled before it ran.
    Cancelled,
    /// Another message took its place, and its own messages were deleted.
    Rollback,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 10] = [
        Reason::FollowUp,
        Reason::Closed,
        Reason::Error,
        Reason::Panic,
        Reason::Crash,
        Reason::TimeLimit,
        Reason::LostWorker,
        Reason::Request,
        Reason::Cancelled,
        Reason::Rollback,
    ];

    /// One word, as it stands in the result of an unanswered tool call.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::FollowUp => "follow_up",
            Reason::Closed => "closed",
            Reason::Error => "error",
            Reason::Panic => "panic",
            Reason::Crash => "crash",
            Reason::TimeLimit => "time_limit",
            Reason::LostWorker => "lost_worker",
            Reason::Request => "request",
            Reason::Cancelled => "cancelled",
            Reason::Rollback => "rollback",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One run of the agent (a *task* in document A).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// The session it runs in.
    pub session_id: SessionId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The message that started it.
    pub message_id: MessageId,
    /// Its place among the session's turns, from 1 without gaps.
    pub number: u32,
    /// Where it is in its life.
    pub state: TurnState,
    /// Why it was interrupted or failed.
    pub reason: Option<Reason>,
    /// More about the reason: the error's or the panic's text, cut to [`limit::REASON_BYTES`].
    pub detail: Option<String>,
    /// The message that ended it, if it completed with one.
    pub final_message: Option<MessageId>,
    /// How many messages it has written, the ones of its end included, the one that started it not.
    pub messages: u32,
    /// Which attempt at running it this is, from 1: greater where it was run again after its process died.
    pub attempt: u32,
    /// How many turns in a row the session's agents have started by sending to their own session, up to this one: 0
    /// where somebody else sent. At most [`limit::CHAIN_TURNS`].
    pub chain: u32,
    /// What it has consumed.
    pub usage: Usage,
    /// What the caller handed to the agent for this turn.
    pub user_params: Option<Json>,
    /// The profile it runs with: the send's, else the session's.
    pub profile: Option<Json>,
    /// How long it may run from its agent's start, where the send said so; else the
    /// [engine's time limit](crate::Builder::time_limit) holds.
    pub time_limit: Option<Duration>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its agent started, known from the turn's first write on.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Turn {
    /// A running turn that has written nothing yet, for a store of your own to fill in.
    pub fn new(
        id: TurnId,
        session_id: SessionId,
        thread_id: ThreadId,
        message_id: MessageId,
        number: u32,
        created_at: Timestamp,
    ) -> Self {
        Turn {
            id,
            session_id,
            thread_id,
            message_id,
            number,
            state: TurnState::Running,
            reason: None,
            detail: None,
            final_message: None,
            messages: 0,
            attempt: 1,
            chain: 0,
            usage: Usage::ZERO,
            user_params: None,
            profile: None,
            time_limit: None,
            created_at,
            started_at: None,
            ended_at: None,
        }
    }
}

/// The input that starts a turn: a message, and what the turn is to run with.
///
/// Made from whatever makes a [`NewMessage`]:
///
/// ```
/// use parlor::{Json, NewTurn};
///
/// let turn = NewTurn::from("book it").user_params(Json::parse(r#"{"user": "ada"}"#)?);
/// # Ok::<(), parlor::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct NewTurn {
    /// The message; its role is `user` where it names none.
    pub message: NewMessage,
    /// A thread of the session to go on in; by default a new one is opened.
    pub thread: Option<ThreadId>,
    /// Handed to the agent. At most 1 MiB of JSON.
    pub user_params: Option<Json>,
    /// Overrides the session's profile for this turn. At most 1 MiB of JSON.
    pub profile: Option<Json>,
    /// Where to announce the turn's end.
    pub webhook: Option<Webhook>,
    /// How long the turn may run; by default as long as the engine says.
    pub time_limit: Option<Duration>,
}

impl NewTurn {
    /// A thread of the session to go on in.
    #[must_use]
    pub fn thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Handed to the agent.
    #[must_use]
    pub fn user_params(mut self, params: impl Into<Json>) -> Self {
        self.user_params = Some(params.into());
        self
    }

    /// Overrides the session's profile for this turn.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<Json>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// Where to announce the turn's end. The row is kept in the outbox with the ending commit.
    #[must_use]
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.webhook = Some(webhook);
        self
    }

    /// How long the turn may run from its agent's start, in place of the [engine's time limit](crate::Builder::time_limit),
    /// longer or shorter: [`limit::TIME_LIMIT_MS_MIN`] to [`limit::TIME_LIMIT_MS_MAX`]. It is kept with the turn, while it
    /// waits and through a restart; one that is run again after its process died may run for so long once more.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// use parlor::time::Duration;
    /// use parlor::{Engine, NewTurn, Reason};
    ///
    /// let engine = Engine::in_memory().agent_fn("patient", |turn| {
    ///     turn.cancel_token().wait();
    ///     Ok(turn.check()?)
    /// });
    /// let engine = engine.open()?;
    /// let session = engine.workspace("acme")?.agent("patient")?.create_session(Default::default())?;
    /// let turn = session.send(NewTurn::from("hello").time_limit(Duration::from_millis(1)))?;
    /// assert_eq!(turn.wait()?.turn.reason, Some(Reason::TimeLimit));
    /// # engine.close()
    /// # }
    /// ```
    #[must_use]
    pub fn time_limit(mut self, longest: Duration) -> Self {
        self.time_limit = Some(longest);
        self
    }

    /// Bytes of all it carries.
    pub fn size(&self) -> usize {
        let json = [&self.user_params, &self.profile];
        self.message.size() + json.into_iter().flatten().map(|json| json.as_str().len()).sum::<usize>()
    }

    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) or [`TooLarge`](crate::ErrorKind::TooLarge), naming
    /// the field, its value and the bound.
    pub fn check(&self) -> Result<()> {
        self.message.check()?;
        check_json("user_params", self.user_params.as_ref(), limit::TURN_JSON_BYTES)?;
        check_json("profile", self.profile.as_ref(), limit::TURN_JSON_BYTES)?;
        check_time_limit(self.time_limit)?;
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let texts =
            [("url", Some(&webhook.url)), ("token", webhook.token.as_ref()), ("secret", webhook.secret.as_ref())];
        for (what, text) in texts {
            let bytes = text.map_or(0, String::len);
            if bytes > limit::WEBHOOK_BYTES {
                return Err(Error::invalid(format!(
                    "webhook {what} has {bytes} bytes; it may have at most {}",
                    limit::WEBHOOK_BYTES
                )));
            }
        }
        if !webhook.url.starts_with("https://") && !webhook.url.starts_with("http://") {
            return Err(Error::invalid("webhook url is neither http nor https"));
        }
        Ok(())
    }
}

/// Refuses a time limit out of bounds.
pub(crate) fn check_time_limit(longest: Option<Duration>) -> Result<()> {
    let [least, most] = [limit::TIME_LIMIT_MS_MIN, limit::TIME_LIMIT_MS_MAX].map(Duration::from_millis);
    match longest.filter(|longest| !(least..=most).contains(longest)) {
        None => Ok(()),
        Some(longest) => Err(Error::invalid(format!(
            "time_limit is {longest:?}; it must be {least:?} to {most:?} (TIME_LIMIT_MS_MIN, TIME_LIMIT_MS_MAX)"
        ))),
    }
}

impl From<NewMessage> for NewTurn {
    fn from(message: NewMessage) -> Self {
        NewTurn { message, ..Self::default() }
    }
}

impl From<&str> for NewTurn {
    fn from(text: &str) -> Self {
        NewMessage::from(text).into()
    }
}

impl From<String> for NewTurn {
    fn from(text: String) -> Self {
        NewMessage::from(text).into()
    }
}

impl From<Content> for NewTurn {
    fn from(content: Content) -> Self {
        NewMessage { content: Some(content), ..NewMessage::default() }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_bounded_in_each_of_its_texts_and_its_url_is_one() {
        let of = |bytes: usize| "x".repeat(bytes);
        let url = |bytes: usize| format!("https://{}", of(bytes - 8));
        let check = |url: &str, token: Option<String>, secret: Option<String>| {
            let webhook = Webhook { url: url.into(), token, secret, include_messages: false };
            let turn = NewTurn { webhook: Some(webhook), ..NewTurn::default() };
            turn.check().map_err(|error| error.to_string())
        };
        let most = limit::WEBHOOK_BYTES;
        assert_eq!(check(&url(most), Some(of(most)), Some(of(most))), Ok(()));
        for (what, refused) in [
            ("url", check(&url(most + 1), None, None)),
            ("url", check(&url(2 * most), None, None)),
            ("token", check(&url(20), Some(of(most + 1)), None)),
            ("secret", check(&url(20), None, Some(of(2 * most)))),
        ] {
            let text = refused.expect_err("it is over its bound");
            assert!(text.contains(&format!("webhook {what} has ")) && text.ends_with(&most.to_string()), "{text}");
        }
        for url in ["http://a", "https://a"] {
            assert_eq!(check(url, None, None), Ok(()));
        }
        let text = check("ftp://a", None, None).expect_err("nothing is sent there");
        assert_eq!(text, "webhook url is neither http nor https");
    }

    #[test]
    fn a_turn_is_made_of_whatever_a_message_is_made_of() {
        let content = Content::Text("hello".into());
        let turns =
            ["hello".into(), String::from("hello").into(), content.clone().into(), NewMessage::text("hello").into()];
        for turn in turns {
            let turn: NewTurn = turn;
            assert_eq!(turn.message.content, Some(content.clone()));
        }
    }
}
