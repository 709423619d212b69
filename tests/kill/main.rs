//! A process that is killed at any moment: what it had acknowledged is there, and it goes on.
//!
//! One is the replay example, which notes every message on its standard output as soon as the engine has acknowledged
//! it. The [other](moving) is this test, which starts itself, and moves whole sessions and files. Both are killed after so many
//! lines, not after so much time.
//!
//! Every failure names a seed; with `PARLOR_SEED` set to it the same kills are tried, as far as processes allow.

#[path = "../example/mod.rs"]
mod example;
#[path = "../../examples/replay/feed.rs"]
mod feed;
#[path = "../../examples/soak/killed.rs"]
mod killed;
mod moved;
mod moving;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use feed::Feed;
use killed::was_killed;
use moving::Readers;
use parlor::id::{MessageId, SessionId};
use parlor::page::{Direction, MessageQuery};
use parlor::{AgentHandle, Engine, Message, Reason, Session, SessionStatus, TurnState};
use serde_json::{Value, json};

/// Kills of a run, and of a long one (`PARLOR_LONG=1`), where `PARLOR_KILLS` does not say how many. Each of the two processes has
/// half of them.
const KILLS: [usize; 2] = [30, 300];

fn is_long() -> bool {
    env::var_os("PARLOR_LONG").is_some_and(|value| value == "1")
}

/// How many kills each process has, at least one.
fn wanted() -> usize {
    let asked = env::var("PARLOR_KILLS").ok().map(|text| text.parse().expect("PARLOR_KILLS is a number"));
    asked.unwrap_or(KILLS[usize::from(is_long())]).div_ceil(2)
}

/// The seed of a test, which is told where it fails.
struct Seed(u64);

impl Seed {
    fn of_test() -> Self {
        let asked = env::var("PARLOR_SEED").ok().map(|text| text.parse().expect("PARLOR_SEED is a number"));
        Seed(asked.unwrap_or(0x5eed))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("PARLOR_SEED={}", self.0);
        }
    }
}

#[test]
fn an_abort_is_no_kill() {
    let start = |part| moving::start(Path::new(""), part, Readers::None, 0);
    assert!(!was_killed(start(moving::ABORT).wait().unwrap()));
    let mut killed = start(moving::HANG);
    killed.kill().unwrap();
    assert!(was_killed(killed.wait().unwrap()));
}

#[test]
fn killed_at_any_moment_it_has_all_it_acknowledged_and_goes_on() {
    let replay = example::replay();
    let dir = tempfile::tempdir().unwrap();
    let (long, wanted, seed) = (is_long(), wanted(), Seed::of_test());
    let recorded = if long { recorded_files() } else { None };
    let recorded = recorded.unwrap_or_else(|| vec![made_file(dir.path())]);
    let messages: usize = recorded.iter().map(|file| fs::read_to_string(file).unwrap().lines().count()).sum();
    // A fifth of a file at most, so that a file sees several kills.
    let most = messages / 5 + 2;
    let mut random = Random(seed.0);
    let mut kills = 0;
    let mut opening = 0;
    let mut worst = Duration::ZERO;
    for round in 0.. {
        let file = dir.path().join(format!("{round}.parlor"));
        let mut acked = Vec::new();
        let mut ended = Ended::Killed;
        while ended == Ended::Killed && kills < wanted {
            // One of three that were killed is killed again while it is opened.
            let again = ended == Ended::Killed && file.exists() && random.below(3) == 0;
            let moment = if again { Moment::Lines(1) } else { moment(&mut random, most) };
            opening += usize::from(again);
            ended = run(&replay, &file, &recorded, moment, &mut acked);
            // One that had played all and ended before it was told to is no kill.
            kills += usize::from(ended != Ended::Whole);
            // Half of the files are opened by the next run first, which then has to recover them.
            if ended == Ended::Closing || random.below(2) == 0 {
                worst = worst.max(check(&file, &acked));
            }
        }
        // The last file is played to its end and compared; in a long run every one.
        if long || kills >= wanted {
            assert_eq!(run(&replay, &file, &recorded, Moment::Never, &mut acked), Ended::Whole);
            worst = worst.max(check(&file, &acked));
        }
        assert_eq!(acked.len(), acked.iter().collect::<HashSet<_>>().len(), "a message was acknowledged twice");
        if kills >= wanted {
            break;
        }
    }
    println!("{kills} kills, {opening} of them at the opening after one; the worst time to open was {worst:?}");
}

