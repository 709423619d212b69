//! An engine as lines of JSON, and such lines into an engine.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;

use super::Engine;
use crate::error::Result;
use crate::lines::{ExportReport, ImportOptions, ImportReport, Reader, Target, Whole};
use crate::progress::Progress;

impl Engine {
    /// Writes all workspaces, agents and live sessions, with all that they hold, as lines: one JSON object each, with every
    /// field in docs/format.md.
    ///
    /// They tell of one state, which is held meanwhile, while reading and writing go on. [`import`](Self::import) gives all of
    /// it back as it was: ids, numbers, `ts`, order, what was soft-deleted, usage, what repeated calls are told by. A turn that
    /// is running stands in the lines as it would after a crash, *failed*, and one that waits as *interrupted* (`cancelled`).
    /// Left out, and counted, are archives and what waits to be announced; webhooks' tokens and secrets are in no line.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// use parlor::{Engine, ImportOptions};
    ///
    /// # let engine = Engine::in_memory().open()?;
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// session.append(["hello"])?;
    /// let mut lines = Vec::new();
    /// let report = engine.export(&mut lines)?;
    /// assert_eq!((report.sessions, report.messages), (1, 1));
    ///
    /// let other = Engine::in_memory().open()?;
    /// assert_eq!(other.import(&*lines, ImportOptions::default())?.messages, 1);
    /// let there = other.workspace("acme")?.session(session.id())?;
    /// assert_eq!(there.history(10)?, session.history(10)?);
    /// # other.close()?;
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoSpace`](crate::ErrorKind::NoSpace) or [`Storage`](crate::ErrorKind::Storage) when it cannot be written,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when a part of it cannot be read: other sessions can be exported
    /// [alone](crate::Session::export). [`InvalidArgument`](crate::ErrorKind::InvalidArgument) over a store of your own.
    /// What was written by then lacks its end.
    pub fn export(&self, out: impl Write) -> Result<ExportReport> {
        self.export_with(out, |_| ControlFlow::Continue(()))
    }

    /// As [`export`](Self::export), and this is called after each step: a break cancels it, and what was written lacks its
    /// end.
    ///
    /// # Errors
    ///
    /// Those of [`export`](Self::export); [`Cancelled`](crate::ErrorKind::Cancelled) after a break.
    pub fn export_with(
        &self,
        mut out: impl Write,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ExportReport> {
        self.core.shared.open()?;
        self.core.long(&mut on, |on| self.core.export(Whole::Engine, &mut out, on))
    }

    /// Takes in the lines of an [`export`](Self::export), of an engine, a workspace or a session.
    ///
    /// Workspaces and agents are found by their names, and made where they are missing, with their ids where those are free.
    /// Each session comes in whole, by one commit, or not at all; where the import fails, those before it have come in, and
    /// [skipping](crate::OnConflict::Skip) them goes on there. The lines may be anybody's: each is checked for itself, and a
    /// session against itself, before it is shown; a line has at most
    /// [`limit::LINES_LINE_BYTES`](crate::limit::LINES_LINE_BYTES). What is not known in them is counted by name in the report.
    ///
    /// # Errors
    ///
    /// Each names the line. [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a line or a field that is no such thing,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for one past its bound, [`Corrupt`](crate::ErrorKind::Corrupt) for lines that do
    /// not fit each other, or lack their end, [`NewerFormat`](crate::ErrorKind::NewerFormat) for those of a later version,
    /// [`Conflict`](crate::ErrorKind::Conflict) for a session whose id or key is there, unless it is to be skipped,
    /// [`Storage`](crate::ErrorKind::Storage) when they cannot be read.
    pub fn import(&self, lines: impl BufRead, options: ImportOptions) -> Result<ImportReport> {
        self.import_with(lines, options, |_| ControlFlow::Continue(()))
    }

    /// As [`import`](Self::import), and this is called after each step: a break cancels it. The total is what the first line
    /// says there is.
    ///
    /// # Errors
    ///
    /// Those of [`import`](Self::import); [`Cancelled`](crate::ErrorKind::Cancelled) after a break.
    pub fn import_with(
        &self,
        mut lines: impl BufRead,
        options: ImportOptions,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ImportReport> {
        self.core.shared.open()?;
        let lines = &mut Reader::new(&mut lines);
        self.core.long(&mut on, |on| self.core.import(Target::Engine, lines, &options, on))
    }
}
