//! Writing a state as lines.

use std::io::{self, Write};
use std::ops::{Bound, ControlFlow};

use uuid::Uuid;

use super::ending::Ending;
use super::print;
use super::walk::{Item, Walk};
use crate::error::{Error, Result};
use crate::id::Stamp;
use crate::limit::ARCHIVE_CHUNK_BYTES;
use crate::lines::{ExportReport, Printer, VERSION, Whole};
use crate::page::Direction;
use crate::progress::{OnProgress, Progress};
use crate::redb::archive::Source;
use crate::redb::codec::{self, CountRow, HeadRow, LabelRow, ScopeRow};
use crate::redb::load::{Record, Unread, records, scaled};
use crate::redb::tables::{Table, archives, names, of_session, sessions};
use crate::redb::view::{self, Read};
use crate::redb::{access, fault, scope};

/// Writes lines of what the view has.
pub(super) fn export(
    view: &dyn Read,
    whole: Whole,
    stamp: Stamp,
    out: &mut dyn Write,
    on: &mut OnProgress<'_>,
) -> Result<ExportReport> {
    let total = fault::guarded(|| count(view, whole))?;
    let mut export =
        Export { view, out, on, lines: Printer::default(), report: ExportReport::default(), done: 0, total };
    export.header(whole, stamp);
    let (mut walk, mut next_id) = (fault::guarded(|| Walk::of(view, whole))?, 0);
    while let Some(item) = fault::guarded(|| walk.next(view))? {
        match item {
            Item::Workspace(number) => export.workspace(number, whole)?,
            Item::Agent(number) => export.scope("agent", number)?,
            Item::Session(number) => export.session(number, stamp, &mut next_id)?,
        }
    }
    export.end()
}

/// How many records there are of those that are counted.
fn count(view: &dyn Read, whole: Whole) -> Result<u64> {
    let (mut walk, mut total) = (Walk::of(view, whole)?, 0_u64);
    while let Some(item) = walk.next(view)? {
        if let Item::Session(number) = item {
            let head: HeadRow = view.expected(Table::Sessions, &sessions::head(number))?;
            total = total.saturating_add(records(&head));
        }
    }
    Ok(total)
}

struct Export<'e, 'o> {
    view: &'e dyn Read,
    out: &'e mut dyn Write,
    on: &'e mut OnProgress<'o>,
    lines: Printer,
    report: ExportReport,
    /// Records that were read of sessions that are done, and of all.
    done: u64,
    total: u64,
}

impl Export<'_, '_> {
    fn header(&mut self, whole: Whole, stamp: Stamp) {
        self.lines
            .begin()
            .number("parlor", VERSION)
            .text("whole", whole.as_str())
            .number("exported_at_micros", stamp.at.as_micros())
            .number("records", self.total)
            .end();
    }

    fn workspace(&mut self, number: u32, whole: Whole) -> Result<()> {
        if matches!(whole, Whole::SessionAlone(_)) {
            return self.unnamed(number);
        }
        if !matches!(whole, Whole::Session(_)) {
            let key = archives::count(number);
            let (count, keys) = fault::guarded(|| {
                Ok((self.view.plain::<CountRow>(Table::Archives, &key)?, access::count(self.view, number)?))
            })?;
            self.report.archives_left_out += count.map_or(0, |count| count.sessions);
            self.report.access_keys_left_out += keys;
        }
        self.scope("workspace", number)
    }

    /// A workspace by its id alone: in place of its name, too, and made nobody says when.
    fn unnamed(&mut self, number: u32) -> Result<()> {
        self.report.workspaces += 1;
        let id = fault::guarded(|| scope::id(self.view, number))?;
        let name = Uuid::from_bytes(id).to_string();
        self.lines.line("workspace").id("id", id).text("name", &name).number("created_at_micros", 0_u64).end();
        self.write_some()
    }

    fn scope(&mut self, kind: &str, number: u32) -> Result<()> {
        let (key, label) = (names::scope(number), names::label(number));
        let count = if kind == "agent" { &mut self.report.agents } else { &mut self.report.workspaces };
        *count += 1;
        let (view, lines) = (self.view, &mut self.lines);
        let read = fault::guarded(|| {
            view.row(Table::Names, &key, |value| {
                let row: ScopeRow<'_> = codec::decode(Table::Names, &key, value)?;
                lines.line(kind).id("id", row.id).text("name", row.name);
                view.row(Table::Names, &label, |value| {
                    let row: LabelRow<'_> = codec::decode(Table::Names, &label, value)?;
                    lines.text("label", row.label);
                    Ok(())
                })?;
                lines.number("created_at_micros", row.created_at).end();
                Ok(())
            })
        })?;
        read.ok_or_else(|| view::missing("workspace or agent", &key))?;
        self.write_some()
    }

