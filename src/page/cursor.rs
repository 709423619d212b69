//! The opaque cursor of a listing: where a page ended, and of which listing it was.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::text::{CHECKSUM, bytes_of, invalid, take, write_text};
use super::{Direction, Form, Matching, Roles, Types};
use crate::error::{Error, Result};
use crate::id::{SessionId, ThreadId};
use crate::limit::CURSOR_BYTES;
use crate::record::Ts;

const VERSION: u8 = 1;

/// Version, flags, session, thread, types, roles, `gts`, message number.
const BODY: usize = 1 + 1 + 16 + 16 + 1 + 1 + 8 + 4;
const TEXT: usize = 2 * (BODY + CHECKSUM);
const _: () = assert!(TEXT <= CURSOR_BYTES);

/// The bits of the flags.
const THREAD_FORM: u8 = 1;
const THREAD: u8 = 2;
const DESC: u8 = 4;
const BACK: u8 = 8;

/// Where a page of a listing ended: continues the listing there, forwards or backwards, and
/// neither skips nor repeats a message however much is written between the pages.
///
/// It carries the listing it belongs to (whose, its filters and its direction; the page size may
/// change). Any other listing refuses it with [`InvalidCursor`](crate::ErrorKind::InvalidCursor), as is text that
/// is no cursor. As text it is opaque, 104 characters long and fit for a URL as it is.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
/// # let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
/// use parlor::page::{Cursor, Direction, MessageQuery};
///
/// session.append(["one", "two", "three"])?;
/// let query = MessageQuery::all().direction(Direction::Asc).limit(2);
/// let first = session.messages(query).page()?;
/// let text = first.next.expect("there is one more").to_string();
///
/// let cursor: Cursor = text.parse()?;
/// let second = session.messages(query.cursor(cursor)).page()?;
/// assert_eq!(second.items[0].text(), "three");
/// assert!(second.next.is_none());
///
/// let back = session.messages(query.cursor(second.prev.expect("there are some before"))).page()?;
/// assert_eq!(back.items, first.items);
///
/// let other = session.messages(query.direction(Direction::Desc).cursor(cursor)).page();
/// assert_eq!(other.unwrap_err().kind(), parlor::ErrorKind::InvalidCursor);
/// # engine.close()
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    listing: Listed,
    way: Way,
    /// The message that stands at the edge of the page.
    past: u32,
}

/// What makes a listing this one and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Listed {
    form: Form,
    thread: Option<ThreadId>,
    types: Types,
    roles: Roles,
    gts: Ts,
    direction: Direction,
}

impl Listed {
    fn of(form: Form, matching: &Matching) -> Self {
        let Matching { thread, types, roles, gts, direction, .. } = *matching;
        Listed { form, thread, types, roles, gts, direction }
    }
}

/// Where a cursor leads from its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// On in the listing's direction.
    On,
    /// Back to what came before.
    Back,
}

impl Cursor {
    /// A cursor of the listing that is matched by `matching`, at a message.
    pub(super) fn new(form: Form, matching: &Matching, way: Way, past: u32) -> Self {
        Cursor { listing: Listed::of(form, matching), way, past }
    }

