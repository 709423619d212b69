//! A page of anything listed: which one, and how many there are.

use serde::Serialize;

use super::SessionsCursor;
use crate::error::{Error, Result};
use crate::limit::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, PAGE_LIMIT_MIN};
use crate::record::{Message, Ts};

/// A page and its size, checked.
///
/// ```
/// use parlor::page::PageAt;
///
/// assert_eq!(PageAt::new(Some(3), None)?.offset(), 100); // the default size is 50
/// let error = PageAt::new(None, Some(101)).unwrap_err();
/// assert_eq!(error.to_string(), "limit is 101; it must be 1 to 100");
/// # Ok::<(), parlor::Error>(())
/// ```
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

/// How many items there are, and which of them a page shows.
///
/// ```
/// use parlor::page::{Meta, PageAt};
///
/// let meta = Meta::new(101, PageAt::new(Some(3), Some(50))?);
/// assert_eq!((meta.total, meta.page, meta.limit, meta.total_pages), (101, 3, 50, 3));
/// # Ok::<(), parlor::Error>(())
/// ```
///
/// From document A (`meta`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// What stands on the page and cannot be read.
    pub damaged: Vec<Damaged>,
    /// Of sessions: what the next page begins behind, where there is more. The number of a page that a cursor led to is 1.
    pub next: Option<SessionsCursor>,
}

impl<T> Page<T> {
    /// Puts together what a store found.
    pub fn new(at: PageAt, total: u64, items: Vec<T>, damaged: Vec<Damaged>) -> Self {
        Page { items, meta: Meta::new(total, at), damaged, next: None }
    }
}

/// What a store found for a [`Matching`](super::Matching).
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// The messages, in the listing's direction.
    pub items: Vec<Message>,
    /// How many match in all, whatever page was asked for.
    pub total: u64,
    /// How many of them come before the page, in its direction.
    pub before: u64,
    /// The greatest `ts` of all that match.
    pub newest: Option<Ts>,
    /// What stands on the page and cannot be read.
    pub damaged: Vec<Damaged>,
}

/// A damaged record in the midst of a page: it is reported, and hides no other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damaged {
    /// The number of the message or the turn; none for a session.
    pub number: Option<u32>,
    /// The message's `ts`, so that a cursor gets past it.
    pub ts: Option<Ts>,
    /// What is wrong with it.
    pub error: String,
}

impl Damaged {
    /// A damaged record of this number.
    pub fn new(number: Option<u32>, ts: Option<Ts>, error: impl Into<String>) -> Self {
        Damaged { number, ts, error: error.into() }
    }
}
