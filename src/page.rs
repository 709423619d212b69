//! Listings as values: filters, pages and links. Pure arithmetic, no storage.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::id::{SessionId, ThreadId};
use crate::limit::{HISTORY_LIMIT_MAX, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, PAGE_LIMIT_MIN};
use crate::record::{Message, MessageType, Role, Ts};

macro_rules! set {
    ($(#[$doc:meta])* $name:ident of $item:ident, $param:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(u8);

        impl $name {
            /// Every one.
            pub const ALL: $name = $name((1 << $item::ALL.len()) - 1);
            /// None yet: to be filled with [`with`](Self::with). A listing refuses it.
            pub const NONE: $name = $name(0);

            /// The set of this one.
            pub const fn only(item: $item) -> Self {
                $name(1 << item as u8)
            }

            /// The same set and this one.
            #[must_use]
            pub const fn with(self, item: $item) -> Self {
                $name(self.0 | 1 << item as u8)
            }

            /// Whether this one is in it.
            pub const fn contains(self, item: $item) -> bool {
                self.0 & 1 << item as u8 != 0
            }

            /// Whether there is none in it.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Those in it, in the order of `ALL`.
            pub fn iter(self) -> impl Iterator<Item = $item> {
                $item::ALL.into_iter().filter(move |item| self.contains(*item))
            }
        }

        impl From<$item> for $name {
            fn from(item: $item) -> Self {
                $name::only(item)
            }
        }

        impl FromIterator<$item> for $name {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                items.into_iter().fold($name::NONE, $name::with)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_set().entries(self.iter()).finish()
            }
        }

        impl FromStr for $item {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                $item::ALL.into_iter().find(|item| item.as_str() == text).ok_or_else(|| {
                    let shown: String = text.chars().take(64).collect();
                    let known: Vec<_> = $item::ALL.iter().map(|item| item.as_str()).collect();
                    Error::invalid(format!("{} is {shown:?}; it must be one of {}", $param, known.join(", ")))
                })
            }
        }
    };
}

set!(
    /// A set of message types.
    Types of MessageType, "type"
);
set!(
    /// A set of roles.
    Roles of Role, "role"
);

/// Which way a listing goes, by `created_at` with ties in order of commit: the order of commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Asc, Direction::Desc];

    /// As the documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Asc => "asc",
            Direction::Desc => "desc",
        }
    }
}

impl FromStr for Direction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Direction::ALL.into_iter().find(|direction| direction.as_str() == text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Error::invalid(format!("direction is {shown:?}; it must be one of asc, desc"))
        })
    }
}

/// What a listing of messages is asked for. What is not given has its default.
///
/// | field | default | rule |
/// |---|---|---|
/// | `types` | `message`, `final_message` | any set but the empty one |
/// | `roles` | `assistant` | any set but the empty one |
/// | `thread` | none | only this thread's; ignored on a thread's own listing |
/// | `gts` | none | only messages whose `ts` is strictly greater |
/// | `page` | 1 | from 1 |
/// | `limit` | 50 | 1 to 100 |
/// | `direction` | newest first | |
///
/// ```
/// use parlor::page::{Direction, MessageQuery, Roles, Types};
///
/// let all = MessageQuery::default().types(Types::ALL).roles(Roles::ALL).direction(Direction::Asc);
/// let short: MessageQuery = (20, Direction::Asc).into();
/// assert_eq!(short.limit, Some(20));
/// assert_eq!(all.to_query_string(), "type=message&type=final_message&type=tool_call\
///     &role=user&role=assistant&role=system&role=tool&direction=asc");
/// ```
///
/// From document A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageQuery {
    /// The types to list (`type` in the documents).
    pub types: Option<Types>,
    /// The roles to list (`role` in the documents).
    pub roles: Option<Roles>,
    /// Only this thread's messages.
    pub thread: Option<ThreadId>,
    /// Only messages whose `ts` is strictly greater.
    pub gts: Option<Ts>,
    /// The page, from 1.
    pub page: Option<u64>,
    /// Messages a page, 1 to 100.
    pub limit: Option<u32>,
    /// Which way.
    pub direction: Option<Direction>,
}

