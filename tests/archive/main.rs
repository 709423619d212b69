//! Archived sessions through the engine: for who holds a handle, follows, waits or is told of ends; and archives of strangers.
//!
//! `PARLOR_CASES` sets how many hostile streams are imported (CI: 2,000), `PARLOR_LONG=1` makes it 100,000.

mod hostile;
#[path = "../support/mod.rs"]
mod support;

use std::ops::ControlFlow;
use std::thread;

use crossbeam_channel::unbounded;
use parlor::limit::FOLLOW_BATCH;
use parlor::time::Duration;
use parlor::{
    AgentHandle, ChangeKind, Delivery, DeliveryError, DeliveryOptions, Engine, ErrorKind, ImportIds, ImportOptions,
    NewMessage, NewSession, NewTurn, Progress, TurnState, Webhook,
};
use support::{echo, gate, on_every_store, open, session, texts};

#[track_caller]
fn is_not_found<T: std::fmt::Debug>(answer: parlor::Result<T>) {
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound);
}

fn agent(engine: &Engine) -> AgentHandle {
    engine.workspace("acme").unwrap().agent("echo").unwrap()
}

#[test]
fn a_session_that_was_archived_before_is_archived_and_restored_again() {
    on_every_store(|store| {
        let engine = echo(&store);
        let mut session = session(&engine, "echo");
        for round in 1..=3_u64 {
            session.append([format!("in round {round}")]).unwrap();
            session = session.archive().unwrap().restore().unwrap();
            let changes: Vec<_> = session.changes(0, 100).unwrap().into_iter().map(|change| change.kind).collect();
            let restored = changes.iter().filter(|kind| matches!(kind, ChangeKind::Restored)).count() as u64;
            assert_eq!((restored, changes.len() as u64), (round, 1 + 3 * round), "{changes:?}");
        }
        assert_eq!(texts(&session), ["in round 1", "in round 2", "in round 3"]);
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_handle_of_an_archived_session_finds_nothing_and_of_a_restored_one_all() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = agent(&engine).create_session(NewSession::default().key("k").label("old")).unwrap();
        let turn = session.send("hello").unwrap();
        turn.wait().unwrap();
        let archive = session.archive().unwrap();
        is_not_found(session.get());
        is_not_found(session.history(10));
        is_not_found(session.send("late"));
        is_not_found(session.archive());
        is_not_found(session.delete());
        is_not_found(turn.get());
        is_not_found(turn.wait());
        is_not_found(session.idle().wait());
        is_not_found(agent(&engine).session_by_key("k"));
        assert_eq!(agent(&engine).archives(()).unwrap().items, [archive.record().clone()]);

        let found = agent(&engine).archive(archive.filename()).unwrap();
        let restored = found.restore_with("new", |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((restored.id(), restored.get().unwrap().label.as_deref()), (session.id(), Some("new")));
        assert_eq!(texts(&session), ["hello", "hello"], "the old handle is good again");
        assert_eq!(turn.wait().unwrap().text(), "hello");
        assert_eq!(session.send("again").unwrap().wait().unwrap().text(), "again");
        is_not_found(archive.restore().map(|_| ()));
        is_not_found(archive.delete());
        is_not_found(archive.export(Vec::new()));
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    });
}

#[test]
fn a_label_over_its_bound_is_refused() {
    on_every_store(|store| {
        let engine = echo(&store);
        let archive = session(&engine, "echo").archive().unwrap();
        let long = "a".repeat(256);
        let refused = archive.restore_with(long.as_str(), |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        archive.restore().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn a_busy_session_is_a_conflict_and_a_stopped_one_is_archived() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |_| {
                gate.pass("worker");
                Ok("done")
            })
        });
        let session = session(&engine, "worker");
        session.send("hello").unwrap();
        keeper.arrival();
        assert!(session.archive().unwrap_err().is_conflict());
        session.stop().unwrap();
        let session = session.archive().unwrap().restore().unwrap();
        keeper.open();
        let again = session.send("again").unwrap();
        keeper.arrival();
        keeper.open();
        assert_eq!(again.wait().unwrap().text(), "done");
        engine.close().unwrap();
    });
}

