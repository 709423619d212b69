//! Writing in groups: what all peers but parlor, which has it inside, are given around their transactions.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::{Result, Writer};
use crate::corpus::{Corpus, Draft};
use crate::plan::Plan;

/// Messages that are to be appended to a session.
pub struct Append {
    /// Whose.
    pub session: u32,
    /// The number of their thread; 0 for none.
    pub thread: u32,
    /// The messages.
    pub drafts: Arc<[Draft]>,
}

/// A connection that writes.
pub trait Commit: Send {
    /// Writes all of it in one transaction, which is durable when it returns.
    fn commit(&mut self, batch: &[Append]) -> Result;
}

/// The most appends that one group takes.
const GROUP: usize = 1024;

/// Messages in one transaction while loading.
const LOAD: u32 = 10_000;

/// Writes the messages of a plan, in its order; the last ones each in a transaction of their own.
pub fn load(commit: &mut dyn Commit, plan: &Plan, corpus: &Corpus) -> Result {
    let mut batch = Vec::new();
    let mut messages = 0;
    for chunk in &plan.chunks {
        batch.push(Append {
            session: chunk.session,
            thread: plan.standing(chunk.session).thread(),
            drafts: corpus.messages(chunk.session, chunk.first, chunk.count),
        });
        messages += chunk.count;
        if messages >= LOAD {
            commit.commit(&std::mem::take(&mut batch))?;
            messages = 0;
        }
    }
    commit.commit(&batch)?;
    for chunk in &plan.last {
        let drafts = corpus.messages(chunk.session, chunk.first, chunk.count);
        commit.commit(&[Append { session: chunk.session, thread: plan.standing(chunk.session).thread(), drafts }])?;
    }
    Ok(())
}

/// A writer with a connection of its own: each append is a transaction.
pub struct Direct<C>(pub C);

impl<C: Commit> Writer for Direct<C> {
    fn append(&mut self, session: u32, drafts: &Arc<[Draft]>) -> Result {
        self.0.commit(&[Append { session, thread: 0, drafts: Arc::clone(drafts) }])
    }
}

struct Job {
    append: Append,
    answer: SyncSender<Result>,
}

/// The one thread that writes for all. It ends when this and its last writer are gone.
pub struct Group {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Group {
    /// Starts the thread.
    pub fn start(commit: impl Commit + 'static) -> Group {
        let (jobs, queue) = channel();
        let thread = thread::spawn(move || run(commit, &queue));
        Group { jobs, thread }
    }

    /// A writer that hands its appends to the thread.
    pub fn writer(&self) -> Box<dyn Writer> {
        Box::new(Queued { jobs: self.jobs.clone() })
    }

    /// Waits until the thread has ended and what it wrote with is closed. No writer may be left.
    pub fn end(self) -> Result {
        drop(self.jobs);
        self.thread.join().map_err(|_| "the thread that writes for all panicked".into())
    }
}

struct Queued {
    jobs: Sender<Job>,
}

impl Writer for Queued {
    fn append(&mut self, session: u32, drafts: &Arc<[Draft]>) -> Result {
        let append = Append { session, thread: 0, drafts: Arc::clone(drafts) };
        // A channel each time: should the thread die, the answer is an error and no wait for ever.
        let (answer, answered) = sync_channel(1);
        self.jobs.send(Job { append, answer })?;
        answered.recv()?
    }
}

/// Takes what has queued, writes it, and answers, until the last writer is gone.
fn run(mut commit: impl Commit, queue: &Receiver<Job>) {
    let (mut batch, mut answers) = (Vec::with_capacity(GROUP), Vec::with_capacity(GROUP));
    while let Ok(first) = queue.recv() {
        for job in std::iter::once(first).chain(queue.try_iter()).take(GROUP) {
            batch.push(job.append);
            answers.push(job.answer);
        }
        let written = commit.commit(&batch).map_err(|error| error.to_string());
        batch.clear();
        for answer in answers.drain(..) {
            // A writer that went away is no matter.
            let _ = answer.send(written.clone().map_err(Into::into));
        }
    }
}
