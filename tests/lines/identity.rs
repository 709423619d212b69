//! What was exported is imported as it was.

use std::ops::ControlFlow;
use std::sync::Arc;

use parlor::limit::CALLER_TS_MICROS;
use parlor::testkit::{ManualClock, ModelStore, redb_store, sessions_of};
use parlor::{
    Engine, ErrorKind, ImportOptions, NewMessage, NewSession, NewTurn, Reason, Timestamp, TurnState, Webhook,
};
use uuid::Uuid;

use super::scene::{
    Pieces, agent, assert_same, assert_whole, body, busy_with_tools, empty, import, lines, random, rich, skipping,
};

#[test]
fn all_of_an_engine_comes_back_as_it_was() {
    let engine = busy_with_tools();
    rich(&engine, "acme", "one");
    let two = rich(&engine, "acme", "two");
    two.purge().expect("what is deleted is purged");
    rich(&engine, "globex \n\u{0}", "one");
    agent(&engine, "nobody", "nothing").set_label("Does nothing").expect("a label");
    let one = agent(&engine, "acme", "worker").session_by_key("one").expect("it is there");
    let (at, fork) = (one.history(4).expect("a history")[0].id, NewSession::default().key("fork").id(Uuid::now_v7()));
    one.fork(at, fork.clone()).expect("a fork");
    let restored = agent(&engine, "acme", "worker").session_by_key("two").and_then(|session| session.archive());
    restored.and_then(|archive| archive.restore()).expect("it is restored");
    let exported = lines(&engine);
    let other = empty();
    let report = import(&other, &exported).expect("it is imported");
    assert_eq!((report.workspaces_made, report.agents_made, report.sessions), (3, 3, 4));
    assert_eq!((report.sessions_skipped, report.ended, report.unknown.len()), (0, 0, 0));
    assert_eq!(report.lines, exported.lines().count() as u64);
    let of = |kind: &str| exported.lines().filter(|line| line.contains(&format!("\"line\":\"{kind}\""))).count() as u64;
    let below = ["thread", "turn", "message", "change"].map(of);
    assert!(below.iter().all(|count| *count > 4), "{below:?}");
    assert_eq!([report.threads, report.turns, report.messages, report.changes], below);
    assert_whole(&other);
    assert_same(&exported, &lines(&other));
    for (name, key) in [("acme", "one"), ("acme", "two"), ("acme", "fork"), ("globex \n\u{0}", "one")] {
        let [left, right] = [&engine, &other].map(|engine| agent(engine, name, "worker"));
        let [left, right] = [left, right].map(|agent| agent.session_by_key(key).expect("it is there"));
        assert_eq!(left.get().expect("a record"), right.get().expect("a record"));
        assert_eq!(left.history(1000).expect("a history"), right.history(1000).expect("a history"));
        assert_eq!(left.changes(0, 1000).expect("a feed"), right.changes(0, 1000).expect("a feed"));
        assert_eq!(left.turns(()).expect("turns").items, right.turns(()).expect("turns").items);
        assert_eq!(left.transcript().expect("a transcript"), right.transcript().expect("a transcript"));
    }
    assert_eq!(agent(&other, "nobody", "nothing").record().label.as_deref(), Some("Does nothing"));
    // What it was forked from has come along, too.
    let one = agent(&other, "acme", "worker").session_by_key("one").expect("it is there");
    let again = one.fork(at, fork).and_then(|fork| fork.get()).expect("the original");
    assert_eq!(again.forked_from.map(|from| (from.session, from.message)), Some((one.id(), at)));
    assert_eq!(other.workspace("acme").and_then(|acme| acme.sessions(())).expect("sessions").meta.total, 3);
}

#[test]
fn random_engines_come_back_as_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    for seed in 0..12 {
        let path = |name: &str| dir.path().join(format!("{seed}{name}"));
        let engine = random(&path("a"), seed, 150);
        let exported = lines(&engine);
        let (other, third) = (Engine::builder(path("b")).open(), Engine::builder(path("c")).open());
        let (other, third) = (other.expect("it opens"), third.expect("it opens"));
        let report = import(&other, &exported).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_whole(&other);
        let again = lines(&other);
        if report.ended == 0 {
            assert_same(&exported, &again);
        }
        import(&third, &again).expect("it is imported");
        assert_same(&again, &lines(&third));
        for engine in [engine, other, third] {
            engine.close().expect("it closes");
        }
        let [a, b, c] = ["a", "b", "c"].map(|name| redb_store(path(name)).expect("a store"));
        let [a, b, c] = [a, b, c].map(|store| sessions_of(&*store, &["acme", "beta", "Acme"]).expect("it can be read"));
        assert_eq!(b, c, "seed {seed}");
        let idle = |(_, busy, _): &&(_, bool, _)| !*busy;
        assert!(a.iter().filter(idle).all(|session| b.contains(session)), "seed {seed}");
        assert_eq!(a.len(), b.len());
    }
}

