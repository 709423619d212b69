//! What sessions are, kept in memory: a page of sessions reads fifty of them, all over their table.

use std::collections::HashMap;

use crate::limit::{BODIES_KEPT, BODY_KEPT_BYTES};
use crate::record::SessionRecord;
use crate::sync::{Arc, RwLock};

/// The sessions that were read before, by their numbers, each as it was after so many rewritings: a session's number is
/// never another's.
#[derive(Debug, Default)]
pub(super) struct Bodies(RwLock<HashMap<u32, (u32, Arc<SessionRecord>)>>);

impl Bodies {
    pub(super) fn get(&self, number: u32, rewritten: u32) -> Option<Arc<SessionRecord>> {
        let kept = self.0.read();
        let (at, record) = kept.get(&number)?;
        (*at == rewritten).then(|| Arc::clone(record))
    }

    /// Keeps a committed one that took so many bytes, unless they are too many.
    pub(super) fn keep(&self, number: u32, rewritten: u32, record: &Arc<SessionRecord>, bytes: usize) {
        if bytes > BODY_KEPT_BYTES {
            return;
        }
        let mut kept = self.0.write();
        if kept.len() >= BODIES_KEPT {
            kept.clear();
        }
        kept.insert(number, (rewritten, Arc::clone(record)));
    }
}
