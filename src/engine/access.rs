//! Who comes with an access key, and which workspaces there are.

use super::Engine;
use crate::error::{Error, Result};
use crate::page::Page;
use crate::record::{KeyKind, Presented, WorkspaceRecord};
use crate::scope::{Access, Door, PageQuery};

impl Engine {
    /// The workspaces of the file, in the order of their names: see [`PageQuery`].
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a page or limit out of bounds.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// engine.workspace("beta")?;
    /// engine.workspace("acme")?;
    /// let page = engine.workspaces(())?;
    /// assert_eq!(page.items.iter().map(|workspace| workspace.name.as_str()).collect::<Vec<_>>(), ["acme", "beta"]);
    /// assert_eq!(page.meta.total, 2);
    /// # engine.close()
    /// # }
    /// ```
    pub fn workspaces(&self, query: impl Into<PageQuery>) -> Result<Page<WorkspaceRecord>> {
        let store = self.core.shared.open()?;
        let page = query.into().at()?;
        let listed = store.workspaces(page)?;
        Ok(Page::new(page, listed.total, listed.items, listed.damaged))
    }

    /// What the access key opens that has this secret: all that may be done with it goes through the answer.
    ///
    /// It takes one read of the file, so it may be done for every request.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) for a text that is no secret of a key, or of one that is unknown, expired or
    /// revoked: always with the same text, and after the same work as far as that tells anything of a secret.
    ///
    /// See [`Access`] for an example. From document B.
    pub fn open_key(&self, secret: &str) -> Result<Access> {
        let shared = &self.core.shared;
        let store = shared.open()?;
        let presented = Presented::read(secret).ok_or_else(Error::unauthorized)?;
        let stored = store.key(presented.id)?;
        let is_its = presented.is(stored.as_ref().map(|key| &key.hash));
        let record = stored.map(|key| key.record).filter(|_| is_its).ok_or_else(Error::unauthorized)?;
        let is_master = presented.kind == KeyKind::Master;
        if record.is_expired(shared.clock.now()) || record.is_master() != is_master {
            return Err(Error::unauthorized());
        }
        let pass = shared.grants.open(record.clone());
        Ok(Access::new(Door::held_by(&self.core, pass), record))
    }
}
