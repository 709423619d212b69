//! What an application keeps: by age, by count, and never what changes meanwhile.

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use parlor::store::Store;
use parlor::testkit::{ManualClock, ModelStore};
use parlor::time::Duration;
use parlor::{Builder, Engine, ErrorKind, NewSession, Retention, RetentionReport, Session};
use support::{gate, on_every_store};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn open(store: &Arc<dyn Store>, clock: &ManualClock, with: impl FnOnce(Builder) -> Builder) -> Engine {
    support::open(store, |builder| with(builder.clock(clock.clone())))
}

/// Sessions of an agent, one a day, the last of them today.
fn days(engine: &Engine, clock: &ManualClock, workspace: &str, sessions: usize) -> Vec<Session> {
    let agent = engine.workspace(workspace).and_then(|workspace| workspace.agent("echo")).expect("an agent");
    let mut made: Vec<Session> = Vec::new();
    for _ in 0..sessions {
        if !made.is_empty() {
            clock.advance(DAY);
        }
        made.push(agent.create_session(NewSession::default()).expect("a session"));
    }
    made
}

fn there(sessions: &[Session]) -> Vec<bool> {
    sessions.iter().map(|session| session.get().is_ok()).collect()
}

/// A report of one kind of number, and of how many sessions were looked at.
fn report(sessions: u64, of: impl FnOnce(&mut RetentionReport)) -> RetentionReport {
    let mut report = RetentionReport::default();
    report.sessions = sessions;
    of(&mut report);
    report
}

#[test]
fn what_is_too_old_goes_and_the_rest_stays() {
    on_every_store(|store| {
        let clock = ManualClock::new();
        let engine = open(&store, &clock, |builder| builder);
        let sessions = days(&engine, &clock, "acme", 5);
        sessions[0].append(["still in use"]).unwrap();
        // Two days is not longer ago than two days.
        let done = engine.retain(Retention::archive().older_than(2 * DAY)).unwrap();
        assert_eq!(done, report(5, |report| report.archived = 1));
        assert_eq!(there(&sessions), [true, false, true, true, true]);
        let archives = engine.workspace("acme").unwrap().agent("echo").unwrap().archives(()).unwrap();
        assert_eq!((archives.meta.total, archives.items[0].session_id), (1, sessions[1].id()));
        let done = engine.retain(Retention::delete().older_than(Duration::from_micros(1))).unwrap();
        assert_eq!(done, report(4, |report| report.deleted = 2));
        assert_eq!(there(&sessions), [true, false, false, false, true]);
        // An age that reaches back before all time takes nothing.
        assert_eq!(engine.retain(Retention::delete().older_than(Duration::MAX)).unwrap(), report(2, |_| {}));
        engine.close().unwrap();
    });
}

#[test]
fn each_workspace_keeps_its_own_newest() {
    on_every_store(|store| {
        let clock = ManualClock::new();
        let engine = open(&store, &clock, |builder| builder);
        let (acme, beta) = (days(&engine, &clock, "acme", 4), days(&engine, &clock, "beta", 3));
        let of_beta = Retention::delete().keep_newest(2).workspace(engine.workspace("beta").unwrap().id());
        assert_eq!(engine.retain(of_beta).unwrap(), report(3, |report| report.deleted = 1));
        assert_eq!((there(&acme), there(&beta)), (vec![true; 4], vec![false, true, true]));
        assert_eq!(
            engine.retain(Retention::archive().keep_newest(1)).unwrap(),
            report(6, |report| report.archived = 4)
        );
        assert_eq!((there(&acme), there(&beta)), (vec![false, false, false, true], vec![false, false, true]));
        // Either bound is enough.
        clock.advance(DAY);
        let both = Retention::delete().keep_newest(9).older_than(DAY / 2);
        assert_eq!(engine.retain(both).unwrap(), report(2, |report| report.deleted = 2));
        engine.close().unwrap();
    });
}

#[test]
fn a_busy_session_stays() {
    let (at_work, keeper) = gate();
    let (store, clock): (Arc<dyn Store>, _) = (Arc::new(ModelStore::new()), ManualClock::new());
    let engine = open(&store, &clock, |builder| {
        builder.agent_fn("echo", move |_| {
            at_work.pass("here");
            Ok("done")
        })
    });
    let sessions = days(&engine, &clock, "acme", 2);
    let turn = sessions[0].send("hello").unwrap();
    keeper.arrival();
    let all = Retention::delete().keep_newest(0);
    let (mut done, busy) = (engine.retain(all).unwrap(), 1);
    assert_eq!(done, report(2, |report| (report.deleted, report.busy) = (1, busy)));
    keeper.open();
    turn.wait().unwrap();
    done = engine.retain(all).unwrap();
    assert_eq!(done, report(1, |report| report.deleted = 1));
    engine.close().unwrap();
}

