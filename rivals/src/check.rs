//! Everyone answers alike, or there is nothing to compare: run on a little of everything before time
//! is taken, and on what was loaded.

use std::path::Path;

use crate::corpus::Corpus;
use crate::peer::floor::{FloorReader, Lists};
use crate::peer::{Cache, Feed, Filter, Found, Kind, Listed, PAGE, Peer, Reader, Result, Row, Wanted, Way};
use crate::plan::{Plan, Standing};

/// Polls of this many places in a session.
const CURSORS: usize = 5;

/// Loads a small plan into every peer, and compares all answers after everything that can change them.
pub fn small(directory: &Path, corpus: &Corpus) -> Result {
    let plan = Plan::small();
    let every: Vec<u32> = (0..plan.sessions.len() as u32).collect();
    for kind in Kind::ALL {
        let named = |error| format!("{}: {error}", kind.name());
        one(kind, &directory.join(kind.name()), corpus, &plan, &every).map_err(named)?;
    }
    Ok(())
}

fn one(kind: Kind, directory: &Path, corpus: &Corpus, plan: &Plan, every: &[u32]) -> Result {
    let mut peer = kind.open(directory, Cache::Holds, Feed::With)?;
    let mut lists = Lists::new(plan, corpus, every);
    peer.load(plan, corpus)?;
    let check = |what: &str, peer: &dyn Peer, lists: &Lists| {
        alike(peer, lists, plan, every).map_err(|error| format!("{what}: {error}"))
    };
    check("after loading", &*peer, &lists)?;

    for (way, first) in [(Way::Connection, 0), (Way::Grouped, 500)] {
        let mut writer = peer.writer(way)?;
        for (session, size) in every.iter().zip([1, 7, 60].into_iter().cycle()) {
            let drafts = corpus.messages(1_000 + session, first + 1, size);
            writer.append(*session, &drafts)?;
            lists.append(*session, &drafts);
        }
    }
    check("after appending", &*peer, &lists)?;

    let mut gone = Vec::new();
    for session in [0, 3, 7] {
        let numbers: Vec<u32> = (1..=lists.last(session)).filter(|number| number % 10 == 3).collect();
        peer.delete(session, &numbers)?;
        lists.delete(session, &numbers);
        gone.push(session);
        check("after deleting", &*peer, &lists)?;
    }
    for cache in [Cache::Default, Cache::Holds] {
        peer.reopen(cache)?;
        check("after reopening", &*peer, &lists)?;
    }
    let mut reader = peer.reader()?;
    // Sessions whose whole feed is in one read, and tells of nothing else than messages and a turn.
    for session in every.iter().filter(|session| lists.last(**session) < 900 && !gone.contains(*session)) {
        let (told, written) = (reader.messages_in_feed(*session)?, lists.last(*session));
        if told != written {
            return Err(format!("session {session}: its feed tells of {told} messages, not {written}").into());
        }
    }
    Ok(())
}

/// Compares the answers of a peer with plain lists, for the sessions that those know.
pub fn alike(peer: &dyn Peer, lists: &Lists, plan: &Plan, sessions: &[u32]) -> Result {
    let (mut reader, mut plain) = (peer.reader()?, FloorReader::new(lists));
    let shown = lists.active().min(PAGE as usize);
    let (found, expected) = (reader.sessions()?.found()?, plain.sessions()?.found()?);
    let names = |found: &Found<Listed>| {
        let named = |listed: &Listed| (listed.key.clone(), listed.last);
        (found.total, found.items.iter().take(shown).map(named).collect::<Vec<_>>())
    };
    same("sessions", names(&found), names(&expected))?;
    for &session in sessions {
        let named = |error| format!("session {session}: {error}");
        one_session(&mut *reader, &mut plain, session, plan.standing(session)).map_err(named)?;
    }
    Ok(())
}

