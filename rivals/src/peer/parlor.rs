//! This engine, through its public API.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use parlor::page::{Direction, MessagePage, MessageQuery, Page, Roles, Types};
use parlor::{
    AgentHandle, AgentResult, ChangeKind, Engine, Message, MessageType, NewMessage, NewSession, NewTurn, Role, Session,
    SessionRecord, SessionStatus, Ts, TurnContext,
};

use super::{Answer, Answered, Cache, Filter, Found, Listed, PAGE, Peer, Reader, Result, Row, Wanted, Way, Writer};
use crate::corpus::{Class, Corpus, Draft};
use crate::plan::{self, Chunk, Plan, Standing};

/// The workspace and the agent that all sessions belong to.
pub(super) const WORKSPACE: &str = "rivals";
pub(super) const AGENT: &str = "peer";

/// Threads that load: many, since each waits for the disk.
const LOADERS: u32 = 64;

/// The peer.
pub struct Parlor {
    file: PathBuf,
    /// None only while it is being opened again.
    engine: Option<(Engine, AgentHandle)>,
    /// Handles by number, made when they are first needed.
    sessions: Vec<OnceLock<Session>>,
    threads: Mutex<HashMap<u32, parlor::id::ThreadId>>,
}

/// What runs the turns: it has nothing to say. A thread is opened by a turn, and by nothing else.
fn silent(_: &TurnContext) -> AgentResult<()> {
    Ok(())
}

fn engine(file: &Path, cache: Cache) -> Result<(Engine, AgentHandle)> {
    let builder = Engine::builder(file).agent_fn(AGENT, silent);
    let builder = match cache {
        Cache::Holds => builder.cache_bytes(Cache::HOLDS),
        Cache::Default => builder,
    };
    let engine = builder.open()?;
    let agent = engine.workspace(WORKSPACE)?.agent(AGENT)?;
    Ok((engine, agent))
}

impl Parlor {
    /// The file in a peer's directory.
    pub fn file(directory: &Path) -> PathBuf {
        directory.join("rivals.parlor")
    }

    /// Opens it.
    pub fn open(directory: &Path, cache: Cache) -> Result<Parlor> {
        let file = Self::file(directory);
        let (engine, agent) = engine(&file, cache)?;
        let mut peer = Parlor { file, engine: None, sessions: Vec::new(), threads: Mutex::default() };
        peer.sessions(agent.sessions(1)?.meta.total as u32);
        peer.engine = Some((engine, agent));
        Ok(peer)
    }

    /// Makes room for handles.
    fn sessions(&mut self, count: u32) {
        self.sessions.clear();
        self.sessions.resize_with(count as usize, OnceLock::new);
    }

    fn agent(&self) -> Result<&AgentHandle> {
        Ok(self.engine.as_ref().map(|(_, agent)| agent).ok_or("parlor is closed")?)
    }

    fn session(&self, session: u32) -> Result<&Session> {
        let handle = self.sessions.get(session as usize).ok_or("no such session")?;
        if let Some(known) = handle.get() {
            return Ok(known);
        }
        let found = self.agent()?.session_by_key(&plan::key(session))?;
        Ok(handle.get_or_init(|| found))
    }

    /// The thread of a session, which its first message stands in.
    fn thread(&self, session: u32) -> Result<parlor::id::ThreadId> {
        if let Some(known) = self.threads.lock().map_err(|_| "poisoned")?.get(&session) {
            return Ok(*known);
        }
        let query = MessageQuery::all().direction(Direction::Asc).limit(1);
        let page = self.session(session)?.messages(query).page()?;
        let thread = page.items.first().and_then(|first| first.thread_id).ok_or("the session has no thread")?;
        self.threads.lock().map_err(|_| "poisoned")?.insert(session, thread);
        Ok(thread)
    }

