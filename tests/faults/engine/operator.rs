//! Who moves whole sessions, gives out access keys, and looks after the file.

use std::io::{BufReader, sink};
use std::path::Path;

use parlor::id::SessionId;
use parlor::store::ImportIds;
use parlor::testkit::{SimulatedDisk, redb_store_in_blocks};
use parlor::{
    AgentHandle, Archive, Engine, ErrorKind, ImportOptions, IssuedKey, NewKey, NewSession, Result, Retention, Scopes,
};
use uuid::Uuid;

use super::facts::{Fact, Facts, WORKSPACE};
use super::lives::{Commits, Life, Who};
use super::people::{Went, done, unless};
use super::there::lines_of_session;
use crate::suite::random::Random;

/// Moves whole sessions, and looks after the file.
pub struct Operator<'o> {
    pub engine: &'o Engine,
    pub facts: &'o Facts,
    pub random: Random,
    /// Where backups go.
    pub directory: &'o Path,
}

impl Operator<'_> {
    pub fn work(&mut self, steps: u64) -> Went {
        let agent = self.engine.workspace(WORKSPACE)?.agent("desk")?;
        for _ in 0..steps {
            match self.random.below(11) {
                0..=4 => self.move_session(&agent)?,
                5 => {
                    // Somebody may read for long where there are few processors.
                    unless(self.facts, "compact", &[ErrorKind::Conflict], self.engine.compact())?;
                }
                6 => self.back_up()?,
                7 => self.import()?,
                8 => self.retain()?,
                9 => self.delete_agent()?,
                _ => self.give_keys()?,
            }
        }
        Ok(())
    }

    /// Does this, after which they stand so. Nothing is in its way.
    fn does<T>(
        &self,
        what: &'static str,
        lives: Vec<(Who, Life)>,
        commits: Commits,
        does: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.facts.submit(lives, commits);
        let answer = does();
        match &answer {
            Ok(_) => self.facts.acknowledge(),
            // Of several commits some may be there, and of one all.
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown || commits == Commits::Several => {}
            Err(_) => self.facts.withdraw(),
        }
        done(self.facts, what, answer)
    }

    /// Does this to a session, which then stands so.
    fn step<T>(&self, what: &'static str, id: SessionId, life: Life, does: impl FnOnce() -> Result<T>) -> Result<T> {
        self.does(what, vec![(Who::Session(WORKSPACE.into(), id), life)], Commits::One, does)
    }

    fn session_id(&mut self) -> SessionId {
        SessionId::from_uuid(Uuid::from_u64_pair(self.random.next() | 1, self.random.next()))
    }

    /// A session goes through all that one can.
    fn move_session(&mut self, agent: &AgentHandle) -> Went {
        let id = self.session_id();
        let new = NewSession::default().id(id);
        let session = self.step("create", id, Life::Live(Vec::new()), || agent.create_session(new))?;
        let count = 1 + self.random.below(5);
        let texts: Vec<_> = (0..count).map(|nth| format!("{nth} {}", self.random.below(1000))).collect();
        let live = Life::Live(texts.clone());
        let written = self.step("write", id, live.clone(), || session.append(texts.clone()))?;
        if let Some(last) = written.last().filter(|_| self.random.one_in(3)) {
            let (fork, last) = (self.session_id(), last.id);
            self.step("fork", fork, live.clone(), || session.fork(last, NewSession::default().id(fork)))?;
        }
        if self.random.one_in(4) {
            return self.step("delete", id, Life::Gone, || session.delete());
        }
        let archive = self.step("archive", id, Life::Archived(None, texts.clone()), || session.archive())?;
        self.facts.name(archive.filename());
        match self.random.below(4) {
            0 => self.step("delete an archive", id, Life::Gone, || archive.delete()),
            1 => self.step("restore", id, live, || archive.restore()).map(drop),
            _ => self.hand_on(agent, id, texts, &archive),
        }
    }

    /// An archive leaves as a stream and comes back as one.
    fn hand_on(&self, agent: &AgentHandle, id: SessionId, texts: Vec<String>, archive: &Archive) -> Went {
        let mut stream = Vec::new();
        done(self.facts, "export an archive", archive.export(&mut stream))?;
        self.step("delete an archive", id, Life::Gone, || archive.delete())?;
        let archived = Life::Archived(None, texts);
        self.step("import an archive", id, archived, || agent.import_archive(&*stream, ImportIds::Keep)).map(drop)
    }

    /// The copy opens, and is whole.
    fn back_up(&mut self) -> Went {
        let name = Uuid::from_u64_pair(self.random.next(), self.random.next());
        let path = self.directory.join(format!("{name}.parlor"));
        done(self.facts, "back up", self.engine.backup(&path))?;
        let copy = redb_store_in_blocks(&path, SimulatedDisk::BLOCK).expect("a backup opens");
        assert_eq!(copy.verify().expect("it is read"), Vec::<String>::new(), "a backup is whole");
        copy.close().expect("it closes");
        std::fs::remove_file(&path).expect("it is removed");
        Ok(())
    }

    /// Of a workspace the newest session is kept.
    fn retain(&mut self) -> Went {
        let name = format!("to be kept {}", self.random.next());
        let workspace = self.engine.workspace(&name)?;
        let agent = workspace.agent("desk")?;
        let mut past = Vec::new();
        let archives = self.random.one_in(2);
        for number in 0..3 {
            let (id, text) = (self.session_id(), vec![format!("{number} of {name}")]);
            let who = Who::Session(name.clone(), id);
            let new = NewSession::default().id(id);
            let made = vec![(who.clone(), Life::Live(Vec::new()))];
            let session = self.does("create", made, Commits::One, || agent.create_session(new))?;
            let written = vec![(who.clone(), Life::Live(text.clone()))];
            self.does("write", written, Commits::One, || session.append(text.clone()))?;
            past.push((who, if archives { Life::Archived(None, text) } else { Life::Gone }));
        }
        // The newest stays as it is.
        past.pop();
        let what = if archives { Retention::archive() } else { Retention::delete() };
        let what = what.workspace(workspace.id()).keep_newest(1);
        let report = self.does("retain", past, Commits::Several, || self.engine.retain(what))?;
        assert_eq!((report.archived + report.deleted, report.busy + report.changed), (2, 0), "{report:?}");
        Ok(())
    }

    /// A workspace of another engine comes in as lines.
    fn import(&mut self) -> Went {
        let name = format!("from elsewhere {}", self.random.next());
        let elsewhere = || -> Result<_> {
            let other = Engine::in_memory().open()?;
            let agent = other.workspace(&name)?.agent("desk")?;
            Ok((other, agent))
        };
        let (other, agent) = elsewhere().expect("an engine that nothing happens to");
        let (mut lives, mut facts) = (Vec::new(), Vec::new());
        for number in 0..1 + self.random.below(3) {
            let (id, texts) = (self.session_id(), vec![format!("{number}"), "and more".repeat(number as usize)]);
            let session = agent.create_session(NewSession::default().id(id)).expect("a session");
            session.append(texts.clone()).expect("its messages");
            let mut lines = Vec::new();
            session.export(&mut lines).expect("its lines");
            facts.push(Fact::Lines(name.clone(), id, lines_of_session(&lines)));
            lives.push((Who::Session(name.clone(), id), Life::Live(texts)));
        }
        let mut lines = Vec::new();
        other.export(&mut lines).and_then(|_| other.close()).expect("its lines");
        let import = || self.engine.import(BufReader::new(&*lines), ImportOptions::default());
        self.does("import lines", lives, Commits::Several, import)?;
        facts.into_iter().for_each(|fact| self.facts.learn(fact));
        done(self.facts, "export lines", self.engine.export(sink())).map(drop)
    }

    /// An agent goes, with a session and an archive of its.
    fn delete_agent(&mut self) -> Went {
        let name = format!("of an agent {}", self.random.next());
        let agent = self.engine.workspace(&name)?.agent("desk")?;
        let text = self.random.below(1000).to_string();
        done(self.facts, "label an agent", agent.set_label(text.as_str()))?;
        let ids = [self.session_id(), self.session_id()];
        let who = |id| Who::Session(name.clone(), id);
        let mut sessions = Vec::new();
        for id in ids {
            let live = |texts| vec![(who(id), Life::Live(texts))];
            let new = NewSession::default().id(id);
            let session = self.does("create", live(Vec::new()), Commits::One, || agent.create_session(new))?;
            self.does("write", live(vec![text.clone()]), Commits::One, || session.append([text.as_str()]))?;
            sessions.push(session);
        }
        if let Some(session) = sessions.pop() {
            let archived = vec![(who(session.id()), Life::Archived(None, vec![text.clone()]))];
            self.does("archive", archived, Commits::One, || session.archive())?;
        }
        let gone = ids.map(|id| (who(id), Life::Gone)).to_vec();
        self.does("delete an agent", gone, Commits::One, || agent.delete())
    }

    /// Access keys are made, and taken back by one of the ways there are.
    fn give_keys(&mut self) -> Went {
        let workspace = self.engine.workspace(&format!("with keys {}", self.random.next()))?;
        let agent = workspace.agent("desk")?;
        let who = |key: &IssuedKey| Who::Key(key.secret.expose().to_owned());
        // Before it is made nobody knows it.
        let opens = |key: Result<IssuedKey>| {
            let key = done(self.facts, "make a key", key)?;
            self.facts.submit(vec![(who(&key), Life::Opens)], Commits::One);
            self.facts.acknowledge();
            Ok(key)
        };
        let master = opens(workspace.create_master_key(NewKey::default()))?;
        let key = opens(agent.create_key(Scopes::CHAT, NewKey::default()))?;
        match self.random.below(3) {
            0 => {
                let revoked = vec![(who(&key), Life::Gone)];
                self.does("revoke a key", revoked, Commits::One, || workspace.revoke_key(key.record.id))
            }
            1 => {
                let revoked = vec![(who(&key), Life::Gone), (who(&master), Life::Gone)];
                let replace = || workspace.replace_master_key(NewKey::default());
                let other = self.does("replace a key", revoked, Commits::One, replace)?;
                opens(Ok(other)).map(drop)
            }
            _ => Ok(()),
        }
    }
}
