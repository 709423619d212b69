//! The ends of turns are delivered: at least once, in order, and tried again.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parlor::store::Store;
use parlor::testkit::redb_store;
use parlor::{
    Builder, Delivery, DeliveryError, DeliveryOptions, Engine, ErrorKind, NewTurn, Session, Turn, Webhook,
    WebhookSecrets, WebhookState,
};
use support::{Faulty, gate, on_every_store, open, session};

/// Pauses that no test waits for.
fn at_once() -> DeliveryOptions {
    DeliveryOptions::default().pauses(Duration::from_micros(1), Duration::from_micros(1))
}

fn hooked(text: &str) -> NewTurn {
    let (token, secret) = (Some("token".into()), Some("secret".into()));
    NewTurn::from(text).webhook(Webhook { url: "https://example.org".into(), token, secret, include_messages: true })
}

fn ended(session: &Session, text: &str) -> Turn {
    session.send(hooked(text)).expect("a turn").wait().expect("it ends").turn
}

/// An engine with an echo, which delivers as the function says.
fn with<F>(builder: Builder, deliver: F) -> Builder
where
    F: Fn(&Delivery) -> Result<(), DeliveryError> + Send + Sync + 'static,
{
    builder.agent_fn("echo", |turn| Ok(turn.input().text())).delivery(at_once()).transport(deliver)
}

fn listening<T>() -> (Sender<T>, Receiver<T>) {
    unbounded()
}

/// Tells the test, which may have gone, and says that it arrived.
fn pass_on(tell: &Sender<Delivery>, delivery: &Delivery) -> Result<(), DeliveryError> {
    let _ = tell.send(delivery.clone());
    Ok(())
}

fn json(delivery: &Delivery) -> serde_json::Value {
    serde_json::from_str(&delivery.body).expect("it is JSON")
}

/// Waits until the outbox is empty: what was delivered goes a moment later.
fn drained(engine: &Engine) {
    while !engine.outbox(1).expect("the outbox").is_empty() {
        std::thread::yield_now();
    }
}

/// Waits for so many dead ones.
fn dead(engine: &Engine, count: usize) -> Vec<parlor::WebhookRow> {
    loop {
        let rows = engine.dead_letters(None, 100).expect("a page").rows;
        if rows.len() >= count {
            return rows;
        }
        std::thread::yield_now();
    }
}

#[test]
fn an_end_is_delivered_with_what_was_asked_for_and_its_row_goes() {
    on_every_store(|store| {
        let (tell, told) = listening::<Delivery>();
        let engine = open(&store, |builder| with(builder, move |delivery| pass_on(&tell, delivery)));
        let session = session(&engine, "echo");
        session.append(["before"]).expect("it is written");
        let turn = ended(&session, "hello");
        let delivery = told.recv().expect("a delivery");
        assert_eq!((delivery.session_id, delivery.turn_id, delivery.attempt), (session.id(), turn.id, 1));
        assert_eq!(delivery.webhook.token.as_deref(), Some("token"));
        let body = json(&delivery);
        assert_eq!((&body["status"], &body["response"]), (&"completed".into(), &"hello".into()));
        assert!(body["error"].is_null(), "{body}");
        assert_eq!(body["turn_id"], turn.id.to_string());
        let messages = body["messages"].as_array().expect("messages");
        let said: Vec<_> = messages.iter().map(|said| (said["role"].as_str(), said["type"].as_str())).collect();
        assert_eq!(said, [(Some("user"), Some("message")), (Some("assistant"), Some("final_message"))]);
        drained(&engine);
        let printed = format!("{delivery:?}");
        assert!(!printed.contains("\"token\"") && !printed.contains("\"secret\""), "{printed}");
        engine.close().expect("it closes");
    });
}

#[test]
fn a_failed_turn_is_announced_with_its_reason() {
    on_every_store(|store| {
        let (tell, told) = listening::<Delivery>();
        let engine = open(&store, |builder| {
            let builder = builder.agent_fn("broken", |_| Err::<&str, _>("no luck".into()));
            with(builder, move |delivery| pass_on(&tell, delivery))
        });
        session(&engine, "broken").send(hooked("hello")).expect("a turn");
        let body = json(&told.recv().expect("a delivery"));
        assert_eq!((&body["status"], &body["error"]), (&"failed".into(), &"error: no luck".into()));
        assert!(body["response"].is_null(), "{body}");
        engine.close().expect("it closes");
    });
}

