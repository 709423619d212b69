//! The reference store, filled with the same conversation by the same operations.

use std::collections::HashMap;
use std::ops::ControlFlow;

use parlor::id::{MessageId, OwnerId, Stamp, ThreadId};
use parlor::page::{Direction, Form, Matching, MessageQuery};
use parlor::store::{
    Append, Behaviour, CreateSession, Emit, EnsureAgent, EnsureWorkspace, Finish, ForkSession, Matched, Outcome,
    Policy, QueueBounds, Runner, SessionRef, Store, Submit,
};
use parlor::testkit::ModelStore;
use parlor::{Message, NewMessage, NewSession, NewTurn, Timestamp, TranscriptMessage, Ts, Usage, limit, transcript};

use crate::compare::Place;
use crate::data::{Conversation, Exchange, Failure, Step};

/// What a listing must answer, by the reference store.
pub struct Oracle<'a> {
    store: ModelStore,
    at: SessionRef,
    /// The messages of the session that is compared, by the ids of those that stand for them here.
    stored: HashMap<MessageId, &'a Message>,
    /// Its threads, and the ones that stand for them here.
    threads: HashMap<ThreadId, ThreadId>,
}

/// What is expected of one listing.
pub struct Expected<'a> {
    /// The messages in their order.
    pub items: Vec<&'a Message>,
    /// How many match in all.
    pub total: u64,
    /// The greatest `ts` of all that match.
    pub newest: Option<Ts>,
}

impl<'a> Oracle<'a> {
    /// Fills a store with what the file has, with ids and clock of the session's messages, which
    /// were compared with the file before.
    ///
    /// # Errors
    ///
    /// The reference store's, and a [`Difference`](crate::compare::Difference) when it does not
    /// end up with the same messages.
    pub fn new(conversation: &'a Conversation, stored: &'a [Message]) -> Result<Self, Failure> {
        Self::filled(Filling::new(conversation, stored)?.all()?)
    }

    /// The same of a session that was forked, and of its fork, which went on: the reference store forks its own.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn of_fork(
        source: (&Conversation, &[Message]),
        fork: (&'a Conversation, &'a [Message]),
    ) -> Result<Self, Failure> {
        let filled = Filling::new(source.0, source.1)?.all()?;
        Self::filled(filled.fork(fork.0, fork.1)?.all()?)
    }

    fn filled(fill: Filling<'a>) -> Result<Self, Failure> {
        let Filling { store, at, threads, conversation, stored, copies, .. } = fill;
        let here = |message: &Message| copies.get(&message.id).copied().unwrap_or(message.id);
        let by_id = stored.iter().map(|message| (here(message), message)).collect();
        let oracle = Oracle { store, at, threads, stored: by_id };
        let place = Place { session: &conversation.session, seq: None };
        let filled = everything(&oracle.store, at)?;
        place.same("messages of the reference store", &stored.len(), &filled.items.len())?;
        for (seq, (message, filled)) in stored.iter().zip(filled.items).enumerate() {
            Place { seq: Some(seq), ..place }.same("reference store", &oracle.translate(filled, message), message)?;
        }
        Ok(oracle)
    }

    /// What a page of this listing shows.
    pub fn page(&self, form: Form, query: MessageQuery) -> Result<Expected<'a>, Failure> {
        let found = self.store.messages(self.at, self.matching(form, query)?)?;
        self.counterparts(found)
    }

    /// What a listing shows from the first item of its page on, to its end.
    pub fn onwards(&self, form: Form, query: MessageQuery) -> Result<Expected<'a>, Failure> {
        let matching = self.matching(form, query)?;
        let found = rest(&self.store, self.at, matching)?;
        self.counterparts(found)
    }

    /// The transcript, its messages by the ids of the session's.
    pub fn transcript(&self) -> parlor::Result<Vec<TranscriptMessage>> {
        let mut told = transcript::read(&self.store, self.at)?;
        for message in &mut told {
            let stored = message.message.and_then(|id| self.stored.get(&id));
            message.message = stored.map(|stored| stored.id).or(message.message);
        }
        Ok(told)
    }

    fn matching(&self, form: Form, query: MessageQuery) -> Result<Matching, Failure> {
        let thread = match form {
            Form::Session(_) => query.thread,
            Form::Thread(_, thread) => Some(thread),
        };
        // A thread that the session does not have stays as it is: it is not found here either.
        let thread = thread.map(|thread| self.threads.get(&thread).copied().unwrap_or(thread));
        Ok(Matching { thread, ..query.matching()? })
    }

    /// The messages of the session that those of the reference store stand for.
    fn counterparts(&self, found: Matched) -> Result<Expected<'a>, Failure> {
        let stored = |model: &Message| {
            let stored = self.stored.get(&model.id).copied();
            stored.ok_or_else(|| Failure::from("the reference store has a message of its own"))
        };
        let items: Result<_, Failure> = found.items.iter().map(stored).collect();
        Ok(Expected { items: items?, total: found.total, newest: found.newest })
    }

    /// A message of the reference store with what a store makes itself taken from the session's:
    /// turn and number, and id and thread where they are the ones that stand for the session's.
    fn translate(&self, model: Message, stored: &Message) -> Message {
        let mut message = model;
        (message.turn_id, message.number) = (stored.turn_id, stored.number);
        message.id = self.stored.get(&message.id).map_or(message.id, |stored| stored.id);
        if stored.thread_id.and_then(|thread| self.threads.get(&thread)) == message.thread_id.as_ref() {
            message.thread_id = stored.thread_id;
        }
        message
    }
}

