//! Listings: by page, message by message, by cursor, and past what is damaged.

mod support;

use std::sync::Arc;

use parlor::id::ThreadId;
use parlor::page::{Direction, MessageQuery, Roles, SessionsCursor, Types};
use parlor::store::Store;
use parlor::{Engine, ErrorKind, MessageType, NewMessage, NewSession, PageQuery, Role, Session, ToolCall};
use support::{Faulty, echo, on_every_store, session};

/// Writes a system prompt, two turns and a tool's result: 6 messages in 2 threads.
fn conversation(engine: &Engine) -> (Session, [ThreadId; 2]) {
    let session = session(engine, "echo");
    session.append([NewMessage::text("Be brief.").role(Role::System)]).unwrap();
    let threads = ["one", "two"].map(|text| {
        let turn = session.send(text).unwrap();
        turn.wait().unwrap();
        turn.thread_id()
    });
    let call = ToolCall::new("c", "lookup", "{}");
    session.append_to(threads[0], [NewMessage::result(&call, "found")]).unwrap();
    (session, threads)
}

#[test]
fn a_listing_shows_what_it_is_asked_for_page_by_page_or_one_by_one() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (session, [first, second]) = conversation(&engine);
        let all = MessageQuery::all().direction(Direction::Asc);
        let whole = ["Be brief.", "one", "one", "two", "two", "found"];
        let cases: [(MessageQuery, &[&str]); 9] = [
            (().into(), &["two", "one"]),
            (Direction::Asc.into(), &["one", "two"]),
            (all, &whole),
            (all.roles(Role::System), &["Be brief."]),
            (all.roles(Roles::only(Role::User).with(Role::Tool)), &["one", "two", "found"]),
            (all.types(MessageType::ToolCall), &["found"]),
            (all.types(Types::only(MessageType::FinalMessage)), &["one", "two"]),
            (all.thread(first), &["one", "one", "found"]),
            (all.thread(second), &["two", "two"]),
        ];
        for (query, expected) in cases {
            for limit in [1, 2, 100] {
                let query = query.limit(limit);
                let listing = session.messages(query);
                let walked: Vec<_> = listing.iter().map(|message| message.unwrap().text()).collect();
                assert_eq!(walked, expected, "{query:?}");
                let mut paged = Vec::new();
                for page in 1.. {
                    let page = session.messages(query.page(page)).page().unwrap();
                    assert_eq!(page.meta.total, expected.len() as u64);
                    if page.items.is_empty() {
                        break;
                    }
                    paged.extend(page.items.iter().map(|message| message.text()));
                }
                assert_eq!(paged, expected, "{query:?}");
            }
        }
        // It begins with the page that was asked for.
        let rest: Vec<_> = (&session.messages(all.limit(2).page(2))).into_iter().map(|m| m.unwrap().text()).collect();
        assert_eq!(rest, whole[2..]);

        let thread = session.thread(first).unwrap();
        assert_eq!((thread.id(), thread.record().session_id), (first, session.id()));
        // The thread of the query has no say there; the link repeats what was given all the same.
        let page = thread.messages(all.thread(second)).page().unwrap();
        assert_eq!(page.items.iter().map(|m| m.text()).collect::<Vec<_>>(), ["one", "one", "found"]);
        assert_eq!(page.this.query, all.thread(second));
        assert!(page.this.href("").contains(&format!("/threads/{first}/messages")));
        assert_eq!(thread.messages(all.limit(1)).iter().count(), 3);
        engine.close().unwrap();
    });
}

