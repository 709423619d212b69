//! The first and the last step of loading a session.

use super::Body;
use crate::error::{Error, Result};
use crate::id::{AgentId, SessionId, Stamp, WorkspaceId};
use crate::record::{ContextMark, Json, SessionRecord};
use crate::redb::cleaning::{Held, Left};
use crate::redb::codec::{ChangeRow, CountRow, HeadRow, ListedRow, MarkRow, NumberRow, SessionRow};
use crate::redb::remnant::{self, Remnant};
use crate::redb::tables::{Table, activity, meta, names, rows, sessions};
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::redb::{archive, hidden, place, scope, session};

/// A session that is all there, and is none yet.
#[derive(Debug)]
pub(in crate::redb) struct Loaded {
    /// Its number.
    pub(in crate::redb) session: u32,
    pub(in crate::redb) body: Body,
    pub(in crate::redb) head: HeadRow,
    pub(in crate::redb) mark: Option<ContextMark>,
    /// Whether the last event tells that it was archived.
    pub(in crate::redb) is_archived: bool,
}

impl Loaded {
    /// How many records it was loaded from, of those that are counted.
    pub(in crate::redb) fn records(&self) -> u64 {
        super::records(&self.head)
    }
}

/// As what a loaded session is published.
#[derive(Debug, Clone)]
pub(in crate::redb) struct Published {
    pub(in crate::redb) stamp: Stamp,
    pub(in crate::redb) workspace: WorkspaceId,
    pub(in crate::redb) agent: AgentId,
    pub(in crate::redb) id: SessionId,
    pub(in crate::redb) label: Option<String>,
    /// The event that tells of it, where there is one more.
    pub(in crate::redb) event: Option<ChangeRow>,
}

/// The first step: a number for the session, below which nobody clears away as long as it is held.
pub(in crate::redb) fn begin(view: &dyn Read, stamp: Stamp, left: &Left) -> Result<(WriteSet, (u32, Held))> {
    let mut counters = scope::counters(view)?;
    let number = scope::next_number(&mut counters.sessions, "sessions")?;
    // Until it is published it counts as one that was deleted.
    scope::next_number(&mut counters.removed, "sessions that were removed")?;
    let mut writes = WriteSet::default();
    writes.put(Table::Meta, meta::COUNTERS, &counters)?;
    Remnant::Session(number).put(&mut writes, stamp.at)?;
    Ok((writes, (number, left.hold(Remnant::Session(number)))))
}

/// The last step: what was loaded is a session.
pub(in crate::redb) fn publish(
    view: &dyn Read,
    loaded: &Loaded,
    published: &Published,
) -> Result<(WriteSet, SessionRecord)> {
    let (number, body, id) = (loaded.session, &loaded.body, published.id.as_uuid().as_bytes());
    let workspace = place::workspace(view, published.workspace)?;
    let agent = place::agent(view, workspace, published.agent)?;
    if hidden::holder(view, workspace, published.id)?.is_some() {
        return Err(Error::conflict(format!("session {} is there", published.id)));
    }
    if place::named(view, &names::session_key(agent, &body.key))?.is_some() {
        return Err(Error::conflict(format!("session key {:?} is in use by another session of the agent", body.key)));
    }
    if remnant::is_live(view, number)? || view.get(Table::Meta, &meta::remnant(number))?.is_none() {
        return Err(Error::corrupt(format!("session number {number} is not being loaded")));
    }
    let mut writes = WriteSet::default();
    hidden::dislodge(view, workspace, published.id, published.stamp.at, &mut writes)?;
    count(view, &mut writes)?;
    writes.remove(Table::Meta, meta::remnant(number));
    writes.put(Table::Names, names::session_id(workspace, id), &NumberRow { number })?;
    writes.put(Table::Names, names::session_key(agent, &body.key), &NumberRow { number })?;
    let json = |json: &Option<Json>| json.as_ref().map(|json| json.as_str().to_owned());
    let (origin, metadata, profile) = (json(&body.new.origin), json(&body.new.metadata), json(&body.new.profile));
    let agent_name = scope::agent_name(view, agent)?;
    let row = SessionRow {
        id: *id,
        workspace,
        agent,
        agent_id: *published.agent.as_uuid().as_bytes(),
        agent_name: &agent_name,
        key: &body.key,
        label: published.label.as_deref(),
        chat_type: body.new.chat_type.as_deref(),
        last_channel: body.new.last_channel.as_deref(),
        origin: origin.as_deref(),
        metadata: metadata.as_deref(),
        profile: profile.as_deref(),
        created_at: body.created_at,
        fingerprint: body.fingerprint,
        forked: body.forked,
    };
    writes.put(Table::Sessions, sessions::body(number), &row)?;
    let updated_at = published.stamp.at.as_micros().max(loaded.head.updated_at);
    let mut head = HeadRow { updated_at, ..loaded.head };
    if let Some(event) = &published.event {
        head.changes += 1;
        writes.put_new(Table::Rows, rows::change(number, head.changes), event)?;
    }
    writes.put(Table::Sessions, sessions::head(number), &head)?;
    if let Some(ContextMark { message, summary }) = &loaded.mark {
        writes.put(Table::Sessions, sessions::mark(number), &MarkRow { message: *message, summary })?;
    }
    let listed = ListedRow::of(number, &head);
    for scope in [workspace, agent] {
        let sessions = session::count(view, scope)? + 1;
        writes.put(Table::Names, names::count(scope), &CountRow { sessions })?;
        writes.put(Table::Activity, activity::at(scope, updated_at, id), &listed)?;
    }
    let record = session::record(published.workspace, published.id, &row, &listed, updated_at);
    Ok((writes, record))
}

/// One session more is there, and an age begins: what is remembered of sessions holds between two removals for all states that
/// already had their numbers, and this one's number is older than it is. So one more is counted as made and removed at once.
fn count(view: &dyn Read, writes: &mut WriteSet) -> Result<()> {
    let mut counters = scope::counters(view)?;
    for _ in 0..2 {
        scope::next_number(&mut counters.sessions, "sessions")?;
    }
    scope::next_number(&mut counters.removed, "sessions that were removed")?;
    writes.put(Table::Meta, meta::COUNTERS, &counters)
}

/// Whether a session of this id is archived.
pub(in crate::redb) fn is_archived(view: &dyn Read, workspace: u32, id: SessionId) -> Result<bool> {
    Ok(archive::number_of(view, workspace, id)?.is_some())
}
