//! Plays conversations: appends, sends, and an agent that says what the files say.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, panic, thread};

use indicatif::ProgressBar;
use parlor::id::{MessageId, SessionId};
use parlor::{
    AgentHandle, AgentResult, Builder, Engine, Json, NewMessage, NewSession, NewTurn, Session, TurnContext, TurnState,
};

use crate::compare::{self, Difference, Place};
use crate::data::{Conversation, Cue, Exchange, Failure, Step};
use crate::fork;

/// The workspace that the conversations are played in.
pub const WORKSPACE: &str = "replay";
/// The agent that plays them.
pub const AGENT: &str = "replay";

/// What is done to every session between its turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    #[default]
    Nothing,
    /// It is archived and restored.
    Archived,
    /// Once, at its middle: it is forked, and the fork goes on.
    Forked,
}

/// All that the agent has to say: the conversations, by name.
#[derive(Debug)]
pub struct Script {
    between: Between,
    conversations: Vec<Conversation>,
    places: HashMap<String, usize>,
}

impl Script {
    /// A script of these conversations.
    pub fn new(conversations: Vec<Conversation>) -> Self {
        let names = conversations.iter().map(|conversation| conversation.session.clone());
        Script { between: Between::Nothing, places: names.zip(0..).collect(), conversations }
    }

    /// The same, with this between the turns.
    pub fn with(self, between: Between) -> Self {
        Script { between, ..self }
    }

    /// The conversations, in the order of their files.
    pub fn conversations(&self) -> &[Conversation] {
        &self.conversations
    }

    /// What is done between the turns.
    pub fn between(&self) -> Between {
        self.between
    }

    /// How many sessions there are to be, forks included, and how many messages in all of them.
    pub fn size(&self) -> (usize, u64) {
        let whole = self.conversations.iter().map(|conversation| conversation.messages.len() as u64).sum();
        let forked = self.conversations.iter().map(|conversation| conversation.before_fork().messages.len() as u64);
        match self.between {
            Between::Nothing | Between::Archived => (self.conversations.len(), whole),
            Between::Forked => (2 * self.conversations.len(), whole + forked.sum::<u64>()),
        }
    }

    /// Says what the file says between a user message and the end of its turn. The agent keeps
    /// nothing between turns: the cue that came with the send finds its part again.
    fn perform(&self, turn: &TurnContext, acks: &Acks) -> AgentResult<Option<NewMessage>> {
        let cue: Cue = turn.user_params().ok_or("the send came without a cue")?.to()?;
        let place = self.places.get(&cue.session).ok_or_else(|| format!("no script has {:?}", cue.session))?;
        let conversation = &self.conversations[*place];
        let exchange = conversation.exchange(cue.seq);
        for recorded in &conversation.messages[exchange.written()] {
            let message = turn.emit(recorded.to_new())?;
            acks.note(message.session_id, message.id)?;
        }
        Ok(exchange.reply.map(|at| conversation.messages[at].to_new()))
    }
}

/// Where every message is noted as soon as the call that wrote it has returned: what is noted
/// must be there after any crash.
pub struct Acks(Option<Mutex<Box<dyn Write + Send>>>);

impl Acks {
    /// Notes nothing.
    pub fn none() -> Self {
        Acks(None)
    }

    /// Appends to a file, or writes to standard output when the path is `-`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            Box::new(fs::OpenOptions::new().append(true).create(true).open(path)?)
        };
        Ok(Acks(Some(Mutex::new(out))))
    }

    fn note(&self, session: SessionId, message: MessageId) -> io::Result<()> {
        let Some(out) = &self.0 else { return Ok(()) };
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line, so that a kill leaves whole lines.
        out.write_all(format!("ack {session} {message}\n").as_bytes())?;
        out.flush()
    }
}

/// An engine whose agent plays the script.
pub fn builder(file: &Path, workers: usize, script: &Arc<Script>, acks: &Arc<Acks>) -> Builder {
    let (script, acks) = (Arc::clone(script), Arc::clone(acks));
    Engine::builder(file).workers(workers).agent_fn(AGENT, move |turn| script.perform(turn, &acks))
}

