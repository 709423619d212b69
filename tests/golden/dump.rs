//! Everything that can be read of a store, as lines of text.

use std::collections::BTreeMap;
use std::fmt::Debug;

use parlor::id::{ThreadId, WorkspaceId};
use parlor::page::{Direction, Matching, PageAt, Roles, Types};
use parlor::record::{MessageType, Role};
use parlor::store::{
    AgentsQuery, ArchiveRef, ArchivesQuery, ImportArchive, KeysQuery, Listed, OutboxQuery, OutboxRows, SessionRef,
    SessionsQuery, Store,
};
use parlor::testkit::redb_store;
use parlor::{ArchiveRecord, Content, ImportIds, Message, Ts, WebhookRow};

use super::place::{Place, go_on, ok};

/// More than there is of anything.
const ALL: u32 = 1000;

/// What is told so far.
#[derive(Default)]
struct Dump {
    text: String,
}

/// What an archive has that comes from a stream.
pub fn archive(stream: &[u8]) -> String {
    let mut dump = Dump::default();
    dump.restored(stream);
    dump.text
}

/// Everything that can be read of a store.
pub fn everything(store: &dyn Store) -> String {
    let mut dump = Dump::default();
    for workspace in every(|page| store.workspaces(page)) {
        dump.line(0, &workspace);
        for agent in every(|page| store.agents(AgentsQuery { workspace: workspace.id, page })) {
            dump.line(1, &agent);
            let of = |page| {
                store.sessions(SessionsQuery { workspace: workspace.id, agent: Some(agent.id), page, after: None })
            };
            let sessions = every(of);
            for session in &sessions {
                let found = ok(store.session_by_key(workspace.id, agent.id, &session.key));
                assert_eq!(&found, session);
            }
            dump.say(2, format!("sessions: {:?}", sessions.iter().map(|session| &session.key).collect::<Vec<_>>()));
            let archives =
                every(|page| store.archives(ArchivesQuery { workspace: workspace.id, agent: Some(agent.id), page }));
            dump.say(2, format!("archives: {:?}", archives.iter().map(|archive| &archive.key).collect::<Vec<_>>()));
        }
        dump.keys(store, workspace.id);
        let of = |page| store.sessions(SessionsQuery { workspace: workspace.id, agent: None, page, after: None });
        for session in every(of) {
            let at = SessionRef { workspace: workspace.id, session: session.id };
            assert_eq!(ok(store.session(at)), session);
            dump.line(1, &session);
            dump.session(store, at);
        }
        for archive in every(|page| store.archives(ArchivesQuery { workspace: workspace.id, agent: None, page })) {
            dump.archive(store, &archive);
        }
    }
    dump.line(0, &ok(store.waiting()));
    for (name, rows) in [("heads", OutboxRows::Heads), ("dead", OutboxRows::Dead)] {
        let page = ok(store.outbox_page(OutboxQuery { rows, after: None, limit: ALL }));
        dump.say(0, format!("{name} of the outbox: {:?}", page.rows.iter().map(|row| row.number).collect::<Vec<_>>()));
        page.rows.iter().filter(|_| rows == OutboxRows::Dead).for_each(|row| dump.announced(row));
    }
    ok(store.outbox(ALL)).iter().for_each(|row| dump.announced(row));
    dump.text
}

fn every<T>(read: impl Fn(PageAt) -> parlor::Result<Listed<T>>) -> Vec<T> {
    let found = ok(read(PageAt { page: 1, limit: 100 }));
    assert_eq!((found.total, found.damaged.len()), (found.items.len() as u64, 0), "they fit a page");
    found.items
}

impl Dump {
    fn say(&mut self, depth: usize, text: impl AsRef<str>) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// A record without the fields that say nothing: one that gains such a field says the same.
    fn line(&mut self, depth: usize, record: &impl Debug) {
        let mut text = format!("{record:?}").replace('\n', "\\n").replace('\r', "\\r");
        for none in [": None", ": []", ": false"] {
            while let Some(at) = text.find(none) {
                let begin = text[..at].rfind([',', '{']).map_or(0, |begin| begin + 1);
                let end = text[at + none.len()..].starts_with(',');
                text.replace_range(begin..at + none.len() + usize::from(end), "");
            }
        }
        self.say(depth, text);
    }

    fn keys(&mut self, store: &dyn Store, workspace: WorkspaceId) {
        for record in every(|page| store.keys(KeysQuery { workspace, agent: None, page })) {
            let key = ok(store.key(record.id)).expect("it is there");
            assert_eq!(key.record, record);
            self.line(1, &record);
            self.say(2, format!("hash: {}", hex(&key.hash)));
        }
    }

