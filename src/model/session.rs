//! A session of the model: its rows in the order they were written, and the verbs without a turn.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{MessageId, SessionId, Stamp, ThreadId, TurnId};
use crate::limit::SESSION_ROWS;
use crate::page::{Direction, Matching};
use crate::record::{
    AgentRecord, Change, ChangeKind, ContextMark, Message, NewMessage, NewSession, NewTurn, Role, SessionRecord,
    SessionStatus, ThreadRecord, Ts, TurnState, Usage, WebhookRow,
};
use crate::store::{
    Append, CreateSession, Created, DeleteMessage, ForkSession, Matched, Purge, SessionRef, SetContextMark, Submitted,
    UpdateSession,
};
use crate::sync::Arc;
use crate::time::{Timestamp, ts_micros};

use super::turn::{Run, StartIds};

/// A session and all that stands below it. The lists are in the order of writing; rows are
/// shared between copies, so that a copy is cheap enough to be made for each operation.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The how manieth of the store's.
    pub nth: u64,
    /// What the create set, and `updated_at`; [`record`](Session::record) counts the rest.
    pub base: SessionRecord,
    /// The inputs of the create, for its replay.
    new: NewSession,
    first: Option<NewTurn>,
    pub threads: Vec<ThreadRecord>,
    /// All messages, the soft-deleted ones included.
    pub messages: Vec<Arc<Written>>,
    pub deleted: BTreeSet<MessageId>,
    pub runs: Vec<Arc<Run>>,
    /// The last claim's.
    pub epoch: u64,
    pub mark: Option<ContextMark>,
    pub changes: Vec<Change>,
    /// In the order of the ends; what was announced is no more among them.
    pub outbox: Vec<WebhookRow>,
    pub announced: BTreeSet<TurnId>,
}

/// A message and the operation that wrote it.
#[derive(Debug)]
pub(super) struct Written {
    pub message: Message,
    pub origin: Origin,
}

/// Which operation wrote a message; with its inputs where it can be replayed.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// An append: the thread it named, and the input.
    Append(Option<ThreadId>, NewMessage),
    /// A submit, or a create's first turn.
    Submit(NewTurn),
    /// An emit or a finish.
    Turn,
    /// The end of a turn, in place of a tool.
    Synthetic,
    /// A fork.
    Fork,
}

/// What a message's input does not say itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its id where the input names none.
    pub id: MessageId,
    pub thread: Option<ThreadId>,
    pub turn: Option<TurnId>,
    /// Its role where the input names none.
    pub role: Role,
}

impl Session {
    /// A new session, with its first turn where the operation brings one.
    pub fn create(
        op: &CreateSession,
        agent: &AgentRecord,
        id: SessionId,
        key: String,
    ) -> Result<(Session, Option<Submitted>)> {
        let new = op.new.clone();
        let base = SessionRecord {
            id,
            workspace_id: op.workspace,
            agent_id: agent.id,
            agent_name: agent.name.clone(),
            key,
            label: new.label.clone(),
            chat_type: new.chat_type.clone(),
            last_channel: new.last_channel.clone(),
            origin: new.origin.clone(),
            metadata: new.metadata.clone(),
            profile: new.profile.clone(),
            status: SessionStatus::Idle,
            running_turn: None,
            queued_turns: 0,
            usage: Usage::ZERO,
            context_mark: None,
            last_message: 0,
            last_change: 0,
            forked_from: None,
            created_at: op.stamp.at,
            updated_at: op.stamp.at,
        };
        let mut session = Session {
            nth: 0,
            base,
            new,
            first: op.first.as_ref().map(|(turn, _)| turn.clone()),
            threads: Vec::new(),
            messages: Vec::new(),
            deleted: BTreeSet::new(),
            runs: Vec::new(),
            epoch: 0,
            mark: None,
            changes: Vec::new(),
            outbox: Vec::new(),
            announced: BTreeSet::new(),
        };
        session.tell(ChangeKind::Created);
        let Some((turn, runner)) = &op.first else { return Ok((session, None)) };
        if let Some(thread) = turn.thread {
            session.thread(thread)?;
        }
        let ids = StartIds { message: 1, thread: 2, turn: 3, chain: 0 };
        let first = session.accept(&op.stamp, ids, turn, TurnState::Running)?;
        let claim = Some(session.give(first.turn.id, runner.owner)?);
        Ok((session, Some(Submitted { claim, ..first })))
    }

