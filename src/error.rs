//! The one error of the library: a kind to match on and a message to read.

use std::fmt;

/// What the operations of this library return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was refused or could not be done.
///
/// It is one word big. [`kind`](Error::kind) is for programs, the message for people: it
/// names the thing, its value and the bound. An error means that nothing was written;
/// [`ErrorKind::OutcomeUnknown`] is the only exception.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
/// let error = engine.workspace("").unwrap_err();
/// assert_eq!(error.kind(), parlor::ErrorKind::InvalidArgument);
/// assert_eq!(error.to_string(), "workspace name has 0 characters; it must have 1 to 255");
/// # engine.close()
/// # }
/// ```
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`]. New ones may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A follow-up on a session that never had a message.
    BadRequest,
    /// A value is out of range, too long or unknown.
    InvalidArgument,
    /// The cursor belongs to another listing, or is none.
    InvalidCursor,
    /// It is not there, or it belongs to another workspace or session.
    NotFound,
    /// The session is busy, the key is taken, or an id was used before with other content.
    Conflict,
    /// A message or a batch is over its bound.
    TooLarge,
    /// A queue is full.
    Overloaded,
    /// No code is registered under the agent's name.
    NoBehaviour,
    /// A turn that no longer owns its session tried to write.
    Fenced,
    /// An agent waits, on its own thread, for its own session, which waits for the agent.
    WouldDeadlock,
    /// The caller had an operation of many steps stop. Nothing came of it.
    Cancelled,
    /// The storage failed in a commit: it may be on disk or not. Open again to find out.
    OutcomeUnknown,
    /// The disk is full. Nothing was written.
    NoSpace,
    /// Another process (or this one) has the file open.
    AlreadyOpen,
    /// The file was not closed and cannot be read before a process opens it for writing, which recovers it.
    OpenForWritingOnce,
    /// The access key is unknown, expired or revoked.
    Unauthorized,
    /// It may not be done through this handle: its access key lacks the scope, or the engine is attached and only reads.
    Forbidden,
    /// The engine was closed, or this process is a fork of the one that opened it.
    Closed,
    /// A record or the file is damaged, or no parlor file at all; its format may be one that no version ever wrote.
    Corrupt,
    /// The storage failed.
    Storage,
    /// The file was written by a newer version of the library.
    NewerFormat,
    /// The file was not closed, and the log that has its last writes is not beside it.
    LogMissing,
}

impl Error {
    /// Makes an error of a kind, for stores and agents of your own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// The same error, with the cause it came from.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Busy, key taken, or an id used before with other content.
    pub fn is_conflict(&self) -> bool {
        self.kind() == ErrorKind::Conflict
    }

    /// Not there, or not yours.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// The turn no longer owns its session: it was interrupted or ended.
    pub fn is_fenced(&self) -> bool {
        self.kind() == ErrorKind::Fenced
    }

    /// The HTTP status to answer with, and a code for the body; none for what never leaves the
    /// process, such as a late write of an interrupted turn.
    ///
    /// ```
    /// use parlor::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::new(ErrorKind::Conflict, "busy").http(), Some((409, "CONFLICT")));
    /// assert_eq!(Error::new(ErrorKind::Fenced, "late").http(), None);
    /// ```
    ///
    /// From documents A (`BAD_REQUEST`, `NOT_FOUND`) and C (404, 409).
    pub fn http(&self) -> Option<(u16, &'static str)> {
        Some(match self.kind() {
            ErrorKind::BadRequest => (400, "BAD_REQUEST"),
            ErrorKind::InvalidArgument | ErrorKind::InvalidCursor => (400, "VALIDATION"),
            ErrorKind::Unauthorized => (401, "UNAUTHORIZED"),
            ErrorKind::Forbidden => (403, "FORBIDDEN"),
            ErrorKind::NotFound => (404, "NOT_FOUND"),
            ErrorKind::Conflict => (409, "CONFLICT"),
            ErrorKind::TooLarge => (413, "TOO_LARGE"),
            ErrorKind::Overloaded => (503, "OVERLOADED"),
            ErrorKind::NoBehaviour => (503, "NO_BEHAVIOUR"),
            ErrorKind::OutcomeUnknown => (500, "OUTCOME_UNKNOWN"),
            ErrorKind::NoSpace => (507, "NO_SPACE"),
            ErrorKind::AlreadyOpen
            | ErrorKind::OpenForWritingOnce
            | ErrorKind::Closed
            | ErrorKind::Corrupt
            | ErrorKind::Storage
            | ErrorKind::NewerFormat
            | ErrorKind::LogMissing => (500, "INTERNAL"),
            ErrorKind::Fenced | ErrorKind::WouldDeadlock | ErrorKind::Cancelled => return None,
        })
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    /// A text that cannot be read as what it names; the start of it is shown.
    pub(crate) fn unreadable(name: &str, text: &str, bound: impl fmt::Display) -> Self {
        const SHOWN_CHARS: usize = 64;
        let (shown, cut) = match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => (text.get(..end).unwrap_or_default(), "…"),
            None => (text, ""),
        };
        Error::invalid(format!("{name} is {shown:?}{cut}; it must be {bound}"))
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Error::new(ErrorKind::NotFound, format!("{what} not found"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Conflict, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt, message)
    }

    /// What has another format than the one that is read. A lower one than the first is none that anybody wrote.
    pub(crate) fn other_format(what: impl fmt::Display, found: u32, known: u32) -> Self {
        if found > known {
            let text = format!("{what} has format {found}; this library reads up to {known}");
            return Error::new(ErrorKind::NewerFormat, text);
        }
        Error::corrupt(format!("{what} has format {found}; this library reads {known}"))
    }

    /// Of an access key, whatever is the matter with it: who tries keys learns nothing.
    pub(crate) fn unauthorized() -> Self {
        Error::new(ErrorKind::Unauthorized, "the access key opens nothing")
    }

    pub(crate) fn closed() -> Self {
        Error::new(ErrorKind::Closed, "the engine is closed")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());
