//! The floor: what the work costs where nothing is kept but the bytes. Reading is decoding from plain
//! lists in memory; writing is `write` and `fdatasync`. The lists, obviously right, are also what every
//! peer's answers are compared with.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::group::{Append, Commit};
use super::row::{self, Place};
use super::{Answered, Filter, Found, Listed, PAGE, Reader, Result, Row, Wanted};
use crate::corpus::{Corpus, Draft};
use crate::plan::{self, Plan};
use crate::time::{Ids, now};

/// A session as plain lists.
#[derive(Default)]
struct List {
    /// The bytes of each message, by number from 1.
    messages: Vec<Vec<u8>>,
    /// The numbers that match, oldest first, for each of [`Wanted::ALL`].
    matching: [Vec<u32>; Wanted::ALL.len()],
}

impl List {
    fn push(&mut self, draft: &Draft, thread: u32) {
        let number = self.messages.len() as u32 + 1;
        let mut bytes = Vec::new();
        // The number will do as a `ts`: it rises by one.
        let place = Place { thread, ts: u64::from(number), created_at: 0 };
        row::encode(&mut bytes, draft, &[0; 16], place);
        self.messages.push(bytes);
        for (wanted, matching) in Wanted::ALL.into_iter().zip(&mut self.matching) {
            if wanted.classes().contains(&draft.class) {
                matching.push(number);
            }
        }
    }

    fn row(&self, number: u32) -> Result<Row> {
        let bytes = self.messages.get(number as usize - 1).ok_or("no such message")?;
        row::decode(bytes, number)?.ok_or_else(|| "a deleted message is listed".into())
    }

    fn matching(&self, wanted: Wanted) -> &[u32] {
        &self.matching[wanted as usize]
    }
}

/// Conversations as plain lists in memory.
#[derive(Default)]
pub struct Lists {
    sessions: HashMap<u32, List>,
    threads: HashMap<u32, u32>,
    /// The sessions whose place in a listing by activity is known, the newest last, as bytes.
    activity: Vec<(u32, Vec<u8>)>,
    /// How many sessions there are.
    total: u64,
}

impl Lists {
    /// The sessions of a plan, with the messages of those that are `known`.
    pub fn new(plan: &Plan, corpus: &Corpus, known: &[u32]) -> Lists {
        let mut lists = Lists { total: plan.sessions.len() as u64, ..Lists::default() };
        for &session in known {
            let thread = plan.standing(session).thread();
            let list = lists.sessions.entry(session).or_default();
            let messages = plan.sessions.get(session as usize).map_or(0, |session| session.messages);
            for number in 1..=messages {
                list.push(&corpus.message(session, number), thread);
            }
            lists.threads.insert(session, thread);
        }
        lists.activity = plan.last.iter().map(|chunk| listed(chunk.session, chunk.first)).collect();
        lists
    }

    /// Sessions of which it knows the place in a listing by activity.
    pub fn active(&self) -> usize {
        self.activity.len()
    }

    /// Writes messages to a session that it knows, in no thread.
    pub fn append(&mut self, session: u32, drafts: &[Draft]) {
        let list = self.sessions.entry(session).or_default();
        drafts.iter().for_each(|draft| list.push(draft, 0));
        self.moved(session);
    }

    /// Soft-deletes messages of a session that it knows.
    pub fn delete(&mut self, session: u32, numbers: &[u32]) {
        let list = self.sessions.entry(session).or_default();
        for number in numbers {
            row::delete(&mut list.messages[*number as usize - 1]);
        }
        for matching in &mut list.matching {
            matching.retain(|number| numbers.binary_search(number).is_err());
        }
        self.moved(session);
    }

    /// Moves a session that changed to the front of the listing.
    fn moved(&mut self, session: u32) {
        let last = self.last(session);
        self.activity.retain(|(other, _)| *other != session);
        self.activity.push(listed(session, last));
    }

    /// The greatest number of a session that it knows.
    pub fn last(&self, session: u32) -> u32 {
        self.sessions.get(&session).map_or(0, |list| list.messages.len() as u32)
    }

    fn list(&self, session: u32) -> Result<&List> {
        self.sessions.get(&session).ok_or_else(|| format!("session {session} is not in the lists").into())
    }

    /// The matching numbers of a session or of its thread: those of a thread are all, or all but the
    /// loose ones that were appended later.
    fn matching(&self, session: u32, filter: Filter) -> Result<Vec<u32>> {
        let list = self.list(session)?;
        let numbers = list.matching(filter.wanted);
        if filter.standing.thread() == 0 {
            return Ok(numbers.to_vec());
        }
        let mut within = Vec::new();
        for number in numbers {
            if list.row(*number)?.thread == filter.standing.thread() {
                within.push(*number);
            }
        }
        Ok(within)
    }
}

