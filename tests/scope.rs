//! Scopes: what they find, what they list, and what they refuse.

mod support;

use parlor::id::{MessageId, SessionId, ThreadId, TurnId};
use parlor::page::MessageQuery;
use parlor::time::Duration;
use parlor::{
    ChangeKind, Content, Error, ErrorKind, Json, MessageType, NewMessage, NewSession, NewTurn, PageQuery, Role,
    SessionStatus, ToolCall, Ts, Webhook, limit,
};
use support::{echo, on_every_store, session, texts};
use uuid::Uuid;

const ABSENT: Uuid = Uuid::from_u128(7);

/// Checks the kind and the text of errors, each with the name of its case.
fn check<'a, T: std::fmt::Debug>(cases: impl IntoIterator<Item = (Result<T, Error>, ErrorKind, &'a str)>) {
    for (answer, kind, text) in cases {
        let error = answer.expect_err(text);
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    }
}

#[test]
fn names_make_or_find() {
    on_every_store(|store| {
        let engine = echo(&store);
        assert!(engine.find_workspace("acme").unwrap().is_none());
        let acme = engine.workspace("acme").unwrap();
        assert_eq!((acme.name(), engine.workspace("acme").unwrap().id()), ("acme", acme.id()));
        assert_eq!(engine.find_workspace("acme").unwrap().unwrap().id(), acme.id());
        assert_ne!(engine.workspace("Acme").unwrap().id(), acme.id());

        assert!(acme.find_agent("echo").unwrap().is_none());
        let agent = acme.agent("echo").unwrap();
        assert_eq!((agent.name(), agent.record().workspace_id), ("echo", acme.id()));
        assert_eq!(acme.find_agent("echo").unwrap().unwrap().id(), agent.id());
        assert_eq!(acme.agent("echo").unwrap().record(), agent.record());
        assert!(engine.workspace("Acme").unwrap().find_agent("echo").unwrap().is_none());
        for name in ["é".repeat(255), "a\0b".into()] {
            assert_eq!(engine.workspace(&name).unwrap().agent(&name).unwrap().name(), name);
        }
        engine.close().unwrap();
    });
}

#[test]
fn a_session_keeps_all_it_was_made_with() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (acme, json) = (engine.workspace("acme").unwrap(), |text: &str| Json::parse(text).unwrap());
        let agent = acme.agent("echo").unwrap();
        let new = NewSession::default()
            .key("telegram:42")
            .label("Kyoto")
            .chat_type("group")
            .last_channel("telegram")
            .origin(json("{\"a\": 1}"))
            .metadata(json("[2.50]"))
            .profile(json("null"));
        let session = agent.create_session(new.clone()).unwrap();
        let record = session.get().unwrap();
        assert_eq!((record.id, record.workspace_id, record.agent_id), (session.id(), acme.id(), agent.id()));
        assert_eq!((session.agent_id(), session.agent_name(), session.workspace_id()), (agent.id(), "echo", acme.id()));
        assert_eq!((Some(record.key), record.label), (new.key, new.label));
        assert_eq!((record.chat_type, record.last_channel), (new.chat_type, new.last_channel));
        assert_eq!((record.origin, record.metadata, record.profile), (new.origin, new.metadata, new.profile));
        assert_eq!((record.status, record.last_message), (SessionStatus::Idle, 0));

        for found in [acme.session(session.id()), agent.session(session.id()), agent.session_by_key("telegram:42")] {
            assert_eq!(found.unwrap().id(), session.id());
        }
        let plain = agent.create_session(NewSession::default()).unwrap();
        assert_eq!(plain.get().unwrap().key, plain.id().to_string());
        // A key is an agent's: another one may use it too.
        let other = acme.agent("other").unwrap().create_session(NewSession::default().key("telegram:42")).unwrap();
        assert_eq!(agent.session_by_key("telegram:42").unwrap().id(), session.id());
        let ids = |page: parlor::page::Page<parlor::SessionRecord>| page.items.iter().map(|s| s.id).collect::<Vec<_>>();
        session.append(["newest activity"]).unwrap();
        assert_eq!(ids(agent.sessions(()).unwrap()), [session.id(), plain.id()]);
        assert_eq!(ids(acme.sessions(()).unwrap()), [session.id(), other.id(), plain.id()]);
        let second = acme.sessions((2, 2)).unwrap();
        assert_eq!((second.meta.total, second.meta.total_pages), (3, 2));
        assert_eq!(ids(second), [plain.id()]);
        assert_eq!(ids(acme.sessions((9, 2)).unwrap()), []);
        engine.close().unwrap();
    });
}