/// When a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// After it has printed so many lines, and at the latest when it has played everything and
    /// closes the file. The first line is printed before the file is opened.
    Lines(usize),
    Never,
}

/// Now and then while the file is made or recovered, or closed; most times in the midst of it.
fn moment(random: &mut Random, most: usize) -> Moment {
    Moment::Lines(match random.below(8) {
        0 => usize::MAX,
        1 | 2 => random.below(4),
        _ => random.below(most),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Killed,
    /// Killed when all was played.
    Closing,
    Whole,
}

/// Runs the replay up to a moment, and kills it; adds what it acknowledged.
fn run(
    replay: &Path,
    file: &Path,
    recorded: &[PathBuf],
    moment: Moment,
    acked: &mut Vec<(SessionId, MessageId)>,
) -> Ended {
    let mut child = Command::new(replay)
        .args(["--acks", "-", "--workers", "8", "--file"])
        .arg(file)
        .args(recorded)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut last, mut is_sent) = (String::new(), false);
    let mut killed = Ended::Killed;
    for number in 0.. {
        if last.starts_with("played ") {
            killed = Ended::Closing;
        }
        if moment != Moment::Never && (moment == Moment::Lines(number) || killed == Ended::Closing) {
            child.kill().unwrap();
            is_sent = true;
        }
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 {
            break;
        }
        assert!(line.ends_with('\n'), "half a line was written: {line:?}");
        if let Some(ack) = line.strip_prefix("ack ") {
            let (session, message) = ack.trim_end().split_once(' ').unwrap();
            acked.push((session.parse().unwrap(), message.parse().unwrap()));
        }
        last = line;
    }
    let status = child.wait().unwrap();
    if status.success() {
        assert!(last.ends_with(" 0 differences\n"), "the last line is {last:?}");
        return Ended::Whole;
    }
    assert!(is_sent && was_killed(status), "replay ended by itself, {status}, after {last:?}");
    killed
}

/// What must hold of a file whose process was killed. How long it took to open.
fn check(file: &Path, acked: &[(SessionId, MessageId)]) -> Duration {
    let began = Instant::now();
    let engine = Engine::builder(file).open().expect("a file whose process was killed opens");
    let took = began.elapsed();
    assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
    for turn in engine.recovered() {
        assert_eq!((turn.state, turn.reason), (TurnState::Failed, Some(Reason::Crash)), "{turn:?}");
    }
    let agent = engine.find_workspace("replay").unwrap().and_then(|found| found.find_agent("replay").unwrap());
    let sessions = agent.iter().flat_map(sessions);
    let mut there = HashSet::new();
    for session in sessions {
        let (id, (visible, deleted)) = (session.id(), check_session(&session));
        there.extend(visible.into_iter().chain(deleted).map(|message| (id, message)));
    }
    for ack in acked {
        assert!(there.contains(ack), "{ack:?} was acknowledged and is lost");
    }
    engine.close().unwrap();
    took
}

fn sessions(agent: &AgentHandle) -> Vec<Session> {
    let pages = (1_u64..).map(|page| agent.sessions((page, 100)).unwrap().items);
    let records = pages.take_while(|items| !items.is_empty()).flatten();
    records.map(|record| agent.session(record.id).unwrap()).collect()
}

/// One session: no turn is running, at most one ran at a time, and only what dead turns left was
/// deleted. Answers with the messages that are visible and those that were deleted.
fn check_session(session: &Session) -> (Vec<MessageId>, HashSet<MessageId>) {
    let record = session.get().unwrap();
    assert_ne!(record.status, SessionStatus::Running, "{record:?}");
    assert_eq!(record.running_turn, None);

    // The feed itself refuses a turn that begins while another runs.
    let feed = Feed::read(session).unwrap();
    assert_eq!(feed.running, None, "a turn of {} is left running", record.key);
    assert!(feed.deleted.is_subset(&feed.dead), "{} lost messages of completed turns", record.key);

    let all = MessageQuery::all().direction(Direction::Asc).limit(100);
    let messages: Vec<Message> = session.messages(all).iter().map(Result::unwrap).collect();
    let numbers = messages.iter().map(|message| (message.number, message.id));
    assert!(numbers.eq(feed.visible()), "{} does not have what its feed tells", record.key);

    let pages = (1_u64..).map(|page| session.turns((page, 100)).unwrap().items);
    let turns: Vec<_> = pages.take_while(|items| !items.is_empty()).flatten().collect();
    for turn in &turns {
        let ended = (turn.state, turn.reason);
        let right = [(TurnState::Completed, None), (TurnState::Failed, Some(Reason::Crash))];
        assert!(right.contains(&ended), "{turn:?}");
    }
    let dead = turns.iter().filter(|turn| turn.state == TurnState::Failed).map(|turn| turn.id);
    let dead: HashSet<_> = dead.collect();
    let left = messages.iter().filter_map(|message| message.turn_id).filter(|turn| dead.contains(turn));
    assert!(left.collect::<HashSet<_>>().len() <= 1, "two dead turns of {} left messages", record.key);
    (messages.into_iter().map(|message| message.id).collect(), feed.deleted)
}

/// The recorded conversations beside the project, where they are.
fn recorded_files() -> Option<Vec<PathBuf>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let files = ["tau_airline.jsonl", "crosswoz_val.jsonl"].map(|name| beside.join(name));
    files.iter().all(|file| file.exists()).then(|| files.to_vec())
}

