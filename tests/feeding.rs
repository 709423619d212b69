//! Agents that send to their own session.

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use crossbeam_channel::unbounded;
use parlor::store::Store;
use parlor::{Engine, ErrorKind, Session, TurnHandle, TurnState};
use support::{gate, on_every_store, open, session};

#[test]
fn what_an_agent_sends_to_its_session_waits_its_turn() {
    on_every_store(|store| {
        let own = Arc::new(OnceLock::<Session>::new());
        let (sent, sends) = unbounded::<TurnHandle>();
        let engine = open(&store, |builder| {
            let own = Arc::clone(&own);
            builder.agent_fn("worker", move |turn| {
                if turn.input().text() == "begin" {
                    // On its own thread the handle of anybody's does the same.
                    sent.send(turn.send("one")?)?;
                    sent.send(own.get().expect("it was set").send("two")?)?;
                    let error = turn.send("three")?.wait().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::WouldDeadlock);
                }
                Ok(format!("{} {}", turn.input().text(), turn.chain()))
            })
        });
        let session = session(&engine, "worker");
        own.set(session.clone()).unwrap();
        assert_eq!(session.send("begin").unwrap().wait().unwrap().text(), "begin 0");
        for (turn, text) in sends.try_iter().zip(["one 1", "two 1"]) {
            assert_eq!(turn.wait().unwrap().text(), text);
        }
        session.idle().wait().unwrap();
        assert_eq!(session.history(1).unwrap()[0].text(), "three 1");
        engine.close().unwrap();
    });
}

#[test]
fn an_agent_that_was_interrupted_sends_nothing_more() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (kind, kinds) = unbounded();
        let engine = open(&store, |builder| {
            builder.agent_fn("worker", move |turn| {
                if turn.input().text() == "no" {
                    return Ok(());
                }
                gate.pass("worker");
                kind.send(turn.send("late").unwrap_err().kind())?;
                Ok(())
            })
        });
        let session = session(&engine, "worker");
        session.send("hello").unwrap();
        keeper.arrival();
        let next = session.follow_up("no").unwrap();
        keeper.open();
        assert_eq!(kinds.recv().unwrap(), ErrorKind::Fenced);
        assert_eq!(next.wait().unwrap().state(), TurnState::Completed);
        assert_eq!(session.turns(()).unwrap().meta.total, 2);
        engine.close().unwrap();
    });
}

#[test]
fn a_chain_goes_on_where_the_file_is_opened_again() {
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let (chain, chains) = unbounded();
        let gate = Mutex::new(Some(gate));
        let feeding = |store: &Arc<dyn Store>| -> Engine {
            let (gate, chain) = (gate.lock().unwrap().take(), chain.clone());
            open(store, |builder| {
                builder.agent_fn("worker", move |turn| {
                    chain.send(turn.chain())?;
                    if turn.chain() < 2 {
                        turn.send("more")?;
                    }
                    if let Some(gate) = &gate {
                        gate.pass("worker");
                    }
                    Ok(())
                })
            })
        };
        let engine = feeding(&store);
        let session = session(&engine, "worker");
        session.send("begin").unwrap();
        keeper.arrival();
        // Its process dies with one turn running and one waiting.
        std::mem::forget(engine);
        let engine = feeding(&store);
        let session = engine.workspace("acme").unwrap().session(session.id()).unwrap();
        session.idle().wait().unwrap();
        assert_eq!(chains.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        engine.close().unwrap();
        drop(keeper);
    });
}
