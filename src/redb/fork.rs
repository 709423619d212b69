//! A new session with the messages of another one up to one of them.
//!
//! The messages are looked at once to see which there are, then copied by way of the [loader](super::load), in steps from
//! states of their own. A message changes in one way alone, it is erased, so what was seen in the first can be read in all
//! later ones or is a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use super::codec::{
    self, BodyRow, CHANGE_CREATED, CHANGE_MARK, CHANGE_MESSAGE, ChangeRow, ForkRow, HeadRow, Id, MarkRow, MessageRow,
    SessionRow, ThreadRow,
};
use super::load::{self, Kept, Loaded, Loader, Published, Record, Step, Trust, scaled};
use super::place::{self, Place};
use super::positions::{Times, told};
use super::tables::{Table, names, rows, sessions};
use super::view::Read;
use super::write_set::WriteSet;
use super::{RedbStore, draft, hidden, mark, session};
use crate::error::{Error, Result};
use crate::id::{AgentId, SessionId};
use crate::limit::LOAD_STEP_ROWS;
use crate::page::Direction;
use crate::progress::{OnProgress, Progress};
use crate::record::{ContextMark, Json, SessionRecord};
use crate::store::{ForkSession, SessionRef};

/// Makes the new session, step by step.
pub(super) fn fork(store: &RedbStore, op: &ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
    let mut plan = match store.read(|view| Plan::begin(view, op))? {
        Begun::New(plan) => *plan,
        Begun::Before(original) => return Ok(*original),
    };
    while plan.surveyed < plan.cut {
        store.read(|view| plan.survey(view, op.at))?;
    }
    store.read(|view| plan.survey_threads(view, op.at))?;
    let (left, stamp) = (store.written()?.left.clone(), op.stamp);
    let (number, held) = store.write(256, move |view| load::begin(view, stamp, &left))?;
    let forked = copy_and_publish(store, op, &plan, number, on);
    drop(held);
    store.look()?;
    forked
}

fn copy_and_publish(
    store: &RedbStore,
    op: &ForkSession,
    plan: &Plan,
    number: u32,
    on: &mut OnProgress<'_>,
) -> Result<SessionRecord> {
    let (mut loader, mut copy) = (Loader::new(number, Trust::Ours), Copy { plan, op, next: Next::Session });
    let last = loop {
        let writes = store.read(|view| copy.step(view, &mut loader))?;
        if matches!(copy.next, Next::End) {
            break writes;
        }
        let (done, total) = loader.progress();
        Progress::new(done, total).tell(on)?;
        store.write(writes.size(), move |_| Ok((writes, ())))?;
    };
    let loaded = loader.finish()?;
    Progress::new(loaded.records(), loaded.records()).tell(on)?;
    let published = Published {
        stamp: op.stamp,
        workspace: op.at.workspace,
        agent: plan.agent,
        id: plan.id,
        label: op.new.label.clone(),
        event: None,
    };
    let (op, fingerprint, source) = (op.clone(), plan.fingerprint, plan.source.agent);
    store.write(1 << 16, move |view| {
        // A repeat of this call may have been faster, and more may have happened since.
        match before(view, &op, published.id, (fingerprint, source))? {
            Some(original) => Ok((WriteSet::default(), original)),
            None => publish(view, op.at, &loaded, &published, last),
        }
    })
}

fn publish(
    view: &dyn Read,
    source: SessionRef,
    loaded: &Loaded,
    published: &Published,
    mut last: WriteSet,
) -> Result<(WriteSet, SessionRecord)> {
    // A session that is gone by now is one that cannot be forked.
    place::find(view, source)?;
    let (writes, record) = load::publish(view, loaded, published)?;
    last.extend(writes);
    Ok((last, record))
}

/// What is to be copied.
struct Plan {
    source: Place,
    agent: AgentId,
    /// The new session.
    id: SessionId,
    fingerprint: Option<Id>,
    forked: ForkRow,
    /// The last message, by its number, and how many were looked at.
    cut: u32,
    surveyed: u32,
    /// The soft-deleted ones, which are left behind.
    hidden: BTreeSet<u32>,
    /// The threads that messages stand in, by their numbers, and their new numbers.
    threads: BTreeMap<u32, u32>,
    /// Of the last message.
    last_ts: u64,
    last_created_at: u64,
    updated_at: u64,
    mark: Option<ContextMark>,
}

