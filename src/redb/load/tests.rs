//! What strangers bring is held to itself: each record to the others of its session.

use uuid::Uuid;

use super::*;
use crate::error::ErrorKind;
use crate::id::{OwnerId, Stamp};
use crate::limit::{TOOL_NAME_BYTES, TS_MICROS_MAX};
use crate::record::{ContextMark, NewMessage, NewSession, NewTurn, Usage};
use crate::redb::archive::open;
use crate::redb::codec::{self, ArchiveRow, CHANGE_MARK, CHANGE_MESSAGE, ChunkRow, TurnRow};
use crate::redb::tables::{Table, archives};
use crate::redb::{Options, RedbStore};
use crate::store::{
    ArchiveSession, Behaviour, CreateSession, DeleteMessage, Emit, EnsureAgent, EnsureWorkspace, Finish, Outcome,
    Purge, Runner, SessionRef, SetContextMark, Store,
};
use crate::time::Timestamp;

/// When all of it is.
const MICROS: u64 = 1_777_573_302_000_000;

fn stamp() -> Stamp {
    Stamp::random(Timestamp::from_micros(MICROS))
}

/// A store with the archive of a session whose turn wrote two messages and an answer, and the archive's stream.
fn archived() -> (RedbStore, Vec<u8>) {
    let store = RedbStore::in_memory(Options::default()).expect("a store");
    let workspace = EnsureWorkspace { stamp: stamp(), name: "acme".into() };
    let workspace = store.ensure_workspace(workspace).expect("a workspace").id;
    let agent = EnsureAgent { stamp: stamp(), workspace, name: "greeter".into() };
    let agent = store.ensure_agent(agent).expect("an agent").id;
    let owner = OwnerId::from_uuid(Uuid::from_u128(1));
    let runner = Runner { owner, lease: None, behaviour: Behaviour::Registered };
    let first = Some((NewTurn::from("question"), runner));
    let op = CreateSession { stamp: stamp(), workspace, agent, new: NewSession::default(), first };
    let created = store.create_session(op).expect("a session");
    let at = SessionRef { workspace, session: created.session.id };
    let claim = created.first.and_then(|first| first.claim).expect("its turn is running");
    let messages = vec![NewMessage::text("one"), NewMessage::text("two")];
    let (stamped, usage) = (stamp(), Usage::ZERO);
    let op = Emit { stamp: stamped, at, claim, started_at: stamped.at, messages, usage };
    let gone = store.emit(op).expect("they are written").remove(0).id;
    store.delete_message(DeleteMessage { stamp: stamp(), at, message: gone }).expect("it is deleted");
    assert_eq!(store.purge(Purge { stamp: stamp(), at, message: None }).expect("it is erased"), 1);
    let outcome = Outcome::Completed(Some(Box::new(NewMessage::text("answer"))));
    let op = Finish { stamp: stamp(), at, claim, started_at: None, outcome, usage, next: None };
    store.finish(op).expect("it ends");
    for message in [1, 2] {
        let mark = Some(ContextMark::new(message, "what was said"));
        store.set_context_mark(SetContextMark { stamp: stamp(), at, claim: None, mark }).expect("it is set");
    }
    store
        .archive_session(ArchiveSession { stamp: stamp(), at, only_at: None }, &mut |_| ControlFlow::Continue(()))
        .expect("an archive");
    let stream = store.read(stream).expect("it is read");
    (store, stream)
}