/// What is left for a follower, up to the end.
fn rest(follow: &mut parlor::Follow) -> Vec<Result<ChangeKind, ErrorKind>> {
    follow.map(|event| event.map(|event| event.kind).map_err(|error| error.kind())).collect()
}

#[test]
fn who_follows_is_told_of_the_archiving_ends_and_goes_on_after_the_restoring() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        session.append(["one"]).unwrap();
        // One that has kept up and sleeps, one that was never asked, and one that is too far behind.
        let mut asleep = session.follow(2);
        let sleeper = thread::spawn(move || {
            let told = rest(&mut asleep);
            (told, asleep.reached())
        });
        let mut late = session.follow(0);
        let archive = session.archive().unwrap();
        assert_eq!(sleeper.join().unwrap(), (vec![Ok(ChangeKind::Archived)], 3));
        let told = rest(&mut late);
        assert!(
            matches!(told[..], [Ok(ChangeKind::Created), Ok(ChangeKind::Message(_)), Ok(ChangeKind::Archived)]),
            "{told:?}"
        );
        assert!(late.is_ended() && late.reached() == 3);
        assert_eq!(rest(&mut session.follow(0)), [Err(ErrorKind::NotFound)], "it is archived by now");

        let session = archive.restore().unwrap();
        session.append(["two"]).unwrap();
        let mut resumed = session.follow(late.reached());
        assert_eq!(resumed.try_next().unwrap().unwrap().kind, ChangeKind::Restored);
        assert!(matches!(resumed.try_next().unwrap().unwrap().kind, ChangeKind::Message(_)));
        assert!(resumed.try_next().is_none());
        engine.close().unwrap();
    });
}

#[test]
fn who_is_far_behind_when_a_session_is_archived_is_told_so_and_loses_nothing() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        session.append((0..FOLLOW_BATCH).map(|n| NewMessage::text(n.to_string()))).unwrap();
        session.append(["and one"]).unwrap();
        let mut follow = session.follow(0);
        let archive = session.archive().unwrap();
        let told = rest(&mut follow);
        assert_eq!((told.len(), told.last()), (FOLLOW_BATCH as usize + 1, Some(&Err(ErrorKind::NotFound))));
        let session = archive.restore().unwrap();
        let mut resumed = session.follow(follow.reached());
        let mut numbers = Vec::new();
        while let Some(event) = resumed.try_next() {
            numbers.push(event.unwrap().number);
        }
        let from = u64::from(FOLLOW_BATCH);
        assert_eq!(numbers, (from + 1..=from + 4).collect::<Vec<_>>());
        engine.close().unwrap();
    });
}

#[test]
fn a_watch_tells_of_archiving_and_restoring() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let mut watch = agent(&engine).watch();
        let archive = session.archive().unwrap();
        assert_eq!(watch.try_next().unwrap().unwrap().change, 0, "it is not there");
        archive.restore().unwrap();
        assert_eq!(watch.try_next().unwrap().unwrap().change, 3);
        engine.close().unwrap();
    });
}

#[test]
fn a_change_meanwhile_stands_and_a_close_breaks_it_off() {
    on_every_store(|store| {
        let engine = echo(&store);
        let session = session(&engine, "echo");
        let changed = session.archive_with(|progress: Progress| {
            if progress.is_last() {
                session.append(["meanwhile"]).unwrap();
            }
            ControlFlow::Continue(())
        });
        assert!(changed.unwrap_err().is_conflict());
        assert_eq!(session.history(10).unwrap().len(), 1);

        let (arrived, arrival) = unbounded();
        let (let_go, held) = unbounded::<()>();
        let archiver = thread::spawn({
            let session = session.clone();
            move || {
                let mut calls = 0;
                let answer = session.archive_with(|_| {
                    calls += 1;
                    arrived.send(()).unwrap();
                    held.recv().unwrap();
                    ControlFlow::Continue(())
                });
                (answer.map(|_| ()), calls)
            }
        });
        arrival.recv().unwrap();
        let closer = thread::spawn(move || engine.close_within(Duration::from_secs(60)).map(|_| ()));
        // It takes no more work, and waits for what is under way.
        while session.get().is_ok() {
            thread::yield_now();
        }
        let_go.send(()).unwrap();
        let (answer, calls) = archiver.join().unwrap();
        closer.join().unwrap().unwrap();
        // The last question was answered with yes: what comes after it is one commit.
        assert_eq!((answer.is_ok(), calls), (true, 1));
    });
}

