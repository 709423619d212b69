//! Panics as text: checks report by panicking, and whoever runs them adds where they were.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs it; the text of its panic, if it panicked.
pub(super) fn caught(run: impl FnOnce()) -> Option<String> {
    // Nothing that a panic went through is used again: the run ends with it.
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    Some(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned())
}
