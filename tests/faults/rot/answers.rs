//! All that a store can be asked, and whether what a damaged one answers is true.

use std::collections::HashSet;

use parlor::id::{AgentId, MessageId, ThreadId, TurnId, WorkspaceId};
use parlor::page::{Direction, Matching, PageAt, Roles, Types};
use parlor::store::{ArchiveRef, ArchivesQuery, Listed, OutboxQuery, OutboxRows, SessionRef, SessionsQuery, Store};
use parlor::{
    AgentRecord, ArchiveRecord, Change, ContextMark, Error, ErrorKind, Message, Progress, Result, Role, SessionRecord,
    SessionStatus, ThreadRecord, Ts, Turn, Usage, WebhookRow, WorkspaceRecord,
};

use crate::suite::client::WORKSPACE;

/// What a store can be asked about.
#[derive(Default)]
pub struct Known {
    pub names: Option<(WorkspaceId, AgentId)>,
    pub sessions: Vec<Place>,
    pub archives: Vec<ArchiveRef>,
}

/// A session, live or not, and what stood in it.
pub struct Place {
    pub at: SessionRef,
    pub key: String,
    pub messages: Vec<MessageId>,
    pub threads: Vec<ThreadId>,
    pub turns: Vec<TurnId>,
    /// The `ts` of a message in its midst.
    pub ts: Ts,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Workspace(WorkspaceRecord),
    Agent(AgentRecord),
    Session(Box<SessionRecord>),
    Message(Box<Message>),
    Thread(ThreadRecord),
    Turn(Box<Turn>),
    Change(Change),
    Mark(ContextMark),
    Row(Box<WebhookRow>),
    Archive(Box<ArchiveRecord>),
    Exported(Vec<u8>),
    Waiting(String),
}

/// What was asked, and of which session, message, turn or archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Question(pub &'static str, String);

impl From<&'static str> for Question {
    fn from(what: &'static str) -> Self {
        Question(what, String::new())
    }
}

/// What was answered to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub question: Question,
    items: Vec<Item>,
    total: Option<u64>,
    /// It says itself that something of it is damaged.
    is_damaged: bool,
    /// What it failed with, where that is neither damage nor absence.
    failed: Option<String>,
}

/// How an answer may differ from the truth and be no lie.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Differs {
    /// Something is not there, or not counted, and the answer does not say why.
    pub lacks: bool,
    /// Something is named as damaged.
    pub names: bool,
    /// Something is as it once was.
    pub is_old: bool,
}

/// Everything that was ever true, each under the question it answered.
pub type History = HashSet<String>;

/// The rows of an item, each for itself.
fn rows(item: &Item) -> Vec<String> {
    let Item::Session(session) = item else { return vec![format!("{item:?}")] };
    // What it is, and where it stands.
    let (mut is, at) = ((**session).clone(), &**session);
    (is.status, is.running_turn, is.queued_turns) = (SessionStatus::Idle, None, 0);
    (is.usage, is.context_mark, is.last_message, is.last_change) = (Usage::ZERO, None, 0, 0);
    is.updated_at = is.created_at;
    let at = (
        at.id,
        at.status,
        at.running_turn,
        at.queued_turns,
        at.usage,
        at.context_mark,
        at.last_message,
        at.last_change,
    );
    vec![format!("{is:?}"), format!("{at:?}")]
}

impl Answer {
    fn none(question: impl Into<Question>) -> Self {
        Answer { question: question.into(), items: Vec::new(), total: None, is_damaged: false, failed: None }
    }

    fn error(question: impl Into<Question>, error: &Error) -> Self {
        let mut answer = Self::none(question);
        match error.kind() {
            ErrorKind::Corrupt => answer.is_damaged = true,
            // Once the file could not be read where it should be, nothing of it is until it is opened again.
            ErrorKind::Storage if error.to_string().contains("Previous I/O error") => answer.is_damaged = true,
            ErrorKind::NotFound => {}
            _ => answer.failed = Some(format!("{error:?}")),
        }
        answer
    }

