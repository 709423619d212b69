//! Taking in what lines say. Each session is loaded out of sight, and one commit shows it.

use std::collections::VecDeque;

use super::rows::{self, Line};
use super::scopes::{self, Made};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, SessionId, Stamp, WorkspaceId};
use crate::limit::LOAD_STEP_BYTES;
use crate::lines::{
    ChangeForm, EndForm, Fields, HeaderForm, Import, ImportReport, MessageForm, OnConflict, ScopeForm, SessionForm,
    Target, ThreadForm, TurnForm, Unknown, at,
};
use crate::progress::{OnProgress, Progress};
use crate::redb::RedbStore;
use crate::redb::cleaning::Held;
use crate::redb::load::{self, Loader, Published, Trust, is_archived};
use crate::redb::tables::names;
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::redb::{hidden, place};
use crate::time::Timestamp;

/// Takes in parlor's own lines.
pub(super) fn import(store: &RedbStore, import: Import<'_, '_>, on: &mut OnProgress<'_>) -> Result<ImportReport> {
    let mut importing = Importing {
        store,
        import,
        workspace: None,
        agent: None,
        current: Current::None,
        counts: [0; EndForm::COUNTED.len()],
        unknown: Unknown::default(),
        report: ImportReport::default(),
        total: 0,
        done: 0,
    };
    let imported = importing.all(on);
    // What is left of a session that did not come in is cleared away.
    importing.current = Current::None;
    let looked = store.look();
    imported?;
    looked?;
    importing.report.unknown = importing.unknown.0;
    Ok(importing.report)
}

struct Importing<'i, 'a, 'r> {
    store: &'i RedbStore,
    import: Import<'a, 'r>,
    workspace: Option<WorkspaceId>,
    agent: Option<AgentId>,
    current: Current,
    /// Lines so far, of each kind that is counted.
    counts: [u64; EndForm::COUNTED.len()],
    unknown: Unknown,
    report: ImportReport,
    total: u64,
    done: u64,
}

/// The session whose lines are coming.
enum Current {
    None,
    Loading(Box<Loading>),
    /// One of its id or key is there.
    Skipped,
}

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Workspace,
    Agent,
    Session,
    Thread,
    Turn,
    Message,
    Change,
    End,
}

impl Kind {
    const ALL: [(Kind, &str); 8] = [
        (Kind::Workspace, "workspace"),
        (Kind::Agent, "agent"),
        (Kind::Session, "session"),
        (Kind::Thread, "thread"),
        (Kind::Turn, "turn"),
        (Kind::Message, "message"),
        (Kind::Change, "change"),
        (Kind::End, "end"),
    ];
}

/// So often it is asked whether to go on where lines show nothing.
const LINES_BETWEEN: u64 = 256;