    fn session(&mut self, number: u32, stamp: Stamp, next_id: &mut u32) -> Result<()> {
        let (view, most) = (self.view, scaled(ARCHIVE_CHUNK_BYTES, self.view));
        let (mut source, mut stream) = (None, Vec::new());
        let ending = fault::guarded(|| {
            let head: HeadRow = view.expected(Table::Sessions, &sessions::head(number))?;
            let ending = Ending::of(view, number, head, stamp, next_id)?;
            source = Some(Source::open(view, number, head, &ending.head, &mut stream)?);
            Ok(ending)
        })?;
        let Some(mut source) = source else { return Err(Error::corrupt(format!("session {number} cannot be read"))) };
        let (mut part, mut unread) = (Part { ending: &ending, counts: [0; 3], changes: 0 }, Unread::default());
        loop {
            let lines = &mut self.lines;
            fault::guarded(|| {
                source.read(view, &mut stream, most)?;
                unread.feed(&stream);
                stream.clear();
                part.print(&mut unread, lines)
            })?;
            let is_done = source.is_done();
            if is_done {
                part.print_end(lines)?;
            }
            self.write()?;
            Progress::new(self.done + source.progress().0, self.total).tell(self.on)?;
            if is_done {
                break;
            }
        }
        self.done += source.progress().1;
        let left_out = fault::guarded(|| waiting(view, number))?;
        let report = &mut self.report;
        let [threads, turns, messages] = part.counts.map(u64::from);
        (report.sessions, report.threads) = (report.sessions + 1, report.threads + threads);
        (report.turns, report.messages) = (report.turns + turns, report.messages + messages);
        (report.changes, report.ended) = (report.changes + part.changes, report.ended + ending.len());
        report.outbox_left_out += left_out + ending.announced;
        Ok(())
    }

    fn end(mut self) -> Result<ExportReport> {
        let report = &self.report;
        self.lines
            .line("end")
            .number("workspaces", report.workspaces)
            .number("agents", report.agents)
            .number("sessions", report.sessions)
            .number("threads", report.threads)
            .number("turns", report.turns)
            .number("messages", report.messages)
            .number("changes", report.changes)
            .number("ended", report.ended)
            .number("outbox_left_out", report.outbox_left_out)
            .number("archives_left_out", report.archives_left_out)
            .number("access_keys_left_out", report.access_keys_left_out)
            .end();
        self.write()?;
        self.out.flush().map_err(unwritten)?;
        Progress::new(self.total, self.total).tell(self.on)?;
        Ok(self.report)
    }

    /// Writes what there is, once it is enough.
    fn write_some(&mut self) -> Result<()> {
        if self.lines.len() < ARCHIVE_CHUNK_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        let bytes = self.lines.take();
        self.report.bytes += bytes.len() as u64;
        self.out.write_all(&bytes).map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> Error {
    Error::new(fault::of_io(&error), format!("the lines cannot be written: {error}")).with_source(error)
}

/// The announcements of a session.
fn waiting(view: &dyn Read, session: u32) -> Result<u64> {
    let (from, to) = of_session(session);
    let mut rows = 0;
    view.scan(Table::Outbox, (Bound::Included(&from), Bound::Included(&to)), Direction::Asc, &mut |_, _| {
        rows += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// A session whose lines are being written.
struct Part<'e> {
    ending: &'e Ending,
    /// Threads, turns, messages so far.
    counts: [u32; 3],
    changes: u64,
}

impl Part<'_> {
    fn print(&mut self, unread: &mut Unread, lines: &mut Printer) -> Result<()> {
        while let Some(record) = unread.next()? {
            let [threads, turns, messages] = &mut self.counts;
            match record {
                Record::Session(row) => print::session(lines, &row),
                Record::Head(row) => print::head(lines, &row),
                Record::Mark(row) => print::mark(lines, &row),
                Record::Thread(row) => {
                    *threads += 1;
                    print::thread(lines, *threads, &row);
                }
                Record::Turn(row) => {
                    *turns += 1;
                    print::turn(lines, *turns, &self.ending.turn(*turns, row))?;
                }
                Record::Message(row, kept) => {
                    *messages += 1;
                    print::message(lines, *messages, &row, kept)?;
                }
                Record::Change(row) => {
                    self.results(lines)?;
                    self.changes += 1;
                    print::change(lines, self.changes, &row)?;
                }
            }
        }
        // A session's own line, of three records, is whole by now.
        lines.end();
        Ok(())
    }

    /// The results of open calls come after all messages.
    fn results(&mut self, lines: &mut Printer) -> Result<()> {
        if self.changes > 0 {
            return Ok(());
        }
        let [_, _, messages] = &mut self.counts;
        for result in &self.ending.results {
            *messages += 1;
            print::message(lines, *messages, &result.row(), crate::redb::load::Kept::Shown)?;
        }
        Ok(())
    }

    fn print_end(&mut self, lines: &mut Printer) -> Result<()> {
        for row in &self.ending.changes {
            self.changes += 1;
            print::change(lines, self.changes, row)?;
        }
        lines.end();
        Ok(())
    }
}
