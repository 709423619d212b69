//! The opaque cursor of a list of sessions: where a page ended, and of which list it was.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::text::{bytes_of, invalid, take, write_text};
use crate::error::{Error, Result};
use crate::id::{AgentId, SessionId, WorkspaceId};
use crate::time::Timestamp;

const VERSION: u8 = 1;

/// Version, workspace, agent, when the session changed last, session.
const BODY: usize = 1 + 16 + 16 + 8 + 16;

/// Where a session stands in a list of them, newest activity first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionPlace {
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Its id.
    pub session: SessionId,
}

/// Where a page of a list of sessions ended: the next one begins behind it, however many sessions stand before. Sessions that change
/// meanwhile move to the front of the list; all others are seen exactly once.
///
/// It carries the list it belongs to, an agent's or a workspace's. Any other list refuses it with
/// [`InvalidCursor`](crate::ErrorKind::InvalidCursor), as is text that is no cursor. As text it is opaque, 122 characters long and
/// fit for a URL as it is.
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let engine = parlor::Engine::in_memory().open()?;
/// use parlor::PageQuery;
/// use parlor::page::SessionsCursor;
///
/// let agent = engine.workspace("acme")?.agent("greeter")?;
/// for _ in 0..3 {
///     agent.create_session(Default::default())?;
/// }
/// let first = agent.sessions(2)?;
/// let cursor: SessionsCursor = first.next.expect("there is one more").to_string().parse()?;
/// let second = agent.sessions(PageQuery::after(cursor).limit(2))?;
/// assert_eq!((second.items.len(), second.meta.total, second.next), (1, 3, None));
///
/// let elsewhere = engine.workspace("acme")?.sessions(PageQuery::after(cursor));
/// assert_eq!(elsewhere.unwrap_err().kind(), parlor::ErrorKind::InvalidCursor);
/// # engine.close()
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionsCursor {
    workspace: WorkspaceId,
    agent: Option<AgentId>,
    past: SessionPlace,
}

impl SessionsCursor {
    /// Of the list of an agent, or of the workspace.
    pub(crate) fn new(workspace: WorkspaceId, agent: Option<AgentId>, past: SessionPlace) -> Self {
        SessionsCursor { workspace, agent, past }
    }

    /// Where it leads, in the list it belongs to.
    pub(crate) fn place(&self, workspace: WorkspaceId, agent: Option<AgentId>) -> Result<SessionPlace> {
        if (self.workspace, self.agent) != (workspace, agent) {
            return Err(invalid("it belongs to another list"));
        }
        Ok(self.past)
    }
}

impl fmt::Display for SessionsCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = vec![VERSION];
        body.extend_from_slice(self.workspace.as_uuid().as_bytes());
        body.extend_from_slice(self.agent.map_or(Uuid::nil(), |agent| *agent.as_uuid()).as_bytes());
        body.extend_from_slice(&self.past.updated_at.as_micros().to_be_bytes());
        body.extend_from_slice(self.past.session.as_uuid().as_bytes());
        write_text(f, &body)
    }
}

impl fmt::Debug for SessionsCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionsCursor({self})")
    }
}

impl FromStr for SessionsCursor {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    ///
    /// [`InvalidCursor`](crate::ErrorKind::InvalidCursor) for any other text.
    fn from_str(text: &str) -> Result<Self> {
        let body = bytes_of(text, BODY)?;
        let mut rest = body.as_slice();
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(invalid(format_args!("its version is {version}, {VERSION} is known")));
        }
        let workspace = WorkspaceId::from_uuid(Uuid::from_bytes(take(&mut rest)?));
        let agent = Uuid::from_bytes(take(&mut rest)?);
        let updated_at = Timestamp::from_micros(u64::from_be_bytes(take(&mut rest)?));
        let session = SessionId::from_uuid(Uuid::from_bytes(take(&mut rest)?));
        let agent = (!agent.is_nil()).then(|| AgentId::from_uuid(agent));
        Ok(SessionsCursor { workspace, agent, past: SessionPlace { updated_at, session } })
    }
}
