//! The crash suite: scripts that a seed repeats, on a disk that fails or loses power. All of it reports by panicking.

pub mod client;
pub mod closing;
pub mod faults;
pub mod images;
mod op;
mod random;
mod reader;
pub mod record;
mod state;