    /// Where it leads, in the listing it belongs to.
    pub(super) fn place(&self, form: Form, matching: &Matching) -> Result<(Way, u32)> {
        if self.listing != Listed::of(form, matching) {
            return Err(invalid("it belongs to another listing"));
        }
        Ok((self.way, self.past))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listed { form, thread, types, roles, gts, direction } = self.listing;
        let session = match form {
            Form::Session(session) | Form::Thread(session, _) => session,
        };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(matches!(form, Form::Thread(..)), THREAD_FORM)
            | flag(thread.is_some(), THREAD)
            | flag(direction == Direction::Desc, DESC)
            | flag(self.way == Way::Back, BACK);
        let thread = thread.map_or(Uuid::nil(), |thread| *thread.as_uuid());
        let mut body = vec![VERSION, flags];
        body.extend_from_slice(session.as_uuid().as_bytes());
        body.extend_from_slice(thread.as_bytes());
        body.extend_from_slice(&[types.bits(), roles.bits()]);
        body.extend_from_slice(&gts.as_micros().to_be_bytes());
        body.extend_from_slice(&self.past.to_be_bytes());
        write_text(f, &body)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    ///
    /// [`InvalidCursor`](crate::ErrorKind::InvalidCursor) for any other text.
    fn from_str(text: &str) -> Result<Self> {
        let body = bytes_of(text, BODY)?;
        let mut rest = body.as_slice();
        let [version, flags] = take(&mut rest)?;
        if version != VERSION {
            return Err(invalid(format_args!("its version is {version}, {VERSION} is known")));
        }
        if flags & !(THREAD_FORM | THREAD | DESC | BACK) != 0 {
            return Err(invalid("it has unknown flags"));
        }
        let session = SessionId::from_uuid(Uuid::from_bytes(take(&mut rest)?));
        let thread = ThreadId::from_uuid(Uuid::from_bytes(take(&mut rest)?));
        let (form, thread) = match (flags & THREAD_FORM != 0, flags & THREAD != 0) {
            (true, true) => (Form::Thread(session, thread), Some(thread)),
            (false, true) => (Form::Session(session), Some(thread)),
            (false, false) if thread.as_uuid().is_nil() => (Form::Session(session), None),
            _ => return Err(invalid("its thread does not fit its form")),
        };
        let [types, roles] = take(&mut rest)?;
        let types = Types::from_bits(types).ok_or_else(|| invalid("it has unknown types"))?;
        let roles = Roles::from_bits(roles).ok_or_else(|| invalid("it has unknown roles"))?;
        let gts = Ts::from_micros(u64::from_be_bytes(take(&mut rest)?)).map_err(|error| invalid(&error))?;
        let past = u32::from_be_bytes(take(&mut rest)?);
        let direction = if flags & DESC != 0 { Direction::Desc } else { Direction::Asc };
        let way = if flags & BACK != 0 { Way::Back } else { Way::On };
        Ok(Cursor { listing: Listed { form, thread, types, roles, gts, direction }, way, past })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{MessageType, Role};

    #[test]
    fn a_cursor_comes_back_from_its_text_as_it_was() {
        let (session, thread) = (SessionId::from_uuid(Uuid::from_u128(7)), ThreadId::from_uuid(Uuid::from_u128(9)));
        let whose = [
            (Form::Session(session), None),
            (Form::Session(session), Some(thread)),
            (Form::Thread(session, thread), Some(thread)),
        ];
        let mut texts = std::collections::BTreeSet::new();
        for (form, thread) in whose {
            for direction in [Direction::Asc, Direction::Desc] {
                for (way, past) in [(Way::On, 0), (Way::Back, 1), (Way::On, u32::MAX), (Way::Back, u32::MAX)] {
                    let (types, roles) =
                        (Types::only(MessageType::ToolCall), Roles::only(Role::System).with(Role::User));
                    let gts = Ts::from_micros(u64::from(past) << 9 | 5).expect("it is a time");
                    let listing = Listed { form, thread, types, roles, gts, direction };
                    let cursor = Cursor { listing, way, past };
                    let text = cursor.to_string();
                    assert_eq!(text.len(), TEXT);
                    assert_eq!(text.parse::<Cursor>().expect("it is one"), cursor);
                    texts.insert(text);
                }
            }
        }
        assert_eq!(texts.len(), 24, "no two are the same");
    }

    #[test]
    fn what_no_cursor_says_is_refused() {
        // As a cursor of a session without a thread, its first page on.
        let of = |version: u8, flags: u8, thread: u128, types: u8| {
            let mut body = vec![version, flags];
            body.extend(Uuid::from_u128(7).as_bytes());
            body.extend(thread.to_be_bytes());
            body.extend([types, 1]);
            body.extend([0; 12]);
            struct Text(Vec<u8>);
            impl fmt::Display for Text {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write_text(f, &self.0)
                }
            }
            Text(body).to_string().parse::<Cursor>().map_err(|error| error.to_string())
        };
        assert!(of(VERSION, 0, 0, 1).is_ok());
        for (refused, why) in [
            (of(VERSION + 1, 0, 0, 1), "its version is 2, 1 is known"),
            (of(VERSION, 16, 0, 1), "it has unknown flags"),
            (of(VERSION, 0, 9, 1), "its thread does not fit its form"),
            (of(VERSION, THREAD_FORM, 9, 1), "its thread does not fit its form"),
            (of(VERSION, 0, 0, 128), "it has unknown types"),
        ] {
            let text = refused.expect_err(why);
            assert!(text.contains(why), "{text:?} is not {why:?}");
        }
    }
}
