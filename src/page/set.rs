//! Sets of message types and of roles: what a filter is made of.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::record::{MessageType, Role};

macro_rules! set {
    ($(#[$doc:meta])* $name:ident of $item:ident, $param:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(u8);

        impl $name {
            /// All there are.
            pub const ALL: $name = $name((1 << $item::ALL.len()) - 1);
            /// None yet: to be filled with [`with`](Self::with). A listing refuses it.
            pub const NONE: $name = $name(0);

            /// The set of this one alone.
            pub const fn only(item: $item) -> Self {
                $name(1 << item as u8)
            }

            /// The same set with this one added.
            #[must_use]
            pub const fn with(self, item: $item) -> Self {
                $name(self.0 | 1 << item as u8)
            }

            /// Whether this one is in it.
            pub const fn contains(self, item: $item) -> bool {
                self.0 & 1 << item as u8 != 0
            }

            /// A bit each.
            pub(super) const fn bits(self) -> u8 {
                self.0
            }

            /// From bits; none where they stand for nothing, or for no set that can be listed.
            pub(super) const fn from_bits(bits: u8) -> Option<Self> {
                if bits == 0 || bits & !Self::ALL.0 != 0 { None } else { Some($name(bits)) }
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

            /// Reads it as [`as_str`]($item::as_str) writes it.
            fn from_str(text: &str) -> Result<Self> {
                $item::ALL.into_iter().find(|item| item.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = $item::ALL.iter().map(|item| item.as_str()).collect();
                    Error::unreadable($param, text, format_args!("one of {}", known.join(", ")))
                })
            }
        }
    };
}

set!(
    /// A set of message types, for a filter.
    ///
    /// ```
    /// use parlor::MessageType;
    /// use parlor::page::Types;
    ///
    /// let spoken = Types::only(MessageType::Message).with(MessageType::FinalMessage);
    /// assert!(spoken.contains(MessageType::Message) && !spoken.contains(MessageType::ToolCall));
    /// assert_eq!(spoken.iter().collect::<Types>(), spoken);
    /// ```
    Types of MessageType, "type"
);
set!(
    /// A set of roles, for a filter.
    ///
    /// ```
    /// use parlor::Role;
    /// use parlor::page::Roles;
    ///
    /// assert_eq!(Roles::from_iter(Role::ALL), Roles::ALL);
    /// assert!(!Roles::from(Role::User).contains(Role::Tool));
    /// ```
    Roles of Role, "role"
);
