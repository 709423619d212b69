//! All that can be read of one session.

use parlor::page::{Direction, Matching, PageAt, Roles, Types};
use parlor::store::{SessionRef, SessionsQuery, Store};
use parlor::{Change, ErrorKind, Message, Result, SessionRecord, ThreadRecord, Ts, Turn, WebhookRow};

#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub record: SessionRecord,
    pub messages: Vec<Message>,
    pub changes: Vec<Change>,
    pub turns: Vec<Turn>,
    pub threads: Vec<ThreadRecord>,
    pub outbox: Vec<WebhookRow>,
}

impl State {
    /// None where there is no such session.
    pub fn of(store: &dyn Store, at: SessionRef) -> Result<Option<Self>> {
        let record = match store.session(at) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            record => record?,
        };
        let turns = pages(|page| store.turns(at, page).map(|listed| listed.items))?;
        let threads = turns.iter().map(|turn| store.thread(at, turn.thread_id)).collect::<Result<_>>()?;
        let mut outbox = store.outbox(10_000)?;
        outbox.retain(|row| row.session_id == at.session);
        Ok(Some(State {
            record,
            messages: messages(store, at)?,
            changes: changes(store, at, 0)?,
            turns,
            threads,
            outbox,
        }))
    }
}

/// Every message that is not deleted, oldest first.
pub fn messages(store: &dyn Store, at: SessionRef) -> Result<Vec<Message>> {
    let every = Matching {
        thread: None,
        types: Types::ALL,
        roles: Roles::ALL,
        gts: Ts::ZERO,
        past: None,
        direction: Direction::Asc,
        offset: 0,
        limit: 1000,
    };
    Ok(store.messages(at, every)?.items)
}

/// The events after a number.
pub fn changes(store: &dyn Store, at: SessionRef, after: u64) -> Result<Vec<Change>> {
    store.changes(at, after, 1000)
}

/// The sessions of a workspace.
pub fn sessions(store: &dyn Store, workspace: parlor::id::WorkspaceId) -> Result<Vec<SessionRecord>> {
    pages(|page| store.sessions(SessionsQuery { workspace, agent: None, page, after: None }).map(|listed| listed.items))
}

fn pages<T>(read: impl Fn(PageAt) -> Result<Vec<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for page in 1.. {
        let items = read(PageAt { page, limit: 100 })?;
        if items.is_empty() {
            break;
        }
        all.extend(items);
    }
    Ok(all)
}
