//! Lines of JSON, out of workspaces and sessions and into workspaces and agents.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;

use super::{AgentHandle, Core, Door, Session, Workspace};
use crate::bell::Event;
use crate::error::{Error, ErrorKind, Result};
use crate::grant::Act;
use crate::limit::{LINES_BATCH_BYTES, LINES_BATCH_MESSAGES};
use crate::lines::{
    ExportReport, Fields, Import, ImportOptions, ImportReport, Lines, Nine, OnConflict, Reader, Target, Unknown, Whole,
    at, conversation, is_nine,
};
use crate::progress::{OnProgress, Progress};
use crate::record::{NewMessage, NewSession};
use crate::store::SessionRef;

impl Workspace {
    /// Writes the workspace as lines: see [`Engine::export`](crate::Engine::export).
    ///
    /// # Errors
    ///
    /// Those of [`Engine::export`](crate::Engine::export).
    pub fn export(&self, out: impl Write) -> Result<ExportReport> {
        self.core.export(Act::WorkspaceExport, Whole::Workspace(self.id()), out, |_| ControlFlow::Continue(()))
    }

    /// As [`export`](Self::export), and this is called after each step: a break cancels it, and what was written lacks its
    /// end.
    ///
    /// # Errors
    ///
    /// Those of [`export`](Self::export); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn export_with(&self, out: impl Write, on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<ExportReport> {
        self.core.export(Act::WorkspaceExportWith, Whole::Workspace(self.id()), out, on)
    }

    /// Takes the lines of one workspace, of whatever name, into this one: see [`Engine::import`](crate::Engine::import).
    ///
    /// # Errors
    ///
    /// Those of [`Engine::import`](crate::Engine::import); [`InvalidArgument`](ErrorKind::InvalidArgument) for a second
    /// workspace.
    pub fn import(&self, lines: impl BufRead, options: ImportOptions) -> Result<ImportReport> {
        self.take_in(Act::WorkspaceImport, lines, options, |_| ControlFlow::Continue(()))
    }

    /// As [`import`](Self::import), and this is called after each step: a break cancels it.
    ///
    /// # Errors
    ///
    /// Those of [`import`](Self::import); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn import_with(
        &self,
        lines: impl BufRead,
        options: ImportOptions,
        on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ImportReport> {
        self.take_in(Act::WorkspaceImportWith, lines, options, on)
    }

    fn take_in(
        &self,
        act: Act,
        mut lines: impl BufRead,
        options: ImportOptions,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ImportReport> {
        let (core, target) = (&self.core, Target::Workspace(self.id()));
        core.check(act)?;
        core.long(act, &mut on, |on| core.import(target, &mut Reader::new(&mut lines), &options, on))
    }
}

