//! Inputs and answers of the operations on the outbox.

use super::SessionRef;
use crate::error::{Error, Result};
use crate::id::{Stamp, TurnId};
use crate::record::{WebhookRow, WebhookSecrets};
use crate::time::Timestamp;

/// A row of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutboxKey {
    /// Its session.
    pub at: SessionRef,
    /// Its [number](WebhookRow::number).
    pub number: u64,
    /// The turn that ended: a session made anew under the same id may have a row of the same number.
    pub turn: TurnId,
}

impl From<&WebhookRow> for OutboxKey {
    fn from(row: &WebhookRow) -> Self {
        let at = SessionRef { workspace: row.workspace_id, session: row.session_id };
        OutboxKey { at, number: row.number, turn: row.turn_id }
    }
}

/// Which rows a page of the outbox shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxRows {
    /// The first pending one of each session: what may be tried next.
    Heads,
    /// Those that are not tried any more.
    Dead,
}

/// Where a page of the outbox goes on, in the words of the store that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxPlace {
    /// A session.
    pub session: u64,
    /// A row of it.
    pub number: u64,
}

/// Input of [`Store::outbox_page`](super::Store::outbox_page).
#[derive(Debug, Clone, Copy)]
pub struct OutboxQuery {
    /// Which rows.
    pub rows: OutboxRows,
    /// Those after an earlier page; by default from the first on.
    pub after: Option<OutboxPlace>,
    /// At most so many.
    pub limit: u32,
}

/// Answer of [`Store::outbox_page`](super::Store::outbox_page).
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxPage {
    /// The rows, oldest session first, each session's in the order of its ends.
    pub rows: Vec<WebhookRow>,
    /// Where the next page goes on; none where there is nothing more.
    pub next: Option<OutboxPlace>,
}

/// Input of [`Store::outbox_delivered`](super::Store::outbox_delivered).
#[derive(Debug, Clone, Copy)]
pub struct OutboxDelivered {
    /// When.
    pub stamp: Stamp,
    /// The row.
    pub row: OutboxKey,
}

/// Input of [`Store::outbox_failed`](super::Store::outbox_failed).
#[derive(Debug, Clone)]
pub struct OutboxFailed {
    /// When.
    pub stamp: Stamp,
    /// The row.
    pub row: OutboxKey,
    /// Why.
    pub error: String,
    /// When it is to be tried again; never where there is none.
    pub next: Option<Timestamp>,
}

/// Input of [`Store::redrive`](super::Store::redrive).
#[derive(Debug, Clone)]
pub struct Redrive {
    /// When.
    pub stamp: Stamp,
    /// The session.
    pub at: SessionRef,
    /// The end of this turn alone; of all of the session's that are dead by default.
    pub turn: Option<TurnId>,
    /// In place of those that went when the rows died.
    pub secrets: WebhookSecrets,
    /// At most so many, the oldest first.
    pub limit: u32,
}

impl Redrive {
    /// The token and the secret that a row is driven again with.
    pub(crate) fn credentials(&self, row: &WebhookRow) -> Result<(Option<String>, Option<String>)> {
        let given = |lacks: bool, kept: &Option<String>, given: &Option<String>, what: &str| match (lacks, given) {
            (false, _) => Ok(kept.clone()),
            (true, Some(given)) => Ok(Some(given.clone())),
            (true, None) => Err(Error::invalid(format!(
                "the announcement of turn {} had a {what}, which went when it died; give it again",
                row.turn_id
            ))),
        };
        Ok((
            given(row.lacks_token, &row.webhook.token, &self.secrets.token, "token")?,
            given(row.lacks_secret, &row.webhook.secret, &self.secrets.secret, "secret")?,
        ))
    }
}
