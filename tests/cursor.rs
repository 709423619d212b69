//! Keyset pages: a cursor goes on, forwards or backwards, and neither skips nor repeats.

use std::sync::Arc;

use parlor::page::{Cursor, Direction, MessagePage, MessageQuery, Roles, Types};
use parlor::testkit::{ModelStore, redb_store_in_blocks};
use parlor::{Engine, ErrorKind, MessageType, NewMessage, NewSession, Role, Session};
use proptest::prelude::*;

/// An engine over the redb store, in blocks so small that a few messages fill many.
fn redb() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = redb_store_in_blocks(dir.path().join("a.parlor"), 4).expect("the store opens");
    (dir, Engine::builder("unused").open_store(store).expect("the engine opens"))
}

fn session(engine: &Engine) -> Session {
    let agent = engine.workspace("acme").and_then(|workspace| workspace.agent("nobody")).expect("an agent");
    agent.create_session(NewSession::default()).expect("a session")
}

/// Messages of changing roles and types, each saying its number.
fn append(session: &Session, numbers: std::ops::Range<usize>) {
    let message = |n: usize| {
        let kinds = [MessageType::Message, MessageType::FinalMessage, MessageType::ToolCall];
        NewMessage::text(n.to_string()).role(Role::ALL[n % 4]).kind(kinds[n / 4 % 3])
    };
    session.append(numbers.map(message)).expect("they are appended");
}

fn page(session: &Session, query: MessageQuery) -> MessagePage {
    session.messages(query).page().expect("a page")
}

fn texts(page: &MessagePage) -> Vec<String> {
    page.items.iter().map(|message| message.text()).collect()
}

#[test]
fn a_walk_by_cursor_sees_what_was_there_once_however_much_is_written_between() {
    let (_dir, engine) = redb();
    for direction in Direction::ALL {
        let session = session(&engine);
        append(&session, 0..37);
        let query = MessageQuery::all().direction(direction).limit(5);
        let (mut seen, mut at, mut written) = (Vec::new(), page(&session, query), 37);
        loop {
            seen.extend(texts(&at));
            append(&session, written..written + 3);
            written += 3;
            if seen.len() > 60 {
                break;
            }
            let Some(next) = at.next else { break };
            at = page(&session, query.cursor(next));
        }
        let due: Vec<String> = match direction {
            // Going with the writers, it sees what they add; against them, what was there.
            Direction::Asc => (0..seen.len()).map(|n| n.to_string()).collect(),
            Direction::Desc => (0..37).rev().map(|n| n.to_string()).collect(),
        };
        assert_eq!(seen, due, "{direction:?}");
    }
    engine.close().expect("it closes");
}

