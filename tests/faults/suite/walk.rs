//! A walk over the pages of a listing, there and back: each message that matches once, in its place.

use parlor::page::{Direction, Matched, Matching, Roles, Types};
use parlor::store::{SessionRef, Store};
use parlor::{Message, MessageType, Result, Role, Ts};

use super::random::Random;

/// Walks one of the listings of a session, of which these are all messages, oldest first. How many pages that were.
pub fn walk(
    store: &dyn Store,
    at: SessionRef,
    all: &[Message],
    random: &mut Random,
) -> std::result::Result<u64, String> {
    let threads: Vec<_> = all.iter().filter_map(|message| message.thread_id).collect();
    let roles =
        [Roles::ALL, Roles::ALL, Roles::only(Role::User), Roles::only(Role::Assistant), Roles::only(Role::Tool)];
    let spoken = Types::only(MessageType::Message).with(MessageType::FinalMessage);
    let matching = Matching {
        thread: random.pick(&threads).filter(|_| random.one_in(3)),
        types: if random.one_in(3) { spoken } else { Types::ALL },
        roles: random.pick(&roles).unwrap_or(Roles::ALL),
        gts: if random.one_in(3) {
            all.get(random.below(all.len() as u64) as usize).map_or(Ts::ZERO, |it| it.ts)
        } else {
            Ts::ZERO
        },
        past: None,
        direction: if random.one_in(2) { Direction::Asc } else { Direction::Desc },
        offset: 0,
        limit: 1 + random.below(5) as u32,
    };
    let matches = |message: &&Message| {
        matching.thread.is_none_or(|thread| message.thread_id == Some(thread))
            && matching.types.contains(message.kind)
            && matching.roles.contains(message.role)
            && message.ts > matching.gts
    };
    let mut due: Vec<_> = all.iter().filter(matches).cloned().collect();
    if matching.direction == Direction::Desc {
        due.reverse();
    }
    let listing = Listing { store, at, due, matching };
    let failed = |error| format!("{matching:?} of {at:?} cannot be read: {error:?}");
    Ok(listing.there().map_err(failed)?? + listing.back().map_err(failed)??)
}

struct Listing<'s> {
    store: &'s dyn Store,
    at: SessionRef,
    due: Vec<Message>,
    matching: Matching,
}

type Walked = std::result::Result<u64, String>;

impl Listing<'_> {
    /// From the first to behind the last.
    fn there(&self) -> Result<Walked> {
        let (mut reached, mut past, mut pages) = (0, None, 0);
        loop {
            let page = self.store.messages(self.at, Matching { past, ..self.matching })?;
            pages += 1;
            let items = self.due.iter().skip(reached).take(self.matching.limit as usize);
            if !page.items.iter().eq(items) || page.before != reached as u64 || !self.counts(&page) {
                return Ok(Err(self.failed(past, &page)));
            }
            let Some(last) = page.items.last() else { return Ok(Ok(pages)) };
            (reached, past) = (reached + page.items.len(), Some(last.number));
        }
    }

    /// From the last to before the first.
    fn back(&self) -> Result<Walked> {
        let Some(last) = self.due.last() else { return Ok(Ok(0)) };
        let direction = self.matching.direction.reversed();
        let (mut left, mut past, mut pages) = (self.due.len() - 1, Some(last.number), 0);
        loop {
            let page = self.store.messages(self.at, Matching { past, direction, ..self.matching })?;
            pages += 1;
            let items = self.due.iter().take(left).rev().take(self.matching.limit as usize);
            if !page.items.iter().eq(items) || !self.counts(&page) {
                return Ok(Err(self.failed(past, &page)));
            }
            let Some(first) = page.items.last() else { return Ok(Ok(pages)) };
            (left, past) = (left - page.items.len(), Some(first.number));
        }
    }

    /// Whether all but the items is as it is on every page.
    fn counts(&self, page: &Matched) -> bool {
        let newest = self.due.iter().map(|message| message.ts).max();
        page.total == self.due.len() as u64 && page.newest == newest && page.damaged.is_empty()
    }

    fn failed(&self, past: Option<u32>, page: &Matched) -> String {
        format!("{:?} past {past:?} is {page:#?}\n--- of\n{:#?}", self.matching, self.due)
    }
}