impl Importing<'_, '_, '_> {
    fn all(&mut self, on: &mut OnProgress<'_>) -> Result<()> {
        self.header()?;
        loop {
            if self.report.lines.is_multiple_of(LINES_BETWEEN) {
                self.tell(on)?;
            }
            let Some((line, text)) = self.import.lines.next()? else {
                let line = self.import.lines.number();
                return Err(Error::corrupt(format!("line {line}: the lines are cut off, for the end is missing")));
            };
            self.report.lines += 1;
            let (mut fields, bytes) = (Fields::of(line, text)?, text.len());
            let name: String = fields.need("line")?;
            let Some((kind, _)) = Kind::ALL.into_iter().find(|(_, known)| *known == name) else {
                self.unknown.add(&format!("line: {name}"));
                continue;
            };
            if let Some(count) = self.counts.get_mut(kind as usize) {
                *count += 1;
            }
            let unknown = &mut self.unknown;
            match kind {
                Kind::Workspace | Kind::Agent => {
                    let read = if kind == Kind::Agent { ScopeForm::agent } else { ScopeForm::workspace };
                    let form = read(fields, unknown)?;
                    self.tell(on)?;
                    self.publish(line)?;
                    self.scope(kind, form).map_err(|error| at(line, error))?;
                }
                Kind::Session => {
                    let form = SessionForm::read(fields, unknown)?;
                    self.tell(on)?;
                    self.publish(line)?;
                    self.begin(line, bytes, form)?;
                }
                Kind::End => {
                    let form = EndForm::read(fields, unknown)?;
                    self.tell(on)?;
                    self.publish(line)?;
                    return self.end(line, &form, on);
                }
                Kind::Thread | Kind::Turn | Kind::Message | Kind::Change => {
                    let below = below(kind, line, fields, unknown)?;
                    self.below(line, bytes, below, on)?;
                }
            }
        }
    }

    /// Tells how far it is, before what comes next is shown.
    fn tell(&self, on: &mut OnProgress<'_>) -> Result<()> {
        Progress::new(self.done, self.total.max(self.done + 1)).tell(on)
    }

    fn header(&mut self) -> Result<()> {
        let Some((line, text)) = self.import.lines.next()? else {
            return Err(Error::invalid("there are no lines"));
        };
        self.report.lines += 1;
        self.total = HeaderForm::read(Fields::of(line, text)?, &mut self.unknown)?.records;
        Ok(())
    }

    /// A workspace or an agent, whose sessions follow.
    fn scope(&mut self, kind: Kind, form: ScopeForm) -> Result<()> {
        let (stamp, target) = ((self.import.stamp)(), self.import.target);
        if kind == Kind::Workspace {
            self.agent = None;
            let known = match target {
                Target::Engine => None,
                Target::Workspace(id) | Target::Agent(id, _) if self.workspace.is_none() => Some(id),
                _ => return Err(Error::invalid("a second workspace; into one workspace goes an export of one")),
            };
            self.workspace = Some(match known {
                Some(id) => id,
                None => {
                    let (id, made) = self.store.write(512, move |view| scopes::workspace(view, &form, stamp))?;
                    self.report.workspaces_made += u64::from(made == Made::Now);
                    id
                }
            });
            return Ok(());
        }
        let workspace = self.workspace.ok_or_else(|| Error::invalid("an agent before any workspace"))?;
        self.agent = Some(match target {
            Target::Agent(_, id) if self.agent.is_none() => id,
            Target::Agent(..) => return Err(Error::invalid("a second agent; into one agent goes an export of one")),
            Target::Engine | Target::Workspace(_) => {
                let (id, made) = self.store.write(512, move |view| scopes::agent(view, workspace, &form, stamp))?;
                self.report.agents_made += u64::from(made == Made::Now);
                id
            }
        });
        Ok(())
    }

    /// A session, whose lines follow.
    fn begin(&mut self, line: u64, bytes: usize, form: SessionForm) -> Result<()> {
        let (Some(workspace), Some(agent)) = (self.workspace, self.agent) else {
            return Err(Error::invalid(format!("line {line}: a session before any agent")));
        };
        let (id, key) = (SessionId::from_uuid(form.id), form.key.clone());
        let free = self.store.read(|view| check_free(view, (workspace, agent), id, &key));
        match free.map_err(|error| at(line, error)) {
            Err(error) if self.skips(&error) => {
                self.skip();
                return Ok(());
            }
            free => free?,
        }
        let published = Published {
            // It stands where it stood.
            stamp: Stamp::new(Timestamp::from_micros(form.updated_at), 0),
            workspace,
            agent,
            id,
            label: form.label.clone(),
            event: None,
        };
        let (left, stamp) = (self.store.written()?.left.clone(), (self.import.stamp)());
        let (number, held) = self.store.write(256, move |view| load::begin(view, stamp, &left))?;
        let mut loading = Loading {
            loader: Loader::new(number, Trust::Strangers),
            published,
            numbers: [0; 4],
            queue: VecDeque::new(),
            bytes: 0,
            waiting: WriteSet::default(),
            _held: held,
        };
        loading.push(line, bytes, Line::Session(Box::new(form)));
        self.current = Current::Loading(Box::new(loading));
        Ok(())
    }

    fn skips(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Conflict && self.import.options.on_conflict == OnConflict::Skip
    }

    fn skip(&mut self) {
        self.report.sessions_skipped += 1;
        self.current = Current::Skipped;
    }

    /// A line below a session.
    fn below(&mut self, line: u64, bytes: usize, below: Below, on: &mut OnProgress<'_>) -> Result<()> {
        let (kind, number, below) = below;
        self.done += 1;
        match &mut self.current {
            Current::None => Err(Error::invalid(format!("line {line}: it is below a session, and there is none"))),
            Current::Skipped => Ok(()),
            Current::Loading(loading) => {
                loading.check_next(line, kind, number)?;
                loading.push(line, bytes, below);
                if loading.bytes < LOAD_STEP_BYTES {
                    return Ok(());
                }
                loading.load(self.store)?;
                Progress::new(self.done, self.total.max(self.done + 1)).tell(on)
            }
        }
    }

    /// All lines of the session have come: it is there.
    fn publish(&mut self, line: u64) -> Result<()> {
        let Current::Loading(mut loading) = std::mem::replace(&mut self.current, Current::None) else {
            return Ok(());
        };
        loading.load(self.store)?;
        let Loading { loader, published, waiting, _held: held, numbers, .. } = *loading;
        let loaded = loader.finish().map_err(|error| at(line, error))?;
        if loaded.is_archived {
            return Err(Error::corrupt(format!("line {line}: the events before it end with an archiving")));
        }
        let (left, told) = (self.store.written()?.left.clone(), published.clone());
        let shown = self.store.write(waiting.size() + 4096, move |view| {
            check_free(view, (published.workspace, published.agent), published.id, &loaded.body.key)?;
            let (writes, _) = load::publish(view, &loaded, &published)?;
            let mut all = waiting;
            all.extend(writes);
            left.note();
            Ok((all, ()))
        });
        drop(held);
        match shown {
            Err(error) if self.skips(&error) => {
                self.skip();
                return Ok(());
            }
            shown => shown.map_err(|error| at(line, error))?,
        }
        let [threads, turns, messages, changes] = numbers;
        let report = &mut self.report;
        (report.sessions, report.threads) = (report.sessions + 1, report.threads + threads);
        (report.turns, report.messages) = (report.turns + turns, report.messages + messages);
        report.changes += changes;
        (self.import.came)(told.workspace, told.agent, told.id);
        Ok(())
    }

    fn end(&mut self, line: u64, end: &EndForm, on: &mut OnProgress<'_>) -> Result<()> {
        for ((name, said), came) in EndForm::COUNTED.into_iter().zip(end.counts).zip(self.counts) {
            if said != came {
                return Err(Error::corrupt(format!("line {line}: {name} is {said}, where {came} lines are so")));
            }
        }
        if let Some((line, _)) = self.import.lines.next()? {
            return Err(Error::invalid(format!("line {line}: it stands behind the end")));
        }
        let report = &mut self.report;
        (report.ended, report.outbox_left_out) = (end.ended, end.outbox);
        (report.archives_left_out, report.access_keys_left_out) = (end.archives, end.keys);
        Progress::new(self.done, self.done).finish(on);
        Ok(())
    }
}