#[test]
fn what_is_not_there_or_not_yours_is_not_found() {
    on_every_store(|store| {
        let engine = echo(&store);
        let ours = session(&engine, "echo");
        let sibling = session(&engine, "echo");
        let (acme, rival) = (engine.workspace("acme").unwrap(), engine.workspace("rival").unwrap());
        let turn = sibling.send("hello").unwrap();
        turn.wait().unwrap();
        let (message, thread) = (turn.message_id(), turn.thread_id());

        let absent = |text: &str| text.parse::<Uuid>().unwrap_or(ABSENT);
        let sessions = [
            acme.session(SessionId::from_uuid(absent(""))),
            rival.session(ours.id()),
            acme.agent("other").unwrap().session(ours.id()),
            rival.agent("echo").unwrap().session(ours.id()),
            acme.agent("echo").unwrap().session_by_key("no such key"),
            acme.agent("other").unwrap().session_by_key(&ours.id().to_string()),
            rival.agent("echo").unwrap().session_by_key(&ours.id().to_string()),
        ];
        let in_session = |message: MessageId, thread: ThreadId, turn: TurnId| {
            [
                ours.message(message).err(),
                ours.delete_message(message).err(),
                ours.thread(thread).err(),
                ours.append_to(thread, ["x"]).err(),
                ours.send(NewTurn::from("x").thread(thread)).err(),
                ours.messages(MessageQuery::all().thread(thread)).page().err(),
                ours.turn(turn).err(),
            ]
        };
        let errors = sessions.map(Result::err).into_iter();
        let errors = errors.chain(in_session(message, thread, turn.id()));
        let errors = errors.chain(in_session(
            MessageId::from_uuid(ABSENT),
            ThreadId::from_uuid(ABSENT),
            TurnId::from_uuid(ABSENT),
        ));
        for (case, error) in errors.enumerate() {
            let error = error.unwrap_or_else(|| panic!("case {case} found something"));
            assert!(error.is_not_found() && error.to_string().ends_with(" not found"), "case {case}: {error}");
        }
        assert_eq!(ours.get().unwrap().last_change, 1, "nothing was written");
        assert_eq!(texts(&sibling), ["hello", "hello"]);
        engine.close().unwrap();
    });
}