    fn session(&mut self, store: &dyn Store, at: SessionRef) {
        if let Some(mark) = ok(store.context_mark(at)) {
            self.line(2, &mark);
        }
        let turns = every(|page| store.turns(at, page));
        let messages = matching(store, at, None, (Types::ALL, Roles::ALL));
        let threads =
            turns.iter().map(|turn| turn.thread_id).chain(messages.iter().filter_map(|message| message.thread_id));
        let threads: BTreeMap<_, _> =
            threads.map(|id| ok(store.thread(at, id))).map(|thread| (thread.number, thread)).collect();
        threads.values().for_each(|thread| self.line(2, thread));
        for turn in turns.iter().rev() {
            assert_eq!(&ok(store.turn(at, turn.id)), turn);
            self.line(2, turn);
        }
        for message in &messages {
            assert_eq!(&ok(store.message(at, message.id)), message);
            self.message(message);
        }
        for change in ok(store.changes(at, 0, ALL)) {
            self.say(2, format!("{} {:?}", change.number, change.kind));
        }
        self.listings(store, at, None);
        threads.values().for_each(|thread| self.listings(store, at, Some(thread.id)));
    }

    fn message(&mut self, message: &Message) {
        let Message { id, session_id, number, role, kind, ts, created_at, .. } = message;
        let mut plain = Message::new(*id, *session_id, *number, *role, *kind, *ts, *created_at);
        plain.content.clone_from(&message.content);
        match &message.content {
            Some(Content::Text(text)) if *message == plain => {
                self.say(2, format!("{number} {id} {role} {kind} {text:?} {ts:?} {created_at:?}"));
            }
            _ => self.line(2, message),
        }
        message.images.iter().for_each(|image| self.say(3, format!("image: {}", hex(&image.data))));
        if let Some(Content::Blocks(blocks)) = &message.content {
            self.say(3, format!("blocks: {:?}", blocks.as_str()));
        }
    }

    /// What each listing has, by the numbers of its messages.
    fn listings(&mut self, store: &dyn Store, at: SessionRef, thread: Option<ThreadId>) {
        for role in Role::ALL {
            for kind in MessageType::ALL {
                let listed = matching(store, at, thread, (kind.into(), role.into()));
                if !listed.is_empty() {
                    let numbers: Vec<_> = listed.iter().map(|message| message.number).collect();
                    let whose = thread.map_or("the session".to_owned(), |thread| thread.to_string());
                    self.say(2, format!("{role} {kind} of {whose}: {}", runs(&numbers)));
                }
            }
        }
    }

    /// What the archive is, and what it has: it goes by a stream to another place, where it is restored.
    fn archive(&mut self, store: &dyn Store, record: &ArchiveRecord) {
        let ArchiveRecord { workspace_id, agent_id, filename, .. } = record;
        let archive = ArchiveRef { workspace: *workspace_id, agent: *agent_id, filename: filename.clone() };
        assert_eq!(&ok(store.archive(&archive)), record);
        self.line(1, record);
        let mut stream = Vec::new();
        ok(store.export_archive(&archive, &mut stream, &mut go_on));
        self.restored(&stream);
    }

    /// What an archive has that comes from a stream.
    fn restored(&mut self, stream: &[u8]) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut place = Place::new(ok(redb_store(dir.path().join("restored.parlor"))), 1000);
        place.enter("elsewhere", "greeter");
        let (stamp, ids) = (place.stamp(), ImportIds::Keep);
        let op = ImportArchive { stamp, workspace: place.workspace, agent: place.agent, ids };
        let record = ok(place.store.import_archive(op, &mut &*stream, &mut go_on));
        let at = SessionRef { workspace: place.workspace, session: record.session_id };
        self.line(2, &record);
        place.restore(ArchiveRef { workspace: place.workspace, agent: place.agent, filename: record.filename });
        self.line(2, &ok(place.store.session(at)));
        self.session(&*place.store, at);
        assert_eq!(ok(place.store.verify()), Vec::<String>::new());
    }

    fn announced(&mut self, row: &WebhookRow) {
        self.line(1, row);
        self.say(2, format!("token {:?}, secret {:?}", row.webhook.token, row.webhook.secret));
    }
}

fn matching(
    store: &dyn Store,
    at: SessionRef,
    thread: Option<ThreadId>,
    (types, roles): (Types, Roles),
) -> Vec<Message> {
    let (direction, gts) = (Direction::Asc, Ts::ZERO);
    let found =
        ok(store.messages(at, Matching { thread, types, roles, gts, past: None, direction, offset: 0, limit: ALL }));
    assert_eq!((found.total, found.damaged.len()), (found.items.len() as u64, 0), "they fit a page");
    found.items
}

/// Numbers that follow each other as their first and last.
fn runs(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let run = |run: &[u32]| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    };
    runs.map(run).collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