    fn write(&self, standing: Standing, chunk: Chunk, corpus: &Corpus) -> Result {
        let session = self.session(chunk.session)?;
        let drafts = corpus.messages(chunk.session, chunk.first, chunk.count);
        let mut messages = drafts.iter().map(message);
        match standing {
            Standing::Loose => session.append(messages).map(|_| ())?,
            Standing::Threaded => {
                if chunk.first == 1 {
                    let first = messages.next().ok_or("an empty chunk")?;
                    session.send(NewTurn::from(first))?.wait()?;
                }
                if messages.len() > 0 {
                    session.append_to(self.thread(chunk.session)?, messages)?;
                }
            }
        }
        Ok(())
    }
}

/// Runs on many threads, each with its number.
fn everywhere(work: impl Fn(u32) -> Result + Sync) -> Result {
    std::thread::scope(|scope| {
        let loaders: Vec<_> = (0..LOADERS)
            .map(|loader| {
                scope.spawn({
                    let work = &work;
                    move || work(loader)
                })
            })
            .collect();
        loaders.into_iter().try_for_each(|loader| loader.join().map_err(|_| "a loader panicked")?)
    })
}

pub(super) fn message(draft: &Draft) -> NewMessage {
    let (role, kind) = match draft.class {
        Class::User => (Role::User, MessageType::Message),
        Class::Assistant => (Role::Assistant, MessageType::Message),
        Class::Final => (Role::Assistant, MessageType::FinalMessage),
        Class::Call => (Role::Assistant, MessageType::ToolCall),
        Class::Tool => (Role::Tool, MessageType::ToolCall),
        Class::System => (Role::System, MessageType::Message),
    };
    NewMessage::text(draft.text.as_str()).role(role).kind(kind)
}

fn class(role: Role, kind: MessageType) -> Result<Class> {
    Ok(match (role, kind) {
        (Role::User, MessageType::Message) => Class::User,
        (Role::Assistant, MessageType::Message) => Class::Assistant,
        (Role::Assistant, MessageType::FinalMessage) => Class::Final,
        (Role::Assistant, MessageType::ToolCall) => Class::Call,
        (Role::Tool, MessageType::ToolCall) => Class::Tool,
        (Role::System, MessageType::Message) => Class::System,
        _ => return Err("a message of no known class".into()),
    })
}

impl Peer for Parlor {
    fn load(&mut self, plan: &Plan, corpus: &Corpus) -> Result {
        self.sessions(plan.sessions.len() as u32);
        let agent = self.agent()?;
        let next = AtomicU32::new(0);
        everywhere(|_| {
            while let Some((number, handle)) = {
                let number = next.fetch_add(1, Ordering::Relaxed);
                self.sessions.get(number as usize).map(|handle| (number, handle))
            } {
                let made = agent.create_session(NewSession::default().key(plan::key(number)))?;
                handle.get_or_init(|| made);
            }
            Ok(())
        })?;
        // Each thread has sessions of its own, so that the messages of one keep their order.
        everywhere(|loader| {
            let own = plan.chunks.iter().filter(|chunk| chunk.session % LOADERS == loader);
            own.into_iter().try_for_each(|chunk| self.write(plan.standing(chunk.session), *chunk, corpus))
        })?;
        plan.last.iter().try_for_each(|chunk| self.write(plan.standing(chunk.session), *chunk, corpus))
    }

    fn reader(&self) -> Result<Box<dyn Reader + Send + '_>> {
        Ok(Box::new(ParlorReader(self)))
    }

    fn writer(&self, _: Way) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(ParlorWriter(self)))
    }

    fn delete(&mut self, session: u32, numbers: &[u32]) -> Result {
        let handle = self.session(session)?;
        let mut ids = HashMap::new();
        let query = MessageQuery::all().direction(Direction::Asc).limit(100);
        for message in handle.messages(query).iter() {
            let message = message?;
            ids.insert(message.number, message.id);
        }
        let next = AtomicU32::new(0);
        everywhere(|_| {
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                handle.delete_message(*ids.get(number).ok_or("a message to delete is not there")?)?;
            }
            Ok(())
        })
    }

    fn reopen(&mut self, cache: Cache) -> Result {
        let (open, _) = self.engine.take().ok_or("parlor is closed")?;
        open.close()?;
        self.engine = Some(engine(&self.file, cache)?);
        // Handles of the engine that closed are closed too.
        self.sessions(self.sessions.len() as u32);
        Ok(())
    }
}

