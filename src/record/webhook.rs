//! Webhooks: where the end of a turn is to be announced, and what became of that.

use std::fmt;

use crate::id::{SessionId, TurnId, WorkspaceId};
use crate::record::TurnState;
use crate::time::Timestamp;

/// Where to announce the end of a turn.
///
/// From document C.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to. At most [`limit::WEBHOOK_BYTES`](crate::limit::WEBHOOK_BYTES) bytes.
    pub url: String,
    /// A bearer token to send along. Never printed.
    pub token: Option<String>,
    /// A secret to sign with. Never printed.
    pub secret: Option<String>,
    /// Whether the turn's messages go along.
    pub include_messages: bool,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .field("token", &hidden(&self.token))
            .field("secret", &hidden(&self.secret))
            .field("include_messages", &self.include_messages)
            .finish()
    }
}

/// What a dead announcement lost, for it to be driven again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookSecrets {
    /// In place of a token. Never printed.
    pub token: Option<String>,
    /// In place of a secret. Never printed.
    pub secret: Option<String>,
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        let (token, secret) = (hidden(&self.token), hidden(&self.secret));
        f.debug_struct("WebhookSecrets").field("token", &token).field("secret", &secret).finish()
    }
}

/// Whether an end is still to be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebhookState {
    /// It waits for its first or its next try.
    Pending,
    /// The last try failed: it is kept until somebody drives it again, or deletes its session.
    Dead,
}

/// A row of the outbox: the end of a turn that is to be announced, written in the commit that ended it.
///
/// It goes once it was announced. After the last try it is kept as [dead](WebhookState::Dead), without token and
/// secret.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WebhookRow {
    /// The workspace of the session.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The turn that ended.
    pub turn_id: TurnId,
    /// How it ended.
    pub status: TurnState,
    /// Where to announce it.
    pub webhook: Webhook,
    /// The number of the event that told of the end: the rows of a session are announced in its order.
    pub number: u64,
    /// Whether it is still tried.
    pub state: WebhookState,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// Not before then; at once where there is none.
    pub due_at: Option<Timestamp>,
    /// When it was last tried in vain.
    pub failed_at: Option<Timestamp>,
    /// Why that failed: at most [`limit::REASON_BYTES`](crate::limit::REASON_BYTES) bytes.
    pub error: Option<String>,
    /// Whether it had a token, which went when it died.
    pub lacks_token: bool,
    /// Whether it had a secret, which went when it died.
    pub lacks_secret: bool,
}

impl WebhookRow {
    /// A row that was never tried, for a store of your own.
    pub fn new(
        workspace_id: WorkspaceId,
        session_id: SessionId,
        turn_id: TurnId,
        status: TurnState,
        webhook: Webhook,
        number: u64,
    ) -> Self {
        WebhookRow {
            workspace_id,
            session_id,
            turn_id,
            status,
            webhook,
            number,
            state: WebhookState::Pending,
            attempts: 0,
            due_at: None,
            failed_at: None,
            error: None,
            lacks_token: false,
            lacks_secret: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_token_or_a_secret() {
        let (token, secret) = (Some("hunter2".to_owned()), Some("hunter3".to_owned()));
        let secrets = WebhookSecrets { token: token.clone(), secret: secret.clone() };
        let webhook = Webhook { url: "https://example.org".into(), token, secret, include_messages: false };
        let text = format!("{secrets:?} {webhook:#?}");
        assert!(!text.contains("hunter") && text.contains('…'), "{text}");
    }
}
