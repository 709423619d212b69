//! A new session with the messages of another one up to one of them.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::id::{MessageId, SessionId, ThreadId};
use crate::progress::{OnProgress, Progress};
use crate::record::{ChangeKind, ForkedFrom, Message, SessionRecord, ThreadRecord};
use crate::store::{CreateSession, ForkSession, SessionRef};
use crate::sync::Arc;

use super::session::{Origin, Session, Written};
use super::{ModelStore, State, archive};

impl ModelStore {
    pub(super) fn fork(&self, op: &ForkSession, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        let forked = match self.open()?.forked(op)? {
            Forked::Before(original) => return Ok(*original),
            Forked::New(session) => session,
        };
        let rows = (forked.threads.len() + forked.messages.len() + forked.changes.len()) as u64;
        Progress::new(rows, rows).tell(on)?;
        let mut state = self.open()?;
        // All of it again, on what there is now.
        let mut session = match state.forked(op)? {
            Forked::Before(original) => return Ok(*original),
            Forked::New(session) => session,
        };
        state.made += 1;
        session.nth = state.made;
        let record = session.record();
        state.sessions.push(*session);
        Ok(record)
    }
}

enum Forked {
    New(Box<Session>),
    Before(Box<SessionRecord>),
}

impl State {
    /// The new session, which is not among the others yet.
    fn forked(&self, op: &ForkSession) -> Result<Forked> {
        let source = self.session(op.at)?;
        let id = op.new.id.unwrap_or(SessionId::from_uuid(op.stamp.uuid(0)));
        let at = SessionRef { workspace: op.at.workspace, session: id };
        if self.is_archived(at) {
            return Err(archive::taken(id));
        }
        if let Ok(original) = self.session(at) {
            if original.base.agent_id != source.base.agent_id {
                return Err(Error::conflict(format!("session id {id} was used before by another agent")));
            }
            return original.forked_before(op).map(|record| Forked::Before(Box::new(record)));
        }
        let last = source.message(op.message)?.number;
        let agent = self.agent(op.at.workspace, source.base.agent_id)?;
        let key = op.new.key.clone().unwrap_or_else(|| id.to_string());
        if let Some(other) = self.session_with_key(agent, &key) {
            return Err(Error::conflict(format!("session key {key:?} is taken by session {}", other.base.id)));
        }
        let (workspace, agent_id, new) = (op.at.workspace, agent.id, op.new.clone());
        let creation = CreateSession { stamp: op.stamp, workspace, agent: agent_id, new, first: None };
        let (mut session, _) = Session::create(&creation, agent, id, key)?;
        let from = ForkedFrom { session: op.at.session, message: op.message, number: last };
        session.base.forked_from = Some(from);
        let copied: Vec<&Message> = source.visible().filter(|message| message.number <= last).collect();
        let threads = session.copy_threads(op, source, &copied);
        for (number, message) in (1..).zip(&copied) {
            let copy = Message {
                id: MessageId::from_uuid(op.stamp.uuid(number)),
                session_id: id,
                thread_id: message.thread_id.and_then(|thread| threads.get(&thread).copied()),
                turn_id: None,
                number,
                ..Message::clone(message)
            };
            session.touch(copy.created_at);
            session.tell(ChangeKind::Message(copy.id));
            session.messages.push(Arc::new(Written { message: copy, origin: Origin::Fork }));
        }
        if let Some(mark) = source.mark.as_ref().filter(|mark| mark.message <= last + 1) {
            let before = copied.iter().filter(|message| message.number < mark.message).count();
            let mut mark = mark.clone();
            mark.message = before as u32 + 1;
            session.tell(ChangeKind::ContextMark(Some(mark.message)));
            session.mark = Some(mark);
        }
        Ok(Forked::New(Box::new(session)))
    }
}

impl Session {
    /// Opens the threads that some messages stand in; their ids, by those that they are copied from.
    fn copy_threads(&mut self, op: &ForkSession, from: &Session, copied: &[&Message]) -> BTreeMap<ThreadId, ThreadId> {
        let stands = |thread: &&ThreadRecord| copied.iter().any(|message| message.thread_id == Some(thread.id));
        let mut ids = BTreeMap::new();
        for (number, thread) in (1..).zip(from.threads.iter().filter(stands)) {
            let id = ThreadId::from_uuid(op.stamp.uuid(copied.len() as u32 + number));
            self.touch(thread.created_at);
            self.threads.push(ThreadRecord { id, session_id: self.base.id, number, created_at: thread.created_at });
            ids.insert(thread.id, id);
        }
        ids
    }
}
