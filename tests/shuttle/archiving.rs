//! A session that is archived, restored, purged, or past a retention, while others write to it.

use parlor::{Archive, ChangeKind, ErrorKind, Retention, Session};
use shuttle::thread;

use crate::claims;
use crate::scene::{Scene, echo};

/// Archives a session as soon as it is idle and nobody writes to it on the way.
fn archive(session: &Session) -> Archive {
    loop {
        match session.archive() {
            Ok(archive) => return archive,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
        if let Some(turn) = session.get().unwrap().running_turn {
            session.turn(turn).unwrap().wait().unwrap();
        }
    }
}

fn texts(session: &Session) -> Vec<String> {
    session.history(100).unwrap().iter().map(parlor::Message::text).collect()
}

claims! {
    fn whatever_was_acknowledged_while_a_session_is_archived_is_in_it() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        session.append(["first"]).unwrap();
        let writers = ["left", "right"].map(|text| {
            let session = session.clone();
            thread::spawn(move || match session.append([text]) {
                Ok(_) => Some(text),
                // Busy it is while the turn runs.
                Err(error) => {
                    assert!([ErrorKind::NotFound, ErrorKind::Conflict].contains(&error.kind()), "{error}");
                    None
                }
            })
        });
        let sender = {
            let session = session.clone();
            thread::spawn(move || match session.send("asked") {
                Ok(turn) => Some(turn),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    None
                }
            })
        };
        let restored = archive(&session).restore().unwrap();
        let written: Vec<_> = writers.map(|writer| writer.join().unwrap()).into_iter().flatten().collect();
        if let Some(turn) = sender.join().unwrap() {
            // Its turn ended before the session was archived, or began after it came back.
            assert!(turn.wait().unwrap().state().is_terminal());
            assert!(texts(&restored).contains(&"asked".to_owned()));
        }
        let there = texts(&restored);
        for text in ["first"].into_iter().chain(written) {
            assert_eq!(there.iter().filter(|there| *there == text).count(), 1, "{text} in {there:?}");
        }
        scene.close();
    }

    fn who_follows_goes_on_after_the_restoring_and_misses_nothing() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        session.append(["one", "two"]).unwrap();
        let follow = session.follow(0);
        let following = thread::spawn(move || {
            let mut heard = Vec::new();
            for change in follow {
                match change {
                    Ok(change) => heard.push((change.number, change.kind)),
                    Err(error) => panic!("{error}"),
                }
            }
            heard
        });
        let restored = archive(&session).restore().unwrap();
        restored.append(["three"]).unwrap();
        let mut heard = following.join().unwrap();
        // It ends with the archiving, or, where it looked too late for that, goes on until the scene is over.
        assert_eq!(heard.last().map(|(_, kind)| *kind), Some(ChangeKind::Archived));
        let rest = restored.changes(heard.len() as u64, 100).unwrap();
        heard.extend(rest.iter().map(|change| (change.number, change.kind)));
        let whole = restored.changes(0, 100).unwrap();
        assert_eq!(heard, whole.iter().map(|change| (change.number, change.kind)).collect::<Vec<_>>());
        scene.close();
    }

    fn a_retention_takes_nothing_that_was_written_after_it_looked() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        session.append(["first"]).unwrap();
        let writer = {
            let session = session.clone();
            thread::spawn(move || session.append(["news"]).map(drop))
        };
        let report = scene.engine.retain(Retention::delete().keep_newest(0)).unwrap();
        match writer.join().unwrap() {
            // It came before the look, or it stays.
            Ok(()) if report.deleted == 0 => assert_eq!((texts(&session).len(), report.changed), (2, 1)),
            Ok(()) => assert!(session.get().unwrap_err().is_not_found()),
            Err(error) => assert!(error.is_not_found() && report.deleted == 1, "{error}, {report:?}"),
        }
        let (engine, _) = scene.split();
        engine.close().unwrap();
    }

    fn what_is_purged_while_a_session_is_archived_is_not_in_the_archive() {
        let scene = Scene::open(1, echo);
        let session = scene.session();
        let said = session.append(["a secret", "kept"]).unwrap();
        session.delete_message(said[0].id).unwrap();
        let purging = {
            let session = session.clone();
            thread::spawn(move || session.purge().map_err(|error| error.kind()))
        };
        let restored = archive(&session).restore().unwrap();
        let purged = purging.join().unwrap();
        assert!(purged == Ok(1) || purged == Err(ErrorKind::NotFound), "{purged:?}");
        assert_eq!(restored.purge().unwrap(), if purged.is_ok() { 0 } else { 1 });
        scene.close();
    }
}