/// How a fork begins.
enum Begun {
    New(Box<Plan>),
    /// It was made before.
    Before(Box<SessionRecord>),
}

impl Plan {
    fn begin(view: &dyn Read, op: &ForkSession) -> Result<Begun> {
        let source = place::find(view, op.at)?;
        let head: HeadRow = view.expected(Table::Sessions, &sessions::head(source.number))?;
        let agent = session::body(view, op.at, source.number, head.body)?.agent_id;
        let id = op.new.id.unwrap_or_else(|| op.stamp.uuid(0).into());
        let fingerprint = match op.new.id {
            Some(_) => Some(codec::of_fork(&op.new, op.at.session, op.message)?),
            None => None,
        };
        if let Some(original) = before(view, op, id, (fingerprint, source.agent))? {
            return Ok(Begun::Before(Box::new(original)));
        }
        let key = op.new.key.clone().unwrap_or_else(|| id.to_string());
        let message = *op.message.as_uuid().as_bytes();
        let cut = place::number(view, source.number, rows::Kind::MessageId, &message)?;
        let cut = cut.ok_or_else(|| Error::not_found(format_args!("message {}", op.message)))?;
        let mut times = Times::new(view, source.number, head.messages);
        if told(view, source.number, &mut times, cut)?.is_none_or(|entry| entry.is_deleted()) {
            return Err(Error::not_found(format_args!("message {}", op.message)));
        }
        if place::named(view, &names::session_key(source.agent, &key))?.is_some() {
            return Err(Error::conflict(format!("session key {key:?} is in use by another session of the agent")));
        }
        let mark = mark::get(view, op.at)?.filter(|mark| mark.message <= cut.saturating_add(1));
        Ok(Begun::New(Box::new(Plan {
            source,
            agent,
            id,
            fingerprint,
            forked: ForkRow { session: *op.at.session.as_uuid().as_bytes(), message, number: cut },
            cut,
            surveyed: 0,
            hidden: BTreeSet::new(),
            threads: BTreeMap::new(),
            last_ts: 0,
            last_created_at: 0,
            updated_at: op.stamp.at.as_micros(),
            mark,
        })))
    }

    /// The source is still the same session.
    fn check_same(&self, view: &dyn Read, at: SessionRef) -> Result<()> {
        if place::find(view, at)?.number == self.source.number {
            return Ok(());
        }
        Err(Error::conflict(format!("session {} was made anew while it was being forked", at.session)))
    }

    /// A message that says nothing may have been deleted and erased since it was looked at.
    fn check_shown(&self, view: &dyn Read, number: u32) -> Result<()> {
        let mut times = Times::new(view, self.source.number, number);
        if told(view, self.source.number, &mut times, number)?.is_some_and(|entry| !entry.is_deleted()) {
            return Ok(());
        }
        Err(Error::conflict(format!("message {number} was erased while its session was being forked")))
    }