struct ParlorWriter<'a>(&'a Parlor);

impl Writer for ParlorWriter<'_> {
    fn append(&mut self, session: u32, drafts: &Arc<[Draft]>) -> Result {
        self.0.session(session)?.append(drafts.iter().map(message))?;
        Ok(())
    }
}

struct ParlorReader<'a>(&'a Parlor);

impl ParlorReader<'_> {
    fn query(&self, session: u32, filter: Filter) -> Result<MessageQuery> {
        let query = match filter.wanted {
            Wanted::Quarter => MessageQuery::default().types(MessageType::Message),
            Wanted::Default => MessageQuery::default(),
            Wanted::All => MessageQuery::default().types(Types::ALL).roles(Roles::ALL),
            Wanted::Rare => MessageQuery::default().types(MessageType::Message).roles(Role::System),
        };
        Ok(match filter.standing {
            Standing::Loose => query.limit(PAGE),
            Standing::Threaded => query.limit(PAGE).thread(self.0.thread(session)?),
        })
    }
}

impl Reader for ParlorReader<'_> {
    fn page(&mut self, session: u32, filter: Filter, page: u64) -> Answered<Row> {
        let query = self.query(session, filter)?.page(page);
        Ok(Box::new(self.0.session(session)?.messages(query).page()?))
    }

    fn poll(&mut self, session: u32, filter: Filter, after: u64) -> Answered<Row> {
        let query = self.query(session, filter)?.gts(Ts::from_micros(after)?).direction(Direction::Asc);
        Ok(Box::new(self.0.session(session)?.messages(query).page()?))
    }

    fn history(&mut self, session: u32, limit: u32) -> Answered<Row> {
        Ok(Box::new(self.0.session(session)?.history(limit)?))
    }

    fn sessions(&mut self) -> Answered<Listed> {
        Ok(Box::new(self.0.agent()?.sessions(PAGE)?))
    }

    fn messages_in_feed(&mut self, session: u32) -> Result<u32> {
        let changes = self.0.session(session)?.changes(0, 1000)?;
        Ok(changes.iter().filter(|change| matches!(change.kind, ChangeKind::Message(_))).count() as u32)
    }
}

fn row(message: &Message) -> Result<Row> {
    Ok(Row {
        number: message.number,
        id: *message.id.as_uuid().as_bytes(),
        class: class(message.role, message.kind)?,
        thread: u32::from(message.thread_id.is_some()),
        turn: u32::from(message.turn_id.is_some()),
        tool_call_id: message.tool_call_id.clone(),
        name: message.name.clone(),
        more: message.metadata.as_ref().map(|json| json.as_str().to_owned()),
        ts: message.ts.as_micros(),
        created_at: message.created_at.as_micros(),
        text: message.text(),
    })
}

impl Answer<Row> for MessagePage {
    fn found(&self) -> Result<Found<Row>> {
        Ok(Found { total: self.meta.total, items: self.items.iter().map(row).collect::<Result<_>>()? })
    }
}

impl Answer<Row> for Vec<Message> {
    fn found(&self) -> Result<Found<Row>> {
        Ok(Found { total: self.len() as u64, items: self.iter().map(row).collect::<Result<_>>()? })
    }
}

impl Answer<Listed> for Page<SessionRecord> {
    fn found(&self) -> Result<Found<Listed>> {
        let listed = |session: &SessionRecord| Listed {
            id: *session.id.as_uuid().as_bytes(),
            key: session.key.clone(),
            label: session.label.clone(),
            status: u8::from(session.status != SessionStatus::Idle),
            created_at: session.created_at.as_micros(),
            last: session.last_message,
            updated_at: session.updated_at.as_micros(),
        };
        Ok(Found { total: self.meta.total, items: self.items.iter().map(listed).collect() })
    }
}
