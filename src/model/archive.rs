//! The verbs of archives: a session is moved out of the list of those that are there, and back.

use std::cmp::Reverse;
use std::io::{Read, Write};

use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::progress::{OnProgress, Progress};
use crate::record::{ArchiveRecord, ChangeKind, SessionRecord};
use crate::store::{
    ArchiveRef, ArchiveSession, ArchivesQuery, DeleteArchive, ImportArchive, ImportIds, Listed, RestoreArchive,
    SessionRef,
};

use super::session::Session;
use super::{ModelStore, State, no_session, page_of};

/// A session that is archived.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    pub record: ArchiveRecord,
    pub session: Session,
}

impl ModelStore {
    pub(super) fn archive(&self, op: &ArchiveSession, on: &mut OnProgress<'_>) -> Result<ArchiveRecord> {
        let before = {
            let state = self.open()?;
            let session = state.session(op.at)?;
            session.check_idle()?;
            session.check_at(op.only_at)?;
            session.clone()
        };
        tell_last(&before, on)?;
        self.open()?.archive(op, &before)
    }

    pub(super) fn restore(&self, op: &RestoreArchive, on: &mut OnProgress<'_>) -> Result<SessionRecord> {
        let session = self.open()?.check_restore(&op.archive)?.session.clone();
        tell_last(&session, on)?;
        self.open()?.restore(op)
    }
}

impl ModelStore {
    /// The stream says where the store keeps what was exported: it can be imported here alone.
    pub(super) fn export(&self, at: &ArchiveRef, to: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<()> {
        let archived = self.open()?.find_archive(at)?.clone();
        tell_last(&archived.session, on)?;
        let place = {
            let mut state = self.open()?;
            state.exported.push(archived);
            state.exported.len() - 1
        };
        let written = to.write_all(MAGIC).and_then(|()| to.write_all(&(place as u64).to_le_bytes()));
        written.map_err(|error| Error::new(ErrorKind::Storage, error.to_string()).with_source(error))
    }

    pub(super) fn import(
        &self,
        op: &ImportArchive,
        from: &mut dyn Read,
        on: &mut OnProgress<'_>,
    ) -> Result<ArchiveRecord> {
        self.open()?.workspace(op.workspace)?;
        self.open()?.agent(op.workspace, op.agent)?;
        let (mut magic, mut place) = ([0; MAGIC.len()], [0; 8]);
        let read = from.read_exact(&mut magic).and_then(|()| from.read_exact(&mut place));
        read.map_err(|error| Error::corrupt("the stream ends within the archive").with_source(error))?;
        let place = usize::try_from(u64::from_le_bytes(place)).ok().filter(|_| magic == *MAGIC);
        let no_archive = || Error::corrupt("the stream is no archive");
        let archived = self.open()?.exported.get(place.ok_or_else(no_archive)?).cloned().ok_or_else(no_archive)?;
        tell_last(&archived.session, on)?;
        self.open()?.import(op, archived)
    }
}

const MAGIC: &[u8; 8] = b"parlormo";

/// All is done but the commit.
fn tell_last(session: &Session, on: &mut OnProgress<'_>) -> Result<()> {
    let rows = session.threads.len() + session.runs.len() + session.messages.len() + session.changes.len();
    Progress::new(rows as u64, rows as u64).tell(on)
}

impl State {
    fn archive(&mut self, op: &ArchiveSession, before: &Session) -> Result<ArchiveRecord> {
        let session = self.session(op.at)?;
        session.check_idle()?;
        if (&session.base, &session.changes) != (&before.base, &before.changes) {
            return Err(Error::conflict(format!("session {} changed while it was being archived", op.at.session)));
        }
        let index =
            self.sessions.iter().position(|session| session.is(op.at)).ok_or_else(|| no_session(op.at.session))?;
        let mut session = self.sessions.remove(index);
        let archived_at = session.touch(op.stamp.at);
        session.tell(ChangeKind::Archived);
        let SessionRecord {
            workspace_id, agent_id, id, key, label, last_message, last_change, usage, created_at, ..
        } = session.record();
        let record = ArchiveRecord {
            filename: op.filename(),
            workspace_id,
            agent_id,
            session_id: id,
            key,
            label,
            messages: last_message,
            turns: u32::try_from(session.runs.len()).unwrap_or(u32::MAX),
            last_change,
            usage,
            created_at,
            archived_at,
        };
        self.archives.push(Archived { record: record.clone(), session });
        Ok(record)
    }