    /// Looks at some messages.
    fn survey(&mut self, view: &dyn Read, at: SessionRef) -> Result<()> {
        self.check_same(view, at)?;
        let (session, first) = (self.source.number, self.surveyed + 1);
        let last = self.cut.min(self.surveyed.saturating_add(scaled(LOAD_STEP_ROWS, view) as u32));
        let mut times = Times::new(view, session, self.cut);
        let keys = [first, last].map(|number| rows::numbered(session, rows::Kind::Message, number));
        let between = (Bound::Included(&keys[0][..]), Bound::Included(&keys[1][..]));
        view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
            let number = rows::number(key).filter(|number| *number == self.surveyed + 1);
            let number = number.ok_or_else(|| missing(self.surveyed + 1))?;
            self.surveyed = number;
            if told(view, session, &mut times, number)?.is_none_or(|entry| entry.is_deleted()) {
                self.hidden.insert(number);
                return Ok(ControlFlow::Continue(()));
            }
            let row: MessageRow<'_> = codec::decode(Table::Rows, key, value)?;
            (self.last_ts, self.last_created_at) = (row.ts, row.created_at);
            if row.thread_number != 0 {
                self.threads.insert(row.thread_number, 0);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if self.surveyed == last { Ok(()) } else { Err(missing(self.surveyed + 1)) }
    }

    /// Gives the threads their numbers, once all messages were looked at.
    fn survey_threads(&mut self, view: &dyn Read, at: SessionRef) -> Result<()> {
        self.check_same(view, at)?;
        self.updated_at = self.updated_at.max(self.last_created_at);
        let (source, mut numbers) = (self.source.number, 1..);
        for (old, new) in &mut self.threads {
            *new = numbers.next().unwrap_or_default();
            let row: ThreadRow = view.expected(Table::Rows, &rows::numbered(source, rows::Kind::Thread, *old))?;
            self.updated_at = self.updated_at.max(row.created_at);
        }
        if let Some(mark) = &mut self.mark {
            mark.message = mark.message.saturating_sub(self.hidden.range(..mark.message).count() as u32);
        }
        Ok(())
    }

    /// How many messages there will be.
    fn messages(&self) -> u32 {
        self.cut.saturating_sub(self.hidden.len() as u32)
    }

    fn changes(&self) -> u64 {
        1 + u64::from(self.messages()) + u64::from(self.mark.is_some())
    }

    fn head(&self) -> HeadRow {
        HeadRow {
            messages: self.messages(),
            threads: self.threads.len() as u32,
            changes: self.changes(),
            last_ts: self.last_ts,
            last_created_at: self.last_created_at,
            updated_at: self.updated_at,
            mark: self.mark.as_ref().map_or(0, |mark| mark.message),
            ..draft::NEW_HEAD
        }
    }

    /// The next thread, by its number in the source, and its new number.
    fn thread_after(&self, old: u32) -> Option<(u32, u32)> {
        let mut after = self.threads.range((Bound::Excluded(old), Bound::Unbounded));
        after.next().map(|(old, new)| (*old, *new))
    }

    /// The id of a thread, by its new number.
    fn thread_id(&self, op: &ForkSession, thread: u32) -> Id {
        *op.stamp.uuid(self.messages().saturating_add(thread)).as_bytes()
    }
}

/// The session that a fork of this id made before, for the same agent.
fn before(
    view: &dyn Read,
    op: &ForkSession,
    id: SessionId,
    (fingerprint, agent): (Option<Id>, u32),
) -> Result<Option<SessionRecord>> {
    let workspace = place::workspace(view, op.at.workspace)?;
    if load::is_archived(view, workspace, id)? {
        return Err(Error::conflict(format!("session id {id} is that of an archived session")));
    }
    let Some(number) = hidden::holder(view, workspace, id)? else { return Ok(None) };
    let key = sessions::body(number);
    let original = view.row(Table::Sessions, &key, |value| {
        let row = codec::decode::<SessionRow<'_>>(Table::Sessions, &key, value)?;
        Ok(row.fingerprint.filter(|_| row.agent == agent))
    })?;
    if fingerprint.is_none() || original.flatten() != fingerprint {
        return Err(Error::conflict(format!("session id {id} was used before with other content")));
    }
    session::get(view, SessionRef { workspace: op.at.workspace, session: id }).map(Some)
}

fn missing(number: u32) -> Error {
    Error::corrupt(format!("message {number} of the session is missing"))
}

/// A copy under way.
struct Copy<'p> {
    plan: &'p Plan,
    op: &'p ForkSession,
    next: Next,
}

/// What is to be copied next.
#[derive(Clone, Copy)]
enum Next {
    Session,
    /// The first after the one of this number in the source.
    Thread(u32),
    /// By its number in the source, and as what it is copied.
    Message(u32, u32),
    Change(u64),
    End,
}