#[test]
fn a_value_out_of_bounds_is_refused_by_name() {
    use ErrorKind::{InvalidArgument, TooLarge};
    on_every_store(|store| {
        let engine = echo(&store);
        let (acme, session) = (engine.workspace("acme").unwrap(), session(&engine, "echo"));
        let agent = acme.agent("echo").unwrap();
        let long = |chars: usize| "é".repeat(chars);
        check([
            (engine.workspace("").map(drop), InvalidArgument, "workspace name has 0 characters; it must have 1 to 255"),
            (
                engine.find_workspace(&long(256)).map(drop),
                InvalidArgument,
                "workspace name has 256 characters; it must have 1 to 255",
            ),
            (acme.agent("").map(drop), InvalidArgument, "agent name has 0 characters; it must have 1 to 255"),
            (
                acme.find_agent(&long(256)).map(drop),
                InvalidArgument,
                "agent name has 256 characters; it must have 1 to 255",
            ),
        ]);

        let pages: [(PageQuery, &str); 3] = [
            ((0, 50).into(), "page is 0; it must be at least 1"),
            (0.into(), "limit is 0; it must be 1 to 100"),
            (101.into(), "limit is 101; it must be 1 to 100"),
        ];
        for (query, text) in pages {
            check([
                (acme.sessions(query).map(drop), InvalidArgument, text),
                (agent.sessions(query).map(drop), InvalidArgument, text),
                (session.turns(query).map(drop), InvalidArgument, text),
            ]);
            let mut of_messages = MessageQuery::default();
            (of_messages.page, of_messages.limit) = (query.page, query.limit);
            let query = of_messages;
            check([(session.messages(query).page().map(drop), InvalidArgument, text)]);
            let mut iter = session.messages(query).iter();
            check([(iter.next().unwrap().map(drop), InvalidArgument, text)]);
            assert!(iter.next().is_none());
        }
        check([
            (session.history(0).map(drop), InvalidArgument, "limit is 0; it must be 1 to 1000"),
            (session.history(1001).map(drop), InvalidArgument, "limit is 1001; it must be 1 to 1000"),
            (session.changes(0, 0).map(drop), InvalidArgument, "limit is 0; it must be 1 to 1000"),
            (session.changes(0, 1001).map(drop), InvalidArgument, "limit is 1001; it must be 1 to 1000"),
            (session.append([""; 0]).map(drop), InvalidArgument, "batch has 0 messages; it must have at least 1"),
            (
                session.append(vec!["x"; limit::BATCH_MESSAGES + 1]).map(drop),
                TooLarge,
                "batch has more than 1000 messages; it may have at most 1000 (BATCH_MESSAGES)",
            ),
        ]);
        assert_eq!(session.follow_up("first").unwrap_err().kind(), ErrorKind::BadRequest);
        assert_eq!(session.get().unwrap().last_change, 1, "nothing was written");
        assert_eq!(acme.sessions(()).unwrap().meta.total, 1);
        assert_eq!(session.append(vec!["x"; limit::BATCH_MESSAGES]).unwrap().len(), limit::BATCH_MESSAGES);
        engine.close().unwrap();
    });
}

#[test]
fn a_session_out_of_bounds_is_refused_by_name() {
    let long = "é".repeat(256);
    let new = NewSession::default;
    let cases = [
        (new().key(""), "session key has 0 characters; it must have 1 to 255"),
        (new().key(&*long), "session key has 256 characters; it must have 1 to 255"),
        (new().label(&*long), "session label has 256 characters; it must have 0 to 255"),
        (new().chat_type(&*long), "chat_type has 256 characters; it must have 0 to 255"),
        (new().last_channel(&*long), "last_channel has 256 characters; it must have 0 to 255"),
        (
            new().metadata(serde_json::json!("x".repeat(limit::SESSION_JSON_BYTES))),
            "metadata has 1048578 bytes; it may have at most 1048576",
        ),
        (new().id(Uuid::nil()), "session id is the nil UUID"),
    ];
    on_every_store(|store| {
        let engine = echo(&store);
        let agent = engine.workspace("acme").unwrap().agent("echo").unwrap();
        for (new, text) in &cases {
            check([
                (agent.create_session(new.clone()).map(drop), ErrorKind::InvalidArgument, *text),
                (agent.start_session(new.clone(), "hello").map(drop), ErrorKind::InvalidArgument, *text),
            ]);
        }
        assert_eq!(agent.sessions(()).unwrap().meta.total, 0);
        let most = "é".repeat(255);
        let widest = NewSession::default().key(&*most).label(&*most).chat_type(&*most).last_channel(&*most);
        assert_eq!(agent.create_session(widest).unwrap().get().unwrap().label, Some(most));
        engine.close().unwrap();
    });
}

