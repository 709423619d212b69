//! Every bound of the library: its name, its value and the reason for it.
//!
//! A value outside a bound is refused at the door, with an error that names what was given,
//! its value and the bound; nothing is written.
//!
//! ```
//! use parlor::{ErrorKind, NewSession, limit};
//!
//! let error = NewSession::default().label("a".repeat(limit::LABEL_CHARS + 1)).check().unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidArgument);
//! assert_eq!(error.to_string(), "session label has 256 characters; it must have 0 to 255");
//! ```

/// Longest name of a workspace or an agent, in characters (Unicode scalar values).
///
/// The bound that labels have in document B, used for every short text of a person's.
pub const NAME_CHARS: usize = 255;

/// Longest session key, in characters. A key has at least one.
pub const KEY_CHARS: usize = 255;

/// Longest label of a session, in characters.
pub const LABEL_CHARS: usize = 255;

/// Longest `chat_type` and `last_channel` of a session, in characters.
pub const CHANNEL_CHARS: usize = 255;

/// Longest `name` and `tool_call_id` of a message, and `id` and name of a tool call, in bytes.
///
/// Model providers make ids of some 30 bytes; the bound leaves room without letting
/// an id carry a document.
pub const TOOL_NAME_BYTES: usize = 4096;

/// Largest message with everything in it (content, tool calls, images, metadata), in bytes.
///
/// What model APIs accept in one request is of this order; a larger blob belongs in a file.
pub const MESSAGE_BYTES: usize = 16 << 20;

/// What each tool call and each image of a message counts beside what is in it, in bytes.
///
/// As much as one takes in memory: so a message of a great many empty ones has a size too, and is
/// refused at the door rather than by the bound under which it is read again.
pub const MESSAGE_ITEM_BYTES: usize = 64;

/// Largest free JSON field of a session (`origin`, `metadata`, `profile`), in bytes.
pub const SESSION_JSON_BYTES: usize = 1 << 20;

/// Largest `user_params` or `profile` of one turn, in bytes.
pub const TURN_JSON_BYTES: usize = 1 << 20;

/// Longest URL, token or secret of a webhook, in bytes.
pub const WEBHOOK_BYTES: usize = 8192;

/// Most tool calls of one message: each that stays open gets a result in the commit that ends the turn.
pub const MESSAGE_CALLS: usize = 1000;

/// Most messages in one `append` or one `emit`: together with [`BATCH_BYTES`] it bounds a commit.
pub const BATCH_MESSAGES: usize = 1000;

/// Most bytes in one `append` or one `emit`: four of the largest messages.
pub const BATCH_BYTES: usize = 64 << 20;

/// Most messages that one turn may write, the ones of its end not counted.
///
/// A loop without an exit is stopped here, long after any conversation that a model can follow.
pub const TURN_MESSAGES: u32 = 10_000;

/// Turns that may wait in one session where nothing else is asked for.
///
/// A person seldom sends more ahead of an answer; a program that does is told early.
pub const SESSION_QUEUE_TURNS_DEFAULT: u32 = 100;
/// Most turns that may wait in one session: ending all of them is one commit.
pub const SESSION_QUEUE_TURNS_MAX: u32 = 1000;
/// Bytes of input that may wait in one session where nothing else is asked for: four of the largest messages.
pub const SESSION_QUEUE_BYTES_DEFAULT: u64 = 64 << 20;
/// Turns that may wait in all sessions of a file where nothing else is asked for.
///
/// The first turn of each waiting session is read into memory when the file is opened.
pub const FILE_QUEUE_TURNS_DEFAULT: u64 = 10_000;
/// Bytes of input that may wait in all sessions of a file where nothing else is asked for.
pub const FILE_QUEUE_BYTES_DEFAULT: u64 = 256 << 20;

/// Longest summary of a context mark, in bytes.
///
/// It stands for what no longer fits a model's context, so it is far shorter than that.
pub const SUMMARY_BYTES: usize = 1 << 20;

/// Most messages of a transcript, which is in memory as a whole.
pub const TRANSCRIPT_MESSAGES: usize = 20_000;
/// Most bytes of a transcript's messages, the summary included: four of the largest messages.
pub const TRANSCRIPT_BYTES: usize = 64 << 20;

/// Page size of a listing: least, default and most.
pub const PAGE_LIMIT_MIN: u32 = 1;
/// The page size where none is given.
pub const PAGE_LIMIT_DEFAULT: u32 = 50;
/// The largest page.
pub const PAGE_LIMIT_MAX: u32 = 100;