impl Copy<'_> {
    /// Copies as much as one step takes.
    fn step(&mut self, view: &dyn Read, loader: &mut Loader) -> Result<WriteSet> {
        self.plan.check_same(view, self.op.at)?;
        let mut step = loader.step(view);
        while !step.is_full() {
            self.next = match self.next {
                Next::Session => {
                    self.session(&mut step)?;
                    Next::Thread(0)
                }
                Next::Thread(last) => match self.plan.thread_after(last) {
                    Some((old, new)) => {
                        self.thread(view, &mut step, old, new)?;
                        Next::Thread(old)
                    }
                    None => Next::Message(1, 1),
                },
                Next::Message(old, _) if old > self.plan.cut => Next::Change(1),
                Next::Message(old, new) => self.messages(view, &mut step, old, new)?,
                Next::Change(number) if number > self.plan.changes() => Next::End,
                Next::Change(number) => {
                    step.push(&Record::Change(self.change(number)))?;
                    Next::Change(number + 1)
                }
                Next::End => break,
            };
        }
        step.write()
    }

    fn session(&self, step: &mut Step<'_>) -> Result<()> {
        let (new, plan) = (&self.op.new, self.plan);
        let key = new.key.clone().unwrap_or_else(|| plan.id.to_string());
        let json = |json: &Option<Json>| json.as_ref().map(|json| json.as_str().to_owned());
        let (origin, metadata, profile) = (json(&new.origin), json(&new.metadata), json(&new.profile));
        step.push(&Record::Session(SessionRow {
            id: *plan.id.as_uuid().as_bytes(),
            workspace: 0,
            agent: 0,
            agent_id: *plan.agent.as_uuid().as_bytes(),
            agent_name: "",
            key: &key,
            label: new.label.as_deref(),
            chat_type: new.chat_type.as_deref(),
            last_channel: new.last_channel.as_deref(),
            origin: origin.as_deref(),
            metadata: metadata.as_deref(),
            profile: profile.as_deref(),
            created_at: self.op.stamp.at.as_micros(),
            fingerprint: plan.fingerprint,
            forked: Some(plan.forked),
        }))?;
        step.push(&Record::Head(plan.head()))?;
        match &plan.mark {
            Some(mark) => step.push(&Record::Mark(MarkRow { message: mark.message, summary: &mark.summary })),
            None => Ok(()),
        }
    }

    fn thread(&self, view: &dyn Read, step: &mut Step<'_>, old: u32, new: u32) -> Result<()> {
        let key = rows::numbered(self.plan.source.number, rows::Kind::Thread, old);
        let row: ThreadRow = view.expected(Table::Rows, &key)?;
        step.push(&Record::Thread(ThreadRow { id: self.plan.thread_id(self.op, new), ..row }))
    }

    /// Copies messages until the step is full, or all are.
    fn messages(&self, view: &dyn Read, step: &mut Step<'_>, from: u32, first: u32) -> Result<Next> {
        let plan = self.plan;
        let (mut old, mut new) = (from, first);
        let keys = [from, plan.cut].map(|number| rows::numbered(plan.source.number, rows::Kind::Message, number));
        let between = (Bound::Included(&keys[0][..]), Bound::Included(&keys[1][..]));
        view.scan(Table::Rows, between, Direction::Asc, &mut |key, value| {
            if rows::number(key) != Some(old) {
                return Err(missing(old));
            }
            if !plan.hidden.contains(&old) {
                let row: MessageRow<'_> = codec::decode(Table::Rows, key, value)?;
                if row.body == BodyRow::default() {
                    plan.check_shown(view, old)?;
                }
                let thread = plan.threads.get(&row.thread_number).copied();
                let row = MessageRow {
                    id: *self.op.stamp.uuid(new).as_bytes(),
                    thread: thread.map(|thread| plan.thread_id(self.op, thread)),
                    thread_number: thread.unwrap_or_default(),
                    turn: None,
                    fingerprint: None,
                    ..row
                };
                step.push(&Record::Message(row, Kept::Shown))?;
                new += 1;
            }
            old += 1;
            Ok(if step.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if old == from { Err(missing(from)) } else { Ok(Next::Message(old, new)) }
    }

    fn change(&self, number: u64) -> ChangeRow {
        let message = u32::try_from(number - 1).unwrap_or(u32::MAX);
        let none = ChangeRow { kind: CHANGE_CREATED, number: 0, id: None, state: 0 };
        match message {
            0 => none,
            _ if message > self.plan.messages() => {
                ChangeRow { kind: CHANGE_MARK, number: self.plan.head().mark, ..none }
            }
            _ => {
                let id = Some(*self.op.stamp.uuid(message).as_bytes());
                ChangeRow { kind: CHANGE_MESSAGE, number: message, id, ..none }
            }
        }
    }
}
