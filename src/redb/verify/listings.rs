//! The listings of sessions, and how many sessions a workspace or an agent has.

use super::{Check, Of, Session, scan, scan_all};
use crate::error::Result;
use crate::redb::codec::{self, CountRow, HeadRow, Id, ListedRow};
use crate::redb::tables::{Table, activity, names, sessions};

impl Check<'_> {
    /// A listing says of a session what its head says.
    pub(super) fn listed(&mut self, session: &Session, scope: u32, id: &Id) -> Result<()> {
        let tables = [Table::Activity, Table::Sessions];
        let due = ListedRow::of(session.number, &session.head);
        let row = self.plain::<ListedRow>(Table::Activity, &activity::at(scope, session.head.updated_at, id))?;
        match row {
            Some(Some(row)) if row != due => {
                let text = format_args!("a listing has {row:?}, where {due:?} is due");
                self.breach(&tables, Of::Session(session.number), text);
            }
            Some(None) => {
                let text = format_args!("its row in the listing of scope {scope} is missing");
                self.breach(&tables, Of::Session(session.number), text);
            }
            _ => {}
        }
        Ok(())
    }

    /// The listings have each session twice. Where they have more, those rows that are of none.
    pub(super) fn activity(&mut self) -> Result<()> {
        let mut listed = 0;
        scan_all(self.view, Table::Activity, &mut |_, _| {
            listed += 1;
            Ok(())
        })?;
        if listed == 2 * self.sessions.len() {
            return Ok(());
        }
        let text = format_args!("{listed} rows for {} sessions", self.sessions.len());
        self.breach(&[Table::Activity], Of::File, text);
        scan_all(self.view, Table::Activity, &mut |key, value| {
            let read = codec::decode::<ListedRow>(Table::Activity, key, value);
            let Some(row) = self.unless_damaged(read)? else { return Ok(()) };
            if !self.is_due(key, row.number)? {
                let text = format_args!("{} is no row of the session", codec::hex(key));
                self.breach(&[Table::Activity], Of::Session(row.number), text);
            }
            Ok(())
        })
    }

    /// Whether a session is to stand under this key in a listing.
    fn is_due(&mut self, key: &[u8], session: u32) -> Result<bool> {
        if self.sessions.binary_search(&session).is_err() {
            return Ok(false);
        }
        let head = self.plain::<HeadRow>(Table::Sessions, &sessions::head(session))?.flatten();
        let (Some(body), Some(head)) = (self.body(session)?, head) else { return Ok(true) };
        Ok([body.workspace, body.agent].into_iter().any(|scope| activity::at(scope, head.updated_at, &body.id) == key))
    }

    /// The counts of live sessions are those of the sessions there are.
    pub(super) fn counts(&mut self) -> Result<()> {
        let (from, to) = (names::count(0), names::count(u32::MAX));
        let mut live = std::mem::take(&mut self.live);
        scan(self.view, Table::Names, (&from, &to), &mut |key, value| {
            let scope = key.last_chunk().map_or(0, |scope| u32::from_be_bytes(*scope));
            let live = live.remove(&scope).unwrap_or_default();
            let read = codec::decode::<CountRow>(Table::Names, key, value);
            let Some(CountRow { sessions }) = self.unless_damaged(read)? else { return Ok(()) };
            if sessions != live {
                let text = format_args!("{live} live sessions, {sessions} counted");
                self.breach(&[Table::Names, Table::Sessions], Of::Scope(scope), text);
            }
            if self.scope_name(scope)?.is_none() {
                let text = "its sessions are counted, and it is not there";
                self.breach(&[Table::Names], Of::Scope(scope), text);
            }
            Ok(())
        })?;
        for (scope, live) in live {
            let text = format_args!("{live} live sessions, none counted");
            self.breach(&[Table::Names, Table::Sessions], Of::Scope(scope), text);
            if self.scope_name(scope)?.is_none() {
                let text = "it has sessions, is not there, and is not said to be deleted";
                self.breach(&[Table::Names, Table::Meta], Of::Scope(scope), text);
            }
        }
        Ok(())
    }
}
