//! A file to be damaged: what a random script left, closed or not, and what is true of it.

use std::collections::HashMap;
use std::sync::Arc;

use parlor::id::{MessageId, SessionId};
use parlor::page::PageAt;
use parlor::store::{ArchiveRef, ArchivesQuery, SessionRef, Store};
use parlor::testkit::SimulatedDisk;
use parlor::{Durability, Message};

use super::answers::{Answer, Known, Place, ask};
use super::ends::Ends;
use crate::suite::client::{self, Client, Went};
use crate::suite::random::Random;
use crate::suite::record::Record;
use crate::suite::state::State;

/// See the [module](self).
pub struct Victim {
    pub files: Vec<(String, Vec<u8>)>,
    pub known: Known,
    pub truth: Vec<Answer>,
    /// Of one that was not closed.
    pub ends: Ends,
    /// Every message that a live session had, as it was last.
    pub written: HashMap<(SessionId, MessageId), Message>,
}

impl Victim {
    /// The one of a seed, as far as threads allow. Of four in a row one is not closed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let disk = SimulatedDisk::new();
        let store = disk.open(Durability::Sync).expect("it opens");
        let record = Arc::new(Record::default());
        let names = client::set_up(&*store).expect("it is set up");
        let mut known = Known { names: Some(names), ..Known::default() };
        let mut written = HashMap::new();
        let count = 1 + random.below(4);
        let mut clients = Client::several(count, seed, &record);
        let is_closed = !seed.is_multiple_of(4);
        let mut images = Vec::new();
        for _ in 0..20 + random.below(if is_closed { 120 } else { 30 }) {
            let client = random.below(count) as usize;
            if let Went::Failed(error) = clients[client].step(&*store, false) {
                panic!("the script of seed {seed} fails: {error:?}");
            }
            written.extend(learn(&mut known, &*store, &record).into_iter().map(|it| ((it.session_id, it.id), it)));
            if !is_closed {
                images.push(disk.copy());
            }
        }
        let truth = ask(&*store, &known);
        if is_closed {
            store.close().expect("it closes");
            return Victim { files: disk.files(), known, truth, ends: Ends::default(), written };
        }
        // What no answer shows: where the log loses it alone, the truth is due.
        client::write_elsewhere(&*store, "elsewhere").expect("it is written");
        images.push(disk.copy());
        let files = images.last().map(SimulatedDisk::files).unwrap_or_default();
        Victim { files, known, truth, ends: Ends::of(images), written }
    }
}

/// Learns what there is to ask about. The messages that there are.
fn learn(known: &mut Known, store: &dyn Store, record: &Record) -> Vec<Message> {
    let mut messages = Vec::new();
    for at in record.places() {
        let state = State::of(store, at).expect("it is read");
        let number = known.sessions.iter().position(|place| place.at == at);
        let place = match (number, &state) {
            (Some(number), _) => &mut known.sessions[number],
            (None, Some(state)) => {
                let Some(record) = &state.record else { continue };
                known.sessions.push(new_place(at, record.key.clone()));
                known.sessions.last_mut().expect("it was pushed")
            }
            (None, None) => continue,
        };
        let Some(state) = state else { continue };
        place.messages.extend(state.messages.iter().map(|message| message.id));
        place.threads.extend(state.threads.iter().map(|thread| thread.id));
        place.turns.extend(state.turns.iter().map(|turn| turn.id));
        place.ts = state.messages.get(state.messages.len() / 2).map_or(place.ts, |message| message.ts);
        unique(&mut place.messages);
        unique(&mut place.threads);
        unique(&mut place.turns);
        messages.extend(state.messages);
    }
    if let Some((workspace, _)) = known.names {
        let page = PageAt { page: 1, limit: 100 };
        let listed = store.archives(ArchivesQuery { workspace, agent: None, page }).expect("it is read");
        for record in listed.items {
            let at = ArchiveRef { workspace, agent: record.agent_id, filename: record.filename };
            if !known.archives.contains(&at) {
                known.archives.push(at);
            }
        }
    }
    messages
}

fn new_place(at: SessionRef, key: String) -> Place {
    Place { at, key, messages: Vec::new(), threads: Vec::new(), turns: Vec::new(), ts: parlor::Ts::ZERO }
}

fn unique<T: Ord>(ids: &mut Vec<T>) {
    ids.sort();
    ids.dedup();
}
