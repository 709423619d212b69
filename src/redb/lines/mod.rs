//! Rows as lines, and lines as rows.
//!
//! An export holds one state and reads its sessions as archiving does, in bounded parts. An import loads each session as
//! restoring does ([`load`](super::load)), and one commit shows it.

mod ending;
mod export;
mod import;
mod print;
mod rows;
mod scopes;
mod walk;

use std::io::Write;

use super::RedbStore;
use crate::error::Result;
use crate::id::Stamp;
use crate::lines::{ExportReport, Import, ImportReport, Lines, Whole};
use crate::progress::OnProgress;

impl Lines for RedbStore {
    fn export(&self, whole: Whole, stamp: Stamp, out: &mut dyn Write, on: &mut OnProgress<'_>) -> Result<ExportReport> {
        export::export(&*self.held()?, whole, stamp, out, on)
    }

    fn import(&self, import: Import<'_, '_>, on: &mut OnProgress<'_>) -> Result<ImportReport> {
        import::import(self, import, on)
    }
}
