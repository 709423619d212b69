//! Keys as values, so that a test can hold their bytes to the order of what they stand for.

use super::codec::Id;
use super::tables::{Table, activity, archives, claims, meta, names, outbox, rows, sessions};

/// A key of the file, as what it stands for. The order of the variants and fields is the order in
/// which a table has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::enum_variant_names, reason = "a session is found by its key")]
enum Key {
    Remnant(u32),
    Queued(u32, u32),
    ArchivedSession(u32),
    ArchiveChunks(u32),
    Hidden(u32),
    WorkspaceName(String),
    WorkspaceId(Id),
    AgentName(u32, String),
    AgentId(u32, Id),
    SessionKey(u32, String),
    SessionId(u32, Id),
    Scope(u32),
    Count(u32),
    Scopes(u32),
    Label(u32),
    AccessKey(Id),
    AccessKeyOf(u32, Id),
    Body(u32),
    Head(u32),
    Mark(u32),
    Row(u32, Row),
    Activity(u32, u64, Id),
    Claim(u32),
    Outbox(u32, u64),
    Archive(u32),
    Chunk(u32, u32),
    ListedArchive(u32, u64, u32),
    ArchiveCount(u32),
    ArchiveName(u32, String),
    ArchiveOf(u32, Id),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Message(u32),
    Times(u32),
    Change(u64),
    Turn(u32),
    Thread(u32),
    MessageId(Id),
    TurnId(Id),
    ThreadId(Id),
    Block(u32, u8, u32),
    Directory(u32, u8),
}

impl Key {
    fn table(&self) -> Table {
        match self {
            Key::Remnant(_) | Key::Queued(..) | Key::ArchivedSession(_) | Key::ArchiveChunks(_) | Key::Hidden(_) => {
                Table::Meta
            }
            Key::Body(_) | Key::Head(_) | Key::Mark(_) => Table::Sessions,
            Key::Row(..) => Table::Rows,
            Key::Activity(..) => Table::Activity,
            Key::Claim(_) => Table::Claims,
            Key::Outbox(..) => Table::Outbox,
            Key::Archive(_)
            | Key::Chunk(..)
            | Key::ListedArchive(..)
            | Key::ArchiveCount(_)
            | Key::ArchiveName(..)
            | Key::ArchiveOf(..) => Table::Archives,
            _ => Table::Names,
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Key::Remnant(session) => meta::remnant(*session).to_vec(),
            Key::Queued(session, turn) => meta::queued(*session, *turn).to_vec(),
            Key::Hidden(agent) => meta::hidden(*agent).to_vec(),
            Key::WorkspaceName(name) => names::workspace_name(name),
            Key::WorkspaceId(id) => names::workspace_id(id),
            Key::AgentName(workspace, name) => names::agent_name(*workspace, name),
            Key::AgentId(workspace, id) => names::agent_id(*workspace, id),
            Key::SessionKey(agent, name) => names::session_key(*agent, name),
            Key::SessionId(workspace, id) => names::session_id(*workspace, id),
            Key::Scope(scope) => names::scope(*scope),
            Key::Count(scope) => names::count(*scope),
            Key::Scopes(scope) => names::scopes(*scope),
            Key::Label(agent) => names::label(*agent),
            Key::AccessKey(id) => names::access_key(id),
            Key::AccessKeyOf(workspace, id) => names::access_key_of(*workspace, id),
            Key::Body(session) => sessions::body(*session).to_vec(),
            Key::Head(session) => sessions::head(*session).to_vec(),
            Key::Mark(session) => sessions::mark(*session).to_vec(),
            Key::Row(session, row) => row.encode(*session),
            Key::Activity(scope, at, id) => activity::at(*scope, *at, id),
            Key::Claim(session) => claims::of(*session).to_vec(),
            Key::Outbox(session, turn) => outbox::at(*session, *turn),
            Key::ArchivedSession(session) => meta::archived(*session).to_vec(),
            Key::ArchiveChunks(archive) => meta::chunks(*archive).to_vec(),
            Key::Archive(archive) => archives::row(*archive),
            Key::Chunk(archive, chunk) => archives::chunk(*archive, *chunk),
            Key::ListedArchive(scope, at, archive) => archives::listed(*scope, *at, *archive),
            Key::ArchiveCount(scope) => archives::count(*scope),
            Key::ArchiveName(agent, filename) => archives::filename(*agent, filename),
            Key::ArchiveOf(workspace, id) => archives::session(*workspace, id),
        }
    }