/// What archive 1 says.
fn stream(view: &dyn Read) -> Result<Vec<u8>> {
    let key = archives::row(1);
    let (id, chunks) = view
        .row(Table::Archives, &key, |value| {
            let row: ArchiveRow<'_> = codec::decode(Table::Archives, &key, value)?;
            Ok((row.id, row.chunks))
        })?
        .expect("it is there");
    let mut stream = Vec::new();
    for chunk in 0..chunks {
        let key = archives::chunk(1, chunk);
        let part = view.row(Table::Archives, &key, |value| {
            open(&id, chunk, &codec::decode::<ChunkRow<'_>>(Table::Archives, &key, value)?)
        })?;
        stream.extend(part.expect("it is there"));
    }
    Ok(stream)
}

/// Loads a stream, below a number that nothing has.
fn load(store: &RedbStore, stream: &[u8], trust: Trust) -> Result<()> {
    let (mut loader, mut unread) = (Loader::new(99, trust), Unread::default());
    unread.feed(stream);
    let (_, went) = store.read(|view| step(&mut loader, view, &mut unread))?;
    assert!(went.is_continue(), "one step takes it all in");
    loader.finish().map(drop)
}

/// The same stream with altered records.
fn altered(stream: &[u8], alter: &dyn Fn(&mut Record<'_>)) -> Vec<u8> {
    let (mut unread, mut out) = (Unread::default(), Vec::new());
    unread.feed(stream);
    while let Some(mut record) = unread.next().expect("it is sound") {
        alter(&mut record);
        record.push(&mut out).expect("it is written");
    }
    out
}

fn of_turns(alter: impl Fn(&mut TurnRow<'_>)) -> impl Fn(&mut Record<'_>) {
    move |record| {
        if let Record::Turn(row) = record {
            alter(row);
        }
    }
}

/// Gives messages of one kind another.
fn of_kind(kind: u8, other: u8) -> impl Fn(&mut Record<'_>) {
    move |record| match record {
        Record::Message(row, _) if row.kind == kind && row.role == 2 => row.kind = other,
        _ => {}
    }
}

/// Longer than any name.
const LONG: &str = match std::str::from_utf8(&[b'x'; TOOL_NAME_BYTES + 1]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

/// What is altered, and how.
type Alteration<'a> = (&'a str, &'a dyn Fn(&mut Record<'_>));

#[test]
fn what_a_stranger_says_twice_is_to_be_the_same() {
    let (store, stream) = archived();
    load(&store, &stream, Trust::Strangers).expect("nothing is wrong");
    let alterations: [Alteration<'_>; 19] = [
        ("a message more", &of_turns(|row| row.messages += 1)),
        ("a message less", &of_turns(|row| row.messages -= 1)),
        ("another attempt", &of_turns(|row| row.attempt += 1)),
        ("no attempt", &of_turns(|row| row.attempt = 0)),
        ("a reason", &of_turns(|row| row.reason = 1)),
        ("a start before the beginning", &of_turns(|row| row.started_at = Some(1))),
        ("an end before the beginning", &of_turns(|row| row.ended_at = Some(row.created_at - 1))),
        ("a final message that is none", &of_kind(2, 1)),
        ("two that are", &of_kind(1, 2)),
        ("words of what was erased", &|record| {
            if let Record::Message(row, Kept::Deleted) = record {
                (row.body.form, row.body.content) = (1, "a word");
            }
        }),
        ("a busy session", &|record| {
            if let Record::Head(row) = record {
                row.queued = 1;
            }
        }),
        ("a session that changed before it was made", &|record| {
            if let Record::Head(row) = record {
                row.updated_at = 1;
            }
        }),
        ("a ts that leaves no room", &|record| {
            if let Record::Message(row, _) = record {
                row.ts = TS_MICROS_MAX;
            }
        }),
        ("a message of after the last change", &|record| {
            if let Record::Message(row, _) = record {
                row.created_at += 1 << 40;
            }
        }),
        ("a ts that leaves no room, in the head as well", &|record| match record {
            Record::Message(row, _) => row.ts += TS_MICROS_MAX - 100 - MICROS,
            Record::Head(row) => row.last_ts += TS_MICROS_MAX - 100 - MICROS,
            _ => {}
        }),
        ("messages of after the last change, in the head as well", &|record| match record {
            Record::Message(row, _) => row.created_at += 1 << 40,
            Record::Head(row) => row.last_created_at += 1 << 40,
            _ => {}
        }),
        ("a name that is too long", &|record| {
            if let Record::Message(row, Kept::Shown) = record {
                row.body.name = Some(LONG);
            }
        }),
        ("a mark, of earlier, past the end", &|record| {
            if let Record::Change(row) = record
                && (row.kind, row.number) == (CHANGE_MARK, 1)
            {
                row.number = 1000;
            }
        }),
        ("a state of a message", &|record| {
            if let Record::Change(row) = record
                && row.kind == CHANGE_MESSAGE
            {
                row.state = 1;
            }
        }),
    ];
    for (what, alter) in alterations {
        let wrong = altered(&stream, alter);
        assert!(wrong != stream, "{what}: nothing was altered");
        let refused = load(&store, &wrong, Trust::Strangers).expect_err(what);
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{what}: {refused}");
    }
}

#[test]
fn what_this_store_archived_comes_back_though_it_was_damaged_before() {
    let (store, stream) = archived();
    let miscounted = altered(&stream, &of_turns(|row| row.messages += 1));
    load(&store, &miscounted, Trust::Ours).expect("verification names it, nobody refuses it");
}