fn listed(session: u32, last: u32) -> (u32, Vec<u8>) {
    let key = plan::key(session);
    let listed = Listed { id: [0; 16], key, label: None, status: 0, created_at: 0, last, updated_at: 0 };
    (session, row::encode_listed(&listed))
}

/// Reads from lists.
pub struct FloorReader<'a> {
    lists: &'a Lists,
    /// What matched last: finding it is no part of the floor.
    matched: HashMap<(u32, u32, Wanted), Vec<u32>>,
}

impl<'a> FloorReader<'a> {
    /// A reader of these lists.
    pub fn new(lists: &'a Lists) -> Self {
        FloorReader { lists, matched: HashMap::new() }
    }

    fn matched(&mut self, session: u32, filter: Filter) -> Result<(&'a List, &[u32])> {
        let key = (session, filter.standing.thread(), filter.wanted);
        if !self.matched.contains_key(&key) {
            self.matched.insert(key, self.lists.matching(session, filter)?);
        }
        Ok((self.lists.list(session)?, self.matched.get(&key).map_or(&[], Vec::as_slice)))
    }
}

impl Reader for FloorReader<'_> {
    fn page(&mut self, session: u32, filter: Filter, page: u64) -> Answered<Row> {
        let (list, matching) = self.matched(session, filter)?;
        let before = (page - 1) as usize * PAGE as usize;
        let items = matching.iter().rev().skip(before).take(PAGE as usize);
        let items = items.map(|number| list.row(*number)).collect::<Result<_>>()?;
        Ok(Box::new(Found { total: matching.len() as u64, items }))
    }

    fn poll(&mut self, session: u32, filter: Filter, after: u64) -> Answered<Row> {
        let (list, matching) = self.matched(session, filter)?;
        let new = &matching[matching.partition_point(|number| u64::from(*number) <= after)..];
        let items = new.iter().take(PAGE as usize).map(|number| list.row(*number)).collect::<Result<_>>()?;
        Ok(Box::new(Found { total: new.len() as u64, items }))
    }

    fn history(&mut self, session: u32, limit: u32) -> Answered<Row> {
        let (list, matching) = self.matched(session, Filter::session(Wanted::All))?;
        let newest = &matching[matching.len().saturating_sub(limit as usize)..];
        let items: Vec<Row> = newest.iter().map(|number| list.row(*number)).collect::<Result<_>>()?;
        Ok(Box::new(Found { total: items.len() as u64, items }))
    }

    fn sessions(&mut self) -> Answered<Listed> {
        let newest = self.lists.activity.iter().rev().take(PAGE as usize);
        let items = newest.map(|(_, bytes)| row::decode_listed(bytes, 0)).collect::<Result<_>>()?;
        Ok(Box::new(Found { total: self.lists.total, items }))
    }

    fn messages_in_feed(&mut self, session: u32) -> Result<u32> {
        Ok(self.lists.last(session))
    }
}

/// Where a log would stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The file grows with every write, and its length with it.
    Growing,
    /// The file was written before, and is written over.
    Preallocated,
}

/// Bytes of a preallocated file.
const ROOM: u64 = 64 << 20;

/// A file that is appended to and synced: the least that *durable* can mean.
pub struct FloorFile {
    file: File,
    ids: Ids,
    bytes: Vec<u8>,
    room: Option<u64>,
    written: u64,
}

impl FloorFile {
    /// Makes the file.
    pub fn create(path: &Path, room: Room) -> Result<FloorFile> {
        let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
        let room = match room {
            Room::Growing => None,
            Room::Preallocated => {
                // Page by page: the kernel keeps what it was given at once together, and would count all of
                // it as written whenever a part is.
                for _ in 0..ROOM >> 12 {
                    file.write_all(&[0; 1 << 12])?;
                }
                file.sync_all()?;
                file.seek(SeekFrom::Start(0))?;
                Some(ROOM)
            }
        };
        Ok(FloorFile { file, ids: Ids::new(), bytes: Vec::new(), room, written: 0 })
    }
}

impl Commit for FloorFile {
    fn commit(&mut self, batch: &[Append]) -> Result {
        let created_at = now();
        self.bytes.clear();
        for append in batch {
            for draft in append.drafts.iter() {
                let id = self.ids.next(created_at);
                let place = Place { thread: append.thread, ts: created_at, created_at };
                row::encode(&mut self.bytes, draft, &id, place);
            }
        }
        self.written += self.bytes.len() as u64;
        if self.room.is_some_and(|room| self.written > room) {
            self.file.seek(SeekFrom::Start(0))?;
            self.written = self.bytes.len() as u64;
        }
        self.file.write_all(&self.bytes)?;
        Ok(self.file.sync_data()?)
    }
}
