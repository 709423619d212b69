//! Every way to list a session, against the reference store.

use std::collections::HashSet;
use std::fmt::Debug;

use parlor::page::{Direction, Form, Link, MessagePage, MessageQuery, Meta, Roles, Types};
use parlor::{AgentHandle, Message, MessageType, Role, Session, Ts, limit};

use crate::compare::{self, Place};
use crate::data::{Conversation, Failure};
use crate::oracle::{Expected, Oracle};

/// Page sizes: the least, one that splits turns, the default and the most.
const LIMITS: [u32; 4] = [1, 7, limit::PAGE_LIMIT_DEFAULT, limit::PAGE_LIMIT_MAX];
/// A listing of more pages than this is read at its ends and in its middle only.
const PAGES: u64 = 64;

/// Compares every listing of a session, and answers with how many pages were read.
///
/// `stored` is all it has, compared with its file before.
///
/// # Errors
///
/// The first [`Difference`](compare::Difference), or an error of a read.
pub fn session(session: &Session, conversation: &Conversation, stored: &[Message]) -> Result<u64, Failure> {
    against(session, conversation, stored, Oracle::new(conversation, stored)?)
}

/// As [`session`], by what this one knows.
///
/// # Errors
///
/// Those of [`session`].
pub fn against(
    session: &Session,
    conversation: &Conversation,
    stored: &[Message],
    oracle: Oracle<'_>,
) -> Result<u64, Failure> {
    let mut check = Check { session, name: &conversation.session, stored, oracle, pages: 0 };
    let whole = Form::Session(session.id());
    for filter in filters() {
        check.pages(whole, filter)?;
    }
    let threads = stored.iter().filter_map(|message| message.thread_id);
    let threads: Vec<_> = threads.collect::<HashSet<_>>().into_iter().collect();
    for thread in &threads {
        for filter in [MessageQuery::default(), MessageQuery::all()] {
            check.pages(Form::Thread(session.id(), *thread), filter)?;
            check.pages(whole, filter.thread(*thread))?;
        }
    }
    let middle = stored.get(stored.len() / 2).map(|message| message.ts);
    let forms = [Some(whole), threads.first().map(|thread| Form::Thread(session.id(), *thread))];
    for form in forms.into_iter().flatten() {
        for start in starts(middle) {
            check.walk(form, start)?;
            check.iterate(form, start)?;
        }
    }
    check.history()?;
    check.transcript()?;
    check.turns()?;
    Ok(check.pages)
}

/// Compares the listing of an agent's sessions with the keys that must be in it; others may be.
///
/// # Errors
///
/// The first [`Difference`](compare::Difference), or an error of a read.
pub fn sessions(agent: &AgentHandle, expected: &[String]) -> Result<(), Failure> {
    let place = Place { session: "all of them", seq: None };
    for limit in [7, limit::PAGE_LIMIT_MAX] {
        let mut listed = Vec::new();
        for number in 1.. {
            let page = agent.sessions((number, limit))?;
            let end = page.items.is_empty();
            listed.extend(page.items);
            if end {
                place.same("total of sessions", &(listed.len() as u64), &page.meta.total)?;
                break;
            }
        }
        let order = |record: &parlor::SessionRecord| (record.updated_at, record.id);
        place.same("newest activity first", &true, &listed.is_sorted_by(|a, b| order(a) > order(b)))?;
        let keys: HashSet<_> = listed.iter().map(|record| record.key.as_str()).collect();
        place.same("sessions listed twice", &listed.len(), &keys.len())?;
        let missing = expected.iter().find(|key| !keys.contains(key.as_str()));
        place.same("session not listed", &None, &missing)?;
    }
    Ok(())
}

/// Each set of types and each role, with the defaults and all.
fn filters() -> impl Iterator<Item = MessageQuery> {
    let types = (1_u8..8).map(|bits| {
        let chosen = MessageType::ALL.into_iter().zip(0..).filter(move |(_, bit)| bits >> bit & 1 == 1);
        Some(chosen.map(|(kind, _)| kind).collect::<Types>())
    });
    let types: Vec<_> = types.chain([None]).collect();
    let roles = Role::ALL.map(|role| Some(Roles::only(role))).into_iter().chain([Some(Roles::ALL), None]);
    roles.flat_map(move |roles| {
        types.clone().into_iter().map(move |types| {
            let mut query = MessageQuery::default();
            (query.types, query.roles) = (types, roles);
            query
        })
    })
}