/// Longest text of a listing's cursor, in bytes.
pub const CURSOR_BYTES: usize = 256;

/// Most messages that one history call returns, and its default.
pub const HISTORY_LIMIT_MAX: u32 = 1000;

/// Most access keys of one workspace, the expired ones among them.
///
/// Few enough that all of them go in one commit where the master key is replaced, and that listing them counts them.
pub const WORKSPACE_KEYS: u64 = 10_000;

/// Most rows of the outbox that one read returns.
pub const OUTBOX_LIMIT_MAX: u32 = 1000;

/// Announcements that are under way at once where nothing else is asked for: each has a thread.
pub const DELIVERY_THREADS_DEFAULT: usize = 4;
/// Most announcements that are under way at once.
pub const DELIVERY_THREADS_MAX: usize = 256;
/// How often an announcement is tried where nothing else is asked for: with the pauses between, for about an hour.
pub const DELIVERY_TRIES_DEFAULT: u32 = 10;
/// Most bytes of a turn's messages in one announcement; over it goes without them.
pub const DELIVERY_BYTES: usize = 16 << 20;
/// Sessions of which it is kept in memory when their next announcement is due, some 200 bytes each. Of those beyond, the
/// file is read again.
pub const DELIVERY_SESSIONS: usize = 1 << 16;

/// Most events that one read of the change feed returns.
pub const CHANGES_LIMIT_MAX: u32 = 1000;

/// Most events that a follower reads at once, and that are kept for it when the engine closes.
///
/// Enough that catching up costs little beside the events themselves, and few enough that
/// thousands of followers who all lag hold little.
pub const FOLLOW_BATCH: u32 = 256;

/// Most bytes that are kept of the text that an agent streams and has not written yet.
///
/// Far more than a model says in one message. There is one such text for each turn that streams, whatever the number of
/// its followers; of a longer one the beginning is kept no more.
pub const DELTA_BYTES: usize = 1 << 20;

/// A `ts` supplied by a caller is below this many microseconds (2^52 − 2^40).
///
/// Up to 2^52 µs a double of seconds still tells neighbouring microseconds apart; the
/// 2^40 below are room for the `+ 1 µs` of every later message.
pub const CALLER_TS_MICROS: u64 = (1 << 52) - (1 << 40);

/// The largest `ts` that can exist, in microseconds (2^52 − 1): the bound of `gts`.
pub const TS_MICROS_MAX: u64 = (1 << 52) - 1;

/// Longest text of an error or a panic that is kept with a failed turn, in bytes.
pub const REASON_BYTES: usize = 4096;

/// Most turns in a row that the agents of a session start themselves, by sending to their own session.
///
/// An agent that feeds itself without an exit is stopped here; a turn that anybody else sends begins anew.
pub const CHAIN_TURNS: u32 = 100;

/// Worker threads of an engine where none are asked for; they start on demand.
pub const WORKERS_DEFAULT: usize = 64;
/// Most worker threads of an engine.
pub const WORKERS_MAX: usize = 4096;

/// Turns that may wait for a worker, over all sessions, where no other number is asked for.
pub const QUEUE_TURNS_DEFAULT: usize = 1 << 16;
/// Most turns that may wait for a worker.
pub const QUEUE_TURNS_MAX: usize = 1 << 24;
/// Bytes that the turns waiting for a worker may hold in memory, where no other number is asked for.
pub const QUEUE_BYTES_DEFAULT: usize = 256 << 20;
/// The least that can be asked for: with less, the largest turn could never start.
pub const QUEUE_BYTES_MIN: usize = MESSAGE_BYTES + 2 * TURN_JSON_BYTES;

/// Ends of turns that may wait for the hook before new turns are refused: a slow one falls behind by so many.
pub const HOOK_QUEUE: usize = 1 << 16;

/// Threads of agents that did not stop when they were told to and may be left behind, where no other number is asked
/// for: as many as there are workers, so that each may be replaced once.
pub const ABANDONED_DEFAULT: usize = 64;
/// Most threads that may be left behind.
pub const ABANDONED_MAX: usize = 4096;

/// Bytes of redb's page cache where none are asked for: little, the system's cache does the rest.
pub const CACHE_BYTES_DEFAULT: usize = 32 << 20;

/// Most sessions whose place in the file is kept in memory, some 100 bytes each.
pub const PLACES_KEPT: usize = 1 << 16;

