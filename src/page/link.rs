//! Links to listings of messages, and the cursor they carry.

use super::cursor::Way;
use super::{Cursor, Damaged, Direction, Matched, Matching, MessageQuery, Meta, PageAt};
use crate::error::Result;
use crate::id::{SessionId, ThreadId};
use crate::record::{Message, Ts};

/// Whose listing it is: of a session, or of one of its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
        let query =
            MessageQuery { page: None, cursor: None, gts: Some(gts), direction: Some(Direction::Asc), ..self.query };
        Link { form: self.form, query }
    }

    /// What the store is to be asked for: the checked query, of this listing.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a parameter out of bounds,
    /// [`InvalidCursor`](crate::ErrorKind::InvalidCursor) for a cursor of another listing.
    pub fn ask(&self) -> Result<Asked> {
        let mut matching = self.query.matching()?;
        if let Form::Thread(_, thread) = self.form {
            matching.thread = Some(thread);
        }
        let listed = matching;
        let Some(cursor) = self.query.cursor else { return Ok(Asked { link: *self, listed, matching, way: Way::On }) };
        let (way, past) = cursor.place(self.form, &matching)?;
        matching.past = Some(past);
        if way == Way::Back {
            matching.direction = matching.direction.reversed();
        }
        Ok(Asked { link: *self, listed, matching, way })
    }
}

/// A listing on its way to a store.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    link: Link,
    /// As the listing has it.
    listed: Matching,
    /// As the store is asked: a way back is a listing in the other direction.
    matching: Matching,
    way: Way,
}

impl Asked {
    /// What to ask the store for.
    pub fn matching(&self) -> Matching {
        self.matching
    }

    /// Puts together the page from what the store found.
    pub fn page(self, found: Matched) -> MessagePage {
        let Matched { mut items, total, mut before, newest, damaged } = found;
        let shown = (items.len() + damaged.len()) as u64;
        if self.way == Way::Back {
            items.reverse();
            before = total.saturating_sub(before + shown);
        }
        let after = total.saturating_sub(before + shown);
        let numbers = items.iter().map(|message| message.number).chain(damaged.iter().filter_map(|it| it.number));
        let (least, most) = numbers.fold((None::<u32>, None), |(least, most), number| {
            (Some(least.map_or(number, |least| least.min(number))), most.max(Some(number)))
        });
        let (first, last) = match self.listed.direction {
            Direction::Asc => (least, most),
            Direction::Desc => (most, least),
        };
        let edge = |way, number: Option<u32>| number.map(|past| Cursor::new(self.link.form, &self.listed, way, past));
        let (next, prev) = (edge(Way::On, last.filter(|_| after > 0)), edge(Way::Back, first.filter(|_| before > 0)));
        let mut new_messages = self.link.new_messages(newest, &items);
        // A cursor that stopped before a damaged message would meet it again for ever.
        new_messages.query.gts = new_messages.query.gts.max(damaged.iter().filter_map(|damaged| damaged.ts).max());
        let limit = self.listed.limit;
        let page = self.link.query.page.unwrap_or(before / u64::from(limit.max(1)) + 1);
        let meta = Meta::new(total, PageAt { page, limit });
        MessagePage { items, meta, this: self.link, new_messages, next, prev, damaged }
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
    /// How many there are in all. A page that a cursor led to has the number of the page that its first
    /// item stands on.
    pub meta: Meta,
    /// This page again: exactly what was asked for.
    pub this: Link,
    /// Every later matching message: follow it again and again.
    pub new_messages: Link,
    /// What comes after this page in the listing's direction; none when there is nothing now.
    pub next: Option<Cursor>,
    /// What comes before this page; none on the first.
    pub prev: Option<Cursor>,
    /// What stands on the page and cannot be read.
    pub damaged: Vec<Damaged>,
}