/// All messages, oldest first.
fn everything(store: &ModelStore, at: SessionRef) -> Result<Matched, Failure> {
    rest(store, at, MessageQuery::all().direction(Direction::Asc).matching()?)
}

/// What matches, from the offset on.
fn rest(store: &ModelStore, at: SessionRef, matching: Matching) -> Result<Matched, Failure> {
    let mut matching = Matching { limit: limit::HISTORY_LIMIT_MAX, ..matching };
    let mut all = store.messages(at, matching)?;
    loop {
        matching.offset += u64::from(matching.limit);
        if matching.offset >= all.total {
            return Ok(all);
        }
        all.items.extend(store.messages(at, matching)?.items);
    }
}

struct Filling<'a> {
    conversation: &'a Conversation,
    stored: &'a [Message],
    store: ModelStore,
    at: SessionRef,
    runner: Runner,
    threads: HashMap<ThreadId, ThreadId>,
    /// The ids that copies have here, which no caller can choose, by those that they have in the session.
    copies: HashMap<MessageId, MessageId>,
    /// How many stamps were made: each has ids of its own.
    stamps: u64,
}

impl<'a> Filling<'a> {
    fn new(conversation: &'a Conversation, stored: &'a [Message]) -> Result<Self, Failure> {
        let store = ModelStore::new();
        let begin = stored.first().map_or(Timestamp::default(), |first| first.created_at);
        let stamp = |seed| Stamp::new(begin, seed);
        let workspace = store.ensure_workspace(EnsureWorkspace { stamp: stamp(0), name: "oracle".into() })?.id;
        let agent = store.ensure_agent(EnsureAgent { stamp: stamp(1), workspace, name: "oracle".into() })?.id;
        let mut new = NewSession::default().key(&conversation.session);
        new.id = stored.first().map(|first| first.session_id);
        let created = store.create_session(CreateSession { stamp: stamp(2), workspace, agent, new, first: None })?;
        let at = SessionRef { workspace, session: created.session.id };
        let runner =
            Runner { owner: OwnerId::from_uuid(stamp(3).uuid(0)), lease: None, behaviour: Behaviour::Registered };
        let (threads, copies) = (HashMap::new(), HashMap::new());
        Ok(Filling { conversation, stored, store, at, runner, threads, copies, stamps: 4 })
    }

    /// Does all that was not copied.
    fn all(mut self) -> Result<Self, Failure> {
        for step in self.conversation.steps() {
            match step {
                Step::Copied(_) => {}
                Step::Append(range) => range.into_iter().try_for_each(|seq| self.append(seq))?,
                Step::Turn(exchange) => self.turn(&exchange)?,
            }
        }
        Ok(self)
    }

    /// Forks the session, and goes on with the fork.
    fn fork<'b>(self, conversation: &'b Conversation, stored: &'b [Message]) -> Result<Filling<'b>, Failure> {
        let Filling { store, runner, at, .. } = self;
        let copied = conversation.copied;
        let last = copied.checked_sub(1).and_then(|seq| self.stored.get(seq)).ok_or("nothing was copied")?;
        let mut new = NewSession::default();
        new.id = stored.first().map(|first| first.session_id);
        let stamp = Stamp::new(last.created_at, self.stamps + 1);
        let op = ForkSession { stamp, at, message: last.id, new };
        let session = store.fork_session(op, &mut |_| ControlFlow::Continue(()))?.id;
        let at = SessionRef { session, ..at };
        let (mut threads, mut copies) = (HashMap::new(), HashMap::new());
        for (copy, message) in everything(&store, at)?.items.iter().zip(stored) {
            copies.insert(message.id, copy.id);
            threads.extend(message.thread_id.zip(copy.thread_id));
        }
        Ok(Filling { conversation, stored, store, at, runner, threads, copies, stamps: self.stamps + 1 })
    }

    /// The stamp and the input of a message: what the file says, under the id and the clock that
    /// it was given.
    fn input(&mut self, seq: usize) -> (Stamp, NewMessage) {
        let message = &self.stored[seq];
        self.stamps += 1;
        let new = self.conversation.messages[seq].to_new().id(message.id).ts(message.ts);
        (Stamp::new(message.created_at, self.stamps), new)
    }

    fn append(&mut self, seq: usize) -> Result<(), Failure> {
        let (stamp, new) = self.input(seq);
        self.store.append(Append { stamp, at: self.at, thread: None, messages: vec![new] })?;
        Ok(())
    }

    fn turn(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        let (at, runner) = (self.at, self.runner);
        let (stamp, new) = self.input(exchange.range.start);
        let submit = Submit {
            stamp,
            at,
            new: NewTurn::from(new),
            policy: Policy::Reject,
            runner,
            sender: None,
            queue: QueueBounds::default(),
        };
        let begun = self.store.submit(submit)?;
        let claim = begun.claim.ok_or("the reference store took a send for a retry")?;
        if let Some(thread) = self.stored[exchange.range.start].thread_id {
            self.threads.insert(thread, begun.turn.thread_id);
        }
        for seq in exchange.written() {
            let (stamp, new) = self.input(seq);
            self.store.emit(Emit {
                stamp,
                at,
                claim,
                started_at: stamp.at,
                messages: vec![new],
                usage: Usage::ZERO,
            })?;
        }
        let (stamp, reply) = match exchange.reply.map(|seq| self.input(seq)) {
            Some((stamp, new)) => (stamp, Some(Box::new(new))),
            None => (stamp, None),
        };
        let outcome = Outcome::Completed(reply);
        self.store.finish(Finish {
            stamp,
            at,
            claim,
            started_at: Some(stamp.at),
            outcome,
            usage: Usage::ZERO,
            next: None,
        })?;
        Ok(())
    }
}