/// A line below a session, with its kind and its number.
type Below = (Kind, u64, Line);

fn below(kind: Kind, line: u64, fields: Fields<'_>, unknown: &mut Unknown) -> Result<Below> {
    let (number, read) = match kind {
        Kind::Thread => {
            let form = ThreadForm::read(fields, unknown)?;
            (form.number.into(), Line::Thread(form))
        }
        Kind::Turn => {
            let form = TurnForm::read(fields, unknown)?;
            (form.number.into(), Line::Turn(Box::new(form)))
        }
        Kind::Message => {
            let form = MessageForm::read(fields, unknown)?;
            (form.number.into(), Line::Message(Box::new(form)))
        }
        Kind::Change => {
            let form = ChangeForm::read(fields, unknown)?;
            (form.number, Line::Change(rows::change(&form)?))
        }
        Kind::Workspace | Kind::Agent | Kind::Session | Kind::End => {
            return Err(Error::invalid(format!("line {line}: it is below no session")));
        }
    };
    Ok((kind, number, read))
}

/// Whether the session can be there.
fn check_free(view: &dyn Read, (workspace, agent): (WorkspaceId, AgentId), id: SessionId, key: &str) -> Result<()> {
    let workspace = place::workspace(view, workspace)?;
    let agent = place::agent(view, workspace, agent)?;
    let conflict = |what: String| Err(Error::conflict(what));
    if hidden::holder(view, workspace, id)?.is_some() {
        return conflict(format!("session {id} is there"));
    }
    if is_archived(view, workspace, id)? {
        return conflict(format!("session id {id} is that of an archived session"));
    }
    if place::named(view, &names::session_key(agent, key))?.is_some() {
        return conflict(format!("session key {key:?} is in use by another session of the agent"));
    }
    Ok(())
}

/// A session that is being loaded.
struct Loading {
    loader: Loader,
    published: Published,
    /// The last thread, turn, message and event.
    numbers: [u64; 4],
    /// What has come and was not loaded yet, and its lines' bytes.
    queue: VecDeque<(u64, Line)>,
    bytes: usize,
    /// What was loaded and is not written yet.
    waiting: WriteSet,
    _held: Held,
}

impl Loading {
    fn push(&mut self, line: u64, bytes: usize, below: Line) {
        self.bytes += bytes;
        self.queue.push_back((line, below));
    }

    /// The lines of a kind come in the order of their numbers.
    fn check_next(&mut self, line: u64, kind: Kind, number: u64) -> Result<()> {
        let place = (kind as usize).checked_sub(Kind::Thread as usize);
        let Some(last) = place.and_then(|place| self.numbers.get_mut(place)) else { return Ok(()) };
        *last += 1;
        if number == *last {
            return Ok(());
        }
        Err(Error::invalid(format!("line {line}: number is {number}, where {last} is due")))
    }

    /// Loads what has come, in steps.
    fn load(&mut self, store: &RedbStore) -> Result<()> {
        self.bytes = 0;
        while !self.queue.is_empty() {
            // Each step looks up what those before it wrote.
            let waiting = std::mem::take(&mut self.waiting);
            if !waiting.is_empty() {
                store.write(waiting.size(), move |_| Ok((waiting, ())))?;
            }
            let (loader, queue) = (&mut self.loader, &mut self.queue);
            self.waiting = store.read(|view| {
                let mut step = loader.step(view);
                while !step.is_full()
                    && let Some((line, below)) = queue.pop_front()
                {
                    below.push(&mut step).map_err(|error| at(line, error))?;
                }
                step.write()
            })?;
        }
        Ok(())
    }
}