#[test]
fn what_arrives_after_a_session_was_looked_at_is_never_lost() {
    on_every_store(|store| {
        let clock = ManualClock::new();
        let engine = open(&store, &clock, |builder| builder);
        for action in [Retention::delete(), Retention::archive()] {
            let sessions = days(&engine, &clock, "acme", 4);
            let mut news = Some(&sessions[1]);
            // All four stand on the page that was read before the first of them goes.
            let done = engine
                .retain_with(action.keep_newest(0), |_| {
                    if let Some(session) = news.take() {
                        session.append(["news"]).unwrap();
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!((done.changed, done.deleted + done.archived, done.sessions), (1, 3, 4));
            assert_eq!(there(&sessions), [false, true, false, false]);
            assert_eq!(sessions[1].history(1).unwrap()[0].text(), "news");
            sessions[1].delete().unwrap();
        }
        engine.close().unwrap();
    });
}

#[test]
fn hundreds_are_looked_at_once_each_and_the_oldest_go() {
    let clock = ManualClock::new();
    let engine = Engine::in_memory().clock(clock.clone()).open().expect("an engine");
    let agent = engine.workspace("acme").and_then(|acme| acme.agent("echo")).unwrap();
    let sessions: Vec<_> = (0..431)
        .map(|_| {
            clock.advance(Duration::from_secs(1));
            agent.create_session(NewSession::default()).unwrap()
        })
        .collect();
    let mut told = Vec::new();
    let done = engine
        .retain_with(Retention::delete().keep_newest(150), |progress| {
            told.push((progress.done, progress.total));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(done, report(431, |report| report.deleted = 281));
    assert!(there(&sessions).iter().enumerate().all(|(nth, there)| *there == (nth >= 281)));
    assert_eq!((told.first(), told.last(), told.len()), (Some(&(151, 431)), Some(&(431, 431)), 282));
    engine.close().unwrap();
}

#[test]
fn nothing_goes_unless_it_was_asked_for() {
    on_every_store(|store| {
        let clock = ManualClock::new();
        let engine = open(&store, &clock, |builder| builder);
        let sessions = days(&engine, &clock, "acme", 3);
        for neither in [Retention::delete(), Retention::archive()] {
            assert_eq!(engine.retain(neither).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        let nowhere = Retention::delete().keep_newest(0).workspace(uuid::Uuid::now_v7().into());
        assert_eq!(engine.retain(nowhere).unwrap_err().kind(), ErrorKind::NotFound);
        let cancelled = engine.retain_with(Retention::delete().keep_newest(1), |_| ControlFlow::Break(()));
        assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(there(&sessions), [true, false, true], "one had gone by then");
        engine.close().unwrap();
    });
}

#[test]
fn a_damaged_workspace_is_counted_and_keeps_no_other_from_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parlor");
    let clock = ManualClock::new();
    let engine = Engine::builder(&path).clock(clock.clone()).open().unwrap();
    let sessions: Vec<_> = ["before", "broken", "later"].map(|name| days(&engine, &clock, name, 2)).concat();
    let id = engine.workspace("broken").unwrap().id();
    engine.close().unwrap();
    // What the workspace is: its id, its name, and when it was made.
    let row = [&id.as_uuid().as_bytes()[..], &[6], b"broken"].concat();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(row.len()).position(|window| window == row).unwrap();
    bytes[at + row.len() - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let engine = Engine::builder(&path).clock(clock.clone()).open().unwrap();
    let done = engine.retain(Retention::delete().keep_newest(1)).unwrap();
    let due = |report: &mut RetentionReport| (report.deleted, report.damaged_workspaces) = (2, 1);
    assert_eq!(done, report(4, due));
    for (name, from) in [("before", 0), ("later", 4)] {
        let workspace = engine.workspace(name).unwrap();
        let there = sessions[from..from + 2].iter().map(|session| workspace.session(session.id()).is_ok());
        assert_eq!(there.collect::<Vec<_>>(), [false, true]);
    }
    engine.close().unwrap();
}