#[test]
fn a_message_out_of_bounds_is_refused_on_every_way_in() {
    let text = || NewMessage::text("x");
    let over = "x".repeat(limit::TOOL_NAME_BYTES + 1);
    let ts = Ts::from_micros(limit::CALLER_TS_MICROS).unwrap();
    let bad = [
        (
            NewMessage::text("x".repeat(limit::MESSAGE_BYTES + 1)),
            "message has 16777217 bytes; it may have at most 16777216 (MESSAGE_BYTES)",
        ),
        (NewMessage::blocks(Json::parse("{}").unwrap()), "content blocks are not a JSON array"),
        (text().name(&*over), "name has 4097 bytes; it may have at most 4096"),
        (text().tool_calls([ToolCall::new(over, "n", "")]), "tool call id has 4097 bytes; it may have at most 4096"),
        (text().ts(ts), "ts is 4502500115742720 microseconds; it must be below 4502500115742720 (2^52 - 2^40)"),
        (text().id(Uuid::nil()), "message id is the nil UUID"),
    ];
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        session.append(["hello"]).unwrap();
        let before = session.get().unwrap();
        for (message, text) in bad.iter().map(|(message, text)| (message, *text)) {
            let kind =
                if message.size() > limit::MESSAGE_BYTES { ErrorKind::TooLarge } else { ErrorKind::InvalidArgument };
            check([
                (session.append([NewMessage::text("good"), message.clone()]).map(drop), kind, text),
                (session.send(message.clone()).map(drop), kind, text),
                (session.follow_up(message.clone()).map(drop), kind, text),
            ]);
        }
        let hook = |url: &str| Webhook { url: url.into(), token: None, secret: None, include_messages: false };
        let turns = [
            (NewTurn::from("x").webhook(hook("ftp://example.org")), "webhook url is neither http nor https"),
            (
                NewTurn::from("x").user_params(serde_json::json!("x".repeat(limit::TURN_JSON_BYTES))),
                "user_params has 1048578 bytes; it may have at most 1048576",
            ),
            (
                NewTurn::from("x").time_limit(Duration::from_micros(999)),
                "time_limit is 999µs; it must be 1ms to 31622400s (TIME_LIMIT_MS_MIN, TIME_LIMIT_MS_MAX)",
            ),
        ];
        for (turn, text) in turns {
            check([(session.send(turn).map(drop), ErrorKind::InvalidArgument, text)]);
        }
        assert_eq!(session.get().unwrap(), before, "nothing was written");
        let most = NewMessage::text("x".repeat(limit::MESSAGE_BYTES));
        assert_eq!(session.append([most.clone()]).unwrap()[0].text().len(), limit::MESSAGE_BYTES);
        engine.close().unwrap();
    });
}

#[test]
fn messages_without_a_turn_are_kept_as_given() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let blocks = Json::parse(r#"[{"type":"text","text":"a"}, {"type":"text","text":"b"}]"#).unwrap();
        let ids = [1, 2].map(|n| MessageId::from_uuid(Uuid::from_u128(n)));
        let batch = || {
            [
                NewMessage::blocks(blocks.clone()).id(ids[0]).metadata(serde_json::json!({"k": 1})),
                NewMessage::calls([ToolCall::new("c", "lookup", "not JSON")]).id(ids[1]).name("bot"),
            ]
        };
        let written = session.append(batch()).unwrap();
        assert_eq!(written.iter().map(|m| (m.id, m.number)).collect::<Vec<_>>(), [(ids[0], 1), (ids[1], 2)]);
        assert_eq!((written[0].role, written[0].kind), (Role::User, MessageType::Message));
        assert_eq!((written[1].role, written[1].kind), (Role::Assistant, MessageType::ToolCall));
        assert_eq!(written[0].content, Some(Content::Blocks(blocks.clone())));
        assert_eq!((written[0].text(), written[1].content.as_ref()), ("a\nb".into(), None));
        assert!(written.iter().all(|m| m.turn_id.is_none() && m.thread_id.is_none()));
        assert_eq!(session.append(batch()).unwrap(), written, "a retry answers with the original");
        assert!(session.append([NewMessage::text("else").id(ids[0])]).unwrap_err().is_conflict());
        assert_eq!(session.message(ids[1]).unwrap(), written[1]);
        assert_eq!(session.history(1000).unwrap(), written);
        engine.close().unwrap();
    });
}

