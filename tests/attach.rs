//! Many processes read a file that one of them writes.
//!
//! The others are this binary again, which plays a part on its standard input and output when a variable of the
//! environment names one.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use parlor::{Builder, ChangeKind, Durability, Engine, ErrorKind, NewSession, Session, limit};

const PART: &str = "PARLOR_ATTACH_PART";
const FILE: &str = "PARLOR_ATTACH_FILE";

/// A directory that goes away with the test, and a path in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("chats.parlor");
    (dir, path)
}

/// So often that a test need not wait for long.
fn attach(path: &Path) -> parlor::Result<Engine> {
    Engine::builder(path).poll_every(Duration::from_millis(limit::POLL_MS_MIN)).attach()
}

fn shared(path: &Path) -> parlor::Result<Engine> {
    Engine::builder(path).shared_readers().open()
}

fn session(engine: &Engine) -> Session {
    let agent = engine.workspace("acme").and_then(|workspace| workspace.agent("echo")).expect("an agent");
    agent.session_by_key("one").or_else(|_| agent.create_session(NewSession::default().key("one"))).expect("a session")
}

/// The number of messages, which are their numbers.
fn count(session: &Session) -> usize {
    let messages = session.history(1000).expect("it is read");
    let numbers = messages.iter().map(|message| message.text().parse::<usize>().expect("a number"));
    assert!(numbers.eq(1..=messages.len()), "messages are missing");
    messages.len()
}

fn kind<T>(answer: parlor::Result<T>) -> ErrorKind {
    answer.map(drop).expect_err("it is refused").kind()
}

/// Another process.
struct Process {
    child: Child,
    /// None once it is told that nothing more comes.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Plays a part in a process of its own.
    fn start(part: &str, path: &Path) -> Self {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["a_part_in_another_process", "--exact", "--nocapture"])
            .env(PART, part)
            .env(FILE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (input, output) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        Process { child, input: Some(input), output: BufReader::new(output) }
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.input.as_mut().expect("it listens"), "{what}").expect("it listens");
        self.said()
    }

    /// What it says next; nothing once it is gone.
    fn said(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).expect("its output") == 0 {
                return String::new();
            }
            // The harness says things of its own.
            if let Some(said) = line.split_once("> ") {
                return said.1.trim_end().to_owned();
            }
        }
    }

    /// Lets it come to its end.
    fn end(mut self) {
        self.input = None;
        while !self.said().is_empty() {}
        assert!(self.child.wait().expect("it ends").success());
    }

    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }
}

fn say(what: impl std::fmt::Display) {
    println!("> {what}");
}

/// What is asked, line by line.
fn asked() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(|line| line.expect("a line"))
}

#[test]
fn a_part_in_another_process() {
    let (Ok(part), Some(file)) = (env::var(PART), env::var_os(FILE).map(PathBuf::from)) else { return };
    match &*part {
        // Writes when it is told to, and says when it is acknowledged.
        "writer" | "alone" => {
            let builder = Engine::builder(file);
            let engine = if part == "writer" { builder.shared_readers().open() } else { builder.open() };
            let engine = engine.expect("it opens");
            let session = session(&engine);
            say("open");
            for asked in asked() {
                let next = count(&session) + 1;
                match &*asked {
                    "write" => {
                        session.append([next.to_string()]).expect("it is written");
                        say(next);
                    }
                    "go on" => {
                        // It is killed long before.
                        for number in next..usize::MAX {
                            session.append([number.to_string()]).expect("it is written");
                            say(number);
                        }
                    }
                    asked => panic!("it cannot {asked}"),
                }
            }
            engine.close().expect("it closes");
            say("closed");
        }
        // Reads when it is told to.
        "reader" => {
            let engine = attach(&file).expect("it attaches");
            let session = session(&engine);
            say("open");
            asked().for_each(|_| say(count(&session)));
            engine.close().expect("it closes");
        }
        "opener" => asked().for_each(|_| match shared(&file) {
            Ok(engine) => say(format_args!("open {:?}", engine.close())),
            Err(error) => say(format_args!("{:?}", error.kind())),
        }),
        part => panic!("there is no part {part}"),
    }
}

