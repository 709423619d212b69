//! Every table and every key, each with a line of reason.
//!
//! Keys are fixed-width and big-endian, so they sort as their numbers do; only names, which stand at
//! the end of a key, have a length of their own. No key begins with another. A look-up by id, key or name starts with the workspace's number;
//! what stands below a session starts with the session's, so it can be reached only through its
//! workspace. Numbers are dense and 32 bits wide: an index row is a third of one with UUIDs.

use redb::TableDefinition;

use super::codec::Id;

/// The version of this layout. A file with a greater one is refused untouched.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Tables hold bytes: redb's typed values cannot say *corrupt*, our codec can.
pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The tables. The discriminant is part of each checksum, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Table {
    /// The format and the counters of dense numbers.
    Meta = 0,
    /// From names, keys and ids to dense numbers, and what workspaces and agents are.
    Names = 1,
    /// What sessions are, and where they stand: apart from their rows, so that listing them
    /// reads neighbouring pages.
    Sessions = 2,
    /// All that stands below a session, side by side, so that an operation on it dirties few pages.
    Rows = 3,
    /// The sessions of a workspace and of an agent in the order of their activity.
    Activity = 4,
    /// The claims of running turns: what an opening process finds orphans by, and small.
    Claims = 5,
    /// The ends that wait to be announced.
    Outbox = 6,
    /// Sessions out of the live tables, compressed, and what they are found by.
    Archives = 7,
}

impl Table {
    pub(super) const ALL: [Table; 8] = [
        Table::Meta,
        Table::Names,
        Table::Sessions,
        Table::Rows,
        Table::Activity,
        Table::Claims,
        Table::Outbox,
        Table::Archives,
    ];

    pub(super) const fn tag(self) -> u8 {
        self as u8
    }

    /// The table of a tag.
    pub(super) fn of_tag(tag: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.tag() == tag)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Its name in the file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Names => "names",
            Table::Sessions => "sessions",
            Table::Rows => "rows",
            Table::Activity => "activity",
            Table::Claims => "claims",
            Table::Outbox => "outbox",
            Table::Archives => "archives",
        }
    }

    pub(super) const fn definition(self) -> Definition {
        Definition::new(self.name())
    }
}

