//! Readers beside the operations: they begin anywhere, read on now and then, and miss nothing.

use super::super::reader::{Reader, Step, Stores};
use super::world::World;
use crate::page::{Direction, Form, Link, MessageQuery};

/// Most readers of a run.
const READERS: usize = 6;

impl World {
    /// Lets a reader begin, and those there are read on, each with some likelihood.
    pub(super) fn read_on(&mut self, stores: Stores<'_>) {
        if self.readers.len() < READERS && !self.sessions.is_empty() && self.rng.percent(10) {
            self.begin_to_read(stores);
        }
        let mut readers = std::mem::take(&mut self.readers);
        let is_live = |reader: &Reader| self.sessions.iter().any(|known| known.at == reader.at());
        // Those whose session was just deleted are told so; so are those whose session is archived, but they may go on later.
        readers.retain(|reader| {
            if is_live(reader) {
                return true;
            }
            reader.is_lost(stores);
            self.archived.has(reader.at())
        });
        for reader in &mut readers {
            let is_live = self.sessions.iter().any(|known| known.at == reader.at());
            if is_live && self.rng.percent(20) {
                let step = self.rng.one([Step::New, Step::New, Step::Next, Step::Prev]);
                let limit = self.rng.one([None, None, None, Some(1), Some(4)]);
                reader.go(stores, step, limit);
            }
        }
        self.readers = readers;
    }

    /// Lets every reader read to the end.
    pub(super) fn read_to_the_end(&mut self, stores: Stores<'_>) {
        for reader in std::mem::take(&mut self.readers) {
            if !self.archived.has(reader.at()) {
                reader.finish(stores);
            }
        }
    }

    fn begin_to_read(&mut self, stores: Stores<'_>) {
        let (at, known) = self.place();
        let (types, roles) = self.filters();
        let mut query = MessageQuery::default().direction(self.rng.one(Direction::ALL));
        query.types = self.rng.percent(85).then_some(types);
        query.roles = self.rng.percent(85).then_some(roles);
        query.thread = self.rng.percent(15).then(|| self.thread_of(known));
        query.gts = self.rng.percent(30).then(|| self.gts(known));
        query.page = self.rng.one([None, Some(1), Some(2), Some(3), Some(u64::MAX)]);
        query.limit = self.rng.one([None, Some(1), Some(2), Some(3), Some(7), Some(100)]);
        let form = match self.rng.percent(25) {
            true => Form::Thread(at.session, self.thread_of(known)),
            false => Form::Session(at.session),
        };
        // Refused where session or thread are another's.
        let Ok(mut reader) = Reader::begin(stores, at, Link { form, query }) else { return };
        for _ in 0..self.rng.below(4) {
            reader.go(stores, self.rng.one([Step::Next, Step::Next, Step::Prev]), None);
        }
        self.readers.push(reader);
    }
}
