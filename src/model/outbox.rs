//! The verbs of the outbox: what became of each announcement.

use crate::error::{Error, Result};
use crate::record::{WebhookRow, WebhookState};
use crate::store::{
    OutboxDelivered, OutboxFailed, OutboxKey, OutboxPage, OutboxPlace, OutboxQuery, OutboxRows, Redrive,
};

use super::State;
use super::session::Session;
use super::turn::cut;

impl State {
    pub fn outbox_page(&self, op: &OutboxQuery) -> OutboxPage {
        let all = self.announcing().into_iter().flat_map(|session| {
            let rows: Vec<&WebhookRow> = match op.rows {
                OutboxRows::Heads => session.pending().take(1).collect(),
                OutboxRows::Dead => session.dead().collect(),
            };
            rows.into_iter().map(|row| (OutboxPlace { session: session.nth, number: row.number }, row))
        });
        // Of heads one of another number is the same session's, which was shown.
        let place = |at: &OutboxPlace| match op.rows {
            OutboxRows::Heads => (at.session, 0),
            OutboxRows::Dead => (at.session, at.number),
        };
        let later = all.filter(|(at, _)| op.after.is_none_or(|after| place(at) > place(&after)));
        let page: Vec<_> = later.take(op.limit as usize).collect();
        let next = page.last().filter(|_| page.len() >= op.limit as usize).map(|(at, _)| *at);
        OutboxPage { rows: page.into_iter().map(|(_, row)| row.clone()).collect(), next }
    }
}

impl Session {
    /// What waits to be announced, in order.
    pub fn pending(&self) -> impl Iterator<Item = &WebhookRow> {
        self.outbox.iter().filter(|row| row.state == WebhookState::Pending)
    }

    fn dead(&self) -> impl Iterator<Item = &WebhookRow> {
        self.outbox.iter().filter(|row| row.state == WebhookState::Dead)
    }

    fn pending_row(&mut self, key: OutboxKey) -> Result<&mut WebhookRow> {
        let found = self.outbox.iter_mut().find(|row| OutboxKey::from(&**row) == key);
        let pending = found.filter(|row| row.state == WebhookState::Pending);
        pending.ok_or_else(|| Error::not_found(format_args!("pending announcement of turn {}", key.turn)))
    }

    pub fn announced(&mut self, op: &OutboxDelivered) -> Result<()> {
        self.pending_row(op.row)?;
        self.outbox.retain(|row| OutboxKey::from(row) != op.row);
        self.announced.insert(op.row.turn);
        Ok(())
    }

    pub fn not_announced(&mut self, op: &OutboxFailed) -> Result<WebhookRow> {
        let row = self.pending_row(op.row)?;
        row.attempts += 1;
        (row.failed_at, row.error, row.due_at) = (Some(op.stamp.at), Some(cut(&op.error)), op.next);
        if op.next.is_none() {
            row.state = WebhookState::Dead;
            row.lacks_token |= row.webhook.token.take().is_some();
            row.lacks_secret |= row.webhook.secret.take().is_some();
        }
        Ok(row.clone())
    }

    pub fn redrive(&mut self, op: &Redrive) -> Result<u32> {
        let dead = self.outbox.iter_mut().filter(|row| row.state == WebhookState::Dead);
        let wanted = dead.filter(|row| op.turn.is_none_or(|turn| turn == row.turn_id));
        let mut driven = 0;
        for row in wanted.take(op.limit as usize) {
            (row.webhook.token, row.webhook.secret) = op.credentials(row)?;
            row.state = WebhookState::Pending;
            (row.attempts, row.due_at, row.lacks_token, row.lacks_secret) = (0, None, false, false);
            driven += 1;
        }
        match op.turn {
            Some(turn) if driven == 0 && op.limit > 0 => {
                Err(Error::not_found(format_args!("dead announcement of turn {turn}")))
            }
            _ => Ok(driven),
        }
    }
}
