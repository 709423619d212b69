//! Draws operations on the outbox.

use super::op::Op;
use super::world::World;
use crate::record::{WebhookRow, WebhookSecrets};
use crate::store::{OutboxDelivered, OutboxFailed, OutboxKey, OutboxRows, Redrive};
use crate::time::Timestamp;

impl World {
    pub(super) fn draw_outbox(&mut self) -> Op {
        let stamp = self.stamp();
        let pick = self.rng.index(self.outbox.len());
        let Some(mut row) = self.outbox.get(pick).map(OutboxKey::from) else { return Op::Outbox(1000) };
        match self.rng.below(100) {
            // Of another session, or under another number.
            0..3 => row.at = self.place().0,
            3..6 => row.number = self.rng.below(20),
            _ => {}
        }
        match self.rng.below(10) {
            0..3 => Op::OutboxDelivered(OutboxDelivered { stamp, row }),
            3..7 => {
                let due = Timestamp::from_micros(self.rng.below(1 << 52));
                let next = self.rng.percent(60).then_some(due);
                Op::OutboxFailed(OutboxFailed { stamp, row, error: self.rng.one(["refused", ""]).into(), next })
            }
            7..9 => {
                let token = self.rng.percent(80).then(|| "another token".into());
                let secret = self.rng.percent(80).then(|| "another secret".into());
                let turn = self.rng.percent(50).then_some(row.turn);
                Op::Redrive(Redrive {
                    stamp,
                    at: row.at,
                    turn,
                    secrets: WebhookSecrets { token, secret },
                    limit: self.rng.one([0, 1, 100]),
                })
            }
            _ => self.draw_outbox_page(),
        }
    }

    pub(super) fn draw_outbox_page(&mut self) -> Op {
        let rows = self.rng.one([OutboxRows::Heads, OutboxRows::Dead]);
        Op::OutboxPages(rows, self.rng.one([1, 2, 100]))
    }

    /// Remembers rows that an operation on them can be drawn for, the newest few.
    pub(super) fn know_rows(&mut self, rows: &[WebhookRow]) {
        const KEPT: usize = 40;
        self.outbox.retain(|known| rows.iter().all(|row| OutboxKey::from(row) != OutboxKey::from(known)));
        self.outbox.extend(rows.iter().cloned());
        let over = self.outbox.len().saturating_sub(KEPT);
        self.outbox.drain(..over);
    }
}
