//! Where a session's messages stand: what listings find pages and totals by, without a scan.
//!
//! * **Times:** one packed entry a message, in the order of their numbers, in blocks: its `ts`, its
//!   class and whether it was deleted. From a `ts` to a number by bisection, from a number to its
//!   class without its record.
//! * **Lists:** for the session and for each thread, and in each for every class (a role and a type),
//!   the numbers of the messages that are not deleted, packed in blocks; and, once there is more than
//!   one block, a directory of how many each has and where it begins.
//!
//! A page over several classes is found by bisection on the message number over the summed ranks
//! of its lists. Deleting shortens a block; nothing is renumbered.

mod directory;
mod draft;
mod list;
mod merge;
mod rebuild;
mod times;

pub(super) use draft::PositionsDraft;
pub(super) use list::List;
pub(super) use merge::Merged;
pub(super) use rebuild::{is_in_thread, told, unless_damaged};
pub(super) use times::{Entry, Times};

use crate::page::{Roles, Types};
use crate::record::{MessageType, Role};

/// Entries in a block of times, and most positions in one of a list: measured best at reading
/// pages, and small enough to be rewritten at every append.
pub(crate) const BLOCK: u32 = 256;

/// A role and a type of messages, as one small number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class(u8);

impl Class {
    /// How many there are.
    pub(super) const COUNT: u8 = (Role::ALL.len() * MessageType::ALL.len()) as u8;

    pub(super) const fn of(role: Role, kind: MessageType) -> Self {
        Class(role as u8 * MessageType::ALL.len() as u8 + kind as u8)
    }

    pub(super) const fn byte(self) -> u8 {
        self.0
    }
}

/// The classes that a listing asks for: a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classes(u16);

impl Classes {
    pub(super) fn of(roles: Roles, types: Types) -> Self {
        let all = roles.iter().flat_map(|role| types.iter().map(move |kind| Class::of(role, kind)));
        Classes(all.fold(0, |bits, class| bits | 1 << class.0))
    }

    pub(super) const fn contains(self, class: Class) -> bool {
        self.0 & 1 << class.0 != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Class> {
        (0..16).map(Class).filter(move |class| self.contains(*class))
    }
}
