//! parlor's archives, exports and imports, through its public API.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parlor::{AgentHandle, Archive, Engine, ImportIds, ImportOptions, NewSession, Session};

use super::super::parlor::{AGENT, Parlor, WORKSPACE, message};
use super::{Long, Operation, stream};
use crate::corpus::Draft;
use crate::disk;
use crate::peer::Result;
use crate::plan;

/// Nothing is left to clear away where the process has done nothing for so many looks: for longer than the engine keeps in
/// memory what the file lacks. Asking the engine would take memory, and that is measured.
const LOOK: Duration = Duration::from_millis(500);
const STILL: u32 = 6;

/// An engine with a long session, or with room for one.
pub struct Whole {
    directory: PathBuf,
    engine: Engine,
    agent: AgentHandle,
    /// The one that is written to.
    other: Session,
}

impl Whole {
    /// Opens it.
    pub fn open(directory: &Path) -> Result<Whole> {
        let engine = Engine::builder(Parlor::file(directory)).open()?;
        let agent = engine.workspace(WORKSPACE)?.agent(AGENT)?;
        let other = agent.create_session(NewSession::default())?;
        Ok(Whole { directory: directory.to_owned(), engine, agent, other })
    }

    fn session(&self) -> Result<Session> {
        Ok(self.agent.session_by_key(&plan::key(0))?)
    }

    fn archive(&self) -> Result<Archive> {
        let archives = self.agent.archives(1)?;
        let newest = archives.items.first().ok_or("there is no archive")?;
        Ok(self.agent.archive(&newest.filename)?)
    }

    fn reader(&self, name: &str) -> Result<BufReader<File>> {
        Ok(BufReader::new(File::open(stream(&self.directory, name))?))
    }

    fn writer(&self, name: &str) -> Result<BufWriter<File>> {
        Ok(BufWriter::new(File::create(stream(&self.directory, name))?))
    }
}

impl Long for Whole {
    fn run(&self, operation: Operation) -> Result {
        match operation {
            Operation::Archive => self.session()?.archive().map(|_| ())?,
            Operation::ExportArchive => self.archive()?.export(self.writer("stream.archive")?)?,
            Operation::ImportArchive => {
                self.agent.import_archive(self.reader("stream.archive")?, ImportIds::Keep).map(|_| ())?;
            }
            Operation::Restore => self.archive()?.restore().map(|_| ())?,
            Operation::ExportLines => self.engine.export(self.writer("stream.jsonl")?).map(|_| ())?,
            Operation::ImportLines => {
                self.engine.import(self.reader("stream.jsonl")?, ImportOptions::default()).map(|_| ())?;
            }
            Operation::Delete => self.session()?.delete()?,
        }
        Ok(())
    }

    fn clear(&self) -> Result {
        // The engine does.
        Ok(())
    }

    fn settle(&self) -> Result {
        let (mut busy, mut still) = (disk::ticks()?, 0);
        while still < STILL {
            std::thread::sleep(LOOK);
            let now = disk::ticks()?;
            still = if now <= busy + 1 { still + 1 } else { 0 };
            busy = now;
        }
        Ok(())
    }

    fn append(&self, drafts: &Arc<[Draft]>) -> Result {
        self.other.append(drafts.iter().map(message))?;
        Ok(())
    }

    fn messages(&self) -> Result<Option<u64>> {
        match self.agent.session_by_key(&plan::key(0)) {
            Err(error) if error.is_not_found() => Ok(None),
            found => Ok(Some(found?.get()?.last_message.into())),
        }
    }
}
