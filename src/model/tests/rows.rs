//! The arithmetic of rows: times, `ts`, numbers, listings, and what verification finds.

use super::*;
use crate::id::TurnId;
use crate::limit::CALLER_TS_MICROS;
use crate::page::{Direction, Roles};
use crate::record::{Role, SessionStatus, Ts, TurnState};
use crate::sync::Arc;

use super::super::session::Session;

#[test]
fn a_clock_that_steps_back_takes_no_time_back() {
    let on = Fixture::new();
    let before = on.append([NewMessage::text("a")]).unwrap().remove(0);
    let updated = on.record().updated_at;
    on.now.set(START - 1_000_000);
    let after = on.append([NewMessage::text("b")]).unwrap().remove(0);
    assert_eq!(after.created_at, before.created_at);
    assert_eq!(after.ts.as_micros(), before.ts.as_micros() + 1);
    assert_eq!(on.record().updated_at, updated);
    let turn = on.submit(Policy::Reject, "c").unwrap().turn;
    assert_eq!(turn.created_at, updated);
    let claim = on.store.0.lock().sessions[0].runs[0].claim.unwrap();
    on.emit(claim, [NewMessage::text("d")]).unwrap();
    assert_eq!(on.store.turn(on.at, turn.id).unwrap().started_at, Some(updated));
    assert_eq!(on.finish(claim, Outcome::Completed(None)).unwrap().ended_at, Some(updated));
}

#[test]
fn a_ts_is_the_callers_where_it_rises_and_else_one_more_than_the_last() {
    let now = START + 1_000_000;
    let cases: [(&[Option<u64>], &[u64]); 6] = [
        (&[None, None], &[now, now + 1]),
        (&[Some(0), Some(0)], &[1, 2]),
        (&[Some(5), Some(9), Some(9), Some(3)], &[5, 9, 10, 11]),
        (&[Some(5), None], &[5, now]),
        (&[Some(now + 7), None], &[now + 7, now + 8]),
        (&[Some(CALLER_TS_MICROS - 1), Some(1), None], &[CALLER_TS_MICROS - 1, CALLER_TS_MICROS, CALLER_TS_MICROS + 1]),
    ];
    for (given, expected) in cases {
        let on = Fixture::new();
        on.now.set(now - 1000);
        let new = given.iter().map(|ts| NewMessage { ts: ts.map(|ts| Ts::from_micros(ts).unwrap()), .."x".into() });
        let written = on.append(new.collect::<Vec<_>>()).unwrap();
        let ts: Vec<u64> = written.iter().map(|message| message.ts.as_micros()).collect();
        assert_eq!(ts, expected, "{given:?}");
    }
}

#[test]
fn a_clock_past_the_bound_of_ts_is_held_below_it() {
    let on = Fixture::new();
    on.now.set(CALLER_TS_MICROS + 5);
    let written = on.append([NewMessage::text("a"), NewMessage::text("b")]).unwrap();
    let ts: Vec<u64> = written.iter().map(|message| message.ts.as_micros()).collect();
    assert_eq!(ts, [CALLER_TS_MICROS - 1, CALLER_TS_MICROS]);
}

#[test]
fn a_deleted_message_is_hidden_and_keeps_its_number() {
    let on = Fixture::new();
    let written = on.append(["a", "b"].map(NewMessage::from)).unwrap();
    let last = on.record().last_change;
    on.delete(written[1].id).unwrap();
    on.refused(ErrorKind::NotFound, || on.delete(written[1].id));
    on.refused(ErrorKind::NotFound, || on.store.message(on.at, written[1].id));
    assert_eq!(on.changes_after(last), [ChangeKind::Deleted(written[1].id)]);
    assert_eq!((on.record().last_message, on.found(MessageQuery::all())), (2, vec![1]));
    let next = on.append([NewMessage::text("c").ts(written[1].ts)]).unwrap().remove(0);
    assert_eq!((next.number, next.ts.as_micros()), (3, written[1].ts.as_micros() + 1));
}

