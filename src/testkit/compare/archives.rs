//! Draws operations on archives, and knows which sessions are in which.

use super::op::Op;
use super::world::{Known, World};
use crate::id::{AgentId, WorkspaceId};
use crate::record::ArchiveRecord;
use crate::store::{ArchiveRef, ArchiveSession, ArchivesQuery, DeleteArchive, RestoreArchive, SessionRef};

/// Sessions that are archived, as a caller knows them.
#[derive(Default)]
pub(super) struct Archived(Vec<(ArchiveRef, Known)>);

impl Archived {
    pub(super) fn has(&self, at: SessionRef) -> bool {
        self.0.iter().any(|(_, known)| known.at == at)
    }
}

impl World {
    pub(super) fn draw_archive(&mut self) -> Op {
        let archive = self.archive();
        match self.rng.below(20) {
            0..7 => {
                let (at, _) = self.place_where(Known::is_idle);
                Op::ArchiveSession(ArchiveSession { stamp: self.stamp(), at, only_at: self.only_at() })
            }
            7..14 => {
                let label = self.rng.percent(20).then(|| self.rng.one(["anew", ""]).into());
                Op::RestoreArchive(RestoreArchive { stamp: self.stamp(), archive, label })
            }
            14 => Op::DeleteArchive(DeleteArchive { stamp: self.stamp(), archive }),
            15..17 => Op::Archive(archive),
            _ => {
                let (workspace, agent) = self.agent();
                let agent = self.rng.percent(50).then_some(agent);
                Op::Archives(ArchivesQuery { workspace, agent, page: self.page() })
            }
        }
    }

    /// Mostly an archive that is there.
    fn archive(&mut self) -> ArchiveRef {
        let pick = self.rng.index(self.archived.0.len());
        let known = self.archived.0.get(pick).map(|(archive, _)| archive.clone());
        let (workspace, agent) = self.agent();
        match known {
            Some(known) if self.rng.percent(94) => known,
            Some(known) => ArchiveRef { workspace, agent, ..known },
            None => ArchiveRef { workspace, agent, filename: self.rng.one(["a", "", "../a"]).into() },
        }
    }

    /// A session went into an archive.
    pub(super) fn learn_archived(&mut self, record: &ArchiveRecord) {
        let at = SessionRef { workspace: record.workspace_id, session: record.session_id };
        let archive =
            ArchiveRef { workspace: record.workspace_id, agent: record.agent_id, filename: record.filename.clone() };
        if let Some(index) = self.sessions.iter().position(|known| known.at == at) {
            let known = self.sessions.remove(index);
            self.archived.0.push((archive, known));
        }
    }

    /// It came back.
    pub(super) fn learn_restored(&mut self, archive: &ArchiveRef) {
        let restored = self.unarchive(archive);
        self.sessions.extend(restored);
    }

    /// It was deleted with its archive.
    pub(super) fn learn_discarded(&mut self, archive: &ArchiveRef) {
        let gone = self.unarchive(archive).map(|known| known.at);
        self.gone.extend(gone);
    }

    /// They were deleted with their agent.
    pub(super) fn learn_agent_gone(&mut self, workspace: WorkspaceId, agent: AgentId) {
        let is_its = |archive: &ArchiveRef| (archive.workspace, archive.agent) == (workspace, agent);
        let (its, left): (Vec<_>, _) =
            std::mem::take(&mut self.archived.0).into_iter().partition(|(archive, _)| is_its(archive));
        self.archived.0 = left;
        self.gone.extend(its.into_iter().map(|(_, known)| known.at));
    }

    fn unarchive(&mut self, archive: &ArchiveRef) -> Option<Known> {
        let index = self.archived.0.iter().position(|(known, _)| known == archive)?;
        Some(self.archived.0.remove(index).1)
    }
}