#[test]
fn a_cursor_reads_every_new_message_once() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (session, [thread, _]) = conversation(&engine);
        let mut seen = Vec::new();
        let mut page = session.messages(MessageQuery::all().limit(2)).page().unwrap();
        let of_thread = session.thread(thread).unwrap().messages(MessageQuery::all().limit(2)).page().unwrap();
        for text in ["three", "four"] {
            session.send(text).unwrap().wait().unwrap();
            session.append(["more", "and more"]).unwrap();
            loop {
                page = session.messages(page.new_messages.query).page().unwrap();
                if page.items.is_empty() {
                    break;
                }
                seen.extend(page.items.iter().map(|message| message.text()));
            }
        }
        assert_eq!(seen, ["three", "three", "more", "and more", "four", "four", "more", "and more"]);
        session.append_to(thread, ["for the thread"]).unwrap();
        let next = session.thread(thread).unwrap().messages(of_thread.new_messages.query).page().unwrap();
        assert_eq!(next.items.iter().map(|m| m.text()).collect::<Vec<_>>(), ["for the thread"]);
        engine.close().unwrap();
    });
}

#[test]
fn a_damaged_message_hides_no_other() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let store: Arc<dyn Store> = faulty.clone();
        let engine = echo(&store);
        let session = session(&engine, "echo");
        session.append((1..=7).map(|n| n.to_string())).unwrap();
        faulty.damage([1, 4, 5, 7]);
        for limit in 1..=8 {
            for (direction, expected) in
                [(Direction::Asc, ["", "2", "3", "", "", "6", ""]), (Direction::Desc, ["", "6", "", "", "3", "2", ""])]
            {
                let query = MessageQuery::all().limit(limit).direction(direction);
                let walked = session.messages(query).iter().map(|message| match message {
                    Ok(message) => message.text(),
                    Err(error) => {
                        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Corrupt, "it is damaged"));
                        String::new()
                    }
                });
                assert_eq!(walked.collect::<Vec<_>>(), expected, "{limit} a page, {direction:?}");
            }
        }
        let page = session.messages(MessageQuery::all().limit(3)).page().unwrap();
        assert_eq!((page.items.len(), page.damaged.len(), page.meta.total), (1, 2, 7));
        // A history is whole or an error.
        assert_eq!(session.history(7).unwrap_err().kind(), ErrorKind::Corrupt);
        engine.close().unwrap();
    });
}

#[test]
fn pages_of_sessions_lead_on_to_the_next_and_belong_to_one_list() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (acme, beta) = (engine.workspace("acme").unwrap(), engine.workspace("beta").unwrap());
        let (echo, other) = (acme.agent("echo").unwrap(), acme.agent("other").unwrap());
        for _ in 0..5 {
            echo.create_session(NewSession::default()).unwrap();
            other.create_session(NewSession::default()).unwrap();
        }
        let whole = acme.sessions(100).unwrap();
        assert_eq!((whole.items.len(), whole.next), (10, None));
        let (mut walked, mut query) = (Vec::new(), PageQuery::from(3));
        loop {
            let page = acme.sessions(query).unwrap();
            assert_eq!(page.meta.total, 10);
            walked.extend(page.items);
            let Some(next) = page.next else { break };
            query = PageQuery::after(next.to_string().parse().unwrap()).limit(3);
        }
        assert_eq!(walked, whole.items);

        let cursor = echo.sessions(2).unwrap().next.unwrap();
        assert_eq!(echo.sessions(PageQuery::after(cursor)).unwrap().items.len(), 3);
        let elsewhere = PageQuery::after(cursor);
        let refused = [
            acme.sessions(elsewhere).map(drop),
            beta.sessions(elsewhere).map(drop),
            other.sessions(elsewhere).map(drop),
            echo.archives(elsewhere).map(drop),
            acme.agents(elsewhere).map(drop),
            acme.sessions(1)
                .unwrap()
                .items
                .first()
                .map_or(Ok(()), |record| acme.session(record.id)?.turns(elsewhere).map(drop)),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidCursor);
        }
        assert_eq!(echo.sessions(elsewhere.page(2)).unwrap_err().kind(), ErrorKind::InvalidArgument);
        let text = cursor.to_string();
        for wrong in
            ["", &text[1..], &format!("{text}0"), &text.replacen(&text[40..41], "g", 1), &format!("02{}", &text[2..])]
        {
            assert_eq!(wrong.parse::<SessionsCursor>().unwrap_err().kind(), ErrorKind::InvalidCursor, "{wrong}");
        }
        engine.close().unwrap();
    });
}
