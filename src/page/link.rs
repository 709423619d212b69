//! Links to listings of messages, and the cursor they carry.

use super::{Damaged, Direction, MessageQuery, Meta, PageAt};
use crate::id::{SessionId, ThreadId};
use crate::record::{Message, Ts};

/// Whose listing it is: of a session, or of one of its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All messages of the session.
    Session(SessionId),
    /// The messages of this thread of the session.
    Thread(SessionId, ThreadId),
}

/// A link to a listing of messages, relative until [`href`](Link::href) is given a base.
///
/// From document A (`_links`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whose listing.
    pub form: Form,
    /// Its parameters, as given.
    pub query: MessageQuery,
}

impl Link {
    /// The link's text behind `base`, such as `https://example.org`; with an empty base it is relative.
    pub fn href(&self, base: &str) -> String {
        let (session, thread) = match self.form {
            Form::Session(session) => (session, String::new()),
            Form::Thread(session, thread) => (session, format!("/threads/{thread}")),
        };
        let query = self.query.to_query_string();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{thread}/messages{mark}{query}", session_href(session, base))
    }

    /// The link that a client follows to read every later matching message exactly once.
    ///
    /// It keeps the form, the filters and the limit, drops the page, asks for oldest first, and
    /// carries the cursor: `newest` (the greatest `ts` of all that match) when this page is newest
    /// first, the last item's `ts` when it is oldest first; where there is none, the `gts` of this page.
    pub fn new_messages(&self, newest: Option<Ts>, items: &[Message]) -> Link {
        let reached = match self.query.direction_or_default() {
            Direction::Desc => newest,
            Direction::Asc => items.last().map(|message| message.ts),
        };
        let gts = reached.or(self.query.gts).unwrap_or(Ts::ZERO);
        let query = MessageQuery { page: None, gts: Some(gts), direction: Some(Direction::Asc), ..self.query };
        Link { form: self.form, query }
    }
}

/// The link to a session itself.
pub(crate) fn session_href(session: SessionId, base: &str) -> String {
    format!("{}/rest/v1/sessions/{session}", base.trim_end_matches('/'))
}

/// A page of messages, with the links of document A.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessagePage {
    /// The messages.
    pub items: Vec<Message>,
    /// How many there are in all.
    pub meta: Meta,
    /// This page again: exactly what was asked for.
    pub this: Link,
    /// Every later matching message: follow it again and again.
    pub new_messages: Link,
    /// What stands on the page and cannot be read.
    pub damaged: Vec<Damaged>,
}

impl MessagePage {
    /// Puts together what a store found for a link: `at` is the page that its query asks for,
    /// `newest` the greatest `ts` of all that match.
    pub fn new(
        this: Link,
        at: PageAt,
        total: u64,
        newest: Option<Ts>,
        items: Vec<Message>,
        damaged: Vec<Damaged>,
    ) -> Self {
        let mut new_messages = this.new_messages(newest, &items);
        // A cursor that stopped before a damaged message would meet it again for ever.
        new_messages.query.gts = new_messages.query.gts.max(damaged.iter().filter_map(|damaged| damaged.ts).max());
        MessagePage { items, meta: Meta::new(total, at), this, new_messages, damaged }
    }
}
