//! The process that [moves](super::moving) whole sessions and files, killed in each of the things it does.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use parlor::id::SessionId;
use parlor::store::ImportIds;
use parlor::{Engine, Error, Message};

use super::moving::{self, AGENT, Life, PARTS, Readers, texts};
use super::{Random, Seed, was_killed};

#[test]
fn killed_while_it_moves_whole_sessions_and_files_each_is_where_it_was_or_where_it_went() {
    let (wanted, seed, dir) = (super::wanted(), Seed::of_test(), tempfile::tempdir().unwrap());
    let mut random = Random(seed.0);
    let (mut files, mut attached) = (0, 0);
    let mut within: BTreeMap<String, usize> = PARTS.iter().map(|part| (part.to_string(), 0)).collect();
    let (mut told, mut folder, mut readers) = (Told::default(), dir.path().to_owned(), Readers::None);
    for kill in 0..wanted {
        let part = PARTS[kill % PARTS.len()];
        // A new file now and then, and where its making is what is killed.
        if kill % 5 == 0 || part == "make" {
            folder = dir.path().join(kill.to_string());
            fs::create_dir(&folder).unwrap();
            told = Told::default();
            readers = if files % 3 == 1 { Readers::Attached } else { Readers::None };
            files += 1;
        }
        let mut process = Process { folder: &folder, part, readers, reader: None };
        if let Some(part) = told.hear_until_killed(&mut process, &mut random) {
            *within.get_mut(&part).expect("it does nothing else") += 1;
        }
        if let Some(reader) = &process.reader {
            attached += 1;
            told.stand(reader, Is::Read);
        }
        // Half of the files are opened by the next process first, which then has to recover them.
        if random.below(2) == 0 || kill % 5 == 4 || kill + 1 == wanted {
            told.check(process);
        }
    }
    println!("{wanted} kills, {attached} with a reader beside, within {within:?}");
    let missed: Vec<_> = within.iter().filter(|(_, kills)| **kills == 0).map(|(part, _)| part).collect();
    assert!(wanted < 10 * PARTS.len() || missed.is_empty(), "never killed within {missed:?}");
    assert!(wanted < 10 * PARTS.len() || attached > 0, "nobody ever read beside");
}

/// A process that is killed.
struct Process<'p> {
    folder: &'p Path,
    part: &'p str,
    readers: Readers,
    /// Who reads its file beside it.
    reader: Option<Engine>,
}

impl Process<'_> {
    fn file(&self) -> PathBuf {
        self.folder.join("a.parlor")
    }
}

/// What a file is that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// Read as its process left it: recovering it may bring in what was under way.
    Read,
    Recovered,
}

/// How sessions may stand, by workspace and id: the last is what was told last.
#[derive(Default)]
struct Told(HashMap<(String, SessionId), Vec<Life>>);

