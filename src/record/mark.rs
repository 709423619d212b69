//! Where a session's transcript begins.

use crate::error::{Error, Result};
use crate::limit;

/// A place in a session, and a summary that stands for all that was said before it.
///
/// [`Session::transcript`](crate::Session::transcript) begins with the summary and goes on with the message of this
/// number, so that a long conversation fits a model's context again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextMark {
    /// The number of the first message that the summary does not stand for: 1 to the one after the last.
    pub message: u32,
    /// What stands for all messages before it. At most [`limit::SUMMARY_BYTES`] bytes.
    pub summary: String,
}

impl ContextMark {
    /// A summary of all messages before this number.
    pub fn new(message: u32, summary: impl Into<String>) -> Self {
        ContextMark { message, summary: summary.into() }
    }

    /// Checks its bounds.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the field, its value and the bound.
    pub fn check(&self) -> Result<()> {
        if self.message == 0 {
            return Err(Error::invalid("message of a context mark is 0; it must be 1 or more"));
        }
        if self.summary.len() > limit::SUMMARY_BYTES {
            return Err(Error::invalid(format!(
                "summary has {} bytes; it may have at most {} (SUMMARY_BYTES)",
                self.summary.len(),
                limit::SUMMARY_BYTES
            )));
        }
        Ok(())
    }
}