fn key(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Text at the end of a key: it ends in two zeros, and a zero within is followed by 255. So keys
/// sort as their texts do, and none begins with another.
fn text(text: &str) -> Vec<u8> {
    let escaped = text.bytes().flat_map(|byte| [Some(byte), (byte == 0).then_some(0xff)]).flatten();
    escaped.chain([0, 0]).collect()
}

/// The least and the greatest key that a session can have in a table whose keys begin with its number.
pub(super) fn of_session(session: u32) -> ([u8; 4], [u8; 12]) {
    let from = session.to_be_bytes();
    let mut to = [0xff; 12];
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
    (from, to)
}

/// The session of a key that begins with its number.
pub(super) fn session_of(key: &[u8]) -> Option<u32> {
    key.first_chunk().map(|number| u32::from_be_bytes(*number))
}

/// Keys of [`Table::Meta`]: what it is (1 byte), of a remnant the session's number, and of a waiting turn the session's and its own.
pub(super) mod meta {
    /// The format: a fixed form of its own, see `file`.
    pub(in crate::redb) const FORMAT: &[u8] = &[0];
    /// The counters of dense numbers.
    pub(in crate::redb) const COUNTERS: &[u8] = &[1];
    /// The number of the last group, and the log that has the ones after it.
    pub(in crate::redb) const GROUP: &[u8] = &[2];
    /// How much waits in all sessions.
    pub(in crate::redb) const WAITING: &[u8] = &[5];
    /// That what waits is paused.
    pub(in crate::redb) const PAUSED: &[u8] = &[0x20];
    /// What the keys of waiting turns begin with.
    const QUEUED: u8 = 4;
    /// What the keys of remnants begin with.
    const REMNANT: u8 = 3;
    /// What the keys of archived sessions begin with, of whose rows some may be left.
    const ARCHIVED: u8 = 6;
    /// What the keys of archives begin with that are not there, of whose chunks some may be.
    const CHUNKS: u8 = 7;
    /// The number of the last archive that was begun.
    pub(in crate::redb) const ARCHIVES: &[u8] = &[8];

    /// What the keys of deleted agents begin with.
    const HIDDEN: u8 = 16;

    /// That an agent was deleted, and some of it may be left.
    pub(in crate::redb) fn hidden(agent: u32) -> [u8; 5] {
        let [a, b, c, d] = agent.to_be_bytes();
        [HIDDEN, a, b, c, d]
    }

    /// The agent of a deleted agent's key; none when the key is no such key.
    pub(in crate::redb) fn hidden_of(key: &[u8]) -> Option<u32> {
        let number = key.strip_prefix(&[HIDDEN])?.try_into().ok()?;
        Some(u32::from_be_bytes(number))
    }

    /// That a session was deleted, and some of it may be left.
    pub(in crate::redb) fn remnant(session: u32) -> [u8; 5] {
        numbered(REMNANT, session)
    }

    /// That a session was archived, and some of its rows may be left.
    pub(in crate::redb) fn archived(session: u32) -> [u8; 5] {
        numbered(ARCHIVED, session)
    }

    /// That an archive is not there, or not yet, and some of its chunks may be.
    pub(in crate::redb) fn chunks(archive: u32) -> [u8; 5] {
        numbered(CHUNKS, archive)
    }

    fn numbered(what: u8, number: u32) -> [u8; 5] {
        let [a, b, c, d] = number.to_be_bytes();
        [what, a, b, c, d]
    }

    /// That a turn of a session waits: side by side for all sessions, so that an opening process finds them.
    pub(in crate::redb) fn queued(session: u32, turn: u32) -> [u8; 9] {
        let ([a, b, c, d], [e, f, g, h]) = (session.to_be_bytes(), turn.to_be_bytes());
        [QUEUED, a, b, c, d, e, f, g, h]
    }

    /// The session and the turn of a waiting turn's key; none when the key is no such key.
    pub(in crate::redb) fn queued_of(key: &[u8]) -> Option<(u32, u32)> {
        let (session, turn) = key.strip_prefix(&[QUEUED])?.split_first_chunk()?;
        Some((u32::from_be_bytes(*session), u32::from_be_bytes(turn.try_into().ok()?)))
    }

    /// The number at the end of the key of a remnant, of whatever it is one; none when the key is no such key.
    pub(in crate::redb) fn remnant_of(key: &[u8]) -> Option<u32> {
        let (what, number) = key.split_first()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        [REMNANT, ARCHIVED, CHUNKS].contains(what).then_some(number)
    }
}

/// Keys of [`Table::Names`]: what it is (1 byte), the number of what it stands in, the name or id.
pub(super) mod names {
    use super::{Id, key, text};

    /// What the keys of workspaces by their names begin with.
    pub(in crate::redb) const WORKSPACES: u8 = 1;
    /// What the keys of agents by their names begin with.
    pub(in crate::redb) const AGENTS: u8 = 3;

    /// A workspace's number by its name.
    pub(in crate::redb) fn workspace_name(name: &str) -> Vec<u8> {
        key(&[&[WORKSPACES], &text(name)])
    }

    /// A workspace's number by its id.
    pub(in crate::redb) fn workspace_id(id: &Id) -> Vec<u8> {
        key(&[&[2], id])
    }

    /// An agent's number by its name in a workspace.
    pub(in crate::redb) fn agent_name(workspace: u32, name: &str) -> Vec<u8> {
        key(&[&[AGENTS], &workspace.to_be_bytes(), &text(name)])
    }

    /// What the keys of the agents of a workspace by their names begin with.
    pub(in crate::redb) fn agents_of(workspace: u32) -> Vec<u8> {
        key(&[&[AGENTS], &workspace.to_be_bytes()])
    }

    /// An agent's number by its id in a workspace.
    pub(in crate::redb) fn agent_id(workspace: u32, id: &Id) -> Vec<u8> {
        key(&[&[4], &workspace.to_be_bytes(), id])
    }

    /// A live session's number by its key under an agent.
    pub(in crate::redb) fn session_key(agent: u32, name: &str) -> Vec<u8> {
        key(&[&[5], &agent.to_be_bytes(), &text(name)])
    }

    /// A session's number by its id in a workspace.
    pub(in crate::redb) fn session_id(workspace: u32, id: &Id) -> Vec<u8> {
        key(&[&[6], &workspace.to_be_bytes(), id])
    }

    /// What a workspace or an agent is.
    pub(in crate::redb) fn scope(scope: u32) -> Vec<u8> {
        key(&[&[7], &scope.to_be_bytes()])
    }

    /// How many live sessions a workspace or an agent has.
    pub(in crate::redb) fn count(scope: u32) -> Vec<u8> {
        key(&[&[8], &scope.to_be_bytes()])
    }

    /// How many agents a workspace has; of 0, how many workspaces there are.
    pub(in crate::redb) fn scopes(within: u32) -> Vec<u8> {
        key(&[&[9], &within.to_be_bytes()])
    }

    /// The label of an agent that has one.
    pub(in crate::redb) fn label(agent: u32) -> Vec<u8> {
        key(&[&[10], &agent.to_be_bytes()])
    }

    /// An access key by its id: the one look-up that does not start with a workspace, for the key says which it is.
    pub(in crate::redb) fn access_key(id: &Id) -> Vec<u8> {
        key(&[&[11], id])
    }

    /// That a workspace has an access key: the number of the agent it is of, or 0.
    pub(in crate::redb) fn access_key_of(workspace: u32, id: &Id) -> Vec<u8> {
        key(&[&[12], &workspace.to_be_bytes(), id])
    }

    /// The least and the greatest key that the names of workspaces can have; with a workspace, those of its agents.
    pub(in crate::redb) fn named(workspace: Option<u32>) -> (Vec<u8>, Vec<u8>) {
        match workspace {
            None => (vec![1], vec![2]),
            Some(number) => {
                let from = key(&[&[3], &number.to_be_bytes()]);
                let to = number.checked_add(1).map_or_else(|| vec![4], |next| key(&[&[3], &next.to_be_bytes()]));
                (from, to)
            }
        }
    }
}

/// Keys of [`Table::Sessions`]: the session's number, then the part.
pub(super) mod sessions {
    /// What the session is.
    pub(in crate::redb) fn body(session: u32) -> [u8; 5] {
        part(session, 0)
    }

    /// Where its transcript begins.
    pub(in crate::redb) fn mark(session: u32) -> [u8; 5] {
        part(session, 2)
    }

    /// Where it stands.
    pub(in crate::redb) fn head(session: u32) -> [u8; 5] {
        part(session, 1)
    }

    /// Whether it is the key of where a session stands.
    pub(in crate::redb) fn is_head(key: &[u8]) -> bool {
        matches!(key, [_, _, _, _, 1])
    }

    fn part(session: u32, part: u8) -> [u8; 5] {
        let [a, b, c, d] = session.to_be_bytes();
        [a, b, c, d, part]
    }
}

/// Keys of [`Table::Rows`]: the session's number, what it is (1 byte), its number or id.
pub(super) mod rows {
    use super::{Id, key};

    /// What a row is. Those that are numbered are so without gaps, from 1 unless it says so.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub(in crate::redb) enum Kind {
        /// Messages, never rewritten.
        Message = 1,
        /// Blocks of times; numbered from 0.
        Times = 2,
        /// Events of the change feed; their numbers are 64 bits wide.
        Change = 3,
        Turn = 4,
        Thread = 5,
        /// From a message's id to its number.
        MessageId = 6,
        /// From a turn's id to its number.
        TurnId = 7,
        /// From a thread's id to its number.
        ThreadId = 8,
        /// Blocks of the lists of positions.
        Block = 9,
        /// Directories of the lists of positions.
        Directory = 10,
    }

    pub(in crate::redb) fn numbered(session: u32, kind: Kind, number: u32) -> [u8; 9] {
        let ([a, b, c, d], [e, f, g, h]) = (session.to_be_bytes(), number.to_be_bytes());
        [a, b, c, d, kind as u8, e, f, g, h]
    }

    pub(in crate::redb) fn change(session: u32, number: u64) -> Vec<u8> {
        key(&[&session.to_be_bytes(), &[Kind::Change as u8], &number.to_be_bytes()])
    }

    pub(in crate::redb) fn by_id(session: u32, kind: Kind, id: &Id) -> Vec<u8> {
        key(&[&session.to_be_bytes(), &[kind as u8], id])
    }

    /// A block of a list: of a thread's number (0: of the session), a class, and its place in the list.
    pub(in crate::redb) fn block(session: u32, thread: u32, class: u8, block: u32) -> Vec<u8> {
        let list = [&session.to_be_bytes()[..], &[Kind::Block as u8], &thread.to_be_bytes(), &[class]];
        [&list.concat()[..], &block.to_be_bytes()].concat()
    }

    /// The directory of a list.
    pub(in crate::redb) fn directory(session: u32, thread: u32, class: u8) -> Vec<u8> {
        key(&[&session.to_be_bytes(), &[Kind::Directory as u8], &thread.to_be_bytes(), &[class]])
    }

    /// Of a block's key: the thread and the class of its list.
    pub(in crate::redb) fn list(key: &[u8]) -> Option<(u32, u8)> {
        let (thread, rest) = key.get(5..)?.split_first_chunk()?;
        Some((u32::from_be_bytes(*thread), *rest.first()?))
    }

    /// Whether it is the key of a message, an event, a turn or a thread.
    pub(in crate::redb) fn is_record(key: &[u8]) -> bool {
        let kinds = [Kind::Message, Kind::Change, Kind::Turn, Kind::Thread];
        key.get(4).is_some_and(|kind| kinds.iter().any(|record| *record as u8 == *kind))
    }

    /// The number at the end of a numbered key; none when the key is no such key.
    pub(in crate::redb) fn number(key: &[u8]) -> Option<u32> {
        let (head, number) = key.split_last_chunk::<4>()?;
        (head.len() == 5).then(|| u32::from_be_bytes(*number))
    }
}

