//! The access keys of a workspace and of an agent: made, listed, revoked.

use super::door::Door;
use super::{AgentHandle, PageQuery, Workspace};
use crate::error::Result;
use crate::grant::Act;
use crate::id::{AgentId, KeyId, WorkspaceId};
use crate::page::Page;
use crate::record::{IssuedKey, KeyKind, KeyRecord, NewKey, Scopes, Secret};
use crate::store::{CreateKey, KeysQuery, Opens, RevokeKey, Store};

impl Workspace {
    /// Makes the master key of the workspace, which opens all of it. Its secret is to be had from the answer alone.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when the workspace has one: [`replace_master_key`](Self::replace_master_key).
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a label out of bounds,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over [`limit::WORKSPACE_KEYS`](crate::limit::WORKSPACE_KEYS),
    /// [`Forbidden`](crate::ErrorKind::Forbidden) through an access key: only who holds the engine makes one.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// use parlor::{ErrorKind, NewKey};
    ///
    /// let acme = engine.workspace("acme")?;
    /// let key = acme.create_master_key(NewKey::default())?;
    /// assert_eq!(engine.open_key(key.secret.expose())?.workspace()?.name(), "acme");
    /// assert_eq!(format!("{:?}", key.secret), "Secret"); // never printed
    /// let refused = engine.open_key("pmk_guessed").unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Unauthorized);
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// From document B.
    pub fn create_master_key(&self, new: NewKey) -> Result<IssuedKey> {
        make(&self.core, Act::WorkspaceCreateMasterKey, self.id(), Opens::Workspace, new)
    }

    /// Makes a master key in the place of the one that the workspace has. In the same commit that one is revoked, and with it every
    /// agent key of the workspace.
    ///
    /// # Errors
    ///
    /// Those of [`create_master_key`](Self::create_master_key), but for the *conflict*.
    ///
    /// From document B.
    pub fn replace_master_key(&self, new: NewKey) -> Result<IssuedKey> {
        let made = make(&self.core, Act::WorkspaceReplaceMasterKey, self.id(), Opens::WorkspaceAnew, new)?;
        self.core.shared.bell.wake_all();
        Ok(made)
    }

    /// The access keys of the workspace and of its agents, the newest first: see [`PageQuery`]. Their secrets are kept nowhere.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn keys(&self, query: impl Into<PageQuery>) -> Result<Page<KeyRecord>> {
        list(self.core.store(Act::WorkspaceKeys)?, self.id(), None, query.into())
    }

    /// Revokes an access key of the workspace or of one of its agents. It opens nothing from then on, and every handle made from it is
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized); those that wait, follow or watch are woken for it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the workspace has no such key.
    pub fn revoke_key(&self, key: KeyId) -> Result<()> {
        let (store, _admission) = self.core.writing(Act::WorkspaceRevokeKey)?;
        store.revoke_key(RevokeKey { stamp: self.core.shared.stamp(), workspace: self.id(), key })?;
        self.core.shared.bell.wake_all();
        Ok(())
    }
}

impl AgentHandle {
    /// Makes an access key that opens this agent, for what the scopes allow: see [`Access`](crate::Access). Its secret is to be had
    /// from the answer alone. [`Workspace::revoke_key`] takes it back.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a label out of bounds,
    /// [`NotFound`](crate::ErrorKind::NotFound) when the agent was deleted,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over [`limit::WORKSPACE_KEYS`](crate::limit::WORKSPACE_KEYS),
    /// [`Forbidden`](crate::ErrorKind::Forbidden) through an agent key: a master key may make some.
    ///
    /// From document B.
    pub fn create_key(&self, scopes: Scopes, new: NewKey) -> Result<IssuedKey> {
        let opens = Opens::Agent(self.id(), scopes);
        make(&self.core, Act::AgentCreateKey, self.record.workspace_id, opens, new)
    }

    /// The access keys of this agent, the newest first: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    pub fn keys(&self, query: impl Into<PageQuery>) -> Result<Page<KeyRecord>> {
        list(self.core.store(Act::AgentKeys)?, self.record.workspace_id, Some(self.id()), query.into())
    }
}

fn make(core: &Door, act: Act, workspace: WorkspaceId, opens: Opens, new: NewKey) -> Result<IssuedKey> {
    let (store, _admission) = core.writing(act)?;
    new.check()?;
    let stamp = core.shared.stamp();
    let kind = match opens {
        Opens::Workspace | Opens::WorkspaceAnew => KeyKind::Master,
        Opens::Agent(..) => KeyKind::Agent,
    };
    let (secret, hash) = Secret::make(kind, stamp.uuid(0).into())?;
    let record = store.create_key(CreateKey { stamp, workspace, opens, new, hash })?;
    Ok(IssuedKey::new(record, secret))
}

fn list(
    store: &dyn Store,
    workspace: WorkspaceId,
    agent: Option<AgentId>,
    query: PageQuery,
) -> Result<Page<KeyRecord>> {
    let page = query.at()?;
    let listed = store.keys(KeysQuery { workspace, agent, page })?;
    Ok(Page::new(page, listed.total, listed.items, listed.damaged))
}
