//! The law of the cursor, in a reader: it knows from all messages what each of its pages must show.

use super::snapshot::{all_messages, assert_same, difference};
use crate::error::Result;
use crate::page::{Direction, Form, Link, Matching, MessagePage, MessageQuery};
use crate::record::{Message, Ts};
use crate::store::{SessionRef, Store};

/// The stores it reads from, which must answer alike. What is right is told from all messages of the last.
pub(super) type Stores<'a> = &'a [&'a dyn Store];

/// Reads a page of a listing, then follows the link to new messages, or leafs through the listing.
#[derive(Debug)]
pub(super) struct Reader {
    at: SessionRef,
    page: MessagePage,
    /// The `gts` of the first page: a filter as any other.
    after: Ts,
    /// The `gts` of the present listing as a number of a message: nothing up to it is listed.
    floor: u32,
    /// Every matching message up to this number was read, or was there when a page showed the newest first.
    reached: u32,
}

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To the messages after the page, by its link.
    New,
    /// To the next page of the same listing, by the cursor.
    Next,
    /// To the page before.
    Prev,
}

impl Reader {
    /// Reads a first page.
    pub(super) fn begin(stores: Stores<'_>, at: SessionRef, link: Link) -> Result<Self> {
        let page = read(stores, at, link)?;
        let after = link.query.gts.unwrap_or(Ts::ZERO);
        let mut reader = Reader { at, page, after, floor: 0, reached: 0 };
        let all = reader.listed(stores);
        let matching = link.query.matching()?;
        let skip = usize::try_from(matching.offset).unwrap_or(usize::MAX);
        let expected = in_direction(all.clone(), matching.direction).skip(skip);
        reader.assert_page(&all, expected.take(matching.limit as usize).collect());
        reader.arrive(stores);
        Ok(reader)
    }

    /// Goes on and checks what it sees; stays where there is no such page. With another page size, if one is given.
    pub(super) fn go(&mut self, stores: Stores<'_>, step: Step, limit: Option<u32>) -> &[Message] {
        let Some(link) = self.link(step, limit) else { return &[] };
        let before = self.page.items.clone();
        self.page = read(stores, self.at, link).unwrap_or_else(|error| panic!("{link:?} is refused: {error}"));
        if step == Step::New {
            self.floor = self.reached;
        }
        let all = self.listed(stores);
        let direction = link.query.direction_or_default();
        let limit = link.query.limit.unwrap_or(crate::limit::PAGE_LIMIT_DEFAULT) as usize;
        let past = |message: &Message, edge: Option<&Message>, direction| match (edge, direction) {
            (None, _) => false,
            (Some(edge), Direction::Asc) => message.number > edge.number,
            (Some(edge), Direction::Desc) => message.number < edge.number,
        };
        let expected = match step {
            Step::New => all.iter().take(limit).cloned().collect(),
            Step::Next => {
                let rest = in_direction(all.clone(), direction);
                rest.filter(|message| past(message, before.last(), direction)).take(limit).collect()
            }
            Step::Prev => {
                let back = in_direction(all.clone(), direction.reversed());
                let back = back.filter(|message| past(message, before.first(), direction.reversed()));
                let mut expected: Vec<_> = back.take(limit).collect();
                expected.reverse();
                expected
            }
        };
        self.assert_page(&all, expected);
        self.arrive(stores);
        &self.page.items
    }

    /// The session it reads.
    pub(super) fn at(&self) -> SessionRef {
        self.at
    }

    /// Finds nothing wherever it would go on, its session having been deleted.
    pub(super) fn is_lost(&self, stores: Stores<'_>) {
        for link in [Step::New, Step::Next, Step::Prev].into_iter().filter_map(|step| self.link(step, None)) {
            let read = read(stores, self.at, link).map(|page| page.items);
            let lost = read.as_ref().is_err_and(crate::error::Error::is_not_found);
            assert!(lost, "{link:?} of a deleted session shows {read:?}");
        }
    }

    /// Follows the link until there is nothing more.
    pub(super) fn finish(mut self, stores: Stores<'_>) {
        while !self.go(stores, Step::New, None).is_empty() {}
    }

    fn link(&self, step: Step, limit: Option<u32>) -> Option<Link> {
        let cursor = match step {
            Step::New => return Some(self.page.new_messages),
            Step::Next => self.page.next,
            Step::Prev => self.page.prev,
        };
        let asked = self.page.this;
        let limit = limit.or(asked.query.limit);
        Some(Link { query: MessageQuery { page: None, cursor: Some(cursor?), limit, ..asked.query }, ..asked })
    }

    /// The messages of the present listing, oldest first.
    fn listed(&self, stores: Stores<'_>) -> Vec<Message> {
        let asked = self.page.this;
        let Matching { types, roles, thread, .. } = asked.query.matching().expect("it was asked for");
        let thread = if let Form::Thread(_, thread) = asked.form { Some(thread) } else { thread };
        let all = stores.last().map_or(Ok(Vec::new()), |store| all_messages(*store, self.at));
        let matches = |message: &Message| {
            types.contains(message.kind)
                && roles.contains(message.role)
                && thread.is_none_or(|thread| message.thread_id == Some(thread))
                && message.ts > self.after
                && message.number > self.floor
        };
        all.expect("its session can be read").into_iter().filter(matches).collect()
    }

    fn assert_page(&self, all: &[Message], expected: Vec<Message>) {
        let page = &self.page;
        if let Some(difference) = difference(&page.items, &expected) {
            panic!("a page shows other messages than are due at {difference}\nof {self:#?}");
        }
        assert_eq!(page.meta.total, all.len() as u64, "the total of {self:#?}");
        let ends = |edge: Option<&Message>, end: Option<&Message>| edge.is_some() && edge == end;
        let (first, last) = match page.this.query.direction_or_default() {
            Direction::Asc => (all.first(), all.last()),
            Direction::Desc => (all.last(), all.first()),
        };
        if !page.items.is_empty() {
            assert_eq!(page.prev.is_none(), ends(page.items.first(), first), "the cursor back of {self:#?}");
            assert_eq!(page.next.is_none(), ends(page.items.last(), last), "the cursor on of {self:#?}");
        }
    }

    /// Where the link to new messages goes on from this page.
    fn arrive(&mut self, stores: Stores<'_>) {
        self.reached = match self.page.this.query.direction_or_default() {
            Direction::Asc => self.page.items.last().map_or(self.floor, |message| message.number),
            Direction::Desc => {
                let record = stores.last().map(|store| store.session(self.at).expect("its session can be read"));
                record.map_or(0, |record| record.last_message)
            }
        };
    }
}

fn in_direction(mut all: Vec<Message>, direction: Direction) -> impl Iterator<Item = Message> {
    if direction == Direction::Desc {
        all.reverse();
    }
    all.into_iter()
}

/// A page of each store, which must be the same.
fn read(stores: Stores<'_>, at: SessionRef, link: Link) -> Result<MessagePage> {
    let asked = link.ask()?;
    let mut pages = stores.iter().map(|store| Ok(asked.page(store.messages(at, asked.matching())?)));
    let first = pages.next().expect("there is a store");
    pages.for_each(|page| assert_same(&first, &page));
    first
}