impl MessageQuery {
    /// Every message: all types and all roles.
    pub fn all() -> Self {
        Self::default().types(Types::ALL).roles(Roles::ALL)
    }

    /// The types to list.
    #[must_use]
    pub fn types(mut self, types: impl Into<Types>) -> Self {
        self.types = Some(types.into());
        self
    }

    /// The roles to list.
    #[must_use]
    pub fn roles(mut self, roles: impl Into<Roles>) -> Self {
        self.roles = Some(roles.into());
        self
    }

    /// Only this thread's messages.
    #[must_use]
    pub fn thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Only messages whose `ts` is strictly greater.
    #[must_use]
    pub fn gts(mut self, gts: Ts) -> Self {
        self.gts = Some(gts);
        self
    }

    /// The page, from 1.
    #[must_use]
    pub fn page(mut self, page: u64) -> Self {
        self.page = Some(page);
        self
    }

    /// Messages a page, 1 to 100.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Which way.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// The direction, given or by default.
    pub fn direction_or_default(&self) -> Direction {
        self.direction.unwrap_or(Direction::Desc)
    }

    /// Checks every bound and fills in the defaults.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the parameter, its value and the bound.
    pub fn matching(&self) -> Result<Matching> {
        let types = self.types.unwrap_or(Types::only(MessageType::Message).with(MessageType::FinalMessage));
        let roles = self.roles.unwrap_or(Roles::only(Role::Assistant));
        if types.is_empty() {
            return Err(Error::invalid("type names none; it must name at least one"));
        }
        if roles.is_empty() {
            return Err(Error::invalid("role names none; it must name at least one"));
        }
        let PageAt { page, limit } = PageAt::new(self.page, self.limit)?;
        Ok(Matching {
            thread: self.thread,
            types,
            roles,
            gts: self.gts.unwrap_or(Ts::ZERO),
            past: None,
            direction: self.direction_or_default(),
            offset: page.saturating_sub(1).saturating_mul(u64::from(limit)),
            limit,
        })
    }

    /// Reads the parameters of a URL's query, as document A writes them.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a value that cannot be read, a parameter that is
    /// given twice (`type` and `role` may repeat), or one that is unknown.
    pub fn from_query_string(query: &str) -> Result<Self> {
        let mut read = MessageQuery::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "type" => read.types = Some(read.types.unwrap_or(Types::NONE).with(value.parse()?)),
                "role" => read.roles = Some(read.roles.unwrap_or(Roles::NONE).with(value.parse()?)),
                "thread_id" => once("thread_id", &mut read.thread, value.parse()?)?,
                "gts" => once("gts", &mut read.gts, value.parse()?)?,
                "page" => once("page", &mut read.page, whole("page", &value)?)?,
                "limit" => once("limit", &mut read.limit, whole("limit", &value)?)?,
                "direction" => once("direction", &mut read.direction, value.parse()?)?,
                _ => {
                    let shown: String = name.chars().take(64).collect();
                    return Err(Error::invalid(format!("parameter {shown:?} is unknown")));
                }
            }
        }
        Ok(read)
    }

    /// Writes what was given as the query of a URL: empty when nothing was.
    pub fn to_query_string(&self) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for kind in self.types.unwrap_or(Types::NONE).iter() {
            out.append_pair("type", kind.as_str());
        }
        for role in self.roles.unwrap_or(Roles::NONE).iter() {
            out.append_pair("role", role.as_str());
        }
        let numbers = [
            ("thread_id", self.thread.map(|thread| thread.to_string())),
            ("gts", self.gts.map(|gts| gts.to_string())),
            ("page", self.page.map(|page| page.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("direction", self.direction.map(|direction| direction.as_str().to_owned())),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                out.append_pair(name, &value);
            }
        }
        out.finish()
    }
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        Some(_) => Err(Error::invalid(format!("{name} is given twice"))),
        None => Ok(()),
    }
}

