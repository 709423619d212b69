//! An open key-value store as a peer: what LMDB and fjall have in common.

use std::sync::OnceLock;

use super::{Clock, Read, Write, create, delete, history, messages_in_feed, page, poll, sessions, write};
use crate::corpus::Corpus;
use crate::peer::group::{self, Append, Commit, Direct, Group};
use crate::peer::{Answered, Feed, Filter, Listed, Reader, Result, Row, Way, Writer};
use crate::plan::Plan;

/// A key-value store with tables, snapshots and transactions. Clones share it.
pub trait Store: Clone + Send + Sync + 'static {
    /// What is read from.
    type Snapshot<'s>: Read
    where
        Self: 's;
    /// What is written to.
    type Transaction<'s>: Write
    where
        Self: 's;

    /// The newest snapshot.
    fn snapshot(&self) -> Result<Self::Snapshot<'_>>;

    /// Writes in one transaction, which is durable when it returns.
    fn write(&self, write: impl FnOnce(&mut Self::Transaction<'_>) -> Result) -> Result;

    /// Whether it keeps a change feed.
    fn feed(&self) -> Feed;
}

/// A store and the thread that writes to it for all.
pub struct Open<S> {
    store: S,
    group: OnceLock<Group>,
}

impl<S: Store> Open<S> {
    /// With no thread yet.
    pub fn new(store: S) -> Self {
        Open { store, group: OnceLock::new() }
    }

    /// Ends the thread.
    pub fn into_store(self) -> Result<S> {
        self.group.into_inner().map_or(Ok(()), Group::end)?;
        Ok(self.store)
    }

    /// See [`Peer::load`](crate::peer::Peer::load).
    pub fn load(&self, plan: &Plan, corpus: &Corpus) -> Result {
        let mut writer = self.committer();
        self.store.write(|tables| create(tables, &mut writer.clock, 0..plan.sessions.len() as u32))?;
        group::load(&mut writer, plan, corpus)
    }

    /// See [`Peer::reader`](crate::peer::Peer::reader).
    pub fn reader(&self) -> Box<dyn Reader + Send + '_> {
        Box::new(KvReader(&self.store))
    }

    /// See [`Peer::writer`](crate::peer::Peer::writer).
    pub fn writer(&self, way: Way) -> Result<Box<dyn Writer + '_>> {
        match way {
            Way::Connection => Ok(Box::new(Direct(self.committer()))),
            Way::Grouped => Ok(self.group.get_or_init(|| Group::start(self.committer())).writer()),
        }
    }

    /// See [`Peer::delete`](crate::peer::Peer::delete).
    pub fn delete(&self, session: u32, numbers: &[u32]) -> Result {
        let clock = Clock::new(self.store.feed());
        self.store.write(|tables| delete(tables, &clock, session, numbers))
    }

    fn committer(&self) -> KvWriter<S> {
        KvWriter { store: self.store.clone(), clock: Clock::new(self.store.feed()) }
    }
}

struct KvReader<'a, S>(&'a S);

impl<S: Store> Reader for KvReader<'_, S> {
    fn page(&mut self, session: u32, filter: Filter, number: u64) -> Answered<Row> {
        Ok(Box::new(page(&self.0.snapshot()?, session, filter, number)?))
    }

    fn poll(&mut self, session: u32, filter: Filter, after: u64) -> Answered<Row> {
        Ok(Box::new(poll(&self.0.snapshot()?, session, filter, after)?))
    }

    fn history(&mut self, session: u32, limit: u32) -> Answered<Row> {
        Ok(Box::new(history(&self.0.snapshot()?, session, limit)?))
    }

    fn sessions(&mut self) -> Answered<Listed> {
        Ok(Box::new(sessions(&self.0.snapshot()?)?))
    }

    fn messages_in_feed(&mut self, session: u32) -> Result<u32> {
        messages_in_feed(&self.0.snapshot()?, session)
    }
}

struct KvWriter<S> {
    store: S,
    clock: Clock,
}

impl<S: Store> Commit for KvWriter<S> {
    fn commit(&mut self, batch: &[Append]) -> Result {
        self.store.write(|tables| write(tables, &mut self.clock, batch))
    }
}
