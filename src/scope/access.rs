//! What an access key opens.

use std::fmt;

use super::{AgentHandle, Door, Session, Workspace};
use crate::error::{Error, Result};
use crate::grant::Act;
use crate::id::{AgentId, SessionId};
use crate::record::KeyRecord;
use crate::store::SessionRef;

/// What an access key opens: a workspace, or an agent of one for what its scopes allow. Made by
/// [`Engine::open_key`](crate::Engine::open_key), and the only way in for who does not hold the engine.
///
/// It, and every handle made from it, asks at each operation whether the key stands. Once the key was revoked or has expired, each is
/// [`Unauthorized`](crate::ErrorKind::Unauthorized), those that wait, follow and watch too, which are woken for it; an operation that
/// was under way then may still be done. One that the scopes do not allow is [`Forbidden`](crate::ErrorKind::Forbidden), whatever it
/// is asked of. What stands in another workspace, or below another agent, is [`NotFound`](crate::ErrorKind::NotFound), as what is not there at all.
///
/// | | `agent:read` | `chat` | `agent:manage` | master key |
/// |---|---|---|---|---|
/// | the agent's record | yes | yes | yes | yes |
/// | create and find a session, read its record, wait until it is idle | | yes | yes | yes |
/// | send by any policy, interrupt, stop, cancel, wait for a turn | | yes | | yes |
/// | list and read messages, threads and turns, follow, stream, transcript | | yes | | yes |
/// | list and watch sessions, history, append, fork, archive, export, import, restore, delete | | | yes | yes |
/// | make, list, label and delete agents; their access keys; drive announcements again | | | | yes |
/// | make and replace the master key | | | | |
///
/// ```
/// # fn main() -> parlor::Result<()> {
/// # let engine = parlor::Engine::in_memory().agent_fn("greeter", |_| Ok("Hi!")).open()?;
/// use parlor::{ErrorKind, NewKey, NewSession, Scopes};
///
/// let acme = engine.workspace("acme")?;
/// let greeter = acme.agent("greeter")?;
/// let key = greeter.create_key(Scopes::CHAT, NewKey::default().label("the web page"))?;
///
/// // What comes with a request is opened for that request.
/// let access = engine.open_key(key.secret.expose())?;
/// let session = access.agent(greeter.id())?.create_session(NewSession::default())?;
/// assert_eq!(session.send("hello")?.wait()?.text(), "Hi!");
/// assert_eq!(session.delete().unwrap_err().kind(), ErrorKind::Forbidden);
/// let other = acme.agent("booker")?;
/// assert!(access.agent(other.id()).unwrap_err().is_not_found());
///
/// acme.revoke_key(key.record.id)?;
/// assert_eq!(session.send("still there?").unwrap_err().kind(), ErrorKind::Unauthorized);
/// # engine.close()
/// # }
/// ```
///
/// From document B.
#[derive(Clone)]
pub struct Access {
    core: Door,
    key: KeyRecord,
}

impl Access {
    pub(crate) fn new(core: Door, key: KeyRecord) -> Self {
        Access { core, key }
    }

    /// The key, as it was when it was opened.
    pub fn key(&self) -> &KeyRecord {
        &self.key
    }

    /// The workspace that a master key opens.
    ///
    /// # Errors
    ///
    /// [`Forbidden`](crate::ErrorKind::Forbidden) with an agent key,
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) once the key was revoked or has expired.
    pub fn workspace(&self) -> Result<Workspace> {
        let record = self.core.store(Act::AccessWorkspace)?.workspace(self.key.workspace_id)?;
        Ok(Workspace::new(self.core.clone(), record))
    }

    /// The agent of this id: any of the workspace with a master key, its own with an agent key.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the key opens no such agent,
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) once the key was revoked or has expired.
    pub fn agent(&self, id: AgentId) -> Result<AgentHandle> {
        let store = self.core.store(Act::AccessAgent)?;
        if self.key.agent_id.is_some_and(|own| own != id) {
            return Err(Error::not_found(format_args!("agent {id}")));
        }
        Ok(AgentHandle::new(self.core.clone(), store.agent(self.key.workspace_id, id)?))
    }

    /// The session of this id: any of the workspace with a master key, one of its agent with an agent key.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the key opens no such session,
    /// [`Forbidden`](crate::ErrorKind::Forbidden) with `agent:read` alone,
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) once the key was revoked or has expired.
    pub fn session(&self, id: SessionId) -> Result<Session> {
        let at = SessionRef { workspace: self.key.workspace_id, session: id };
        let record = self.core.store(Act::AccessSession)?.session(at)?;
        if self.key.agent_id.is_some_and(|own| own != record.agent_id) {
            return Err(Error::not_found(format_args!("session {id}")));
        }
        Ok(Session::new(self.core.clone(), &record))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.key).finish()
    }
}
