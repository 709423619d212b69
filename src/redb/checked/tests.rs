//! Pages that are not what they were, in each place where redb would take them as they are.

use std::collections::BTreeMap;

use redb::backends::InMemoryBackend;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AgentId, Stamp};
use crate::record::{NewMessage, NewSession};
use crate::redb::{Durability, SimulatedDisk};
use crate::store::{Append, CreateSession, EnsureAgent, EnsureWorkspace, LabelAgent, SessionRef, Store};
use crate::sync::Arc;
use crate::time::Timestamp;

const PAGE: usize = 4096;
/// Enough for pages that lead to pages that lead to rows.
const MANY: u64 = 2000;
const FEW: u64 = 200;
const NAME: &str = "a.parlor";

fn stamp(number: u64) -> Stamp {
    Stamp::new(Timestamp::from_micros(1), number)
}

fn name(number: u64) -> String {
    format!("{number:0200}")
}

/// A closed file with so many workspaces.
fn file(names: u64) -> Vec<u8> {
    let disk = SimulatedDisk::new();
    let store = disk.open(Durability::Sync).expect("it opens");
    for number in 0..names {
        store.ensure_workspace(EnsureWorkspace { stamp: stamp(number), name: name(number) }).expect("it is written");
    }
    store.close().expect("it closes");
    content(&disk)
}

fn content(disk: &SimulatedDisk) -> Vec<u8> {
    disk.files().into_iter().find(|(file, _)| file == NAME).expect("there is a file").1
}

fn disk(content: Vec<u8>) -> SimulatedDisk {
    SimulatedDisk::holding([(NAME.to_owned(), content)])
}

/// The pages of our tables, by where they begin.
fn pages(content: &[u8]) -> BTreeMap<usize, (Table, Root)> {
    let read = |at: u64, out: &mut [u8]| {
        out.copy_from_slice(&content[at as usize..at as usize + out.len()]);
        Ok(())
    };
    let tables = super::pages::tables(content.len() as u64, &read).expect("they are sound").expect("there are some");
    let (mut all, mut next) = (BTreeMap::new(), tables.roots);
    while let Some((table, root)) = next.pop() {
        let (at, length) = tables.geometry.place(root.page);
        let page = &content[at as usize..(at + length) as usize];
        if !super::pages::is_leaf(page) {
            next.extend(super::pages::children(page).map(|child| (table, child.expect("it is sound"))));
        }
        all.insert(at as usize, (table, root));
    }
    all
}

/// Opens a damaged file. What opening itself reads may be damaged; then it is corrupt.
fn opened(content: Vec<u8>) -> Result<Arc<dyn Store>> {
    disk(content).open(Durability::Sync).inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"))
}

fn branches(content: &[u8]) -> Vec<usize> {
    pages(content).into_keys().filter(|at| content[*at] == 2).collect()
}

/// What reading every workspace answers: those that are there, and what some fail with.
fn read(store: &dyn Store, names: u64) -> (u64, Vec<Error>) {
    let found: Vec<_> = (0..names).map(|number| store.find_workspace(&name(number))).collect();
    let there = found.iter().filter(|found| matches!(found, Ok(Some(_)))).count() as u64;
    (there, found.into_iter().filter_map(Result::err).collect())
}

#[test]
fn a_page_that_leads_elsewhere_is_corrupt_and_the_rest_is_read() {
    let sound = file(MANY);
    let (mut read_on, mut failed) = (0, 0);
    for at in branches(&sound) {
        // A bit of the number of the first page that it leads to.
        let mut damaged = sound.clone();
        let children = 1 + usize::from(u16::from_le_bytes([damaged[at + 2], damaged[at + 3]]));
        damaged[at + 8 + 16 * children] ^= 1;
        let Ok(store) = opened(damaged) else { continue };
        let (there, errors) = read(&*store, MANY);
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Corrupt), "{errors:?}");
        assert!(there + errors.len() as u64 == MANY, "{there} and {} of {MANY}", errors.len());
        (read_on, failed) = (read_on + there, failed + errors.len());
    }
    assert!(read_on > 0 && failed > 0, "{read_on} reads were answered, {failed} were not");
}

#[test]
fn a_page_that_leads_to_itself_is_corrupt_and_no_end_of_the_process() {
    let sound = file(MANY);
    let mut verified = 0;
    for at in branches(&sound) {
        let number = pages(&sound)[&at].1.page;
        let mut damaged = sound.clone();
        let children = 1 + usize::from(u16::from_le_bytes([damaged[at + 2], damaged[at + 3]]));
        for child in 0..children {
            let to = at + 8 + 16 * children + 8 * child;
            damaged[to..to + 8].copy_from_slice(&number.to_le_bytes());
        }
        let Ok(store) = opened(damaged) else { continue };
        let (there, errors) = read(&*store, MANY);
        assert_eq!(there + errors.len() as u64, MANY, "{errors:?}");
        assert_eq!(store.verify().expect_err("it is read").kind(), ErrorKind::Corrupt);
        verified += 1;
    }
    assert!(verified > 0, "some of it is not read by opening");
}

