//! Rows below no session, but for what is left of those that went.

use super::{Check, Of, scan_all};
use crate::error::Result;
use crate::redb::codec;
use crate::redb::remnant::{self, Remnant};
use crate::redb::tables::{Table, session_of};

impl Check<'_> {
    pub(super) fn strays(&mut self) -> Result<()> {
        let cleared = remnant::all_of(self.view, Remnant::Archived)?;
        for table in [Table::Sessions, Table::Rows, Table::Claims, Table::Outbox] {
            let mut last = None;
            scan_all(self.view, table, &mut |key, _| {
                let session = session_of(key);
                if session == last {
                    return Ok(());
                }
                last = session;
                let Some(session) = session else { return Ok(()) };
                let is_in = |all: &[u32]| all.binary_search(&session).is_ok();
                let is_archived = || self.archived.binary_search_by_key(&session, |(session, _)| *session).is_ok();
                // What is left of deleted sessions, and of archived ones, which keep what they have in the outbox.
                let is_known = is_in(&self.sessions)
                    || match table {
                        Table::Rows => is_in(&self.deleted) || is_in(&cleared),
                        Table::Outbox => is_in(&self.deleted) || is_archived(),
                        _ => false,
                    };
                if !is_known {
                    self.breach(
                        &[table, Table::Meta],
                        Of::Session(session),
                        format_args!("{} stands below no session and no remnant of one", codec::hex(key)),
                    );
                }
                Ok(())
            })?;
        }
        self.activity()
    }
}