/// Keys of [`Table::Activity`]: the workspace's or agent's number, `updated_at`, the session's id.
pub(super) mod activity {
    use super::{Id, key};
    use crate::error::{Error, Result};
    use crate::id::SessionId;

    pub(in crate::redb) fn at(scope: u32, updated_at: u64, id: &Id) -> Vec<u8> {
        key(&[&scope.to_be_bytes(), &updated_at.to_be_bytes(), id])
    }

    /// When a session last changed, and its id: what a key ends with.
    pub(in crate::redb) fn last(key: &[u8]) -> Result<(u64, SessionId)> {
        let cut = || Error::corrupt("a key of the listing is cut short");
        let (rest, id) = key.split_last_chunk::<16>().ok_or_else(cut)?;
        let updated_at = rest.last_chunk().ok_or_else(cut)?;
        Ok((u64::from_be_bytes(*updated_at), SessionId::from_uuid(uuid::Uuid::from_bytes(*id))))
    }

    /// The least and the greatest key that a scope can have.
    pub(in crate::redb) fn bounds(scope: u32) -> (Vec<u8>, Vec<u8>) {
        (at(scope, 0, &[0; 16]), at(scope, u64::MAX, &[0xff; 16]))
    }
}

/// Keys of [`Table::Claims`]: the session's number.
pub(super) mod claims {
    pub(in crate::redb) fn of(session: u32) -> [u8; 4] {
        session.to_be_bytes()
    }
}

