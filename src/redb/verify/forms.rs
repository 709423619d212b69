//! Every key that a table may have, and what stands under it. A row of any other form is a breach, and so is one that cannot be
//! read: this check alone names those, all others pass over them.

use super::{Check, Of, scan_all};
use crate::error::{Error, Result};
use crate::redb::codec::{
    self, ArchiveRow, ArchivedRow, BlockRow, ChangeRow, ChunkRow, ClaimRow, CountRow, CounterRow, DirectoryRow,
    GroupRow, HeadRow, HiddenRow, KeyRow, LabelRow, ListedRow, MarkRow, MessageRow, NumberRow, OutboxRow, PausedRow,
    QueuedRow, RemnantRow, ScopeCountRow, ScopeRow, SessionRow, ThreadRow, TurnRow, WaitingRow,
};
use crate::redb::file;
use crate::redb::tables::{Table, session_of};

/// Reads a row for its own sake.
type Sound = fn(Table, &[u8], &[u8]) -> Result<()>;

/// A kind of row: its keys are a number of `lead` bytes, the `tag`, and `rest` bytes.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) table: Table,
    pub(super) what: &'static str,
    lead: usize,
    pub(super) tag: Option<u8>,
    rest: Rest,
    sound: Sound,
}

/// What a key ends with.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Bytes(usize),
    /// As many bytes, and a text that ends in two zeros.
    Text(usize),
}

macro_rules! form {
    ($table:ident, $what:literal, $lead:literal, $tag:expr, $rest:expr, $row:ty) => {
        Form {
            table: Table::$table,
            what: $what,
            lead: $lead,
            tag: $tag,
            rest: $rest,
            sound: |table, key, value| codec::decode::<$row>(table, key, value).map(drop),
        }
    };
}

