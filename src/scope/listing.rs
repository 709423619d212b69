//! Listings: a page, or all pages one after the other.

use std::collections::VecDeque;
use std::fmt;

use super::Core;
use crate::error::{ErrorKind, Result};
use crate::page::{Form, Link, Matching, MessagePage, MessageQuery, PageAt};
use crate::record::Message;
use crate::store::SessionRef;
use crate::sync::Arc;

/// Which page of sessions or turns to list.
///
/// `()` is the first page of 50, a number its size, a pair the page and its size.
///
/// ```
/// use parlor::PageQuery;
///
/// assert_eq!(PageQuery::from(20), PageQuery { page: None, limit: Some(20) });
/// assert_eq!(PageQuery::from((3, 20)), PageQuery { page: Some(3), limit: Some(20) });
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The page, from 1; by default the first.
    pub page: Option<u64>,
    /// Items a page, 1 to 100; by default 50.
    pub limit: Option<u32>,
}

impl PageQuery {
    pub(super) fn at(self) -> Result<PageAt> {
        PageAt::new(self.page, self.limit)
    }
}

impl From<()> for PageQuery {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<u32> for PageQuery {
    fn from(limit: u32) -> Self {
        PageQuery { page: None, limit: Some(limit) }
    }
}

impl From<(u64, u32)> for PageQuery {
    fn from((page, limit): (u64, u32)) -> Self {
        PageQuery { page: Some(page), limit: Some(limit) }
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
    core: Arc<Core>,
    at: SessionRef,
    link: Link,
}

impl Listing {
    pub(super) fn new(core: Arc<Core>, at: SessionRef, form: Form, query: MessageQuery) -> Self {
        Listing { core, at, link: Link { form, query } }
    }

    /// The page that was asked for, with the exact total and the links, from one snapshot. A
    /// page past the end is empty.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a parameter out of bounds,
    /// [`NotFound`](ErrorKind::NotFound) for a thread that is not the session's, [`Corrupt`](ErrorKind::Corrupt) when a
    /// message of the page is damaged.
    pub fn page(&self) -> Result<MessagePage> {
        let store = self.core.store()?;
        let at = PageAt::new(self.link.query.page, self.link.query.limit)?;
        let matched = store.messages(self.at, self.matching()?)?;
        Ok(MessagePage::new(self.link, at, matched.total, matched.newest, matched.items))
    }

    /// All messages from the page that was asked for on, in the listing's direction. Each page
    /// is a read of its own, so messages written meanwhile may come along.
    ///
    /// The iterator yields the [errors of `page`](Self::page). After a damaged message it goes on with
    /// the next one; any other error is its last item.
    pub fn iter(&self) -> MessageIter {
        let matching = self.matching();
        MessageIter {
            core: Arc::clone(&self.core),
            at: self.at,
            page: matching.as_ref().map_or(0, |matching| matching.limit),
            next: Some(matching),
            careful: 0,
            items: VecDeque::new(),
        }
    }

    fn matching(&self) -> Result<Matching> {
        let mut matching = self.link.query.matching()?;
        if let Form::Thread(_, thread) = self.link.form {
            matching.thread = Some(thread);
        }
        Ok(matching)
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
    core: Arc<Core>,
    at: SessionRef,
    /// The size of a read.
    page: u32,
    /// The next read; none when there is nothing more to read.
    next: Option<Result<Matching>>,
    /// How many messages to read one by one, because one of them is damaged.
    careful: u32,
    items: VecDeque<Message>,
}

impl MessageIter {
    /// Reads on. Answers with an error that is to be yielded before the rest.
    fn fill(&mut self, mut matching: Matching) -> Result<()> {
        matching.limit = if self.careful > 0 { 1 } else { self.page };
        match self.core.store().and_then(|store| store.messages(self.at, matching)) {
            Ok(matched) => {
                let read = u32::try_from(matched.items.len()).unwrap_or(matching.limit);
                self.careful = self.careful.saturating_sub(read);
                if let Some(last) = matched.items.last()
                    && read == matching.limit
                {
                    self.next = Some(Ok(Matching { past: Some(last.number), offset: 0, ..matching }));
                }
                self.items.extend(matched.items);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Corrupt && matching.limit > 1 => {
                self.careful = matching.limit;
                self.fill(matching)
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.careful = self.careful.saturating_sub(1);
                let offset = matching.offset.saturating_add(1);
                // Past the end no record is read. Where that fails too it is not one record that
                // is damaged, and where there are no more of them the walk is over.
                let end = Matching { offset: u64::MAX, ..matching };
                let total = self.core.store().and_then(|store| store.messages(self.at, end)).map(|end| end.total);
                if total.is_ok_and(|total| offset < total) {
                    self.next = Some(Ok(Matching { offset, ..matching }));
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

impl Iterator for MessageIter {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.items.is_empty() {
            let matching = match self.next.take()? {
                Ok(matching) => matching,
                Err(error) => return Some(Err(error)),
            };
            if let Err(error) = self.fill(matching) {
                return Some(Err(error));
            }
        }
        self.items.pop_front().map(Ok)
    }
}

impl std::iter::FusedIterator for MessageIter {}

impl fmt::Debug for MessageIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageIter").field("at", &self.at).field("next", &self.next).finish_non_exhaustive()
    }
}