/// Keys of [`Table::Outbox`]: the session's number, that of the event which tells of the end: turns do not end in the order
/// of their numbers, and their ends are announced in theirs. Dead rows stand behind all others of their session, so that
/// the first row of a session is the one to try next.
pub(super) mod outbox {
    use super::key;
    use crate::record::WebhookState;

    /// The first bit of the number in the key of a dead row.
    const DEAD: u64 = 1 << 63;

    pub(in crate::redb) fn at(session: u32, change: u64) -> Vec<u8> {
        key(&[&session.to_be_bytes(), &change.to_be_bytes()])
    }

    /// The same of a session of another number; none when the key is no such key.
    pub(in crate::redb) fn moved(key: &[u8], to: u32) -> Option<Vec<u8>> {
        let (_, number) = key.split_first_chunk::<4>()?;
        Some([&to.to_be_bytes(), number].concat())
    }

    /// Of a row that is not tried any more.
    pub(in crate::redb) fn dead(session: u32, change: u64) -> Vec<u8> {
        at(session, DEAD | change)
    }

    /// The session, the number, and the state of the row; none when the key is no such key.
    pub(in crate::redb) fn of(key: &[u8]) -> Option<(u32, u64, WebhookState)> {
        let (session, number) = key.split_first_chunk()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let state = if number & DEAD == 0 { WebhookState::Pending } else { WebhookState::Dead };
        Some((u32::from_be_bytes(*session), number & !DEAD, state))
    }
}