#[test]
fn what_repeated_calls_are_told_by_comes_along() {
    let engine = busy_with_tools();
    let new = NewSession::default().id(Uuid::now_v7()).key("telegram:42");
    let (append, send) = (NewMessage::text("a").id(Uuid::now_v7()), NewMessage::text("b").id(Uuid::now_v7()));
    let session = agent(&engine, "acme", "worker").create_session(new.clone()).expect("a session");
    session.append([append.clone()]).expect("it is appended");
    let turn = session.send(send.clone()).expect("a turn");
    turn.wait().expect("it ends");
    let exported = lines(&engine);
    // Elsewhere the agent has another number.
    let other = busy_with_tools();
    agent(&other, "before", "worker");
    import(&other, &exported).expect("it is imported");
    let there = agent(&other, "acme", "worker").create_session(new).expect("the original");
    assert_eq!(there.id(), session.id());
    assert_eq!(there.append([append]).expect("the original")[0].number, 1);
    assert_eq!(there.send(send.clone()).expect("the original").id(), turn.id());
    assert!(
        there
            .send(NewMessage::text("other").id(turn.get().expect("it").message_id))
            .expect_err("other content")
            .is_conflict()
    );
    assert_eq!(there.history(10).expect("a history").len(), session.history(10).expect("a history").len());
    // And it goes on.
    assert_eq!(there.send("more").and_then(|turn| turn.wait()).expect("it ends").text(), "more!");
    assert_whole(&other);
}

#[test]
fn a_busy_session_comes_in_as_after_a_crash() {
    let (begun, begins) = crossbeam_channel::unbounded();
    let (go, gate) = crossbeam_channel::unbounded::<()>();
    let engine = Engine::in_memory().agent_fn("worker", move |turn| {
        turn.tool_call("look", "{}")?;
        begun.send(()).ok();
        Ok(gate.recv()?)
    });
    let engine = engine.open().expect("an engine");
    let session = agent(&engine, "acme", "worker").create_session(NewSession::default()).expect("a session");
    let (url, token, secret) = ("https://example.com/".into(), Some("t0ken".into()), Some("s3cret".into()));
    let hook = Webhook { url, token, secret, include_messages: true };
    session.send(NewTurn::from("first").webhook(hook)).expect("a turn");
    begins.recv().expect("it has begun");
    session.enqueue("second").expect("a turn");
    session.enqueue("third").expect("a turn");
    let mut exported = Vec::new();
    let report = engine.export(&mut exported).expect("it is exported");
    assert_eq!((report.ended, report.outbox_left_out), (3, 1));
    let exported = String::from_utf8(exported).expect("it is text");
    assert!(!exported.contains("t0ken") && !exported.contains("s3cret"));
    let other = empty();
    let imported = import(&other, &exported).expect("it is imported");
    assert_eq!((imported.ended, imported.outbox_left_out, imported.turns), (3, 1, 3));
    assert_whole(&other);
    let there = other.find_workspace("acme").expect("it").expect("it is there").session(session.id()).expect("it");
    let turns = there.turns(()).expect("turns").items;
    let ends: Vec<_> = turns.iter().rev().map(|turn| (turn.state, turn.reason, turn.messages)).collect();
    let cancelled = (TurnState::Interrupted, Some(Reason::Cancelled), 0);
    assert_eq!(ends, [(TurnState::Failed, Some(Reason::Crash), 2), cancelled, cancelled]);
    let last = there.history(1).expect("a history").remove(0);
    assert_eq!((last.text(), last.synthetic), ("interrupted: crash".to_owned(), true));
    let changes = there.changes(0, 1000).expect("a feed");
    assert_eq!(changes.len() as u64, there.get().expect("it").last_change);
    assert_same(&lines(&other), &{
        let third = empty();
        import(&third, &lines(&other)).expect("it is imported");
        lines(&third)
    });
    // Nothing has changed where it runs.
    assert_eq!(session.get().expect("it").queued_turns, 2);
    drop(go);
    session.idle().wait().expect("it ends");
}

