//! The JSON of an HTTP API for conversations, as values to serialize.
//!
//! The shapes are those of three hosted systems, called A, B and C throughout this library; a
//! client of theirs can read them. Take the ones that you need.
//!
//! Each value is made from records and written with any `serde` format. Where links go along,
//! they stand behind a base URL such as `https://chat.example`, and are relative where it is empty.
//! Nothing here reads a file or waits: a server of yours reads the records and answers with these.
//!
//! | answer | value |
//! |---|---|
//! | a session (A) | [`Session::new`]; of the call that made it, with its first message: [`Session::created`] |
//! | a message (A) | [`Message::new`]; of the call that sent it: [`Message::sent`] |
//! | a page of messages (A) | [`Page::new`] |
//! | a refusal, with its status | [`ErrorBody::new`] |
//! | an agent's sessions and archives, a session's history (B) | [`AgentSession::new`], [`ArchivedSession::new`], [`HistoryItem::new`] |
//! | a conversation, an accepted message (C) | [`ChatMessage::new`], [`Accepted::new`] |
//!
//! and the bodies of requests:
//!
//! | request | value |
//! |---|---|
//! | history, rename, archive or delete a session, restore or delete an archive (B) | [`HistoryRequest`], [`RenameRequest`], [`KeyRequest`], [`ArchiveRequest`] |
//! | send a message (C) | [`MessageRequest`] |
//!
//! Times are text in UTC with three decimals and `Z`, `ts` is a number of epoch seconds that
//! reads back exactly, and what stands under `self` repeats what was asked for.
//!
//! ```
//! use parlor::{Error, ErrorKind, wire};
//!
//! let body = wire::ErrorBody::new(&Error::new(ErrorKind::NotFound, "session 42 not found"));
//! assert_eq!(body.status, 404);
//! assert_eq!(
//!     serde_json::to_string(&body).unwrap(),
//!     r#"{"status":404,"code":"NOT_FOUND","message":"session 42 not found"}"#,
//! );
//! ```

mod chat;
mod request;
mod rest;

pub use chat::{Accepted, AgentSession, ArchivedSession, Call, ChatMessage, Function, HistoryItem};
pub use request::{ArchiveRequest, HistoryRequest, KeyRequest, MessageRequest, RenameRequest, WebhookRequest};
pub use rest::{Message, MessageLinks, Page, PageLinks, Session, SessionLinks};

use serde::Serialize;

use crate::error::Error;
use crate::id::{SessionId, ThreadId};
use crate::page::{Form, Link, MessageQuery};
use crate::record::{MessageType, Role};

/// A link to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Href {
    /// Where to: absolute behind a base URL, else relative.
    pub href: String,
}

impl Href {
    fn listing(form: Form, query: MessageQuery, base: &str) -> Self {
        Href { href: Link { form, query }.href(base) }
    }

    /// The final message of a thread, once its turn has ended with one.
    fn final_message(session: SessionId, thread: ThreadId, base: &str) -> Self {
        let query = MessageQuery::default().types(MessageType::FinalMessage).roles(Role::Assistant);
        Href::listing(Form::Thread(session, thread), query, base)
    }
}

/// A refusal.
///
/// Of what went wrong inside (status 500) only the code is told: its message may name files and
/// processes, which are the application's to log and not the caller's to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The HTTP status to answer with.
    pub status: u16,
    /// A word for programs, such as `NOT_FOUND`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl ErrorBody {
    /// The refusal that an error becomes: see [`Error::http`].
    pub fn new(error: &Error) -> Self {
        let (status, code) = error.http().unwrap_or((500, "INTERNAL"));
        let message = if status == 500 { "the request failed inside the server".to_owned() } else { error.to_string() };
        ErrorBody { status, code, message }
    }
}
