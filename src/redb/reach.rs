//! Whether what is read in order is found by its key too.
//!
//! Between the rows stand pages that lead to them. Where one of those is damaged a row may be passed in a walk over all, and
//! missed by who looks for it alone; no row says so.

use std::ops::{Bound, ControlFlow};

use super::codec::hex;
use super::tables::Table;
use super::verify;
use super::view::Read;
use crate::error::Result;
use crate::page::Direction;

/// Every breach in the file, and what of it cannot be reached.
pub(super) fn all(view: &dyn Read) -> Result<Vec<String>> {
    let mut breaches = verify::all(view)?;
    for table in Table::ALL {
        breaches.extend(of(view, table)?);
    }
    Ok(breaches)
}

/// What of a table cannot be reached, as one breach, if there is any.
fn of(view: &dyn Read, table: Table) -> Result<Option<String>> {
    let (mut missed, mut first) = (0_u64, None);
    let mut last: Option<Vec<u8>> = None;
    view.scan(table, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, _| {
        let is_in_order = last.as_deref().is_none_or(|last| last < key);
        if !is_in_order || view.get(table, key)?.is_none() {
            missed += 1;
            first.get_or_insert_with(|| hex(key));
        }
        last = Some(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(first.map(|first| format!("{table:?} has {missed} rows that are not found by their keys, the first {first}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::id::Stamp;
    use crate::redb::body::Bodies;
    use crate::redb::place::{Age, Places};
    use crate::redb::view::{Each, EachNumbered, Guard, Stage};
    use crate::redb::{Open, Options, RedbStore};
    use crate::store::{EnsureWorkspace, Store};
    use crate::time::Timestamp;

    /// A view whose look-ups miss what its walks pass, as over a damaged page that leads to others.
    struct Hides<'v> {
        view: &'v dyn Read,
        key: Vec<u8>,
    }

    impl Read for Hides<'_> {
        fn block(&self) -> u32 {
            self.view.block()
        }

        fn places(&self) -> &Places {
            self.view.places()
        }

        fn bodies(&self) -> &Bodies {
            self.view.bodies()
        }

        fn stage(&self) -> Stage {
            self.view.stage()
        }

        fn age(&self) -> Option<Age> {
            self.view.age()
        }

        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Guard<'_>>> {
            if key == self.key { Ok(None) } else { self.view.get(table, key) }
        }

        fn scan(
            &self,
            table: Table,
            between: (Bound<&[u8]>, Bound<&[u8]>),
            direction: Direction,
            each: &mut Each<'_>,
        ) -> Result<()> {
            self.view.scan(table, between, direction, each)
        }

        fn messages(&self, session: u32, numbers: &[u32], each: &mut EachNumbered<'_>) -> Result<()> {
            self.view.messages(session, numbers, each)
        }
    }

    #[test]
    fn a_row_that_only_a_walk_passes_is_a_breach() {
        let store = RedbStore::in_memory(Options::default()).expect("it opens");
        let op = EnsureWorkspace { stamp: Stamp::new(Timestamp::from_micros(1), 1), name: "acme".into() };
        store.ensure_workspace(op).expect("it is made");
        let Open::ToWrite(file) = &store.file else { unreachable!("it was opened to be written") };
        let snapshot = file.shared.snapshot().expect("it is open");
        let mut keys = Vec::new();
        let all = (Bound::Unbounded, Bound::Unbounded);
        let scanned = snapshot.scan(Table::Names, all, Direction::Asc, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        });
        scanned.expect("it is read");
        assert!(keys.len() > 1, "{keys:?}");
        assert_eq!(of(&*snapshot, Table::Names).expect("it is read"), None);
        for key in keys {
            let hidden = hex(&key);
            let breach = of(&Hides { view: &*snapshot, key }, Table::Names).expect("it is read").expect("a breach");
            assert!(breach.contains("1 rows") && breach.contains(&hidden), "{breach}");
        }
    }
}
