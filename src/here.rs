//! Which agent runs on this thread, for what it may not do there: wait for its own session, and feed itself
//! without end.

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};
use crate::limit::CHAIN_TURNS;
use crate::store::SessionRef;
use crate::sync::thread_local;

/// The turn whose agent runs here.
#[derive(Clone, Copy)]
struct Here {
    at: SessionRef,
    chain: u32,
}

thread_local! {
    static HERE: Cell<Option<Here>> = const { Cell::new(None) };
}

/// Until it is dropped, the agent of this session runs on this thread, in a turn that agents of the session started this
/// many in a row.
pub(crate) fn enter(at: SessionRef, chain: u32) -> Inside {
    HERE.with(|here| here.set(Some(Here { at, chain })));
    Inside(())
}

/// See [`enter`].
pub(crate) struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        HERE.with(|here| here.set(None));
    }
}

/// The turn of this session whose agent runs here, if any.
fn own(at: SessionRef) -> Option<Here> {
    HERE.with(Cell::get).filter(|here| here.at == at)
}

/// Refuses to wait for a session on the thread of its own agent.
pub(crate) fn check_wait(at: SessionRef) -> Result<()> {
    if own(at).is_none() {
        return Ok(());
    }
    let text = format!("the agent of session {} waits for its own session, which waits for the agent", at.session);
    Err(Error::new(ErrorKind::WouldDeadlock, text))
}

/// How many turns in a row the session's agents have started, one sent from here among them.
pub(crate) fn next_in_chain(at: SessionRef) -> Result<u32> {
    let chain = own(at).map_or(0, |here| here.chain + 1);
    if chain > CHAIN_TURNS {
        let text = format!(
            "the agent of session {} has started {CHAIN_TURNS} turns in a row; it may start {CHAIN_TURNS} (CHAIN_TURNS)",
            at.session
        );
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(chain)
}
