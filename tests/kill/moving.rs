//! The process that makes, moves and copies whole sessions and files without end, and tells of it on standard error:
//! what it is about to do, how each session may stand then, each step on the way, and that it is done.

use std::io::{self, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fmt, fs, process, thread};

use parlor::id::SessionId;
use parlor::store::ImportIds;
use parlor::{AgentHandle, Archive, Builder, Engine, ImportOptions, NewSession, Progress, Retention, Session};
use uuid::Uuid;

use super::Random;

/// The folder of a process that is to be killed, what it does most, and its seed.
const FOLDER: &str = "PARLOR_TEST_MOVING";
const PART: &str = "PARLOR_TEST_PART";
const SEED: &str = "PARLOR_TEST_SEED";
/// Set where others read its file meanwhile.
const SHARED: &str = "PARLOR_TEST_SHARED";

/// Parts that do nothing but end by themselves, or never.
pub const ABORT: &str = "abort";
pub const HANG: &str = "hang";

/// All that it can be killed in.
pub const PARTS: [&str; 15] = [
    "make", "recover", "close", "create", "append", "fork", "archive", "restore", "delete", "stream", "discard",
    "lines", "retain", "compact", "backup",
];

pub const WORKSPACE: &str = "acme";
pub const AGENT: &str = "desk";

/// How a session may stand: with this many messages, whose texts are [`texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Gone,
    Live(usize),
    Archived(usize),
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Life::Gone => f.write_str("gone"),
            Life::Live(count) => write!(f, "live:{count}"),
            Life::Archived(count) => write!(f, "archived:{count}"),
        }
    }
}

impl Life {
    pub fn read(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "gone").then_some(Life::Gone),
            Some(("live", count)) => Some(Life::Live(count.parse().ok()?)),
            Some(("archived", count)) => Some(Life::Archived(count.parse().ok()?)),
            Some(_) => None,
        }
    }
}

/// What stands in a session of so many messages. A fork has the second half of its id, and the texts, of the session that it
/// was made from.
pub fn texts(session: SessionId, count: usize) -> Vec<String> {
    let (_, half) = session.as_uuid().as_u64_pair();
    (0..count).map(|number| format!("{half:x} {number} {}", "and more ".repeat(number * 31 % 90))).collect()
}

/// Whether others read a file meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    None,
    Attached,
}

impl Readers {
    pub fn builder(self, file: &Path) -> Builder {
        let builder = Engine::builder(file);
        if self == Readers::Attached { builder.shared_readers() } else { builder }
    }
}

/// Starts this test as such a process.
pub fn start(folder: &Path, part: &str, readers: Readers, seed: u64) -> Child {
    Command::new(env::current_exe().expect("the path of this test"))
        .args(["--exact", "moving::the_process_that_is_killed", "--nocapture"])
        .envs([(FOLDER, folder.as_os_str()), (PART, part.as_ref()), (SEED, seed.to_string().as_ref())])
        .envs((readers == Readers::Attached).then_some((SHARED, "1")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test starts itself")
}

/// The life of the process, which the tests begin; as a test of its own it does nothing.
#[test]
fn the_process_that_is_killed() {
    let (Some(folder), Ok(part), Ok(seed)) = (env::var_os(FOLDER), env::var(PART), env::var(SEED)) else { return };
    match part.as_str() {
        ABORT => process::abort(),
        HANG => loop {
            thread::park();
        },
        _ => {}
    }
    let mut random = Random(seed.parse().expect("a number"));
    let readers = if env::var_os(SHARED).is_some() { Readers::Attached } else { Readers::None };
    loop {
        Process::open(Path::new(&folder), &part, readers).work(&mut random);
    }
}

/// One write a line, so that a kill leaves whole ones.
fn tell(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).expect("the test listens");
}

/// Does this, which is to leave sessions of a workspace so.
fn does<T>(part: &str, workspace: &str, may: &[(SessionId, Life)], what: impl FnOnce() -> parlor::Result<T>) -> T {
    tell(&format!("about {part}"));
    may.iter().for_each(|(session, life)| tell(&format!("may {workspace} {session} {life}")));
    let done = what().unwrap_or_else(|error| panic!("{part} fails: {error:?}"));
    tell("done");
    done
}

fn step(_: Progress) -> ControlFlow<()> {
    tell("step");
    ControlFlow::Continue(())
}

struct Process<'p> {
    folder: &'p Path,
    part: &'p str,
    engine: Engine,
    agent: AgentHandle,
}

impl<'p> Process<'p> {
    fn open(folder: &'p Path, part: &'p str, readers: Readers) -> Self {
        let file = folder.join("a.parlor");
        let about = if file.exists() { "recover" } else { "make" };
        let engine = does(about, WORKSPACE, &[], || readers.builder(&file).open());
        let agent = engine.workspace(WORKSPACE).and_then(|acme| acme.agent(AGENT)).expect("an agent");
        Process { folder, part, engine, agent }
    }

