//! Verbs of the context mark: where a session's transcript begins.

use super::codec::{self, ChangeRow, MarkRow};
use super::draft::Draft;
use super::message::check_idle;
use super::place;
use super::tables::{Table, sessions};
use super::turn::hold;
use super::view::Read;
use super::write_set::WriteSet;
use crate::error::{Error, Result};
use crate::record::ContextMark;
use crate::store::{SessionRef, SetContextMark};

/// Sets it, or takes it away.
pub(super) fn set(view: &dyn Read, op: &SetContextMark) -> Result<(WriteSet, ())> {
    let mut draft = match op.claim {
        Some(claim) => hold(view, op.at, claim, op.stamp)?.0,
        None => Draft::open(view, op.at, op.stamp)?,
    };
    let most = draft.head.messages + 1;
    if let Some(mark) = &op.mark
        && !(1..=most).contains(&mark.message)
    {
        let text = format!("message of the context mark is {}; it must be 1 to {most}", mark.message);
        return Err(Error::invalid(text));
    }
    if op.claim.is_none() {
        check_idle(&draft.head, op.at.session)?;
    }
    let key = sessions::mark(draft.place.number);
    match &op.mark {
        Some(ContextMark { message, summary }) => {
            draft.writes.put(Table::Sessions, key, &MarkRow { message: *message, summary })?;
            draft.head.mark = *message;
        }
        None => {
            draft.writes.remove(Table::Sessions, key);
            draft.head.mark = 0;
        }
    }
    draft.change(ChangeRow { kind: codec::CHANGE_MARK, number: draft.head.mark, id: None, state: 0 })?;
    Ok((draft.seal()?, ()))
}

/// The mark, if there is one.
pub(super) fn get(view: &dyn Read, at: SessionRef) -> Result<Option<ContextMark>> {
    let key = sessions::mark(place::session(view, at)?);
    view.row(Table::Sessions, &key, |value| {
        let row: MarkRow<'_> = codec::decode(Table::Sessions, &key, value)?;
        Ok(ContextMark::new(row.message, row.summary))
    })
}
