//! Golden files are no museum: their conversations go on.

use std::path::Path;

use parlor::testkit::ManualClock;
use parlor::{
    AgentHandle, Engine, NewMessage, NewSession, NewTurn, Policy, Reason, Session, SessionUpdate, Timestamp, ToolCall,
    TurnState,
};

use super::place::ok;
use super::scene;

/// Later than all that they say.
fn engine(path: &Path) -> Engine {
    let clock = ManualClock::at(Timestamp::from_micros(1_850_000_000_000_000));
    let builder = Engine::builder(path).clock(clock).verify_on_open().agent_fn("greeter", |turn| {
        let call: ToolCall = turn.tool_call("look", "{}")?;
        turn.tool_result(&call, "seen")?;
        Ok(NewMessage::text(format!("{}!", turn.input().text())))
    });
    ok(builder.open())
}

/// All that can be done is done to a file, and it is as sound as before.
pub fn with(path: &Path) {
    let engine = engine(path);
    assert!(engine.recovered().iter().all(|turn| turn.reason == Some(Reason::Crash)));
    if engine.is_paused() {
        ok(engine.resume());
    }
    let acme = ok(engine.workspace("acme"));
    for record in ok(acme.keys(())).items {
        let id = *record.id.as_uuid();
        let (secret, _) = if record.is_master() { scene::master_secret(id) } else { scene::agent_secret(id) };
        assert_eq!(ok(engine.open_key(&secret)).key(), &record);
    }
    let greeter = ok(acme.agent("greeter"));
    what_waited_has_run(&greeter);
    everything_repeats(&greeter);
    let listed = ok(greeter.sessions(())).items;
    let idle: Vec<Session> = listed.iter().map(|session| ok(greeter.session(session.id))).collect();
    idle.iter().for_each(goes_on);
    for record in ok(greeter.archives(())).items {
        let session = ok(ok(greeter.archive(&record.filename)).restore());
        goes_on(&session);
    }
    let last = idle.last().expect("there are some");
    ok(last.delete());
    whole(&engine);
    ok(engine.close());
    let engine = self::engine(path);
    assert_eq!(engine.recovered(), []);
    whole(&engine);
    ok(engine.close());
}

fn whole(engine: &Engine) {
    assert_eq!(ok(engine.verify()), Vec::<String>::new());
}

fn what_waited_has_run(greeter: &AgentHandle) {
    let waited = ok(greeter.session_by_key("waiting"));
    ok(waited.idle().wait());
    let turns = ok(waited.turns(())).items;
    let states: Vec<_> = turns.iter().rev().map(|turn| turn.state).collect();
    assert_eq!(states[1..], [TurnState::Completed, TurnState::Completed]);
    assert!(states[0].is_terminal());
}

/// Whoever repeats what was asked for before the file became golden is answered with what came of it.
fn everything_repeats(greeter: &AgentHandle) {
    let Ok(session) = greeter.session_by_key("telegram:42") else { return };
    let before = ok(session.get()).last_change;
    assert_eq!(ok(greeter.create_session(scene::rich())).id(), session.id());
    assert!(greeter.create_session(scene::rich().label("other")).expect_err("other content").is_conflict());
    let [first, second] = scene::seeded();
    let again = ok(session.append([first.clone(), second]));
    assert_eq!(again.iter().map(|message| message.number).collect::<Vec<_>>(), [1, 2]);
    let mut other = first;
    other.content = Some("other".into());
    assert!(session.append([other]).expect_err("other content").is_conflict());
    let turn = ok(session.send(scene::sent()));
    assert_eq!((ok(turn.get()).number, ok(turn.wait()).text()), (1, "booked".to_owned()));
    let fork = ok(greeter.session_by_key("fork"));
    let from = ok(fork.get()).forked_from.expect("it is a fork");
    assert_eq!(ok(session.fork(from.message, scene::forked())).id(), fork.id());
    assert_eq!(ok(session.get()).last_change, before, "nothing was written");
}

/// A session takes all that a session takes.
fn goes_on(session: &Session) {
    let before = ok(session.get());
    let turn = ok(session.send("more"));
    assert_eq!(ok(turn.wait()).text(), "more!");
    let written = ok(session.append(["one", "two"]));
    ok(session.delete_message(written[0].id));
    ok(session.purge_message(written[0].id));
    let turn = ok(session.send_with(Policy::Enqueue, NewTurn::from("and more")));
    assert_eq!(ok(turn.wait()).text(), "and more!");
    ok(session.update(SessionUpdate::default().label("went on")));
    let fork = ok(session.fork(written[1].id, NewSession::default()));
    assert_eq!(ok(fork.history(1))[0].text(), "two");
    let session = ok(ok(session.archive()).restore());
    let after = ok(session.get());
    assert_eq!(after.label.as_deref(), Some("went on"));
    assert_eq!(after.last_message, before.last_message + 10);
    assert!(after.last_change > before.last_change && after.updated_at >= before.updated_at);
}
