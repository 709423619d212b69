//! Writing a whole session in many steps, none of which shows before the last.
//!
//! A session that is loaded gets a number of its own and is written below it, step by step, each a commit of bounded size
//! with other operations between. The first step writes a remnant, so that whatever ends the loading before its last step
//! leaves no more than a deleted session does. The last step makes it a session.
//!
//! Given are the *primary* records, in this order: what the session is; where it stands; its context mark; its threads; its
//! messages, each turn before the message that started it; its events. All that is derived from them, indexes and positions,
//! is made here. What is given is checked against itself as it comes, and whole once it is all there ([`Loader::finish`]):
//! what fails is *corrupt*, and never becomes a session.

mod check;
mod feed;
mod publish;
mod record;
mod step;
mod written;

pub(super) use check::turn_breach;
pub(super) use feed::Feed;
pub(super) use publish::{Loaded, Published, begin, is_archived, publish};
pub(super) use record::{Kept, Kind, Record, Unread};
pub(super) use step::{Step, scaled};
pub(super) use written::Written;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::codec::{ForkRow, HeadRow, Id};
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{Error, Result};
use crate::record::{ContextMark, NewSession, Usage};

/// Who made what is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// This store, whose doors it has passed.
    Ours,
    /// Anybody: what the doors check is checked.
    Strangers,
}

/// A session that is being loaded: what there is of it so far. See the [module](self).
#[derive(Debug)]
pub(super) struct Loader {
    /// Its number.
    session: u32,
    trust: Trust,
    /// What it is.
    body: Option<Body>,
    /// Where it is said to stand.
    head: Option<HeadRow>,
    mark: Option<ContextMark>,
    seen: Seen,
}

/// What a session is, but for where it belongs.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) id: Id,
    /// All that a creation says.
    pub(super) new: NewSession,
    pub(super) key: String,
    pub(super) created_at: u64,
    pub(super) fingerprint: Option<Id>,
    pub(super) forked: Option<ForkRow>,
}

/// What has come so far.
#[derive(Debug, Default)]
struct Seen {
    threads: u32,
    turns: u32,
    messages: u32,
    changes: u64,
    last_ts: u64,
    last_created_at: u64,
    usage: Option<Usage>,
    /// Soft-deleted messages.
    deleted: u32,
    /// The turn whose first message comes next: its number, its id and the message's id.
    due: Option<(u32, Id, Id)>,
    /// Turns with a final message, and the final messages that there were.
    finals: [u32; 2],
    /// Events of messages, of deletions, of turns that began to run, and of turns that ended.
    events: [u32; 4],
    /// Whether the last turn to end failed.
    failed: bool,
    /// Whether it is archived, by its events.
    archived: bool,
    /// The context mark by the last event that tells of one.
    mark: u32,
    /// Of strangers: what the events tell, what the turns wrote, and how often turns say that they ran again.
    feed: Feed,
    /// Of strangers: deleted messages that say something.
    kept_bodies: BTreeSet<u32>,
    written: Written,
    again: u64,
}

impl Loader {
    /// Begins with a session of this number.
    pub(super) fn new(session: u32, trust: Trust) -> Self {
        Loader { session, trust, body: None, head: None, mark: None, seen: Seen::default() }
    }

    /// How many records have come of those that are counted, and how many are to.
    pub(super) fn progress(&self) -> (u64, u64) {
        let Seen { threads, turns, messages, changes, .. } = self.seen;
        (sum(threads, turns, messages, changes), self.head.as_ref().map_or(0, records))
    }

    /// What the session is, once that has come.
    pub(super) fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// All has come: what it is, where all that was said of the session is so.
    ///
    /// # Errors
    ///
    /// *Corrupt* names what is not.
    pub(super) fn finish(self) -> Result<Loaded> {
        let Loader { session, trust, body, head, mark, seen } = self;
        let (Some(body), Some(head)) = (body, head) else {
            return Err(Error::corrupt("what a session is, and where it stands, is missing"));
        };
        check::whole(&seen, &head, mark.as_ref())?;
        if trust == Trust::Strangers {
            check::strangers(&seen)?;
        }
        Ok(Loaded { session, body, head, mark, is_archived: seen.archived })
    }
}

/// How many records a session has of those that are counted.
pub(super) fn records(head: &HeadRow) -> u64 {
    sum(head.threads, head.turns, head.messages, head.changes)
}

fn sum(threads: u32, turns: u32, messages: u32, changes: u64) -> u64 {
    (u64::from(threads) + u64::from(turns) + u64::from(messages)).saturating_add(changes)
}

/// Takes in records until the step is full, which is a break, or no whole one is left. Answers with what is to be written
/// before the next step, which looks up what this one wrote.
pub(super) fn step(loader: &mut Loader, view: &dyn Read, unread: &mut Unread) -> Result<(WriteSet, ControlFlow<()>)> {
    step_with(loader, view, unread, &mut |_| Ok(()))
}

/// As [`step`], and calls `each` with every record once it was taken in.
pub(super) fn step_with(
    loader: &mut Loader,
    view: &dyn Read,
    unread: &mut Unread,
    each: &mut dyn FnMut(&Record<'_>) -> Result<()>,
) -> Result<(WriteSet, ControlFlow<()>)> {
    let mut step = loader.step(view);
    while !step.is_full() {
        let Some(record) = unread.next()? else { return Ok((step.write()?, ControlFlow::Continue(()))) };
        step.push(&record)?;
        each(&record)?;
    }
    Ok((step.write()?, ControlFlow::Break(())))
}

#[cfg(test)]
mod tests;