#[test]
fn readers_in_other_processes_see_each_write_once_it_is_acknowledged() {
    let (_dir, path) = place();
    let mut writer = Process::start("writer", &path);
    assert_eq!(writer.said(), "open");
    let mut readers = [(); 3].map(|()| Process::start("reader", &path));
    readers.iter_mut().for_each(|reader| assert_eq!(reader.said(), "open"));
    let here = attach(&path).expect("it attaches");
    for number in 1..=20_usize {
        assert_eq!(writer.ask("write"), number.to_string());
        readers.iter_mut().for_each(|reader| assert_eq!(reader.ask("read"), number.to_string()));
        assert_eq!(count(&session(&here)), number);
    }
    // It closes while they read, and they read on.
    writer.end();
    readers.iter_mut().for_each(|reader| assert_eq!(reader.ask("read"), "20"));
    assert_eq!(here.verify().expect("it is read"), Vec::<String>::new());
    here.close().expect("it closes");
    readers.into_iter().for_each(Process::end);
}

#[test]
fn readers_of_a_killed_writer_have_all_it_acknowledged_and_read_on_when_another_one_writes() {
    let (_dir, path) = place();
    shared(&path).map(|engine| session(&engine)).map(drop).expect("it is made");
    // Attached through all of it.
    let mut there = Process::start("reader", &path);
    assert_eq!(there.said(), "open");
    let here = attach(&path).expect("it attaches");
    let read = session(&here);
    let mut before = 0;
    for round in 0..6 {
        let mut writer = Process::start("writer", &path);
        assert_eq!(writer.said(), "open");
        let recovered = count(&read);
        assert!(recovered >= before, "{recovered} messages are left of {before}");
        let mut acknowledged = writer.ask("go on").parse::<usize>().expect("a number");
        for _ in 0..round * 7 {
            acknowledged = writer.said().parse().expect("a number");
            assert!(count(&read) >= acknowledged, "a reader lacks what was acknowledged");
        }
        writer.kill();
        before = count(&read);
        assert!(before >= acknowledged, "{acknowledged} were acknowledged, {before} are there");
        assert_eq!(there.ask("read"), before.to_string(), "nobody writes, so all read the same");
        assert_eq!(kind(attach(&path)), ErrorKind::OpenForWritingOnce, "nobody has recovered it");
    }
    let writer = shared(&path).expect("it opens beside those who are attached");
    assert_eq!(count(&session(&writer)), count(&read));
    attach(&path).and_then(Engine::close).expect("it attaches to the recovered file");
    assert_eq!(writer.verify().expect("it is read"), Vec::<String>::new());
    writer.close().expect("it closes");
    here.close().expect("it closes");
    there.end();
}

#[test]
fn a_file_whose_log_has_writes_that_it_lacks_is_to_be_opened_for_writing_once() {
    let (_dir, path) = place();
    let mut writer = Process::start("alone", &path);
    assert_eq!(writer.said(), "open");
    assert_eq!(writer.ask("write"), "1");
    assert_eq!(kind(attach(&path)), ErrorKind::AlreadyOpen, "it has the file for itself alone");
    writer.kill();
    assert_eq!(kind(attach(&path)), ErrorKind::OpenForWritingOnce);
    // Whole to redb, which knows of no log.
    drop(redb::Database::open(&path).expect("redb recovers it"));
    let error = attach(&path).map(drop).expect_err("its log is not replayed");
    assert_eq!(error.kind(), ErrorKind::OpenForWritingOnce);
    assert!(error.to_string().contains("its log has writes that it lacks; open it for writing once"), "{error}");
    Engine::builder(&path).open().and_then(Engine::close).expect("it opens for writing");
    let reader = attach(&path).expect("it attaches");
    assert_eq!(count(&session(&reader)), 1);
    reader.close().expect("it closes");
}

#[test]
fn one_process_writes_and_a_file_that_is_read_is_nobodys_alone() {
    let (_dir, path) = place();
    let writer = shared(&path).expect("it opens");
    let mut other = Process::start("opener", &path);
    assert_eq!(other.ask("open"), "AlreadyOpen");
    assert_eq!(kind(Engine::builder(&path).open()), ErrorKind::AlreadyOpen);
    session(&writer).append(["1"]).expect("it is written");
    let log = path.with_extension("parlor-log");
    assert!(!log.exists(), "readers could not read a log");
    let reader = attach(&path).expect("it attaches");
    writer.close().expect("it closes");
    assert_eq!(kind(Engine::builder(&path).open()), ErrorKind::AlreadyOpen, "somebody reads it");
    assert_eq!(other.ask("open"), "open Ok(())");
    reader.close().expect("it closes");
    Engine::builder(&path).open().and_then(Engine::close).expect("it opens");
    other.end();
}

