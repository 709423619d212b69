//! What the log has and the file lacks, in memory over the file, as it stood there before the crash.
//!
//! Written into the file record by record, a removal of a session's rows that the file has seen already would take rows
//! that were written after it. In memory there is one state to arrive at, and arriving there twice changes nothing.

use super::codec::{Logged, patched};
use super::recent::{Recent, Touched};
use super::snapshot::{Layers, Snapshot};
use super::tables::{Table, of_session, session_of};
use super::view::{Read, Stage};
use super::write_set::WriteSet;
use crate::error::{Error, Result};
use crate::sync::Arc;

/// Takes in the writes of the next record, over the layers of which the first is where they go.
pub(super) fn record(layers: &Layers, number: u64, mut record: &[u8]) -> Result<()> {
    let Some(recent) = layers.recent.first() else { return Ok(()) };
    let view = Snapshot::new(layers.clone(), number, Stage::Open);
    while let Some(logged) = Logged::next(&mut record)? {
        recent.apply(number, write(&view, logged)?, number, &mut Touched::default());
    }
    Ok(())
}

/// The layers of a file whose log is replayed.
pub(super) fn over(file: Layers) -> (Layers, Arc<Recent>) {
    let recent = Arc::<Recent>::default();
    (Layers { recent: vec![Arc::clone(&recent)], ..file }, recent)
}

fn write(view: &dyn Read, logged: Logged<'_>) -> Result<WriteSet> {
    let mut writes = WriteSet::default();
    match logged {
        Logged::Put { table, key, value } => writes.put_value(known(table)?, key.to_vec(), value.to_vec()),
        Logged::Patch { table, key, old, new, changes } => {
            let table = known(table)?;
            let value = view.get(table, key)?.and_then(|value| patched(value.value(), old, new, &changes));
            let value = value.ok_or_else(|| Error::corrupt("a record of the log changes what is not there"))?;
            writes.put_value(table, key.to_vec(), value);
        }
        Logged::Remove { table, key } => writes.remove(known(table)?, key),
        Logged::RemoveRange { table, from, to } => {
            let session = session_of(from).filter(|session| of_session(*session).0 == from);
            let session = session.ok_or_else(|| Error::corrupt("a record of the log removes more than a session"))?;
            writes.remove_of_session(known(table)?, session, to);
        }
    }
    Ok(writes)
}

fn known(tag: u8) -> Result<Table> {
    Table::of_tag(tag).ok_or_else(|| Error::corrupt(format!("a record of the log names table {tag}, which is unknown")))
}