#[test]
fn what_fails_is_tried_again_and_holds_back_what_comes_after_it_in_its_session() {
    on_every_store(|store| {
        let (tell, told) = listening();
        let failures = AtomicUsize::new(3);
        let engine = open(&store, |builder| {
            with(builder, move |delivery| {
                tell.send((json(delivery)["response"].clone(), delivery.attempt)).expect("the test listens");
                let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                left.map_or(Ok(()), |_| Err("not now".into()))
            })
        });
        let session = session(&engine, "echo");
        for text in ["a", "b"] {
            ended(&session, text);
        }
        let seen: Vec<_> = told.iter().take(5).collect();
        assert_eq!(seen, [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 1)].map(|(text, nth)| (text.into(), nth)));
        drained(&engine);
        engine.close().expect("it closes");
    });
}

#[test]
fn a_session_whose_receiver_hangs_holds_up_no_other() {
    on_every_store(|store| {
        let (tell, told) = listening::<Delivery>();
        let (held, keeper) = gate();
        let engine = open(&store, |builder| {
            with(builder, move |delivery| {
                if json(delivery)["response"] == "slow" {
                    held.pass("slow");
                }
                pass_on(&tell, delivery)
            })
        });
        let (slow, quick) = (session(&engine, "echo"), session(&engine, "echo"));
        ended(&slow, "slow");
        assert_eq!(keeper.arrival(), "slow");
        ended(&slow, "after it");
        let texts = ["1", "2", "3"].map(|text| ended(&quick, text).id);
        let seen: Vec<_> = told.iter().take(3).map(|delivery| delivery.turn_id).collect();
        assert_eq!(seen, texts, "in order");
        keeper.open();
        let seen: Vec<_> = told.iter().take(2).map(|delivery| json(&delivery)["response"].clone()).collect();
        assert_eq!(seen, ["slow", "after it"]);
        engine.close().expect("it closes");
    });
}

#[test]
fn after_the_last_try_it_is_dead_and_can_be_driven_again() {
    on_every_store(|store| {
        let (tell, told) = listening::<Delivery>();
        let failures = AtomicUsize::new(3);
        let engine = open(&store, |builder| {
            let builder = with(builder, move |delivery| {
                let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                if left.is_ok() {
                    return Err("gone fishing".into());
                }
                pass_on(&tell, delivery)
            });
            builder.delivery(at_once().tries(3))
        });
        let session = session(&engine, "echo");
        let turn = ended(&session, "hello");
        let row = dead(&engine, 1).remove(0);
        assert_eq!((row.turn_id, row.attempts, row.state), (turn.id, 3, WebhookState::Dead));
        assert_eq!(row.error.as_deref(), Some("gone fishing"));
        assert_eq!((row.webhook.token, row.webhook.secret), (None, None));
        let after = ended(&session, "after it");
        assert_eq!(told.recv().expect("a delivery").turn_id, after.id);
        let refused = session.redrive(turn.id, WebhookSecrets::default()).expect_err("it had secrets");
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        let secrets = WebhookSecrets { token: Some("again".into()), secret: Some("too".into()) };
        assert_eq!(session.redrive(None, secrets).expect("it is driven"), 1);
        let again = told.recv().expect("a delivery");
        assert_eq!((again.turn_id, again.attempt, again.webhook.token.as_deref()), (turn.id, 1, Some("again")));
        engine.close().expect("it closes");
    });
}

#[test]
fn a_permanent_failure_is_dead_at_once_and_a_panic_is_tried_again() {
    on_every_store(|store| {
        let (tell, told) = listening::<Delivery>();
        let panics = AtomicUsize::new(1);
        let engine = open(&store, |builder| {
            with(builder, move |delivery| {
                if json(delivery)["response"] == "bad" {
                    return Err(DeliveryError::permanent("never"));
                }
                assert!(panics.fetch_sub(1, Ordering::SeqCst) != 1, "as the test wants it");
                pass_on(&tell, delivery)
            })
        });
        let session = session(&engine, "echo");
        for text in ["bad", "good"] {
            ended(&session, text);
        }
        let row = dead(&engine, 1).remove(0);
        assert_eq!((row.attempts, row.error.as_deref()), (1, Some("never")));
        assert_eq!(told.recv().expect("a delivery").attempt, 2, "after the panic it is tried again");
        engine.close().expect("it closes");
    });
}

#[test]
fn a_close_does_not_wait_for_a_receiver_that_hangs_and_the_next_engine_delivers() {
    on_every_store(|store| {
        let (held, keeper) = gate();
        let hang = move |_: &Delivery| {
            held.pass("hung");
            Ok(())
        };
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.parlor");
        drop(store);
        let builder = || Engine::builder(&path).grace(Duration::ZERO);
        let engine = with(builder(), hang).open().expect("an engine");
        let turn = ended(&session(&engine, "echo"), "hello");
        assert_eq!(keeper.arrival(), "hung");
        engine.close().expect("it closes");
        // What it answers after that changes nothing.
        keeper.open();
        let store = redb_store(&path).expect("the file");
        assert_eq!(store.outbox(10).expect("the outbox").len(), 1);
        store.close().expect("it closes");
        let (tell, told) = listening::<Delivery>();
        let engine = with(builder(), move |delivery| pass_on(&tell, delivery)).open().expect("an engine");
        assert_eq!(told.recv().expect("a delivery").turn_id, turn.id);
        drained(&engine);
        engine.close().expect("it closes");
    });
}

