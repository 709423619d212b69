//! All that can be read from a store, as one value: what a refused operation must not change,
//! and what two stores must agree on.

use std::fmt::Debug;

use crate::error::Result;
use crate::id::WorkspaceId;
use crate::page::{Direction, Matching, PageAt, Roles, Types};
use crate::record::{
    AgentRecord, ArchiveRecord, Change, ContextMark, Message, SessionRecord, SessionStatus, ThreadRecord, Ts, Turn,
    WebhookRow, WorkspaceRecord,
};
use crate::store::{
    AgentsQuery, ArchivesQuery, KeysQuery, Listed, OutboxQuery, OutboxRows, SessionRef, SessionsQuery, Store,
    StoredKey, Waiting,
};

/// Everything below some workspaces, and the outbox.
#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    all: Vec<WorkspaceRecord>,
    agents: Vec<AgentRecord>,
    keys: Vec<Option<StoredKey>>,
    sessions: Vec<SessionSnapshot>,
    waiting: Waiting,
    outbox: Vec<WebhookRow>,
    dead: Vec<Vec<WebhookRow>>,
    archives: Vec<ArchiveRecord>,
}

/// Everything of one session.
#[derive(Debug, PartialEq)]
pub(super) struct SessionSnapshot {
    pub(super) record: SessionRecord,
    pub(super) messages: Vec<Message>,
    pub(super) changes: Vec<Change>,
    pub(super) turns: Vec<Turn>,
    pub(super) threads: Vec<ThreadRecord>,
    pub(super) mark: Option<ContextMark>,
}

impl Snapshot {
    pub(super) fn of(store: &dyn Store, workspaces: &[WorkspaceId]) -> Result<Self> {
        let (mut agents, mut keys) = (Vec::new(), Vec::new());
        let (mut sessions, mut archives) = (Vec::new(), Vec::new());
        for &workspace in workspaces {
            agents.extend(every_page(|page| store.agents(AgentsQuery { workspace, page }))?);
            for key in every_page(|page| store.keys(KeysQuery { workspace, agent: None, page }))? {
                keys.push(store.key(key.id)?);
            }
            archives.extend(all_archives(store, workspace)?);
            for record in all_sessions(store, workspace)? {
                let at = SessionRef { workspace, session: record.id };
                sessions.push(SessionSnapshot::of(store, at)?);
            }
        }
        let all = every_page(|page| store.workspaces(page))?;
        let (outbox, dead) = (store.outbox(OUTBOX)?, outbox_pages(store, OutboxRows::Dead, OUTBOX)?);
        let waiting = store.waiting()?;
        Ok(Snapshot { all, agents, keys, sessions, waiting, outbox, dead, archives })
    }
}

impl SessionSnapshot {
    pub(super) fn of(store: &dyn Store, at: SessionRef) -> Result<Self> {
        let turns = all_turns(store, at)?;
        let threads = turns.iter().map(|turn| store.thread(at, turn.thread_id)).collect::<Result<_>>()?;
        Ok(SessionSnapshot {
            record: store.session(at)?,
            messages: all_messages(store, at)?,
            changes: all_changes(store, at)?,
            turns,
            threads,
            mark: store.context_mark(at)?,
        })
    }
}

/// More rows than any test leaves behind.
const OUTBOX: u32 = 10_000;

/// All pages of so many rows.
pub(super) fn outbox_pages(store: &dyn Store, rows: OutboxRows, limit: u32) -> Result<Vec<Vec<WebhookRow>>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = store.outbox_page(OutboxQuery { rows, after, limit })?;
        pages.push(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(pages);
        }
    }
}

/// Every message, oldest first.
pub(super) const EVERY: Matching = Matching {
    thread: None,
    types: Types::ALL,
    roles: Roles::ALL,
    gts: Ts::ZERO,
    past: None,
    direction: Direction::Asc,
    offset: 0,
    limit: 1000,
};

pub(super) fn all_messages(store: &dyn Store, at: SessionRef) -> Result<Vec<Message>> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let past = all.last().map(|message| message.number);
        let found = store.messages(at, Matching { past, ..EVERY })?;
        let Some(first) = found.items.first() else { return Ok(all) };
        assert!(Some(first.number) > past, "messages past {past:?} begin with number {}", first.number);
        all.extend(found.items);
    }
}

pub(super) fn all_changes(store: &dyn Store, at: SessionRef) -> Result<Vec<Change>> {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let after = all.last().map_or(0, |change| change.number);
        let found = store.changes(at, after, 1000)?;
        let Some(first) = found.first() else { return Ok(all) };
        assert!(first.number > after, "changes after {after} begin with number {}", first.number);
        all.extend(found);
    }
}

/// Newest first.
pub(super) fn all_turns(store: &dyn Store, at: SessionRef) -> Result<Vec<Turn>> {
    every_page(|page| store.turns(at, page))
}

/// Newest activity first.
pub(super) fn all_sessions(store: &dyn Store, workspace: WorkspaceId) -> Result<Vec<SessionRecord>> {
    every_page(|page| store.sessions(SessionsQuery { workspace, agent: None, page, after: None }))
}

/// Newest first.
fn all_archives(store: &dyn Store, workspace: WorkspaceId) -> Result<Vec<ArchiveRecord>> {
    every_page(|page| store.archives(ArchivesQuery { workspace, agent: None, page }))
}

fn every_page<T>(read: impl Fn(PageAt) -> Result<Listed<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for page in 1.. {
        let found = read(PageAt { page, limit: 100 })?;
        let end = found.items.is_empty();
        all.extend(found.items);
        if end || all.len() as u64 >= found.total {
            break;
        }
    }
    Ok(all)
}

/// Where two values first differ, in the lines of their long form; `None` when they are equal.
pub(super) fn difference<T: PartialEq + Debug>(left: &T, right: &T) -> Option<String> {
    if left == right {
        return None;
    }
    let (left, right) = (format!("{left:#?}"), format!("{right:#?}"));
    let (left, right): (Vec<_>, Vec<_>) = (left.lines().collect(), right.lines().collect());
    let same = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
    let shown = |lines: &[&str]| {
        let (from, to) = (same.saturating_sub(12), lines.len().min(same + 6));
        lines.get(from..to).unwrap_or_default().join("\n")
    };
    Some(format!("line {same}:\n--- one\n{}\n--- other\n{}", shown(&left), shown(&right)))
}

/// Equal values, or errors of the same kind.
pub(super) fn assert_same<T: PartialEq + Debug>(left: &Result<T>, right: &Result<T>) {
    match (left, right) {
        (Ok(left), Ok(right)) => {
            if let Some(difference) = difference(left, right) {
                panic!("the answers differ at {difference}");
            }
        }
        (Err(left), Err(right)) if left.kind() == right.kind() => {}
        _ => panic!("one answers {left:#?}\nthe other answers {right:#?}"),
    }
}

/// Every session of a store, as text: by its workspace's name and its id, whether it is busy, and all that can be read of it.
pub(super) fn sessions_as_text(store: &dyn Store, names: &[&str]) -> Result<Vec<(String, bool, String)>> {
    let mut all = Vec::new();
    for name in names {
        let Some(workspace) = store.find_workspace(name)? else { continue };
        for record in all_sessions(store, workspace.id)? {
            let at = SessionRef { workspace: workspace.id, session: record.id };
            let is_busy = record.status == SessionStatus::Running;
            all.push((format!("{name} {}", record.id), is_busy, format!("{:#?}", SessionSnapshot::of(store, at)?)));
        }
    }
    all.sort();
    Ok(all)
}