/// Keys of [`Table::Archives`]: what it is (1 byte), and the number of the archive or of what it is found in.
pub(super) mod archives {
    use super::{Id, key, text};

    /// What an archive is.
    pub(in crate::redb) fn row(archive: u32) -> Vec<u8> {
        key(&[&[0], &archive.to_be_bytes()])
    }

    /// Whether it is the key of what an archive is.
    pub(in crate::redb) fn is_row(key: &[u8]) -> bool {
        matches!(key, [0, _, _, _, _])
    }

    /// A chunk of an archive; they are numbered from 0.
    pub(in crate::redb) fn chunk(archive: u32, chunk: u32) -> Vec<u8> {
        key(&[&[1], &archive.to_be_bytes(), &chunk.to_be_bytes()])
    }

    /// An archive in the listing of a workspace or an agent.
    pub(in crate::redb) fn listed(scope: u32, archived_at: u64, archive: u32) -> Vec<u8> {
        key(&[&[2], &scope.to_be_bytes(), &archived_at.to_be_bytes(), &archive.to_be_bytes()])
    }

    /// The least and the greatest key of the listing of a scope.
    pub(in crate::redb) fn listed_bounds(scope: u32) -> (Vec<u8>, Vec<u8>) {
        (listed(scope, 0, 0), listed(scope, u64::MAX, u32::MAX))
    }

    /// How many archives a workspace or an agent has.
    pub(in crate::redb) fn count(scope: u32) -> Vec<u8> {
        key(&[&[3], &scope.to_be_bytes()])
    }

    /// An archive's number by its name under an agent.
    pub(in crate::redb) fn filename(agent: u32, filename: &str) -> Vec<u8> {
        key(&[&[4], &agent.to_be_bytes(), &text(filename)])
    }

    /// An archive's number by its session's id in a workspace.
    pub(in crate::redb) fn session(workspace: u32, id: &Id) -> Vec<u8> {
        key(&[&[5], &workspace.to_be_bytes(), id])
    }

    /// The archive of a key of a listing; none when the key is no such key.
    pub(in crate::redb) fn number_of_listed(key: &[u8]) -> Option<u32> {
        let (rest, number) = key.split_last_chunk()?;
        (rest.len() == 13 && rest.first() == Some(&2)).then(|| u32::from_be_bytes(*number))
    }

    /// The archive and the number of a chunk's key; none when the key is no such key.
    pub(in crate::redb) fn chunk_of(key: &[u8]) -> Option<(u32, u32)> {
        let (archive, chunk) = key.strip_prefix(&[1])?.split_first_chunk()?;
        Some((u32::from_be_bytes(*archive), u32::from_be_bytes(chunk.try_into().ok()?)))
    }
}
