//! A session of many messages to measure on, and which sizes to measure.

use parlor::page::{MessageQuery, Roles, Types};
use parlor::{Engine, MessageType, NewMessage, NewSession, Role, Session};
use tempfile::TempDir;

/// Sizes of a session, in messages. The last takes a while to load.
const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];

/// One message in so many is an instruction.
const RARE: u32 = 10_000;

/// The page cache: as much as the largest session, so that memory is measured and no disk.
const CACHE_BYTES: usize = 2 << 30;

/// The sizes to measure: those that a filter on the command line names, else all of them. The
/// million only when it is named, or with `PARLOR_LONG=1`.
pub fn sizes() -> impl Iterator<Item = u32> {
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let long = std::env::var("PARLOR_LONG").is_ok_and(|long| long == "1");
    SIZES.into_iter().filter(move |size| {
        let named = |filter: &String| filter.split('/').any(|part| part == size.to_string());
        let sized = |filter: &String| filter.split('/').any(|part| part.parse::<u32>().is_ok());
        let asked = filters.iter().any(named);
        asked || !filters.iter().any(sized) && (*size < 1_000_000 || long)
    })
}

/// An engine on a file of its own, and the session in it.
pub struct Loaded {
    /// The session.
    pub session: Session,
    _engine: Engine,
    _directory: TempDir,
}

/// Loads a session: a quarter each of what users and the assistant say, of tools' calls and their
/// results, and one instruction in ten thousand.
pub fn load(messages: u32) -> parlor::Result<Loaded> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::builder(directory.path().join("bench.parlor")).cache_bytes(CACHE_BYTES).open()?;
    let session = engine.workspace("bench")?.agent("bench")?.create_session(NewSession::default())?;
    for first in (1..=messages).step_by(1000) {
        session.append((first..=messages.min(first + 999)).map(message))?;
    }
    Ok(Loaded { session, _engine: engine, _directory: directory })
}

fn message(number: u32) -> NewMessage {
    let (role, kind) = match number % 4 {
        _ if number % RARE == RARE / 2 => (Role::System, MessageType::Message),
        0 => (Role::User, MessageType::Message),
        1 => (Role::Assistant, MessageType::Message),
        2 => (Role::Assistant, MessageType::ToolCall),
        _ => (Role::Tool, MessageType::ToolCall),
    };
    let text = format!("message {number} of a long conversation; ").repeat(4 + number as usize % 8);
    NewMessage::text(text).role(role).kind(kind)
}

/// Filters, and their names.
pub fn filters() -> [(&'static str, MessageQuery); 4] {
    let of = |types: Types, roles: Roles| MessageQuery::default().types(types).roles(roles);
    [
        ("quarter", of(MessageType::Message.into(), Role::Assistant.into())),
        ("default", MessageQuery::default()),
        ("all", MessageQuery::all()),
        ("rare", of(MessageType::Message.into(), Role::System.into())),
    ]
}
