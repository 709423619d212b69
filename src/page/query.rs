//! What a listing of messages is asked for, as given and as checked.

use std::fmt;
use std::str::FromStr;

use super::{Cursor, PageAt, Roles, Types};
use crate::error::{Error, Result};
use crate::id::ThreadId;
use crate::limit::{HISTORY_LIMIT_MAX, PAGE_LIMIT_MAX, PAGE_LIMIT_MIN};
use crate::record::{MessageType, Role, Ts};

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
/// | `cursor` | none | goes on where a page of the same listing ended; without `page` |
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
    /// The types to list (`type` in a query string).
    pub types: Option<Types>,
    /// The roles to list (`role` in a query string).
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
    /// Where a page of the same listing ended: goes on from there.
    pub cursor: Option<Cursor>,
}

impl MessageQuery {
    /// Their names in a URL's query, in the order they are written.
    const PARAMETERS: [&str; 8] = ["type", "role", "thread_id", "gts", "page", "limit", "direction", "cursor"];

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

    /// Where a page of the same listing ended: goes on from there, or back.
    #[must_use]
    pub fn cursor(mut self, cursor: Cursor) -> Self {
        self.cursor = Some(cursor);
        self
    }

    /// The direction, given or by default.
    pub fn direction_or_default(&self) -> Direction {
        self.direction.unwrap_or(Direction::Desc)
    }

    /// The page and its size, given or by default.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) as [`PageAt::new`].
    pub fn page_at(&self) -> Result<PageAt> {
        PageAt::new(self.page, self.limit)
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
        let at = self.page_at()?;
        if self.cursor.is_some() && self.page.is_some() {
            return Err(Error::invalid("page and cursor are both given; a cursor leads to its own page"));
        }
        Ok(Matching {
            thread: self.thread,
            types,
            roles,
            gts: self.gts.unwrap_or(Ts::ZERO),
            past: None,
            direction: self.direction_or_default(),
            offset: at.offset(),
            limit: at.limit,
        })
    }

    /// Reads the parameters of a URL's query, as document A writes them.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a value that cannot be read, a parameter that is
    /// given twice (`type` and `role` may repeat), or one that is unknown. Bounds are checked by
    /// [`matching`](Self::matching), when the listing is read.
    pub fn from_query_string(query: &str) -> Result<Self> {
        let mut read = MessageQuery::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "type" => read.types = Some(read.types.unwrap_or(Types::NONE).with(value.parse()?)),
                "role" => read.roles = Some(read.roles.unwrap_or(Roles::NONE).with(value.parse()?)),
                "thread_id" => once(
                    "thread_id",
                    &mut read.thread,
                    value.parse().map_err(|_| Error::unreadable("thread_id", &value, "a UUID"))?,
                )?,
                "gts" => once("gts", &mut read.gts, value.parse().map_err(|_| Ts::unreadable("gts", &value))?)?,
                "page" => once("page", &mut read.page, whole("page", &value, 1, u64::MAX)?)?,
                "limit" => once("limit", &mut read.limit, whole("limit", &value, PAGE_LIMIT_MIN, PAGE_LIMIT_MAX)?)?,
                "direction" => once("direction", &mut read.direction, value.parse()?)?,
                "cursor" => once("cursor", &mut read.cursor, value.parse()?)?,
                _ => {
                    return Err(Error::unreadable(
                        "parameter",
                        &name,
                        format_args!("one of {}", Self::PARAMETERS.join(", ")),
                    ));
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
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
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

/// Reads digits. Values outside the bounds pass, if they fit: those are for the listing to refuse.
fn whole<T: FromStr + fmt::Display>(name: &str, text: &str, least: T, most: T) -> Result<T> {
    // A whole number of Rust's may start with a plus.
    let number = if text.starts_with('+') { None } else { text.parse().ok() };
    number.ok_or_else(|| Error::unreadable(name, text, format_args!("a whole number from {least} to {most}")))
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

    /// Its name, as queries and JSON write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Asc => "asc",
            Direction::Desc => "desc",
        }
    }
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Direction::Asc => Direction::Desc,
            Direction::Desc => Direction::Asc,
        }
    }
}

impl FromStr for Direction {
    type Err = Error;

    /// Reads `asc` or `desc`.
    fn from_str(text: &str) -> Result<Self> {
        Direction::ALL
            .into_iter()
            .find(|direction| direction.as_str() == text)
            .ok_or_else(|| Error::unreadable("direction", text, "one of asc, desc"))
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
