//! Listing messages and threads. Filtering reads positions, and only what is returned is decoded.

use std::collections::VecDeque;

use super::codec::{HeadRow, ThreadRow};
use super::positions::{Classes, List, Merged, Times, is_in_thread, told};
use super::tables::{Table, rows, sessions};
use super::view::Read;
use super::{message, place};
use crate::bug::{Bug, is_planted};
use crate::error::{ErrorKind, Result};
use crate::id::ThreadId;
use crate::page::{Damaged, Direction, Matching};
use crate::record::{ThreadRecord, Ts};
use crate::store::{Matched, SessionRef};

/// A thread of a session.
pub(super) fn thread(view: &dyn Read, at: SessionRef, id: ThreadId) -> Result<ThreadRecord> {
    let session = place::session(view, at)?;
    let number = place::thread(view, session, id)?;
    let row: ThreadRow = view.expected(Table::Rows, &rows::numbered(session, rows::Kind::Thread, number))?;
    Ok(row.record(at.session, number))
}

/// The messages of a session that match.
pub(super) fn list(view: &dyn Read, at: SessionRef, matching: &Matching) -> Result<Matched> {
    let session = place::session(view, at)?;
    let head: HeadRow = view.expected(Table::Sessions, &sessions::head(session))?;
    let thread = matching.thread.map(|id| place::thread(view, session, id)).transpose()?;
    let classes = Classes::of(matching.roles, matching.types);
    let mut asked =
        Asked { view, session, thread, classes, matching, head, times: Times::new(view, session, head.messages) };
    let found = match asked.quickly() {
        // Positions are made of the messages: where they are damaged, the messages still tell.
        Err(error) if error.kind() == ErrorKind::Corrupt => asked.slowly()?,
        found => found?,
    };
    let Found { total, before, .. } = found;
    let mut matched = Matched { items: Vec::new(), total, before, newest: None, damaged: Vec::new() };
    // Rising whatever the direction: that is how they stand in memory.
    let mut items = VecDeque::with_capacity(found.numbers.len());
    message::each(view, session, at.session, &found.numbers, |number, read| {
        match (read, matching.direction) {
            (Ok(message), Direction::Asc) => items.push_back(message),
            (Ok(message), Direction::Desc) => items.push_front(message),
            (Err(error), _) if error.kind() == ErrorKind::Corrupt => {
                matched.damaged.push(Damaged::new(Some(number), asked.ts(number)?, error.to_string()));
            }
            (Err(error), _) => return Err(error),
        }
        Ok(())
    })?;
    matched.items = items.into();
    if matching.direction == Direction::Desc {
        matched.damaged.reverse();
    }
    matched.newest = match (found.newest, matched.items.first()) {
        (Some(newest), Some(first)) if first.number == newest => Some(first.ts),
        (Some(newest), _) => asked.ts(newest)?,
        (None, _) => None,
    };
    Ok(matched)
}

/// What a listing is asked for.
struct Asked<'v> {
    view: &'v dyn Read,
    session: u32,
    thread: Option<u32>,
    classes: Classes,
    matching: &'v Matching,
    head: HeadRow,
    times: Times<'v>,
}

/// What matches: which messages stand on the page, their numbers rising, how many there are in all and before the page,
/// and the last of all.
struct Found {
    numbers: Vec<u32>,
    total: u64,
    before: u64,
    newest: Option<u32>,
}

impl Asked<'_> {
    /// By the positions.
    fn quickly(&mut self) -> Result<Found> {
        let after_last = self.head.messages.saturating_add(1);
        let from = match self.matching.gts.as_micros() {
            0 => 1,
            gts if gts >= self.head.last_ts => after_last,
            gts => self.times.first_after(gts)?,
        };
        if self.thread.is_none() && after_last.saturating_sub(from) <= self.view.block() {
            self.by_times(from)
        } else {
            self.by_lists(from)
        }
    }

    /// The few messages from this number on, one by one.
    fn by_times(&mut self, from: u32) -> Result<Found> {
        let mut all = Vec::new();
        for number in from..=self.head.messages {
            let entry = self.times.entry(number)?;
            if !entry.is_deleted() && self.classes.contains(entry.class()) {
                all.push(number);
            }
        }
        Ok(self.page_of(&all))
    }

    /// By the counted lists of the classes.
    fn by_lists(&self, from: u32) -> Result<Found> {
        let thread = self.thread.unwrap_or_default();
        let lists = self.classes.iter().map(|class| List::open(self.view, self.session, thread, class));
        let mut merged = Merged::new(lists.collect::<Result<_>>()?);
        let least = if from <= 1 { 0 } else { merged.rank(from)? };
        let all = merged.total();
        let Matching { past, direction, offset, limit, .. } = *self.matching;
        let (numbers, before) = match direction {
            Direction::Asc => {
                let start = past.map_or(Ok(least), |past| merged.rank(past.saturating_add(1)))?.max(least);
                let start = start.saturating_add(offset).min(all);
                (merged.range(start, limit as usize)?, start.saturating_sub(least))
            }
            Direction::Desc => {
                let end = past.map_or(Ok(all), |past| merged.rank(past))?.saturating_sub(offset).max(least);
                let start = end.saturating_sub(u64::from(limit)).max(least);
                let count = usize::try_from(end - start).unwrap_or(usize::MAX);
                (merged.range(start, count)?, all.saturating_sub(end))
            }
        };
        let newest = merged.last()?.filter(|newest| *newest >= from);
        let total = all.saturating_sub(least) + u64::from(is_planted(Bug::TotalOffByOne));
        Ok(Found { numbers, total, before, newest })
    }

    /// The page of all that match, in order of their numbers.
    fn page_of(&self, all: &[u32]) -> Found {
        let Matching { past, direction, offset, limit, .. } = *self.matching;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest: Vec<u32> = match direction {
            Direction::Asc => all.iter().copied().filter(|number| past.is_none_or(|past| *number > past)).collect(),
            Direction::Desc => {
                all.iter().rev().copied().filter(|number| past.is_none_or(|past| *number < past)).collect()
            }
        };
        let before = (all.len() - rest.len() + skip.min(rest.len())) as u64;
        let mut numbers: Vec<u32> = rest.into_iter().skip(skip).take(limit as usize).collect();
        numbers.sort_unstable();
        Found { numbers, total: all.len() as u64, before, newest: all.last().copied() }
    }

    /// By every message, where the positions are damaged. One that cannot be told is left out, and
    /// `verify` names it.
    fn slowly(&mut self) -> Result<Found> {
        let gts = self.matching.gts.as_micros();
        let mut all = Vec::new();
        for number in 1..=self.head.messages {
            let Some(entry) = told(self.view, self.session, &mut self.times, number)? else { continue };
            let wanted = !entry.is_deleted() && entry.ts() > gts && self.classes.contains(entry.class());
            let within = |thread| is_in_thread(self.view, self.session, thread, number);
            if wanted && self.thread.map_or(Ok(true), within)? {
                all.push(number);
            }
        }
        Ok(self.page_of(&all))
    }

    /// The `ts` of a message, where it can be told.
    fn ts(&mut self, number: u32) -> Result<Option<Ts>> {
        let entry = told(self.view, self.session, &mut self.times, number)?;
        Ok(entry.and_then(|entry| Ts::from_micros(entry.ts()).ok()))
    }
}