    pub(super) fn find_archive(&self, at: &ArchiveRef) -> Result<&Archived> {
        self.workspace(at.workspace)?;
        self.agent(at.workspace, at.agent)?;
        let found = self.archives.iter().find(|archived| is(archived, at));
        found.ok_or_else(|| Error::not_found(format_args!("archive {:?}", at.filename)))
    }

    /// The archive, where its session could be given back.
    fn check_restore(&self, at: &ArchiveRef) -> Result<&Archived> {
        let found = self.find_archive(at)?;
        let agent = self.agent(at.workspace, at.agent)?;
        let key = &found.record.key;
        match self.session_with_key(agent, key) {
            Some(other) => Err(Error::conflict(format!("session key {key:?} is taken by session {}", other.base.id))),
            None => Ok(found),
        }
    }

    fn restore(&mut self, op: &RestoreArchive) -> Result<SessionRecord> {
        self.check_restore(&op.archive)?;
        let index = self.archives.iter().position(|archived| is(archived, &op.archive));
        let index = index.ok_or_else(|| Error::not_found(format_args!("archive {:?}", op.archive.filename)))?;
        let mut session = self.archives.remove(index).session;
        session.touch(op.stamp.at);
        session.tell(ChangeKind::Restored);
        if op.label.is_some() {
            session.base.label.clone_from(&op.label);
        }
        self.made += 1;
        session.nth = self.made;
        let record = session.record();
        self.sessions.push(session);
        Ok(record)
    }

    fn import(&mut self, op: &ImportArchive, archived: Archived) -> Result<ArchiveRecord> {
        let agent = self.agent(op.workspace, op.agent)?.clone();
        let Archived { mut record, mut session } = archived;
        if op.ids == ImportIds::New {
            session.renamed(op.stamp.uuid(1).into());
        }
        let base = &mut session.base;
        (base.workspace_id, base.agent_id, base.agent_name) = (op.workspace, op.agent, agent.name);
        let at = SessionRef { workspace: op.workspace, session: base.id };
        (record.workspace_id, record.agent_id, record.session_id) = (op.workspace, op.agent, base.id);
        record.filename = op.filename(base.id);
        if self.session(at).is_ok() || self.is_archived(at) {
            return Err(Error::conflict(format!("session {} is there", at.session)));
        }
        // It has announced all that it had to.
        session.announced.extend(session.outbox.drain(..).map(|row| row.turn_id));
        self.archives.push(Archived { record: record.clone(), session });
        Ok(record)
    }

    pub(super) fn archives(&self, op: &ArchivesQuery) -> Result<Listed<ArchiveRecord>> {
        self.workspace(op.workspace)?;
        if let Some(agent) = op.agent {
            self.agent(op.workspace, agent)?;
        }
        let all = self.archives.iter().map(|archived| &archived.record).enumerate();
        let mut listed: Vec<_> = all
            .filter(|(_, record)| record.workspace_id == op.workspace)
            .filter(|(_, record)| op.agent.is_none_or(|agent| record.agent_id == agent))
            .collect();
        listed.sort_by_key(|(nth, record)| Reverse((record.archived_at, *nth)));
        Ok(page_of(listed.into_iter().map(|(_, record)| record.clone()).collect(), op.page))
    }

    pub(super) fn delete_archive(&mut self, op: &DeleteArchive) -> Result<()> {
        self.find_archive(&op.archive)?;
        self.archives.retain(|archived| !is(archived, &op.archive));
        Ok(())
    }

    pub(super) fn is_archived(&self, at: SessionRef) -> bool {
        self.archives.iter().any(|archived| archived.session.is(at))
    }

    /// All sessions that may have something in the outbox, the archived ones too, oldest first.
    pub(super) fn announcing(&self) -> Vec<&Session> {
        let archived = self.archives.iter().map(|archived| &archived.session);
        let mut all: Vec<_> = self.sessions.iter().chain(archived).collect();
        all.sort_by_key(|session| session.nth);
        all
    }

    /// One of them.
    pub(super) fn announcing_at(&mut self, at: SessionRef) -> Result<&mut Session> {
        let archived = self.archives.iter_mut().map(|archived| &mut archived.session);
        let found = self.sessions.iter_mut().chain(archived).find(|session| session.is(at));
        found.ok_or_else(|| no_session(at.session))
    }
}

fn is(archived: &Archived, at: &ArchiveRef) -> bool {
    let record = &archived.record;
    (record.workspace_id, record.agent_id, &record.filename) == (at.workspace, at.agent, &at.filename)
}

/// The id of a session that is archived is taken.
pub(super) fn taken(id: SessionId) -> Error {
    Error::conflict(format!("session id {id} is that of an archived session"))
}
