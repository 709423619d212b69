//! The ends that wait to be announced, and the dead ones.

use std::ops::{Bound, ControlFlow};

use super::super::codec::{self, CHANGE_TURN, ChangeRow, OutboxRow};
use super::super::tables::{Table, outbox, rows};
use super::Check;
use crate::error::Result;
use crate::page::Direction;
use crate::record::WebhookState;

impl Check<'_> {
    /// Every row can be read (the outbox itself leaves out what cannot), tells of an event that there is, and has no
    /// secrets where it is dead.
    pub(super) fn outbox(&mut self) -> Result<()> {
        self.view.scan(Table::Outbox, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, value| {
            let Some((session, number, state)) = outbox::of(key) else {
                self.breaches.push(format!("outbox has a key {} of no known form", codec::hex(key)));
                return Ok(ControlFlow::Continue(()));
            };
            if self.deleted.binary_search(&session).is_ok() {
                return Ok(ControlFlow::Continue(()));
            }
            match codec::decode::<OutboxRow<'_>>(Table::Outbox, key, value) {
                // Of an archived session the events are in the archive.
                Ok(_) if self.archived.binary_search(&session).is_ok() => {}
                Ok(row) => self.outbox_row(session, number, state, &row),
                Err(error) => self.breaches.push(error.to_string()),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn outbox_row(&mut self, session: u32, number: u64, state: WebhookState, row: &OutboxRow<'_>) {
        match self.view.plain::<ChangeRow>(Table::Rows, &rows::change(session, number)) {
            Ok(Some(told)) if (told.kind, told.id, told.state) == (CHANGE_TURN, Some(row.turn), row.state) => {}
            Ok(told) => {
                self.breach(
                    session,
                    format_args!("the outbox announces event {number}, in place of which is {told:?}"),
                );
            }
            // The check of the events names it.
            Err(_) => {}
        }
        if state == WebhookState::Dead && (row.hook.token.is_some() || row.hook.secret.is_some()) {
            self.breach(session, format_args!("the dead announcement of event {number} has its secrets"));
        }
        if state == WebhookState::Pending && row.lacks != 0 {
            self.breach(session, format_args!("the announcement of event {number} waits without its secrets"));
        }
    }
}
