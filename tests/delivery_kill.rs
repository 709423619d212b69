//! A process that is killed while it delivers: an end that was acknowledged arrives, twice where the kill came between its
//! arrival and the removal of its row, and never not at all.
//!
//! The process is this test, which starts itself. It tells on standard error what was accepted and what has arrived, and is killed
//! after so many lines, not after so much time.

#[path = "../examples/soak/killed.rs"]
mod killed;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use std::{env, io, thread};

use killed::was_killed;
use parlor::{AgentHandle, Delivery, DeliveryOptions, Engine, NewSession, NewTurn, Webhook};

/// The file of a process that is to be killed, and what it is to do.
const FILE: &str = "PARLOR_TEST_DELIVERING";
const PART: &str = "PARLOR_TEST_PART";

/// Sends one turn, and waits in its transport.
const HOLD: &str = "hold";
/// Sends without end.
const SEND: &str = "send";
/// Sends nothing, and closes once all was delivered.
const DRAIN: &str = "drain";

const SESSIONS: usize = 4;

/// One write a line, so that a kill leaves whole ones.
fn tell(line: &str) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().expect("nobody panics with it");
    io::stderr().write_all(format!("{line}\n").as_bytes()).expect("the test listens");
}

fn hooked(text: &str) -> NewTurn {
    let url = "https://example.org".into();
    NewTurn::from(text).webhook(Webhook { url, token: None, secret: None, include_messages: false })
}

/// The life of the process, which the tests below begin; as a test of its own it does nothing.
#[test]
fn the_process_that_is_killed() {
    let (Some(file), Ok(part)) = (env::var_os(FILE), env::var(PART)) else { return };
    let holds = part == HOLD;
    let arrive = move |delivery: &Delivery| {
        tell(&format!("arrived {} {}", delivery.session_id, delivery.turn_id));
        if holds {
            // It arrived, and nobody hears of it.
            loop {
                thread::park();
            }
        }
        Ok(())
    };
    let engine = Engine::builder(file)
        .agent_fn("echo", |turn| Ok(turn.input().text()))
        .delivery(DeliveryOptions::default().pauses(Duration::from_micros(1), Duration::from_micros(1)))
        .transport(arrive)
        .open()
        .expect("a file whose process was killed opens");
    let agent = engine.workspace("acme").expect("a workspace").agent("echo").expect("an agent");
    if part == DRAIN {
        while !engine.outbox(1).expect("the outbox").is_empty() {
            thread::yield_now();
        }
        engine.close().expect("it closes");
        tell("drained");
        return;
    }
    thread::scope(|scope| {
        for number in 0..if holds { 1 } else { SESSIONS } {
            let agent = &agent;
            scope.spawn(move || send(agent, number, if holds { 1 } else { u64::MAX }));
        }
    });
    loop {
        thread::park();
    }
}

fn send(agent: &AgentHandle, number: usize, turns: u64) {
    let key = format!("session-{number}");
    let session = match agent.session_by_key(&key) {
        Err(error) if error.is_not_found() => agent.create_session(NewSession::default().key(key)),
        found => found,
    };
    let session = session.expect("a session");
    for n in 0..turns {
        let turn = session.enqueue(hooked(&n.to_string())).expect("a turn");
        tell(&format!("accepted {} {}", session.id(), turn.id()));
        turn.wait().expect("it ends");
    }
}

/// What processes have told, by session, in the order in which it was told.
#[derive(Default)]
struct Told {
    accepted: HashMap<String, Vec<String>>,
    arrived: HashMap<String, Vec<String>>,
    drained: bool,
}

impl Told {
    fn hear(&mut self, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["accepted", session, turn] => self.accepted.entry(session.into()).or_default().push(turn.into()),
            ["arrived", session, turn] => self.arrived.entry(session.into()).or_default().push(turn.into()),
            ["drained"] => self.drained = true,
            _ => panic!("the process says {line:?}"),
        }
    }
}

fn start(file: &Path, part: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new(env::current_exe().expect("the path of this test"))
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .envs([(FILE, file.as_os_str()), (PART, part.as_ref())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test starts itself");
    let lines = BufReader::new(child.stderr.take().expect("its standard error")).lines().map_while(Result::ok);
    (child, lines)
}

/// Runs a process until it has told so many lines, and kills it.
fn kill_after(file: &Path, lines: usize, told: &mut Told) {
    let (mut child, heard) = start(file, SEND);
    let mut is_sent = false;
    for (number, line) in heard.enumerate() {
        if number == lines {
            child.kill().expect("it runs");
            is_sent = true;
        }
        told.hear(&line);
    }
    ended_killed(child, is_sent);
}

/// It was killed, by us, and did not end by itself.
fn ended_killed(mut child: Child, is_sent: bool) {
    let status = child.wait().expect("it ended");
    assert!(is_sent && was_killed(status), "the process ended by itself: {status}");
}

fn drain(file: &Path, told: &mut Told) {
    let (mut child, heard) = start(file, DRAIN);
    heard.for_each(|line| told.hear(&line));
    assert!(child.wait().expect("it ended").success() && told.drained, "it closed in good order");
}

#[test]
fn killed_between_the_arrival_and_the_removal_of_its_row_it_arrives_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.parlor");
    let mut told = Told::default();
    let (mut child, heard) = start(&file, HOLD);
    let mut is_sent = false;
    for line in heard {
        told.hear(&line);
        if !told.arrived.is_empty() && !told.accepted.is_empty() {
            child.kill().expect("it runs");
            is_sent = true;
        }
    }
    ended_killed(child, is_sent);
    drain(&file, &mut told);
    let (accepted, arrived) = (told.accepted.into_values().flatten(), told.arrived.into_values().flatten());
    let accepted: Vec<_> = accepted.collect();
    assert_eq!(arrived.collect::<Vec<_>>(), [&accepted[..], &accepted].concat(), "twice");
}

#[test]
fn killed_at_any_moment_it_loses_no_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.parlor");
    let kills = env::var("PARLOR_KILLS").map_or(12, |text| text.parse().expect("PARLOR_KILLS is a number"));
    let mut told = Told::default();
    for kill in 0..kills {
        kill_after(&file, 1 + 7 * kill % 40, &mut told);
    }
    drain(&file, &mut told);
    assert!(told.accepted.len() == SESSIONS, "every session took part");
    let mut again = 0;
    for (session, accepted) in &told.accepted {
        let arrived = told.arrived.get(session).map(Vec::as_slice).unwrap_or_default();
        let mut seen = HashSet::new();
        let first: Vec<_> = arrived.iter().filter(|turn| seen.insert(*turn)).collect();
        again += arrived.len() - first.len();
        // A turn whose process died before it could tell that it was accepted arrives as well.
        let told: HashSet<_> = accepted.iter().collect();
        let known: Vec<_> = first.iter().filter(|turn| told.contains(*turn)).copied().collect();
        assert_eq!(known, accepted.iter().collect::<Vec<_>>(), "every end arrives, in order");
    }
    // Each kill leaves one announcement a session at most whose row has not gone.
    assert!(again <= kills * SESSIONS, "{again} arrived again");
    println!("{kills} kills");
}
