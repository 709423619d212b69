//! Checks every invariant between the tables, and describes each breach.
//!
//! Every row has a known form and can be read; numbers are dense; every index row has its record and the reverse; the heads'
//! counts and clocks are those of the rows; the events tell what became of messages and turns; totals are recounted; claims and
//! running turns are each other's, and so are the queue and the turns that wait.
//!
//! Rows are read in the order of their keys, and what leads elsewhere is looked up there. What is kept in memory is 4 bytes for each
//! session and archive, a count for each workspace and agent, and of the session at hand which of its messages were deleted and
//! which of its turns are at work: files of any size are verified.

mod archives;
mod contents;
mod feed;
mod forms;
mod index;
mod listings;
mod messages;
mod meta;

mod outbox;
mod positions;
mod queue;
mod scopes;
mod strays;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, ControlFlow};

use super::codec::{self, HeadRow, Id, NumberRow, Row, SessionRow};
use super::hidden::Hidden;
use super::remnant;
use super::tables::{Table, names, rows, sessions};
use super::view::Read;
use crate::error::{ErrorKind, Result};
use crate::page::Direction;

/// Every breach in the file.
pub(super) fn all(view: &dyn Read) -> Result<Vec<String>> {
    let mut check = Check {
        view,
        breaches: Vec::new(),
        sessions: Vec::new(),
        live: BTreeMap::new(),
        deleted: remnant::all(view)?,
        hidden: Hidden::of(view)?,
        hidden_sessions: 0,
        archived: Vec::new(),
    };
    check.forms()?;
    let sessions = std::mem::take(&mut check.sessions);
    for session in &sessions {
        let checked = check.session(*session);
        check.unless_damaged(checked)?;
    }
    check.sessions = sessions;
    check.meta()?;
    check.counts()?;
    check.names()?;
    check.scopes()?;
    check.archives()?;
    check.outbox()?;
    check.strays()?;
    Ok(check.breaches)
}

struct Check<'v> {
    view: &'v dyn Read,
    breaches: Vec<String>,
    /// The numbers of the sessions that are there, in order.
    sessions: Vec<u32>,
    /// How many of them are in a workspace or of an agent.
    live: BTreeMap<u32, u64>,
    /// Sessions that were deleted, of which some may be left.
    deleted: Vec<u32>,
    /// Agents that were deleted, of which some may be left, and how many sessions of theirs are.
    hidden: Hidden,
    hidden_sessions: usize,
    /// The numbers that archived sessions had, in order, and those of their archives.
    archived: Vec<(u32, u32)>,
}

/// What a breach is of.
#[derive(Clone, Copy)]
enum Of<'k> {
    Session(u32),
    Archive(u32),
    /// A workspace or an agent.
    Scope(u32),
    /// An access key.
    Key(&'k Id),
    Row(&'k [u8]),
    File,
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Of::Session(number) => write!(f, "session {number}"),
            Of::Archive(number) => write!(f, "archive {number}"),
            Of::Scope(number) => write!(f, "scope {number}"),
            Of::Key(id) => write!(f, "access key {}", codec::hex(*id)),
            Of::Row(key) => write!(f, "{}", codec::hex(key)),
            Of::File => f.write_str("the file"),
        }
    }
}

/// A session as it is being verified.
struct Session {
    number: u32,
    head: HeadRow,
}

/// What a session is, as far as others are held to it.
struct Body {
    id: Id,
    workspace: u32,
    agent: u32,
    agent_id: Id,
    agent_name: String,
    key: String,
    created_at: u64,
}

