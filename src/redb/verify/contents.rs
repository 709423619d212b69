//! What is in an archive: every chunk can be read, and all together are what the archive says.

use super::outbox::is_told;
use super::{Check, Of, scan};
use crate::error::{Error, ErrorKind, Result};
use crate::redb::archive::{Opened, open};
use crate::redb::codec::{self, ArchiveRow, ChangeRow, ChunkRow, HeadRow, OutboxRow, SessionRow};
use crate::redb::load::{Record, Unread};
use crate::redb::tables::{Table, archives, of_session, outbox};

/// What came so far of an archive.
#[derive(Default)]
struct Seen {
    records: u64,
    /// Events.
    events: u64,
    session: Option<bool>,
    head: Option<bool>,
    /// Rows of the outbox whose events came.
    announced: u64,
}

impl Check<'_> {
    pub(super) fn contents(&mut self, number: u32, row: &ArchiveRow<'_>) -> Result<()> {
        match self.read_all(number, row) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.breach(&[Table::Archives], Of::Archive(number), error);
                Ok(())
            }
            read => read,
        }
    }

    fn read_all(&mut self, number: u32, row: &ArchiveRow<'_>) -> Result<()> {
        let (mut opened, mut unread, mut seen) = (Opened::default(), Unread::default(), Seen::default());
        let waiting = self.announcements(row.number)?;
        for chunk in 0..row.chunks {
            let key = archives::chunk(number, chunk);
            let stream = self.view.row(Table::Archives, &key, |value| {
                open(&row.id, chunk, &codec::decode::<ChunkRow<'_>>(Table::Archives, &key, value)?)
            })?;
            let stream = stream.ok_or_else(|| Error::corrupt(format!("chunk {chunk} of {} is missing", row.chunks)))?;
            opened.add(&stream);
            unread.feed(&stream);
            while let Some(record) = unread.next()? {
                match record {
                    Record::Session(body) => seen.session = Some(is_session(&body, row)),
                    Record::Head(head) => seen.head = Some(is_head(&head, row)),
                    Record::Mark(_) => {}
                    Record::Change(event) => {
                        (seen.records, seen.events) = (seen.records + 1, seen.events + 1);
                        if waiting > 0 {
                            seen.announced += self.announced_of(row.number, seen.events, &event)?;
                        }
                    }
                    _ => seen.records += 1,
                }
            }
        }
        opened.check(row.bytes, row.checksum)?;
        let of = Of::Archive(number);
        if (seen.session, seen.head) != (Some(true), Some(true)) {
            let text = format_args!("it does not begin with the session that it says: {row:?}");
            self.breach(&[Table::Archives], of, text);
        }
        if seen.records != row.records || !unread.is_empty() {
            let text = format_args!("{} whole records, where it says {}", seen.records, row.records);
            self.breach(&[Table::Archives], of, text);
        }
        if seen.announced != waiting {
            let text = format_args!(
                "{waiting} ends of it are to be announced, {} of them are told of in archive {number}",
                seen.announced
            );
            self.breach(&[Table::Outbox, Table::Archives], Of::Session(row.number), text);
        }
        Ok(())
    }

    /// How many rows a session has in the outbox that can be read.
    fn announcements(&self, session: u32) -> Result<u64> {
        let (from, to) = of_session(session);
        let mut rows = 0;
        scan(self.view, Table::Outbox, (&from, &to), &mut |key, value| {
            rows += u64::from(codec::decode::<OutboxRow<'_>>(Table::Outbox, key, value).is_ok());
            Ok(())
        })?;
        Ok(rows)
    }

    /// How many rows of the outbox announce an event of an archived session.
    fn announced_of(&self, session: u32, number: u64, event: &ChangeRow) -> Result<u64> {
        let mut rows = 0;
        for key in [outbox::at(session, number), outbox::dead(session, number)] {
            let read = self.view.row(Table::Outbox, &key, |value| {
                codec::decode::<OutboxRow<'_>>(Table::Outbox, &key, value).map(|row| is_told(event, &row))
            });
            rows += u64::from(self.unless_damaged(read)?.flatten() == Some(true));
        }
        Ok(rows)
    }
}

fn is_session(body: &SessionRow<'_>, row: &ArchiveRow<'_>) -> bool {
    (body.id, body.key, body.label, body.created_at) == (row.session, row.key, row.label, row.created_at)
}

fn is_head(head: &HeadRow, row: &ArchiveRow<'_>) -> bool {
    let said = (row.messages, row.turns, row.changes, row.usage, row.archived_at);
    (head.messages, head.turns, head.changes, head.usage, head.updated_at) == said
}
