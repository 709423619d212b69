//! How far a long operation has come, and whether it is to go on.

use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind, Result};

/// How far an operation has come that takes many steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What was done so far: messages, turns, threads and events together, or what the operation says.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

/// Called after each step of an operation, on the thread of its caller, which holds no lock meanwhile. A break cancels
/// the operation.
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

impl Progress {
    /// For a store of your own.
    pub const fn new(done: u64, total: u64) -> Self {
        Progress { done, total }
    }

    /// Whether all is done but the commit that shows it.
    pub const fn is_last(&self) -> bool {
        self.done >= self.total
    }

    /// Tells that all is done and shown: nothing can be broken off any more.
    pub fn finish(self, on: &mut OnProgress<'_>) {
        let _ = on(self);
    }

    /// Tells it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](ErrorKind::Cancelled) where that is the answer.
    pub fn tell(self, on: &mut OnProgress<'_>) -> Result<()> {
        match on(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                let Progress { done, total } = self;
                Err(Error::new(ErrorKind::Cancelled, format!("cancelled by its caller at {done} of {total}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_cancels_and_says_where() {
        let mut told = Vec::new();
        let mut on = |progress: Progress| {
            told.push(progress);
            if progress.is_last() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(Progress::new(2, 5).tell(&mut on).is_ok());
        let error = Progress::new(5, 5).tell(&mut on).expect_err("it is to stop");
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Cancelled, "cancelled by its caller at 5 of 5".into())
        );
        assert_eq!(told, [Progress::new(2, 5), Progress::new(5, 5)]);
    }
}