    fn one(question: impl Into<Question>, read: Result<Option<Item>>) -> Self {
        match read {
            Ok(item) => Answer { items: item.into_iter().collect(), ..Self::none(question) },
            Err(error) => Self::error(question, &error),
        }
    }

    fn all<T>(question: impl Into<Question>, read: Result<Vec<T>>, item: impl Fn(T) -> Item) -> Self {
        match read {
            Ok(items) => Answer { items: items.into_iter().map(item).collect(), ..Self::none(question) },
            Err(error) => Self::error(question, &error),
        }
    }

    fn listed<T>(question: impl Into<Question>, read: Result<Listed<T>>, item: impl Fn(T) -> Item) -> Self {
        match read {
            Ok(Listed { items, total, damaged, .. }) => Answer {
                question: question.into(),
                items: items.into_iter().map(item).collect(),
                total: Some(total),
                is_damaged: !damaged.is_empty(),
                failed: None,
            },
            Err(error) => Self::error(question, &error),
        }
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What a history has of it.
    pub fn history(&self) -> impl Iterator<Item = String> {
        self.items.iter().flat_map(|item| self.rows_of(item))
    }

    fn rows_of(&self, item: &Item) -> Vec<String> {
        rows(item).into_iter().map(|row| format!("{:?} {row}", self.question)).collect()
    }

    /// Whether an item once was the answer to this question, or its rows were.
    pub fn was(&self, item: &Item, history: &History) -> bool {
        self.rows_of(item).iter().all(|row| history.contains(row))
    }

    /// It fails in no other way than by damage and absence.
    pub fn check_kind(&self) -> Result<(), String> {
        self.failed.as_ref().map_or(Ok(()), |failed| Err(format!("{:?} fails: {failed}", self.question)))
    }

    /// Compares it with the true one. An error says what is a lie in it.
    pub fn against(&self, truth: &Answer, history: &History) -> Result<Differs, String> {
        self.check_kind()?;
        let mut differs = Differs { names: self.is_damaged, ..Differs::default() };
        let mut due = truth.items.iter();
        for item in &self.items {
            let why = match (truth.items.contains(item), self.was(item, history)) {
                (true, _) if due.any(|due| due == item) => continue,
                (true, _) => "out of its place, or once more",
                (false, true) => {
                    differs.is_old = true;
                    continue;
                }
                (false, false) => "which it never answered",
            };
            return Err(format!(
                "{:?} answers {item:#?}, {why}\n--- where these are due\n{:#?}",
                self.question, truth.items
            ));
        }
        differs.lacks = !self.is_damaged && (self.items != truth.items || self.total != truth.total);
        Ok(differs)
    }
}

/// Asks all there is to be asked.
pub fn ask(store: &dyn Store, known: &Known) -> Vec<Answer> {
    let mut answers = vec![Answer::one("workspace", store.find_workspace(WORKSPACE).map(|it| it.map(Item::Workspace)))];
    let Some((workspace, agent)) = known.names else { return answers };
    let page = PageAt { page: 1, limit: 100 };
    let row = |row: WebhookRow| Item::Row(Box::new(row));
    answers.push(Answer::one("agent", store.find_agent(workspace, "greeter").map(|it| it.map(Item::Agent))));
    for (question, agent) in [("sessions of the workspace", None), ("sessions of the agent", Some(agent))] {
        let listed = store.sessions(SessionsQuery { workspace, agent, page, after: None });
        answers.push(Answer::listed(question, listed, |session| Item::Session(Box::new(session))));
        let listed = store.archives(ArchivesQuery { workspace, agent, page });
        let question = Question("archives", question.to_owned());
        answers.push(Answer::listed(question, listed, |archive| Item::Archive(Box::new(archive))));
    }
    answers.push(Answer::all("outbox", store.outbox(1000), row));
    for (question, rows) in [("outbox heads", OutboxRows::Heads), ("dead rows", OutboxRows::Dead)] {
        let read = store.outbox_page(OutboxQuery { rows, after: None, limit: 1000 });
        answers.push(Answer::all(question, read.map(|page| page.rows), row));
    }
    answers.push(Answer::one("waiting", store.waiting().map(|waiting| Some(Item::Waiting(format!("{waiting:?}"))))));
    for place in &known.sessions {
        ask_of_session(store, place, agent, &mut answers);
    }
    for at in &known.archives {
        let of = |question| Question(question, at.filename.clone());
        answers
            .push(Answer::one(of("archive"), store.archive(at).map(|archive| Some(Item::Archive(Box::new(archive))))));
        let mut stream = Vec::new();
        let exported = store.export_archive(at, &mut stream, &mut |_: Progress| std::ops::ControlFlow::Continue(()));
        answers.push(Answer::one(of("exported archive"), exported.map(|()| Some(Item::Exported(stream)))));
    }
    answers
}

fn ask_of_session(store: &dyn Store, place: &Place, agent: AgentId, answers: &mut Vec<Answer>) {
    let at = place.at;
    let of = |question| Question(question, at.session.to_string());
    let session = |read: Result<SessionRecord>| read.map(|session| Some(Item::Session(Box::new(session))));
    let turn = |turn| Item::Turn(Box::new(turn));
    let message = |message| Item::Message(Box::new(message));
    answers.push(Answer::one(of("session"), session(store.session(at))));
    answers.push(Answer::one(of("session by key"), session(store.session_by_key(at.workspace, agent, &place.key))));
    for (question, matching) in matchings(place) {
        let read = store.messages(at, matching);
        let listed = read.map(|found| {
            let last = None;
            Listed { items: found.items, total: found.total, damaged: found.damaged, last }
        });
        answers.push(Answer::listed(of(question), listed, message));
    }
    for id in &place.messages {
        answers.push(Answer::one(
            Question("message", format!("{} {id}", at.session)),
            store.message(at, *id).map(|found| Some(message(found))),
        ));
    }
    answers.push(Answer::listed(of("turns"), store.turns(at, PageAt { page: 1, limit: 100 }), turn));
    for id in &place.turns {
        answers.push(Answer::one(
            Question("turn", format!("{} {id}", at.session)),
            store.turn(at, *id).map(|found| Some(turn(found))),
        ));
    }
    for id in &place.threads {
        answers.push(Answer::one(
            Question("thread", format!("{} {id}", at.session)),
            store.thread(at, *id).map(|found| Some(Item::Thread(found))),
        ));
    }
    answers.push(Answer::all(of("changes"), store.changes(at, 0, 1000), Item::Change));
    answers.push(Answer::one(of("context mark"), store.context_mark(at).map(|mark| mark.map(Item::Mark))));
    let head = store.outbox_head(at).map(|row| row.map(|row| Item::Row(Box::new(row))));
    answers.push(Answer::one(of("outbox head"), head));
}

fn matchings(place: &Place) -> Vec<(&'static str, Matching)> {
    let every = Matching {
        thread: None,
        types: Types::ALL,
        roles: Roles::ALL,
        gts: Ts::ZERO,
        past: None,
        direction: Direction::Asc,
        offset: 0,
        limit: 1000,
    };
    let mut asked = vec![
        ("messages", every),
        ("messages, newest first", Matching { direction: Direction::Desc, ..every }),
        ("messages after a ts", Matching { gts: place.ts, ..every }),
        ("messages of the assistant", Matching { roles: Roles::only(Role::Assistant), ..every }),
    ];
    asked.extend(
        place.threads.first().map(|thread| ("messages of a thread", Matching { thread: Some(*thread), ..every })),
    );
    asked
}
