//! Archives of strangers.

use std::ops::ControlFlow;
use std::thread;

use parlor::limit::ARCHIVE_BYTES;
use parlor::testkit::{check_archive, pack_archive, unpack_archive};
use parlor::{Engine, Error, ErrorKind, ImportIds, NewMessage, NewSession, Progress, Session};

use super::agent;

/// An exported session of some messages, and the agent that had it, in a file of its own.
struct Exported {
    engine: Engine,
    stream: Vec<u8>,
    _dir: tempfile::TempDir,
}

impl Exported {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::builder(dir.path().join("a.parlor")).agent_fn("echo", |turn| Ok(turn.input().text()));
        let engine = engine.open().unwrap();
        let session = agent(&engine).create_session(NewSession::default().key("k")).unwrap();
        session.send("hello").unwrap().wait().unwrap();
        session.send("and again").unwrap().wait().unwrap();
        session.append((0..2000).map(|n| NewMessage::text(format!("{n} {}", "words ".repeat(40)))).take(1000)).unwrap();
        let archive = session.archive().unwrap();
        let mut stream = Vec::new();
        archive.export(&mut stream).unwrap();
        archive.delete().unwrap();
        Exported { engine, stream, _dir: dir }
    }

    #[track_caller]
    fn is_refused(&self, what: &str, stream: &[u8], kind: ErrorKind) -> Error {
        let refused = agent(&self.engine).import_archive(stream, ImportIds::Keep).unwrap_err();
        assert_eq!(refused.kind(), kind, "{what}: {refused}");
        assert_eq!(agent(&self.engine).archives(()).unwrap().meta.total, 0, "{what}: nothing of it shows");
        assert_eq!(agent(&self.engine).sessions(()).unwrap().meta.total, 0, "{what}: nothing of it shows");
        assert_eq!(self.engine.verify().unwrap(), Vec::<String>::new(), "{what}");
        refused
    }

    fn is_good(&self) {
        let archive = agent(&self.engine).import_archive(&self.stream[..], ImportIds::Keep).unwrap();
        assert_eq!(archive.restore().unwrap().history(1000).unwrap().len(), 1000);
    }
}

/// Bytes of the stream's header, with its checksum.
const HEADER: usize = 64;

/// The stream with its header changed, and its checksum made right again.
fn with_header(stream: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut stream = stream.to_vec();
    change(&mut stream[..HEADER - 8]);
    let sum = xxhash_rust::xxh3::xxh3_64(&stream[..HEADER - 8]);
    stream[HEADER - 8..HEADER].copy_from_slice(&sum.to_le_bytes());
    stream
}

