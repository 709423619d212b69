//! Compares all sessions of an open engine with the files and with the reference store.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::ProgressBar;
use parlor::Engine;

use crate::data::Failure;
use crate::play::{AGENT, Script, WORKSPACE, in_parallel, named};
use crate::{compare, listing};

/// Compares every session, several at once, and answers with how many pages of listings were read.
///
/// # Errors
///
/// The first [`Difference`](compare::Difference), or an error of a read.
pub fn check(engine: &Engine, script: &Script, at_once: usize, bar: &ProgressBar) -> Result<u64, Failure> {
    let agent = engine.workspace(WORKSPACE)?.agent(AGENT)?;
    let pages = AtomicU64::new(0);
    in_parallel(at_once, script.conversations(), |conversation| {
        let compared = agent.session_by_key(&conversation.session).map_err(Failure::from).and_then(|session| {
            let stored = compare::session(&session, conversation)?;
            listing::session(&session, conversation, &stored)
        });
        pages.fetch_add(compared.map_err(|why| named(conversation, why))?, Ordering::Relaxed);
        bar.inc(conversation.messages.len() as u64);
        Ok(())
    })?;
    listing::sessions(&agent, script.conversations())?;
    Ok(pages.into_inner())
}