/// Most sessions of which it is kept in memory what they are (their key, label and such), and the most bytes
/// that one may have for it: at most some 16 MiB in all, for a page of sessions at a third of the time.
pub const BODIES_KEPT: usize = 1 << 14;
/// See [`BODIES_KEPT`].
pub const BODY_KEPT_BYTES: usize = 1 << 10;

/// Most operations in one commit of the writer.
pub const GROUP_OPERATIONS: usize = 1024;
/// Bytes of input after which the writer closes a group, so that one commit stays short.
pub const GROUP_BYTES: usize = 8 << 20;
/// Bytes of one of the three segments of the log. All are written with zeros when the log is made, at the first write.
///
/// A group of over half of it is a durable commit of the file. Once so much was logged there is a checkpoint, which
/// leaves the other segments to what comes meanwhile; writers wait where it does not keep up.
pub const LOG_SEGMENT_BYTES: u32 = 2 << 20;
/// The shortest and the longest time that deferred durability may take, in milliseconds.
pub const DEFERRED_MS_MIN: u64 = 1;
/// See [`DEFERRED_MS_MIN`].
pub const DEFERRED_MS_MAX: u64 = 60_000;
/// How often an attached engine looks for what another process wrote, in milliseconds: least, default and most.
///
/// A look where nothing was written takes some microseconds.
pub const POLL_MS_MIN: u64 = 1;
/// See [`POLL_MS_MIN`].
pub const POLL_MS_DEFAULT: u64 = 100;
/// See [`POLL_MS_MIN`].
pub const POLL_MS_MAX: u64 = 60_000;
/// Groups after which there is a checkpoint: what bounds the time to open after a crash.
pub const CHECKPOINT_GROUPS: u32 = 8192;
/// Bytes in memory, about, that the file lacks, after which there is a checkpoint. There may be twice as many while one
/// is under way.
pub const CHECKPOINT_BYTES: usize = 16 << 20;
/// How long nothing is written before a checkpoint, in milliseconds.
pub const CHECKPOINT_IDLE_MS: u64 = 1000;
/// Operations that may wait for the writer before a caller does.
pub const WRITER_QUEUE: usize = 4096;

/// Rows of deleted sessions that one commit clears away: a message has three.
///
/// Whoever waits for the writer meanwhile waits for one such commit: measured with a session of 100,000 messages of
/// 400 bytes, 1 ms at the median and 8 ms at most, 74 of them and 0.2 s in all; an append beside them took 4 ms at the
/// median and 28 ms at most. Twice as many rows take as long in all and 14 ms at most; a quarter takes half as long again in all.
pub const REMNANT_ROWS: usize = 4096;
/// Bytes in such rows after which a commit clears away no more: a row is read to be removed, and may have 16 MiB.
pub const REMNANT_BYTES: usize = 4 << 20;
/// Bytes that a backup copies in one commit of its file, and so about what it takes of memory beside what it reads.
pub const BACKUP_STEP_BYTES: usize = 4 << 20;
/// How long [`Engine::compact`](crate::Engine::compact) waits, in milliseconds, for those who read to be done, while who wants to begin waits.
pub const COMPACT_WAIT_MS: u64 = 1_000;
/// Bytes of input after which such a commit has its turn though operations always wait: what they write has no
/// more rows than it clears away, so that what is left of deleted sessions does not grow.
pub const REMNANT_WAIT_BYTES: usize = 128 * REMNANT_ROWS;

/// The shortest time limit of a turn, in milliseconds: less is no time to do anything in.
pub const TIME_LIMIT_MS_MIN: u64 = 1;
/// The longest, in milliseconds: a leap year.
pub const TIME_LIMIT_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// Bytes of a session in one chunk of its archive, before they are compressed: what is in memory at once when it is read.
pub const ARCHIVE_CHUNK_BYTES: usize = 256 << 10;
/// Most bytes of an archive that is imported, before they are compressed: said before they come, and held to.
pub const ARCHIVE_BYTES: u64 = 64 << 30;
/// Bytes, about, that one commit writes of an archive, or of a session that is restored: so few that the log takes them, and
/// that nobody waits for long.
pub const LOAD_STEP_BYTES: usize = 512 << 10;
/// Rows that one commit writes of a session that is restored: a message has two beside the lists it stands in.
pub const LOAD_STEP_ROWS: usize = 4096;