#[test]
fn a_deleted_message_is_hidden_and_the_feed_tells() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let written = session.append(["one", "two", "three"]).unwrap();
        session.delete_message(written[1].id).unwrap();
        assert!(session.delete_message(written[1].id).unwrap_err().is_not_found());
        assert!(session.message(written[1].id).unwrap_err().is_not_found());
        assert_eq!(texts(&session), ["one", "three"]);
        assert_eq!(session.messages(MessageQuery::all()).page().unwrap().meta.total, 2);
        assert_eq!(session.append(["four"]).unwrap()[0].number, 4);

        let feed = session.changes(0, 1000).unwrap();
        assert_eq!(feed.iter().map(|change| change.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!((feed[0].kind, feed[4].kind), (ChangeKind::Created, ChangeKind::Deleted(written[1].id)));
        assert_eq!(session.changes(2, 3).unwrap(), feed[2..5]);
        assert_eq!(session.changes(6, 1000).unwrap(), []);
        assert_eq!(session.get().unwrap().last_change, 6);
        engine.close().unwrap();
    });
}

#[test]
fn turns_are_listed_newest_first_and_ends_are_announced() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let hook = Webhook {
            url: "https://example.org".into(),
            token: Some("secret".into()),
            secret: None,
            include_messages: true,
        };
        let turns: Vec<_> = (0..3)
            .map(|n| {
                let turn = session.send(NewTurn::from(format!("{n}")).webhook(hook.clone())).unwrap();
                turn.wait().unwrap().turn
            })
            .collect();
        let page = session.turns((1, 2)).unwrap();
        assert_eq!((page.meta.total, page.meta.total_pages), (3, 2));
        assert_eq!(page.items, [turns[2].clone(), turns[1].clone()]);
        assert_eq!(session.turns((2, 2)).unwrap().items, [turns[0].clone()]);
        let outbox = engine.outbox(2).unwrap();
        let rows: Vec<_> = outbox.iter().map(|row| (row.session_id, row.turn_id, row.status)).collect();
        assert_eq!(rows, [0, 1].map(|n| (session.id(), turns[n].id, turns[n].state)));
        assert!(outbox.iter().all(|row| row.webhook == hook && !format!("{row:?}").contains("secret\"")));
        engine.close().unwrap();
    });
}

#[test]
fn a_closed_engine_answers_closed() {
    on_every_store(|store| {
        let engine = echo(&store);
        let (acme, session) = (engine.workspace("acme").unwrap(), session(&engine, "echo"));
        let agent = acme.agent("echo").unwrap();
        let turn = session.send("one").unwrap();
        turn.wait().unwrap();
        let thread = session.thread(turn.thread_id()).unwrap();
        // After another turn, this one is the executor's no more, which would keep how it ended.
        session.send("two").unwrap().wait().unwrap();
        let mut iter = session.messages(MessageQuery::all().limit(1)).iter();
        iter.next().unwrap().unwrap();
        engine.close().unwrap();
        let message = MessageId::from_uuid(ABSENT);
        let errors = [
            acme.agent("x").err(),
            acme.find_agent("x").err(),
            acme.session(session.id()).err(),
            acme.sessions(()).err(),
            agent.create_session(NewSession::default()).err(),
            agent.start_session(NewSession::default(), "x").err(),
            agent.session(session.id()).err(),
            agent.session_by_key("x").err(),
            agent.sessions(()).err(),
            session.get().err(),
            session.append(["x"]).err(),
            session.append_to(thread.id(), ["x"]).err(),
            session.send("x").err(),
            session.follow_up("x").err(),
            session.messages(()).page().err(),
            iter.next().unwrap().err(),
            session.history(1).err(),
            session.message(message).err(),
            session.delete_message(message).err(),
            session.thread(thread.id()).err(),
            session.turn(turn.id()).err(),
            session.turns(()).err(),
            session.changes(0, 1).err(),
            thread.messages(()).page().err(),
            turn.get().err(),
            turn.wait().err(),
            turn.wait_timeout(parlor::time::Duration::ZERO).err(),
            pollster::block_on(turn.clone()).err(),
        ];
        for (case, error) in errors.into_iter().enumerate() {
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Closed), "case {case}");
        }
        assert!(iter.next().is_none(), "an error is the last item");
    });
}
