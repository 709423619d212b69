//! The fault suite: scripts that a seed repeats, on a disk that fails or loses power. All of it reports by panicking.

pub mod client;
pub mod closing;
mod content;
mod draw;
mod house;
pub mod images;
pub mod kept;
mod mode;
mod named;
mod op;
pub mod points;
pub mod random;
mod reader;
pub mod record;
pub mod state;
mod walk;
mod whole;

/// Kinds of operations that clients do.
pub const KINDS: usize = op::Op::KINDS;