/// Pages that a cursor walk begins at.
fn starts(middle: Option<Ts>) -> Vec<MessageQuery> {
    let tools = MessageQuery::default().types(MessageType::ToolCall).roles(Roles::ALL);
    let mut starts = Vec::new();
    for filter in [MessageQuery::default(), MessageQuery::all(), tools] {
        for limit in LIMITS {
            let first = filter.limit(limit);
            starts.extend([first, first.direction(Direction::Asc)]);
            starts.extend([2, 3, 1_000_000].map(|page| first.direction(Direction::Asc).page(page)));
            starts.extend(middle.map(|ts| first.gts(ts).direction(Direction::Asc)));
            starts.extend(middle.map(|ts| first.gts(ts).page(2)));
        }
    }
    starts
}

struct Check<'a> {
    session: &'a Session,
    name: &'a str,
    stored: &'a [Message],
    oracle: Oracle<'a>,
    pages: u64,
}

impl Check<'_> {
    /// Each page of a listing in each size, both ways, and two pages past its end.
    fn pages(&mut self, form: Form, filter: MessageQuery) -> Result<(), Failure> {
        self.page(form, filter)?;
        for limit in LIMITS {
            for direction in Direction::ALL {
                let query = filter.limit(limit).direction(direction);
                let first = self.page(form, query.page(1))?;
                let last = first.meta.total_pages;
                let inner = if last <= PAGES { 2..last + 1 } else { last / 2..last / 2 + 3 };
                for page in inner.chain([last.max(1) + 1, last + 1_000_000]) {
                    self.page(form, query.page(page))?;
                }
                if last > PAGES {
                    self.page(form, query.page(2))?;
                    self.page(form, query.page(last))?;
                }
            }
        }
        Ok(())
    }

    /// One page, with its items, totals and links.
    fn page(&mut self, form: Form, query: MessageQuery) -> Result<MessagePage, Failure> {
        self.pages += 1;
        let expected = self.oracle.page(form, query)?;
        let page = match form {
            Form::Session(_) => self.session.messages(query).page()?,
            Form::Thread(_, thread) => self.session.thread(thread)?.messages(query).page()?,
        };
        let link = Link { form, query };
        self.same(&link, "damaged", &Vec::new(), &page.damaged)?;
        self.items(&link, &expected.items, &page.items)?;
        let Meta { total, page: number, limit, total_pages, .. } = page.meta;
        let (at, most) = (query.page.unwrap_or(1), query.limit.unwrap_or(limit::PAGE_LIMIT_DEFAULT));
        let meta = (expected.total, at, most, expected.total.div_ceil(u64::from(most)));
        self.same(&link, "meta", &meta, &(total, number, limit, total_pages))?;
        self.same(&link, "self", &link, &page.this)?;
        self.same(&link, "new_messages", &next(&link, &expected), &page.new_messages)?;
        Ok(page)
    }

    /// Follows `new_messages` from a page until nothing is new: each message that stands past
    /// the cursor comes once, in order.
    fn walk(&mut self, form: Form, start: MessageQuery) -> Result<(), Failure> {
        let mut link = self.page(form, start)?.new_messages;
        let expected = self.oracle.onwards(form, link.query)?;
        let steps = expected.total.div_ceil(u64::from(start.limit.unwrap_or(limit::PAGE_LIMIT_DEFAULT)));
        if steps > PAGES {
            return Ok(());
        }
        let mut walked = Vec::new();
        loop {
            let page = self.page(link.form, link.query)?;
            if page.items.is_empty() {
                break;
            }
            walked.extend(page.items);
            link = page.new_messages;
        }
        self.items(&Link { form, query: start }, &expected.items, &walked)
    }

    /// Reads a listing through its iterator, which begins at the query's page.
    fn iterate(&self, form: Form, start: MessageQuery) -> Result<(), Failure> {
        let expected = self.oracle.onwards(form, start)?;
        let items: parlor::Result<Vec<_>> = match form {
            Form::Session(_) => self.session.messages(start).iter().collect(),
            Form::Thread(_, thread) => self.session.thread(thread)?.messages(start).iter().collect(),
        };
        self.items(&Link { form, query: start }, &expected.items, &items?)
    }

    /// The newest messages, oldest first.
    fn history(&self) -> Result<(), Failure> {
        for limit in [1, 7, 50, limit::HISTORY_LIMIT_MAX] {
            let newest = self.stored.len().saturating_sub(limit as usize);
            let expected: Vec<_> = self.stored.iter().skip(newest).collect();
            let link = Link { form: Form::Session(self.session.id()), query: MessageQuery::default() };
            self.items(&link, &expected, &self.session.history(limit)?)?;
        }
        Ok(())
    }

    /// The history as a model takes it. One that is past a bound is refused by both.
    fn transcript(&self) -> Result<(), Failure> {
        let place = Place { session: self.name, seq: None };
        let (expected, found) = match (self.oracle.transcript(), self.session.transcript()) {
            (Ok(expected), Ok(found)) => (expected, found),
            (expected, found) => {
                let [expected, found] = [expected, found].map(|told| told.map_err(|error| error.kind()));
                return Ok(place.same(
                    "transcript",
                    &expected.map(|told| told.len()),
                    &found.map(|told| told.len()),
                )?);
            }
        };
        for (at, (expected, found)) in expected.iter().zip(&found).enumerate() {
            place.same(&format!("message {at} of the transcript"), expected, found)?;
        }
        Ok(place.same("messages of the transcript", &expected.len(), &found.len())?)
    }

    /// The turns, newest first, in pages of each size.
    fn turns(&self) -> Result<(), Failure> {
        let mut turns = compare::turns(self.session)?;
        let place = Place { session: self.name, seq: None };
        let numbers: Vec<_> = turns.iter().map(|turn| turn.number).collect();
        place.same("turn numbers", &(1..).take(turns.len()).collect(), &numbers)?;
        turns.reverse();
        for limit in LIMITS {
            let pages = turns.chunks(limit as usize).chain([&[][..]]);
            for (number, expected) in (1_u64..).zip(pages).take(PAGES as usize) {
                let page = self.session.turns((number, limit))?;
                let meta = (turns.len() as u64, number, limit);
                let field = format!("turns, page {number} of {limit}");
                place.same(&field, &meta, &(page.meta.total, page.meta.page, page.meta.limit))?;
                place.same(&field, &expected, &page.items.as_slice())?;
            }
        }
        Ok(())
    }

    /// The items of a listing, one by one.
    fn items(&self, link: &Link, expected: &[&Message], found: &[Message]) -> Result<(), Failure> {
        for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
            if *expected != found {
                let seq = self.stored.iter().position(|message| message.id == expected.id);
                let place = Place { session: self.name, seq };
                place.same(&format!("item {at} of {}", link.href("")), *expected, found)?;
            }
        }
        self.same(link, "items", &expected.len(), &found.len())
    }

    fn same<T: PartialEq + Debug>(&self, link: &Link, what: &str, expected: &T, found: &T) -> Result<(), Failure> {
        if expected != found {
            let place = Place { session: self.name, seq: None };
            place.same(&format!("{what} of {}", link.href("")), expected, found)?;
        }
        Ok(())
    }
}

/// The link to what is new after a page: the filters and the size stay, the page goes, and the
/// cursor is the newest of all when the page is newest first, of the items when it is oldest first.
fn next(link: &Link, expected: &Expected<'_>) -> Link {
    let newest = match link.query.direction.unwrap_or(Direction::Desc) {
        Direction::Desc => expected.newest,
        Direction::Asc => expected.items.last().map(|message| message.ts),
    };
    let mut query = link.query.gts(newest.or(link.query.gts).unwrap_or(Ts::ZERO)).direction(Direction::Asc);
    query.page = None;
    Link { form: link.form, query }
}
