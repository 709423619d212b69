//! Listings: a page, or all pages one after the other.

use std::fmt;

use super::Door;
use crate::error::{Error, ErrorKind, Result};
use crate::grant::Act;
use crate::id::{AgentId, WorkspaceId};
use crate::page::{Direction, Form, Link, Matching, MessagePage, MessageQuery, PageAt, SessionsCursor};
use crate::record::Message;
use crate::store::{SessionRef, SessionsQuery};

/// Which page of sessions or turns to list.
///
/// `()` is the first page of 50, a number its size, a pair the page and its size.
///
/// ```
/// use parlor::PageQuery;
///
/// assert_eq!(PageQuery::from(20), PageQuery::default().limit(20));
/// assert_eq!(PageQuery::from((3, 20)), PageQuery::default().page(3).limit(20));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The page, from 1; by default the first.
    pub page: Option<u64>,
    /// Items a page, 1 to 100; by default 50.
    pub limit: Option<u32>,
    /// Behind what it begins, in place of a page's number. Lists of sessions have such cursors.
    pub after: Option<SessionsCursor>,
}

impl PageQuery {
    /// The page behind the one that ended so.
    pub fn after(cursor: SessionsCursor) -> Self {
        PageQuery { after: Some(cursor), ..PageQuery::default() }
    }

    /// The page of this number, from 1.
    #[must_use]
    pub fn page(mut self, page: u64) -> Self {
        self.page = Some(page);
        self
    }

    /// So many items a page, 1 to 100.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Of a list that has no cursors.
    pub(crate) fn at(self) -> Result<PageAt> {
        match self.after {
            None => PageAt::new(self.page, self.limit),
            Some(_) => Err(Error::new(ErrorKind::InvalidCursor, "the cursor is one of a list of sessions")),
        }
    }

    /// Of the sessions of an agent, or of a workspace.
    pub(crate) fn of_sessions(self, workspace: WorkspaceId, agent: Option<AgentId>) -> Result<SessionsQuery> {
        let page = PageAt::new(self.page, self.limit)?;
        let after = self.after.map(|after| after.place(workspace, agent)).transpose()?;
        match self.page {
            Some(number) if after.is_some() => {
                Err(Error::invalid(format!("page is {number}, beside a cursor; give one or the other")))
            }
            _ => Ok(SessionsQuery { workspace, agent, page, after }),
        }
    }
}

impl From<()> for PageQuery {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<u32> for PageQuery {
    fn from(limit: u32) -> Self {
        PageQuery::default().limit(limit)
    }
}

impl From<(u64, u32)> for PageQuery {
    fn from((page, limit): (u64, u32)) -> Self {
        PageQuery::default().page(page).limit(limit)
    }
}

/// A listing of messages, of a session or of one of its threads, to be read by page or message
/// by message.
///
/// A client that wants every message exactly once follows the link to the new ones:
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
/// # let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
/// use parlor::page::MessageQuery;
///
/// session.append(["one", "two"])?;
/// let page = session.messages(MessageQuery::all()).page()?;
/// assert_eq!(page.meta.total, 2);
/// session.append(["three"])?;
/// let new = session.messages(page.new_messages.query).page()?;
/// assert_eq!(new.items.len(), 1);
/// assert_eq!(new.items[0].text(), "three");
/// # engine.close()
/// # }
/// ```
#[derive(Clone)]
pub struct Listing {
    core: Door,
    at: SessionRef,
    link: Link,
}

impl Listing {
    pub(super) fn new(core: Door, at: SessionRef, form: Form, query: MessageQuery) -> Self {
        Listing { core, at, link: Link { form, query } }
    }

    /// The page that was asked for, with the exact total and the links, from one snapshot. A
    /// page past the end is empty; a damaged message is named beside the items.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a parameter out of bounds,
    /// [`NotFound`](crate::ErrorKind::NotFound) for a thread that is not the session's.
    pub fn page(&self) -> Result<MessagePage> {
        let asked = self.link.ask()?;
        Ok(asked.page(self.core.store(Act::Listing)?.messages(self.at, asked.matching())?))
    }

    /// All messages from the page that was asked for on, in the listing's direction. Each page
    /// is a read of its own, so messages written meanwhile may come along.
    ///
    /// A damaged message is an item that is [`Corrupt`](crate::ErrorKind::Corrupt), and the walk goes on past it;
    /// an error of [`page`](Self::page) is the last item.
    pub fn iter(&self) -> MessageIter {
        MessageIter {
            core: self.core.clone(),
            at: self.at,
            next: Some(self.link.ask().map(|asked| asked.matching())),
            items: Vec::new().into_iter(),
        }
    }
}

impl IntoIterator for &Listing {
    type Item = Result<Message>;
    type IntoIter = MessageIter;

    fn into_iter(self) -> MessageIter {
        self.iter()
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listing").field(&self.link).finish()
    }
}

/// The messages of a [`Listing`], one after the other. Holds one page at a time.
pub struct MessageIter {
    core: Door,
    at: SessionRef,
    /// The next read; none when there is nothing more to read.
    next: Option<Result<Matching>>,
    items: std::vec::IntoIter<Result<Message>>,
}

impl MessageIter {
    /// The last item.
    fn refuse(&mut self, error: Error) -> Result<Message> {
        (self.next, self.items) = (None, Vec::new().into_iter());
        Err(error)
    }

    /// Reads the next page, and where the one after it begins.
    fn read(&mut self, matching: Matching) -> Result<()> {
        let found = self.core.store(Act::Listing)?.messages(self.at, matching)?;
        let readable = found.items.into_iter().map(|message| (Some(message.number), Ok(message)));
        let damaged = found.damaged.into_iter().map(|damaged| (damaged.number, Err(Error::corrupt(damaged.error))));
        let mut page: Vec<_> = readable.chain(damaged).collect();
        page.sort_by(|(one, _), (other, _)| match matching.direction {
            Direction::Asc => one.cmp(other),
            Direction::Desc => other.cmp(one),
        });
        if page.len() >= matching.limit as usize {
            let past = page.last().and_then(|(number, _)| *number);
            self.next = past.map(|past| Ok(Matching { past: Some(past), offset: 0, ..matching }));
        }
        self.items = page.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into_iter();
        Ok(())
    }
}

impl Iterator for MessageIter {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.items.next() {
                // What was read is told to nobody who may not read it any more.
                return Some(self.core.recheck(Act::Listing).map_or_else(|error| self.refuse(error), |()| item));
            }
            let matching = self.next.take()?;
            if let Err(error) = matching.and_then(|matching| self.read(matching)) {
                return Some(Err(error));
            }
        }
    }
}

impl std::iter::FusedIterator for MessageIter {}

impl fmt::Debug for MessageIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageIter").field("at", &self.at).field("next", &self.next).finish_non_exhaustive()
    }
}
