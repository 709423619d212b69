//! All that a store can be asked, and whether what a damaged one answers is true.

use parlor::id::{AgentId, MessageId, ThreadId, TurnId, WorkspaceId};
use parlor::page::{Direction, Matching, PageAt, Roles, Types};
use parlor::store::{ArchiveRef, ArchivesQuery, Listed, OutboxQuery, OutboxRows, SessionRef, SessionsQuery, Store};
use parlor::{
    AgentRecord, ArchiveRecord, Change, ContextMark, Error, ErrorKind, Message, Progress, Result, Role, SessionRecord,
    ThreadRecord, Ts, Turn, WebhookRow, WorkspaceRecord,
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

/// What was answered to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub question: &'static str,
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
}

impl Answer {
    fn none(question: &'static str) -> Self {
        Answer { question, items: Vec::new(), total: None, is_damaged: false, failed: None }
    }

    fn error(question: &'static str, error: &Error) -> Self {
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

    fn one(question: &'static str, read: Result<Option<Item>>) -> Self {
        match read {
            Ok(item) => Answer { items: item.into_iter().collect(), ..Self::none(question) },
            Err(error) => Self::error(question, &error),
        }
    }

    fn all<T>(question: &'static str, read: Result<Vec<T>>, item: impl Fn(T) -> Item) -> Self {
        match read {
            Ok(items) => Answer { items: items.into_iter().map(item).collect(), ..Self::none(question) },
            Err(error) => Self::error(question, &error),
        }
    }

    fn listed<T>(question: &'static str, read: Result<Listed<T>>, item: impl Fn(T) -> Item) -> Self {
        match read {
            Ok(Listed { items, total, damaged, .. }) => Answer {
                question,
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

    /// It fails in no other way than by damage and absence.
    pub fn check_kind(&self) -> Result<(), String> {
        self.failed.as_ref().map_or(Ok(()), |failed| Err(format!("{} fails: {failed}", self.question)))
    }

    /// Compares it with the true one, one of all of them: what it has is what is due, each item once and in its place. An error
    /// says what is a lie in it.
    pub fn against(&self, truth: &Answer, all: &[Answer]) -> Result<Differs, String> {
        self.check_kind()?;
        // Where the first row of a session cannot be reached any more, the next one is.
        let is_first = self.question.starts_with("outbox head");
        let rows = all.iter().find(|answer| is_first && answer.question == "outbox");
        let mut due = rows.unwrap_or(truth).items.iter();
        if let Some(lie) = self.items.iter().find(|item| !due.any(|due| due == *item)) {
            return Err(format!(
                "{} answers {lie:#?}\n--- where these are due, in this order\n{:#?}\n--- among\n{:#?}",
                self.question, truth.items, self.items
            ));
        }
        let lacks = !self.is_damaged && (self.items != truth.items || self.total != truth.total);
        Ok(Differs { lacks, names: self.is_damaged })
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
        answers.push(Answer::listed("archives", listed, |archive| Item::Archive(Box::new(archive))));
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
        answers.push(Answer::one("archive", store.archive(at).map(|archive| Some(Item::Archive(Box::new(archive))))));
        let mut stream = Vec::new();
        let exported = store.export_archive(at, &mut stream, &mut |_: Progress| std::ops::ControlFlow::Continue(()));
        answers.push(Answer::one("exported archive", exported.map(|()| Some(Item::Exported(stream)))));
    }
    answers
}

fn ask_of_session(store: &dyn Store, place: &Place, agent: AgentId, answers: &mut Vec<Answer>) {
    let at = place.at;
    let session = |read: Result<SessionRecord>| read.map(|session| Some(Item::Session(Box::new(session))));
    let turn = |turn| Item::Turn(Box::new(turn));
    let message = |message| Item::Message(Box::new(message));
    answers.push(Answer::one("session", session(store.session(at))));
    answers.push(Answer::one("session by key", session(store.session_by_key(at.workspace, agent, &place.key))));
    for (question, matching) in matchings(place) {
        let read = store.messages(at, matching);
        let listed = read.map(|found| {
            let last = None;
            Listed { items: found.items, total: found.total, damaged: found.damaged, last }
        });
        answers.push(Answer::listed(question, listed, message));
    }
    for id in &place.messages {
        answers.push(Answer::one("message", store.message(at, *id).map(|found| Some(message(found)))));
    }
    answers.push(Answer::listed("turns", store.turns(at, PageAt { page: 1, limit: 100 }), turn));
    for id in &place.turns {
        answers.push(Answer::one("turn", store.turn(at, *id).map(|found| Some(turn(found)))));
    }
    for id in &place.threads {
        answers.push(Answer::one("thread", store.thread(at, *id).map(|found| Some(Item::Thread(found)))));
    }
    answers.push(Answer::all("changes", store.changes(at, 0, 1000), Item::Change));
    answers.push(Answer::one("context mark", store.context_mark(at).map(|mark| mark.map(Item::Mark))));
    let head = store.outbox_head(at).map(|row| row.map(|row| Item::Row(Box::new(row))));
    answers.push(Answer::one("outbox head", head));
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
