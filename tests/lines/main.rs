//! Engines, workspaces and sessions as lines of JSON, and back.

mod foreign;
mod hostile;
mod identity;
mod scene;
