//! Listings as values: filters, pages, links and the cursor. Pure arithmetic, no storage.
//!
//! A listing of messages begins with a [`MessageQuery`]: what is not given has its default, and
//! a bound that is broken is an error that names it. The answer is a [`MessagePage`]: the items,
//! the exact total, and two [`Link`]s. A client that wants to hear of new messages follows
//! `new_messages` of each answer to the next; it reads every later matching message exactly
//! once, in the order they were committed, however many writers there are.
//!
//! ```
//! use parlor::id::SessionId;
//! use parlor::page::{Form, Link, MessageQuery};
//!
//! let session: SessionId = "a196cec6-49cb-4c48-8e4c-2707fb5d6709".parse()?;
//! let query = MessageQuery::from_query_string("type=final_message&limit=2")?;
//! let first = Link { form: Form::Session(session), query };
//!
//! // The page showed the newest first, and the greatest `ts` of all that match was 1746038518.5.
//! let next = first.new_messages(Some("1746038518.5".parse()?), &[]);
//! assert_eq!(
//!     next.href("https://chat.example"),
//!     "https://chat.example/rest/v1/sessions/a196cec6-49cb-4c48-8e4c-2707fb5d6709/messages\
//!      ?type=final_message&gts=1746038518.5&limit=2&direction=asc",
//! );
//! # Ok::<(), parlor::Error>(())
//! ```

mod cursor;
mod link;
mod listed;
mod query;
mod sessions_cursor;
mod set;
mod text;

pub use cursor::Cursor;
pub(crate) use link::session_href;
pub use link::{Asked, Form, Link, MessagePage};
pub use listed::{Damaged, Matched, Meta, Page, PageAt};
pub use query::{Direction, Matching, MessageQuery};
pub use sessions_cursor::{SessionPlace, SessionsCursor};
pub use set::{Roles, Types};