/// Messages that one commit erases of those which were soft-deleted, so that nobody waits for long.
pub const PURGE_STEP_MESSAGES: u64 = 256;
/// Messages that one commit looks at to find those.
pub const PURGE_STEP_LOOKS: u32 = 4096;

/// Longest line of an import, and longest list of messages, in bytes: it is in memory as a whole.
///
/// Six times the largest message, for in JSON a character of text may take six bytes, and what stands around it.
pub const LINES_LINE_BYTES: usize = 6 * MESSAGE_BYTES + (4 << 20);
/// Most fields of one object of a line that is imported.
pub const LINES_FIELDS: usize = 256;
/// Most names of unknown fields that an import counts one by one.
pub const LINES_UNKNOWN: usize = 1000;
/// Bytes of such a name that are kept.
pub const LINES_NAME_BYTES: usize = 255;

/// Most messages of a list that an import takes as one session: all are in memory.
pub const LINES_LIST_MESSAGES: usize = 100_000;
/// Messages that an import appends at once, of those that were written elsewhere.
pub const LINES_BATCH_MESSAGES: usize = 100;
/// Bytes after which it appends them.
pub const LINES_BATCH_BYTES: usize = 1 << 20;

/// Most messages, turns or threads in one session (their numbers are 32 bits wide).
pub const SESSION_ROWS: u32 = u32::MAX - 1;

const _: () = {
    assert!(PAGE_LIMIT_MIN <= PAGE_LIMIT_DEFAULT && PAGE_LIMIT_DEFAULT <= PAGE_LIMIT_MAX);
    assert!(PAGE_LIMIT_MAX <= HISTORY_LIMIT_MAX);
    assert!(0 < FOLLOW_BATCH && FOLLOW_BATCH <= CHANGES_LIMIT_MAX);
    assert!(CALLER_TS_MICROS < TS_MICROS_MAX);
    assert!((SESSION_ROWS as u64) < TS_MICROS_MAX - CALLER_TS_MICROS);
    assert!(MESSAGE_BYTES <= 2 * GROUP_BYTES);
    assert!(0 < PURGE_STEP_MESSAGES && 0 < PURGE_STEP_LOOKS);
    assert!(0 < REMNANT_ROWS && 0 < REMNANT_BYTES && REMNANT_WAIT_BYTES <= GROUP_BYTES);
    assert!(0 < TIME_LIMIT_MS_MIN && TIME_LIMIT_MS_MIN < TIME_LIMIT_MS_MAX);
    assert!(TIME_LIMIT_MS_MAX < u64::MAX / 1_000_000, "a file has it in nanoseconds");
    assert!(0 < ARCHIVE_CHUNK_BYTES && ARCHIVE_CHUNK_BYTES <= LOAD_STEP_BYTES && 0 < LOAD_STEP_ROWS);
    assert!(LOAD_STEP_BYTES <= LOG_SEGMENT_BYTES as usize / 4);
    assert!(LINES_BATCH_MESSAGES <= BATCH_MESSAGES && LINES_BATCH_BYTES + MESSAGE_BYTES <= BATCH_BYTES);
    assert!(WORKERS_DEFAULT <= WORKERS_MAX);
    assert!(ABANDONED_DEFAULT <= ABANDONED_MAX);
    assert!(QUEUE_TURNS_DEFAULT <= QUEUE_TURNS_MAX && QUEUE_BYTES_MIN <= QUEUE_BYTES_DEFAULT);
    assert!(0 < DELIVERY_THREADS_DEFAULT && DELIVERY_THREADS_DEFAULT <= DELIVERY_THREADS_MAX);
    assert!(0 < DELIVERY_TRIES_DEFAULT && 0 < DELIVERY_SESSIONS);
    assert!(0 < SESSION_QUEUE_TURNS_DEFAULT && SESSION_QUEUE_TURNS_DEFAULT <= SESSION_QUEUE_TURNS_MAX);
    assert!(
        SESSION_QUEUE_TURNS_DEFAULT as u64 <= FILE_QUEUE_TURNS_DEFAULT
            && SESSION_QUEUE_BYTES_DEFAULT <= FILE_QUEUE_BYTES_DEFAULT
    );
    assert!(MESSAGE_BYTES as u64 <= SESSION_QUEUE_BYTES_DEFAULT && MESSAGE_BYTES <= TRANSCRIPT_BYTES);
    assert!(TURN_MESSAGES as usize <= TRANSCRIPT_MESSAGES && SUMMARY_BYTES <= TRANSCRIPT_BYTES);
};