#[test]
fn a_listing_filters_counts_and_pages() {
    let on = Fixture::new();
    let claim = on.start(); // 1: user
    on.emit(claim, ["b", "c", "d"].map(NewMessage::from)).unwrap(); // 2, 3, 4: assistant
    on.finish(claim, Outcome::Completed(Some(Box::new("e".into())))).unwrap(); // 5: final
    on.append(["f", "g"].map(|text| NewMessage::text(text).role(Role::Assistant))).unwrap(); // 6, 7: no thread
    let thread = on.store.turn(on.at, claim.turn).unwrap().thread_id;
    let third = on.messages()[2].ts;
    let (by_default, all) = (MessageQuery::default(), MessageQuery::all().direction(Direction::Asc));
    let cases: [(MessageQuery, &[u32]); 8] = [
        (by_default, &[7, 6, 5, 4, 3, 2]),
        (by_default.limit(2).page(2), &[5, 4]),
        (by_default.limit(2).page(4), &[]),
        (by_default.page(u64::MAX).limit(100), &[]),
        (all, &[1, 2, 3, 4, 5, 6, 7]),
        (all.gts(third), &[4, 5, 6, 7]),
        (all.thread(thread).roles(Roles::only(Role::Assistant)), &[2, 3, 4, 5]),
        (all.roles(Role::System), &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(on.found(query), expected, "{query:?}");
    }
}

#[test]
fn a_total_minds_the_cursor_but_neither_page_nor_past() {
    let on = Fixture::new();
    let written = on.append(vec![NewMessage::text("x"); 5]).unwrap();
    let (asc, desc) = (Direction::Asc, Direction::Desc);
    let cases: [(Direction, u32, u64, &[u32]); 5] =
        [(asc, 2, 0, &[3, 4, 5]), (asc, 2, 1, &[4, 5]), (asc, 5, 0, &[]), (desc, 4, 0, &[3, 2]), (desc, 4, 1, &[2])];
    for (direction, past, offset, shown) in cases {
        let query = MessageQuery::all().gts(written[0].ts).direction(direction);
        let matching = Matching { past: Some(past), offset, ..query.matching().unwrap() };
        let matched = on.store.messages(on.at, matching).unwrap();
        let items: Vec<u32> = matched.items.iter().map(|message| message.number).collect();
        assert_eq!((items.as_slice(), matched.total, matched.newest), (shown, 4, Some(written[4].ts)));
    }
}

#[test]
fn sessions_are_listed_by_latest_activity_and_then_by_newest_id() {
    let on = Fixture::new();
    let second = on.session(NewSession::default());
    let third = on.session(NewSession::default());
    // The same microsecond for both: only their ids tell them apart.
    let now = on.now.get();
    on.append([NewMessage::text("x")]).unwrap();
    on.now.set(now);
    on.store.append(Append { stamp: on.stamp(), at: third, thread: None, messages: vec!["x".into()] }).unwrap();
    let expected = [on.at.session.max(third.session), on.at.session.min(third.session), second.session];
    let listed = on.sessions(on.workspace, Some(on.agent), PageAt::default()).unwrap();
    assert!(listed.items.iter().map(|session| session.id).eq(expected));
    let page = on.sessions(on.workspace, None, PageAt { page: 2, limit: 2 }).unwrap();
    assert_eq!((page.items[0].id, page.items.len(), page.total), (second.session, 1, 3));
}

#[test]
fn what_follows_from_other_rows_is_verified() {
    type Tamper = fn(&mut Session);
    let cases: [(&str, Tamper); 10] = [
        ("agent name", |session| session.base.agent_name.push('x')),
        ("latest time", |session| session.base.updated_at = Timestamp::from_micros(0)),
        ("a message's number", |session| drop(session.messages.remove(0))),
        ("order of ts", |session| session.messages.swap(0, 1)),
        ("message id", |session| session.messages.push(Arc::clone(&session.messages[0]))),
        ("events of deletions", |session| session.deleted.clear()),
        ("events of a turn", |session| session.changes.truncate(2)),
        ("messages", |session| Arc::make_mut(&mut session.runs[0]).turn.messages = 9),
        ("turn of its claim", |session| {
            Arc::make_mut(&mut session.runs[0]).claim.as_mut().unwrap().turn = TurnId::from_uuid(Uuid::nil());
        }),
        ("outbox", |session| session.outbox.clear()),
    ];
    for (what, tamper) in cases {
        let on = Fixture::new();
        let webhook = crate::Webhook { url: "http://x".into(), token: None, secret: None, include_messages: false };
        let turn = NewTurn::from("hello").webhook(webhook);
        let claim = on.submit(Policy::Reject, turn).unwrap().claim.unwrap();
        let said = on.emit(claim, [NewMessage::text("a")]).unwrap().remove(0);
        on.delete(said.id).unwrap();
        on.finish(claim, Outcome::Completed(Some(Box::new("b".into())))).unwrap();
        assert_eq!(on.store.verify().unwrap(), Vec::<String>::new());
        let whole = on.store.0.lock().sessions.clone();
        tamper(&mut on.store.0.lock().sessions[0]);
        let breaches = on.store.verify().unwrap();
        assert!(breaches.iter().any(|breach| breach.contains(what)), "{what}: {breaches:?}");
        on.store.0.lock().sessions = whole;
    }
}

#[test]
fn the_status_of_a_session_is_that_of_its_last_turn() {
    let on = Fixture::new();
    let fail = |claim| on.finish(claim, Outcome::Failed(crate::Reason::Error, None)).unwrap();
    assert_eq!(on.record().status, SessionStatus::Idle);
    let claim = on.start();
    assert_eq!((on.record().status, on.record().running_turn), (SessionStatus::Running, Some(claim.turn)));
    assert_eq!(fail(claim).state, TurnState::Failed);
    assert_eq!((on.record().status, on.record().running_turn), (SessionStatus::Error, None));
    for outcome in [Outcome::Completed(None), Outcome::Interrupted(crate::Reason::Closed)] {
        fail(on.start());
        assert_eq!(on.record().status, SessionStatus::Error);
        on.finish(on.start(), outcome).unwrap();
        assert_eq!(on.record().status, SessionStatus::Idle);
    }
}