impl Check<'_> {
    /// Says what does not hold, between which tables, and of what.
    fn breach(&mut self, tables: &[Table], of: Of<'_>, what: impl fmt::Display) {
        let tables: Vec<&str> = tables.iter().map(|table| table.name()).collect();
        self.breaches.push(format!("{}: {of}: {what}", tables.join(" and ")));
    }

    /// The same of what stands below a session.
    fn breach_in(&mut self, session: u32, what: impl fmt::Display) {
        self.breach(&[Table::Rows], Of::Session(session), what);
    }

    /// What was read; nothing where it is damaged: the check of the forms names that.
    fn unless_damaged<T>(&self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            read => read.map(Some),
        }
    }

    /// A row that borrows nothing: nothing where it is damaged, `Some(None)` where there is none.
    fn plain<R: for<'r> Row<'r>>(&self, table: Table, key: &[u8]) -> Result<Option<Option<R>>> {
        self.unless_damaged(self.view.plain::<R>(table, key))
    }

    fn session(&mut self, session: u32) -> Result<()> {
        let body = self.body(session)?;
        let head = match self.plain::<HeadRow>(Table::Sessions, &sessions::head(session))? {
            Some(Some(head)) => head,
            Some(None) => {
                self.breach(&[Table::Sessions], Of::Session(session), "its head is missing");
                return Ok(());
            }
            None => return Ok(()),
        };
        let session = Session { number: session, head };
        if let Some(body) = body {
            self.body_of(&session, &body)?;
        }
        let seen = self.messages(&session)?;
        self.threads(&session)?;
        let again = self.turns(&session)?;
        self.feed(&session, &seen, again)?;
        self.mark(&session)?;
        self.running(&session)
    }

    /// What a session is; nothing where that is damaged or missing.
    fn body(&mut self, session: u32) -> Result<Option<Body>> {
        let key = sessions::body(session);
        let read = self.view.row(Table::Sessions, &key, |value| {
            let row: SessionRow<'_> = codec::decode(Table::Sessions, &key, value)?;
            let SessionRow { id, workspace, agent, agent_id, created_at, .. } = row;
            let (agent_name, key) = (row.agent_name.to_owned(), row.key.to_owned());
            Ok(Body { id, workspace, agent, agent_id, agent_name, key, created_at })
        });
        let body = self.unless_damaged(read)?;
        if matches!(body, Some(None)) {
            self.breach(&[Table::Sessions], Of::Session(session), "what it is, is missing");
        }
        Ok(body.flatten())
    }

    /// What leads to the session leads to it, and it is of an agent that is there.
    fn body_of(&mut self, session: &Session, body: &Body) -> Result<()> {
        let (number, of) = (session.number, Of::Session(session.number));
        for key in [names::session_id(body.workspace, &body.id), names::session_key(body.agent, &body.key)] {
            self.leads_to(&[Table::Names, Table::Sessions], of, Table::Names, &key, number)?;
        }
        if body.created_at > session.head.updated_at {
            self.breach(&[Table::Sessions], of, "it changed before it was made");
        }
        for scope in [body.workspace, body.agent] {
            self.listed(session, scope, &body.id)?;
        }
        self.agent_of(session, body)
    }

    /// A session's agent is there, and both scopes count the session; or it was deleted, and neither does.
    fn agent_of(&mut self, session: &Session, body: &Body) -> Result<()> {
        let (of, head) = (Of::Session(session.number), &session.head);
        if self.hidden.has_agent(body.agent) {
            self.hidden_sessions += 1;
            if head.running != 0 || head.queued != 0 {
                let text = format_args!("it is busy, and its agent {} was deleted", body.agent);
                self.breach(&[Table::Sessions, Table::Meta], of, text);
            }
            return Ok(());
        }
        for scope in [body.workspace, body.agent] {
            *self.live.entry(scope).or_default() += 1;
        }
        let name = self.scope_name(body.agent)?;
        if name.is_none() {
            let text = format_args!("its agent {} is not there, and is not said to be deleted", body.agent);
            self.breach(&[Table::Sessions, Table::Names, Table::Meta], of, text);
        }
        if name.is_some_and(|name| !name.is_empty() && name != body.agent_name) {
            let text = format_args!("it says that agent {} is named {:?}", body.agent, body.agent_name);
            self.breach(&[Table::Sessions, Table::Names], of, text);
        }
        let agent = names::agent_id(body.workspace, &body.agent_id);
        self.leads_to(&[Table::Sessions, Table::Names], of, Table::Names, &agent, body.agent)
    }

    /// An index row leads to this number.
    fn leads_to(&mut self, tables: &[Table], of: Of<'_>, table: Table, key: &[u8], number: u32) -> Result<()> {
        match self.plain::<NumberRow>(table, key)? {
            Some(Some(row)) if row.number != number => {
                self.breach(tables, of, format_args!("{} leads to {}, not {number}", codec::hex(key), row.number));
            }
            Some(None) => self.breach(tables, of, format_args!("the index row {} is missing", codec::hex(key))),
            _ => {}
        }
        Ok(())
    }

    /// The index row of an id leads to the number of what has it.
    fn id(&mut self, session: u32, kind: rows::Kind, id: &Id, number: u32) -> Result<()> {
        let key = rows::by_id(session, kind, id);
        self.leads_to(&[Table::Rows], Of::Session(session), Table::Rows, &key, number)
    }

    /// Rows of a kind are dense from 1 to `count`; `each` looks at every one of them.
    fn dense(
        &mut self,
        session: u32,
        kind: rows::Kind,
        count: u32,
        mut each: impl FnMut(&mut Self, u32, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = (rows::numbered(session, kind, 0), rows::numbered(session, kind, u32::MAX));
        let mut next = 1;
        scan(self.view, Table::Rows, (&from, &to), &mut |key, value| {
            let number = rows::number(key).unwrap_or_default();
            if number != next {
                self.breach_in(session, format_args!("{kind:?} {number} stands where {next} is due"));
            }
            next = number.saturating_add(1);
            each(self, number, key, value)
        })?;
        if next != count.saturating_add(1) {
            let text = format_args!("{} rows of {kind:?}, the head counts {count}", next - 1);
            self.breach(&[Table::Rows, Table::Sessions], Of::Session(session), text);
        }
        Ok(())
    }

    /// As many index rows of a kind as there are records; where they are more, those that lead to no record of their id.
    fn indexed(
        &mut self,
        session: u32,
        kind: rows::Kind,
        count: u32,
        id_of: impl Fn(&Self, u32) -> Result<Option<Id>>,
    ) -> Result<()> {
        let (from, to) = (rows::by_id(session, kind, &[0; 16]), rows::by_id(session, kind, &[0xff; 16]));
        let mut found = 0;
        scan(self.view, Table::Rows, (&from, &to), &mut |_, _| {
            found += 1;
            Ok(())
        })?;
        if found == count {
            return Ok(());
        }
        self.breach_in(session, format_args!("{found} rows of {kind:?} for {count} records"));
        scan(self.view, Table::Rows, (&from, &to), &mut |key, value| {
            let Some(row) = self.unless_damaged(codec::decode::<NumberRow>(Table::Rows, key, value))? else {
                return Ok(());
            };
            let id = self.unless_damaged(id_of(self, row.number))?.flatten();
            if id.is_none_or(|id| !key.ends_with(&id)) {
                let text = format_args!("{} leads to {}, which has another id", codec::hex(key), row.number);
                self.breach_in(session, text);
            }
            Ok(())
        })
    }
}

/// Called with the key and the value of a row.
type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Calls `each` with every row between two keys, both included.
fn scan(view: &dyn Read, table: Table, (from, to): (&[u8], &[u8]), each: &mut Each<'_>) -> Result<()> {
    view.scan(table, (Bound::Included(from), Bound::Included(to)), Direction::Asc, &mut |key, value| {
        each(key, value)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// The same with every row of a table.
fn scan_all(view: &dyn Read, table: Table, each: &mut Each<'_>) -> Result<()> {
    view.scan(table, (Bound::Unbounded, Bound::Unbounded), Direction::Asc, &mut |key, value| {
        each(key, value)?;
        Ok(ControlFlow::Continue(()))
    })
}