#[test]
fn what_waits_to_be_announced_goes_out_without_messages_while_it_is_archived() {
    on_every_store(|store| {
        let (tell, told) = unbounded::<Delivery>();
        let (let_go, held) = unbounded::<()>();
        let deliver = move |delivery: &Delivery| -> Result<(), DeliveryError> {
            let _ = tell.send(delivery.clone());
            let _ = held.recv();
            Ok(())
        };
        let engine = open(&store, |builder| {
            let options = DeliveryOptions::default().pauses(Duration::from_micros(1), Duration::from_micros(1));
            builder.agent_fn("echo", |turn| Ok(turn.input().text())).delivery(options).transport(deliver)
        });
        let session = session(&engine, "echo");
        let webhook = Webhook { url: "https://example.org".into(), token: None, secret: None, include_messages: true };
        for text in ["one", "two"] {
            let turn = session.send(NewTurn::from(text).webhook(webhook.clone())).unwrap();
            assert_eq!(turn.wait().unwrap().state(), TurnState::Completed);
        }
        let first = told.recv().unwrap();
        let archive = session.archive().unwrap();
        let_go.send(()).unwrap();
        let second = told.recv().unwrap();
        let_go.send(()).unwrap();
        let body = |delivery: &Delivery| serde_json::from_str::<serde_json::Value>(&delivery.body).unwrap();
        assert_eq!(body(&first)["response"], "one");
        let told_of_second = body(&second);
        assert_eq!(
            (&told_of_second["status"], &told_of_second["messages_omitted"]),
            (&"completed".into(), &true.into())
        );
        assert_eq!(told_of_second["response"], serde_json::Value::Null);
        while !engine.outbox(1).unwrap().is_empty() {
            thread::yield_now();
        }
        archive.restore().unwrap();
        engine.close().unwrap();
    });
}

/// A stream whose sender stops in the midst of it.
struct Stalled<'s> {
    bytes: &'s [u8],
    arrived: crossbeam_channel::Sender<()>,
    held: crossbeam_channel::Receiver<()>,
}

impl std::io::Read for Stalled<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() {
            self.arrived.send(()).unwrap();
            let _ = self.held.recv();
            return Ok(0);
        }
        let (now, rest) = self.bytes.split_at(to.len().min(self.bytes.len()));
        to[..now.len()].copy_from_slice(now);
        self.bytes = rest;
        Ok(now.len())
    }
}

#[test]
fn a_close_waits_for_nobody_who_sends_a_stream() {
    let engine = Engine::in_memory().open().unwrap();
    let agent = agent(&engine);
    let session = agent.create_session(NewSession::default()).unwrap();
    session.append(["one"]).unwrap();
    let (mut stream, mut lines) = (Vec::new(), Vec::new());
    session.export(&mut lines).unwrap();
    session.archive().unwrap().export(&mut stream).unwrap();
    let (arrived, arrival) = unbounded();
    let (let_go, held) = unbounded::<()>();
    thread::scope(|scope| {
        let (arrived, held, agent, stream, lines) = (&arrived, &held, &agent, &stream, &lines);
        let stalled = move |bytes| Stalled { bytes, arrived: arrived.clone(), held: held.clone() };
        let importing = [
            scope.spawn(move || agent.import_archive(stalled(&stream[..stream.len() / 2]), ImportIds::New).map(drop)),
            scope.spawn(move || {
                let lines = std::io::BufReader::new(stalled(&lines[..lines.len() / 2]));
                agent.import(lines, ImportOptions::default()).map(drop)
            }),
        ];
        importing.iter().for_each(|_| arrival.recv().unwrap());
        engine.close().unwrap();
        drop(let_go);
        for import in importing {
            assert!(import.join().unwrap().is_err());
        }
    });
}