#[test]
fn an_attached_engine_writes_nothing() {
    let (_dir, path) = place();
    let builder = |path: &Path| Engine::builder(path).agent_fn("echo", |turn| Ok(turn.input().text()));
    let writer = builder(&path).shared_readers().open().expect("it opens");
    let written = session(&writer);
    let first = written.append(["1"]).expect("it is written");
    let reader = builder(&path).attach().expect("it attaches");
    let read = session(&reader);
    let agent = reader.workspace("acme").and_then(|workspace| workspace.agent("echo")).expect("they are there");
    let before = written.get().expect("it is read");
    let refused = [
        reader.workspace("other").map(drop),
        reader.workspace("acme").and_then(|workspace| workspace.agent("other")).map(drop),
        agent.create_session(NewSession::default()).map(drop),
        read.append(["2"]).map(drop),
        read.send("2").map(drop),
        read.delete_message(first[0].id),
        read.delete(),
    ];
    for answer in refused {
        let error = answer.expect_err("it only reads");
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
        assert!(error.to_string().contains("chats.parlor"), "{error}");
    }
    assert_eq!(written.get().expect("it is read"), before);
    reader.close().expect("it closes");
    writer.close().expect("it closes");
    assert_eq!(kind(read.get()), ErrorKind::Closed);
}

#[test]
fn followers_and_watches_of_an_attached_engine_hear_of_what_another_process_writes() {
    let (_dir, path) = place();
    shared(&path).map(|engine| session(&engine)).map(drop).expect("it is made");
    let reader = attach(&path).expect("it attaches");
    let (workspace, read) = (reader.workspace("acme").expect("a workspace"), session(&reader));
    let mut follow = read.follow(read.get().expect("it is read").last_change);
    let (mut all, mut of_agent) = (workspace.watch(), workspace.agent("echo").expect("an agent").watch());

    let mut writer = Process::start("writer", &path);
    assert_eq!(writer.said(), "open");
    for number in 1..=3_u64 {
        // Nothing is there before it is written, and it comes without being asked for.
        assert!(follow.try_next().is_none());
        assert_eq!(writer.ask("write"), number.to_string());
        let change = follow.next().expect("an event").expect("it is whole");
        assert!(matches!(change.kind, ChangeKind::Message(_)), "{change:?}");
        for watch in [&mut all, &mut of_agent] {
            let told = watch.find(|told| told.as_ref().expect("it is read").change == change.number);
            assert_eq!(told.expect("a session").expect("it is read").session, read.id());
        }
    }
    writer.end();

    let writer = shared(&path).expect("it opens");
    session(&writer).delete().expect("it is deleted");
    assert!(follow.next().expect("an end").expect_err("it is gone").is_not_found());
    assert!(follow.next().is_none());
    assert!(all.next().expect("a session").expect("it is read").is_gone());
    let anew = session(&writer);
    let told = of_agent.find(|told| told.as_ref().expect("it is read").session == anew.id());
    assert!(!told.expect("a session").expect("it is read").is_gone());
    writer.close().expect("it closes");
    reader.close().expect("it closes");
    assert!(all.by_ref().all(|told| told.is_ok()) && all.is_ended());
}

#[test]
fn what_cannot_be_attached_is_said_so() {
    let (_dir, path) = place();
    assert_eq!(kind(attach(&path)), ErrorKind::NotFound);
    std::fs::write(&path, "no file of redb's, but a long one").expect("it is written");
    assert_eq!(kind(attach(&path)), ErrorKind::Corrupt);
    assert_eq!(kind(Engine::in_memory().attach()), ErrorKind::InvalidArgument);
    let refused: [fn(Builder) -> Builder; 3] = [
        |builder| builder.poll_every(Duration::ZERO),
        |builder| builder.poll_every(Duration::from_millis(limit::POLL_MS_MAX + 1)),
        |builder| builder.shared_readers().durability(Durability::Deferred(Duration::from_secs(1))),
    ];
    for refused in refused {
        assert_eq!(kind(refused(Engine::builder(&path)).open()), ErrorKind::InvalidArgument);
    }
}