    /// The answer to a create with this session's id: the original, where every input is the same.
    pub fn created_before(&self, op: &CreateSession) -> Result<Created> {
        let same = self.base.forked_from.is_none()
            && self.base.agent_id == op.agent
            && self.new == op.new
            && self.first.as_ref() == op.first.as_ref().map(|(turn, _)| turn);
        if !same {
            return Err(Error::conflict(format!("session id {} was used before with other inputs", self.base.id)));
        }
        let first = match (&self.first, self.runs.first()) {
            (Some(_), Some(run)) => Some(self.original_of(run)?),
            _ => None,
        };
        Ok(Created { session: self.record(), first, replayed: true })
    }

    /// The answer to a fork with this session's id: the original, where every input is the same.
    pub fn forked_before(&self, op: &ForkSession) -> Result<SessionRecord> {
        let from = self.base.forked_from.map(|from| (from.session, from.message));
        if op.new.id.is_some() && from == Some((op.at.session, op.message)) && self.new == op.new {
            return Ok(self.record());
        }
        Err(Error::conflict(format!("session id {} was used before with other inputs", self.base.id)))
    }

    /// Gives it, and all that stands below it, another id, which nobody brought.
    pub fn renamed(&mut self, id: SessionId) {
        (self.base.id, self.new.id) = (id, None);
        self.threads.iter_mut().for_each(|thread| thread.session_id = id);
        for written in &mut self.messages {
            let Written { message, origin } = &**written;
            let message = Message { session_id: id, ..message.clone() };
            *written = Arc::new(Written { message, origin: origin.clone() });
        }
        for run in &mut self.runs {
            Arc::make_mut(run).turn.session_id = id;
        }
    }

    pub fn is(&self, at: SessionRef) -> bool {
        self.base.workspace_id == at.workspace && self.base.id == at.session
    }

    /// The record as it reads now.
    pub fn record(&self) -> SessionRecord {
        let running_turn = self.running().map(|run| run.turn.id);
        let queued_turns = u32::try_from(self.queued().count()).unwrap_or(u32::MAX);
        let last_end = self.changes.iter().rev().find_map(|change| match change.kind {
            ChangeKind::Turn(_, state) if state.is_terminal() => Some(state),
            _ => None,
        });
        let status = match (self.is_busy(), last_end) {
            (true, _) => SessionStatus::Running,
            (false, Some(TurnState::Failed)) => SessionStatus::Error,
            (false, _) => SessionStatus::Idle,
        };
        SessionRecord {
            status,
            running_turn,
            queued_turns,
            context_mark: self.mark.as_ref().map(|mark| mark.message),
            last_message: self.last_message().map_or(0, |message| message.number),
            last_change: self.changes.last().map_or(0, |change| change.number),
            ..self.base.clone()
        }
    }

    pub fn thread(&self, id: ThreadId) -> Result<&ThreadRecord> {
        let found = self.threads.iter().find(|thread| thread.id == id);
        found.ok_or_else(|| Error::not_found(format_args!("thread {id}")))
    }

    /// Whatever was written under this id, soft-deleted or not: an id counts as used for ever.
    pub fn written(&self, id: MessageId) -> Option<&Written> {
        self.messages.iter().map(|written| &**written).find(|written| written.message.id == id)
    }

    pub fn is_deleted(&self, message: &Message) -> bool {
        self.deleted.contains(&message.id)
    }

    /// The messages that are not deleted, in the order of commit.
    pub fn visible(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.iter().map(|written| &written.message).filter(|message| !self.is_deleted(message))
    }

    pub fn message(&self, id: MessageId) -> Result<&Message> {
        let found = self.visible().find(|message| message.id == id);
        found.ok_or_else(|| Error::not_found(format_args!("message {id}")))
    }

    pub fn matching(&self, matching: &Matching) -> Result<Matched> {
        if let Some(thread) = matching.thread {
            self.thread(thread)?;
        }
        let mut all: Vec<&Message> = self
            .visible()
            .filter(|message| matching.thread.is_none() || message.thread_id == matching.thread)
            .filter(|message| matching.types.contains(message.kind))
            .filter(|message| matching.roles.contains(message.role))
            .filter(|message| message.ts > matching.gts)
            .collect();
        let total = all.len() as u64;
        let newest = all.iter().map(|message| message.ts).max();
        if matching.direction == Direction::Desc {
            all.reverse();
        }
        let begun = |message: &&Message| match (matching.past, matching.direction) {
            (None, _) => true,
            (Some(past), Direction::Asc) => message.number > past,
            (Some(past), Direction::Desc) => message.number < past,
        };
        let offset = usize::try_from(matching.offset).unwrap_or(usize::MAX);
        let rest: Vec<_> = all.iter().copied().filter(begun).collect();
        let before = (all.len() - rest.len() + offset.min(rest.len())) as u64;
        let items = rest.into_iter().skip(offset).take(matching.limit as usize).cloned().collect();
        Ok(Matched { items, total, before, newest, damaged: Vec::new() })
    }