fn one_session(reader: &mut dyn Reader, plain: &mut FloorReader<'_>, session: u32, standing: Standing) -> Result {
    for limit in [1, 3, 1000] {
        let (found, expected) = (reader.history(session, limit)?, plain.history(session, limit)?);
        same(&format!("history of {limit}"), said(&found.found()?), said(&expected.found()?))?;
    }
    let all = reader.history(session, 1000)?.found()?.items;
    rising(&all)?;
    let filters = Wanted::ALL.map(Filter::session);
    let threaded = Wanted::ALL.map(Filter::thread);
    for filter in filters.iter().chain(threaded.iter().filter(|_| standing == Standing::Threaded)) {
        let pages = plain.page(session, *filter, 1)?.found()?.total.div_ceil(u64::from(PAGE));
        for page in [1, 2, pages / 2, pages * 95 / 100, pages, pages + 1].into_iter().filter(|page| *page > 0) {
            let (found, expected) = (reader.page(session, *filter, page)?, plain.page(session, *filter, page)?);
            same(&format!("{filter:?}, page {page}"), said(&found.found()?), said(&expected.found()?))?;
        }
        let cursors = all.iter().rev().step_by((all.len() / CURSORS).max(1));
        for cursor in cursors.chain(all.iter().rev().take(2)) {
            // A `ts` is a peer's own; the number of its message is everyone's.
            let found = reader.poll(session, *filter, cursor.ts)?;
            let expected = plain.poll(session, *filter, u64::from(cursor.number))?;
            let what = format!("{filter:?}, after message {}", cursor.number);
            same(&what, said(&found.found()?), said(&expected.found()?))?;
        }
    }
    Ok(())
}

/// What everyone must agree on: ids and times are a peer's own.
type Said<'a> = (u64, Vec<(u32, u8, u32, &'a str)>);

fn said(found: &Found<Row>) -> Said<'_> {
    let row = |row: &Row| (row.number, row.class.number(), row.thread);
    (
        found.total,
        found
            .items
            .iter()
            .map(|item| {
                let (n, c, t) = row(item);
                (n, c, t, item.text.as_str())
            })
            .collect(),
    )
}

fn rising(rows: &[Row]) -> Result {
    match rows.windows(2).find(|pair| pair[0].ts >= pair[1].ts || pair[0].id == pair[1].id) {
        Some(pair) => Err(format!("message {} has ts {}, the next {}", pair[0].number, pair[0].ts, pair[1].ts).into()),
        None => Ok(()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result {
    if found == expected {
        return Ok(());
    }
    let short = |value: T| format!("{value:?}").chars().take(400).collect::<String>();
    Err(format!("{what}: found {}, expected {}", short(found), short(expected)).into())
}

/// Counts the messages of these sessions: none that was acknowledged is missing.
pub fn messages(peer: &dyn Peer, sessions: impl Iterator<Item = u32>) -> Result<u64> {
    let mut reader = peer.reader()?;
    let mut total = 0;
    for session in sessions {
        total += reader.page(session, Filter::session(Wanted::All), 1)?.found()?.total;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_answers_alike() {
        let directory = tempfile::tempdir().unwrap();
        small(directory.path(), &Corpus::new(1)).unwrap();
    }

    #[test]
    fn a_message_that_is_missing_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let (corpus, plan) = (Corpus::new(1), Plan::small());
        let mut peer = Kind::Lmdb.open(directory.path(), Cache::Holds, Feed::Without).unwrap();
        peer.load(&plan, &corpus).unwrap();
        let mut lists = Lists::new(&plan, &corpus, &[5]);
        alike(&*peer, &lists, &plan, &[5]).unwrap();
        peer.delete(5, &[17]).unwrap();
        lists.delete(5, &[18]);
        let error = alike(&*peer, &lists, &plan, &[5]).unwrap_err().to_string();
        assert!(error.starts_with("session 5: history of 1000"), "{error}");
    }
}
