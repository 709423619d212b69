//! All that can be read of one session, live or archived, or of a house.

use parlor::id::SessionId;
use parlor::page::{Direction, Matching, PageAt, Roles, Types};
use parlor::store::{ArchivesQuery, OutboxQuery, OutboxRows, SessionRef, SessionsQuery, Store};
use parlor::{
    ArchiveRecord, Change, ContextMark, ErrorKind, Message, Result, SessionRecord, ThreadRecord, Ts, Turn, WebhookRow,
};

use super::house::{self, House};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// None where it is archived.
    pub record: Option<SessionRecord>,
    pub archive: Option<ArchiveRecord>,
    /// Of an archive: what the session says of itself.
    pub kept: Option<SessionRecord>,
    pub messages: Vec<Message>,
    pub changes: Vec<Change>,
    pub turns: Vec<Turn>,
    pub threads: Vec<ThreadRecord>,
    pub mark: Option<ContextMark>,
    pub outbox: Vec<WebhookRow>,
    pub dead: Vec<WebhookRow>,
    pub house: Option<Box<House>>,
}

impl State {
    /// None where there is no such session. Of an archive it does not say what is in it.
    pub fn of(store: &dyn Store, at: SessionRef) -> Result<Option<Self>> {
        Self::beside(store, at, &Announced::of(store)?)
    }

    /// The same where it is known what is to be announced of all sessions.
    pub fn beside(store: &dyn Store, at: SessionRef, announced: &Announced) -> Result<Option<Self>> {
        if house::is_house(at) {
            let house = House::of(store, at.workspace, announced)?;
            return Ok(house.map(|house| State { house: Some(Box::new(house)), ..State::default() }));
        }
        let (outbox, dead) = announced.at(at.session);
        let state = State { outbox, dead, ..State::default() };
        let record = match store.session(at) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let archive =
                    archives(store, at.workspace)?.into_iter().find(|archive| archive.session_id == at.session);
                return Ok(archive.map(|archive| State { archive: Some(archive), ..state }));
            }
            record => Some(record?),
        };
        let turns = pages(|page| store.turns(at, page).map(|listed| listed.items))?;
        let threads = turns.iter().map(|turn| store.thread(at, turn.thread_id)).collect::<Result<_>>()?;
        let (messages, changes, mark) = (messages(store, at)?, changes(store, at, 0)?, store.context_mark(at)?);
        Ok(Some(State { record, messages, changes, turns, threads, mark, ..state }))
    }
}

/// What is to be announced, and what is not tried any more, of all sessions.
pub struct Announced {
    outbox: Vec<WebhookRow>,
    dead: Vec<WebhookRow>,
}

impl Announced {
    pub fn of(store: &dyn Store) -> Result<Self> {
        let dead = store.outbox_page(OutboxQuery { rows: OutboxRows::Dead, after: None, limit: 1_000 })?.rows;
        Ok(Announced { outbox: store.outbox(10_000)?, dead })
    }

    fn at(&self, session: SessionId) -> (Vec<WebhookRow>, Vec<WebhookRow>) {
        let its = |rows: &[WebhookRow]| rows.iter().filter(|row| row.session_id == session).cloned().collect();
        (its(&self.outbox), its(&self.dead))
    }
}

/// The archives of a workspace.
pub fn archives(store: &dyn Store, workspace: parlor::id::WorkspaceId) -> Result<Vec<ArchiveRecord>> {
    match pages(|page| store.archives(ArchivesQuery { workspace, agent: None, page }).map(|listed| listed.items)) {
        // There is no workspace yet.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
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

pub fn pages<T>(read: impl Fn(PageAt) -> Result<Vec<T>>) -> Result<Vec<T>> {
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
