//! An operation on its way to the writer, and back to its caller.

use crate::error::{Error, Result};
use crate::redb::fault;
use crate::redb::view::Read;
use crate::redb::write_set::WriteSet;
use crate::sync::{Receiver, Sender, bounded};

/// An operation on its way to the writer.
pub(in crate::redb) struct Job {
    pub(super) operation: Box<dyn Operation>,
    pub(in crate::redb) bytes: usize,
}

/// A verb that waits for its transaction, and the caller that waits for its answer.
pub(super) trait Operation: Send {
    /// Runs the verb; its writes, unless it refuses.
    fn run(&mut self, view: &dyn Read) -> Option<WriteSet>;

    /// What it wrote cannot be taken: it is refused.
    fn refuse(&mut self, error: Error);

    /// Answers with what the verb said when the commit went well, else with the commit's error.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Pending<V, T> {
    verb: Option<V>,
    said: Option<Result<T>>,
    caller: Sender<Result<T>>,
}

/// Where the answer of a job arrives.
pub(in crate::redb) type Answer<T> = Receiver<Result<T>>;

impl Job {
    /// Packs a verb. `bytes` is about what it will write.
    pub(in crate::redb) fn new<T: Send + 'static>(
        bytes: usize,
        verb: impl FnOnce(&dyn Read) -> Result<(WriteSet, T)> + Send + 'static,
    ) -> (Job, Answer<T>) {
        let (caller, answer) = bounded(1);
        (Job { operation: Box::new(Pending { verb: Some(verb), said: None, caller }), bytes }, answer)
    }
}

impl<V, T> Operation for Pending<V, T>
where
    V: FnOnce(&dyn Read) -> Result<(WriteSet, T)> + Send,
    T: Send,
{
    fn run(&mut self, view: &dyn Read) -> Option<WriteSet> {
        let verb = self.verb.take()?;
        let (writes, said) = match fault::guarded(|| verb(view)) {
            Ok((writes, value)) => (Some(writes), Ok(value)),
            Err(error) => (None, Err(error)),
        };
        self.said = Some(said);
        writes
    }

    fn refuse(&mut self, error: Error) {
        self.said = Some(Err(error));
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Pending { said, caller, .. } = *self;
        // A caller that went away is no matter.
        let _ = caller.send(committed.and_then(|()| said.unwrap_or_else(|| Err(Error::closed()))));
    }
}