#[test]
fn a_stream_that_was_tampered_with_is_refused_without_a_trace() {
    let exported = Exported::new();
    let stream = &exported.stream;
    let chunks = u32::from_le_bytes(stream[28..32].try_into().unwrap());
    assert!(chunks >= 2, "{chunks}");
    let first = HEADER + 16 + u32::from_le_bytes(stream[HEADER + 4..HEADER + 8].try_into().unwrap()) as usize;
    let second = first + 16 + u32::from_le_bytes(stream[first + 4..first + 8].try_into().unwrap()) as usize;
    let corrupt = |what: &str, stream: &[u8]| exported.is_refused(what, stream, ErrorKind::Corrupt);
    corrupt("another magic", &[&[b'x'][..], &stream[1..]].concat());
    corrupt("a header of another checksum", &[&stream[..20], &[stream[20] ^ 1], &stream[21..]].concat());
    corrupt(
        "chunks in each other's place",
        &[&stream[..HEADER], &stream[first..second], &stream[HEADER..first], &stream[second..]].concat(),
    );
    corrupt("a chunk twice", &[&stream[..first], &stream[HEADER..]].concat());
    corrupt("a chunk left out", &[&stream[..HEADER], &stream[first..]].concat());
    corrupt(
        "a chunk of another checksum",
        &[&stream[..first + 8], &[stream[first + 8] ^ 1], &stream[first + 9..]].concat(),
    );
    corrupt("a flipped bit", &[&stream[..first + 99], &[stream[first + 99] ^ 1], &stream[first + 100..]].concat());
    for cut in [0, 7, 40, HEADER, HEADER + 3, first - 1, first, first + 20, stream.len() - 1] {
        corrupt("a stream cut short", &stream[..cut]);
    }
    // Counts that lie, behind a checksum that is right.
    let le = |at: usize, value: &[u8]| {
        let value = value.to_vec();
        with_header(stream, move |header| header[at..at + value.len()].copy_from_slice(&value))
    };
    corrupt("more chunks", &le(28, &(chunks + 1).to_le_bytes()));
    corrupt("as many chunks as can be", &le(28, &u32::MAX.to_le_bytes()));
    corrupt("fewer chunks", &le(28, &(chunks - 1).to_le_bytes()));
    corrupt("fewer bytes", &le(32, &1000_u64.to_le_bytes()));
    corrupt("more bytes", &le(32, &ARCHIVE_BYTES.to_le_bytes()));
    corrupt("more records", &le(40, &u64::MAX.to_le_bytes()));
    corrupt("another checksum of it all", &le(48, &7_u64.to_le_bytes()));
    corrupt("another id", &le(12, &[9; 16]));
    exported.is_refused("too many bytes", &le(32, &u64::MAX.to_le_bytes()), ErrorKind::TooLarge);
    for (version, kind, text) in [
        (2_u32, ErrorKind::NewerFormat, "the archive has format 2; this library reads up to 1"),
        (0, ErrorKind::Corrupt, "the archive has format 0; this library reads 1"),
    ] {
        let error = exported.is_refused("another version", &le(8, &version.to_le_bytes()), kind);
        assert_eq!(error.to_string(), text);
    }
    // Lengths that lie about a chunk.
    for (at, what) in [(HEADER, "a chunk that says it is larger"), (HEADER + 4, "a block that says it is larger")] {
        for length in [u32::MAX, 1 << 20, 0] {
            corrupt(what, &[&stream[..at], &length.to_le_bytes(), &stream[at + 4..]].concat());
        }
    }
    exported.is_good();
}

/// A record of a stream: its kind and its row.
type Record = (u8, Vec<u8>);

fn records(mut records: &[u8]) -> Vec<Record> {
    let mut all = Vec::new();
    while let Some((&[kind, a, b, c, d], rest)) = records.split_first_chunk() {
        let (row, rest) = rest.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
        all.push((kind, row.to_vec()));
        records = rest;
    }
    all
}

fn stream_of(records: &[Record]) -> Vec<u8> {
    let record = |(kind, row): &Record| [&[*kind][..], &(row.len() as u32).to_le_bytes(), row].concat();
    pack_archive(&records.iter().flat_map(record).collect::<Vec<_>>(), 1 << 18).unwrap()
}