#[test]
fn back_leads_to_the_pages_that_came_before() {
    let (_dir, engine) = redb();
    let session = session(&engine);
    append(&session, 0..23);
    for direction in Direction::ALL {
        let query = MessageQuery::all().direction(direction).limit(4);
        let mut pages = vec![page(&session, query)];
        while let Some(next) = pages.last().and_then(|page| page.next) {
            pages.push(page(&session, query.cursor(next)));
        }
        assert_eq!(pages.len(), 6);
        assert_eq!(pages.iter().map(|page| page.meta.page).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        let mut at = pages.pop().expect("a last page");
        while let Some(prev) = at.prev {
            at = page(&session, query.cursor(prev));
            let due = pages.pop().expect("a page before");
            assert_eq!((texts(&at), at.next, at.prev), (texts(&due), due.next, due.prev));
        }
        assert!(pages.is_empty());
    }
    engine.close().expect("it closes");
}

#[test]
fn deleting_the_message_at_the_edge_loses_no_other() {
    let (_dir, engine) = redb();
    let session = session(&engine);
    append(&session, 0..12);
    let query = MessageQuery::all().direction(Direction::Asc).limit(4);
    let first = page(&session, query);
    session.delete_message(page(&session, query.page(2)).items[0].id).expect("the one after it is deleted");
    session.delete_message(first.items[3].id).expect("so is the one at the edge");
    assert_eq!(texts(&page(&session, query.cursor(first.next.expect("more")))), ["5", "6", "7", "8"]);
    engine.close().expect("it closes");
}

#[test]
fn a_cursor_of_another_listing_is_invalid_and_never_a_wrong_page() {
    let (_dir, engine) = redb();
    let (one, other) = (session(&engine), session(&engine));
    append(&one, 0..10);
    append(&other, 0..10);
    let query = MessageQuery::all().limit(3);
    let cursor = page(&one, query).next.expect("more");
    let wrong = [
        (&other, query),
        (&one, query.direction(Direction::Asc)),
        (&one, query.types(MessageType::Message)),
        (&one, query.roles(Role::User)),
        (&one, query.gts(page(&one, query).items[2].ts)),
    ];
    for (session, query) in wrong {
        let error = session.messages(query.cursor(cursor)).page().expect_err("another listing");
        assert_eq!(error.kind(), ErrorKind::InvalidCursor, "{query:?}: {error}");
        assert_eq!(error.http(), Some((400, "VALIDATION")));
    }
    let both = one.messages(query.cursor(cursor).page(2)).page().expect_err("page and cursor");
    assert_eq!(both.kind(), ErrorKind::InvalidArgument);
    assert_eq!(page(&one, query.limit(2).cursor(cursor)).items.len(), 2, "the page size may change");
    engine.close().expect("it closes");
}

#[test]
fn a_thread_has_a_listing_of_its_own() {
    let engine = Engine::builder("unused").agent_fn("nobody", |_| Ok("answer"));
    let engine = engine.open_store(Arc::new(ModelStore::new())).expect("it opens");
    let session = session(&engine);
    let turn = session.send("question").expect("it is sent");
    turn.wait().expect("it ends");
    let thread = session.thread(turn.thread_id()).expect("its thread");
    let query = MessageQuery::all().limit(1);
    let cursor = thread.messages(query).page().expect("a page").next.expect("more");
    assert_eq!(thread.messages(query.cursor(cursor)).page().expect("a page").items[0].text(), "question");
    let filtered = session.messages(query.thread(turn.thread_id()).cursor(cursor)).page();
    assert_eq!(filtered.expect_err("the session's form is another").kind(), ErrorKind::InvalidCursor);
    engine.close().expect("it closes");
}

#[test]
fn text_that_is_no_cursor_is_invalid() {
    let (_dir, engine) = redb();
    let session = session(&engine);
    append(&session, 0..3);
    let cursor = page(&session, MessageQuery::all().limit(1)).next.expect("more");
    let text = cursor.to_string();
    assert_eq!(text.parse::<Cursor>().expect("it reads back"), cursor);
    assert!(text.len() <= parlor::limit::CURSOR_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let upper = text.to_uppercase();
    let long = "a".repeat(1 << 20);
    for text in ["", "0", &text[1..], &text[..text.len() - 2], &upper, &long, "ü", &"0".repeat(text.len())] {
        let error = text.parse::<Cursor>().expect_err("it is no cursor");
        assert_eq!(error.kind(), ErrorKind::InvalidCursor, "{error}");
        assert!(error.to_string().len() < 200, "the error does not repeat it");
    }
    for at in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
        let altered = String::from_utf8(altered).expect("it is text");
        assert!(altered.parse::<Cursor>().is_err(), "altered at {at}");
    }
    engine.close().expect("it closes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From any page, by any mix of steps on and back, with deletions and appends between, a page
    /// is what stands there: no message twice, none left out that was there throughout.
    #[test]
    fn any_walk_agrees_with_the_whole_listing(
        steps in proptest::collection::vec((0..4_u8, 1..7_u32), 1..40),
        types in 1..8_usize, roles in 1..16_usize, asc in any::<bool>(),
    ) {
        let (_dir, engine) = redb();
        let session = session(&engine);
        append(&session, 0..40);
        let types: Types = MessageType::ALL.into_iter().enumerate().filter(|(n, _)| types & 1 << n != 0).map(|(_, t)| t).collect();
        let roles: Roles = Role::ALL.into_iter().enumerate().filter(|(n, _)| roles & 1 << n != 0).map(|(_, r)| r).collect();
        let direction = if asc { Direction::Asc } else { Direction::Desc };
        let query = MessageQuery::default().types(types).roles(roles).direction(direction);
        let mut written = 40;
        let mut at = page(&session, query.limit(5));
        for (step, size) in steps {
            let all: Vec<_> = session.messages(query).iter().collect::<Result<Vec<_>, _>>().expect("a walk");
            match step {
                0 => {
                    append(&session, written..written + size as usize);
                    written += size as usize;
                }
                1 => if let Some(message) = all.get(size as usize) {
                    session.delete_message(message.id).expect("it is deleted");
                },
                2 => if let Some(next) = at.next {
                    let edge = at.items.last().map(|message| message.number);
                    at = page(&session, query.limit(size).cursor(next));
                    let due: Vec<_> = all.iter().filter(|message| edge.is_none_or(|edge| {
                        if asc { message.number > edge } else { message.number < edge }
                    })).take(size as usize).cloned().collect();
                    prop_assert_eq!(&at.items, &due);
                },
                _ => if let Some(prev) = at.prev {
                    let edge = at.items.first().map(|message| message.number);
                    at = page(&session, query.limit(size).cursor(prev));
                    let before: Vec<_> = all.iter().filter(|message| edge.is_none_or(|edge| {
                        if asc { message.number < edge } else { message.number > edge }
                    })).cloned().collect();
                    let from = before.len().saturating_sub(size as usize);
                    prop_assert_eq!(&at.items[..], &before[from..]);
                },
            }
        }
        engine.close().expect("it closes");
    }
}