#[test]
fn a_turn_that_runs_past_the_greatest_time_ends_right_behind_what_it_wrote() {
    let (begun, begins) = crossbeam_channel::unbounded();
    let (go, gate) = crossbeam_channel::unbounded::<()>();
    let clock = ManualClock::new();
    let engine = Engine::in_memory().clock(clock.clone()).agent_fn("worker", move |turn| {
        turn.tool_call("look", "{}")?;
        begun.send(()).ok();
        Ok(gate.recv()?)
    });
    let engine = engine.open().expect("an engine");
    let session = agent(&engine, "acme", "worker").create_session(NewSession::default()).expect("a session");
    session.send("first").expect("a turn");
    begins.recv().expect("it has begun");
    clock.set(Timestamp::MAX);
    let other = empty();
    import(&other, &lines(&engine)).expect("it is imported");
    assert_whole(&other);
    let there = other.find_workspace("acme").expect("it").expect("it is there").session(session.id()).expect("it");
    let last = there.history(1).expect("a history").remove(0);
    assert_eq!((last.text(), last.ts.as_micros()), ("interrupted: crash".to_owned(), CALLER_TS_MICROS - 1));
    drop(go);
    session.idle().wait().expect("it ends");
}

#[test]
fn a_workspace_and_a_session_go_where_they_are_asked_to() {
    let engine = busy_with_tools();
    let (one, two) = (rich(&engine, "acme", "one"), rich(&engine, "acme", "two"));
    rich(&engine, "globex", "one");
    let (mut all, mut alone) = (Vec::new(), Vec::new());
    let acme = engine.find_workspace("acme").expect("it").expect("it is there");
    assert_eq!(acme.export(&mut all).expect("it is exported").sessions, 2);
    assert_eq!(one.export(&mut alone).expect("it is exported").sessions, 1);
    let elsewhere = engine.workspace("elsewhere").expect("a workspace");
    let report = elsewhere.import(&*all, ImportOptions::default()).expect("it is imported");
    assert_eq!((report.workspaces_made, report.agents_made, report.sessions), (0, 1, 2));
    assert_eq!(elsewhere.sessions(()).expect("sessions").meta.total, 2);
    let theirs = elsewhere.agent("another").expect("an agent");
    // Ids are unique in a workspace.
    let error = theirs.import(&*alone, ImportOptions::default()).expect_err("it is there");
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Conflict, format!("line 4: session {} is there", one.id()))
    );
    let third = agent(&engine, "third", "another");
    assert_eq!(third.import(&*alone, ImportOptions::default()).expect("it is imported").sessions, 1);
    let copy = third.session_by_key("one").expect("it is there");
    assert_eq!(copy.history(1000).expect("a history"), one.history(1000).expect("a history"));
    assert_eq!(copy.get().expect("a record").agent_name, "another");
    let report = third.import(&*all, skipping()).expect("it is imported");
    assert_eq!((report.sessions, report.sessions_skipped), (1, 1));
    assert_eq!(third.session_by_key("two").expect("it is there").id(), two.id());
    assert_whole(&engine);
}

#[test]
fn an_export_holds_one_state_while_others_write() {
    let engine = busy_with_tools();
    let session = rich(&engine, "acme", "one");
    let before = lines(&engine);
    let mut during = Vec::new();
    let mut steps = 0;
    engine
        .export_with(&mut during, |_| {
            steps += 1;
            session.append(["later"]).expect("it is appended");
            rich(&engine, "zeta", &format!("{steps}"));
            ControlFlow::Continue(())
        })
        .expect("it is exported");
    assert!(steps >= 2, "{steps}");
    assert_eq!(body(&before), body(&String::from_utf8(during).expect("text")));
}