impl Told {
    /// Runs a process until it is within this part, and kills it. What it was doing then.
    fn hear_until_killed(&mut self, process: &mut Process<'_>, random: &mut Random) -> Option<String> {
        let Process { folder, part, readers, .. } = *process;
        let mut child = moving::start(folder, part, readers, random.below(1 << 31) as u64);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // It does this so many times before, and tells of so many steps; and has some moments more.
        let (mut before, mut steps) = (if part == "make" { 0 } else { random.below(3) }, random.below(5));
        let moments = 1 << random.below(14);
        let (mut doing, mut other, mut is_sent) = (None, Vec::new(), false);
        let mut pending = Vec::new();
        for line in lines.map(|line| line.unwrap()) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["about", about] => doing = Some(about.to_owned()),
                ["may", workspace, session, life] => {
                    let key = (workspace.to_owned(), session.parse().unwrap());
                    let may = self.0.entry(key.clone()).or_insert_with(|| vec![Life::Gone]);
                    may.push(Life::read(life).expect("a life"));
                    pending.push(key);
                }
                ["step"] => {}
                ["done"] => {
                    for key in pending.drain(..) {
                        let may = self.0.get_mut(&key).expect("it was told");
                        may.drain(..may.len() - 1);
                    }
                    if doing.take().is_some_and(|done| done == part) {
                        (before, steps) = (before.saturating_sub(1), 0);
                    }
                    // It has the file open.
                    if readers == Readers::Attached && process.reader.is_none() {
                        process.reader = Some(Engine::builder(process.file()).attach().expect("a reader"));
                    }
                }
                // Where it panics, it says why.
                _ => other.push(line),
            }
            if doing.as_deref() == Some(part) && before == 0 && !is_sent {
                is_sent = steps == 0 || part == "make";
                steps = steps.saturating_sub(1);
                if is_sent {
                    (0..moments).for_each(|_| thread::yield_now());
                    child.kill().unwrap();
                }
            }
        }
        let status = child.wait().unwrap();
        assert!(is_sent && was_killed(status), "the process ended by itself, {status}: {other:#?}");
        doing
    }

    /// Everything is where it was told to be, and where it was not told that it is done, there or where it was.
    fn stand(&mut self, engine: &Engine, is: Is) {
        let mut totals: HashMap<&str, (u64, u64)> = HashMap::new();
        for ((workspace, session), may) in &mut self.0 {
            let found = stands(engine, workspace, *session, may).unwrap_or_else(|failure| panic!("{failure}"));
            let (live, archived) = totals.entry(workspace).or_default();
            *live += u64::from(matches!(found, Life::Live(_)));
            *archived += u64::from(matches!(found, Life::Archived(_)));
            let at = may.iter().position(|life| *life == found).expect("it may be so");
            may.drain(..at);
            may.truncate(if is == Is::Recovered { 1 } else { may.len() });
        }
        for (workspace, due) in totals {
            let known = engine.find_workspace(workspace).unwrap();
            let Some(agent) = known.and_then(|known| known.find_agent(AGENT).unwrap()) else { continue };
            let found = (agent.sessions(1).unwrap().meta.total, agent.archives(1).unwrap().meta.total);
            assert_eq!(found, due, "sessions and archives of {workspace}");
        }
    }

    fn check(&mut self, process: Process<'_>) {
        let engine = process.readers.builder(&process.file());
        let engine = engine.open().expect("a file whose process was killed opens");
        assert_eq!(engine.verify().unwrap(), Vec::<String>::new());
        self.stand(&engine, Is::Recovered);
        if let Some(reader) = process.reader {
            self.stand(&reader, Is::Recovered);
            reader.close().unwrap();
        }
        engine.close().unwrap();
        backups(process.folder);
    }
}

/// Every backup is there as a whole, or not at all.
fn backups(folder: &Path) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("copy-") && name.ends_with(".parlor") {
            let copy = Engine::builder(&path).verify_on_open().open().expect("a backup is whole");
            copy.close().unwrap();
            fs::remove_file(&path).unwrap();
        }
    }
}

/// How a session stands, which is one of the ways in which it may.
fn stands(engine: &Engine, workspace: &str, id: SessionId, may: &[Life]) -> Result<Life, String> {
    let failed = |error: Error| format!("session {id} of {workspace} cannot be read: {error:?}");
    let (found, is) = match texts_of(engine, workspace, id).map_err(failed)? {
        None => (Life::Gone, Vec::new()),
        Some((false, is)) => (Life::Live(is.len()), is),
        Some((true, is)) => (Life::Archived(is.len()), is),
    };
    if is != texts(id, is.len()) {
        return Err(format!("session {id} of {workspace} holds {is:#?}"));
    }
    may.contains(&found).then_some(found).ok_or_else(|| format!("session {id} is {found:?}, and may be {may:?}"))
}

/// What stands in a session, and whether that is in an archive.
fn texts_of(engine: &Engine, workspace: &str, id: SessionId) -> Result<Option<(bool, Vec<String>)>, Error> {
    let Some(workspace) = engine.find_workspace(workspace)? else { return Ok(None) };
    match workspace.session(id) {
        Err(error) if error.is_not_found() => {}
        found => return Ok(Some((false, found?.history(1000)?.iter().map(Message::text).collect()))),
    }
    let Some(agent) = workspace.find_agent(AGENT)? else { return Ok(None) };
    for page in 1.. {
        let archives = agent.archives((page, 100))?.items;
        if archives.is_empty() {
            break;
        }
        if let Some(archive) = archives.iter().find(|archive| archive.session_id == id) {
            let mut stream = Vec::new();
            agent.archive(&archive.filename)?.export(&mut stream)?;
            let other = Engine::in_memory().open()?;
            let there = other.workspace("elsewhere")?.agent(AGENT)?.import_archive(&*stream, ImportIds::Keep)?;
            let texts = there.restore()?.history(1000)?.iter().map(Message::text).collect();
            other.close()?;
            return Ok(Some((true, texts)));
        }
    }
    Ok(None)
}