    /// Works for a while, most of it in its part, and closes.
    fn work(self, random: &mut Random) {
        let stories = if self.part == "close" { 1 } else { 24 };
        for _ in 0..stories {
            let part = if random.below(2) == 0 { self.part } else { PARTS[random.below(PARTS.len())] };
            match part {
                "lines" => self.import(random),
                "retain" => self.retain(random),
                "compact" => does("compact", WORKSPACE, &[], || self.engine.compact()),
                "backup" => self.back_up(),
                _ => self.move_session(random),
            }
        }
        does("close", WORKSPACE, &[], || self.engine.close());
    }

    /// A session goes through all that one can.
    fn move_session(&self, random: &mut Random) {
        let most = if random.below(4) == 0 { 400 } else { 12 };
        let (id, count) = (session_id(random), 1 + random.below(most));
        let (live, archived) = ([(id, Life::Live(count))], [(id, Life::Archived(count))]);
        let new = NewSession::default().id(id);
        let session = does("create", WORKSPACE, &[(id, Life::Live(0))], || self.agent.create_session(new));
        let said = does("append", WORKSPACE, &live, || session.append(texts(id, count)));
        let (other, half) = (session_id(random).as_uuid().as_u64_pair().0, id.as_uuid().as_u64_pair().1);
        let fork = SessionId::from_uuid(Uuid::from_u64_pair(other, half));
        let (new, last) = (NewSession::default().id(fork), said.last().expect("a message").id);
        let copy = does("fork", WORKSPACE, &[(fork, Life::Live(count))], || session.fork_with(last, new, step));
        if random.below(2) == 0 {
            does("delete", WORKSPACE, &[(fork, Life::Gone)], || copy.delete());
        }
        let archive = does("archive", WORKSPACE, &archived, || session.archive_with(step));
        let session = does("restore", WORKSPACE, &live, || archive.restore_with(None, step));
        let archive = does("archive", WORKSPACE, &archived, || session.archive_with(step));
        let archive = self.hand_on(id, count, &archive);
        match random.below(3) {
            0 => {}
            1 => does("discard", WORKSPACE, &[(id, Life::Gone)], || archive.delete()),
            _ => {
                let session: Session = does("restore", WORKSPACE, &live, || archive.restore_with(None, step));
                if random.below(2) == 0 {
                    does("delete", WORKSPACE, &[(id, Life::Gone)], || session.delete());
                }
            }
        }
    }

    /// An archive leaves as a stream and comes back as one.
    fn hand_on(&self, id: SessionId, count: usize, archive: &Archive) -> Archive {
        let mut stream = Vec::new();
        archive.export(&mut stream).expect("a stream");
        does("discard", WORKSPACE, &[(id, Life::Gone)], || archive.delete());
        does("stream", WORKSPACE, &[(id, Life::Archived(count))], || {
            self.agent.import_archive_with(&*stream, ImportIds::Keep, step)
        })
    }

    /// Sessions of another engine come in as lines.
    fn import(&self, random: &mut Random) {
        let other = Engine::in_memory().open().expect("another engine");
        let agent = other.workspace(WORKSPACE).and_then(|acme| acme.agent(AGENT)).expect("an agent");
        let made = (0..1 + random.below(4)).map(|_| {
            let (id, count) = (session_id(random), 1 + random.below(60));
            let session = agent.create_session(NewSession::default().id(id)).expect("a session");
            session.append(texts(id, count)).expect("its messages");
            (id, Life::Live(count))
        });
        let made: Vec<_> = made.collect();
        let mut lines = Vec::new();
        other.export(&mut lines).expect("lines");
        other.close().expect("it closes");
        does("lines", WORKSPACE, &made, || {
            self.engine.import_with(BufReader::new(&*lines), ImportOptions::default(), step)
        });
    }

    /// Of a workspace the newest session is kept.
    fn retain(&self, random: &mut Random) {
        let name = format!("kept-{}", session_id(random));
        let workspace = self.engine.workspace(&name).expect("a workspace");
        let agent = workspace.agent(AGENT).expect("an agent");
        let made = [3, 5, 2].map(|count| {
            let id = session_id(random);
            let session =
                does("create", &name, &[(id, Life::Live(0))], || agent.create_session(NewSession::default().id(id)));
            does("append", &name, &[(id, Life::Live(count))], || session.append(texts(id, count)));
            (id, count)
        });
        let archives = random.below(2) == 0;
        let retention = if archives { Retention::archive() } else { Retention::delete() };
        let past =
            [made[0], made[1]].map(|(id, count)| (id, if archives { Life::Archived(count) } else { Life::Gone }));
        let retention = retention.workspace(workspace.id()).keep_newest(1);
        does("retain", &name, &past, || self.engine.retain_with(retention, step));
    }

    /// What one before it that was killed left behind does not stand in its way.
    fn back_up(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst) % 2;
        let path = self.folder.join(format!("copy-{number}.parlor"));
        if path.exists() {
            fs::remove_file(&path).expect("it is removed");
        }
        does("backup", WORKSPACE, &[], || self.engine.backup_with(&path, step));
        assert!(path.exists(), "it was acknowledged");
    }
}

fn session_id(random: &mut Random) -> SessionId {
    let mut half = || (random.below(1 << 31) as u64) << 31 | random.below(1 << 31) as u64;
    SessionId::from_uuid(Uuid::from_u64_pair(half() | 1, half()))
}
