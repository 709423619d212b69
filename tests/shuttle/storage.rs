//! The default store, whose callers, readers and writer thread meet in a few places only, on a disk in memory.

use parlor::testkit::SimulatedDisk;
use parlor::{Durability, Engine, ErrorKind, Message, NewSession, Reply, Session, TurnContext};
use shuttle::thread;

use crate::claims;
use crate::closing::{agree, follows_up, other};
use crate::scene::{Still, messages, waiter};

/// An engine over the file, and the one session in it.
fn open(disk: &SimulatedDisk) -> (Engine, Session) {
    let echo = |turn: &TurnContext| Ok(Reply::from(turn.input().text()));
    let builder = Engine::builder("a.parlor").workers(1).clock(Still).agent_fn("agent", echo);
    let engine = builder.open_store(disk.open(Durability::default()).unwrap()).unwrap();
    let agent = engine.workspace("acme").unwrap().agent("agent").unwrap();
    let session = agent.session_by_key("one").or_else(|_| agent.create_session(NewSession::default().key("one")));
    let session = session.unwrap();
    (engine, session)
}

fn texts(messages: Vec<Message>) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

claims! {
    one in 50:

    fn the_default_store_keeps_what_it_acknowledged_while_it_closes() {
        let disk = SimulatedDisk::new();
        let (engine, session) = open(&disk);
        let writers = ["left", "right"].map(|text| {
            let session = session.clone();
            thread::spawn(move || {
                let written = session.append([text, text]).map(|_| text);
                // Whoever was answered sees it, as long as there is something to see.
                if let (Ok(text), Ok(seen)) = (&written, session.history(10)) {
                    assert_eq!(seen.iter().filter(|message| message.text() == *text).count(), 2);
                }
                written
            })
        });
        let reader = {
            let session = session.clone();
            thread::spawn(move || session.history(10))
        };
        engine.close().unwrap();
        let mut acknowledged = Vec::new();
        for writer in writers {
            match writer.join().unwrap() {
                Ok(text) => acknowledged.extend([text.to_owned(), text.to_owned()]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
            }
        }
        let seen = reader.join().unwrap().map(texts);
        let (engine, session) = open(&disk);
        let mut stored = texts(messages(&session));
        match seen {
            Ok(seen) => assert!(seen.len() % 2 == 0 && stored.starts_with(&seen), "{seen:?} {stored:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        stored.sort();
        acknowledged.sort();
        assert_eq!((stored, engine.verify().unwrap()), (acknowledged, vec![]));
        engine.close().unwrap();
    }

    fn the_default_store_deletes_a_session_whole_or_not_while_it_closes() {
        let disk = SimulatedDisk::new();
        let (engine, session) = open(&disk);
        session.append(["one", "two"]).unwrap();
        let other = engine.workspace("acme").unwrap().agent("agent").unwrap();
        let other = other.create_session(NewSession::default().key("other")).unwrap();
        let deleting = thread::spawn(move || session.delete());
        let writing = thread::spawn(move || other.append(["kept"]).is_ok());
        engine.close().unwrap();
        let (deleted, kept) = (deleting.join().unwrap(), writing.join().unwrap());
        if let Err(error) = &deleted {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
        let store = disk.open(Durability::default()).unwrap();
        let engine = Engine::builder("a.parlor").clock(Still).open_store(store).unwrap();
        let agent = engine.workspace("acme").unwrap().agent("agent").unwrap();
        assert_eq!(agent.session_by_key("one").is_err(), deleted.is_ok());
        assert_eq!(messages(&agent.session_by_key("other").unwrap()).len(), usize::from(kept));
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    }

    fn the_default_store_ends_every_turn_while_it_closes() {
        let disk = SimulatedDisk::new();
        let (engine, session) = open(&disk);
        let one = session.send("one").unwrap();
        let others = [waiter(&one), other(&session, follows_up)];
        engine.close().unwrap();
        let heard = others.into_iter().map(|other| other.join().unwrap()).collect();
        let (engine, session) = open(&disk);
        assert_eq!(engine.recovered(), []);
        agree(heard, &session.turns(()).unwrap().items);
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        engine.close().unwrap();
    }
}
