//! What is in an archive: restored from its stream in a store of its own, it is the session that was archived.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Mutex;

use parlor::id::SessionId;
use parlor::store::{ArchiveRef, ImportArchive, ImportIds, RestoreArchive, SessionRef, Store};
use parlor::testkit::SimulatedDisk;
use parlor::{ArchiveRecord, Change, ChangeKind, Durability, Progress, Result, SessionRecord};

use super::client;
use super::state::State;

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The contents of archives that were read before, by their streams.
#[derive(Default)]
pub struct Contents(Mutex<HashMap<Vec<u8>, State>>);

impl Contents {
    /// Reads what is in the archive of a session into its state.
    pub fn fill(&self, store: &dyn Store, state: State) -> Result<State> {
        let Some(archive) = &state.archive else { return Ok(state) };
        let mut stream = Vec::new();
        store.export_archive(&place_of(archive), &mut stream, &mut go_on)?;
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&stream).cloned();
        let content = match known {
            Some(content) => content,
            None => {
                let content = restored(&stream)?;
                self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(stream, content.clone());
                content
            }
        };
        Ok(state.holding(content))
    }
}

/// Where an archive is.
pub fn place_of(archive: &ArchiveRecord) -> ArchiveRef {
    let filename = archive.filename.clone();
    ArchiveRef { workspace: archive.workspace_id, agent: archive.agent_id, filename }
}

fn restored(stream: &[u8]) -> Result<State> {
    let store = SimulatedDisk::new().open(Durability::Sync)?;
    let (workspace, agent) = client::set_up(&*store)?;
    let op = ImportArchive { stamp: client::first_stamp(7), workspace, agent, ids: ImportIds::Keep };
    let archive = store.import_archive(op, &mut &*stream, &mut go_on)?;
    let restore = RestoreArchive { stamp: client::first_stamp(8), archive: place_of(&archive), label: None };
    store.restore_archive(restore, &mut go_on)?;
    let state = State::of(&*store, SessionRef { workspace, session: archive.session_id })?;
    let mut content = state.unwrap_or_default();
    // That it was restored here.
    content.changes.pop();
    Ok(content)
}

impl State {
    /// What is in the archive that is made of this session.
    pub fn archived(mut self, archive: &ArchiveRecord) -> Self {
        self.changes.push(Change::new(archive.last_change, ChangeKind::Archived));
        self
    }

    /// The same as another session's.
    pub fn renamed(mut self, id: SessionId) -> Self {
        self.record.iter_mut().chain(&mut self.kept).for_each(|record| record.id = id);
        self.messages.iter_mut().for_each(|message| message.session_id = id);
        self.turns.iter_mut().for_each(|turn| turn.session_id = id);
        self.threads.iter_mut().for_each(|thread| thread.session_id = id);
        self
    }

    /// An archive that has this in it.
    pub fn holding(self, content: State) -> Self {
        let State { record, kept, messages, changes, turns, threads, mark, .. } = content;
        let kept = kept.or_else(|| record.map(as_kept));
        State { kept, messages, changes, turns, threads, mark, ..self }
    }
}

/// What a session says of itself, but for what the archiving and the restoring change.
fn as_kept(mut record: SessionRecord) -> SessionRecord {
    (record.updated_at, record.last_change) = (record.created_at, 0);
    record
}
