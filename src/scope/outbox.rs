//! What a session can have done about its announcements.

use super::Session;
use crate::error::Result;
use crate::grant::Act;
use crate::id::TurnId;
use crate::limit::OUTBOX_LIMIT_MAX;
use crate::record::WebhookSecrets;
use crate::store::Redrive;

impl Session {
    /// Has [dead](crate::WebhookState::Dead) announcements of the session tried again: that of one turn, or with `None` all
    /// of them. They are pending again, with all their tries before them and where they stood. Answers with how many.
    ///
    /// Tokens and secrets went when the announcements died, so they are to be given again; one that had none gets none.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session was deleted, or the turn has no dead announcement,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) where a token or a secret is missing. What was driven by then is;
    /// that is nothing where there are no more than [`limit::OUTBOX_LIMIT_MAX`](crate::limit::OUTBOX_LIMIT_MAX).
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// # let session = engine.workspace("acme")?.agent("echo")?.create_session(Default::default())?;
    /// assert_eq!(session.redrive(None, Default::default())?, 0); // nothing is dead
    /// # engine.close()
    /// # }
    /// ```
    pub fn redrive(&self, turn: impl Into<Option<TurnId>>, secrets: WebhookSecrets) -> Result<u32> {
        let (turn, at, mut driven) = (turn.into(), self.at, 0_u32);
        let (store, _admission) = self.core.writing(Act::SessionRedrive)?;
        loop {
            let stamp = self.core.shared.stamp();
            let op = Redrive { stamp, at, turn, secrets: secrets.clone(), limit: OUTBOX_LIMIT_MAX };
            let more = store.redrive(op)?;
            self.core.shared.bell.announce(at);
            driven = driven.saturating_add(more);
            if turn.is_some() || more < OUTBOX_LIMIT_MAX {
                return Ok(driven);
            }
        }
    }
}
