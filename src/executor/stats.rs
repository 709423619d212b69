//! How an engine stands, in numbers.

use crate::store::Waiting;

/// What an engine is at, in numbers: read at one moment, part by part. Made by [`Engine::stats`](crate::Engine::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Worker threads, those of agents that were left behind not counted.
    pub workers: usize,
    /// How many of them wait for a turn.
    pub idle_workers: usize,
    /// How many of them run one.
    pub running: usize,
    /// Threads of agents that were [left behind](crate::Builder::grace) and have not returned.
    pub abandoned: usize,
    /// Threads of agents that were left behind and have returned after all, since the engine was opened.
    pub retired: u64,
    /// Turns that are running and wait for a worker, or for the agent before to return: those are in memory, within
    /// [`queue_turns`](crate::Builder::queue_turns) and [`queue_bytes`](crate::Builder::queue_bytes).
    pub waiting_turns: usize,
    /// Bytes of their messages, parameters and profiles.
    pub waiting_bytes: usize,
    /// What waits for the turns before it, in all sessions: that is in the file alone, within
    /// [`session_queue`](crate::Builder::session_queue). None where the file cannot be read.
    pub queued: Option<Waiting>,
    /// Ends of turns that wait to be told to the [hook](crate::Builder::on_end).
    pub untold_ends: usize,
    /// Writes and turns that the store is being asked for.
    pub admitted: usize,
    /// Who sleeps until something happens in a session: waiters and followers.
    pub waiters: usize,
    /// Followers, and those who wait for a session to be idle, asleep or not.
    pub followers: usize,
    /// Watches of a workspace or an agent.
    pub watches: usize,
    /// Agents that stream and have not written what they said.
    pub streaming: usize,
}
