//! What an engine does to its file as a whole.

use std::ops::ControlFlow;
use std::path::Path;

use super::Engine;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::redb::{FileStats, RedbStore};

impl Engine {
    /// Copies what is in the engine at this moment into a file that is not there yet, while reading and writing go on.
    ///
    /// The copy opens by itself, without a log, is as small as it can be, and is readable by its owner alone. It opens
    /// [paused](Self::is_paused): what waits to run or to be announced there stays so until [`resume`](Self::resume),
    /// for here it will run and be announced; turns that are running now end there as those of a process that died. The webhooks' tokens and
    /// secrets are in it, as they are in the file. Of sessions and archives that were deleted before nothing is in it; what is left of
    /// a deleted agent may be, until it was cleared away.
    ///
    /// It is made under another name and appears whole or not at all. The moment's state is held meanwhile, so what is
    /// freed in the file is used again only afterwards; it takes about 16 MiB of memory.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (path, copy) = (dir.path().join("a.parlor"), dir.path().join("b.parlor"));
    /// use parlor::{Engine, ErrorKind};
    ///
    /// let engine = Engine::builder(&path).open()?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// session.append(["hello"])?;
    /// engine.backup(&copy)?;
    /// session.append(["later"])?;
    /// assert_eq!(engine.backup(&copy).unwrap_err().kind(), ErrorKind::Conflict); // it is there
    ///
    /// let backup = Engine::builder(&copy).open()?;
    /// assert!(backup.is_paused());
    /// let then = backup.workspace("acme")?.session(session.id())?.history(10)?;
    /// assert_eq!(then.len(), 1);
    /// # backup.close()?;
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when there is something at the path,
    /// [`NoSpace`](crate::ErrorKind::NoSpace) or [`Storage`](crate::ErrorKind::Storage) when it cannot be written,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when the engine's own file cannot be read,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) over a store of your own.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        self.backup_with(path, |_| ControlFlow::Continue(()))
    }

    /// As [`backup`](Self::backup), and this is called after each step: a break cancels it, and there is no copy.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// # let copy = dir.path().join("b.parlor");
    /// use std::ops::ControlFlow;
    ///
    /// let cancelled = engine.backup_with(&copy, |progress| {
    ///     println!("{} of {}", progress.done, progress.total);
    ///     ControlFlow::Break(())
    /// });
    /// assert_eq!(cancelled.unwrap_err().kind(), parlor::ErrorKind::Cancelled);
    /// assert!(!copy.exists());
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`backup`](Self::backup); [`Cancelled`](crate::ErrorKind::Cancelled) after a break.
    pub fn backup_with(&self, path: impl AsRef<Path>, mut on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<()> {
        self.core.shared.open()?;
        let (file, now) = (self.whole_file()?, self.core.shared.clock.now());
        self.core.long(&mut on, |on| file.backup(path.as_ref(), now, on))
    }

    /// Gives the space of the file's free pages back to the system, as far as they can be moved to its end: the space of
    /// what was deleted is otherwise kept, and used again.
    ///
    /// Reads and writes wait meanwhile, for seconds where the file is large. A crash on the way loses nothing, but the next
    /// opening may read the whole file.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let engine = parlor::Engine::builder(dir.path().join("a.parlor")).open()?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// (0..40).try_for_each(|_| session.append([vec!["x".repeat(1000); 100].concat()]).map(drop))?;
    /// engine.compact()?;
    /// let before = engine.file_stats()?.file_bytes;
    /// session.delete()?;
    /// # // What is left of it is cleared away in steps.
    /// # while engine.file_stats()?.tables.iter().any(|table| table.name == "rows" && table.values > 0) { engine.compact()?; }
    /// engine.compact()?;
    /// assert!(engine.file_stats()?.file_bytes < before / 2);
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) when somebody reads for longer than a second, such as a backup, or another process
    /// that is attached. [`Storage`](crate::ErrorKind::Storage) when it cannot be written; then the engine writes no more until it
    /// is opened again. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) over a store of your own.
    pub fn compact(&self) -> Result<()> {
        let _admission = self.core.executor.admit_write()?;
        self.whole_file()?.compact()
    }

    /// The file in numbers. Reads every page of it.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`Storage`](crate::ErrorKind::Storage) when it cannot be read,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) over a store of your own.
    pub fn file_stats(&self) -> Result<FileStats> {
        self.core.shared.open()?;
        self.whole_file()?.file_stats()
    }

    fn whole_file(&self) -> Result<&RedbStore> {
        self.file.as_deref().ok_or_else(|| Error::invalid("the engine is over a store of your own, which has no file"))
    }
}