fn whole<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Error::invalid(format!("{name} is {shown:?}; it must be a whole number in its range"))
    })
}

impl From<()> for MessageQuery {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<u32> for MessageQuery {
    fn from(limit: u32) -> Self {
        Self::default().limit(limit)
    }
}

impl From<Direction> for MessageQuery {
    fn from(direction: Direction) -> Self {
        Self::default().direction(direction)
    }
}

impl From<(u32, Direction)> for MessageQuery {
    fn from((limit, direction): (u32, Direction)) -> Self {
        Self::default().limit(limit).direction(direction)
    }
}

/// A page and its size, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAt {
    /// The page, from 1.
    pub page: u64,
    /// Items a page, 1 to 100.
    pub limit: u32,
}

impl PageAt {
    /// Checks a page number (default 1) and a page size (default 50).
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the parameter, its value and the bound.
    pub fn new(page: Option<u64>, limit: Option<u32>) -> Result<Self> {
        let (page, limit) = (page.unwrap_or(1), limit.unwrap_or(PAGE_LIMIT_DEFAULT));
        if page == 0 {
            return Err(Error::invalid("page is 0; it must be at least 1"));
        }
        if !(PAGE_LIMIT_MIN..=PAGE_LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid(format!("limit is {limit}; it must be {PAGE_LIMIT_MIN} to {PAGE_LIMIT_MAX}")));
        }
        Ok(PageAt { page, limit })
    }

    /// How many items stand before the page.
    pub const fn offset(&self) -> u64 {
        self.page.saturating_sub(1).saturating_mul(self.limit as u64)
    }
}

impl Default for PageAt {
    fn default() -> Self {
        PageAt { page: 1, limit: PAGE_LIMIT_DEFAULT }
    }
}

/// Which messages of a session a store is asked for: a checked [`MessageQuery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matching {
    /// Only this thread's.
    pub thread: Option<ThreadId>,
    /// Only these types.
    pub types: Types,
    /// Only these roles.
    pub roles: Roles,
    /// Only those whose `ts` is strictly greater.
    pub gts: Ts,
    /// Items begin strictly past this message number, in the listing's direction; totals do not mind it.
    pub past: Option<u32>,
    /// Which way.
    pub direction: Direction,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return at most: 1 to 1,000.
    pub limit: u32,
}

impl Matching {
    /// The newest `limit` messages of all types and roles, newest first.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) unless `limit` is 1 to 1,000.
    pub fn history(limit: u32) -> Result<Self> {
        if !(1..=HISTORY_LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid(format!("limit is {limit}; it must be 1 to {HISTORY_LIMIT_MAX}")));
        }
        Ok(Matching { limit, ..MessageQuery::all().matching()? })
    }
}

/// How many items there are, and which of them a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// Exactly how many items match the filters.
    pub total: u64,
    /// This page, from 1.
    pub page: u64,
    /// Items a page.
    pub limit: u32,
    /// How many pages there are; 0 when nothing matches.
    pub total_pages: u64,
}

impl Meta {
    /// The arithmetic of a page.
    pub fn new(total: u64, at: PageAt) -> Self {
        Meta { total, page: at.page, limit: at.limit, total_pages: total.div_ceil(u64::from(at.limit.max(1))) }
    }
}

/// A page of anything listed, with its exact total, from one snapshot.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// How many there are in all.
    pub meta: Meta,
}

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
        let path = match self.form {
            Form::Session(session) => format!("/rest/v1/sessions/{session}/messages"),
            Form::Thread(session, thread) => format!("/rest/v1/sessions/{session}/threads/{thread}/messages"),
        };
        let query = self.query.to_query_string();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{query}", base.trim_end_matches('/'))
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
}

impl MessagePage {
    /// Puts together what a store found for a link.
    pub(crate) fn new(this: Link, at: PageAt, total: u64, newest: Option<Ts>, items: Vec<Message>) -> Self {
        let new_messages = this.new_messages(newest, &items);
        MessagePage { items, meta: Meta::new(total, at), this, new_messages }
    }
}