#[test]
fn rows_of_an_earlier_state_are_never_answered() {
    let begun = disk(file(FEW));
    let store = begun.open(Durability::Sync).expect("it opens");
    let workspace = store.find_workspace(&name(3)).expect("it is read").expect("it is there").id;
    let before = content(&begun);
    let ensure = |number| EnsureAgent { stamp: stamp(1000 + number), workspace, name: name(number) };
    for number in 0..50 {
        store.ensure_agent(ensure(number)).expect("it is written");
    }
    store.close().expect("it closes");
    let after = content(&begun);
    // Each page of rows in turn is replaced by one that was a page of rows before, as a write to the wrong place does.
    let leaves = |content: &[u8]| -> Vec<usize> { pages(content).into_keys().filter(|at| content[*at] == 1).collect() };
    let mut refused = 0;
    for to in leaves(&after) {
        for from in leaves(&before).into_iter().filter(|from| before[*from..from + PAGE] != after[to..to + PAGE]) {
            let mut damaged = after.clone();
            damaged[to..to + PAGE].copy_from_slice(&before[from..from + PAGE]);
            let Ok(store) = opened(damaged) else {
                refused += 1;
                continue;
            };
            for number in 0..50 {
                match store.find_agent(workspace, &name(number)) {
                    Ok(found) => {
                        assert!(found.is_some(), "{from} at {to}: agent {number} is not there, without a word")
                    }
                    Err(error) => {
                        refused += 1;
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{from} at {to}: {error}");
                    }
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn one_damaged_row_leaves_its_neighbours_readable() {
    let sound = file(FEW);
    let mut named = 0;
    for (at, (table, _)) in
        pages(&sound).into_iter().filter(|(at, (table, _))| *table == Table::Names && sound[*at] == 1)
    {
        let rows = super::pages::rows(&sound[at..at + PAGE]).expect("it has rows").len() as u64;
        // The last byte that is used is one of the last row's.
        let last = sound[at..at + PAGE].iter().rposition(|byte| *byte != 0).expect("it is not empty");
        let mut damaged = sound.clone();
        damaged[at + last] ^= 4;
        let Ok(store) = opened(damaged) else { continue };
        let (there, errors) = read(&*store, FEW);
        assert!(errors.len() as u64 <= 1, "{table:?} at {at}, {rows} rows: {errors:?}");
        assert_eq!(there + errors.len() as u64, FEW, "{table:?} at {at}");
        named += errors.len();
    }
    assert!(named > 0, "a row that is looked up was damaged");
}

#[test]
fn a_commit_that_meets_a_damaged_page_fails_and_nothing_is_written_after_it() {
    let sound = file(MANY);
    let mut failed = 0;
    for at in branches(&sound) {
        let mut damaged = sound.clone();
        damaged[at + 9] ^= 1;
        let Ok(store) = opened(damaged) else { continue };
        let wrote = store.ensure_workspace(EnsureWorkspace { stamp: stamp(MANY + 1), name: name(MANY + 1) });
        let closed = store.close();
        failed += u32::from(wrote.is_err() || closed.is_err());
        for error in [wrote.err(), closed.err()].into_iter().flatten() {
            let kinds = [ErrorKind::Corrupt, ErrorKind::OutcomeUnknown, ErrorKind::Storage];
            assert!(kinds.contains(&error.kind()), "{at}: {error:?}");
        }
    }
    assert!(failed > 0, "a damaged page was written to");
}

#[test]
fn what_was_written_since_is_read_as_it_is() {
    let begun = disk(file(FEW));
    for round in 0..3 {
        let store = begun.open(Durability::Sync).expect("it opens");
        for number in 0..FEW {
            let workspace = store.find_workspace(&name(number)).expect("it is read").expect("it is there").id;
            let number = FEW * (round + 1) + number;
            let ensure = EnsureAgent { stamp: stamp(number), workspace, name: name(number) };
            store.ensure_agent(ensure).expect("it is written");
        }
        assert_eq!(read(&*store, FEW).0, FEW);
        assert!(store.verify().expect("it is read").is_empty());
        store.close().expect("it closes");
    }
}

#[test]
fn every_row_of_a_sound_file_is_whole_and_a_damaged_one_is_not() {
    let begun = disk(file(FEW));
    let store = begun.open(Durability::Sync).expect("it opens");
    let workspace = store.find_workspace(&name(3)).expect("it is read").expect("it is there").id;
    let ensure = EnsureAgent { stamp: stamp(1000), workspace, name: name(0) };
    let agent = store.ensure_agent(ensure).expect("it is written").id;
    let op = CreateSession { stamp: stamp(1001), workspace, agent, new: NewSession::default(), first: None };
    let session = store.create_session(op).expect("it is written").session.id;
    let at = SessionRef { workspace, session };
    let messages = (0..100).map(|number| NewMessage::text(name(number))).collect();
    store.append(Append { stamp: stamp(1002), at, thread: None, messages }).expect("they are written");
    store.close().expect("it closes");
    let (sound, mut packs) = (content(&begun), 0);
    for (at, (table, root)) in pages(&sound).into_iter().filter(|(at, _)| sound[*at] == 1) {
        // The order of a page stands above its number.
        let page = &sound[at..at + (PAGE << (root.page >> 59))];
        for (key, value) in super::pages::rows(page).expect("it has rows") {
            assert!(is_whole(table, key, value), "{at}: {table:?} {key:x?} {value:x?}");
            packs += u32::from(Place::of(table, key).is_some());
            for byte in 0..value.len() {
                let mut damaged = value.to_vec();
                damaged[byte] ^= 8;
                // A format row that is damaged may be one of another format.
                let is_named = !is_whole(table, key, &damaged) || table == Table::Meta && key == meta::FORMAT;
                assert!(is_named, "{at}: byte {byte} of {table:?} {key:x?} {value:x?}");
            }
        }
    }
    assert!(packs > 4, "{packs} packs");
}

/// One sector of a page of rows has what stood there before, as after a write that the disk lost in part. The row at its edge is
/// broken, and the page is read for the others.
#[test]
fn a_sector_of_an_earlier_state_is_found_by_a_verification() {
    const SECTOR: usize = 512;
    let empty = SimulatedDisk::new();
    let (mut before, mut agents) = (Vec::new(), Vec::new());
    let mut numbers = 0..;
    let mut stamp = || stamp(numbers.next().expect("there are more"));
    let label = |round: u64| Some(format!("round {round} {}", "x".repeat(60)));
    let open = |disk: &SimulatedDisk| disk.open(Durability::Sync).expect("it opens");
    let store = open(&empty);
    let ensure = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
    let workspace = store.ensure_workspace(ensure).expect("it is written").id;
    for number in 0..20 {
        let ensure = EnsureAgent { stamp: stamp(), workspace, name: name(number) };
        agents.push(store.ensure_agent(ensure).expect("it is written").id);
    }
    store.close().expect("it closes");
    const ROUNDS: u64 = 4;
    for round in 0..=ROUNDS {
        let store = open(&empty);
        for agent in &agents {
            let op = LabelAgent { stamp: stamp(), workspace, agent: *agent, label: label(round) };
            store.label_agent(op).expect("it is written");
        }
        store.close().expect("it closes");
        before.push(content(&empty));
    }
    let after = before.pop().expect("there were rounds");
    let leaves = pages(&after).into_keys().filter(|at| after[*at] == 1);
    let sectors: Vec<usize> = leaves.flat_map(|at| (at..at + PAGE).step_by(SECTOR)).collect();
    let (mut stale, mut refused) = (0, 0);
    for (image, from) in before.iter().flat_map(|image| sectors.iter().map(move |from| (image, *from))) {
        let Some(sector) = image.get(from..from + SECTOR).filter(|sector| **sector != after[from..from + SECTOR])
        else {
            continue;
        };
        let mut damaged = after.clone();
        damaged[from..from + SECTOR].copy_from_slice(sector);
        let Ok(store) = opened(damaged.clone()) else {
            refused += 1;
            continue;
        };
        let is_stale = |id: &AgentId| store.agent(workspace, *id).is_ok_and(|agent| agent.label != label(ROUNDS));
        if agents.iter().any(is_stale) {
            stale += 1;
            assert!(!store.verify().expect("it is read").is_empty(), "nothing is named where {from} is stale");
            let error = disk(damaged).open_verified(Durability::Sync).err().expect("it is refused");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }
    assert!(stale > 0 && refused > 0, "{stale} had something stale, {refused} were refused");
}

#[test]
fn what_is_remembered_is_small_and_goes_with_what_was_read() {
    assert!(size_of::<(u64, Page)>() <= 24);
    let sound = file(FEW);
    let storage = InMemoryBackend::new();
    storage.set_len(sound.len() as u64).expect("it has room");
    storage.write(0, &sound).expect("it is written");
    let checked = Checked::new(storage);
    checked.read(0, &mut [0; PAGE]).expect("it is read");
    let due = checked.due.get().expect("it was begun").as_ref().expect("it has tables");
    let remembered = || due.parts.iter().map(|part| part.lock().len()).sum::<usize>();
    let room = || due.parts.iter().map(|part| part.lock().capacity()).max().expect("there are parts");
    for (at, _) in pages(&sound) {
        due.forget(at as u64);
    }
    assert_eq!(remembered(), 0);
    for page in 0..100_000 {
        due.expect(Table::Rows, Root { page, checksum: 7 });
    }
    assert!(remembered() == 100_000 && room() < 16_000, "{} in {}", remembered(), room());
    for page in 0..100_000 {
        due.forget(due.geometry.place(page).0);
    }
    assert!(remembered() == 0 && room() <= ROOM, "there is room for {}", room());
}
