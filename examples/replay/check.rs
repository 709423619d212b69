//! Compares all sessions of an open engine with the files and with the reference store.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::ProgressBar;
use parlor::{AgentHandle, Engine, Message, Session};

use crate::data::{Conversation, Failure};
use crate::oracle::Oracle;
use crate::play::{AGENT, Between, Script, WORKSPACE, in_parallel, named};
use crate::{compare, fork, listing};

/// Compares every session, several at once, and answers with how many pages of listings were read.
///
/// # Errors
///
/// The first [`Difference`](compare::Difference), or an error of a read.
pub fn check(engine: &Engine, script: &Script, at_once: usize, bar: &ProgressBar) -> Result<u64, Failure> {
    let agent = engine.workspace(WORKSPACE)?.agent(AGENT)?;
    let pages = AtomicU64::new(0);
    in_parallel(at_once, script.conversations(), |conversation| {
        let compared = one(&agent, conversation, script.between(), bar);
        pages.fetch_add(compared.map_err(|why| named(conversation, why))?, Ordering::Relaxed);
        Ok(())
    })?;
    let mut keys = Vec::new();
    for conversation in script.conversations() {
        if script.between() == Between::Forked {
            keys.push(fork::id(agent.session_by_key(&conversation.session)?.id()).to_string());
        }
        keys.push(conversation.session.clone());
    }
    listing::sessions(&agent, &keys)?;
    Ok(pages.into_inner())
}

fn one(agent: &AgentHandle, conversation: &Conversation, between: Between, bar: &ProgressBar) -> Result<u64, Failure> {
    let session = agent.session_by_key(&conversation.session)?;
    let pages = match between {
        Between::Nothing | Between::Archived => alone(&session, conversation)?.0,
        Between::Forked => {
            let before = conversation.before_fork();
            let (pages, stored) = alone(&session, &before)?;
            bar.inc(stored.len() as u64);
            let (fork, forked) = (agent.session(fork::id(session.id()))?, conversation.forked());
            let copies = compare::session(&fork, &forked)?;
            fork::copies((&session, &stored), (&fork, &copies), &forked)?;
            let oracle = Oracle::of_fork((&before, &stored), (&forked, &copies))?;
            pages + listing::against(&fork, &forked, &copies, oracle)?
        }
    };
    bar.inc(conversation.messages.len() as u64);
    Ok(pages)
}

/// A session that is no fork: how many pages were read, and its messages.
fn alone(session: &Session, conversation: &Conversation) -> Result<(u64, Vec<Message>), Failure> {
    let stored = compare::session(session, conversation)?;
    Ok((listing::session(session, conversation, &stored)?, stored))
}
