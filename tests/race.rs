//! Two that want the same thing at once: a session, and a file.

use std::path::Path;
use std::process::Command;
use std::sync::{Barrier, Mutex, mpsc};
use std::{env, thread};

use parlor::page::{Direction, MessageQuery};
use parlor::{Engine, Error, ErrorKind, NewSession, Session, SessionRecord, TurnHandle, TurnState};

/// How often two send at once, and how often in a long run (`PARLOR_LONG=1`).
const ROUNDS: [usize; 2] = [1_000, 10_000];
/// Says which file the second process is to open.
const SECOND: &str = "PARLOR_TEST_SECOND_PROCESS";

#[test]
fn of_two_sends_at_once_exactly_one_wins_and_of_the_other_nothing_is_stored() {
    let long = env::var_os("PARLOR_LONG").is_some_and(|value| value == "1");
    let rounds = ROUNDS[usize::from(long)];
    let dir = tempfile::tempdir().unwrap();
    // A turn lasts until both have sent: the winner's agent waits at the gate.
    let (open_gate, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let engine = Engine::builder(dir.path().join("race.parlor"))
        .agent_fn("gated", move |_| Ok(gate.lock().unwrap().recv()?))
        .open()
        .unwrap();
    let agent = engine.workspace("acme").unwrap().agent("gated").unwrap();
    let session = agent.create_session(NewSession::default()).unwrap();

    let start = Barrier::new(2);
    let (sent, sends) = mpsc::channel();
    let mut won = Vec::new();
    thread::scope(|scope| {
        let runners = ["left", "right"].map(|runner| {
            let (go, starts) = mpsc::channel::<usize>();
            let (session, start, sent) = (&session, &start, sent.clone());
            scope.spawn(move || {
                for round in starts {
                    let text = format!("{runner} {round}");
                    start.wait();
                    let outcome = session.send(text.as_str());
                    sent.send((text, outcome)).unwrap();
                }
            });
            go
        });
        for round in 0..rounds {
            let before = session.get().unwrap();
            runners.iter().for_each(|go| go.send(round).unwrap());
            let sends = [sends.recv().unwrap(), sends.recv().unwrap()];
            won.push(settle(&session, &before, sends, &open_gate));
        }
    });

    let all = MessageQuery::all().direction(Direction::Asc).limit(100);
    let texts: Vec<_> = session.messages(all).iter().map(|message| message.unwrap().text()).collect();
    assert_eq!(texts, won, "the session has the winners' messages and no others");
    assert_eq!(session.turns(1).unwrap().meta.total, rounds as u64);
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    engine.close().unwrap();
}

/// One round: one of the two won, the other is a conflict and left nothing. Lets the winner's
/// turn end, and answers with its text.
fn settle(
    session: &Session,
    before: &SessionRecord,
    sends: [(String, Result<TurnHandle, Error>); 2],
    open_gate: &mpsc::Sender<()>,
) -> String {
    let mut winners = Vec::new();
    for (text, outcome) in sends {
        match outcome {
            Ok(turn) => winners.push((text, turn)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    let during = session.get().unwrap();
    // A send is a message and a turn's state: two events.
    assert_eq!(during.last_message, before.last_message + 1);
    assert_eq!(during.last_change, before.last_change + 2);
    let (text, turn) = winners.remove(0);
    assert_eq!(during.running_turn, Some(turn.id()));
    open_gate.send(()).unwrap();
    assert_eq!(turn.wait().unwrap().state(), TurnState::Completed);
    text
}

#[test]
fn a_file_opens_for_one_process_at_a_time() {
    if let Some(file) = env::var_os(SECOND) {
        second_process(Path::new(&file));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.parlor");
    let engine = Engine::builder(&file).open().unwrap();
    let again = Engine::builder(&file).open().map(|_| ()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyOpen, "{again}");

    let opens = || {
        let test = ["--exact", "a_file_opens_for_one_process_at_a_time", "--nocapture"];
        let child = Command::new(env::current_exe().unwrap()).args(test).env(SECOND, &file).output().unwrap();
        (child.status.code(), String::from_utf8_lossy(&child.stderr).into_owned())
    };
    let (code, said) = opens();
    assert_eq!(code, Some(REFUSED), "{said}");
    assert!(said.contains("one.parlor"), "the error names the file: {said}");
    engine.close().unwrap();
    assert_eq!(opens().0, Some(OPENED), "the file is free again");
}

/// Exit codes of the second process; no test harness ends with them.
const REFUSED: i32 = 42;
const OPENED: i32 = 43;

fn second_process(file: &Path) -> ! {
    let code = match Engine::builder(file).open() {
        Ok(engine) => {
            engine.close().unwrap();
            OPENED
        }
        Err(error) if error.kind() == ErrorKind::AlreadyOpen => {
            eprintln!("{error}");
            REFUSED
        }
        Err(error) => panic!("{error}"),
    };
    std::process::exit(code)
}