#[test]
fn a_cancelled_export_lacks_its_end_and_a_cancelled_import_its_session() {
    let engine = busy_with_tools();
    let session = agent(&engine, "acme", "worker").create_session(NewSession::default()).expect("a session");
    (0..40).for_each(|_| drop(session.append(vec!["x".repeat(1000); 20]).expect("they are appended")));
    let mut cut = Vec::new();
    let mut told = Vec::new();
    let error = engine.export_with(&mut cut, |progress| {
        told.push(progress);
        if told.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(error.expect_err("it is cancelled").kind(), ErrorKind::Cancelled);
    assert!(told[0].done < told[1].done && told[1].total == 800 + 801, "{told:?}");
    let other = empty();
    let error = other.import(&*cut, ImportOptions::default()).expect_err("it is cut off");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let mut seen = 0;
    let whole = lines(&engine);
    let error = other.import_with(whole.as_bytes(), ImportOptions::default(), |progress| {
        seen = progress.done;
        assert!(progress.done < progress.total);
        if progress.done > 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(error.expect_err("it is cancelled").kind(), ErrorKind::Cancelled);
    assert!(seen > 100);
    assert_eq!(other.workspace("acme").and_then(|acme| acme.sessions(())).expect("sessions").meta.total, 0);
    assert_whole(&other);
    assert_eq!(import(&other, &whole).expect("it is imported").messages, 800);
    assert_same(&whole, &lines(&other));
}

#[test]
fn a_store_of_ones_own_has_no_lines() {
    let engine = Engine::builder("nowhere").open_store(Arc::new(ModelStore::new())).expect("it opens");
    let errors = [engine.export(Vec::new()).err(), import(&engine, "{\"parlor\":1}").err()];
    assert!(errors.iter().flatten().all(|error| error.kind() == ErrorKind::InvalidArgument), "{errors:?}");
    assert_eq!(errors.iter().flatten().count(), 2);
    // Messages that were written elsewhere need none.
    let agent = agent(&engine, "acme", "worker");
    let report = agent.import(&b"[{\"role\":\"user\",\"content\":\"hello\"}]"[..], ImportOptions::default());
    assert_eq!(report.expect("it is imported").messages, 1);
}

#[test]
fn how_far_down_a_chain_a_turn_is_comes_along() {
    let own = Arc::new(std::sync::OnceLock::<parlor::Session>::new());
    let engine = Engine::in_memory().agent_fn("worker", {
        let own = Arc::clone(&own);
        move |turn| {
            if turn.input().text() == "first" {
                own.get().expect("it was set").send("second")?;
            }
            Ok(turn.input().text())
        }
    });
    let engine = engine.open().expect("it opens");
    let session = agent(&engine, "acme", "worker").create_session(NewSession::default().key("k")).expect("a session");
    own.set(session.clone()).expect("it is set once");
    session.send("first").and_then(|turn| turn.wait()).expect("it ends");
    let second = session.turns(()).expect("turns").items.remove(0);
    session.turn(second.id).and_then(|turn| turn.wait()).expect("it ends");
    let (exported, other) = (lines(&engine), empty());
    import(&other, &exported).expect("it is imported");
    let came = agent(&other, "acme", "worker").session_by_key("k").expect("it is there");
    assert_eq!((second.chain, came.turns(()).expect("turns").items[0].chain), (1, 1));
    assert_same(&exported, &lines(&other));
}

#[test]
fn a_long_session_comes_back_through_many_steps() {
    let engine = busy_with_tools();
    let session = rich(&engine, "acme", "long");
    for n in 0..24 {
        let texts = (0..1000).map(|m| if m == n { "x".repeat(3000) } else { format!("{n} {m}") });
        session.append(texts.collect::<Vec<_>>()).expect("they are appended");
        session.send(format!("{n}?")).and_then(|turn| turn.wait()).expect("it ends");
    }
    let mut pieces = Pieces::default();
    engine.export(&mut pieces).expect("it is exported");
    let longest = pieces.0.iter().map(Vec::len).max().expect("there are some");
    assert!(pieces.0.len() > 4 && longest < 2 << 20, "{} pieces, one of {longest} bytes", pieces.0.len());
    let exported = String::from_utf8(pieces.0.concat()).expect("it is text");
    let other = empty();
    let (mut steps, mut last) = (0, 0);
    let went = |progress: parlor::Progress| {
        assert!(progress.done >= last && progress.done <= progress.total);
        (steps, last) = (steps + 1, progress.done);
        ControlFlow::Continue(())
    };
    let report = other.import_with(exported.as_bytes(), ImportOptions::default(), went).expect("it is imported");
    assert!(steps > 10 && steps < report.lines / 100, "{steps} steps");
    assert!(last == report.threads + report.turns + report.messages + report.changes, "{steps} {last}");
    assert_whole(&other);
    assert_same(&exported, &lines(&other));
}

#[test]
fn of_two_imports_at_once_each_session_comes_in_by_one() {
    let engine = busy_with_tools();
    (0..20).for_each(|n| drop(rich(&engine, "acme", &format!("{n}"))));
    let (exported, other) = (lines(&engine), empty());
    let acme = other.workspace("acme").expect("a workspace");
    let mut watch = acme.watch();
    let both = std::sync::Barrier::new(2);
    let reports = std::thread::scope(|scope| {
        let import = || {
            both.wait();
            other.import(exported.as_bytes(), skipping()).expect("it is imported")
        };
        let threads = [scope.spawn(import), scope.spawn(import)];
        threads.map(|thread| thread.join().expect("it ends"))
    });
    let [one, two] = &reports;
    assert_eq!((one.sessions + two.sessions, one.sessions_skipped + two.sessions_skipped), (20, 20));
    assert_whole(&other);
    // The workspace was there before.
    let sessions = |lines: &str| lines.split_once("\n{\"line\":\"session\"").map(|(_, sessions)| sessions.to_owned());
    assert_eq!(sessions(&exported).expect("sessions"), sessions(&lines(&other)).expect("sessions"));
    // Whoever watches has heard of all.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 20 {
        seen.insert(watch.next().expect("the engine is open").expect("a session").session);
    }
    assert_eq!(acme.sessions(()).expect("sessions").meta.total, 20);
}
