//! Engines, workspaces and sessions as lines of JSON: the lines, without any storage.
//!
//! docs/format.md has every field. What comes in is a stranger's: a line is bounded before it is read, and every value is
//! checked for what it is to be; whether the lines fit each other is for those who write them.

mod fields;
mod form;
mod list;
mod nine;
mod print;
mod read;
mod report;
mod unknown;

pub(crate) use fields::Fields;
pub(crate) use form::{ChangeForm, EndForm, HeaderForm, MessageForm, ScopeForm, SessionForm, ThreadForm, TurnForm};
pub(crate) use list::conversation;
pub(crate) use nine::{Nine, is_nine};
pub(crate) use print::Printer;
pub(crate) use read::Reader;
pub use report::{ExportReport, ImportOptions, ImportReport, OnConflict};
pub(crate) use unknown::Unknown;

use std::io::Write;

use crate::error::{Error, Result};
use crate::id::{AgentId, SessionId, Stamp, WorkspaceId};
use crate::progress::OnProgress;
use crate::store::SessionRef;

/// The version of the lines that is written. A greater one is refused.
pub(crate) const VERSION: u32 = 1;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    Engine,
    Workspace(WorkspaceId),
    Session(SessionRef),
    /// For who knows its agent alone: of the workspace nothing is told but its id.
    SessionAlone(SessionRef),
}

impl Whole {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Whole::Engine => "engine",
            Whole::Workspace(_) => "workspace",
            Whole::Session(_) | Whole::SessionAlone(_) => "session",
        }
    }
}

/// Where what is imported goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The workspaces and agents of the names that the lines say.
    Engine,
    /// All to agents of this workspace.
    Workspace(WorkspaceId),
    /// All to this agent.
    Agent(WorkspaceId, AgentId),
}

/// An import under way.
pub(crate) struct Import<'a, 'r> {
    pub(crate) target: Target,
    pub(crate) lines: &'a mut Reader<'r>,
    pub(crate) options: &'a ImportOptions,
    /// When, and what ids are made of.
    pub(crate) stamp: &'a dyn Fn() -> Stamp,
    /// Called for each session that came in.
    pub(crate) came: &'a mut dyn FnMut(WorkspaceId, AgentId, SessionId),
}

/// A store that can be exported and imported as lines.
pub(crate) trait Lines: Send + Sync {
    /// Writes lines of the state as it is now.
    fn export(&self, whole: Whole, stamp: Stamp, out: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<ExportReport>;

    /// Takes in what such lines say.
    fn import(&self, import: Import<'_, '_>, on: &mut OnProgress<'_>) -> Result<ImportReport>;
}

/// An error with the line that it is about.
pub(crate) fn at(line: u64, error: Error) -> Error {
    Error::new(error.kind(), format!("line {line}: {error}")).with_source(error)
}