    pub fn append(&mut self, op: &Append) -> Result<Vec<Message>> {
        check_distinct(&op.messages)?;
        if let Some(originals) = self.appended_before(op)? {
            return Ok(originals);
        }
        if let Some(thread) = op.thread {
            self.thread(thread)?;
        }
        self.check_idle()?;
        self.touch(op.stamp.at);
        let mut messages = Vec::new();
        for (n, new) in (0..).zip(&op.messages) {
            let id = MessageId::from_uuid(op.stamp.uuid(n));
            let place = Place { id, thread: op.thread, turn: None, role: Role::User };
            messages.push(self.write(&op.stamp, place, new, Origin::Append(op.thread, new.clone()))?);
        }
        Ok(messages)
    }

    /// The originals of an append, where all of its messages were appended before with the same inputs.
    fn appended_before(&self, op: &Append) -> Result<Option<Vec<Message>>> {
        let mut originals = Vec::new();
        for new in &op.messages {
            let Some(written) = new.id.and_then(|id| self.written(id)) else { continue };
            let Origin::Append(thread, input) = &written.origin else { return Err(used(&written.message)) };
            if *thread != op.thread || input != new {
                return Err(used(&written.message));
            }
            originals.push(written.message.clone());
        }
        match originals.len() {
            0 => Ok(None),
            all if all == op.messages.len() => Ok(Some(originals)),
            some => Err(Error::conflict(format!(
                "{some} of the {} messages were appended before, the others were not",
                op.messages.len()
            ))),
        }
    }

    pub fn delete(&mut self, op: &DeleteMessage) -> Result<()> {
        let id = self.message(op.message)?.id;
        self.touch(op.stamp.at);
        self.hide(id);
        Ok(())
    }

    /// Soft-deletes a message.
    pub fn hide(&mut self, id: MessageId) {
        self.deleted.insert(id);
        self.tell(ChangeKind::Deleted(id));
    }

    pub fn purge(&mut self, op: &Purge) -> Result<u64> {
        if let Some(id) = op.message {
            let found = self.messages.iter().find(|written| written.message.id == id);
            let found = found.ok_or_else(|| Error::not_found(format_args!("message {id}")))?;
            if !self.is_deleted(&found.message) {
                return Err(Error::conflict(format!("message {id} is not deleted: delete it first")));
            }
        }
        let mut erased = Vec::new();
        for written in &mut self.messages {
            let id = written.message.id;
            if !self.deleted.contains(&id) || op.message.is_some_and(|one| one != id) || says_nothing(&written.message)
            {
                continue;
            }
            let message = Message {
                content: None,
                tool_calls: Vec::new(),
                tool_call_id: None,
                name: None,
                images: Vec::new(),
                artifact_ids: Vec::new(),
                metadata: None,
                ..written.message.clone()
            };
            *written = Arc::new(Written { message, origin: written.origin.clone() });
            erased.push(id);
        }
        if !erased.is_empty() {
            self.touch(op.stamp.at);
        }
        erased.iter().for_each(|id| self.tell(ChangeKind::Purged(*id)));
        Ok(erased.len() as u64)
    }

    /// Its latest event has the number that who asks has seen.
    pub(super) fn check_at(&self, only_at: Option<u64>) -> Result<()> {
        let (id, latest) = (self.base.id, self.changes.len() as u64);
        match only_at {
            Some(seen) if seen != latest => {
                Err(Error::conflict(format!("session {id} changed: its latest event is {latest}, not {seen}")))
            }
            _ => Ok(()),
        }
    }

    pub fn check_idle(&self) -> Result<()> {
        match self.runs.iter().find(|run| !run.turn.state.is_terminal()) {
            None => Ok(()),
            Some(run) => Err(Error::conflict(format!(
                "session {} is busy: turn {} is {}",
                self.base.id,
                run.turn.id,
                run.turn.state.as_str()
            ))),
        }
    }