fn made_file(dir: &Path) -> PathBuf {
    let file = dir.join("made.jsonl");
    let lines: Vec<_> = (0..40).flat_map(conversation).map(|line| format!("{line}\n")).collect();
    fs::write(&file, lines.concat()).unwrap();
    file
}

/// A conversation with what can be cut in two: a prompt, plain answers, calls one by one and in
/// parallel, calls without a result, and ends without an answer.
fn conversation(number: usize) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    let mut say = |role: &str, kind: &str, content: Value, calls: &[usize], answers: Option<usize>| {
        let id = |call: &usize| format!("call_{number}_{call}");
        let call = |call| json!({"id": id(call), "type": "function", "function": {"name": "look", "arguments": "{}"}});
        let calls: Vec<_> = calls.iter().map(call).collect();
        lines.push(json!({
            "session": format!("made-{number}"), "seq": lines.len(), "role": role, "type": kind, "content": content,
            "tool_calls": if calls.is_empty() { Value::Null } else { calls.into() },
            "tool_call_id": answers.as_ref().map(id), "name": answers.map(|_| "look"), "ts": null,
        }));
    };
    say("system", "message", json!(format!("You are number {number}.")), &[], None);
    for turn in 0..4 + number % 3 {
        say("user", "message", json!(format!("question {turn}")), &[], None);
        let calls: Vec<_> = (turn * 10..turn * 10 + (number + turn) % 4).collect();
        if !calls.is_empty() {
            say("assistant", "tool_call", Value::Null, &calls, None);
        }
        // Every fifth conversation never hears from its last call.
        let heard = calls.len().saturating_sub(usize::from(number.is_multiple_of(5)));
        for call in calls.iter().take(heard) {
            say("tool", "tool_call", json!(format!("result {call}")), &[], Some(*call));
        }
        if (number + turn) % 6 != 5 {
            say("assistant", "final_message", json!(format!("answer {turn}")), &[], None);
        }
    }
    lines
}

/// A small generator of numbers: the same kills with the same seed, as far as processes allow.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}
