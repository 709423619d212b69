//! A file to be damaged: what a random script left, closed or not, and what is true of it.

use std::sync::Arc;

use parlor::Durability;
use parlor::page::PageAt;
use parlor::store::{ArchiveRef, ArchivesQuery, SessionRef, Store};
use parlor::testkit::SimulatedDisk;

use super::answers::{Answer, History, Known, Place, ask, rows};
use crate::suite::client::{self, Client, Went};
use crate::suite::random::Random;
use crate::suite::record::Record;
use crate::suite::state::State;

/// See the [module](self).
pub struct Victim {
    pub files: Vec<(String, Vec<u8>)>,
    pub known: Known,
    pub truth: Vec<Answer>,
    /// Where its end stands in the log, and what was true before each operation that the file may lack.
    ///
    /// A record proves that those before it were synced, and nothing proves the last one: where that is damaged, and what
    /// stands before it too, the log ends earlier, and nobody can tell.
    pub end: Vec<usize>,
    pub earlier: Vec<Vec<Answer>>,
    pub history: History,
}

impl Victim {
    /// The one of a seed, as far as threads allow.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let disk = SimulatedDisk::new();
        let store = disk.open(Durability::Sync).expect("it opens");
        let record = Arc::new(Record::default());
        let names = client::set_up(&*store).expect("it is set up");
        let mut known = Known { names: Some(names), ..Known::default() };
        let mut history = History::new();
        let count = 1 + random.below(4);
        let mut clients: Vec<_> = (0..count).map(|n| Client::new(seed ^ (n << 56), Arc::clone(&record))).collect();
        let is_closed = !random.one_in(4);
        let mut images = Vec::new();
        for _ in 0..20 + random.below(if is_closed { 120 } else { 30 }) {
            let client = random.below(count) as usize;
            if let Went::Failed(error) = clients[client].step(&*store, false) {
                panic!("the script of seed {seed} fails: {error:?}");
            }
            learn(&mut known, &*store, &record);
            history.extend(ask(&*store, &known).iter().flat_map(Answer::items).flat_map(rows));
            if !is_closed {
                images.push(disk.copy());
            }
        }
        let truth = ask(&*store, &known);
        if is_closed {
            store.close().expect("it closes");
            return Victim { files: disk.files(), known, truth, end: Vec::new(), earlier: Vec::new(), history };
        }
        let before = disk.copy().files();
        client::write_elsewhere(&*store, "elsewhere").expect("it is written");
        let files = disk.copy().files();
        let earlier = |image: SimulatedDisk| ask(&*image.open(Durability::Sync).expect("it opens"), &known);
        let earlier = images.into_iter().map(earlier).collect();
        Victim { end: end(&before, &files), files, truth, earlier, known, history }
    }
}

/// Where two states of a log differ.
fn end(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)]) -> Vec<usize> {
    let is_log = |file: &&(String, Vec<u8>)| file.0.ends_with("-log");
    let Some((_, after)) = after.iter().find(is_log) else { return Vec::new() };
    let before = before.iter().find(is_log).map(|(_, content)| content.as_slice()).unwrap_or_default();
    let same = |at: &usize| before.get(*at) == after.get(*at);
    (0..after.len()).filter(|at| !same(at)).collect()
}

/// Learns what there is to ask about.
fn learn(known: &mut Known, store: &dyn Store, record: &Record) {
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
}

fn new_place(at: SessionRef, key: String) -> Place {
    Place { at, key, messages: Vec::new(), threads: Vec::new(), turns: Vec::new(), ts: parlor::Ts::ZERO }
}

fn unique<T: Ord>(ids: &mut Vec<T>) {
    ids.sort();
    ids.dedup();
}