/// Plays every conversation from where its session stands to its end, several at once, and
/// answers with how many turns that took.
///
/// # Errors
///
/// An error of the library, a turn that did not complete, or the first [`Difference`] between
/// what a session already has and its file.
pub fn play(engine: &Engine, script: &Script, at_once: usize, acks: &Acks, bar: &ProgressBar) -> Result<u64, Failure> {
    let agent = engine.workspace(WORKSPACE)?.agent(AGENT)?;
    let turns = AtomicU64::new(0);
    in_parallel(at_once, script.conversations(), |conversation| {
        let played =
            play_one(&agent, conversation, script.between, acks, bar).map_err(|why| named(conversation, why))?;
        turns.fetch_add(played, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(turns.into_inner())
}

/// The failure with the name of the conversation, where it does not say it already.
pub fn named(conversation: &Conversation, why: Failure) -> Failure {
    if why.is::<Difference>() { why } else { format!("session {:?}: {why}", conversation.session).into() }
}

fn play_one(
    agent: &AgentHandle,
    conversation: &Conversation,
    between: Between,
    acks: &Acks,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let session = match agent.session_by_key(&conversation.session) {
        Err(error) if error.is_not_found() => agent.create_session(NewSession::default().key(&conversation.session))?,
        found => found?,
    };
    if between != Between::Forked {
        return play_on(session, conversation, between, acks, bar);
    }
    let before = play_on(session.clone(), &conversation.before_fork(), between, acks, bar)?;
    let all = fork::State::of(&session)?;
    let conversation = conversation.forked();
    let after = play_on(fork::make(&session, &conversation)?, &conversation, between, acks, bar)?;
    all.compare(&session, &conversation)?;
    Ok(before + after)
}

/// Plays what a session does not have yet of its conversation.
fn play_on(
    mut session: Session,
    conversation: &Conversation,
    between: Between,
    acks: &Acks,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let done = resume(&session, conversation)?;
    bar.inc(done as u64);
    let mut turns = 0;
    for step in conversation.steps().into_iter().filter(|step| step.range().end > done) {
        let range = step.range().start.max(done)..step.range().end;
        match step {
            // It is there since the fork was made.
            Step::Copied(_) => {}
            Step::Append(_) => {
                let messages = conversation.messages[range.clone()].iter().map(|recorded| recorded.to_new());
                for message in session.append(messages)? {
                    acks.note(message.session_id, message.id)?;
                }
            }
            Step::Turn(exchange) => {
                play_turn(&session, conversation, &exchange, done, acks)?;
                turns += 1;
            }
        }
        bar.inc(range.len() as u64);
        if between == Between::Archived {
            session = session.archive()?.restore()?;
        }
    }
    Ok(turns)
}

/// Soft-deletes what dead turns left, their user messages included, and answers with how many
/// messages of the file the session then has.
fn resume(session: &Session, conversation: &Conversation) -> Result<usize, Failure> {
    let turns = compare::turns(session)?.into_iter();
    let dead: HashSet<_> = turns.filter(|turn| turn.state != TurnState::Completed).map(|turn| turn.id).collect();
    let left = |turn| dead.contains(&turn);
    let (left, kept): (Vec<_>, Vec<_>) =
        compare::stored(session)?.into_iter().partition(|message| message.turn_id.is_some_and(left));
    for message in left {
        session.delete_message(message.id)?;
    }
    compare::prefix(conversation, &kept)?;
    Ok(kept.len())
}

fn play_turn(
    session: &Session,
    conversation: &Conversation,
    exchange: &Exchange,
    done: usize,
    acks: &Acks,
) -> Result<(), Failure> {
    let seq = exchange.range.start;
    let place = Place { session: &conversation.session, seq: Some(seq) };
    if seq < done {
        // Its turn completed, and with less than the file has.
        let (file, session) = (format!("{:?}", exchange.range), format!("{:?}", seq..done));
        return Err(place.difference("messages of its turn", file, session).into());
    }
    let cue = Cue { session: conversation.session.clone(), seq };
    let new = NewTurn::from(conversation.messages[seq].to_new()).user_params(Json::of(&cue)?);
    let turn = session.send(new)?;
    acks.note(session.id(), turn.message_id())?;
    let report = turn.wait()?;
    place.same("turn.state", &(TurnState::Completed, None), &(report.turn.state, report.turn.detail.clone()))?;
    if let Some(reply) = report.reply() {
        acks.note(session.id(), reply.id)?;
    }
    Ok(())
}

/// Does the work for every item, so many at once. Of several failures the first item's is told;
/// after one, no further item is begun.
pub fn in_parallel<T: Sync>(
    at_once: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let take_turns = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return Ok(()) };
            if let Err(failure) = work(item) {
                next.store(items.len(), Ordering::Relaxed);
                return Err((place, failure));
            }
        }
    };
    let done: Vec<_> = thread::scope(|scope| {
        let crew: Vec<_> = (0..at_once.clamp(1, items.len().max(1))).map(|_| scope.spawn(take_turns)).collect();
        crew.into_iter().map(|one| one.join().unwrap_or_else(|panic| panic::resume_unwind(panic))).collect()
    });
    match done.into_iter().filter_map(Result::err).min_by_key(|(place, _)| *place) {
        Some((_, failure)) => Err(failure),
        None => Ok(()),
    }
}
