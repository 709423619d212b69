//! What an agent streams: told at once, never stored, and over with the message that it becomes.

use std::future::Future;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::unbounded;
use parlor::{
    AgentResult, ChangeKind, Delta, Engine, ErrorKind, Live, LiveFeed, MessageType, NewMessage, Result, Session,
    TurnContext, TurnState, limit,
};

use super::Count;
use super::support::{Gate, gate, on_every_store, open, session};

/// What an agent is told to do next.
enum Step {
    Say(&'static str),
    Write(&'static str),
    /// Writes what no store takes.
    Refused,
    End,
}

/// An agent that does one step after the other, and the test's side of it: each step is answered when it is done.
fn scripted(store: &Arc<dyn parlor::store::Store>) -> (Engine, Session, impl Fn(Step) -> Result<()>) {
    let ((order, orders), (done, dones)) = (unbounded::<Step>(), unbounded());
    let engine = open(store, |builder| {
        builder.agent_fn("worker", move |turn| -> AgentResult {
            loop {
                let answer = match orders.recv()? {
                    Step::Say(piece) => turn.delta(piece),
                    Step::Write(text) => turn.message(text).map(drop),
                    Step::Refused => turn.emit(NewMessage::text("x").kind(MessageType::FinalMessage)).map(drop),
                    Step::End => return Ok("the end".into()),
                };
                done.send(answer)?;
            }
        })
    });
    let session = session(&engine, "worker");
    let play = move |step: Step| {
        let ends = matches!(step, Step::End);
        order.send(step).unwrap();
        if ends { Ok(()) } else { dones.recv().unwrap() }
    };
    (engine, session, play)
}

/// All that is there, in short: a delta as its offset and text, an event as the text or the state it brings.
fn rest(live: &mut LiveFeed, session: &Session) -> Vec<String> {
    std::iter::from_fn(|| live.try_next()).map(|item| short(item.unwrap(), session)).collect()
}

fn short(item: Live, session: &Session) -> String {
    match item {
        Live::Delta(Delta { offset, missed: 0, text, .. }) => format!("{offset}:{text}"),
        Live::Delta(Delta { offset, missed, text, .. }) => format!("{offset}({missed}):{text}"),
        Live::Change(change) => match change.kind {
            ChangeKind::Message(id) => session.message(id).unwrap().text(),
            ChangeKind::Turn(_, state) => state.as_str().to_owned(),
            _ => "made".to_owned(),
        },
        _ => panic!("something new"),
    }
}

#[test]
fn a_follower_is_told_what_is_said_at_once_and_a_late_one_what_was_said_so_far() {
    on_every_store(|store| {
        let (engine, session, play) = scripted(&store);
        let mut early = session.stream(0);
        let turn = session.send("hello").unwrap();
        assert_eq!(rest(&mut early, &session), ["made", "hello", "running"]);
        play(Step::Say("on")).unwrap();
        assert_eq!(rest(&mut early, &session), ["0:on"]);
        play(Step::Say("ce ")).unwrap();
        play(Step::Say("upon")).unwrap();
        assert_eq!(rest(&mut early, &session), ["2:ce upon"], "a slow one gets it in one piece");
        let mut late = session.stream(0);
        assert_eq!(rest(&mut late, &session), ["made", "hello", "running", "0:once upon"]);
        play(Step::Say("")).unwrap();
        assert_eq!(rest(&mut late, &session), <[String; 0]>::default());
        // The message takes the place of the text; another text begins anew.
        play(Step::Say(" a")).unwrap();
        play(Step::Write("once upon a time")).unwrap();
        play(Step::Say("é")).unwrap();
        assert_eq!(rest(&mut early, &session), ["once upon a time", "0:é"], "what it did not read is not told");
        assert_eq!(early.reached(), 4);
        play(Step::Say("!")).unwrap();
        assert_eq!(rest(&mut early, &session), ["2:!"], "offsets are in bytes");
        play(Step::End).unwrap();
        turn.wait().unwrap();
        assert_eq!(rest(&mut early, &session), ["the end", "completed"]);
        assert_eq!(rest(&mut late, &session), ["once upon a time", "the end", "completed"]);
        // Nothing of it was stored.
        let texts: Vec<_> = session.history(10).unwrap().iter().map(|message| message.text()).collect();
        assert_eq!(texts, ["hello", "once upon a time", "the end"]);
        engine.close().unwrap();
        assert!(early.next().is_none() && early.is_ended());
    });
}

#[test]
fn a_write_that_was_refused_takes_nothing_from_the_text() {
    on_every_store(|store| {
        let (engine, session, play) = scripted(&store);
        session.send("hello").unwrap();
        play(Step::Say("one")).unwrap();
        assert_eq!(play(Step::Refused).unwrap_err().kind(), ErrorKind::InvalidArgument);
        play(Step::Say(" two")).unwrap();
        assert_eq!(rest(&mut session.stream(3), &session), ["0:one two"]);
        play(Step::End).unwrap();
        session.idle().wait().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn an_interrupted_agent_is_heard_no_more() {
    on_every_store(|store| {
        let (engine, session, play) = scripted(&store);
        let mut live = session.stream(2);
        let one = session.send("one").unwrap();
        play(Step::Say("so far")).unwrap();
        assert_eq!(rest(&mut live, &session), ["running", "0:so far"]);
        play(Step::Say(" and further")).unwrap();
        session.follow_up("two").unwrap();
        assert_eq!(play(Step::Say("late")).unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(rest(&mut live, &session), ["interrupted", "two", "running"]);
        assert_eq!(rest(&mut session.stream(6), &session), <[String; 0]>::default());
        // What its next agent says is told as its own.
        play(Step::End).unwrap();
        play(Step::Say("two")).unwrap();
        match live.next().unwrap().unwrap() {
            Live::Delta(delta) => assert!(delta.turn_id != one.id() && delta.text == "two"),
            other => panic!("{other:?}"),
        }
        play(Step::End).unwrap();
        session.idle().wait().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn who_is_too_slow_is_told_how_much_it_missed() {
    on_every_store(|store| {
        let (engine, session, play) = scripted(&store);
        session.send("hello").unwrap();
        // Two bytes each: no cut may split one.
        let piece: &'static str = "é".repeat(limit::DELTA_BYTES / 8).leak();
        let mut slow = session.stream(3);
        play(Step::Say(piece)).unwrap();
        assert!(matches!(slow.try_next(), Some(Ok(Live::Delta(delta))) if delta.text == piece && delta.offset == 0));
        (0..4).for_each(|_| play(Step::Say(piece)).unwrap());
        let Some(Ok(Live::Delta(delta))) = slow.try_next() else { panic!("there is more") };
        let said = 5 * piece.len() as u64;
        assert_eq!(delta.offset + delta.text.len() as u64, said);
        assert_eq!(delta.missed, delta.offset - piece.len() as u64);
        assert!(delta.missed > 0 && delta.text.len() <= limit::DELTA_BYTES);
        play(Step::Say("the rest")).unwrap();
        let Some(Ok(Live::Delta(delta))) = slow.try_next() else { panic!("there is more") };
        assert_eq!((delta.offset, delta.missed, &*delta.text), (said, 0, "the rest"));
        play(Step::End).unwrap();
        session.idle().wait().unwrap();
        engine.close().unwrap();
    });
}

#[test]
fn what_is_said_wakes_those_who_listen_and_nobody_else() {
    on_every_store(|store| {
        let (engine, session, play) = scripted(&store);
        let turn = session.send("hello").unwrap();
        let (mut follow, mut live) = (session.follow(3), session.stream(3));
        let (mut watch, mut idle) = (engine.workspace("acme").unwrap().watch(), session.idle());
        let counts: [Arc<Count>; 4] = Default::default();
        assert!(counts[0].poll(|cx| live.poll_next(cx)).is_pending());
        assert!(counts[1].poll(|cx| follow.poll_next(cx)).is_pending());
        assert!(counts[2].poll(|cx| watch.poll_next(cx)).is_pending());
        assert!(counts[3].poll(|cx| std::pin::Pin::new(&mut idle).poll(cx)).is_pending());
        play(Step::Say("one")).unwrap();
        assert_eq!(counts.each_ref().map(|count| count.get()), [1, 0, 0, 0]);
        play(Step::Say("two")).unwrap();
        assert_eq!(counts[0].get(), 1, "it has to look first");
        play(Step::End).unwrap();
        turn.wait().unwrap();
        engine.close().unwrap();
    });
}

/// Follows a session until a turn has ended, from some event on, and puts together what it was told.
fn listen(mut live: LiveFeed, session: &Session, slow: impl Fn()) -> Vec<String> {
    let (mut shown, mut lines) = (String::new(), Vec::new());
    loop {
        match live.next().expect("the engine is open").unwrap() {
            Live::Delta(delta) => {
                assert!(delta.offset == shown.len() as u64 || delta.offset == 0, "a gap: {delta:?} after {shown:?}");
                if delta.offset == 0 {
                    shown.clear();
                }
                shown.push_str(&delta.text);
            }
            Live::Change(change) => match change.kind {
                ChangeKind::Message(id) => {
                    let message = session.message(id).unwrap();
                    assert!(message.text().starts_with(&shown), "{shown:?} before {:?}", message.text());
                    lines.push(message.text());
                    shown.clear();
                }
                ChangeKind::Turn(_, TurnState::Completed) => {
                    assert_eq!(shown, "", "said after it was written");
                    return lines;
                }
                _ => {}
            },
            _ => panic!("something new"),
        }
        slow();
    }
}

#[test]
fn whoever_joins_whenever_hears_every_text_without_a_gap_or_a_repeat() {
    const LINES: usize = 40;
    const PIECES: usize = 20;
    fn recite(turn: &TurnContext, gate: &Gate) -> AgentResult<NewMessage> {
        let mut last = String::new();
        for line in 0..LINES {
            let mut text = String::new();
            for piece in 0..PIECES {
                let piece = format!("{line}.{piece} ");
                turn.delta(&piece)?;
                text.push_str(&piece);
                gate.pass("recite");
            }
            if line + 1 == LINES {
                last = text;
            } else {
                turn.message(text)?;
            }
        }
        Ok(last.into())
    }
    on_every_store(|store| {
        let (gate, keeper) = gate();
        let engine = open(&store, |builder| builder.agent_fn("worker", move |turn| recite(turn, &gate)));
        let session = session(&engine, "worker");
        thread::scope(|scope| {
            let mut listeners = Vec::new();
            session.send("recite").unwrap();
            for n in 0..LINES * PIECES {
                keeper.arrival();
                if n % 23 == 0 {
                    // Every other one is told what was written before it joined, too.
                    let after = if n % 2 == 0 { 3 } else { session.get().unwrap().last_change };
                    let (live, session, yields) = (session.stream(after), &session, n % 5);
                    let slow = move || (0..yields).for_each(|_| thread::yield_now());
                    listeners.push((after, scope.spawn(move || listen(live, session, slow))));
                }
                keeper.open();
            }
            for (after, listener) in listeners {
                // Before its first line there are three events.
                assert_eq!(listener.join().unwrap().len() as u64, LINES as u64 - (after - 3));
            }
        });
        engine.close().unwrap();
    });
}