    /// Of the sessions' table the session comes before the part.
    fn order(&self) -> (u8, u32, &Self) {
        let within = match self {
            Key::Body(session) | Key::Head(session) | Key::Mark(session) => *session,
            _ => 0,
        };
        (self.table().tag(), within, self)
    }

    fn draw(from: &mut Bytes<'_>) -> Self {
        match from.byte() % 30 {
            0 => Key::WorkspaceName(from.text()),
            1 => Key::WorkspaceId(from.array()),
            2 => Key::AgentName(from.number(), from.text()),
            3 => Key::AgentId(from.number(), from.array()),
            4 => Key::SessionKey(from.number(), from.text()),
            5 => Key::SessionId(from.number(), from.array()),
            6 => Key::Scope(from.number()),
            7 => Key::Count(from.number()),
            8 => Key::Body(from.number()),
            9 => Key::Head(from.number()),
            10 => Key::Row(from.number(), Row::draw(from)),
            11 => Key::Activity(from.number(), u64::from_be_bytes(from.array()), from.array()),
            12 => Key::Claim(from.number()),
            13 => Key::Remnant(from.number()),
            15 => Key::Queued(from.number(), from.number()),
            16 => Key::Mark(from.number()),
            17 => Key::ArchivedSession(from.number()),
            18 => Key::ArchiveChunks(from.number()),
            19 => Key::Archive(from.number()),
            20 => Key::Chunk(from.number(), from.number()),
            21 => Key::ListedArchive(from.number(), u64::from_be_bytes(from.array()), from.number()),
            22 => Key::ArchiveCount(from.number()),
            23 => Key::ArchiveName(from.number(), from.text()),
            24 => Key::ArchiveOf(from.number(), from.array()),
            25 => Key::Hidden(from.number()),
            26 => Key::Scopes(from.number()),
            27 => Key::Label(from.number()),
            28 => Key::AccessKey(from.array()),
            29 => Key::AccessKeyOf(from.number(), from.array()),
            _ => Key::Outbox(from.number(), u64::from_be_bytes(from.array())),
        }
    }
}

impl Row {
    fn encode(&self, session: u32) -> Vec<u8> {
        match self {
            Row::Message(number) => rows::numbered(session, rows::Kind::Message, *number).to_vec(),
            Row::Times(block) => rows::numbered(session, rows::Kind::Times, *block).to_vec(),
            Row::Change(number) => rows::change(session, *number),
            Row::Turn(number) => rows::numbered(session, rows::Kind::Turn, *number).to_vec(),
            Row::Thread(number) => rows::numbered(session, rows::Kind::Thread, *number).to_vec(),
            Row::MessageId(id) => rows::by_id(session, rows::Kind::MessageId, id),
            Row::TurnId(id) => rows::by_id(session, rows::Kind::TurnId, id),
            Row::ThreadId(id) => rows::by_id(session, rows::Kind::ThreadId, id),
            Row::Block(thread, class, block) => rows::block(session, *thread, *class, *block),
            Row::Directory(thread, class) => rows::directory(session, *thread, *class),
        }
    }

    fn draw(from: &mut Bytes<'_>) -> Self {
        match from.byte() % 10 {
            0 => Row::Message(from.number()),
            1 => Row::Times(from.number()),
            2 => Row::Change(u64::from_be_bytes(from.array())),
            3 => Row::Turn(from.number()),
            4 => Row::Thread(from.number()),
            5 => Row::MessageId(from.array()),
            6 => Row::TurnId(from.array()),
            7 => Row::ThreadId(from.array()),
            8 => Row::Block(from.number(), from.byte(), from.number()),
            _ => Row::Directory(from.number(), from.byte()),
        }
    }
}

/// Bytes to draw from; zeros where there are no more.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        array.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
        self.0 = rest;
        array
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 8).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(taken).into_owned()
    }
}

/// Draws two keys from bytes and holds them to each other.
///
/// # Panics
///
/// When their bytes are not in the order of what they stand for, or one begins with another.
pub(crate) fn check_order(bytes: &[u8]) {
    let mut from = Bytes(bytes);
    let (a, b) = (Key::draw(&mut from), Key::draw(&mut from));
    let tagged = |key: &Key| [&[key.table().tag()][..], &key.encode()].concat();
    let (left, right) = (tagged(&a), tagged(&b));
    assert_eq!(a.order().cmp(&b.order()), left.cmp(&right), "{a:?} and {b:?} are ordered otherwise than their bytes");
    assert!(a == b || !right.starts_with(&left) && !left.starts_with(&right), "{a:?} or {b:?} begins with the other");
}
