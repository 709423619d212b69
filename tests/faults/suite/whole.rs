//! What a client does with archives, forks, turns that wait or were left, and what is to be announced.

use parlor::id::SessionId;
use parlor::store::{
    Cancel, DeleteArchive, EndOrphans, ForkSession, ImportArchive, ImportIds, OutboxDelivered, OutboxFailed, OutboxKey,
    Promote, Purge, Recovery, Redrive, RestoreArchive, Runners, Store,
};
use parlor::{NewSession, Timestamp, WebhookSecrets};

use super::client::Client;
use super::op::Op;

impl Client {
    /// Something to one of its archives.
    pub(super) fn draw_archived(&mut self) -> Op {
        let pick = self.random.below(self.archived.len() as u64) as usize;
        let (mine, archive) = &self.archived[pick];
        let (at, archive) = (mine.at, archive.clone());
        match self.random.below(8) {
            0 => Op::DeleteArchive(DeleteArchive { stamp: self.stamp(), archive }, at),
            1 if self.archived.len() < 3 => {
                let (workspace, agent) = self.names;
                let stamp = self.stamp();
                Op::Import(ImportArchive { stamp, workspace, agent, ids: ImportIds::New }, archive)
            }
            _ => Op::Restore(Box::new(RestoreArchive { stamp: self.stamp(), archive, label: None }), at),
        }
    }

    /// Whether something may wait where nothing is running.
    pub(super) fn has_waiting(&self) -> bool {
        self.sessions.iter().any(|mine| mine.claim.is_none() && !mine.queued.is_empty())
    }

    /// What finds a session by itself: one with a turn that another process left, or with one that can start.
    pub(super) fn draw_for_all(&mut self) -> Op {
        let (stamp, owner, workspace) = (self.stamp(), self.owner(), self.names.0);
        let runners = Runners { owner, lease: None, agents: ["greeter".to_owned()].into() };
        let orphans = |recovery| EndOrphans { stamp, owner, limit: 1, recovery };
        match self.random.below(4) {
            0 => Op::EndOrphans(orphans(Recovery::End), workspace),
            1 => Op::RunAgain(orphans(Recovery::RunAgain { attempts: 3, runners }), workspace),
            _ => Op::Promote(Promote { stamp, runners, limit: 1 }),
        }
    }

    /// Something to a session beside its turns, if it is to be.
    pub(super) fn draw_whole(&mut self, pick: usize) -> Option<Op> {
        let mine = self.sessions.get(pick)?;
        let at = mine.at;
        match self.random.below(40) {
            0 if self.sessions.len() < 5 => {
                let message = self.random.pick(&mine.messages)?;
                let new = NewSession::default().id(SessionId::from_uuid(self.id()));
                Some(Op::Fork(Box::new(ForkSession { stamp: self.stamp(), at, message, new })))
            }
            1 | 2 => {
                let turn = self.random.pick(&mine.queued)?;
                Some(Op::Cancel(Cancel { stamp: self.stamp(), at, turn }))
            }
            3..=6 => {
                let row = self.model.outbox_head(at).ok().flatten().map(|row| OutboxKey::from(&row))?;
                let (stamp, error) = (self.stamp(), "nobody answers".to_owned());
                let next = self.random.one_in(2).then(|| Timestamp::from_micros(self.clock + 1));
                Some(match self.random.one_in(2) {
                    true => Op::Delivered(OutboxDelivered { stamp, row }),
                    false => Op::Undelivered(OutboxFailed { stamp, row, error, next }),
                })
            }
            8 | 9 => {
                let message = self.random.pick(&mine.deleted)?;
                Some(Op::Purge(Purge { stamp: self.stamp(), at, message: Some(message) }))
            }
            7 => {
                let (stamp, secrets) = (self.stamp(), WebhookSecrets::default());
                Some(Op::Redrive(Redrive { stamp, at, turn: None, secrets, limit: 100 }))
            }
            _ => None,
        }
    }
}