impl Session {
    /// Writes the session as lines: see [`Engine::export`](crate::Engine::export). [`AgentHandle::import`] takes them. Through a
    /// handle that was made from an agent key they tell of the workspace no more than its id.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// use parlor::ImportOptions;
    ///
    /// let session = engine.workspace("acme")?.agent("greeter")?.create_session(Default::default())?;
    /// session.append(["hello", "who is there?"])?;
    /// let mut lines = Vec::new();
    /// assert_eq!(session.export(&mut lines)?.messages, 2);
    ///
    /// let elsewhere = engine.workspace("globex")?.agent("greeter")?;
    /// elsewhere.import(&*lines, ImportOptions::default())?;
    /// assert_eq!(elsewhere.session(session.id())?.history(10)?.len(), 2);
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Engine::export`](crate::Engine::export); [`NotFound`](ErrorKind::NotFound) when it was deleted or archived.
    pub fn export(&self, out: impl Write) -> Result<ExportReport> {
        self.core.export(Act::SessionExport, Whole::Session(self.at), out, |_| ControlFlow::Continue(()))
    }

    /// As [`export`](Self::export), and this is called after each step: a break cancels it, and what was written lacks its
    /// end.
    ///
    /// # Errors
    ///
    /// Those of [`export`](Self::export); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn export_with(&self, out: impl Write, on: impl FnMut(Progress) -> ControlFlow<()>) -> Result<ExportReport> {
        self.core.export(Act::SessionExportWith, Whole::Session(self.at), out, on)
    }
}

impl AgentHandle {
    /// Takes sessions into this agent, in one of three forms, which is told by how the stream begins:
    ///
    /// * parlor's own lines of one agent, of whatever name: see [`Engine::import`](crate::Engine::import);
    /// * lines of nine keys, a message each: `session` (the session's key), `seq`, `role`, `type`, `content`, `tool_calls`,
    ///   `tool_call_id`, `name`, `ts`; the sessions whole and one after the other;
    /// * one list of messages as model APIs take it, or an object with such a list in `messages`: one session, whose key the
    ///   options say. An assistant's text before a user's message or the end becomes the final message of its exchange. At most
    ///   [`limit::LINES_LIST_MESSAGES`](crate::limit::LINES_LIST_MESSAGES) messages.
    ///
    /// Messages of the last two forms are appended in batches, without turns: the session is seen meanwhile, and deleted
    /// where the import fails within it.
    ///
    /// ```
    /// # fn main() -> parlor::Result<()> {
    /// # let engine = parlor::Engine::in_memory().open()?;
    /// use parlor::ImportOptions;
    ///
    /// let list = br#"[{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Hi!", "refusal": null}]"#;
    /// let agent = engine.workspace("acme")?.agent("greeter")?;
    /// let report = agent.import(&list[..], ImportOptions::default().key("telegram:42"))?;
    /// assert_eq!((report.sessions, report.messages, report.unknown["messages.refusal"]), (1, 2, 1));
    /// assert_eq!(agent.session_by_key("telegram:42")?.history(10)?.len(), 2);
    /// # engine.close()
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Engine::import`](crate::Engine::import); [`InvalidArgument`](ErrorKind::InvalidArgument) for what is none of
    /// the three, and for a second agent.
    pub fn import(&self, lines: impl BufRead, options: ImportOptions) -> Result<ImportReport> {
        self.take_in(Act::AgentImport, lines, options, |_| ControlFlow::Continue(()))
    }

    /// As [`import`](Self::import), and this is called after each step: a break cancels it.
    ///
    /// # Errors
    ///
    /// Those of [`import`](Self::import); [`Cancelled`](ErrorKind::Cancelled) after a break.
    pub fn import_with(
        &self,
        lines: impl BufRead,
        options: ImportOptions,
        on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ImportReport> {
        self.take_in(Act::AgentImportWith, lines, options, on)
    }

    fn take_in(
        &self,
        act: Act,
        mut lines: impl BufRead,
        options: ImportOptions,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ImportReport> {
        let (core, lines) = (&self.core, &mut Reader::new(&mut lines));
        core.check(act)?;
        let form = form(lines)?;
        lines.unread();
        if form == Form::Own {
            let target = Target::Agent(self.record().workspace_id, self.id());
            return core.long(act, &mut on, |on| core.import(target, lines, &options, on));
        }
        core.long(act, &mut on, |on| {
            // Each step of it is checked as this import.
            let agent = AgentHandle::new(core.unchecked(), self.record().clone());
            let mut foreign = Foreign {
                agent: &agent,
                options: &options,
                report: ImportReport::default(),
                unknown: Unknown::default(),
            };
            match form {
                Form::List => foreign.list(lines, on)?,
                Form::Own | Form::Nine => foreign.nine(lines, on)?,
            }
            foreign.report.unknown = foreign.unknown.0;
            Ok(foreign.report)
        })
    }
}

impl Door {
    /// Exports for who may.
    fn export(
        &self,
        act: Act,
        whole: Whole,
        mut out: impl Write,
        mut on: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ExportReport> {
        self.check(act)?;
        let whole = match whole {
            Whole::Session(at) if self.pass().is_of_agent() => Whole::SessionAlone(at),
            whole => whole,
        };
        self.long(act, &mut on, |on| Core::export(self, whole, &mut out, on))
    }
}

impl Core {
    /// Exports through the store, where it can. Who calls has looked whether the engine is open.
    pub(crate) fn export(&self, whole: Whole, out: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<ExportReport> {
        self.lines()?.export(whole, self.shared.stamp(), out, on)
    }

    /// Imports parlor's own lines through the store, where it can. Who calls has looked whether the engine is open.
    pub(crate) fn import(
        &self,
        target: Target,
        lines: &mut Reader<'_>,
        options: &ImportOptions,
        on: &mut OnProgress<'_>,
    ) -> Result<ImportReport> {
        // A close need not wait for who sends the lines: it is asked after at each step.
        let (store, shared) = (self.lines()?, &self.shared);
        let mut came = |workspace, agent, session| {
            shared.bell.ring(SessionRef { workspace, session }, agent, Event::Written);
        };
        let stamp = || shared.stamp();
        store.import(Import { target, lines, options, stamp: &stamp, came: &mut came }, on)
    }

    fn lines(&self) -> Result<&dyn Lines> {
        let lines = self.lines.as_deref();
        lines.ok_or_else(|| Error::invalid("the engine is over a store of your own, which has no lines"))
    }
}

/// The form of what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Own,
    Nine,
    List,
}

/// By the first line.
fn form(lines: &mut Reader<'_>) -> Result<Form> {
    let Some((line, text)) = lines.next()? else { return Err(Error::invalid("there is nothing to import")) };
    let neither = || {
        let bound = "a line of parlor's, one of nine keys, or a list of messages";
        at(line, Error::unreadable("the beginning", text.trim_start(), bound))
    };
    match text.trim_start().as_bytes().first() {
        Some(b'[') => Ok(Form::List),
        Some(b'{') => match Fields::of(line, text) {
            Ok(fields) if fields.has("parlor") => Ok(Form::Own),
            Ok(fields) if is_nine(&fields) => Ok(Form::Nine),
            Ok(fields) if fields.has("messages") => Ok(Form::List),
            Ok(_) => Err(neither()),
            // An object of many lines.
            Err(_) => Ok(Form::List),
        },
        _ => Err(neither()),
    }
}

/// Messages that were written elsewhere.
struct Foreign<'f> {
    agent: &'f AgentHandle,
    options: &'f ImportOptions,
    report: ImportReport,
    unknown: Unknown,
}

/// A session of such messages.
struct Filling {
    key: String,
    /// Where it goes; none where it is left out.
    session: Option<Session>,
    batch: Vec<NewMessage>,
    bytes: usize,
    messages: u64,
}

impl Foreign<'_> {
    fn list(&mut self, lines: &mut Reader<'_>, on: &mut OnProgress<'_>) -> Result<()> {
        let messages = conversation(lines, &mut self.unknown)?;
        let total = messages.len() as u64;
        let mut filling = self.begin(self.options.key.clone())?;
        for message in messages {
            self.report.lines += 1;
            let added = self.add(&mut filling, message);
            let added = added.and_then(|()| Progress::new(self.report.lines, total).tell(on));
            added.or_else(|error| give_up(&filling, error))?;
        }
        self.end(filling)
    }

    fn nine(&mut self, lines: &mut Reader<'_>, on: &mut OnProgress<'_>) -> Result<()> {
        let mut filling: Option<Filling> = None;
        loop {
            let next = self.next(lines);
            let next = match (next, &filling) {
                (Err(error), Some(filling)) => return give_up(filling, error),
                (next, _) => next?,
            };
            let Some((line, Nine { session, seq, message })) = next else { break };
            let mut current = match filling.take() {
                Some(current) if current.key == session => current,
                before => {
                    if let Some(before) = before {
                        self.end(before)?;
                    }
                    self.begin(Some(session)).map_err(|error| at(line, error))?
                }
            };
            let (due, done) = (current.messages, self.report.lines);
            let added = if seq == due {
                self.add(&mut current, message).and_then(|()| Progress::new(done, done + 1).tell(on))
            } else {
                Err(Error::invalid(format!("seq is {seq}, where {due} is due")))
            };
            added.or_else(|error| give_up(&current, at(line, error)))?;
            filling = Some(current);
        }
        if let Some(last) = filling {
            self.end(last)?;
        }
        Progress::new(self.report.lines, self.report.lines).finish(on);
        Ok(())
    }

    fn next(&mut self, lines: &mut Reader<'_>) -> Result<Option<(u64, Nine)>> {
        let Some((line, text)) = lines.next()? else { return Ok(None) };
        self.report.lines += 1;
        Ok(Some((line, Nine::read(Fields::of(line, text)?, &mut self.unknown)?)))
    }

    fn begin(&mut self, key: Option<String>) -> Result<Filling> {
        let new = NewSession { key: key.clone(), ..NewSession::default() };
        let session = match self.agent.create_session(new) {
            Err(error) if error.kind() == ErrorKind::Conflict && self.options.on_conflict == OnConflict::Skip => {
                self.report.sessions_skipped += 1;
                None
            }
            made => Some(made?),
        };
        Ok(Filling { key: key.unwrap_or_default(), session, batch: Vec::new(), bytes: 0, messages: 0 })
    }

    fn add(&mut self, filling: &mut Filling, message: NewMessage) -> Result<()> {
        filling.messages += 1;
        filling.bytes += message.size();
        filling.batch.push(message);
        if filling.batch.len() < LINES_BATCH_MESSAGES && filling.bytes < LINES_BATCH_BYTES {
            return Ok(());
        }
        filling.write()
    }

    fn end(&mut self, mut filling: Filling) -> Result<()> {
        filling.write().or_else(|error| give_up(&filling, error))?;
        if filling.session.is_some() {
            self.report.sessions += 1;
            self.report.messages += filling.messages;
        }
        Ok(())
    }
}

impl Filling {
    fn write(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        match &self.session {
            Some(session) if !batch.is_empty() => session.append(batch).map(drop),
            _ => Ok(()),
        }
    }
}

/// What was made of a session is deleted again.
fn give_up(filling: &Filling, error: Error) -> Result<()> {
    if let Some(session) = &filling.session {
        // The first error is the one to tell.
        let _ = session.delete();
    }
    Err(error)
}