/// All of them. One that is missing here is a breach in every file that has it.
pub(super) const FORMS: [Form; 45] = [
    Form {
        table: Table::Meta,
        what: "format",
        lead: 0,
        tag: Some(0),
        rest: Rest::Bytes(0),
        sound: |_, _, value| {
            let known = file::is_format(value);
            known.then_some(()).ok_or_else(|| Error::corrupt("the format is not that of this library"))
        },
    },
    form!(Meta, "counters", 0, Some(1), Rest::Bytes(0), CounterRow),
    form!(Meta, "group number", 0, Some(2), Rest::Bytes(0), GroupRow),
    form!(Meta, "remnant", 0, Some(3), Rest::Bytes(4), RemnantRow),
    form!(Meta, "queued turn", 0, Some(4), Rest::Bytes(8), QueuedRow),
    form!(Meta, "waiting", 0, Some(5), Rest::Bytes(0), WaitingRow),
    form!(Meta, "remnant of an archived session", 0, Some(6), Rest::Bytes(4), RemnantRow),
    form!(Meta, "remnant of an archive", 0, Some(7), Rest::Bytes(4), RemnantRow),
    form!(Meta, "archives begun", 0, Some(8), Rest::Bytes(0), NumberRow),
    form!(Meta, "deleted agent", 0, Some(16), Rest::Bytes(4), HiddenRow),
    form!(Meta, "pause", 0, Some(0x20), Rest::Bytes(0), PausedRow),
    form!(Names, "workspace by name", 0, Some(1), Rest::Text(0), NumberRow),
    form!(Names, "workspace by id", 0, Some(2), Rest::Bytes(16), NumberRow),
    form!(Names, "agent by name", 0, Some(3), Rest::Text(4), NumberRow),
    form!(Names, "agent by id", 0, Some(4), Rest::Bytes(20), NumberRow),
    form!(Names, "session by key", 0, Some(5), Rest::Text(4), NumberRow),
    form!(Names, "session by id", 0, Some(6), Rest::Bytes(20), NumberRow),
    form!(Names, "workspace or agent", 0, Some(7), Rest::Bytes(4), ScopeRow<'_>),
    form!(Names, "session count", 0, Some(8), Rest::Bytes(4), CountRow),
    form!(Names, "count of agents", 0, Some(9), Rest::Bytes(4), ScopeCountRow),
    form!(Names, "label", 0, Some(10), Rest::Bytes(4), LabelRow<'_>),
    form!(Names, "access key", 0, Some(11), Rest::Bytes(16), KeyRow<'_>),
    form!(Names, "listed access key", 0, Some(12), Rest::Bytes(20), NumberRow),
    form!(Sessions, "session", 4, Some(0), Rest::Bytes(0), SessionRow<'_>),
    form!(Sessions, "head", 4, Some(1), Rest::Bytes(0), HeadRow),
    form!(Sessions, "context mark", 4, Some(2), Rest::Bytes(0), MarkRow<'_>),
    form!(Rows, "message", 4, Some(1), Rest::Bytes(4), MessageRow<'_>),
    form!(Rows, "times", 4, Some(2), Rest::Bytes(4), BlockRow<'_>),
    form!(Rows, "change", 4, Some(3), Rest::Bytes(8), ChangeRow),
    form!(Rows, "turn", 4, Some(4), Rest::Bytes(4), TurnRow<'_>),
    form!(Rows, "thread", 4, Some(5), Rest::Bytes(4), ThreadRow),
    form!(Rows, "message by id", 4, Some(6), Rest::Bytes(16), NumberRow),
    form!(Rows, "turn by id", 4, Some(7), Rest::Bytes(16), NumberRow),
    form!(Rows, "thread by id", 4, Some(8), Rest::Bytes(16), NumberRow),
    form!(Rows, "block of a list", 4, Some(9), Rest::Bytes(9), BlockRow<'_>),
    form!(Rows, "directory", 4, Some(10), Rest::Bytes(5), DirectoryRow<'_>),
    form!(Activity, "listed session", 4, None, Rest::Bytes(24), ListedRow),
    form!(Claims, "claim", 4, None, Rest::Bytes(0), ClaimRow),
    form!(Outbox, "outbox row", 4, None, Rest::Bytes(8), OutboxRow<'_>),
    form!(Archives, "archive", 0, Some(0), Rest::Bytes(4), ArchiveRow<'_>),
    form!(Archives, "chunk", 0, Some(1), Rest::Bytes(8), ChunkRow<'_>),
    form!(Archives, "listed archive", 0, Some(2), Rest::Bytes(16), ArchiveRow<'_>),
    form!(Archives, "archive count", 0, Some(3), Rest::Bytes(4), CountRow),
    form!(Archives, "archive by filename", 0, Some(4), Rest::Text(4), NumberRow),
    form!(Archives, "archived session", 0, Some(5), Rest::Bytes(20), ArchivedRow),
];

/// What a key is of; none of any.
pub(super) fn form(table: Table, key: &[u8]) -> Option<&'static Form> {
    const { &FORMS }.iter().find(|form| form.table == table && form.fits(key))
}

impl Form {
    fn fits(&self, key: &[u8]) -> bool {
        let Some((_, rest)) = key.split_at_checked(self.lead) else { return false };
        let rest = match (self.tag, rest.split_first()) {
            (None, _) => rest,
            (Some(tag), Some((first, rest))) if *first == tag => rest,
            _ => return false,
        };
        match self.rest {
            Rest::Bytes(bytes) => rest.len() == bytes,
            Rest::Text(before) => rest.get(before..).is_some_and(|text| text.ends_with(&[0, 0])),
        }
    }
}

impl Check<'_> {
    /// Every row has a known form and can be read. Finds the sessions.
    pub(super) fn forms(&mut self) -> Result<()> {
        for table in Table::ALL {
            scan_all(self.view, table, &mut |key, value| {
                let of = match table {
                    Table::Sessions | Table::Rows | Table::Claims | Table::Outbox => session_of(key),
                    Table::Meta | Table::Names | Table::Activity | Table::Archives => None,
                };
                let of = of.map_or(Of::Row(key), Of::Session);
                let Some(form) = form(table, key) else {
                    self.breach(&[table], of, format_args!("the key {} is of no known form", codec::hex(key)));
                    return Ok(());
                };
                if let Some(error) = (form.sound)(table, key, value).err() {
                    self.breach(&[table], of, format_args!("{}: {error}", form.what));
                }
                if let (Table::Sessions, Some(0 | 1), Some(session)) = (table, form.tag, session_of(key))
                    && self.sessions.last() != Some(&session)
                {
                    self.sessions.push(session);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
