//! Which agent runs on this thread, for what is another thing there: it may not wait for its own session, and what it
//! sends to it is one further in a chain.

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Claim, SessionRef};
use crate::sync::thread_local;

/// The turn whose agent runs here.
#[derive(Clone, Copy)]
struct Here {
    at: SessionRef,
    claim: Claim,
}

thread_local! {
    static HERE: Cell<Option<Here>> = const { Cell::new(None) };
}

/// Until it is dropped, the agent of this session runs on this thread, under this claim.
pub(crate) fn enter(at: SessionRef, claim: Claim) -> Inside {
    HERE.with(|here| here.set(Some(Here { at, claim })));
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

/// The claim of the turn of this session whose agent runs here, if one does.
pub(crate) fn sender(at: SessionRef) -> Option<Claim> {
    own(at).map(|here| here.claim)
}
