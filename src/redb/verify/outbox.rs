//! The ends that wait to be announced, and the dead ones.

use super::{Check, Of, scan_all};
use crate::error::Result;
use crate::record::WebhookState;
use crate::redb::codec::{self, ArchiveRow, CHANGE_TURN, ChangeRow, Id, OutboxRow, SessionRow};
use crate::redb::tables::{Table, archives, outbox, rows, sessions};

impl Check<'_> {
    /// Every row tells of an event that there is, in the name of its session, and says of its tries what can be.
    pub(super) fn outbox(&mut self) -> Result<()> {
        scan_all(self.view, Table::Outbox, &mut |key, value| {
            let Some((session, number, state)) = outbox::of(key) else { return Ok(()) };
            if self.deleted.binary_search(&session).is_ok() {
                return Ok(());
            }
            let read = codec::decode::<OutboxRow<'_>>(Table::Outbox, key, value);
            let Some(row) = self.unless_damaged(read)? else { return Ok(()) };
            if let Some(what) = tried(&row, state) {
                self.breach(&[Table::Outbox], Of::Session(session), format_args!("event {number}: {what}"));
            }
            if state == WebhookState::Dead && self.view.get(Table::Outbox, &outbox::at(session, number))?.is_some() {
                let text = format_args!("event {number} is dead, and waits to be announced");
                self.breach(&[Table::Outbox], Of::Session(session), text);
            }
            self.announced(session, number, &row)
        })
    }

    /// A row is of the session below whose number it stands, and of an end that is told of there.
    fn announced(&mut self, session: u32, number: u64, row: &OutboxRow<'_>) -> Result<()> {
        let archive = self.archived.binary_search_by_key(&session, |(session, _)| *session).ok();
        let archive = archive.and_then(|at| self.archived.get(at)).map(|(_, archive)| *archive);
        let Some(owner) = self.owner(session, archive)? else { return Ok(()) };
        if owner != (row.workspace, row.session) {
            let text = format_args!("the announcement of event {number} is of another session");
            self.breach(&[Table::Outbox, Table::Sessions], Of::Session(session), text);
        }
        // Of an archived session the events are in the archive, which is read with them at hand.
        if archive.is_some() {
            return Ok(());
        }
        let told = self.plain::<ChangeRow>(Table::Rows, &rows::change(session, number))?;
        if let Some(told) = told
            && !told.is_some_and(|told| is_told(&told, row))
        {
            let text = format_args!("the outbox announces event {number}, in place of which is {told:?}");
            self.breach(&[Table::Outbox, Table::Rows], Of::Session(session), text);
        }
        Ok(())
    }

    /// The ids of the workspace and of the session that had a number, which is there or in an archive; nothing where there is
    /// none, or it is damaged: that is named elsewhere.
    fn owner(&self, session: u32, archive: Option<u32>) -> Result<Option<(Id, Id)>> {
        let scopes = match archive {
            None => {
                let key = sessions::body(session);
                self.view.row(Table::Sessions, &key, |value| {
                    codec::decode::<SessionRow<'_>>(Table::Sessions, &key, value).map(|row| (row.workspace, row.id))
                })
            }
            Some(archive) => {
                let key = archives::row(archive);
                self.view.row(Table::Archives, &key, |value| {
                    codec::decode::<ArchiveRow<'_>>(Table::Archives, &key, value)
                        .map(|row| (row.workspace, row.session))
                })
            }
        };
        let Some(Some((workspace, id))) = self.unless_damaged(scopes)? else { return Ok(None) };
        Ok(self.scope_id(workspace)?.map(|workspace| (workspace, id)))
    }
}

/// Whether an event is the end that a row announces.
pub(super) fn is_told(event: &ChangeRow, row: &OutboxRow<'_>) -> bool {
    (event.kind, event.id, event.state) == (CHANGE_TURN, Some(row.turn), row.state)
}

/// What is wrong with what a row says of its tries.
fn tried(row: &OutboxRow<'_>, state: WebhookState) -> Option<&'static str> {
    let (dead, was_tried) = (state == WebhookState::Dead, row.attempts > 0);
    let has_secrets = row.hook.token.is_some() || row.hook.secret.is_some();
    let wrong = [
        (dead && has_secrets, "the dead announcement has its secrets"),
        (!dead && row.lacks != 0, "the announcement waits without its secrets"),
        (row.lacks > codec::LACKS_TOKEN | codec::LACKS_SECRET, "the announcement lacks what none has"),
        (dead && !was_tried, "the announcement is dead, and was never tried"),
        (row.due_at.is_some() != (was_tried && !dead), "the announcement is due when none of its kind is"),
        (row.failed_at.is_some() != row.error.is_some(), "the announcement failed without an error, or the reverse"),
        (was_tried && row.failed_at.is_none(), "the announcement was tried in vain, and did not fail"),
    ];
    wrong.into_iter().find_map(|(is_wrong, what)| is_wrong.then_some(what))
}
