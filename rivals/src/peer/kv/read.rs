//! Reading: pages by rank, polls, histories, sessions.

use std::ops::ControlFlow;

use super::{Counts, From, Head, Read, TOTAL, Table, activity, at_position, decode_counts, event, numbered, position};
use crate::corpus::Class;
use crate::peer::{Filter, Found, Listed, PAGE, Result, Row, Wanted, row};

/// The classes of a listing, and how many messages each has.
struct Scope<'r, R> {
    tables: &'r R,
    session: u32,
    thread: u32,
    classes: Vec<(Class, u32)>,
}

impl<'r, R: Read> Scope<'r, R> {
    fn new(tables: &'r R, session: u32, filter: Filter, head: &Head) -> Result<Self> {
        let thread = filter.standing.thread();
        let counts: Counts = match thread {
            0 => head.counts,
            _ => tables.get(Table::Threads, &numbered(session, thread), decode_counts)?.unwrap_or_default(),
        };
        let classes = filter.wanted.classes().iter().map(|class| (*class, counts[usize::from(class.number())]));
        Ok(Scope { tables, session, thread, classes: classes.filter(|(_, count)| *count > 0).collect() })
    }

    fn total(&self) -> u64 {
        self.classes.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Number and `ts` at a rank.
    fn at(&self, class: Class, rank: u32) -> Result<(u32, u64)> {
        let key = position(self.session, self.thread, class, rank);
        self.tables.get(Table::Positions, &key, at_position)?.ok_or_else(|| "a position is missing".into())
    }

    /// How many messages of a class are before what `past` says, which is false and then true.
    fn before(&self, class: Class, count: u32, past: impl Fn(u32, u64) -> bool) -> Result<u32> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let (number, ts) = self.at(class, middle + 1)?;
            if past(number, ts) { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    /// Of each class, how many are among the oldest `count` of all: where a page ends.
    fn split(&self, count: u64, last: u32) -> Result<Vec<u32>> {
        if let [(_, all)] = self.classes[..] {
            return Ok(vec![u32::try_from(count)?.min(all)]);
        }
        // The least number up to which there are so many.
        let (mut low, mut high, mut found) = (0, last, Vec::new());
        while low <= high {
            let number = low + (high - low) / 2;
            let ranks = self.classes.iter().map(|(class, all)| self.before(*class, *all, |at, _| at > number));
            let ranks: Vec<u32> = ranks.collect::<Result<_>>()?;
            let sum: u64 = ranks.iter().map(|rank| u64::from(*rank)).sum();
            if sum >= count {
                found = ranks;
                if number == 0 {
                    break;
                }
                high = number - 1;
            } else {
                low = number + 1;
            }
        }
        Ok(found)
    }

    /// The newest numbers among the oldest of each class, newest first.
    fn newest(&self, ends: &[u32]) -> Result<Vec<u32>> {
        let mut numbers = Vec::with_capacity(PAGE as usize * ends.len());
        for ((class, _), end) in self.classes.iter().zip(ends).filter(|(_, end)| **end > 0) {
            let low = position(self.session, self.thread, *class, end.saturating_sub(PAGE) + 1);
            let high = position(self.session, self.thread, *class, *end);
            self.tables.range(Table::Positions, &low, &high, From::High, &mut |_, at| {
                numbers.push(at_position(at)?.0);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if ends.len() > 1 {
            numbers.sort_unstable_by(|one, other| other.cmp(one));
            numbers.truncate(PAGE as usize);
        }
        Ok(numbers)
    }
}

fn rows(tables: &impl Read, session: u32, numbers: &[u32]) -> Result<Vec<Row>> {
    let mut rows = Vec::with_capacity(numbers.len());
    for number in numbers {
        let row = tables.get(Table::Messages, &numbered(session, *number), |bytes| row::decode(bytes, *number))?;
        rows.push(row.flatten().ok_or("a listed message is not there")?);
    }
    Ok(rows)
}

/// See [`Reader::page`](crate::peer::Reader::page).
pub fn page(tables: &impl Read, session: u32, filter: Filter, page: u64) -> Result<Found<Row>> {
    let head = Head::get(tables, session)?;
    let scope = Scope::new(tables, session, filter, &head)?;
    let total = scope.total();
    let until = total.saturating_sub((page - 1) * u64::from(PAGE));
    if until == 0 {
        return Ok(Found { total, items: Vec::new() });
    }
    let dense = filter.wanted == Wanted::All && head.deleted == 0 && scope.thread == 0;
    let numbers = if dense {
        // Nothing is left out: the numbers are the positions.
        let newest = u32::try_from(until)?;
        (newest.saturating_sub(PAGE) + 1..=newest).rev().collect()
    } else {
        scope.newest(&scope.split(until, head.last)?)?
    };
    Ok(Found { total, items: rows(tables, session, &numbers)? })
}

/// See [`Reader::poll`](crate::peer::Reader::poll).
pub fn poll(tables: &impl Read, session: u32, filter: Filter, after: u64) -> Result<Found<Row>> {
    let head = Head::get(tables, session)?;
    let mut found = Found { total: 0, items: Vec::new() };
    if head.last_ts <= after {
        return Ok(found);
    }
    let scope = Scope::new(tables, session, filter, &head)?;
    let mut numbers = Vec::new();
    for (class, count) in &scope.classes {
        // What is new is near the end: steps that double, then halves.
        let mut step = 1;
        while step < *count && scope.at(*class, count - step)?.1 > after {
            step *= 2;
        }
        let base = count.saturating_sub(step);
        let (mut low, mut high) = (base, *count);
        while low < high {
            let middle = low + (high - low) / 2;
            if scope.at(*class, middle + 1)?.1 > after { high = middle } else { low = middle + 1 }
        }
        found.total += u64::from(count - low);
        for rank in low + 1..=(low + PAGE).min(*count) {
            numbers.push(scope.at(*class, rank)?.0);
        }
    }
    numbers.sort_unstable();
    numbers.truncate(PAGE as usize);
    found.items = rows(tables, session, &numbers)?;
    Ok(found)
}

/// See [`Reader::history`](crate::peer::Reader::history).
pub fn history(tables: &impl Read, session: u32, limit: u32) -> Result<Found<Row>> {
    let mut items = Vec::with_capacity(limit as usize);
    let (low, high) = (numbered(session, 1), numbered(session, u32::MAX));
    tables.range(Table::Messages, &low, &high, From::High, &mut |key, bytes| {
        let number = key.last_chunk::<4>().ok_or("a message's key is cut short")?;
        items.extend(row::decode(bytes, u32::from_be_bytes(*number))?);
        Ok(if items.len() < limit as usize { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    items.reverse();
    Ok(Found { total: items.len() as u64, items })
}

/// See [`Reader::sessions`](crate::peer::Reader::sessions).
pub fn sessions(tables: &impl Read) -> Result<Found<Listed>> {
    let total = tables.get(Table::Keys, TOTAL, |total| Ok(u32::from_be_bytes(total.try_into()?)))?;
    let mut items = Vec::with_capacity(PAGE as usize);
    let (low, high) = (activity(0, 0), activity(u64::MAX, u32::MAX));
    tables.range(Table::Activity, &low, &high, From::High, &mut |key, shown| {
        let updated_at = key.first_chunk().ok_or("a listed session's key is cut short")?;
        items.push(row::decode_listed(shown, u64::from_be_bytes(*updated_at))?);
        Ok(if items.len() < PAGE as usize { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(Found { total: total.unwrap_or_default().into(), items })
}

/// See [`Reader::messages_in_feed`](crate::peer::Reader::messages_in_feed).
pub fn messages_in_feed(tables: &impl Read, session: u32) -> Result<u32> {
    let mut messages = 0;
    let (low, high) = (event(session, 1), event(session, 1000));
    tables.range(Table::Changes, &low, &high, From::Low, &mut |_, what| {
        messages += u32::from(what.first() == Some(&1));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(messages)
}