#[test]
fn what_ends_as_an_engine_closes_or_opens_is_delivered_by_the_next_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.parlor");
    let (in_agent, keeper) = gate();
    let engine = Engine::builder(&path).grace(Duration::ZERO).agent_fn("held", move |turn| {
        in_agent.pass("held");
        turn.check()?;
        Ok("done")
    });
    let engine = engine.open().expect("an engine");
    let turn = session(&engine, "held").send(hooked("hello")).expect("a turn").id();
    keeper.arrival();
    engine.close().expect("it closes");
    let (tell, told) = listening::<Delivery>();
    let engine = with(Engine::builder(&path), move |delivery| pass_on(&tell, delivery)).open().expect("an engine");
    let delivery = told.recv().expect("a delivery");
    assert_eq!((delivery.turn_id, &json(&delivery)["status"]), (turn, &"interrupted".into()));
    engine.close().expect("it closes");
}

#[test]
fn a_dropped_engine_waits_for_no_receiver_and_lets_go_of_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.parlor");
    let (held, keeper) = gate();
    let hang = move |_: &Delivery| {
        held.pass("hung");
        Err("late".into())
    };
    let engine = with(Engine::builder(&path), hang).open().expect("an engine");
    let turn = ended(&session(&engine, "echo"), "hello");
    keeper.arrival();
    drop(engine);
    keeper.open();
    let (tell, told) = listening::<Delivery>();
    let engine = with(Engine::builder(&path), move |delivery| pass_on(&tell, delivery))
        .wait_for_lock(Duration::from_secs(60))
        .open()
        .expect("an engine");
    assert_eq!(told.recv().expect("a delivery").turn_id, turn.id);
    engine.close().expect("it closes");
}

#[test]
fn many_sessions_are_delivered_once_each_by_a_few_threads() {
    on_every_store(|store| {
        let (tell, told) = listening();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (under_way, peak) = (Arc::clone(&now), Arc::clone(&most));
        let engine = open(&store, |builder| {
            let builder = with(builder, move |delivery| {
                peak.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tell.send(delivery.turn_id).expect("the test listens");
                under_way.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
            builder.delivery(at_once().threads(3))
        });
        let mut turns: Vec<_> = (0..40).map(|n| ended(&session(&engine, "echo"), &n.to_string()).id).collect();
        let mut seen: Vec<_> = told.iter().take(40).collect();
        drained(&engine);
        turns.sort_unstable();
        seen.sort_unstable();
        assert_eq!((seen, told.is_empty()), (turns, true));
        assert!(most.load(Ordering::SeqCst) <= 3, "no more at once than were asked for");
        engine.close().expect("it closes");
    });
}

#[test]
fn what_is_not_on_disk_is_not_delivered() {
    on_every_store(|store| {
        let faulty = Arc::new(Faulty::new(store));
        let (tell, told) = listening();
        let engine = open(&(faulty.clone() as Arc<dyn Store>), |builder| {
            with(builder, move |delivery| {
                tell.send(delivery.turn_id).expect("the test listens");
                Ok(())
            })
        });
        faulty.fail_sync(ErrorKind::Storage);
        let turn = ended(&session(&engine, "echo"), "hello");
        // It is tried again and again, and never gets as far as the transport.
        while faulty.syncs() < 3 && told.is_empty() {
            std::thread::yield_now();
        }
        assert!(told.is_empty(), "a crash could take back what was told");
        assert_eq!(engine.outbox(1).expect("the outbox")[0].attempts, 0, "nor was it tried");
        faulty.heal();
        assert_eq!(told.recv().expect("a delivery"), turn.id);
        drained(&engine);
        engine.close().expect("it closes");
    });
}

#[test]
fn options_out_of_bounds_are_refused() {
    let second = Duration::from_secs(1);
    for (options, text) in [
        (at_once().threads(0), "delivery threads is 0; it must be 1 to 256"),
        (at_once().threads(257), "delivery threads is 257; it must be 1 to 256"),
        (at_once().tries(0), "delivery tries is 0; it must be 1 or more"),
        (at_once().pauses(second * 2, second), "delivery first_pause is 2s, over longest_pause, 1s"),
    ] {
        let error = Engine::in_memory().delivery(options).open().expect_err(text);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidArgument, text));
    }
}