    /// Changes what the session says of itself.
    pub fn update(&mut self, op: &UpdateSession) -> SessionRecord {
        let after = op.update.clone().apply(self.base.clone());
        if after != self.base {
            self.base = after;
            self.touch(op.stamp.at);
            self.tell(ChangeKind::Updated);
        }
        self.record()
    }

    /// Sets where the transcript begins.
    pub fn set_mark(&mut self, op: &SetContextMark) -> Result<()> {
        if let Some(claim) = &op.claim {
            self.check_claim(claim)?;
        }
        let most = self.last_message().map_or(0, |last| last.number) + 1;
        if let Some(mark) = &op.mark
            && !(1..=most).contains(&mark.message)
        {
            let text = format!("message of the context mark is {}; it must be 1 to {most}", mark.message);
            return Err(Error::invalid(text));
        }
        if op.claim.is_none() {
            self.check_idle()?;
        }
        self.touch(op.stamp.at);
        self.mark = op.mark.clone();
        self.tell(ChangeKind::ContextMark(op.mark.as_ref().map(|mark| mark.message)));
        Ok(())
    }

    /// The session changes now: the time that `updated_at` becomes.
    pub fn touch(&mut self, at: Timestamp) -> Timestamp {
        self.base.updated_at = self.base.updated_at.max(at);
        self.base.updated_at
    }

    /// Writes the next message and its event.
    pub fn write(&mut self, stamp: &Stamp, place: Place, new: &NewMessage, origin: Origin) -> Result<Message> {
        let last = self.last_message();
        let last_ts = last.map_or(Ts::ZERO, |last| last.ts).as_micros();
        let ts = match new.ts {
            Some(ts) if ts.as_micros() > last_ts => ts,
            Some(_) => Ts::from_micros(last_ts + 1)?,
            None => Ts::from_micros(ts_micros(stamp.at).max(last_ts + 1))?,
        };
        let role = new.role_or(place.role);
        let message = Message {
            id: new.id.unwrap_or(place.id),
            session_id: self.base.id,
            thread_id: place.thread,
            turn_id: place.turn,
            number: next_number("messages", last.map(|last| last.number))?,
            role,
            kind: new.kind_or_default(role),
            content: new.content.clone(),
            tool_calls: new.tool_calls.clone(),
            tool_call_id: new.tool_call_id.clone(),
            name: new.name.clone(),
            images: new.images.clone(),
            artifact_ids: new.artifact_ids.clone(),
            metadata: new.metadata.clone(),
            synthetic: matches!(origin, Origin::Synthetic),
            ts,
            created_at: last.map_or(stamp.at, |last| last.created_at.max(stamp.at)),
        };
        self.messages.push(Arc::new(Written { message: message.clone(), origin }));
        self.tell(ChangeKind::Message(message.id));
        Ok(message)
    }

    /// Writes the next event.
    pub fn tell(&mut self, kind: ChangeKind) {
        let last = self.changes.last().map_or(0, |change| change.number);
        self.changes.push(Change { number: last + 1, kind });
    }

    fn last_message(&self) -> Option<&Message> {
        self.messages.last().map(|written| &written.message)
    }
}

/// The number after the last one of its kind.
pub(super) fn next_number(what: &str, last: Option<u32>) -> Result<u32> {
    match last {
        None => Ok(1),
        Some(last) if last < SESSION_ROWS => Ok(last + 1),
        Some(last) => Err(Error::new(
            ErrorKind::TooLarge,
            format!("session has {last} {what}; it may have at most {SESSION_ROWS} (SESSION_ROWS)"),
        )),
    }
}

/// No id of the caller's may stand twice in one batch.
pub(super) fn check_distinct(batch: &[NewMessage]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for id in batch.iter().filter_map(|new| new.id) {
        if !seen.insert(id) {
            return Err(Error::invalid(format!("message id {id} stands twice in one batch")));
        }
    }
    Ok(())
}

/// The id of this message was used by another operation, or with other inputs.
pub(super) fn used(message: &Message) -> Error {
    Error::conflict(format!("message id {} was used before with other inputs", message.id))
}

/// Whether there is nothing to erase of it.
pub(super) fn says_nothing(message: &Message) -> bool {
    let Message { content, tool_calls, tool_call_id, name, images, artifact_ids, metadata, .. } = message;
    content.is_none()
        && tool_calls.is_empty()
        && tool_call_id.is_none()
        && name.is_none()
        && images.is_empty()
        && artifact_ids.is_empty()
        && metadata.is_none()
}