#[test]
fn records_that_contradict_each_other_are_refused_without_a_trace() {
    let exported = Exported::new();
    let sound = records(&unpack_archive(&exported.stream).unwrap());
    let at = |kind: u8| sound.iter().position(|(found, _)| *found == kind).unwrap();
    let refused = |what: &str, change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = sound.clone();
        change(&mut records);
        exported.is_refused(what, &stream_of(&records), ErrorKind::Corrupt);
    };
    let (session, head, thread, turn, message, change) = (0, 1, at(4), at(5), at(6), at(8));
    for (what, index) in [
        ("the session", session),
        ("the head", head),
        ("a thread", thread),
        ("a turn", turn),
        ("a message", message),
        ("an event", change),
    ] {
        refused(&format!("{what} left out"), &|records| drop(records.remove(index)));
        refused(&format!("{what} twice"), &|records| records.insert(index, records[index].clone()));
        refused(&format!("{what} at the end"), &|records| {
            let moved = records.remove(index);
            records.push(moved);
        });
        refused(&format!("{what} cut short"), &|records| {
            let length = records[index].1.len() - 1;
            records[index].1.truncate(length);
        });
        refused(&format!("{what} of another version"), &|records| records[index].1[0] = 9);
        refused(&format!("{what} of no kind"), &|records| records[index].0 = 99);
        refused(&format!("{what} of another kind"), &|records| records[index].0 = if index == thread { 8 } else { 4 });
    }
    refused("a message that was deleted without an event", &|records| records[message].0 = 7);
    refused("messages in another order", &|records| records.swap(message + 2, message + 3));
    refused("no event at the end that it was archived", &|records| {
        let length = records.len() - 1;
        records.truncate(length);
    });
    refused("another epoch than its turns ran", &|records| {
        // Behind the version and seven numbers, each as long as its first byte says.
        let skip = |at: usize, row: &[u8]| at + [1, 3, 5, 9][usize::from(row[at].saturating_sub(250))];
        let row = &mut records[head].1;
        let at = (0..7).fold(1, |at, _| skip(at, row));
        row[at] += 1;
    });
    refused("two threads of one id", &|records| {
        let [one, other] = [thread, thread + 1].map(|at| records[at].1[1..17].to_vec());
        for (_, row) in records.iter_mut() {
            let places: Vec<_> = (0..row.len().saturating_sub(15)).filter(|at| row[*at..*at + 16] == other).collect();
            places.into_iter().for_each(|at| row[at..at + 16].copy_from_slice(&one));
        }
    });
    // The id of the message; its ts.
    refused("an id of no kind", &|records| records[message].1[4..20].fill(0));
    refused("another id than its event's", &|records| records[message + 3].1[4] ^= 1);
    refused("a ts past the bound", &|records| records[message].1[20..28].fill(0x7f));
    exported.is_refused("a bomb", &pack_archive(&vec![0; 50 << 20], 1 << 18).unwrap(), ErrorKind::Corrupt);
    let long = [&[6_u8][..], &u32::MAX.to_le_bytes(), &[0; 100]].concat();
    exported.is_refused("a record of 4 GiB", &pack_archive(&long, 1 << 18).unwrap(), ErrorKind::Corrupt);
    exported.is_good();
}

#[test]
fn an_import_of_small_chunks_is_the_same_and_takes_no_more_steps() {
    let exported = Exported::new();
    let records = unpack_archive(&exported.stream).unwrap();
    for most in [100, 5000, usize::MAX] {
        let stream = pack_archive(&records, most).unwrap();
        let (mut steps, mut between) = (0, 0);
        let on = |progress: Progress| {
            (steps, between) = (steps + 1, between + usize::from(!progress.is_last()));
            ControlFlow::Continue(())
        };
        let archive = agent(&exported.engine).import_archive_with(&stream[..], ImportIds::New, on).unwrap();
        assert!(steps <= 2 + records.len() / (256 << 10), "{steps} steps for chunks of {most} bytes");
        assert!(most == usize::MAX || between > 0, "it says how far it is before it is at its end");
        let session: Session = archive.restore().unwrap();
        assert_eq!(session.history(1000).unwrap().len(), 1000);
        session.delete().unwrap();
    }
}

#[test]
fn whatever_the_bytes_an_import_is_whole_or_refused() {
    let cases = match std::env::var("PARLOR_LONG") {
        Ok(_) => 100_000,
        Err(_) => std::env::var("PARLOR_CASES").map_or(300, |cases| cases.parse().expect("a number")),
    };
    let first = std::env::var("PARLOR_FIRST").map_or(0, |first| first.parse().expect("a number"));
    let next = std::sync::atomic::AtomicU64::new(first);
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if case >= first + cases {
                        return;
                    }
                    check_archive(&bytes(case));
                }
            });
        }
    });
    println!("{cases} hostile streams");
}

/// Some bytes of a case: mostly few, so that what they change is little.
fn bytes(case: u64) -> Vec<u8> {
    let mut state = case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = 1 + 4 * (1 + next() % if case.is_multiple_of(5) { 60 } else { 4 });
    let mut bytes: Vec<u8> = (0..length).map(|_| (next() >> 32) as u8).collect();
    // Mostly the records of a sound archive, changed here and there.
    if !case.is_multiple_of(4) {
        bytes[0] |= 3;
    }
    bytes
}
