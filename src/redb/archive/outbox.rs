//! What archived sessions have in the outbox: it stays under the number that the session had, until it is restored.

use std::ops::{Bound, ControlFlow};

use super::listing::number_of;
use crate::error::Result;
use crate::page::Direction;
use crate::redb::codec::{self, OutboxRow};
use crate::redb::place;
use crate::redb::tables::{Table, of_session, outbox};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::store::SessionRef;

/// The number under which a session stands in the outbox, live or archived.
pub(in crate::redb) fn announced(view: &dyn Read, at: SessionRef) -> Result<u32> {
    let live = place::session(view, at);
    match &live {
        Err(error) if error.is_not_found() => {
            let workspace = place::workspace(view, at.workspace)?;
            number_of(view, workspace, at.session)?.map_or(live, Ok)
        }
        _ => live,
    }
}

/// Moves what a session has in the outbox under another number, as it is.
pub(in crate::redb) fn move_outbox(view: &dyn Read, session: u32, to: u32, writes: &mut WriteSet) -> Result<()> {
    let (from, last) = of_session(session);
    let between = (Bound::Included(from.as_slice()), Bound::Included(last.as_slice()));
    view.scan(Table::Outbox, between, Direction::Asc, &mut |key, value| {
        writes.remove(Table::Outbox, key);
        // One that cannot be read tells nobody of anything.
        if let (Some(moved), Ok(row)) =
            (outbox::moved(key, to), codec::decode::<OutboxRow<'_>>(Table::Outbox, key, value))
        {
            writes.put(Table::Outbox, moved, &row)?;
        }
        Ok(ControlFlow::Continue(()))
    })
}
